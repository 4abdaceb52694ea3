//! Small clusters under every loss, delay, duplication, reordering and crash, drawn from a seed.
//!
//! The cluster's judge watches agreement per slot, refused commands and linearizable reads; here the
//! rest is watched: that a ballot is made once and has one value per slot, that a quorum of disks
//! holds whatever was applied anywhere, and that a healed cluster serves again and lost nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use consensus_core::{
    Ask, Consistency, Draw, Epoch, Event, Index, NodeId, Outcome, Payload, Protocol, Role,
    Settings,
    quorum::majority,
    transcript::{Cluster, Happening},
};
use consensus_multipaxos::{
    Config, Message, MultiPaxos, Record, Timer,
    message::Prepare,
    record::{Ballot, PValue},
};

const SEEDS: u64 = 500;
const STEPS: u64 = 4_000;

/// A cluster in trouble.
struct Trouble {
    cluster: Cluster<MultiPaxos>,
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
    /// Every ballot that others heard of. One that a crash erased before that may be made again.
    ballots: BTreeSet<Epoch>,
    /// The value of each slot under each ballot.
    values: BTreeMap<(Index, Ballot), Payload>,
    tally: Tally,
}

type Tally = BTreeMap<&'static str, u64>;

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
    Reverse,
    Crash,
    CrashMany,
    Restart,
    Cut,
    Partition,
    Depose,
    Heal,
}

/// The kinds with their usual weights, and whether a seed may do without them.
const KINDS: [(Kind, u64, bool); 20] = [
    (Kind::Deliver, 60, false),
    (Kind::DeliverMany, 100, false),
    (Kind::Sync, 40, false),
    (Kind::SyncOne, 10, true),
    (Kind::Heartbeat, 12, false),
    (Kind::Election, 6, false),
    (Kind::Loyalty, 6, false),
    (Kind::Quorum, 2, true),
    (Kind::Propose, 20, false),
    (Kind::Read, 10, true),
    (Kind::Lose, 4, true),
    (Kind::Duplicate, 8, true),
    (Kind::Reverse, 4, true),
    (Kind::Crash, 3, true),
    (Kind::CrashMany, 2, true),
    (Kind::Restart, 16, false),
    (Kind::Cut, 2, true),
    (Kind::Partition, 3, true),
    (Kind::Depose, 2, true),
    (Kind::Heal, 8, false),
];

