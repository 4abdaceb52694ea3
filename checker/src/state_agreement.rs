//! Equal positions, equal states: what replicas hold after the same entries has one digest.
//!
//! [Log agreement](crate::log_agreement) says that replicas applied the same entries; that these had
//! the same effect, and that a snapshot holds what the entries before its end would have made, only
//! the states show.

use std::collections::BTreeMap;

use consensus_core::id::Index;

use crate::{Counterexample, Evidence, StateDigest, Verdict};

/// Judges the state digests. A replica alone at a position is compared with nobody; another of its
/// lives counts as company.
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut at: BTreeMap<Index, &StateDigest> = BTreeMap::new();
    let mut compared = false;
    for state in evidence.states {
        let first = *at.entry(state.applied).or_insert(state);
        compared |= !std::ptr::eq(first, state);
        if first.digest != state.digest {
            let summary = format!(
                "nodes {} and {} hold different states after position {}: digests {:016x} and \
                 {:016x}",
                first.node, state.node, state.applied, first.digest, state.digest
            );
            return Counterexample::new(summary).into();
        }
    }
    match compared {
        true => Verdict::Ok,
        false => Verdict::not_judged("no position is known at which two states were noted"),
    }
}
