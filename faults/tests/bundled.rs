//! The bundled schedules are read, documented, and run to their end.

mod toy;

use faults::{Kind, Schedule};

#[test]
fn every_bundled_schedule_is_what_it_is_called() {
    for named in Schedule::names() {
        let schedule = Schedule::bundled(named.name).unwrap();
        assert_eq!(
            (schedule.name.as_str(), schedule.description.as_str()),
            (named.name, named.description)
        );
        let comment = named.text.lines().take_while(|line| line.starts_with('#')).count();
        assert!(comment >= 4, "{} is not explained", named.name);
    }
    assert!(Schedule::bundled(Schedule::DEFAULT).is_ok());
}

#[test]
fn an_unknown_schedule_is_answered_with_what_exists() {
    let error = Schedule::bundled("leader-hug").unwrap_err().to_string();
    assert!(error.contains("leader-hug") && error.contains("leader-crash"), "{error}");
}

#[test]
fn every_bundled_schedule_runs_to_its_end_and_leaves_nothing_broken() {
    for named in Schedule::names() {
        let schedule = Schedule::bundled(named.name).unwrap();
        for seed in 0..3 {
            let run = toy::run(&schedule, seed);
            let missed: Vec<_> =
                run.trials().iter().filter(|trial| trial.missed.is_some()).collect();
            assert!(missed.is_empty(), "{}: {missed:?}", named.name);
            assert_eq!(run.trials().len() as u32, schedule.trial_count(), "{}", named.name);
            let stays = run.director.core().is_some();
            let ended = run.trials().iter().all(|trial| stays || trial.ended.is_some());
            assert!(ended, "{}", named.name);
            assert!(run.is_healed(), "{}", named.name);
        }
    }
}

#[test]
fn every_bundled_schedule_fits_clusters_of_three_and_seven() {
    for named in Schedule::names() {
        for nodes in [3, 7] {
            let schedule = Schedule::bundled(named.name).unwrap();
            match schedule.with_nodes(nodes.try_into().unwrap()) {
                Ok(resized) => assert!(toy::run(&resized, 1).is_healed(), "{}", named.name),
                // With one other, a leader of three has a quorum.
                Err(error) => {
                    let hub = ["quorum-loss", "constrained-election"].contains(&named.name);
                    assert!(hub && nodes == 3, "{error}");
                }
            }
        }
    }
}

#[test]
fn the_default_kills_ten_leaders_in_about_a_minute() {
    let run = toy::run(&Schedule::bundled("leader-crash").unwrap(), 7);
    assert_eq!(toy::kinds(&run)[&Kind::Crash], 10);
    assert!(
        run.trials()
            .iter()
            .all(|trial| trial.nodes == trial.leader.into_iter().collect::<Vec<_>>())
    );
    let seconds = run.ended.0 / 1_000_000_000;
    assert!((50..70).contains(&seconds), "{seconds} s");
}

#[test]
fn the_story_brings_back_only_those_who_were_deleted() {
    let run = toy::run(&Schedule::bundled("the-story").unwrap(), 7);
    let find = |step: &str| run.trials().iter().find(|trial| trial.step == step).unwrap();
    assert_eq!(find("delete").nodes.len(), 2);
    assert_eq!(find("bring-back").nodes, find("delete").nodes);
    assert_eq!(find("bring-back").ended, find("delete").ended);
    let values: Vec<_> = run.toy.puts.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["before", "while two were gone", "behind its back", "ever after"]);
}
