//! A change makes another sound schedule, the same key the same one, and every kind of change comes.

use std::collections::BTreeSet;

use consensus_core::Draw;
use faults::{Schedule, mutate};

fn swarm(seed: u64) -> Schedule {
    Schedule::swarm(seed, 5.try_into().unwrap())
}

/// What one schedule has that the other has not.
fn differences(one: &Schedule, other: &Schedule) -> Vec<&'static str> {
    let steps = one.steps.iter().zip(&other.steps);
    let same_length = one.steps.len() == other.steps.len();
    let any = |differ: fn(&faults::schedule::Step, &faults::schedule::Step) -> bool| {
        same_length && steps.clone().any(|(one, other)| differ(one, other))
    };
    let times = any(|one, other| {
        one.at != other.at || one.lasts != other.lasts || one.repeat != other.repeat
    });
    let faults = any(|one, other| one.fault != other.fault);
    [
        (one.steps.len() < other.steps.len(), "a step more"),
        (one.steps.len() > other.steps.len(), "a step less"),
        (times, "other times"),
        (faults, "another fault"),
    ]
    .into_iter()
    .filter_map(|(differs, what)| differs.then_some(what))
    .collect()
}

#[test]
fn a_change_makes_another_sound_schedule_and_every_kind_of_change_comes() {
    let mut seen = BTreeSet::new();
    let mut changed = 0;
    for seed in 0..60 {
        let (schedule, other) = (swarm(seed), swarm(seed + 1_000));
        let draw = Draw::new(seed).of("test");
        let Some(mutant) = mutate(&schedule, &other, draw) else { continue };
        changed += 1;
        assert_ne!(mutant.steps, schedule.steps);
        let again = Schedule::parse("mutant.toml", &mutant.to_toml()).unwrap();
        assert_eq!(again, mutant, "it is sound");
        assert_eq!(mutate(&schedule, &other, draw), Some(mutant.clone()), "the same key");
        let rest = Schedule { steps: schedule.steps.clone(), ..mutant.clone() };
        assert_eq!(rest, schedule, "nothing but its steps is changed");
        seen.extend(differences(&schedule, &mutant));
    }
    assert!(changed > 50, "only {changed} of 60 were changed");
    let all = ["a step less", "a step more", "another fault", "other times"];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn whoever_waited_for_a_step_that_is_left_out_waits_on() {
    let text = r#"
        name = "a chain"
        [[step]]
        id = "first"
        at = { after = "start", plus = "1s" }
        fault = { kind = "pause", target = "leader" }
        for = "2s"
        [[step]]
        id = "second"
        at = { after = "first.done", plus = "1s" }
        fault = { kind = "crash", target = "leader" }
        for = "1s""#;
    let chain = Schedule::parse("chain.toml", text).unwrap();
    let mutants = (0..200).filter_map(|key| mutate(&chain, &chain, Draw::new(key)));
    let mut alone = mutants.filter(|mutant| mutant.steps.len() == 1);
    let second = alone.find(|mutant| mutant.steps[0].id == "second").unwrap();
    assert_eq!(second.steps[0].at.after.to_string(), "start");
    assert_eq!(second.steps[0].at.plus.as_secs(), 4);
}
