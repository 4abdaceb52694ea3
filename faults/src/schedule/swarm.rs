//! Random schedules: which faults, how strong, how many at once, all drawn from the seed.
//!
//! Testing with every kind of fault in every run finds less than leaving some out at random: a kind
//! that is always on hides what only happens without it (Groce et al., "Swarm Testing", ISSTA 2012).
//! Independent random crashes find least of all: the bugs of consensus want replicas that die
//! together, and right after they promised something. So besides its share of everything, most seeds
//! depose leaders, and many aim crashes at the moment after a campaign, a vote, an election or an
//! acknowledgement.
//!
//! A swarm has two parts: faults first, in which only safety is judged; then everything is healed, or
//! a core of the cluster is and the rest never, and the cluster must live again.

use std::{
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    time::Duration,
};

use consensus_core::{Consistency, Draw, NodeId};

use super::{
    AfterHeal, Anchor, At, Crash, Expect, Fault, Heal, Kind, Load, Overrides, Pause, ReadKinds,
    Repeat, Resolve, Schedule, Simulation, Size, Step, Target, Targets,
};

mod hardware;
mod kinds;
mod lasting;

/// The faults begin within this time of the start.
const STORM: Duration = Duration::from_secs(8);

/// How often a seed has leaders deposed.
const DEPOSES: f64 = 0.9;

/// How often a seed has crashes aimed at an event.
const AIMS: f64 = 0.6;

/// The reads that promise to see every acknowledged write.
const READS: [Consistency; 3] =
    [Consistency::Linearizable, Consistency::Lease, Consistency::Follower];

/// How often a core of the cluster is all that is healed in the end.
const CORE: f64 = 0.4;

/// How often any one kind of fault is on.
const ON: f64 = 0.45;

/// The same for each of the many things that go wrong with disks and clocks.
const HARDWARE_ON: f64 = 0.3;

impl Schedule {
    /// The random schedule of a seed, for a cluster of a size: 10 to 20 seconds under a light load.
    pub fn swarm(seed: u64, nodes: NonZeroUsize) -> Self {
        let draw = Dice(Draw::new(seed).of("swarm"));
        let mut schedule = Self {
            name: format!("swarm-{seed}"),
            description:
                "faults of every kind, drawn from the seed; then everything is healed, or \
                          a core"
                    .into(),
            nodes,
            warmup: Duration::from_millis(500),
            settle: Duration::from_secs(5),
            patience: STORM / 2,
            heal: if draw.of("heal").chance(CORE) { Heal::Core } else { Heal::All },
            watch: None,
            settings: settings(draw.of("settings"), nodes.get()),
            simulation: Simulation::default(),
            load: Load {
                rate: draw.of("rate").between(100, 200) as f64,
                keys: NonZeroU32::new(draw.of("keys").between(3, 20) as u32)
                    .unwrap_or(NonZeroU32::MIN),
                reads: draw.of("reads").share(0.2, 0.7),
                read_consistency: draw.of("consistency").pick(&[
                    ReadKinds::One(Consistency::Linearizable),
                    ReadKinds::One(Consistency::Lease),
                    ReadKinds::Several(READS.to_vec()),
                    ReadKinds::Several(READS.to_vec()),
                ]),
                ..Load::default()
            },
            expect: Expect {
                after_heal: AfterHeal {
                    leader: Some(Duration::from_secs(3)),
                    converged: Some(Duration::from_secs(5)),
                },
                ..Expect::default()
            },
            steps: Vec::new(),
        };
        if draw.of("deposes").chance(DEPOSES) {
            schedule.add("depose", depose(draw.of("depose"), nodes.get()));
        }
        if draw.of("aims").chance(AIMS) {
            schedule.add("aim", aim(draw.of("aim")));
        }
        for kind in Kind::ALL {
            let draw = draw.of(kind.name());
            let on = draw.of("on").chance(if is_hardware(kind) { HARDWARE_ON } else { ON });
            let step = kinds::step(kind, draw, nodes.get(), &schedule.settings);
            if let Some(step) = step.filter(|_| on) {
                schedule.add(kind.name(), step);
            }
        }
        if schedule.heal == Heal::Core {
            for (id, step) in lasting::steps(draw.of("lasting"), nodes.get(), &schedule.settings) {
                schedule.add(id, step);
            }
        }
        schedule
    }

    /// Adds a step, unless a cluster of this size cannot have it.
    fn add(&mut self, id: &str, step: Step) {
        self.steps.push(Step { id: id.to_owned(), ..step });
        if self.check().is_err() {
            self.steps.pop();
        }
    }
}

