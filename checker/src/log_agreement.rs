//! One log: all replicas apply the same entries at the same positions, and restarts change nothing.

use std::collections::{BTreeMap, BTreeSet};

use consensus_core::{
    Event, NodeId,
    history::Applied,
    id::{Index, SessionId},
};

use crate::{Counterexample, Evidence, Verdict};

/// Judges the applied entries.
///
/// Epochs are not compared: a Multi-Paxos leader proposes an inherited value again under its own
/// ballot, so replicas may learn one decision under different ballots.
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    if let Some(counterexample) = in_order(evidence) {
        return counterexample.into();
    }
    match in_agreement(evidence.applied) {
        Some(counterexample) => counterexample.into(),
        None if evidence.applied.is_empty() => Verdict::undecided("no applied entry was recorded"),
        None => Verdict::Ok,
    }
}

/// Each incarnation applies position after position. Where it starts depends on its snapshot, and
/// it may jump to behind a snapshot that it was seen to install: what such a snapshot holds, the
/// digests of the states judge
/// ([`state_agreement`](crate::state_agreement)).
fn in_order(evidence: &Evidence<'_>) -> Option<Counterexample> {
    let installed = installed(evidence);
    let mut last: BTreeMap<(NodeId, u64), &Applied> = BTreeMap::new();
    for entry in evidence.applied {
        let life = (entry.node, entry.incarnation);
        let before = last.insert(life, entry);
        let expected = before.map_or(entry.index.max(1), |before| before.index + 1);
        let jumps = || installed.contains(&(life, entry.index.wrapping_sub(1)));
        if entry.index < expected || (entry.index > expected && !jumps()) {
            let summary = format!(
                "node {} (incarnation {}) applied position {} where {expected} was next",
                entry.node, entry.incarnation, entry.index
            );
            return Some(Counterexample::new(summary).entries(before.into_iter().chain([entry])));
        }
    }
    None
}

/// Which life of which node installed a snapshot up to where.
fn installed(evidence: &Evidence<'_>) -> BTreeSet<((NodeId, u64), Index)> {
    let installed = evidence.observed.iter().filter_map(|seen| match seen.event {
        Event::Installed { index, .. } => Some(((seen.node, seen.incarnation), index)),
        _ => None,
    });
    installed.collect()
}

/// What makes two entries the same one.
fn content(entry: &Applied) -> (u64, Option<(SessionId, u64)>) {
    (entry.digest, entry.request)
}

fn in_agreement(applied: &[Applied]) -> Option<Counterexample> {
    let mut log: BTreeMap<Index, &Applied> = BTreeMap::new();
    for entry in applied {
        let first = *log.entry(entry.index).or_insert(entry);
        if content(first) == content(entry) {
            continue;
        }
        let summary = if first.node == entry.node {
            format!(
                "node {} applied one entry at position {} in incarnation {} and another in \
                 incarnation {}",
                entry.node, entry.index, first.incarnation, entry.incarnation
            )
        } else {
            format!(
                "nodes {} and {} applied different entries at position {}",
                first.node, entry.node, entry.index
            )
        };
        return Some(Counterexample::new(summary).entries([first, entry]));
    }
    None
}
