//! A core of the cluster is healed, and the others never are.

mod toy;

use consensus_core::NodeId;
use faults::{Effect, LinkRule, Schedule, director::Director, links::Channel};

/// A schedule of five replicas of which a core is healed.
fn schedule(steps: &str) -> Schedule {
    let text = format!("name = \"test\"\nheal = \"core\"\nwarmup = \"0s\"\n{steps}");
    Schedule::parse("test.toml", &text).unwrap_or_else(|error| panic!("{error}"))
}

/// A step of this fault, without an end.
fn step(fault: &str) -> String {
    format!(
        "[[step]]\nat = {{ after = \"leader-elected\", plus = \"1s\" }}\nfault = {{ {fault} }}\n"
    )
}

#[test]
fn the_dead_and_the_frozen_of_a_drawn_majority_come_back_and_the_others_do_not() {
    let mut cores = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let steps = [
            step("kind = \"pause\", target = \"node 1\""),
            step("kind = \"crash\", target = \"all\""),
        ];
        let run = toy::run(&schedule(&steps.concat()), seed);
        let core = run.director.core().expect("a core is healed").to_vec();
        assert_eq!(core.len(), 3);
        assert!(run.is_healed());
        let others: Vec<_> =
            toy::members(5).into_iter().filter(|node| !core.contains(node)).collect();
        assert!(run.toy.down.iter().eq(&others), "{:?}", run.toy.down);
        cores.insert(core);
    }
    assert!(cores.len() > 4, "{cores:?}");
}

#[test]
fn an_outsider_that_a_part_of_the_core_lost_is_lost_to_all_of_it_in_that_direction() {
    let cut = "kind = \"partition\", shape = \"links\", channel = \"consensus\"";
    for seed in 0..20 {
        let all: Vec<_> = (1..=5).map(|to| format!("[{}, {to}]", to % 5 + 1)).collect();
        let steps = step(&format!("{cut}, links = [{}]", all.join(", ")));
        let run = toy::run(&schedule(&steps), seed);
        let core = run.director.core().unwrap().to_vec();
        let rules = &run.toy.rules.rules;
        let is_cut = |from, to| rules.contains(&LinkRule::cut(from, to));
        let hit = |from: NodeId, to: NodeId| from.0 == to.0 % 5 + 1;
        for outsider in toy::members(5).into_iter().filter(|node| !core.contains(node)) {
            for direction in [true, false] {
                let ends = |member| if direction { (member, outsider) } else { (outsider, member) };
                let cut = |member| is_cut(ends(member).0, ends(member).1);
                let was = core.iter().any(|&member| hit(ends(member).0, ends(member).1));
                assert!(core.iter().all(|&member| cut(member) == was), "seed {seed}: {rules:?}");
            }
        }
        assert!(run.is_healed());
        assert!(rules.iter().all(|rule| rule.channel != Some(Channel::Consensus)), "{rules:?}");
    }
}

#[test]
fn disks_and_clocks_of_the_core_are_mended() {
    let faults = [
        "kind = \"disk\", target = \"all\", effect = \"stall\"",
        "kind = \"clock\", target = \"all\", rate = 100000",
    ];
    let run = toy::run(&schedule(&faults.map(step).concat()), 7);
    assert!(run.is_healed());
    let stalled = run.toy.disks.values().filter(|rules| !rules.is_clean()).count();
    assert_eq!((stalled, run.toy.clocks.len()), (2, 2));
}

#[test]
fn a_replay_heals_the_core_that_was_healed() {
    let original = toy::run(&schedule(&step("kind = \"crash\", target = \"all\"")), 3);
    let mut resolved = original.director.resolved();
    let core: Vec<_> = [1, 2, 4].map(NodeId).into();
    resolved.core = Some(core.clone());
    let text = resolved.to_toml();
    let resolved = faults::Resolved::parse("resolved.toml", &text).unwrap();
    let members = toy::members(5);
    let again = toy::run_director(Director::replay(&resolved, &members), members, 0);
    assert_eq!(again.director.core(), Some(&core[..]));
    let started = again.actions.iter().find_map(|(_, action)| match &action.effect {
        Effect::Start(nodes) => Some(nodes.clone()),
        _ => None,
    });
    assert_eq!(started, Some(core));
    resolved_with_a_stranger_is_refused(&text);
}

fn resolved_with_a_stranger_is_refused(text: &str) {
    let strange = text.replace("core = [1, 2, 4]", "core = [1, 2, 9]");
    assert_ne!(strange, text);
    let error = faults::Resolved::parse("resolved.toml", &strange).unwrap_err().to_string();
    assert!(error.contains("the cluster has no node 9"), "{error}");
}

#[test]
fn what_has_no_end_is_refused_unless_a_core_is_healed() {
    let text = |heal: &str| {
        format!("name = \"test\"\n{heal}\n{}", step("kind = \"pause\", target = \"leader\""))
    };
    assert!(Schedule::parse("test.toml", &text("heal = \"core\"")).is_ok());
    let error = Schedule::parse("test.toml", &text("")).unwrap_err().to_string();
    assert!(error.contains("a pause without `for` would never be healed"), "{error}");
}
