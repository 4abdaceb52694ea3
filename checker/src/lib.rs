//! Verdicts on what a run left behind: were the clients' answers those of one register per key,
//! did the replicas apply one log, is everything that was acknowledged in it, and once only?
//!
//! The checker trusts nobody. It reads the clients' [`Operation`]s, what each replica [`Applied`]
//! and what was [`Observed`] inside the replicas, from any target, and knows neither protocol. Each
//! rule has a file of its own:
//!
//! | rule | file | reads |
//! |---|---|---|
//! | linearizability, per key | [`linearizable`] | operations (applied entries as a hint only) |
//! | log agreement | [`log_agreement`] | applied entries, final states |
//! | no lost acknowledgements | [`no_lost_acks`] | operations, applied entries |
//! | exactly once | [`exactly_once`] | operations, applied entries |
//! | election safety | [`election_safety`] | observations |
//! | stale reads | [`stale_reads`] | operations |
//!
//! [`verdict`] is what they say, [`coverage`] is how much there was to judge, and [`jsonl`] reads
//! and writes the records one to a line.

pub mod coverage;
pub mod election_safety;
pub mod exactly_once;
pub mod jsonl;
pub mod linearizable;
pub mod log_agreement;
pub mod no_lost_acks;
pub mod stale_reads;
pub mod verdict;

use consensus_core::history::{Applied, Observed, Operation};

pub use consensus_core::history::StateDigest;
pub use coverage::{Coverage, Tally};
pub use linearizable::Limits;
pub use verdict::{Counterexample, Verdict, Verdicts};

/// What a run left behind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence<'a> {
    /// The clients' operations, in any order.
    pub operations: &'a [Operation],
    /// What the replicas applied: each incarnation's entries in the order in which it applied them;
    /// the incarnations of all nodes mixed as they like.
    pub applied: &'a [Applied],
    /// What was seen inside the replicas, in any order.
    pub observed: &'a [Observed],
    /// State digests of replicas, as far as they were taken: at the end of the run, or at any time.
    pub states: &'a [StateDigest],
}

/// Judges a run, within the default [`Limits`].
pub fn check(evidence: &Evidence<'_>) -> Verdicts {
    check_within(evidence, &Limits::default())
}

/// Judges a run; the search for a linearization gives up beyond these limits.
pub fn check_within(evidence: &Evidence<'_>, limits: &Limits) -> Verdicts {
    Verdicts {
        linearizable: linearizable::check(evidence, limits),
        log_agreement: log_agreement::check(evidence),
        no_lost_acks: no_lost_acks::check(evidence),
        exactly_once: exactly_once::check(evidence),
        election_safety: election_safety::check(evidence),
        stale_reads: stale_reads::check(evidence),
        coverage: Coverage::of(evidence),
    }
}
