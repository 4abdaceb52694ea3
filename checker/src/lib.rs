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
//! | log agreement | [`log_agreement`] | applied entries, installed snapshots |
//! | state agreement | [`state_agreement`] | digests of states |
//! | monotonic commit | [`commit_monotonic`] | observations |
//! | no lost acknowledgements | [`no_lost_acks`] | operations, applied entries |
//! | exactly once | [`exactly_once`] | operations, applied entries |
//! | election safety | [`election_safety`] | observations |
//! | reads by lease | [`lease_reads`] | operations |
//! | stale reads | [`stale_reads`] | operations |
//! | convergence | [`convergence`] | samples, faults, configurations |
//! | not vacuous | [`vacuity`] | all of it |
//!
//! Each says ok, violated, undecided or not judged, the last two with their reason: *undecided* if
//! there was evidence and it does not suffice, *not judged* if nobody recorded any.
//!
//! [`verdict`] is what they say, [`coverage`] is how much there was to judge, [`jsonl`] reads and
//! writes the records one to a line, and [`export`] writes histories for other people's checkers.

pub mod commit_monotonic;
pub mod convergence;
pub mod coverage;
pub mod election_safety;
pub mod exactly_once;
pub mod export;
pub mod jsonl;
pub mod lease_reads;
pub mod linearizable;
pub mod log_agreement;
pub mod no_lost_acks;
pub mod stale_reads;
pub mod state_agreement;
pub mod vacuity;
pub mod verdict;

use consensus_core::{
    NodeId, Time,
    history::{Applied, Observed, Operation, Sample},
};
use serde::{Deserialize, Serialize};

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
    /// The replicas' states over time, in any order.
    pub samples: &'a [Sample],
    /// What was done to the cluster; `None` if nobody recorded that.
    pub faults: Option<Faults<'a>>,
}

/// What was done to a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Faults<'a> {
    /// How many faults were planned.
    pub planned: u64,
    /// Those that struck.
    pub struck: &'a [Fault],
    /// Who was healed at the end, if not everybody.
    pub core: Option<&'a Core>,
}

/// A majority that was healed, while faults went on at the others.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Core {
    /// Who.
    pub nodes: Vec<NodeId>,
    /// When.
    pub healed: Time,
}

/// A fault that struck.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Whom it struck.
    pub nodes: Vec<NodeId>,
    /// When.
    pub from: Time,
    /// When it was taken back; `None` if it never was.
    pub until: Option<Time>,
    /// Whether the processes that it struck ended.
    pub ends_processes: bool,
}

/// Judges a run, within the default [`Limits`].
pub fn check(evidence: &Evidence<'_>) -> Verdicts {
    check_within(evidence, &Limits::default())
}

/// Judges a run; the search for a linearization gives up beyond these limits.
pub fn check_within(evidence: &Evidence<'_>, limits: &Limits) -> Verdicts {
    let coverage = Coverage::of(evidence);
    let (linearizable, lease_reads) = lease_reads::check(evidence, limits);
    Verdicts {
        linearizable,
        lease_reads,
        log_agreement: log_agreement::check(evidence),
        state_agreement: state_agreement::check(evidence),
        commit_monotonic: commit_monotonic::check(evidence),
        no_lost_acks: no_lost_acks::check(evidence),
        exactly_once: exactly_once::check(evidence),
        election_safety: election_safety::check(evidence),
        stale_reads: stale_reads::check(evidence),
        converged: convergence::check(evidence),
        not_vacuous: vacuity::check(evidence, &coverage),
        coverage,
    }
}
