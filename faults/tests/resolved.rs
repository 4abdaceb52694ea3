//! The same seed does the same; what a run did can be repeated literally; the digest knows neither.

mod toy;

use std::collections::BTreeSet;

use faults::{
    Action, Director, Effect, Resolved, Schedule, Trial,
    director::Cast,
    schedule::{Kind, Step},
};
use proptest::prelude::*;

/// What was done, when, without whose step it was.
fn deeds(run: &toy::Run) -> Vec<(u64, String)> {
    let effect =
        |action: &Action| format!("{:?} {} {:?}", action.effect, action.step, action.phase);
    run.actions.iter().map(|(at, action)| (at.0, effect(action))).collect()
}

#[test]
fn the_digest_is_stable_and_tells_seeds_and_schedules_apart() {
    let schedule = Schedule::bundled("leader-crash").unwrap();
    let digest = schedule.digest(7);
    assert_eq!((digest.len(), &digest), (64, &schedule.digest(7)));
    let mut digests = BTreeSet::from([digest.clone()]);
    for named in Schedule::names() {
        for seed in 0..3 {
            assert!(digests.insert(Schedule::bundled(named.name).unwrap().digest(seed)));
        }
    }
    let told_otherwise = Schedule { description: "in other words".into(), ..schedule.clone() };
    assert_eq!(told_otherwise.digest(7), digest);
    let again = Schedule::parse("again.toml", &schedule.to_toml()).unwrap();
    assert_eq!(again.digest(7), digest);
}

#[test]
fn a_digest_does_not_change_by_accident() {
    // A published run's digest must be recomputable: if this changes, so has the format's version.
    let text = "name = \"fixed\"\n[[step]]\nid = \"x\"\nat = { after = \"start\", jitter = \"1s\" }\n\
        for = \"1s\"\nfault = { kind = \"crash\", target = \"leader\" }\n";
    let digest = Schedule::parse("fixed.toml", text).unwrap().digest(1);
    assert_eq!(digest, "6a0edb6b52afc6b54d7f41fea077cbb16d1b4907c32d67feb37708d2973a4e9e");
}

#[test]
fn clusters_that_elect_differently_meet_the_same_schedule() {
    let schedule = Schedule::bundled("leader-crash").unwrap();
    let members = toy::members(5);
    let play = |favourite| {
        toy::run_director(Director::new(&schedule, 5, &members), members.clone(), favourite)
    };
    let (one, other) = (play(0), play(3));
    assert_eq!(one.director.resolved().digest, other.director.resolved().digest);
    let planned =
        |run: &toy::Run| run.trials().iter().map(|trial| trial.planned).collect::<Vec<_>>();
    assert_eq!(planned(&one), planned(&other));
    let nodes =
        |run: &toy::Run| run.trials().iter().map(|trial| trial.nodes.clone()).collect::<Vec<_>>();
    assert_ne!(nodes(&one), nodes(&other));

    // Literally replayed, the other cluster loses the same replicas at the same times.
    let resolved = one.director.resolved();
    let literal = toy::run_director(Director::replay(&resolved, &members), members.clone(), 3);
    assert_eq!(deeds(&literal), deeds(&one));
    assert!(literal.is_healed());

    // By roles, it loses its own leaders at the same times.
    let director = Director::replay(&resolved, &members).with_cast(Cast::Roles);
    let roles = toy::run_director(director, members, 3);
    let began = |run: &toy::Run| run.trials().iter().map(|trial| trial.began).collect::<Vec<_>>();
    assert_eq!(began(&roles), began(&one));
    assert_ne!(nodes(&roles), nodes(&one));
    let parts = |run: &toy::Run| {
        let hits = |trial: &Trial| trial.leader.is_some_and(|leader| trial.nodes.contains(&leader));
        run.trials().iter().map(hits).collect::<Vec<_>>()
    };
    assert_eq!(parts(&roles), parts(&one));
    assert!(roles.is_healed());
}

#[test]
fn a_resolved_schedule_is_written_and_read_back() {
    let run = toy::run(&Schedule::bundled("the-story").unwrap(), u64::MAX);
    let resolved = run.director.resolved();
    assert_eq!(Resolved::parse("schedule.resolved.toml", &resolved.to_toml()).unwrap(), resolved);
}

