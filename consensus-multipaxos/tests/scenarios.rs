//! The papers' ideas and the known pitfalls, told as transcripts (`UPDATE_GOLDENFILES=1` writes what
//! happens into them anew; then read the difference).

use consensus_core::{
    Configuration, NodeId, Payload, Write,
    transcript::{Runner, Script, Writes},
};
use consensus_multipaxos::{
    Message, MultiPaxos, Record, Timer,
    record::{Ballot, Hard, PValue},
};

struct PaxosScript;

impl Script for PaxosScript {
    type Protocol = MultiPaxos;

    fn timer(name: &str) -> Option<Timer> {
        match name {
            "election" => Some(Timer::Election),
            "heartbeat" => Some(Timer::Heartbeat),
            "quorum" => Some(Timer::Quorum),
            "transfer" => Some(Timer::Transfer),
            "loyalty" => Some(Timer::Loyalty),
            _ => None,
        }
    }

    /// `seed n1 [promised=ROUND.NODE] [chosen_to=SLOT] [SLOT@ROUND.NODE[=COMMAND]]...`; no command is
    /// a no-op, and `SLOT@ROUND.NODE=/1-2-3` a configuration.
    fn seed(words: &[&str], named: &[(&str, &str)]) -> Result<Writes<MultiPaxos>, String> {
        let mut hard = Hard::default();
        let mut pvalues = Vec::new();
        for word in words {
            pvalues.push(pvalue(word, Payload::noop())?);
        }
        for &(key, value) in named {
            match key {
                "promised" => hard.promised = ballot(value)?,
                "chosen_to" => hard.chosen_to = number(value)?,
                _ => pvalues.push(pvalue(key, content(value)?)?),
            }
        }
        let accepted = pvalues.into_iter().map(Record::Accepted);
        Ok(accepted.chain([Record::Hard(hard)]).map(Write::Put).collect())
    }

    fn message(message: &Message) -> String {
        match message {
            Message::PreCampaign(m) => format!("PreCampaign {}", text(m.ballot)),
            Message::PreCampaignReply(m) => {
                let answer = if m.granted { "yes" } else { "no" };
                let promised = text(m.promised);
                let told = match m.chosen_to {
                    0 => String::new(),
                    to => format!(", chosen to {to}"),
                };
                format!("PreCampaignReply {} {answer}, promised {promised}{told}", text(m.ballot))
            }
            Message::Prepare(m) => {
                let why = if m.handed_over.is_some() { ", by hand-over" } else { "" };
                format!("Prepare {}{why} from {}", text(m.ballot), m.from)
            }
            Message::Secure(m) => format!("Secure {} to {}", text(m.ballot), m.to),
            Message::Secured(m) => format!("Secured {} to {}", text(m.ballot), m.to),
            Message::TimeoutNow(m) => format!("TimeoutNow {}", text(m.ballot)),
            Message::Promise(m) => {
                let next = m.next.map_or(String::new(), |next| format!(", more from {next}"));
                let (ballot, values) = (text(m.ballot), pvalues(&m.values));
                let (from, chosen_to, gone) = (m.from, m.chosen_to, compacted(m.compacted_to));
                format!(
                    "Promise {ballot} from {from} [{values}]{next}, chosen to {chosen_to}{gone}"
                )
            }
            Message::Accept(m) => {
                let values: Vec<_> = m.values.iter().map(payload).collect();
                let (ballot, values) = (text(m.ballot), values.join(" "));
                format!("Accept {ballot} {}.. [{values}], chosen to {}", m.slot, m.chosen_to)
            }
            Message::Accepted(m) => format!("Accepted {} {}..={}", text(m.ballot), m.from, m.to),
            Message::Nack(m) => format!("Nack {}, promised {}", text(m.ballot), text(m.promised)),
            Message::Learn(m) => format!("Learn from {}", m.from),
            Message::Learned(m) => {
                let (values, gone) = (pvalues(&m.values), compacted(m.compacted_to));
                format!("Learned [{values}], chosen to {}{gone}", m.chosen_to)
            }
            Message::ReadRound(m) => {
                let told = m.chosen_to.map_or(String::new(), |to| format!(", chosen to {to}"));
                format!("ReadRound {} no. {}{told}", text(m.ballot), m.round)
            }
            Message::HeartbeatRequest(m) => {
                format!("HeartbeatRequest {}", question(m.round))
            }
            Message::HeartbeatReply(m) => {
                let connected = if m.quorum_connected { ", quorum-connected" } else { "" };
                let led = if m.led { ", led" } else { "" };
                let (round, ballot) = (question(m.round), text(m.ballot));
                format!("HeartbeatReply {round}, promised {ballot}{connected}{led}")
            }
            Message::ReadAck(m) => format!("ReadAck {} no. {}", text(m.ballot), m.round),
            Message::ReadIndex(m) => {
                format!("ReadIndex {} {}", text(m.ballot), question(m.question))
            }
            Message::ReadIndexReply(m) => {
                let (ballot, asked) = (text(m.ballot), question(m.question));
                format!("ReadIndexReply {ballot} {asked}: chosen to {}", m.chosen_to)
            }
        }
    }

