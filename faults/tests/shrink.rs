//! What is shrunk still fails, is no larger, and needs every step that is left.

use std::collections::BTreeSet;

use consensus_core::Draw;
use faults::{Fault, Kind, Schedule, Shrunk, director::Trial, schedule::Step, shrink};
use proptest::prelude::*;

mod toy;

const BUDGET: usize = 5_000;

fn swarm(seed: u64) -> Schedule {
    Schedule::swarm(seed, 7.try_into().unwrap())
}

fn has(schedule: &Schedule, kind: Kind) -> bool {
    schedule.steps.iter().any(|step| step.fault.kind() == kind)
}

/// A drawn schedule with faults of both kinds, and some more.
fn with(one: Kind, other: Kind) -> (u64, Schedule) {
    let seeds = (0..).map(|seed| (seed, swarm(seed)));
    let mut fitting =
        seeds.filter(|(_, drawn)| has(drawn, one) && has(drawn, other) && drawn.steps.len() > 5);
    fitting.next().unwrap()
}

#[test]
fn a_dozen_faults_become_the_two_that_matter() {
    let (_, drawn) = with(Kind::Crash, Kind::Partition);
    let fails = |schedule: &Schedule| has(schedule, Kind::Crash) && has(schedule, Kind::Partition);
    let Shrunk { schedule, complete, .. } = shrink(&drawn, BUDGET, fails).unwrap();
    let text = schedule.to_short_toml();
    assert!(complete && schedule.steps.len() == 2, "{text}");
    assert!(schedule.steps.iter().all(|step| step.repeat.is_none()), "{text}");
    // Some shapes of a partition take four.
    assert!(schedule.settings.is_empty() && schedule.nodes.get() <= 4, "{text}");
    assert!(schedule.load.rate <= 1.0 && schedule.settle.is_zero(), "{text}");
    assert!(text.lines().count() < 20, "{text}");
    assert_eq!(Schedule::parse("shrunk.toml", &text).unwrap(), schedule);
}

#[test]
fn a_number_that_matters_shrinks_no_further_than_it_may() {
    let (_, drawn) = with(Kind::Pause, Kind::Link);
    let long = |step: &Step| {
        step.fault.kind() == Kind::Pause && step.lasts.is_some_and(|lasts| lasts.as_millis() >= 90)
    };
    let fails = |schedule: &Schedule| schedule.steps.iter().any(long) && schedule.load.rate >= 40.0;
    let Some(Shrunk { schedule, .. }) = shrink(&drawn, BUDGET, fails) else { panic!("{drawn:?}") };
    let lasts = schedule.steps[0].lasts.unwrap().as_millis();
    assert!(schedule.steps.len() == 1 && (90..120).contains(&lasts), "{lasts} ms");
    assert!((40.0..80.0).contains(&schedule.load.rate), "{}", schedule.load.rate);
}

#[test]
fn who_waited_for_a_step_that_is_left_out_waits_for_what_that_one_waited_for() {
    let text = r#"
        name = "a chain"
        [[step]]
        id = "first"
        at = { after = "elected", count = 2, plus = "1s" }
        fault = { kind = "pause", target = "leader" }
        for = "2s"
        repeat = { times = 3, every = "5s" }
        [[step]]
        id = "second"
        at = { after = "first.done", plus = "1s" }
        fault = { kind = "put", key = "x", value = "1" }"#;
    let chain = Schedule::parse("chain.toml", text).unwrap();
    // When the put comes matters as well.
    let fails = |schedule: &Schedule| {
        let put = schedule.steps.iter().find(|step| step.id == "second");
        put.is_some_and(|put| {
            put.at.plus.as_secs() >= if schedule.steps.len() > 1 { 1 } else { 14 }
        })
    };
    let shrunk = shrink(&chain, BUDGET, fails).unwrap().schedule;
    let [put] = &shrunk.steps[..] else { panic!("{shrunk:?}") };
    assert_eq!((put.at.after.to_string().as_str(), put.at.plus.as_secs()), ("elected", 14));
}

#[test]
fn what_does_not_fail_is_not_shrunk_and_a_budget_is_kept() {
    assert_eq!(shrink(&swarm(1), BUDGET, |_| false), None);
    for budget in [1, 2, 10, 100] {
        let mut tries = 0;
        let shrunk = shrink(&swarm(1), budget, |schedule| {
            tries += 1;
            schedule.steps.len() > 1
        });
        let shrunk = shrunk.unwrap();
        assert_eq!(shrunk.tries, tries);
        assert!(tries <= budget, "{tries} of {budget}");
        assert!(shrunk.complete || tries == budget);
        assert!(!shrunk.complete || budget > 10, "{budget} tries are too few for all of it");
        assert!(shrunk.schedule.steps.len() > 1);
    }
}

