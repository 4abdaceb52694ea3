//! Stale reads: what a replica had applied is something that was once written.
//!
//! A stale read asks one replica and no quorum, so it may see the past, and two of them may see it in
//! the wrong order, if they ask different replicas. But it may see no value that nobody ever wrote to
//! that key, none whose write was refused, and none from the future.

use std::collections::BTreeMap;

use consensus_core::{
    Time,
    history::{Call, Operation, Outcome},
};

use crate::{Counterexample, Evidence, Verdict};

/// Judges the stale reads.
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    if !evidence.operations.iter().any(Operation::is_stale_read) {
        return Verdict::Ok;
    }
    let written = Written::of(evidence.operations);
    let reads = evidence.operations.iter().filter(|operation| operation.is_stale_read());
    match reads.into_iter().find_map(|read| written.contradicts(read)) {
        Some(counterexample) => counterexample.into(),
        None => Verdict::Ok,
    }
}

/// Since when each value may have stood under each key: the first sending of a write of it that was
/// not refused.
struct Written<'a>(BTreeMap<(&'a str, &'a str), Time>);

impl<'a> Written<'a> {
    fn of(operations: &'a [Operation]) -> Self {
        let mut written = BTreeMap::new();
        for operation in operations {
            if let Some(value) = value(operation) {
                let since = written.entry((&operation.key[..], value)).or_insert(operation.invoked);
                *since = operation.invoked.min(*since);
            }
        }
        Self(written)
    }

    fn contradicts(&self, read: &Operation) -> Option<Counterexample> {
        let Outcome::Ok { held: Some(held), .. } = &read.outcome else { return None };
        let answered = read.completed?;
        let what = match self.0.get(&(&read.key[..], &held[..])) {
            Some(&since) if since <= answered => return None,
            Some(_) => "which was written only afterwards",
            None => "which nobody wrote",
        };
        let summary =
            format!("the stale get of {} by client {} saw {held:?}, {what}", read.key, read.client);
        Some(Counterexample::new(summary).operations([read]))
    }
}

/// What an operation may have written.
fn value(operation: &Operation) -> Option<&str> {
    let took_effect = match &operation.outcome {
        Outcome::Ok { changed, .. } => *changed,
        Outcome::Failed(_) => false,
        Outcome::Unknown(_) => true,
    };
    match &operation.call {
        Call::Put(value) | Call::TestAndSet(value) | Call::CompareAndSwap { value, .. } => {
            took_effect.then_some(value)
        }
        Call::Get | Call::Delete => None,
    }
}
