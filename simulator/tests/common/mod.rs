//! What the tests of whole runs share.

// Each test file is a program of its own, and none uses everything.
#![allow(dead_code)]

use checker::{Evidence, StateDigest, Verdicts};
use consensus_core::{Event, NodeId, Time, history::Outcome};
use faults::Schedule;
use simulator::{Recording, SimulationConfig};

/// A run of this schedule under this seed.
pub fn config(schedule: &str, seed: u64) -> SimulationConfig {
    SimulationConfig::new(Schedule::parse("test", schedule).unwrap(), seed)
}

/// What the checker says of a run.
pub fn judge(recording: &Recording) -> Verdicts {
    let states: Vec<_> = recording
        .known_states()
        .map(|end| StateDigest { node: end.node, applied: end.applied, digest: end.digest })
        .collect();
    checker::check(&Evidence {
        operations: &recording.operations,
        applied: &recording.applied,
        observed: &recording.observed,
        states: &states,
        ..Evidence::default()
    })
}

/// Asserts that nothing was violated or left undecided, and that all replicas agreed in the end.
pub fn assert_good(recording: &Recording, what: &str) {
    let verdicts = judge(recording);
    // Whether there was much to judge is not these tests' matter: their loads are small.
    let rules = verdicts.named().into_iter().filter(|(rule, _)| *rule != "not-vacuous");
    assert!(rules.into_iter().all(|(_, verdict)| verdict.passes()), "{what}: {verdicts}");
    assert!(recording.converged.is_some(), "{what}: no agreement: {:#?}", recording.finals);
}

/// Who was elected, and when.
pub fn elections(recording: &Recording) -> Vec<(Time, NodeId)> {
    let elected = recording.observed.iter().filter(|o| matches!(o.event, Event::Elected { .. }));
    elected.map(|observed| (observed.at, observed.node)).collect()
}

/// How many operations that were meant for this span of time were acknowledged.
pub fn served(recording: &Recording, from: Time, to: Time) -> usize {
    let meant = recording.operations.iter().filter(|o| (from..to).contains(&o.intended));
    meant.filter(|operation| operation.outcome.is_ok()).count()
}

/// How many operations ended in each way: done, certainly not done, unknown.
pub fn tally(recording: &Recording) -> [usize; 3] {
    let mut tally = [0; 3];
    for operation in &recording.operations {
        match operation.outcome {
            Outcome::Ok { .. } => tally[0] += 1,
            Outcome::Failed(_) => tally[1] += 1,
            Outcome::Unknown(_) => tally[2] += 1,
        }
    }
    tally
}