#[test]
fn what_is_left_is_a_fixed_point_and_nothing_is_tried_twice() {
    let (_, drawn) = with(Kind::Pause, Kind::Crash);
    // The crash is needless only once the pause is short.
    let short = |step: &Step| step.lasts.is_some_and(|lasts| lasts.as_millis() < 200);
    let pause = |step: &&Step| step.fault.kind() == Kind::Pause;
    let fails = |schedule: &Schedule| {
        let paused = schedule.steps.iter().find(pause);
        paused.is_some_and(|step| has(schedule, Kind::Crash) || short(step))
    };
    let mut tried = BTreeSet::new();
    let shrunk = shrink(&drawn, BUDGET, |schedule| {
        assert!(tried.insert(schedule.to_toml()), "twice: {}", schedule.to_toml());
        fails(schedule)
    });
    let Shrunk { schedule, complete, .. } = shrunk.unwrap();
    assert!(complete && schedule.steps.len() == 1, "{}", schedule.to_short_toml());
    assert_eq!(shrink(&schedule, BUDGET, fails).unwrap().schedule, schedule);
}

#[test]
fn settings_and_disks_that_matter_stay_and_the_others_go() {
    let mut drawn = swarm(3);
    drawn.settings.leases = Some(true);
    drawn.settings.retained = "4KiB".parse().ok();
    drawn.simulation.sync = "0s..20ms".parse().ok();
    drawn.simulation.chunk_bytes = Some(1_000);
    let slow = |schedule: &Schedule| {
        let sync = schedule.simulation.sync.as_ref();
        sync.is_some_and(|sync| sync.median().as_millis() >= 5)
    };
    let fails = |schedule: &Schedule| schedule.settings.leases == Some(true) && slow(schedule);
    let schedule = shrink(&drawn, BUDGET, fails).unwrap().schedule;
    let text = schedule.to_short_toml();
    assert!(schedule.settings.leases == Some(true) && slow(&schedule), "{text}");
    assert!(schedule.settings.retained.is_none() && schedule.steps.is_empty(), "{text}");
    assert!(schedule.simulation.chunk_bytes.is_none(), "{text}");
}

/// Something that fails under a real director: faults of these kinds strike, that far apart at most.
fn overlap(schedule: &Schedule, seed: u64, kinds: (Kind, Kind)) -> bool {
    let run = toy::run(schedule, seed);
    let struck = |kind: Kind| {
        let of = move |trial: &&Trial| trial.kind == kind && trial.began.is_some();
        run.trials().iter().filter(of).map(|trial| trial.began.unwrap()).collect::<Vec<_>>()
    };
    let (one, other) = (struck(kinds.0), struck(kinds.1));
    one.iter().any(|one| other.iter().any(|other| one.abs_diff(*other).as_millis() < 700))
}

/// How large a schedule is, each number by itself.
fn sizes(schedule: &Schedule) -> [f64; 6] {
    let seconds = |step: &Step| (step.lasts.unwrap_or_default() + step.every()).as_secs_f64();
    [
        schedule.steps.len() as f64,
        f64::from(schedule.trial_count()),
        schedule.nodes.get() as f64,
        schedule.load.rate,
        f64::from(schedule.load.keys.get()),
        schedule.steps.iter().map(seconds).sum::<f64>(),
    ]
}

fn without(schedule: &Schedule, place: usize) -> Option<Schedule> {
    let mut fewer = schedule.clone();
    fewer.steps.remove(place);
    Schedule::parse("fewer", &fewer.to_toml()).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]
    #[test]
    fn the_shrunk_schedule_fails_is_no_larger_and_needs_every_step(seed: u64, salt: u64) {
        let drawn = swarm(seed);
        let kind = |purpose| Kind::ALL[Draw::new(salt).of(purpose).below(Kind::ALL.len() as u64) as usize];
        let kinds = (kind("one"), kind("other"));
        let fails = |schedule: &Schedule| overlap(schedule, seed, kinds);
        match shrink(&drawn, BUDGET, fails) {
            None => prop_assert!(!fails(&drawn)),
            Some(Shrunk { schedule, complete, .. }) => {
                prop_assert!(complete);
                prop_assert!(fails(&schedule));
                // To bring somebody back who is dead takes a crash before: each of the two may need another.
                prop_assert!(schedule.steps.len() <= 4, "{}", schedule.to_short_toml());
                for (less, more) in sizes(&schedule).into_iter().zip(sizes(&drawn)) {
                    prop_assert!(less <= more, "{}", schedule.to_short_toml());
                }
                for place in 0..schedule.steps.len() {
                    prop_assert!(without(&schedule, place).is_none_or(|fewer| !fails(&fewer)));
                }
                let again = Schedule::parse("again", &schedule.to_short_toml()).unwrap();
                prop_assert_eq!(&again, &schedule);
                prop_assert_eq!(shrink(&drawn, BUDGET, fails).unwrap().schedule, again);
            }
        }
    }
}

#[test]
fn every_bundled_schedule_is_written_short_and_read_back() {
    for named in Schedule::names() {
        let schedule = Schedule::bundled(named.name).unwrap();
        let short = schedule.to_short_toml();
        assert_eq!(Schedule::parse(named.name, &short).unwrap(), schedule, "{short}");
        assert!(short.len() < schedule.to_toml().len(), "{short}");
    }
    let crash = Schedule::bundled("leader-crash").unwrap();
    assert!(matches!(crash.steps[0].fault, Fault::Crash(_)));
    println!("{}", crash.to_short_toml());
}
