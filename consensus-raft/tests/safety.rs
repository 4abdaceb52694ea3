//! Small clusters under every loss, delay, duplication, reordering and crash, drawn from a seed.
//!
//! The cluster's judge watches election safety, state-machine safety, refused commands and
//! linearizable reads; here the rest of figure 3 of the paper is watched (log matching, leader
//! completeness), and that a healed cluster serves again and has lost nothing.

use std::{collections::BTreeMap, time::Duration};

use consensus_core::{
    Ask, Consistency, Draw, Event, Index, NodeId, Payload, Protocol, Role, Settings,
    transcript::{Cluster, Happening},
};
use consensus_raft::{Config, Raft, Record, Timer, record::Entry};

const SEEDS: u64 = 600;
const STEPS: u64 = 4_000;

/// A cluster in trouble.
struct Trouble {
    cluster: Cluster<Raft>,
    draw: Draw,
    /// How often each kind of trouble comes, relative to the others; some kinds not at all, so that
    /// every seed is another mixture.
    weights: Vec<(Kind, u64)>,
    commands: u64,
    seen: Seen,
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    /// Per position and term: the term before it, and what it carries. Log matching says that these
    /// are functions.
    entries: BTreeMap<(Index, u64), (u64, Option<Payload>)>,
    /// Per position: the term in which it was first known to be committed.
    committed_in: BTreeMap<Index, u64>,
    tally: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Deliver,
    DeliverMany,
    Sync,
    SyncOne,
    Heartbeat,
    Election,
    Loyalty,
    Quorum,
    Propose,
    Read,
    Lose,
    Duplicate,
    Crash,
    CrashMany,
    Restart,
    Cut,
    Partition,
    Depose,
    Heal,
}

/// The kinds with their usual weights, and whether a seed may do without them.
const KINDS: [(Kind, u64, bool); 19] = [
    (Kind::Deliver, 60, false),
    (Kind::DeliverMany, 100, false),
    (Kind::Sync, 40, false),
    (Kind::SyncOne, 10, true),
    (Kind::Heartbeat, 12, false),
    (Kind::Election, 4, false),
    (Kind::Loyalty, 6, false),
    (Kind::Quorum, 2, true),
    (Kind::Propose, 20, false),
    (Kind::Read, 10, true),
    (Kind::Lose, 4, true),
    (Kind::Duplicate, 8, true),
    (Kind::Crash, 2, true),
    (Kind::CrashMany, 1, true),
    (Kind::Restart, 10, false),
    (Kind::Cut, 2, true),
    (Kind::Partition, 3, true),
    (Kind::Depose, 2, true),
    (Kind::Heal, 6, false),
];

impl Trouble {
    fn new(seed: u64) -> Self {
        let draw = Draw::new(seed).of("trouble");
        let sizes = [3, 5, 3, 5, 4, 2, 1];
        let size = sizes[draw.of("size").below(sizes.len() as u64) as usize];
        let members: Vec<_> = (1..=size).map(NodeId).collect();
        let config = |node: NodeId| {
            let mut settings = Settings::new(node, members.clone());
            settings.pre_vote = draw.of("pre-vote").chance(0.5);
            settings.check_quorum = draw.of("check-quorum").chance(0.5);
            settings.max_batch_entries = 1 + draw.of("batch").below(4) as usize;
            settings.max_inflight_batches = 1 + draw.of("inflight").below(4) as usize;
            settings.max_uncommitted_entries = 2 + draw.of("uncommitted").below(40) as usize;
            (node, Config::from(settings))
        };
        let cluster = Cluster::start(seed, members.iter().copied().map(config));
        let weigh = |(kind, weight, optional): (Kind, u64, bool)| {
            let draw = draw.of("weight").at(kind as u64);
            let dropped = optional && draw.of("dropped").chance(0.3);
            (kind, if dropped { 0 } else { weight * (1 + draw.below(3)) })
        };
        let weights = KINDS.into_iter().map(weigh).collect();
        Self { cluster, draw, weights, commands: 0, seen: Seen::default() }
    }

