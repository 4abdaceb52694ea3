//! Every mistake that is compiled shows under the conditions aimed at it; and under the same seeds of the
//! same conditions the protocols without it show nothing.

use std::collections::BTreeSet;

use checker::Verdicts;
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use planted::{
    Plant, Subject,
    conditions::{ALL, Conditions, SWARM},
    examine,
    finding::judge,
    first_catch, plants,
    rewrites::Nothing,
    rewritten::Rewritten,
};
use simulator::run;

/// A mistake that shows in none of so many runs aimed at it does not show.
const MOST_SEEDS: u64 = 60;

/// The protocol without the mistake is tried under at least so many seeds.
const LEAST_SEEDS: u64 = 4;

/// What the tests compile, in each protocol: what is rewritten, and the handful of `patched`.
const AT_LEAST: usize = 11;

fn assert_caught(subject: Subject) {
    let plants: Vec<_> = plants().into_iter().filter(|plant| plant.subject == subject).collect();
    assert!(plants.len() >= AT_LEAST, "{plants:#?}");
    for plant in plants {
        let Plant { aimed, wrong, right, .. } = plant;
        let catch = first_catch(wrong, aimed, 0..MOST_SEEDS, |found| plant.is_shown_by(found));
        let catch = catch.unwrap_or_else(|| panic!("{plant}, {aimed}: not seen"));
        for seed in 0..=catch.seed.max(LEAST_SEEDS - 1) {
            let found = examine(right, aimed, aimed.schedule(seed), seed);
            assert_eq!(found, None, "without {plant}, {aimed}, seed {seed}");
        }
    }
}

#[test]
fn every_mistake_in_raft_shows_under_the_conditions_aimed_at_it() {
    assert_caught(Subject::Raft);
}

#[test]
fn every_mistake_in_multipaxos_shows_under_the_conditions_aimed_at_it() {
    assert_caught(Subject::MultiPaxos);
}

/// What no mistake here is about: that these fail is seen in the checker's own tests, on evidence made
/// for it (`checker/tests/rules.rs` and `course.rs`), and of leases with clocks beyond their bound
/// (`simulator/tests/hardware.rs`).
const ON_EVIDENCE_MADE_FOR_IT: [&str; 5] =
    ["lease-reads", "state-agreement", "commit-monotonic", "converged", "not-vacuous"];

/// The tests above see each of the others fail; so these must be all that the checker has.
#[test]
fn every_verdict_is_seen_to_fail() {
    let recording = run::<Raft>(&named("after-acknowledged").config(0));
    let verdicts: Verdicts = judge(&recording);
    let all: BTreeSet<_> = verdicts.named().into_iter().map(|(name, _)| name).collect();
    let told = plants().into_iter().filter_map(|plant| plant.tells);
    let seen: BTreeSet<_> = told.chain(ON_EVIDENCE_MADE_FOR_IT).collect();
    assert_eq!(all, seen);
}

/// Random schedules aim at nothing, and yet find each kind of lost write.
#[test]
fn a_swarm_catches_what_is_lost_with_the_disks() {
    let lost = ["a commit on a minority", "an acknowledgement before the sync"];
    for plant in plants().into_iter().filter(|plant| lost.contains(&plant.mistake)) {
        let catch = first_catch(plant.wrong, &SWARM, 0..MOST_SEEDS, |_| true);
        assert!(catch.is_some(), "{plant}");
    }
}

/// Schedules whose steps never come to pass would be clean whatever the protocol.
#[test]
fn every_schedule_strikes() {
    for conditions in &ALL {
        for subject in Subject::ALL {
            let recording = subject.simulate()(&conditions.config(1));
            let trials = &recording.resolved.trials;
            assert!(!trials.is_empty(), "{conditions}");
            let struck = trials.iter().filter(|trial| trial.began.is_some()).count();
            assert!(2 * struck > trials.len(), "{conditions}: {struck} of {}", trials.len());
        }
    }
}

#[test]
fn rewriting_nothing_changes_nothing() {
    let config = named("after-acknowledged").config(1);
    assert_eq!(run::<Rewritten<Raft, Nothing>>(&config), run::<Raft>(&config));
    assert_eq!(run::<Rewritten<MultiPaxos, Nothing>>(&config), run::<MultiPaxos>(&config));
}

fn named(name: &str) -> &'static Conditions {
    Conditions::named(name).unwrap_or_else(|| panic!("there are no conditions {name}"))
}
