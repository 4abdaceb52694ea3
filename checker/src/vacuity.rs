//! Not vacuous: there was something to judge. A clean verdict on a run in which nothing happened
//! says nothing.
//!
//! What is missing is no violation: the verdict is undecided, and says what the run lacks. A load too
//! light for two operations to meet is somebody's choice, and only told.

use std::time::Duration;

use consensus_core::{
    Event, NodeId, Time,
    history::{Observed, Operation},
};

use crate::{Coverage, Evidence, Fault, Faults, Verdict};

/// So long without its leader, every cluster with a quorum elects another: many times the longest
/// election timeout.
const LONG: Duration = Duration::from_secs(3);

/// Judges whether operations overlapped, faults met them, and a dead leader was followed by another.
pub fn check(evidence: &Evidence<'_>, coverage: &Coverage) -> Verdict {
    if coverage.total().ok == 0 {
        return Verdict::undecided("the run is vacuous: no operation was answered");
    }
    let Some(Faults { planned, struck, .. }) = evidence.faults else {
        return Verdict::not_judged("nobody recorded which faults were planned and struck");
    };
    if let Some(what) = lacking(evidence, planned, struck) {
        return Verdict::undecided(format!("the run is vacuous: {what}"));
    }
    match coverage.overlapping {
        0 => Verdict::not_judged(
            "no operation overlapped another one of its key: under so light \
             a load there was little to get wrong",
        ),
        _ => Verdict::Ok,
    }
}

fn lacking(evidence: &Evidence<'_>, planned: u64, faults: &[Fault]) -> Option<String> {
    if faults.is_empty() {
        return (planned > 0).then(|| format!("none of the {planned} planned faults struck"));
    }
    let met = |fault: &Fault| evidence.operations.iter().any(|operation| meets(fault, operation));
    if !faults.iter().any(met) {
        return Some("no operation was under way during a fault".to_owned());
    }
    let death = faults.iter().find(|fault| buries_a_leader(fault, evidence.observed))?;
    let elected = evidence.observed.iter().filter(|seen| is_election(seen));
    let succeeded = elected.into_iter().any(|seen| seen.at >= death.from);
    (!succeeded).then(|| "a leader was struck down, and nobody ever led after it".to_owned())
}

fn meets(fault: &Fault, operation: &Operation) -> bool {
    let began_before_its_end = fault.until.is_none_or(|until| operation.invoked <= until);
    began_before_its_end && operation.completed.is_none_or(|completed| completed >= fault.from)
}

/// Whether a fault ended the process of whoever led, for long enough to matter.
fn buries_a_leader(fault: &Fault, observed: &[Observed]) -> bool {
    let is_long = fault.until.is_none_or(|until| until.since(fault.from) >= LONG);
    let leader = leader_at(observed, fault.from);
    fault.ends_processes && is_long && leader.is_some_and(|leader| fault.nodes.contains(&leader))
}

/// Who won the last election before this time.
fn leader_at(observed: &[Observed], at: Time) -> Option<NodeId> {
    let before = observed.iter().filter(|seen| is_election(seen) && seen.at < at);
    before.max_by_key(|seen| seen.at).map(|seen| seen.node)
}

const fn is_election(seen: &Observed) -> bool {
    matches!(seen.event, Event::Elected { .. })
}
