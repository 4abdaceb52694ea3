//! Every mistake, in every protocol, breaks the verdict that is about it; and under the same seeds
//! of the same schedules the protocols without it break nothing.

use std::collections::BTreeSet;

use checker::Verdicts;
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use planted::{
    Conditions, Mistake, Plant,
    hunt::{examine, hunt_until, judge},
    plants,
    rewrites::Nothing,
    rewritten::Rewritten,
};
use simulator::run;

/// A mistake that shows in none of so many runs aimed at it does not show.
const MOST_SEEDS: u64 = 60;

/// The protocol without the mistake is tried under at least so many seeds.
const LEAST_SEEDS: u64 = 4;

fn assert_caught(mistake: Mistake) {
    for plant in plants(mistake) {
        let Plant { aimed, wrong, right, .. } = plant;
        let catch = hunt_until(wrong, aimed, 0..MOST_SEEDS, mistake.verdict());
        let catch = catch.unwrap_or_else(|| panic!("{plant}, {aimed}: not seen"));
        for seed in 0..=catch.seed.max(LEAST_SEEDS - 1) {
            let found = examine(right, &aimed.config(seed));
            assert_eq!(found, None, "without {plant}, {aimed}, seed {seed}");
        }
    }
}

#[test]
fn a_vote_that_is_not_persisted_is_caught() {
    assert_caught(Mistake::VoteNotPersisted);
}

#[test]
fn a_commit_on_a_minority_is_caught() {
    assert_caught(Mistake::CommitOnAMinority);
}

#[test]
fn an_acknowledgement_before_the_sync_is_caught() {
    assert_caught(Mistake::AcknowledgementBeforeTheSync);
}

#[test]
fn a_read_served_by_a_deposed_leader_is_caught() {
    assert_caught(Mistake::ReadByADeposedLeader);
}

#[test]
fn a_retry_that_is_applied_twice_is_caught() {
    assert_caught(Mistake::RetryAppliedTwice);
}

#[test]
fn an_answer_that_nobody_wrote_is_caught() {
    assert_caught(Mistake::AnswerThatNobodyWrote);
}

/// What no mistake here is about: that these fail is seen in the checker's own tests, on evidence made
/// for it (`checker/tests/rules.rs` and `course.rs`), and of leases with clocks beyond their bound
/// (`simulator/tests/hardware.rs`).
const ON_EVIDENCE_MADE_FOR_IT: [&str; 5] =
    ["lease-reads", "state-agreement", "commit-monotonic", "converged", "not-vacuous"];

/// The tests above see each of the others fail; so these must be all that the checker has.
#[test]
fn every_verdict_is_seen_to_fail() {
    let recording = run::<Raft>(&Conditions::AfterAcknowledged.config(0));
    let verdicts: Verdicts = judge(&recording);
    let all: BTreeSet<_> = verdicts.named().into_iter().map(|(name, _)| name).collect();
    let planted = Mistake::ALL.map(Mistake::verdict);
    let seen: BTreeSet<_> = planted.into_iter().chain(ON_EVIDENCE_MADE_FOR_IT).collect();
    assert_eq!(all, seen);
}

/// Random schedules aim at nothing, and yet find each kind of lost write.
#[test]
fn a_swarm_catches_what_is_lost_with_the_disks() {
    for mistake in [Mistake::CommitOnAMinority, Mistake::AcknowledgementBeforeTheSync] {
        for plant in plants(mistake) {
            let examined = (0..MOST_SEEDS)
                .find(|&seed| examine(plant.wrong, &Conditions::Swarm.config(seed)).is_some());
            assert!(examined.is_some(), "{plant}");
        }
    }
}

/// Schedules whose steps never come to pass would be clean whatever the protocol.
#[test]
fn every_aimed_schedule_strikes() {
    for conditions in Conditions::ALL {
        for simulate in [run::<Raft>, run::<MultiPaxos>] {
            let recording = simulate(&conditions.config(1));
            let trials = &recording.resolved.trials;
            assert!(!trials.is_empty(), "{conditions}");
            let struck = trials.iter().filter(|trial| trial.began.is_some()).count();
            assert!(2 * struck > trials.len(), "{conditions}: {struck} of {}", trials.len());
            assert!(recording.converged.is_some(), "{conditions}: {:#?}", recording.finals);
        }
    }
}

#[test]
fn rewriting_nothing_changes_nothing() {
    let config = Conditions::AfterAcknowledged.config(1);
    assert_eq!(run::<Rewritten<Raft, Nothing>>(&config), run::<Raft>(&config));
    assert_eq!(run::<Rewritten<MultiPaxos, Nothing>>(&config), run::<MultiPaxos>(&config));
}
