//! Small clusters under every loss, delay, duplication, reordering and crash, drawn from a seed; and
//! what must be true of them meanwhile and afterwards.
//!
//! Every protocol meets the very same mixture here. The cluster's [`Judge`](super::Judge) watches
//! what no protocol may ever break; a [`Watch`] adds the invariants of one protocol's own paper.

mod ending;
mod kinds;
mod members;

use std::{collections::BTreeMap, panic::AssertUnwindSafe, time::Duration};

use self::{
    kinds::{Kind, Mixture},
    members::Members,
};
use super::{Clock, Cluster, Happening};
use crate::{
    configuration::Configuration,
    draw::Draw,
    event::Event,
    id::{Index, NodeId, RequestId},
    protocol::{Ask, Consistency, Outcome, Protocol, Role},
    record::{Disk, Write},
    settings::Settings,
};

/// What one protocol brings to the trouble.
pub trait Watch: Default {
    /// The protocol.
    type Protocol: Protocol;

    /// Its timers.
    const TIMERS: Timers<<Self::Protocol as Protocol>::Timer>;

    /// Draws the protocol's own options for a cluster of so many members.
    fn options(_draw: Draw, _members: usize) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// The first position that a configuration governs which stands at this one.
    fn governs_from(_settings: &Settings, index: Index) -> Index {
        index
    }

    /// Whether those who are there can elect and decide under this configuration.
    fn can_decide(
        _settings: &Settings,
        configuration: &Configuration,
        is_there: &dyn Fn(NodeId) -> bool,
    ) -> bool {
        configuration.agrees(is_there)
    }

    /// Whether a change of the members of which a settled leader knows nothing may still come about:
    /// a value that a minority accepted may be chosen late, an entry that a leader's log lacks may
    /// not be committed any more.
    const CHANGES_COME_LATE: bool = false;

    /// Whether those who decide from this position on can do without those who decided before it: for
    /// ever, as far as these disks are kept.
    fn stands_alone(
        _settings: &Settings,
        _from: Index,
        _configuration: &Configuration,
        _disk: &dyn Fn(NodeId) -> Option<Disk<<Self::Protocol as Protocol>::Record>>,
    ) -> bool {
        true
    }

    /// A cluster starts whose replicas have these settings, but for their names.
    fn begin(&mut self, _settings: &Settings) {}

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

/// How many members a cluster has at first, of which one is drawn.
const SIZES: [u64; 8] = [3, 5, 3, 5, 3, 4, 2, 1];

/// Long enough for a healed cluster to do whatever it still has to do.
const LONG: Duration = Duration::from_secs(5);

/// Plays one cluster per seed, and counts what happened to all of them.
///
/// With `TROUBLE_SEED=17` in the environment it plays that seed alone, and prints what happens;
/// with `TROUBLE_SEEDS=5000`, so many seeds.
///
/// # Panics
///
/// If an invariant is broken, or a healed cluster does not serve or lost something; the last line
/// names the seed.
pub fn survive<W: Watch>(seeds: u64) -> Counts {
    let wanted = |name| std::env::var(name).ok()?.parse().ok();
    let seeds = wanted("TROUBLE_SEEDS").unwrap_or(seeds);
    let mut counts = Counts::new();
    for seed in wanted("TROUBLE_SEED").map_or(0..seeds, |seed| seed..seed + 1) {
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
    let played = std::panic::catch_unwind(AssertUnwindSafe(|| {
        (0..STEPS).for_each(|step| trouble.step(step));
        trouble.recover();
    }));
    if let Err(why) = played {
        // What led to it, in the very step that failed.
        let happened = trouble.cluster.take_happened();
        let last = happened.len().saturating_sub(100);
        happened[last..].iter().for_each(|happening| println!("{happening:?}"));
        std::panic::resume_unwind(why);
    }
    trouble.counts
}

/// A cluster in trouble.
struct Trouble<W: Watch> {
    cluster: Cluster<W::Protocol>,
    draw: Draw,
    mixture: Mixture,
    /// What every replica was started with, but for its name.
    settings: Settings,
    members: Members,
    /// What the requests asked for that are to be counted.
    asked: BTreeMap<RequestId, Asked>,
    commands: u64,
    watch: W,
    counts: Counts,
    /// Whether it prints what happens.
    tells: bool,
}

/// What a request asked for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Read(Consistency),
    Change,
    Transfer,
}

impl<W: Watch> Trouble<W> {
    fn new(seed: u64) -> Self {
        let draw = Draw::new(seed).of("trouble");
        let size = SIZES[draw.of("size").below(SIZES.len() as u64) as usize];
        let members: Vec<_> = (1..=size).map(NodeId).collect();
        let options = W::options(draw.of("options"), members.len());
        let settings = Settings { options, ..some_settings(draw, members.clone()) };
        let config = |&node: &NodeId| {
            let settings = Settings { node, ..settings.clone() };
            (node, <W::Protocol as Protocol>::configure(settings).expect("settings that work"))
        };
        let mut cluster = Cluster::start(seed, members.iter().map(config));
        cluster.keep_time();
        let (mixture, members) = (Mixture::new(draw.of("weight")), Members::of(members));
        let mut trouble = Self {
            cluster,
            draw,
            mixture,
            settings,
            members,
            asked: BTreeMap::new(),
            commands: 0,
            watch: W::default(),
            counts: Counts::new(),
            tells: std::env::var_os("TROUBLE_SEED").is_some(),
        };
        trouble.watch.begin(&trouble.settings);
        for node in trouble.cluster.ids() {
            trouble.cluster.set_clock(node, trouble.some_clock(node));
        }
        trouble
    }

