//! What the faults in force do to a replica's disk.
//!
//! The rules are data, and mean the same wherever a replica's log is written: below the storage
//! backend in a real replica, in the disk's model in the simulator.

use std::time::Duration;

use consensus_core::Draw;
use serde::{Deserialize, Serialize};

use crate::duration::Delay;

/// What is wrong with a disk: all faults in force at it, together.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiskRules {
    /// How much longer every sync takes: each of the faults adds its own.
    pub slower: Vec<Delay>,
    /// Whether no sync ends until other rules come.
    pub stalled: bool,
    /// How the next write or sync fails, if it does. The replica ends by itself.
    pub fails: Option<DiskFailure>,
}

/// What a real replica is told of its disk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskOrder {
    /// What is wrong with it, in the place of everything told before.
    pub rules: DiskRules,
    /// For how long, so that no fault outlives a run whose harness died.
    pub expires_in: Duration,
}

/// How a disk fails.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFailure {
    /// With an input or output error (EIO).
    Error,
    /// For want of space (ENOSPC).
    Full,
    /// The replica dies while it writes, and leaves one half of a record.
    Torn,
}

impl DiskRules {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }

    /// How much longer the sync takes that this key belongs to.
    pub fn adds(&self, draw: Draw) -> Duration {
        let each = self.slower.iter().zip(0..);
        each.map(|(delay, number)| delay.draw(draw.of("slower").at(number))).sum()
    }
}