    fn step(&mut self, step: u64) {
        let draw = self.draw.at(step);
        let kind = self.kind(draw);
        let ids = self.cluster.ids();
        let node = ids[draw.of("node").below(ids.len() as u64) as usize];
        let flights = self.cluster.flights();
        let pick = draw.of("flight").below(flights.len() as u64) as usize;
        let number = flights.get(pick).map_or(0, |flight| flight.number);
        let some = move |number: u64| draw.of("some").at(number).chance(0.5);
        match kind {
            Kind::Deliver => drop(self.cluster.deliver(|flight| flight.number == number)),
            Kind::DeliverMany => drop(self.cluster.deliver(|flight| some(flight.number))),
            Kind::Lose => drop(self.cluster.lose(|flight| some(flight.number))),
            Kind::Duplicate => drop(self.cluster.duplicate(|flight| flight.number == number)),
            Kind::Sync => self.cluster.sync(node, usize::MAX),
            Kind::SyncOne => self.cluster.sync(node, 1),
            Kind::Heartbeat => drop(self.cluster.timeout(node, Timer::Heartbeat)),
            Kind::Election => drop(self.cluster.timeout(node, Timer::Election)),
            Kind::Loyalty => drop(self.cluster.timeout(node, Timer::Loyalty)),
            Kind::Quorum => drop(self.cluster.timeout(node, Timer::Quorum)),
            Kind::Propose => self.propose(draw),
            Kind::Read => {
                let node = self.some_leader(draw).unwrap_or(node);
                self.cluster.ask(node, [Ask::Read(Consistency::Linearizable)]);
            }
            Kind::Crash => self.crash(node, draw),
            Kind::CrashMany => {
                for node in ids.iter().copied().filter(|node| some(node.0)) {
                    self.crash(node, draw.at(node.0));
                }
            }
            Kind::Restart => self.cluster.restart(node),
            Kind::Cut => {
                let other = ids[draw.of("other").below(ids.len() as u64) as usize];
                self.cluster.cut(node, other);
            }
            Kind::Partition => {
                self.cluster.heal();
                for &from in &ids {
                    for &to in ids.iter().filter(|to| some(from.0) != some(to.0)) {
                        self.cluster.cut(from, to);
                    }
                }
            }
            Kind::Depose => self.depose(draw),
            Kind::Heal => self.cluster.heal(),
        }
        self.watch();
        if step.is_multiple_of(8) {
            self.watch_logs();
        }
    }

    fn kind(&self, draw: Draw) -> Kind {
        let total = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut at = draw.of("kind").below(total);
        for &(kind, weight) in &self.weights {
            if at < weight {
                return kind;
            }
            at -= weight;
        }
        unreachable!("the draw is below the total")
    }

    /// One that believes it leads; there may be several.
    fn some_leader(&self, draw: Draw) -> Option<NodeId> {
        let leads = |&node: &NodeId| {
            self.cluster.replica(node).is_some_and(|replica| replica.status().role == Role::Leader)
        };
        let leaders: Vec<_> = self.cluster.ids().into_iter().filter(leads).collect();
        leaders.get(draw.of("leader").below(leaders.len() as u64) as usize).copied()
    }

    fn propose(&mut self, draw: Draw) {
        let Some(node) = self.some_leader(draw) else { return };
        let count = 1 + draw.of("count").below(4);
        let commands = (0..count).map(|_| {
            self.commands += 1;
            Ask::Propose(format!("c{}", self.commands).into())
        });
        self.cluster.ask(node, commands.collect::<Vec<_>>());
    }

    /// A leader is cut off without knowing it, and the others get far with electing another. Chance
    /// alone hardly ever brings two leaders about who both have clients.
    fn depose(&mut self, draw: Draw) {
        let Some(leader) = self.some_leader(draw) else { return };
        let others: Vec<_> = self.cluster.ids().into_iter().filter(|&id| id != leader).collect();
        for &other in &others {
            self.cluster.cut(leader, other);
            self.cluster.cut(other, leader);
            self.cluster.timeout(other, Timer::Loyalty);
        }
        let next = draw.of("next").below(others.len() as u64) as usize;
        let Some(&next) = others.get(next) else { return };
        self.cluster.timeout(next, Timer::Election);
        let rounds = draw.of("rounds").below(12) as usize;
        self.cluster.stabilize(rounds, |node| node != leader);
    }

    fn crash(&mut self, node: NodeId, draw: Draw) {
        let unsynced = self.cluster.disk(node).unsynced() as u64;
        let kept = draw.of("kept").below(unsynced + 1);
        self.cluster.crash(node, kept as usize);
    }

    fn watch(&mut self) {
        for happening in self.cluster.take_happened() {
            match happening {
                Happening::Noted(_, Event::Committed { epoch, from, to, .. }) => {
                    for index in from..=to {
                        self.seen.committed_in.entry(index).or_insert(epoch.round);
                    }
                    self.seen.count("committed");
                }
                Happening::Noted(node, Event::Elected { epoch }) => {
                    self.leader_completeness(node, epoch.round);
                    self.seen.count("elected");
                }
                Happening::Crashed(_, 1.., _) => self.seen.count("lost batches"),
                Happening::Applied { request: Some(_), .. } => self.seen.count("acknowledged"),
                Happening::Replied(_, _, consensus_core::Outcome::Readable, _) => {
                    self.seen.count("read");
                }
                Happening::Replied(_, _, consensus_core::Outcome::Unknown, _) => {
                    self.seen.count("unknown");
                }
                Happening::Persisted(_, writes) => {
                    let cut = |write: &_| matches!(write, consensus_core::Write::TruncateFrom(_));
                    if writes.iter().any(cut) {
                        self.seen.count("truncated");
                    }
                }
                _ => {}
            }
        }
    }

