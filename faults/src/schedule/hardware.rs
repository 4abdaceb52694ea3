//! What can be wrong with a replica's disk and with its clock.

use serde::{Deserialize, Serialize};

use super::{Kind, target::Targets};
use crate::duration::{Delay, Jump};

/// Disks that misbehave.
///
/// ```toml
/// fault = { kind = "disk", target = "leader", effect = "slow", sync = "20ms~5ms" }
/// fault = { kind = "disk", target = "one-follower", effect = "rot" }
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Whose.
    pub target: Targets,
    /// What is wrong with them.
    pub effect: Ailment,
    /// For `slow`: how much longer each sync takes, `"20ms"`, or `"20ms~5ms"` with a spread.
    #[serde(default, skip_serializing_if = "Delay::is_none")]
    pub sync: Delay,
}

/// What is wrong with a disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ailment {
    /// Every sync takes longer, until the step ends.
    Slow,
    /// No sync ends before the step does.
    Stall,
    /// The next write or sync fails (EIO). A failed sync is never tried again as if the data were
    /// still there, so the replica ends by itself; it is started when the step ends.
    Error,
    /// The same, for want of space (ENOSPC): at the step's end there is some.
    Full,
    /// The replica dies while it writes: of its last record, one half is on the disk. Recovery cuts
    /// it, for nobody was told of it. It is started when the step ends.
    Torn,
    /// The replica is killed, and a bit of a record at rest flips, somewhere before the last one.
    /// After the step's `for` (at once without it) it is started on that disk, and must refuse, with
    /// an error that names the record: what it promised is not known any more. From there on it is
    /// as with a disk that is lost (see [`Restart`](super::Restart)): it comes back as somebody new,
    /// and one replica is hit at a time.
    Rot,
}

impl Ailment {
    /// The fault's kind.
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Slow => Kind::SlowDisk,
            Self::Stall => Kind::StalledDisk,
            Self::Error => Kind::DiskError,
            Self::Full => Kind::FullDisk,
            Self::Torn => Kind::TornRecord,
            Self::Rot => Kind::BitRot,
        }
    }
}

/// Clocks that are wrong: either they jump, or they run too fast or too slow.
///
/// What clocks show never matters to the protocols, only what passes on them: the timers run by a
/// replica's clock, and a lease ends by its leader's. Leases survive clocks that drift apart by no
/// more than `max_clock_drift_ppm`, and jumps forward; any other fault may break them.
///
/// ```toml
/// fault = { kind = "clock", target = "leader", rate = -200000 }
/// fault = { kind = "clock", target = "all", jump = "-2s" }
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Whose.
    pub target: Targets,
    /// By how much they jump, forward, or back with a minus. It happens in an instant, and nothing
    /// sets them right again. Timers that run are not moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump: Option<Jump>,
    /// By how much they run too fast, in parts per million, or too slow with a minus: in the place
    /// of what they drift by themselves, until the step ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<i32>,
}
