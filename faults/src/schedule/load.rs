//! What the clients do while the faults strike.

use std::{num::NonZeroU32, time::Duration};

use consensus_core::Consistency;
use serde::{Deserialize, Serialize};

use crate::duration;

/// The clients' load.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// How clients decide when to send.
    pub mode: Mode,
    /// Requests per second, all clients together.
    pub rate: f64,
    /// How the requests are spread over time.
    pub arrival: Arrivals,
    /// Over how many keys they are spread, uniformly.
    pub keys: NonZeroU32,
    /// The share of reads, 0 to 1.
    pub reads: f64,
    /// What the reads are to promise: one kind, or several, each as often as the others.
    #[serde(skip_serializing_if = "ReadKinds::are_default")]
    pub read_consistency: ReadKinds,
    /// How long a value is, in bytes; never shorter than what makes it unique.
    pub value_bytes: usize,
    /// How long a client waits for an answer before it counts the outcome as unknown.
    #[serde(with = "duration::text")]
    pub timeout: Duration,
    /// What the writes are.
    pub mix: Mix,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            mode: Mode::Open,
            rate: 1_000.0,
            arrival: Arrivals::Poisson,
            keys: NonZeroU32::new(100).expect("a hundred is not zero"),
            reads: 0.5,
            read_consistency: ReadKinds::default(),
            value_bytes: 16,
            timeout: Duration::from_secs(1),
            mix: Mix::default(),
        }
    }
}

/// Kinds of reads: `"lease"`, or `["linearizable", "follower"]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ReadKinds {
    /// All reads are of one kind.
    One(Consistency),
    /// Each read is of one of these kinds, drawn with equal chances; not empty.
    Several(Vec<Consistency>),
}

impl Default for ReadKinds {
    fn default() -> Self {
        Self::One(Consistency::Linearizable)
    }
}

impl ReadKinds {
    /// The kinds, in the order of the schedule.
    pub fn as_slice(&self) -> &[Consistency] {
        match self {
            Self::One(kind) => std::slice::from_ref(kind),
            Self::Several(kinds) => kinds,
        }
    }

    fn are_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How clients decide when to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// At times of their own choosing, whether or not earlier answers came: a stall then delays
    /// what was meant to be sent, and is not hidden from the measured latency.
    #[default]
    Open,
}

/// How requests are spread over time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// Independent of each other, as from many clients.
    #[default]
    Poisson,
    /// Evenly.
    Constant,
}

/// What the writes are, as shares that sum to 1.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// Plain writes.
    pub put: f64,
    /// Compare-and-swap.
    pub cas: f64,
    /// Test-and-set.
    pub tas: f64,
    /// Deletions.
    pub delete: f64,
}

impl Default for Mix {
    fn default() -> Self {
        Self { put: 0.7, cas: 0.15, tas: 0.05, delete: 0.1 }
    }
}