    /// A leader holds every entry that was committed in an earlier term (§5.4.3).
    fn leader_completeness(&self, node: NodeId, term: u64) {
        let log: BTreeMap<_, _> =
            self.log(node).map(|entry| (entry.index, entry.payload)).collect();
        for (index, payload) in self.cluster.judge().applied() {
            if self.seen.committed_in.get(index).is_some_and(|&committed| committed < term) {
                let held = log.get(index).and_then(Option::as_ref);
                assert_eq!(held, Some(payload), "the leader n{node} of term {term} at {index}");
            }
        }
    }

    /// If two logs hold an entry of the same index and term, it is the same entry, and so are all
    /// before it (§5.3).
    fn watch_logs(&mut self) {
        for node in self.cluster.ids() {
            let mut before = 0;
            for Entry { index, term, payload } in self.log(node).collect::<Vec<_>>() {
                let entry = (before, payload);
                let known = self.seen.entries.entry((index, term)).or_insert_with(|| entry.clone());
                assert_eq!(*known, entry, "n{node} at {index} of term {term}");
                before = term;
            }
        }
    }

    fn log(&self, node: NodeId) -> impl Iterator<Item = Entry> {
        let entries = self.cluster.disk(node).written().entries;
        entries.into_iter().filter_map(|record| match record {
            Record::Entry(entry) => Some(entry),
            Record::Hard(_) => None,
        })
    }

    /// The trouble ends: the cluster serves again, and everybody has everything.
    fn recover(&mut self) {
        self.cluster.heal();
        self.cluster.ids().into_iter().for_each(|node| self.cluster.restart(node));
        self.cluster.run(Duration::from_secs(5));
        self.watch();
        let leader = self.some_leader(self.draw).expect("a healed cluster has a leader");
        let leader = self.lose_leader(leader);
        self.cluster
            .ask(leader, [Ask::Propose("at last".into()), Ask::Read(Consistency::Linearizable)]);
        self.cluster.run(Duration::from_secs(1));
        self.watch();
        self.watch_logs();
        assert_eq!(self.cluster.judge().open().count(), 0, "every request is answered");
        let applied = self.cluster.judge().applied();
        let last = applied.last_key_value().expect("something was committed");
        assert_eq!(last.1, &Payload::of("at last".into()));
        assert_eq!(*last.0, applied.len() as u64, "there are no gaps");
        for node in self.cluster.ids() {
            let replica = self.cluster.replica(node).expect("everybody is up");
            assert_eq!(replica.status().leader, Some(leader));
            assert_eq!(self.cluster.applied(node), *last.0, "n{node} has everything");
        }
    }
}

impl Trouble {
    /// The leader crashes for good measure; a quorum, if there still is one, elects another.
    fn lose_leader(&mut self, leader: NodeId) -> NodeId {
        self.cluster.crash(leader, 0);
        self.cluster.run(Duration::from_secs(5));
        self.watch();
        if self.cluster.ids().len() > 2 {
            let next = self.some_leader(self.draw).expect("a quorum elects another leader");
            assert_ne!(next, leader);
        }
        self.cluster.restart(leader);
        self.cluster.run(Duration::from_secs(5));
        self.watch();
        self.some_leader(self.draw).expect("there is a leader again")
    }
}

impl Seen {
    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }
}

#[test]
fn safe_in_trouble_and_alive_after_it() {
    let mut tally = BTreeMap::<_, u64>::new();
    for seed in 0..SEEDS {
        let mut trouble = Trouble::new(seed);
        let story = std::panic::AssertUnwindSafe(|| {
            (0..STEPS).for_each(|step| trouble.step(step));
            trouble.recover();
        });
        if let Err(panic) = std::panic::catch_unwind(story) {
            eprintln!("that was seed {seed}");
            std::panic::resume_unwind(panic);
        }
        for (what, count) in trouble.seen.tally {
            *tally.entry(what).or_default() += count;
        }
    }
    // A run in which nothing happened would prove nothing.
    println!("{tally:?}");
    for (what, least) in [
        ("elected", 5 * SEEDS),
        ("committed", 20 * SEEDS),
        ("acknowledged", 20 * SEEDS),
        ("read", SEEDS),
        ("unknown", SEEDS),
        ("lost batches", SEEDS),
        ("truncated", SEEDS / 2),
    ] {
        let count = tally.get(what).copied().unwrap_or(0);
        assert!(count >= least, "{what}: only {count} times in {SEEDS} seeds");
    }
}
