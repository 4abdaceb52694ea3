//! A numbered command takes effect once, however often its client sent it; a refused one never.

use std::collections::BTreeMap;

use consensus_core::{
    history::{Applied, Call, Operation, Outcome},
    id::{Index, SessionId},
};

use crate::{Counterexample, Evidence, Verdict};

/// A command's name: its session and its number in it.
type Request = (SessionId, u64);

/// Judges which entries took effect.
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let effects = match effects(evidence.applied) {
        Ok(effects) => effects,
        Err(counterexample) => return counterexample.into(),
    };
    let counterexample =
        same_everywhere(evidence.applied).or_else(|| refused(evidence.operations, &effects));
    match counterexample {
        Some(counterexample) => counterexample.into(),
        None if evidence.applied.is_empty() => Verdict::undecided("no applied entry was recorded"),
        None => Verdict::Ok,
    }
}

/// Where each command took effect; two places are one too many, in one log or in two.
fn effects(applied: &[Applied]) -> Result<BTreeMap<Request, &Applied>, Counterexample> {
    let mut effects: BTreeMap<Request, &Applied> = BTreeMap::new();
    for entry in applied.iter().filter(|entry| entry.fresh) {
        let Some(request) = entry.request else { continue };
        let first = *effects.entry(request).or_insert(entry);
        if first.index != entry.index {
            let (session, sequence) = request;
            let summary = format!(
                "command {sequence} of session {} took effect twice: at position {} on node {} \
                 and at position {} on node {}",
                session.0, first.index, first.node, entry.index, entry.node
            );
            return Err(Counterexample::new(summary).entries([first, entry]));
        }
    }
    Ok(effects)
}

/// Whether a command is a retry depends on the log alone, so replicas must agree about it.
fn same_everywhere(applied: &[Applied]) -> Option<Counterexample> {
    let mut log: BTreeMap<Index, &Applied> = BTreeMap::new();
    for entry in applied {
        let first = *log.entry(entry.index).or_insert(entry);
        if first.request == entry.request && first.fresh != entry.fresh {
            let (fresh, stale) = if entry.fresh { (entry, first) } else { (first, entry) };
            let summary = format!(
                "position {} took effect on node {} (incarnation {}) but not on node {} \
                 (incarnation {})",
                entry.index, fresh.node, fresh.incarnation, stale.node, stale.incarnation
            );
            return Some(Counterexample::new(summary).entries([fresh, stale]));
        }
    }
    None
}

fn refused(
    operations: &[Operation],
    effects: &BTreeMap<Request, &Applied>,
) -> Option<Counterexample> {
    let failed = |operation: &&Operation| {
        matches!(operation.outcome, Outcome::Failed(_))
            && operation.call != Call::Get
            && operation.session != SessionId(0)
    };
    operations.iter().filter(failed).find_map(|operation| {
        let entry = *effects.get(&(operation.session, operation.sequence))?;
        let summary = format!(
            "command {} of session {} was refused to client {} but took effect at position {}",
            operation.sequence, operation.session.0, operation.client, entry.index
        );
        Some(Counterexample::new(summary).operations([operation]).entries([entry]))
    })
}
