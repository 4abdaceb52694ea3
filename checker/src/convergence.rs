//! Convergence: once the last fault is healed, all members come to follow one leader and to know
//! committed whatever was known committed anywhere by then. Where only a core was healed, its members
//! must, whatever goes on at the others.
//!
//! Safety says what must never happen, and a cluster that does nothing is safe. This is the other
//! half, as far as one run can show it: that it came to pass, not how soon. A schedule sets the time
//! for it (`after_heal`).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use consensus_core::{
    Event, NodeId, Time,
    history::{Observed, Sample},
};

use crate::{Counterexample, Evidence, Fault, Faults, Verdict};

/// How long after the last fault a run must have gone on before it may be blamed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Judges the samples of the replicas' states.
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let Some(Faults { struck, core, .. }) = evidence.faults else {
        return Verdict::not_judged("nobody recorded which faults struck, and until when");
    };
    let mut samples: Vec<&Sample> = evidence.samples.iter().collect();
    samples.sort_by_key(|sample| sample.at);
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Verdict::not_judged("the replicas' states were not sampled");
    };
    let healed = match core {
        Some(core) => Some(core.healed),
        None => healed(struck, first.at),
    };
    let Some(healed) = healed else {
        return Verdict::not_judged("not every fault was healed before the run ended");
    };
    let members = match core {
        Some(core) => core.nodes.clone(),
        None => members(evidence.observed, &samples, struck),
    };
    let known = samples.iter().filter(|sample| sample.at <= healed);
    let target = known.map(|sample| sample.commit).max().unwrap_or_default();
    let mut latest: BTreeMap<NodeId, &Sample> = BTreeMap::new();
    let after = samples.iter().filter(|sample| sample.at > healed);
    for sample in after {
        latest.insert(sample.node, sample);
        if laggard(&members, &latest, target).is_none() {
            return Verdict::Ok;
        }
    }
    let watched = last.at.since(healed);
    if watched < PATIENCE {
        let why = format!("the run ended {watched:.1?} after its last fault was healed");
        return Verdict::not_judged(why);
    }
    let why = laggard(&members, &latest, target).unwrap_or_default();
    Counterexample::new(format!("{watched:.1?} after the last fault was healed, {why}")).into()
}

/// When the last fault was healed; the run's beginning if there was none, `None` if it never was.
fn healed(faults: &[Fault], beginning: Time) -> Option<Time> {
    faults.iter().try_fold(beginning, |latest, fault| Some(latest.max(fault.until?)))
}

/// Who decides at the end: the configuration that whoever leads then noted last; one that somebody
/// else noted may have been replaced. If it noted none, those who were there before the first fault:
/// whoever came later was never taken in.
fn members(observed: &[Observed], samples: &[&Sample], struck: &[Fault]) -> Vec<NodeId> {
    let leader = samples.iter().rev().find_map(|sample| sample.leader);
    let by_leader = observed.iter().filter(|seen| Some(seen.node) == leader);
    let configurations = by_leader.filter_map(|seen| match &seen.event {
        Event::Reconfigured { from, configuration } => Some(((seen.at, *from), configuration)),
        _ => None,
    });
    if let Some((_, latest)) = configurations.max_by_key(|&(place, _)| place) {
        return latest.voters.to_vec();
    }
    let seen = samples.first().map(|sample| sample.at);
    let first = struck.iter().map(|fault| fault.from).min().max(seen);
    let there = |sample: &&&Sample| struck.is_empty() || Some(sample.at) <= first;
    let all: BTreeSet<_> = samples.iter().filter(there).map(|sample| sample.node).collect();
    all.into_iter().collect()
}

/// Which member is not there yet, in words.
fn laggard(members: &[NodeId], latest: &BTreeMap<NodeId, &Sample>, target: u64) -> Option<String> {
    let mut leader = None;
    for &node in members {
        let Some(sample) = latest.get(&node).filter(|sample| sample.up) else {
            return Some(format!("node {node} does not run"));
        };
        let Some(followed) = sample.leader else {
            return Some(format!("node {node} follows nobody"));
        };
        if sample.commit < target {
            return Some(format!(
                "node {node} knows no more than {} committed, of {target} that were known before",
                sample.commit
            ));
        }
        match leader {
            Some((other, another)) if another != followed => {
                return Some(format!(
                    "node {other} follows node {another} and node {node} follows node {followed}"
                ));
            }
            _ => leader = Some((node, followed)),
        }
    }
    None
}