    /// A clock that is as wrong as it may be: no two drift apart by more than the bound.
    fn some_clock(&self, node: NodeId) -> Clock {
        let draw = self.draw.of("clock").at(node.0);
        let bound = self.settings.max_clock_drift_ppm;
        let drift_ppm = draw.of("drift").below(u64::from(bound) + 1) as i32 - (bound / 2) as i32;
        let ahead = draw.of("ahead").duration(&(Duration::ZERO..Duration::from_secs(10)));
        Clock { ahead, drift_ppm }
    }

    fn step(&mut self, step: u64) {
        let draw = self.draw.at(step);
        let ids = self.cluster.ids();
        let pick = |key| ids[draw.of(key).below(ids.len() as u64) as usize];
        let (node, other) = (pick("node"), pick("other"));
        let one = self.some_flight(draw);
        let some = move |number: u64| draw.of("some").at(number).chance(0.5);
        match self.mixture.pick(draw.of("kind")) {
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
            Kind::Read => self.read(draw, node),
            Kind::AnyTimer => self.any_timer(draw, node),
            Kind::Pass => self.cluster.pass(Duration::from_millis(draw.of("pass").below(100))),
            Kind::Calm => self.cluster.run(Duration::from_millis(draw.of("calm").below(1_000))),
            Kind::Save => self.save(draw, node),
            Kind::Install => drop(self.cluster.install(|transfer| some(transfer.to.0))),
            Kind::LoseTransfer => drop(self.cluster.lose_transfers(|transfer| some(transfer.to.0))),
            Kind::Suspect => self.cluster.suspect(node, other, draw.of("suspected").chance(0.5)),
            Kind::Change => self.change(draw),
            Kind::Transfer => self.transfer(draw),
            Kind::LoseDisk => self.lose_disk(node),
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
        if let Some(node) = self.some_leader(draw) {
            self.propose_at(node, draw);
        }
    }

    fn propose_at(&mut self, node: NodeId, draw: Draw) {
        let count = 1 + draw.of("count").below(4);
        let commands = (0..count).map(|_| {
            self.commands += 1;
            Ask::Propose(format!("c{}", self.commands).into())
        });
        self.cluster.ask(node, commands.collect::<Vec<_>>());
    }

    /// Asks the leader, or any replica, when its state machine may be read.
    fn read(&mut self, draw: Draw, node: NodeId) {
        let leader = self.some_leader(draw).unwrap_or(node);
        let (node, consistency) = match draw.of("consistency").below(8) {
            0..3 => (leader, Consistency::Linearizable),
            3..5 => (leader, Consistency::Lease),
            5 => (node, Consistency::Lease),
            6 => (node, Consistency::Follower),
            _ => (node, Consistency::Stale),
        };
        self.ask_read(node, consistency);
    }

    fn ask_read(&mut self, node: NodeId, consistency: Consistency) {
        for request in self.cluster.ask(node, [Ask::Read(consistency)]) {
            self.asked.insert(request, Asked::Read(consistency));
        }
    }

    fn any_timer(&mut self, draw: Draw, node: NodeId) {
        let armed: Vec<_> = self.cluster.armed(node).collect();
        if let Some(&timer) = armed.get(draw.of("timer").below(armed.len() as u64) as usize) {
            self.cluster.timeout(node, timer);
        }
    }

    fn save(&mut self, draw: Draw, node: NodeId) {
        if draw.of("skips").chance(0.5) {
            self.cluster.skip_saves(node);
        }
        self.cluster.save(node);
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
        if draw.of("with a lease").chance(0.5) {
            self.cluster.timeout(leader, W::TIMERS.heartbeat);
            self.cluster.stabilize(4, |_| true);
        }
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
        if draw.of("both serve").chance(0.5) {
            self.propose_at(next, draw);
            self.cluster.stabilize(8, |node| node != leader);
            self.ask_read(leader, Consistency::Lease);
            self.ask_read(leader, Consistency::Linearizable);
        }
    }

    fn watch(&mut self) {
        for happening in self.cluster.take_happened() {
            if self.tells {
                println!("{happening:?}");
            }
            self.watch.happened(&self.cluster, &happening);
            if let Some(what) = self.learn(&happening).or_else(|| counted(&happening)) {
                *self.counts.entry(what).or_default() += 1;
            }
        }
    }

    /// What clients and the administrator learn from it; and what it counts as.
    fn learn(&mut self, happening: &Happening<W::Protocol>) -> Option<&'static str> {
        match happening {
            Happening::Noted(_, Event::Reconfigured { from, configuration }) => {
                self.members.note(*from, configuration);
                None
            }
            Happening::Destroyed(node) => {
                Some(if self.members.lost(*node) { "disk lost" } else { "taken away" })
            }
            Happening::Replied(_, request, outcome, _) => {
                let asked = self.asked.remove(request)?;
                if matches!(asked, Asked::Change) {
                    self.assert_done_for_good(*request, outcome);
                    self.members.answered(*request, outcome);
                }
                Some(match (asked, outcome) {
                    (Asked::Read(Consistency::Linearizable), Outcome::Readable) => "read",
                    (Asked::Read(Consistency::Lease), Outcome::Readable) => "lease read",
                    (Asked::Read(Consistency::Follower), Outcome::Readable) => "follower read",
                    (Asked::Change, Outcome::Done) => "changed",
                    (Asked::Change, Outcome::Refused(_)) => "change refused",
                    (Asked::Change, Outcome::Unknown) => "change unknown",
                    (Asked::Transfer, Outcome::Done) => "transferred",
                    _ => return None,
                })
            }
            _ => None,
        }
    }