impl Trouble {
    fn new(seed: u64) -> Self {
        let draw = Draw::new(seed).of("trouble");
        let sizes = [3, 5, 3, 5, 3, 4, 2, 1];
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
            let left_out = optional && draw.of("left out").chance(0.3);
            (kind, if left_out { 0 } else { weight * (1 + draw.below(3)) })
        };
        let weights = KINDS.into_iter().map(weigh).collect();
        Self { cluster, draw, weights, commands: 0, seen: Seen::default() }
    }

    fn step(&mut self, step: u64) {
        let draw = self.draw.at(step);
        let ids = self.cluster.ids();
        let node = ids[draw.of("node").below(ids.len() as u64) as usize];
        let flights = self.cluster.flights();
        let pick = draw.of("flight").below(flights.len() as u64) as usize;
        let one = flights.get(pick).map_or(0, |flight| flight.number);
        let some = move |number: u64| draw.of("some").at(number).chance(0.5);
        match self.kind(draw) {
            Kind::Deliver => drop(self.cluster.deliver(|flight| flight.number == one)),
            Kind::DeliverMany => drop(self.cluster.deliver(|flight| some(flight.number))),
            Kind::Lose => drop(self.cluster.lose(|flight| some(flight.number))),
            Kind::Duplicate => drop(self.cluster.duplicate(|flight| flight.number == one)),
            Kind::Reverse => drop(self.cluster.reverse(|flight| some(flight.number))),
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
            self.watch_disks();
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
                Happening::Noted(node, Event::Campaigning { epoch }) => {
                    assert_eq!(epoch.node, node, "a ballot belongs to who makes it");
                    assert!(!self.seen.ballots.contains(&epoch), "ballot {epoch} is made twice");
                }
                Happening::Sent { message: Message::Prepare(Prepare { ballot, .. }), .. } => {
                    self.seen.ballots.insert(ballot.epoch());
                }
                Happening::Noted(_, Event::Elected { .. }) => self.seen.count("elected"),
                Happening::Noted(_, Event::CaughtUp { .. }) => self.seen.count("caught up"),
                Happening::Crashed(_, 1.., _) => self.seen.count("lost batches"),
                Happening::Applied { request: Some(_), .. } => self.seen.count("acknowledged"),
                Happening::Replied(_, _, Outcome::Readable, _) => self.seen.count("read"),
                Happening::Replied(_, _, Outcome::Unknown, _) => self.seen.count("unknown"),
                _ => {}
            }
        }
    }

    /// Whatever was applied is chosen: a quorum of disks holds it, and for ever. And under one ballot
    /// a slot has one value, wherever it was accepted.
    fn watch_disks(&mut self) {
        let ids = self.cluster.ids();
        let mut holders: BTreeMap<Index, usize> = BTreeMap::new();
        for &node in &ids {
            for record in &self.cluster.disk(node).durable().entries {
                let Record::Accepted(PValue { slot, ballot, value }) = record else { continue };
                let known = self.seen.values.entry((*slot, *ballot));
                let known = known.or_insert_with(|| value.clone());
                assert_eq!(known, value, "n{node}: slot {slot} has two values under {ballot:?}");
                if self.cluster.judge().applied().get(slot) == Some(value) {
                    *holders.entry(*slot).or_insert(0) += 1;
                }
            }
        }
        for slot in self.cluster.judge().applied().keys() {
            let held_by = holders.get(slot).copied().unwrap_or(0);
            assert!(held_by >= majority(ids.len()), "slot {slot} is on {held_by} disk(s) only");
        }
    }

    /// The trouble ends: the cluster serves again, and everybody has everything.
    fn recover(&mut self) {
        self.cluster.heal();
        self.cluster.ids().into_iter().for_each(|node| self.cluster.restart(node));
        self.cluster.run(Duration::from_secs(5));
        self.watch();
        let leader = self.some_leader(self.draw).expect("a healed cluster has a leader");
        let asks = [Ask::Propose("at last".into()), Ask::Read(Consistency::Linearizable)];
        self.cluster.ask(leader, asks);
        self.cluster.run(Duration::from_secs(1));
        self.watch();
        self.watch_disks();
        assert_eq!(self.cluster.judge().open().count(), 0, "every request is answered");
        let applied = self.cluster.judge().applied();
        let last = applied.last_key_value().expect("something was chosen");
        assert_eq!(last.1, &Payload::of("at last".into()));
        assert_eq!(*last.0, applied.len() as u64, "there are no gaps");
        for node in self.cluster.ids() {
            let replica = self.cluster.replica(node).expect("everybody is up");
            assert_eq!(replica.status().leader, Some(leader));
            assert_eq!(self.cluster.applied(node), *last.0, "n{node} has everything");
        }
    }
}

impl Seen {
    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_insert(0) += 1;
    }
}

fn play(seed: u64) -> Tally {
    let mut trouble = Trouble::new(seed);
    for step in 0..STEPS {
        trouble.step(step);
    }
    trouble.recover();
    trouble.seen.tally
}

#[test]
fn what_is_chosen_stays_chosen_and_a_healed_cluster_serves() {
    let mut tally = Tally::new();
    for seed in 0..SEEDS {
        let played = std::panic::catch_unwind(|| play(seed));
        let played = played.unwrap_or_else(|_| panic!("seed {seed} fails"));
        for (what, count) in played {
            *tally.entry(what).or_insert(0) += count;
        }
    }
    println!("{tally:?}");
    // A run in which nothing happened would prove nothing.
    for (what, least) in [
        ("elected", 4_000),
        ("caught up", 2_000),
        ("lost batches", 2_000),
        ("acknowledged", 10_000),
        ("read", 5_000),
        ("unknown", 2_000),
    ] {
        let count = tally.get(what).copied().unwrap_or(0);
        assert!(count >= least, "only {count} times: {what}");
    }
}
