//! Reads by lease: they see what linearizable reads see.
//!
//! A leader that holds a lease answers without asking anybody, and relies on the clocks: should they
//! drift further apart than the lease allows for, another may lead and write meanwhile. Then the reads
//! by lease are wrong, and nothing else is. So they are judged apart: if the history is not
//! linearizable with them, but is without them, a lease broke.

use consensus_core::{Consistency, history::Operation};

use crate::{Evidence, Limits, Verdict, linearizable};

/// Judges linearizability: of everything but the reads by lease, and of these.
pub fn check(evidence: &Evidence<'_>, limits: &Limits) -> (Verdict, Verdict) {
    let all = linearizable::check(evidence, limits);
    let is_leased = |operation: &&Operation| operation.promised() == Some(Consistency::Lease);
    // What is linearizable stays so without some of its reads.
    if all.is_ok() || !evidence.operations.iter().any(|operation| is_leased(&operation)) {
        return (all, Verdict::Ok);
    }
    let others: Vec<_> = evidence.operations.iter().filter(|op| !is_leased(op)).cloned().collect();
    let others = linearizable::check(&Evidence { operations: &others, ..*evidence }, limits);
    let leases = match others.passes() {
        true => all,
        false => Verdict::undecided("without these reads, the history is not linearizable either"),
    };
    (others, leases)
}
