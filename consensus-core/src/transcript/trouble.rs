//! Small clusters under every loss, delay, duplication, reordering and crash, drawn from a seed; and
//! what must be true of them meanwhile and afterwards.
//!
//! Every protocol meets the very same mixture here. The cluster's [`Judge`](super::Judge) watches
//! what no protocol may ever break; a [`Watch`] adds the invariants of one protocol's own paper.

use std::{collections::BTreeMap, time::Duration};

use super::{Cluster, Happening};
use crate::{
    draw::Draw,
    event::Event,
    id::NodeId,
    payload::Payload,
    protocol::{Ask, Consistency, Outcome, Protocol, Role},
    record::Write,
    settings::Settings,
};

/// What one protocol brings to the trouble.
pub trait Watch: Default {
    /// The protocol.
    type Protocol: Protocol;

    /// Its timers.
    const TIMERS: Timers<<Self::Protocol as Protocol>::Timer>;

    /// Asserts what a single happening could break; the cluster is as it is after the whole step.
    fn happened(
        &mut self,
        cluster: &Cluster<Self::Protocol>,
        happening: &Happening<Self::Protocol>,
    );

    /// Asserts what every disk must bear out, now and then.
    fn inspect(&mut self, cluster: &Cluster<Self::Protocol>);
}

/// The timers that every protocol here has, in its own words.
#[derive(Clone, Copy, Debug)]
pub struct Timers<T> {
    /// No leader was heard of for long enough to campaign.
    pub election: T,
    /// It is time for the leader to be heard.
    pub heartbeat: T,
    /// Has the leader heard of a quorum since the last time?
    pub quorum: T,
    /// No leader was heard of for long enough to listen to others.
    pub loyalty: T,
}

/// How often something happened.
pub type Counts = BTreeMap<&'static str, u64>;

const STEPS: u64 = 4_000;

/// How many members a cluster has, of which one is drawn.
const SIZES: [u64; 8] = [3, 5, 3, 5, 3, 4, 2, 1];

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

/// Plays one cluster per seed, and counts what happened to all of them.
///
/// # Panics
///
/// If an invariant is broken, or a healed cluster does not serve or lost something; the last line
/// names the seed.
pub fn survive<W: Watch>(seeds: u64) -> Counts {
    let mut counts = Counts::new();
    for seed in 0..seeds {
        let played = std::panic::catch_unwind(|| play::<W>(seed));
        for (what, count) in played.unwrap_or_else(|_| panic!("seed {seed} fails")) {
            *counts.entry(what).or_default() += count;
        }
    }
    counts
}

/// Asserts that each of these happened at least so often: a run in which nothing happened would
/// prove nothing.
///
/// # Panics
///
/// If one did not.
pub fn assert_happened(counts: &Counts, least: &[(&str, u64)]) {
    for &(what, least) in least {
        let count = counts.get(what).copied().unwrap_or(0);
        assert!(count >= least, "{what}: only {count} times, not {least}; in all {counts:?}");
    }
}

fn play<W: Watch>(seed: u64) -> Counts {
    let mut trouble = Trouble::<W>::new(seed);
    (0..STEPS).for_each(|step| trouble.step(step));
    trouble.recover();
    trouble.counts
}

/// A cluster in trouble.
struct Trouble<W: Watch> {
    cluster: Cluster<W::Protocol>,
    draw: Draw,
    /// How often each kind of trouble comes, relative to the others; some kinds not at all, so that
    /// every seed is another mixture.
    weights: Vec<(Kind, u64)>,
    commands: u64,
    watch: W,
    counts: Counts,
}

impl<W: Watch> Trouble<W> {
    fn new(seed: u64) -> Self {
        let draw = Draw::new(seed).of("trouble");
        let size = SIZES[draw.of("size").below(SIZES.len() as u64) as usize];
        let members: Vec<_> = (1..=size).map(NodeId).collect();
        let config = |node: NodeId| {
            let mut settings = Settings::new(node, members.clone());
            settings.pre_vote = draw.of("pre-vote").chance(0.5);
            settings.check_quorum = draw.of("check-quorum").chance(0.5);
            settings.max_batch_entries = 1 + draw.of("batch").below(4) as usize;
            settings.max_inflight_batches = 1 + draw.of("inflight").below(4) as usize;
            settings.max_uncommitted_entries = 2 + draw.of("uncommitted").below(40) as usize;
            (node, <W::Protocol as Protocol>::configure(settings).expect("settings that work"))
        };
        let cluster = Cluster::start(seed, members.iter().copied().map(config));
        let weigh = |(kind, weight, optional): (Kind, u64, bool)| {
            let draw = draw.of("weight").at(kind as u64);
            let left_out = optional && draw.of("left out").chance(0.3);
            (kind, if left_out { 0 } else { weight * (1 + draw.below(3)) })
        };
        let weights = KINDS.into_iter().map(weigh).collect();
        Self { cluster, draw, weights, commands: 0, watch: W::default(), counts: Counts::new() }
    }