    fn run_for(&mut self, time: Duration) {
        self.cluster.run(time);
        self.watch();
    }
}

/// Settings under which a run of trouble is worth something: tight limits, and often a snapshot
/// after a few entries.
fn some_settings(draw: Draw, members: Vec<NodeId>) -> Settings {
    let mut settings = Settings::new(NodeId(1), members);
    let upto = |key, bound| 1 + draw.of(key).below(bound) as usize;
    settings.pre_vote = draw.of("pre-vote").chance(0.5);
    settings.check_quorum = draw.of("check-quorum").chance(0.5);
    settings.max_batch_entries = upto("batch", 4);
    settings.max_inflight_batches = upto("inflight", 4);
    settings.max_uncommitted_entries = 1 + upto("uncommitted", 40);
    if draw.of("tight").chance(0.5) {
        settings.max_inflight_bytes = upto("inflight bytes", 40);
    }
    if draw.of("snapshots").chance(0.6) {
        settings.snapshot_after_bytes = upto("snapshot after", 1_000);
        settings.retained_bytes = upto("retained", 600) - 1;
    }
    settings.leases = draw.of("leases").chance(0.5);
    settings.max_clock_drift_ppm = [1_000, 100_000][draw.of("drift").below(2) as usize];
    if draw.of("priorities").chance(0.3) {
        let priority = |node: u64| (NodeId(node), draw.of("priority").at(node).below(3) as u8);
        settings.priorities = (1..=5).map(priority).collect();
    }
    settings
}

/// What a happening counts as, if it shows that the run was worth something.
fn counted<P: Protocol>(happening: &Happening<P>) -> Option<&'static str> {
    Some(match happening {
        Happening::Noted(_, Event::Elected { .. }) => "elected",
        Happening::Noted(_, Event::CaughtUp { .. }) => "caught up",
        Happening::Noted(_, Event::Committed { .. }) => "committed",
        Happening::Crashed(_, 1.., _) => "lost batches",
        Happening::Applied { request: Some(_), .. } => "acknowledged",
        Happening::Noted(_, Event::Compacted { .. }) => "compacted",
        Happening::Noted(_, Event::Installed { .. }) => "installed",
        Happening::SnapshotLost { .. } => "transfer of a snapshot lost",
        Happening::Replied(_, _, Outcome::Unknown, _) => "unknown",
        Happening::Persisted(_, writes) if writes.iter().any(is_truncation) => "truncated",
        _ => return None,
    })
}

const fn is_truncation<R>(write: &Write<R>) -> bool {
    matches!(write, Write::TruncateFrom(_))
}
