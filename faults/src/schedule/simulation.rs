//! What a simulated cluster runs on, where a schedule's story depends on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{duration, latency::Latency};

/// The disks and clocks of a simulated cluster; what is absent is as usual. Real targets have real
/// ones, and refuse a schedule that asks for others.
///
/// ```toml
/// [simulation]
/// sync             = "0s..20ms"
/// stall            = { chance = 0.02, adds = "50ms..400ms" }
/// disk_bytes_per_s = 200000
/// chunk_bytes      = 1000
/// clock_drift_ppm  = 1000
/// clock_offset     = "1h"
/// ```
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Simulation {
    /// How long a sync takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<Latency>,
    /// Syncs that take much longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall: Option<Stalls>,
    /// The bytes per second at which snapshots are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes_per_s: Option<u64>,
    /// The most bytes of one part of a snapshot under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_bytes: Option<usize>,
    /// By how much two clocks drift apart at most, in parts per million.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_drift_ppm: Option<u32>,
    /// By how much two clocks differ at the beginning, at most.
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub clock_offset: Option<Duration>,
}

/// Syncs that take much longer than the others.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stalls {
    /// The probability of each sync to be one of them.
    pub chance: f64,
    /// What it takes longer.
    pub adds: Latency,
}

impl Simulation {
    /// Whether everything is as usual.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}
