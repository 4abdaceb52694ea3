//! At most one leader in every epoch (Raft §5.2; for Multi-Paxos: a ballot belongs to one node).

use std::collections::BTreeMap;

use consensus_core::{Epoch, Event, NodeId, history::Observed};

use crate::{Counterexample, Evidence, Verdict};

/// Judges the elections that were observed.
///
/// The same node in another incarnation counts as another leader: whoever wins an epoch twice has
/// forgotten over a restart that it voted.
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut leaders: BTreeMap<Epoch, &Observed> = BTreeMap::new();
    for seen in evidence.observed {
        let Event::Elected { epoch } = seen.event else { continue };
        if epoch.node != NodeId(0) && epoch.node != seen.node {
            let summary =
                format!("node {} leads epoch {epoch}, which only {} may", seen.node, epoch.node);
            return Counterexample::new(summary).observations([seen]).into();
        }
        let first = *leaders.entry(epoch).or_insert(seen);
        if (first.node, first.incarnation) != (seen.node, seen.incarnation) {
            let summary = format!(
                "epoch {epoch} has two leaders: node {} (incarnation {}) and node {} (incarnation \
                 {})",
                first.node, first.incarnation, seen.node, seen.incarnation
            );
            return Counterexample::new(summary).observations([first, seen]).into();
        }
    }
    Verdict::Ok
}
