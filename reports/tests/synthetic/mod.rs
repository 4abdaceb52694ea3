//! A made-up run, whose true numbers are known: leader crashes under an open-loop load.

use std::{collections::BTreeMap, time::Duration};

use checker::{Coverage, Verdict, Verdicts};
use consensus_core::{
    Draw, Epoch, Event, NodeId, RequestId, Role, SessionId, Time,
    history::{Call, Observed, Operation, Outcome, Sample},
};
use reports::{
    Clock, Counters, ElectionTiming, Expectation, FaultBand, Metadata, RunRecord, Setting,
};

/// When the load begins on the run's clock; not zero, as on a real machine.
pub const BEGIN: Time = Time(7_000_000_000);

/// What kind of run to make up.
pub struct Story {
    /// The protocol's name.
    pub protocol: &'static str,
    /// The seed of its draws.
    pub seed: u64,
    /// How many leaders crash.
    pub trials: u32,
    /// How many operations are meant to be sent in a second.
    pub rate: u64,
    /// How long an undisturbed commit takes, in milliseconds, about.
    pub commit_ms: f64,
    /// How long the vote rounds take, in milliseconds, about.
    pub votes_ms: f64,
}

impl Story {
    /// A run of this protocol.
    pub fn new(protocol: &'static str, seed: u64) -> Self {
        Self { protocol, seed, trials: 10, rate: 400, commit_ms: 1.2, votes_ms: 4.0 }
    }

    /// The record of the run.
    pub fn record(&self) -> RunRecord {
        let mut record = empty(self.protocol);
        record.metadata.seed = self.seed;
        record.metadata.end = at_ms(4_000.0 * f64::from(self.trials) + 4_000.0);
        let reigns = self.reigns(&mut record);
        self.load(&mut record, &reigns);
        self.samples(&mut record, &reigns);
        record.observed.sort_by_key(|seen| seen.at);
        record.operations.sort_by_key(|operation| operation.invoked);
        record.counters = Counters {
            messages: Some(record.operations.len() as u64 * 9),
            bytes: Some(record.operations.len() as u64 * 1_900),
            syncs: Some(record.operations.len() as u64 * 2),
        };
        record
    }

    fn draw(&self, purpose: &str) -> Draw {
        Draw::new(self.seed).of(self.protocol).of(purpose)
    }

    fn epoch(&self, round: u64, node: u64) -> Epoch {
        match self.protocol {
            "multipaxos" => Epoch::ballot(round, NodeId(node)),
            _ => Epoch::term(round),
        }
    }

    /// Crashes a leader every four seconds; says who leads from when, in milliseconds.
    fn reigns(&self, record: &mut RunRecord) -> Vec<(f64, u64, Epoch)> {
        let first = self.epoch(1, 1);
        let mut reigns = vec![(-500.0, 1, first)];
        note(record, -500.0, 1, Event::Elected { epoch: first });
        for trial in 1..=self.trials {
            let key = self.draw("trial").at(u64::from(trial));
            let (_, leader, _) = reigns[reigns.len() - 1];
            let fault = 4_000.0 * f64::from(trial) - 1_000.0 + 500.0 * key.of("jitter").unit();
            record.faults.push(FaultBand {
                step: "kill".into(),
                trial: Some(trial),
                kind: "crash".into(),
                label: format!("crash {leader}"),
                nodes: vec![NodeId(leader)],
                links: Vec::new(),
                start: at_ms(fault),
                end: Some(at_ms(fault + 1_500.0)),
            });
            let smallest = 150.0 + 150.0 * (1.0 - (1.0 - key.unit()).powf(0.25));
            let winner = leader % 5 + 1;
            let epoch = self.epoch(u64::from(trial) + 1, winner);
            let timed_out = fault + smallest - 2.0 * key.of("phase").unit();
            let votes = self.votes_ms * (0.7 + 0.6 * key.of("votes").unit());
            let elected = timed_out + votes;
            note(record, timed_out, winner, Event::TimedOut { epoch });
            note(record, timed_out + votes * 0.4, winner, Event::Campaigning { epoch });
            note(record, elected, winner, Event::Elected { epoch });
            note(record, elected + self.commit_ms, winner, Event::CaughtUp { epoch });
            reigns.push((elected, winner, epoch));
        }
        reigns
    }

    /// An open-loop load: what arrives while nobody leads waits for the next leader.
    fn load(&self, record: &mut RunRecord, reigns: &[(f64, u64, Epoch)]) {
        let end_ms = record.millis(record.metadata.end);
        let count = (end_ms / 1e3 * self.rate as f64) as u64;
        for n in 0..count {
            let key = self.draw("operation").at(n);
            let intended = n as f64 * 1e3 / self.rate as f64;
            let crashed = record.faults.iter().map(|fault| record.millis(fault.start));
            let gone = crashed.filter(|&at| at <= intended).fold(f64::MIN, f64::max);
            let reign = match reigns.iter().rev().find(|reign| reign.0 <= intended) {
                Some(reign) if reign.0 > gone => reign,
                _ => reigns.iter().find(|reign| reign.0 > gone).expect("a later leader"),
            };
            let start = intended.max(reign.0 + self.commit_ms) + 0.3;
            let commit = self.commit_ms * (0.7 + key.of("commit").exponential(0.4));
            let read = key.of("read").chance(0.5);
            if !read {
                let (node, epoch) = (reign.1, reign.2);
                let proposed = Event::Proposed { request: RequestId(n), index: n + 1, epoch };
                note(record, start, node, proposed);
                let from = if key.of("own").chance(0.2) { node } else { node % 5 + 1 };
                record.observed.push(Observed {
                    at: at_ms(start + commit),
                    node: NodeId(node),
                    incarnation: 1,
                    from: Some(NodeId(from)),
                    sync_ns: (commit * 0.6e6) as u64,
                    event: Event::Committed { epoch, from: n + 1, to: n + 1, has_command: true },
                });
            }
            record.operations.push(operation(n, read, intended, start + commit + 0.3));
        }
    }

