//! Which links are cut: the bundled schedules of partial connectivity, and what becomes of them when
//! links are lost one way, or the hub misses nothing.

use std::time::Duration;

use anyhow::Result;
use faults::{
    Schedule,
    schedule::{Arrivals, Direction, Fault, Load, Partition, Step, Target, Targets},
};

use crate::{plan, usage::usage};

/// One scenario.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub description: &'static str,
    /// The bundled schedule that it is made of.
    schedule: &'static str,
    /// What is different in it.
    change: fn(&mut Schedule),
}

/// Every scenario.
pub const ALL: [Scenario; 6] = [
    Scenario {
        name: "quorum-loss",
        description: "Of five, everybody sees one hub alone. The leader is heard by the hub, which alone \
                      has a quorum.",
        schedule: "quorum-loss",
        change: |_| {},
    },
    Scenario {
        name: "quorum-loss-deaf",
        description: "The same, but the leader is still heard by everybody: it has lost its quorum, and \
                      nobody misses it.",
        schedule: "quorum-loss",
        change: |schedule| direct(schedule, Direction::Inbound),
    },
    Scenario {
        name: "constrained-election",
        description: "Of five, the leader is cut off, and the others see one hub alone. The hub alone has \
                      a quorum, and lacks what was committed in the last tenth of a second.",
        schedule: "constrained-election",
        change: |_| {},
    },
    Scenario {
        name: "constrained-election-abreast",
        description: "The same, but the hub lacks nothing, unless something was under way.",
        schedule: "constrained-election",
        change: abreast,
    },
    Scenario {
        name: "chained",
        description: "Of three, the leader and one other lose each other. Each end has a quorum with the \
                      one between them.",
        schedule: "chained",
        change: |_| {},
    },
    Scenario {
        name: "chained-mute",
        description: "The same, but the far end is still heard by the leader, and does not hear it.",
        schedule: "chained",
        change: |schedule| direct(schedule, Direction::Outbound),
    },
];

/// How many writes a second are offered, evenly: ten in a slice of the hold, so that a slice without an
/// answer is no chance. Writes alone, for what a leader without a quorum may still answer is reads.
const RATE: f64 = 40.0;

/// How long the load runs before the cut, at least.
const WARMUP: Duration = Duration::from_secs(3);

/// How long a run goes on after the links are mended.
const SETTLE: Duration = Duration::from_secs(2);

impl Scenario {
    /// The schedule, with the links cut once, for this long. With long election timeouts the first
    /// leader takes its time, and is waited for.
    pub fn schedule(&self, hold: Duration) -> Result<Schedule> {
        let mut schedule = plan::named(self.schedule, None)?;
        schedule.name = self.name.to_owned();
        schedule.description = self.description.to_owned();
        schedule.warmup = WARMUP;
        schedule.settle = SETTLE;
        schedule.expect.after_heal = Default::default();
        schedule.expect.sometimes.clear();
        let arrival = Arrivals::Constant;
        schedule.load = Load { rate: RATE, arrival, reads: 0.0, ..schedule.load };
        schedule.steps.iter_mut().for_each(|step| step.repeat = None);
        for step in &mut schedule.steps {
            if around_leader(step).is_some() {
                step.lasts = Some(hold);
            }
        }
        (self.change)(&mut schedule);
        // Checked again as what it has become, and as what is written beside the table.
        Schedule::parse(&format!("{}.toml", self.name), &schedule.to_toml())
            .map_err(|error| usage(error.to_string()))
    }
}

fn around_leader(step: &mut Step) -> Option<&mut Partition> {
    match &mut step.fault {
        Fault::Partition(cut) if cut.shape.is_around_leader() => Some(cut),
        _ => None,
    }
}

fn direct(schedule: &mut Schedule, direction: Direction) {
    schedule.steps.iter_mut().filter_map(around_leader).for_each(|cut| cut.direction = direction);
}

/// Leaves out what lets the hub fall behind.
fn abreast(schedule: &mut Schedule) {
    let before = schedule.steps.first().map(|step| step.at.clone());
    schedule.steps.retain_mut(|step| around_leader(step).is_some());
    for step in &mut schedule.steps {
        step.at = before.clone().unwrap_or_else(|| step.at.clone());
        if let Some(cut) = around_leader(step) {
            cut.target = Some(Targets::one(Target::OneFollower));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_a_schedule_that_cuts_links_once_for_as_long_as_asked() {
        for scenario in &ALL {
            let mut schedule = scenario.schedule(Duration::from_secs(33)).unwrap();
            assert_eq!((schedule.name.as_str(), schedule.trial_count() < 3), (scenario.name, true));
            let holds: Vec<_> = schedule
                .steps
                .iter_mut()
                .filter_map(|step| around_leader(step).is_some().then_some(step.lasts))
                .collect();
            assert_eq!(holds, [Some(Duration::from_secs(33))], "{}", scenario.name);
        }
    }
}
