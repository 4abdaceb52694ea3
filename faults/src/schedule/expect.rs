//! What must hold of a run.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::duration;

/// What must hold of a run; the harness judges.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// What must hold throughout.
    pub always: Vec<Always>,
    /// What must have happened at least once, else the run proved nothing.
    pub sometimes: Vec<Sometimes>,
    /// What must be so within a time after the last fault is healed.
    pub after_heal: AfterHeal,
    /// Upper bounds on measured times: `"election.p95" = "1s"`.
    #[serde(with = "duration::table")]
    pub slo: BTreeMap<String, Duration>,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            always: Always::USUAL.to_vec(),
            sometimes: Vec::new(),
            after_heal: AfterHeal::default(),
            slo: BTreeMap::new(),
        }
    }
}

/// A verdict on the whole history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Always {
    /// Each operation seems to happen at one instant between its call and its answer; the reads by
    /// lease are judged apart.
    Linearizable,
    /// The reads by lease see what the others see.
    LeaseReads,
    /// No two replicas apply different entries at a position.
    LogAgreement,
    /// What a client was told is done stays done.
    NoLostAcks,
    /// A retry is not applied twice.
    ExactlyOnce,
}

impl Always {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Linearizable,
        Self::LeaseReads,
        Self::LogAgreement,
        Self::NoLostAcks,
        Self::ExactlyOnce,
    ];

    /// Those of a schedule that names none. A run whose reads by lease are wrong does not hold
    /// either way, unless it is meant to break a lease.
    pub const USUAL: [Self; 4] =
        [Self::Linearizable, Self::LogAgreement, Self::NoLostAcks, Self::ExactlyOnce];
}

/// Something without which a run proved nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sometimes {
    /// Leadership passed to another replica.
    LeaderChanged,
    /// The cluster did not serve for a while.
    Unavailable,
    /// A replica noticed and dropped a damaged message.
    CorruptionNoticed,
    /// A request was refused for being one too many.
    Overloaded,
    /// A replica took a snapshot from a peer, for the log no longer held what it lacked.
    SnapshotInstalled,
    /// The members were changed.
    Reconfigured,
    /// A leader handed leadership over.
    HandedOver,
    /// A read by lease saw what was no longer so: the schedule makes the clocks drift beyond what
    /// leases allow for. Nothing else may be wrong.
    LeaseBroken,
}

/// Bounds on recovery.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AfterHeal {
    /// Until a leader stands.
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub leader: Option<Duration>,
    /// Until all replicas hold the same state.
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub converged: Option<Duration>,
}

/// What an upper bound may be set on.
pub(super) const MEASURES: [&str; 4] = ["election", "outage", "commit", "unavailable"];

/// By which statistic.
pub(super) const STATISTICS: [&str; 6] = ["p50", "p90", "p95", "p99", "mean", "max"];