    fn samples(&self, record: &mut RunRecord, reigns: &[(f64, u64, Epoch)]) {
        let end_ms = record.millis(record.metadata.end);
        for tick in 0..(end_ms / 50.0) as u64 {
            let at = tick as f64 * 50.0;
            let down: Vec<NodeId> = record
                .faults
                .iter()
                .filter(|f| f.start <= at_ms(at) && f.end.is_none_or(|end| end > at_ms(at)))
                .flat_map(|fault| fault.nodes.clone())
                .collect();
            let (_, leader, epoch) = *reigns.iter().rev().find(|r| r.0 <= at).expect("a leader");
            for node in (1..=5).map(NodeId) {
                let leads = node == NodeId(leader);
                record.samples.push(Sample {
                    at: at_ms(at),
                    node,
                    up: !down.contains(&node),
                    role: if leads { Role::Leader } else { Role::Follower },
                    epoch,
                    leader: (!down.contains(&NodeId(leader))).then_some(NodeId(leader)),
                    commit: tick,
                    value: Some(format!("v{}", tick / 60)),
                    alive: (1..=5).map(NodeId).filter(|node| !down.contains(node)).collect(),
                });
            }
        }
    }
}

/// An instant, in milliseconds since the load began.
pub fn at_ms(ms: f64) -> Time {
    Time((BEGIN.0 as f64 + ms * 1e6) as u64)
}

/// Adds an event of the first incarnation.
pub fn note(record: &mut RunRecord, ms: f64, node: u64, event: Event) {
    record.observed.push(Observed {
        at: at_ms(ms),
        node: NodeId(node),
        incarnation: 1,
        from: None,
        sync_ns: 0,
        event,
    });
}

/// An operation that was done.
pub fn operation(n: u64, read: bool, intended_ms: f64, completed_ms: f64) -> Operation {
    let outcome = Outcome::Ok { changed: !read, held: read.then(|| "1".into()), revision: n };
    Operation {
        client: n % 16,
        session: SessionId(if read { 0 } else { n % 16 + 1 }),
        sequence: if read { 0 } else { n },
        key: format!("key-{}", n % 100),
        call: if read { Call::Get } else { Call::Put(n.to_string()) },
        consistency: None,
        intended: at_ms(intended_ms),
        invoked: at_ms(intended_ms + 0.05),
        completed: Some(at_ms(completed_ms)),
        outcome,
    }
}

/// Verdicts that all hold.
pub fn sound() -> Verdicts {
    Verdicts {
        linearizable: Verdict::Ok,
        log_agreement: Verdict::Ok,
        state_agreement: Verdict::Ok,
        commit_monotonic: Verdict::Ok,
        no_lost_acks: Verdict::Ok,
        exactly_once: Verdict::Ok,
        election_safety: Verdict::Ok,
        lease_reads: Verdict::Ok,
        stale_reads: Verdict::Ok,
        converged: Verdict::Ok,
        not_vacuous: Verdict::Ok,
        coverage: Coverage::default(),
    }
}

/// A record in which nothing happened.
pub fn empty(protocol: &str) -> RunRecord {
    let setting =
        |name: &str, value: &str| Setting { name: name.to_owned(), value: value.to_owned() };
    RunRecord {
        metadata: Metadata {
            protocol: protocol.to_owned(),
            title: String::new(),
            target: "local".into(),
            clock: Clock::Wall,
            schedule: "leader-crash".into(),
            schedule_digest: "9f3c21aa".into(),
            seed: 1,
            nodes: 5,
            host: BTreeMap::from([
                ("cores".into(), "2".into()),
                ("operating system".into(), "Linux 6.1".into()),
            ]),
            commit: "0123abc".into(),
            command: format!("harness run --protocol {protocol} --seed 1"),
            durability: "fdatasync on every sync".into(),
            network: "a switch".into(),
            partial: false,
            started_at: "2025-01-01T12:00:00Z".into(),
            begin: BEGIN,
            end: BEGIN + Duration::from_secs(10),
            watched_key: Some("key-1".into()),
        },
        settings: vec![
            setting("election timeout", "150 ms to 300 ms"),
            setting("heartbeat interval", "30 ms"),
            setting("pre-vote", "on"),
            setting("largest batch", "256 entries"),
        ],
        arguments: Vec::new(),
        faults: Vec::new(),
        counters: Counters::default(),
        timing: Some(ElectionTiming {
            shortest_timeout_ms: 150.0,
            longest_timeout_ms: 300.0,
            heartbeat_interval_ms: 30.0,
        }),
        verdicts: sound(),
        planned_faults: 0,
        core: None,
        states: Vec::new(),
        passages: Vec::new(),
        expectations: vec![Expectation {
            name: "leader-changed (sometimes)".into(),
            held: true,
            detail: "10 times".into(),
        }],
        meant_to_break: Vec::new(),
        remarks: Vec::new(),
        schedule_text: "name = \"leader-crash\"\n".into(),
        config_text: "pre_vote = true\n".into(),
        operations: Vec::new(),
        applied: Vec::new(),
        observed: Vec::new(),
        samples: Vec::new(),
    }
}
