//! The paper's figures and the known pitfalls, told as transcripts (`UPDATE_GOLDENFILES=1` writes
//! what happens into them anew; then read the difference).

use consensus_core::{
    Configuration, NodeId, Payload, Write,
    transcript::{Runner, Script},
};
use consensus_raft::{
    Message, Raft, Record, Timer,
    message::{
        AppendEntries, AppendEntriesRefusal, AppendEntriesReply, PreVote, PreVoteReply, ReadAck,
        ReadIndex, ReadIndexReply, ReadRound, RequestVote, RequestVoteReply, TimeoutNow,
    },
    record::{Entry, Hard},
};

struct RaftScript;

impl Script for RaftScript {
    type Protocol = Raft;

    fn timer(name: &str) -> Option<Timer> {
        match name {
            "election" => Some(Timer::Election),
            "heartbeat" => Some(Timer::Heartbeat),
            "quorum" => Some(Timer::Quorum),
            "loyalty" => Some(Timer::Loyalty),
            "transfer" => Some(Timer::Transfer),
            _ => None,
        }
    }

    /// `seed n1 [term=T] [vote=N] [commit=I] TERM[.COMMAND]...`; `after=I` numbers the entries
    /// from I + 1, as after a base. `TERM/1-2-3[/OUTGOING[/LEARNERS]]` is a configuration.
    fn seed(words: &[&str], named: &[(&str, &str)]) -> Result<Vec<Write<Record>>, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
        let mut hard = Hard::default();
        let mut index = 0;
        for &(key, value) in named {
            match key {
                "term" => hard.term = number(value)?,
                "vote" => hard.vote = number(value.trim_start_matches('n'))?,
                "commit" => hard.commit = number(value)?,
                "after" => index = number(value)?,
                _ => return Err(format!("no disk holds {key}")),
            }
        }
        let mut writes = Vec::new();
        for word in words {
            let (term, payload) = match (word.split_once('.'), word.split_once('/')) {
                (Some((term, command)), _) => (term, Payload::of(command.to_owned().into())),
                (None, Some((term, members))) => {
                    (term, Payload::configure(configuration(members)?))
                }
                (None, None) => (*word, Payload::noop()),
            };
            let term = number(term)?;
            index += 1;
            hard.term = hard.term.max(term);
            writes.push(Write::Put(Record::Entry(Entry { index, term, payload: Some(payload) })));
        }
        writes.push(Write::Put(Record::Hard(hard)));
        Ok(writes)
    }

    fn message(message: &Message) -> String {
        match message {
            Message::PreVote(PreVote { term, last_log_index, last_log_term }) => {
                format!("PreVote for term {term}, log ends at {last_log_index}@{last_log_term}")
            }
            Message::PreVoteReply(PreVoteReply { term, asked, granted }) => {
                format!("PreVoteReply {} for term {asked}, in term {term}", answer(*granted))
            }
            Message::RequestVote(RequestVote { term, last_log_index, last_log_term, transfer }) => {
                let why = if *transfer { ", by hand-over" } else { "" };
                format!(
                    "RequestVote for term {term}{why}, log ends at {last_log_index}@{last_log_term}"
                )
            }
            Message::RequestVoteReply(RequestVoteReply { term, granted }) => {
                format!("RequestVoteReply {} in term {term}", answer(*granted))
            }
            Message::AppendEntries(append) => append_text(append),
            Message::AppendEntriesReply(AppendEntriesReply { term, matched }) => {
                format!("AppendEntriesReply in term {term}: matched up to {matched}")
            }
            Message::AppendEntriesRefusal(refusal) => {
                let AppendEntriesRefusal { term, prev_log_index, agree_index, agree_term } =
                    refusal;
                format!(
                    "AppendEntriesRefusal in term {term}: not after {prev_log_index}, \
                     perhaps after {agree_index}@{agree_term}"
                )
            }
            Message::ReadRound(ReadRound { term, round, commit }) => {
                format!("ReadRound {round} in term {term}, committed up to {commit}")
            }
            Message::ReadAck(ReadAck { term, round }) => {
                format!("ReadAck {round} in term {term}")
            }
            Message::ReadIndex(ReadIndex { term, question }) => {
                format!("ReadIndex {} in term {term}", question_text(*question))
            }
            Message::ReadIndexReply(ReadIndexReply { term, question, index }) => {
                let question = question_text(*question);
                format!("ReadIndexReply {question} in term {term}: up to {index}")
            }
            Message::TimeoutNow(TimeoutNow { term }) => format!("TimeoutNow in term {term}"),
        }
    }

    fn record(record: &Record) -> String {
        match record {
            Record::Hard(Hard { term, vote: 0, commit }) => format!("term={term} commit={commit}"),
            Record::Hard(Hard { term, vote, commit }) => {
                format!("term={term} vote=n{vote} commit={commit}")
            }
            Record::Entry(entry) => format!("{}@{}", entry.index, entry_text(entry)),
        }
    }
}

fn append_text(append: &AppendEntries) -> String {
    let AppendEntries { term, prev_log_index, prev_log_term, entries, leader_commit } = append;
    let entries: Vec<_> = entries.iter().map(entry_text).collect();
    format!(
        "AppendEntries in term {term}, after {prev_log_index}@{prev_log_term}: [{}], \
         committed up to {leader_commit}",
        entries.join(" ")
    )
}

/// TERM, and :COMMAND or [CONFIGURATION] unless it is a no-op.
fn entry_text(entry: &Entry) -> String {
    let content = entry.payload.as_ref().map_or(String::new(), |payload| {
        match (payload.command(), payload.configuration()) {
            (Some(command), _) => format!(":{}", String::from_utf8_lossy(command)),
            (_, Some(configuration)) => format!(" [{configuration}]"),
            (None, None) => String::new(),
        }
    });
    format!("{}{content}", entry.term)
}

/// VOTERS[/OUTGOING[/LEARNERS]], each as 1-2-3.
fn configuration(text: &str) -> Result<Configuration, String> {
    let number = |word: &str| word.parse().map(NodeId).map_err(|error| format!("{word}: {error}"));
    let nodes = |list: &str| {
        let words = list.split('-').filter(|word| !word.is_empty());
        words.map(number).collect::<Result<Vec<_>, String>>()
    };
    let mut lists = text.split('/').map(nodes);
    let mut next = || lists.next().unwrap_or_else(|| Ok(Vec::new()));
    Ok(Configuration { voters: next()?, outgoing: next()?, learners: next()? })
}

/// INCARNATION.NUMBER.
fn question_text(question: u64) -> String {
    format!("{}.{}", question >> 40, question & ((1 << 40) - 1))
}

fn answer(granted: bool) -> &'static str {
    if granted { "granted" } else { "refused" }
}

#[test]
fn scenarios() {
    Runner::<RaftScript>::play_all(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios"));
}