    fn record(record: &Record) -> String {
        match record {
            Record::Hard(hard) => {
                format!("promised {}, chosen to {}", text(hard.promised), hard.chosen_to)
            }
            Record::Accepted(value) => pvalues(std::slice::from_ref(value)),
        }
    }
}

fn text(ballot: Ballot) -> String {
    if ballot.is_nobodys() { "none".into() } else { ballot.epoch().to_string() }
}

/// A question's number within its incarnation, and the incarnation.
fn question(number: u64) -> String {
    format!("no. {} of life {}", number & ((1 << 40) - 1), number >> 40)
}

fn compacted(to: u64) -> String {
    if to == 0 { String::new() } else { format!(", compacted to {to}") }
}

fn pvalues(values: &[PValue]) -> String {
    let value = |v: &PValue| format!("{}@{}={}", v.slot, text(v.ballot), payload(&v.value));
    values.iter().map(value).collect::<Vec<_>>().join(" ")
}

fn payload(value: &Payload) -> String {
    match (value.command(), value.configuration()) {
        (Some(command), _) => String::from_utf8_lossy(command).into_owned(),
        (_, Some(configuration)) => format!("[{configuration}]"),
        (None, None) => "no-op".into(),
    }
}

/// `ROUND.NODE`
fn ballot(word: &str) -> Result<Ballot, String> {
    let (round, node) = word.split_once('.').ok_or("a ballot is ROUND.NODE")?;
    Ok(Ballot::new(number(round)?, NodeId(number(node)?)))
}

/// `SLOT@ROUND.NODE`
fn pvalue(place: &str, value: Payload) -> Result<PValue, String> {
    let (slot, under) = place.split_once('@').ok_or_else(|| format!("no disk holds {place}"))?;
    Ok(PValue { slot: number(slot)?, ballot: ballot(under)?, value })
}

/// A command, or `/VOTERS[/LEARNERS]`, each as 1-2-3.
fn content(word: &str) -> Result<Payload, String> {
    let Some(lists) = word.strip_prefix('/') else {
        return Ok(Payload::of(word.to_owned().into()));
    };
    let nodes = |list: &str| {
        let words = list.split('-').filter(|word| !word.is_empty());
        words.map(|word| number(word).map(NodeId)).collect::<Result<Vec<_>, String>>()
    };
    let (voters, learners) = lists.split_once('/').unwrap_or((lists, ""));
    let (voters, learners) = (nodes(voters)?, nodes(learners)?);
    Ok(Payload::configure(Configuration { voters, learners, ..Configuration::default() }))
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word} is no number"))
}

#[test]
fn scenarios() {
    Runner::<PaxosScript>::play_all(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios"));
}
