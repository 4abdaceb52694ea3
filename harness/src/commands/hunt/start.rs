//! Where a hunt begins, and how far it may go.

use std::{num::NonZeroU32, time::Duration};

use consensus_core::Draw;
use faults::{
    Kind, Load, Schedule,
    schedule::{Expect, Heal, Simulation},
};

use crate::plan::SIZE;

/// How many drawn schedules there are beside the bundled ones.
const SWARMS: u64 = 24;

/// The most steps.
const STEPS: usize = 5;

/// The most trials of a step.
const TRIALS: u32 = 3;

/// The longest that a step waits, or lasts, or takes until it comes back.
const LONGEST: Duration = Duration::from_secs(8);

/// The schedules from which the search starts: what the swarm draws, and bundled ones.
pub fn schedules(draw: Draw) -> Vec<Schedule> {
    let bundled = Schedule::names().iter().filter_map(|named| Schedule::bundled(named.name).ok());
    let swarms = (0..SWARMS).map(|swarm| Schedule::swarm(draw.at(swarm).bits(), SIZE));
    swarms.chain(bundled).filter_map(alike).filter(fits).collect()
}

/// The schedule with the load and the size that all of them have here, so that outages are comparable:
/// what is left of it are its steps and its settings.
fn alike(schedule: Schedule) -> Option<Schedule> {
    let mut steps = schedule.steps;
    steps.retain(|step| is_fault(step.fault.kind()));
    for repeat in steps.iter_mut().filter_map(|step| step.repeat.as_mut()) {
        repeat.times = repeat.times.min(NonZeroU32::new(TRIALS)?);
    }
    steps.truncate(STEPS);
    let schedule = Schedule {
        name: "hunted".to_owned(),
        description: String::new(),
        nodes: SIZE,
        warmup: Duration::from_millis(500),
        settle: Duration::from_secs(2),
        patience: Duration::from_secs(4),
        watch: None,
        heal: Heal::default(),
        simulation: Simulation::default(),
        load: Load { rate: 200.0, keys: NonZeroU32::new(10)?, ..Load::default() },
        expect: Expect::default(),
        steps,
        ..schedule
    };
    // Without a step that it waited for, it may be none.
    Schedule::parse("hunted", &schedule.to_toml()).ok()
}

/// Whether a kind of step strikes the cluster: less load and a client's write do not.
fn is_fault(kind: Kind) -> bool {
    !matches!(kind, Kind::Load | Kind::Put)
}

/// Whether the search may go there: what it finds is to be read by people.
pub fn fits(schedule: &Schedule) -> bool {
    let short = |time: Duration| time <= LONGEST;
    let steps = &schedule.steps;
    (1..=STEPS).contains(&steps.len())
        && steps.iter().all(|step| {
            is_fault(step.fault.kind())
                && step.times() <= TRIALS
                && short(step.every())
                && short(step.lasts.unwrap_or_default())
                && short(step.at.plus + step.at.jitter)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hunt_starts_from_many_schedules_of_one_size_and_load() {
        let all = schedules(Draw::new(1));
        assert!(all.len() > 25, "{}", all.len());
        assert!(all.iter().all(fits));
        let loads = all.iter().all(|schedule| schedule.load == all[0].load);
        assert!(loads && all.iter().all(|schedule| schedule.nodes == SIZE));
        assert_eq!(schedules(Draw::new(1)), all);
        assert_ne!(schedules(Draw::new(2)), all);
    }
}