/// The parameters of which a seed draws: from snapshots every few entries to none in the whole run.
fn settings(draw: Dice, nodes: usize) -> Overrides {
    let snapshot_after = match draw.of("snapshots").below(5) {
        0 => Some(draw.of("few").between(200, 1_000)),
        1 | 2 => Some(draw.of("some").between(1_000, 10_000)),
        3 => Some(draw.of("many").between(10_000, 60_000)),
        _ => None,
    };
    let retained = match draw.of("retained").below(3) {
        0 => 0,
        1 => draw.of("little").between(100, 3_000),
        _ => draw.of("much").between(3_000, 30_000),
    };
    let size = |bytes: u64| Size(usize::try_from(bytes).unwrap_or(usize::MAX));
    let prefers = draw.of("prefers").chance(0.2);
    let priority = |node: u64| (NodeId(node), draw.of("priority").0.at(node).below(4) as u8);
    Overrides {
        snapshot_after: snapshot_after.map(size),
        retained: snapshot_after.map(|_| size(retained)),
        leases: match draw.of("leases").chance(0.5) {
            true => Some(true),
            // Then clocks may do what no lease survives.
            false => draw.of("lawless").chance(0.5).then_some(false),
        },
        max_clock_drift_ppm: Some(draw.of("drift").pick(&[0, 1_000, 20_000, 100_000])),
        priorities: if prefers { (1..=nodes as u64).map(priority).collect() } else { Vec::new() },
    }
}

/// Whether it is a fault of a disk or a clock.
fn is_hardware(kind: Kind) -> bool {
    matches!(kind.keyword(), "disk" | "clock")
}

/// Leaders are deposed: killed, frozen or cut off for longer than an election takes.
fn depose(draw: Dice, nodes: usize) -> Step {
    let target = Targets::one(Target::Leader);
    let fault = match draw.of("how").below(4) {
        0 | 1 => Fault::Crash(Crash { target }),
        2 => Fault::Pause(Pause { target }),
        _ => kinds::isolation(draw.of("cut"), nodes),
    };
    let lasts = draw.of("lasts").millis(800, 2_000);
    let at = At {
        after: Anchor::LeaderElected,
        count: None,
        plus: draw.of("plus").millis(100, 1_500),
        jitter: Duration::from_millis(200),
    };
    repeated(draw, Step { id: String::new(), at, fault, lasts: Some(lasts), repeat: None }, 2..=3)
}

/// Replicas are killed right after something happened at one of them. Many come back at once, as when
/// a supervisor restarts them: what was promised and not synced is then forgotten while it matters.
fn aim(draw: Dice) -> Step {
    let (after, most) = draw.of("event").pick(&[
        (Anchor::Campaigning, 2),
        (Anchor::Voted, 4),
        (Anchor::Elected, 1),
        (Anchor::Commit, 200),
        (Anchor::Acknowledged, 100),
        (Anchor::Acknowledged, 100),
    ]);
    let targets = draw.of("target").pick(&[
        vec![Target::Actor],
        vec![Target::Actor],
        vec![Target::Actor, Target::Minority],
        vec![Target::Minority],
        vec![Target::Majority],
        vec![Target::Actor, Target::Majority],
        vec![Target::All],
    ]);
    let lasts = match draw.of("back").below(3) {
        0 => draw.of("lasts").millis(1, 20),
        1 => draw.of("lasts").millis(20, 300),
        _ => draw.of("lasts").millis(300, 1_500),
    };
    let plus = match draw.of("when").below(2) {
        0 => Duration::ZERO,
        _ => Duration::from_micros(draw.of("plus").between(50, 5_000)),
    };
    let count = NonZeroU64::new(draw.of("count").between(1, most));
    let at = At { after, count, plus, jitter: Duration::ZERO };
    let fault = Fault::Crash(Crash { target: Targets(targets) });
    repeated(draw, Step { id: String::new(), at, fault, lasts: Some(lasts), repeat: None }, 1..=4)
}

/// The step with so many trials, somewhat apart.
fn repeated(draw: Dice, step: Step, times: std::ops::RangeInclusive<u64>) -> Step {
    let times = draw.of("times").between(*times.start(), *times.end());
    let gap = draw.of("gap").millis(300, 1_500);
    let every = step.lasts.unwrap_or_default() + gap;
    let times = NonZeroU32::new(times as u32).unwrap_or(NonZeroU32::MIN);
    Step { repeat: Some(Repeat { times, every, resolve: Resolve::Each }), ..step }
}

/// A draw that rolls what schedules are made of, in round numbers for people to read.
#[derive(Clone, Copy)]
struct Dice(Draw);

impl Dice {
    fn of(self, purpose: &str) -> Self {
        Self(self.0.of(purpose))
    }

    fn chance(self, probability: f64) -> bool {
        self.0.chance(probability)
    }

    fn below(self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// Uniform, both ends included.
    fn between(self, low: u64, high: u64) -> u64 {
        low + self.0.below(high - low + 1)
    }

    fn millis(self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// Uniform, in hundredths.
    fn share(self, low: f64, high: f64) -> f64 {
        ((low + (high - low) * self.0.unit()) * 100.0).round() / 100.0
    }

    fn pick<T: Clone>(self, choices: &[T]) -> T {
        choices[self.0.below(choices.len() as u64) as usize].clone()
    }
}
