//! Whole clusters under seeded chaos: messages lost, doubled, late and out of order, links cut, disks
//! that sync late, crashes that lose what was not synced, and timers that run out whenever they like.
//!
//! The judge of the [`Cluster`] holds agreement per slot, the answers, and the reads; here stands what
//! it cannot see: that ballots are never made twice, that nothing chosen is lost, and that all is well
//! once the chaos ends.

use std::{collections::BTreeMap, time::Duration};

use consensus_core::{
    Ask, Consistency, Draw, Event, NodeId, Protocol, Role, Settings,
    transcript::{Cluster, Happening},
};
use consensus_multipaxos::{Config, Message, MultiPaxos, message::Prepare, record::Ballot};

/// One cluster in chaos.
struct Chaos {
    cluster: Cluster<MultiPaxos>,
    draw: Draw,
    step: u64,
    commands: u64,
    /// How often each node started.
    starts: BTreeMap<NodeId, u64>,
    /// Every ballot that others heard of, and which start of its owner it was made in. A ballot that
    /// a crash erased before anybody heard of it may be made again.
    ballots: BTreeMap<Ballot, u64>,
}

/// What chaos brought about, summed over seeds, so that a test can insist on having seen it.
#[derive(Default, Debug)]
struct Seen {
    applied: u64,
    elections: u64,
    crashes: u64,
    losing_crashes: u64,
    reads: u64,
    unknown: u64,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let draw = Draw::new(seed).of("chaos");
        let nodes = if draw.of("size").chance(0.5) { 3 } else { 5 };
        let members: Vec<_> = (1..=nodes).map(NodeId).collect();
        let small = draw.of("small limits").chance(0.5);
        let config = |&node: &NodeId| {
            let mut settings = Settings::new(node, members.clone());
            settings.pre_vote = draw.of("pre-vote").chance(0.5);
            settings.check_quorum = draw.of("check-quorum").chance(0.5);
            if small {
                settings.max_batch_entries = 2;
                settings.max_inflight_batches = 2;
                settings.max_uncommitted_entries = 12;
            }
            (node, Config::from(settings))
        };
        let cluster = Cluster::start(seed, members.iter().map(config));
        Self {
            cluster,
            draw,
            step: 0,
            commands: 0,
            starts: BTreeMap::new(),
            ballots: BTreeMap::new(),
        }
    }

    fn chance(&mut self) -> Draw {
        self.step += 1;
        self.draw.at(self.step)
    }

    fn node(&self, draw: Draw) -> NodeId {
        let ids = self.cluster.ids();
        ids[draw.of("node").below(ids.len() as u64) as usize]
    }

    fn propose(&mut self, node: NodeId, count: u64) {
        let asks: Vec<_> =
            (0..count).map(|n| Ask::Propose(format!("c{}", self.commands + n).into())).collect();
        self.commands += count;
        self.cluster.ask(node, asks);
    }

    /// One thing happens, somewhere.
    fn disturb(&mut self, hard: f64) {
        let draw = self.chance();
        let node = self.node(draw);
        let kind = draw.of("kind").unit();
        let fraction = draw.of("fraction");
        let some = |number: u64| fraction.at(number).chance(0.5);
        match kind {
            ..0.40 => {
                self.cluster.deliver(|flight| some(flight.number));
            }
            ..0.55 => self.cluster.sync(node, 1 + draw.of("batches").below(4) as usize),
            ..0.70 => self.propose(node, 1 + draw.of("count").below(5)),
            ..0.74 => self.cluster.ask(node, [Ask::Read(Consistency::Linearizable)]),
            ..0.79 => {
                let timers: Vec<_> = self.cluster.armed(node).collect();
                if let Some(&timer) = timers.get(draw.of("timer").below(3) as usize) {
                    self.cluster.timeout(node, timer);
                }
            }
            ..0.83 => {
                self.cluster.reverse(|flight| some(flight.number));
            }
            ..0.86 => {
                self.cluster.duplicate(|flight| fraction.at(flight.number).chance(0.2));
            }
            ..0.865 => {
                self.cluster.run(Duration::from_millis(0));
            }
            ..0.91 if draw.of("hard").chance(hard) => {
                self.cluster.lose(|flight| some(flight.number));
            }
            ..0.95 if draw.of("hard").chance(hard) => {
                let batches = self.cluster.disk(node).unsynced() as u64;
                self.cluster.crash(node, draw.of("kept").below(batches + 1) as usize);
            }
            ..0.97 => self.cluster.restart(node),
            ..0.985 if draw.of("hard").chance(hard) => {
                let other = self.node(draw.of("other"));
                self.cluster.cut(node, other);
            }
            _ => self.cluster.heal(),
        }
        if self.cluster.flights().len() > 400 {
            self.cluster.lose(|flight| some(flight.number));
        }
    }

    fn watch(&mut self, seen: &mut Seen) {
        for happening in self.cluster.take_happened() {
            match happening {
                Happening::Started(node) => *self.starts.entry(node).or_insert(0) += 1,
                Happening::Sent {
                    from, message: Message::Prepare(Prepare { ballot, .. }), ..
                } => {
                    assert_eq!(ballot.owner(), from, "a ballot belongs to who makes it");
                    let start = self.starts[&from];
                    let made_in = *self.ballots.entry(ballot).or_insert(start);
                    assert_eq!(made_in, start, "{ballot:?} is made twice");
                }
                Happening::Noted(_, Event::Elected { .. }) => seen.elections += 1,
                Happening::Applied { .. } => seen.applied += 1,
                Happening::Crashed(_, lost, _) => {
                    seen.crashes += 1;
                    seen.losing_crashes += u64::from(lost > 0);
                }
                Happening::Replied(_, _, consensus_core::Outcome::Readable, _) => seen.reads += 1,
                Happening::Replied(_, _, consensus_core::Outcome::Unknown, _) => seen.unknown += 1,
                _ => {}
            }
        }
    }

    /// The chaos ends: one leader comes, everybody learns everything, and work goes on.
    fn recover(&mut self, seen: &mut Seen) {
        self.cluster.heal();
        for node in self.cluster.ids() {
            self.cluster.restart(node);
        }
        self.cluster.run(Duration::from_millis(3_000));
        let leaders = self.leaders();
        assert_eq!(leaders.len(), 1, "one leader comes: {leaders:?}");
        let before = self.cluster.judge().applied().len();
        self.propose(leaders[0], 3);
        self.cluster.ask(leaders[0], [Ask::Read(Consistency::Linearizable)]);
        self.cluster.run(Duration::from_millis(500));
        self.watch(seen);
        let applied = self.cluster.judge().applied();
        assert_eq!(applied.len(), before + 3, "work goes on");
        assert_eq!(self.cluster.judge().open().count(), 0, "every request is answered");
        let last = *applied.last_key_value().expect("something was applied").0;
        assert_eq!(last, applied.len() as u64, "no slot is left out");
        for node in self.cluster.ids() {
            assert_eq!(self.cluster.applied(node), last, "n{node} has everything");
        }
    }

    fn leaders(&self) -> Vec<NodeId> {
        let ids = self.cluster.ids().into_iter();
        let leads = |&id: &NodeId| {
            self.cluster.replica(id).is_some_and(|replica| replica.status().role == Role::Leader)
        };
        ids.filter(leads).collect()
    }
}

fn play(seeds: std::ops::Range<u64>, hard: f64) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds {
        let result = std::panic::catch_unwind(|| {
            let mut seen = Seen::default();
            let mut chaos = Chaos::new(seed);
            for _ in 0..3 {
                for _ in 0..400 {
                    chaos.disturb(hard);
                    chaos.watch(&mut seen);
                }
                chaos.recover(&mut seen);
            }
            seen
        });
        let more = result.unwrap_or_else(|_| panic!("seed {seed} failed"));
        seen.applied += more.applied;
        seen.elections += more.elections;
        seen.crashes += more.crashes;
        seen.losing_crashes += more.losing_crashes;
        seen.reads += more.reads;
        seen.unknown += more.unknown;
    }
    eprintln!("{seen:?}");
    seen
}

#[test]
fn agreement_survives_chaos_and_work_goes_on_afterwards() {
    let seen = play(0..1000, 1.0);
    assert!(seen.elections > 1_000 && seen.losing_crashes > 300, "the chaos was tame: {seen:?}");
    assert!(seen.applied > 10_000 && seen.unknown > 100, "too little was done: {seen:?}");
}