    fn step(&mut self, step: u64) {
        let draw = self.draw.at(step);
        let ids = self.cluster.ids();
        let pick = |key| ids[draw.of(key).below(ids.len() as u64) as usize];
        let (node, other) = (pick("node"), pick("other"));
        let one = self.some_flight(draw);
        let some = move |number: u64| draw.of("some").at(number).chance(0.5);
        match self.kind(draw) {
            Kind::Deliver => drop(self.cluster.deliver(|flight| flight.number == one)),
            Kind::DeliverMany => drop(self.cluster.deliver(|flight| some(flight.number))),
            Kind::Lose => drop(self.cluster.lose(|flight| some(flight.number))),
            Kind::Duplicate => drop(self.cluster.duplicate(|flight| flight.number == one)),
            Kind::Reverse => drop(self.cluster.reverse(|flight| some(flight.number))),
            Kind::Sync => self.cluster.sync(node, usize::MAX),
            Kind::SyncOne => self.cluster.sync(node, 1),
            Kind::Heartbeat => drop(self.cluster.timeout(node, W::TIMERS.heartbeat)),
            Kind::Election => drop(self.cluster.timeout(node, W::TIMERS.election)),
            Kind::Loyalty => drop(self.cluster.timeout(node, W::TIMERS.loyalty)),
            Kind::Quorum => drop(self.cluster.timeout(node, W::TIMERS.quorum)),
            Kind::Propose => self.propose(draw),
            Kind::Read => {
                let node = self.some_leader(draw).unwrap_or(node);
                self.cluster.ask(node, [Ask::Read(Consistency::Linearizable)]);
            }
            Kind::Crash => self.crash(node, draw),
            Kind::CrashMany => {
                let chosen = ids.into_iter().filter(|node| some(node.0));
                chosen.for_each(|node| self.crash(node, draw.at(node.0)));
            }
            Kind::Restart => self.cluster.restart(node),
            Kind::Cut => self.cluster.cut(node, other),
            Kind::Partition => self.partition(|node| some(node.0)),
            Kind::Depose => self.depose(draw),
            Kind::Heal => self.cluster.heal(),
        }
        self.watch();
        if step.is_multiple_of(8) {
            self.watch.inspect(&self.cluster);
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

    /// The number of a message that is on its way; of none, if none is.
    fn some_flight(&self, draw: Draw) -> u64 {
        let flights = self.cluster.flights();
        let pick = draw.of("flight").below(flights.len() as u64) as usize;
        flights.get(pick).map_or(0, |flight| flight.number)
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

    fn crash(&mut self, node: NodeId, draw: Draw) {
        let unsynced = self.cluster.disk(node).unsynced() as u64;
        let kept = draw.of("kept").below(unsynced + 1);
        self.cluster.crash(node, kept as usize);
    }

    /// Cuts every link between those on one side and those on the other, and no other link.
    fn partition(&mut self, side: impl Fn(NodeId) -> bool) {
        self.cluster.heal();
        let ids = self.cluster.ids();
        for &from in &ids {
            for &to in ids.iter().filter(|&&to| side(from) != side(to)) {
                self.cluster.cut(from, to);
            }
        }
    }

    /// A leader is cut off without knowing it, and the others get far with electing another. Chance
    /// alone hardly ever brings two leaders about who both have clients.
    fn depose(&mut self, draw: Draw) {
        let Some(leader) = self.some_leader(draw) else { return };
        let others: Vec<_> = self.cluster.ids().into_iter().filter(|&id| id != leader).collect();
        for &other in &others {
            self.cluster.cut(leader, other);
            self.cluster.cut(other, leader);
            self.cluster.timeout(other, W::TIMERS.loyalty);
        }
        let next = draw.of("next").below(others.len() as u64) as usize;
        let Some(&next) = others.get(next) else { return };
        self.cluster.timeout(next, W::TIMERS.election);
        let rounds = draw.of("rounds").below(12) as usize;
        self.cluster.stabilize(rounds, |node| node != leader);
    }

    fn watch(&mut self) {
        for happening in self.cluster.take_happened() {
            self.watch.happened(&self.cluster, &happening);
            if let Some(what) = counted(&happening) {
                *self.counts.entry(what).or_default() += 1;
            }
        }
    }

    /// The trouble ends: the cluster serves again, and everybody has everything.
    fn recover(&mut self) {
        self.cluster.heal();
        self.cluster.ids().into_iter().for_each(|node| self.cluster.restart(node));
        self.run(Duration::from_secs(5));
        let leader = self.some_leader(self.draw).expect("a healed cluster has a leader");
        let leader = self.lose_leader(leader);
        let asks = [Ask::Propose("at last".into()), Ask::Read(Consistency::Linearizable)];
        self.cluster.ask(leader, asks);
        self.run(Duration::from_secs(1));
        self.watch.inspect(&self.cluster);
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

    /// The leader crashes for good measure; a quorum, if there still is one, elects another.
    fn lose_leader(&mut self, leader: NodeId) -> NodeId {
        self.cluster.crash(leader, 0);
        self.run(Duration::from_secs(5));
        if self.cluster.ids().len() > 2 {
            let next = self.some_leader(self.draw).expect("a quorum elects another leader");
            assert_ne!(next, leader);
        }
        self.cluster.restart(leader);
        self.run(Duration::from_secs(5));
        self.some_leader(self.draw).expect("there is a leader again")
    }

    fn run(&mut self, time: Duration) {
        self.cluster.run(time);
        self.watch();
    }
}

/// What a happening counts as, if it shows that the run was worth something.
fn counted<P: Protocol>(happening: &Happening<P>) -> Option<&'static str> {
    Some(match happening {
        Happening::Noted(_, Event::Elected { .. }) => "elected",
        Happening::Noted(_, Event::CaughtUp { .. }) => "caught up",
        Happening::Noted(_, Event::Committed { .. }) => "committed",
        Happening::Crashed(_, 1.., _) => "lost batches",
        Happening::Applied { request: Some(_), .. } => "acknowledged",
        Happening::Replied(_, _, Outcome::Readable, _) => "read",
        Happening::Replied(_, _, Outcome::Unknown, _) => "unknown",
        Happening::Persisted(_, writes) if writes.iter().any(is_truncation) => "truncated",
        _ => return None,
    })
}

const fn is_truncation<R>(write: &Write<R>) -> bool {
    matches!(write, Write::TruncateFrom(_))
}