#[test]
fn a_resolved_schedule_that_was_tampered_with_is_refused() {
    let run = toy::run(&Schedule::bundled("the-story").unwrap(), 3);
    let text = run.director.resolved().to_toml();
    let tampered = [
        ("\"leader\"", "\"king\"", "king"),
        ("seed = \"3\"", "seed = \"4\"", "digest"),
        ("step = \"cut\"", "step = \"cute\"", "no partition `cute`"),
        ("nodes = [", "nodes = [8, ", "no node 8"),
    ];
    for (what, with, why) in tampered {
        assert!(text.contains(what), "{text}");
        let broken = text.replacen(what, with, 1);
        let error = Resolved::parse("schedule.resolved.toml", &broken).unwrap_err().to_string();
        assert!(error.contains("schedule.resolved.toml") && error.contains(why), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, max_global_rejects: 100_000, ..Default::default() })]

    #[test]
    fn the_same_seed_does_the_same(seed: u64, nodes in 1usize..8) {
        let schedule = Schedule::swarm(seed, nodes.try_into().unwrap());
        let (one, other) = (toy::run(&schedule, seed), toy::run(&schedule, seed));
        prop_assert_eq!(deeds(&one), deeds(&other));
        prop_assert_eq!(one.director.resolved(), other.director.resolved());
    }

    #[test]
    fn a_replay_does_the_same_on_a_cluster_that_elects_differently(seed: u64, nodes in 1usize..8) {
        let schedule = Schedule::swarm(seed, nodes.try_into().unwrap());
        // A change of the members ends when the cluster answers, and what is done from then on goes by
        // the members that there are: another cluster's answers come at other times.
        let asks = |step: &Step| {
            step.fault.kind().changes_members() || step.fault.kind() == Kind::Transfer
        };
        prop_assume!(!schedule.steps.iter().any(asks));
        let original = toy::run(&schedule, seed);
        let text = original.director.resolved().to_toml();
        let resolved = Resolved::parse("resolved.toml", &text).unwrap();
        let members = toy::members(nodes);
        let replay = toy::run_director(Director::replay(&resolved, &members), members, seed % 3);
        // A step that waited for another to be done begins with it in the same instant, which has no
        // order that a record could tell.
        let sorted = |run| {
            let mut deeds = deeds(run);
            deeds.sort();
            deeds
        };
        prop_assert_eq!(sorted(&replay), sorted(&original));
        prop_assert!(replay.is_healed());
        let told = replay.director.resolved();
        let facts = |resolved: &Resolved| {
            let trials = resolved.trials.iter().cloned();
            // What an administrator asks for ends when the cluster answers.
            let ended = |trial: &Trial| trial.ended.filter(|_| trial.answer.is_none());
            let fact = |trial: Trial| Trial { leader: None, ended: ended(&trial), ..trial };
            trials.map(fact).collect::<Vec<_>>()
        };
        prop_assert_eq!(facts(&told), facts(&resolved));
        let later = told.healed.zip(resolved.healed).map(|(told, then)| told.abs_diff(then));
        prop_assert!(later.is_some_and(|later| later < toy::ANSWER), "{later:?} later");
    }

    /// No draw depends on the others: taking a step out leaves the rest as it was.
    #[test]
    fn a_step_taken_out_changes_no_other(seed in 0u64..500) {
        let schedule = Schedule::swarm(seed, 5.try_into().unwrap());
        prop_assume!(schedule.steps.len() > 1);
        let less = Schedule { steps: schedule.steps[1..].to_vec(), ..schedule.clone() };
        let planned = |schedule: &Schedule, step: &str| {
            let run = toy::run(schedule, seed);
            let first = run.trials().iter().find(|trial| trial.step == step).cloned();
            first.map(|trial| trial.planned)
        };
        for step in less.steps.iter().filter(|step| !step.at.after.is_event()) {
            if step.at.after == faults::schedule::Anchor::Start {
                prop_assert_eq!(planned(&schedule, &step.id), planned(&less, &step.id));
            }
        }
    }
}

#[test]
fn partition_shapes_cut_what_they_are_called() {
    let cuts = |shape: &str| {
        let text = format!(
            "name = \"a\"\n[[step]]\nat = {{ after = \"start\" }}\nfor = \"1s\"\n\
             fault = {{ kind = \"partition\", {shape} }}\n"
        );
        let run = toy::run(&Schedule::parse("a.toml", &text).unwrap(), 4);
        let rules = run.actions.iter().find_map(|(_, action)| match &action.effect {
            Effect::Links(rules) => Some(rules.rules.clone()),
            _ => None,
        });
        let rules = rules.unwrap();
        assert!(rules.iter().all(faults::LinkRule::is_cut));
        let sees = |node: u64| {
            let others = (1..=5).filter(|&other| {
                other != node && !rules.iter().any(|rule| rule.from.0 == node && rule.to.0 == other)
            });
            others.count()
        };
        let mut reach: Vec<_> = (1..=5).map(sees).collect();
        reach.sort_unstable();
        reach
    };
    // How many others each replica still reaches, of five.
    assert_eq!(cuts("shape = \"isolate\", target = \"leader\""), [0, 3, 3, 3, 3]);
    assert_eq!(
        cuts("shape = \"isolate\", target = \"leader\", direction = \"outbound\""),
        [0, 4, 4, 4, 4]
    );
    assert_eq!(
        cuts("shape = \"isolate\", target = \"leader\", direction = \"inbound\""),
        [3, 3, 3, 3, 4]
    );
    assert_eq!(cuts("shape = \"halves\""), [1, 1, 2, 2, 2]);
    assert_eq!(cuts("shape = \"minority\", target = \"leader\""), [1, 1, 2, 2, 2]);
    assert_eq!(cuts("shape = \"majority\", target = \"leader\""), [1, 1, 2, 2, 2]);
    assert_eq!(cuts("shape = \"bridge\""), [2, 2, 2, 2, 4]);
    assert_eq!(cuts("shape = \"ring\""), [2, 2, 2, 2, 2]);
    assert_eq!(cuts("shape = \"quorum-loss\""), [1, 1, 1, 1, 4]);
    assert_eq!(cuts("shape = \"quorum-loss\", direction = \"inbound\""), [1, 1, 1, 4, 4]);
    assert_eq!(cuts("shape = \"quorum-loss\", direction = \"outbound\""), [1, 2, 2, 2, 4]);
    assert_eq!(cuts("shape = \"constrained-election\""), [0, 1, 1, 1, 3]);
    assert_eq!(cuts("shape = \"constrained-election\", direction = \"inbound\""), [1, 1, 1, 3, 4]);
    assert_eq!(cuts("shape = \"chained\""), [3, 3, 4, 4, 4]);
    assert_eq!(cuts("shape = \"chained\", direction = \"outbound\""), [3, 4, 4, 4, 4]);
    assert_eq!(cuts("shape = \"groups\", groups = [[1, 2], [3, 4]]"), [0, 1, 1, 1, 1]);
    assert_eq!(cuts("shape = \"links\", links = [[1, 2]]"), [3, 4, 4, 4, 4]);
}
