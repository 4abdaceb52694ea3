//! What can be done to a cluster.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    hardware::{Clock, Disk},
    target::Targets,
};
use crate::{
    duration::{self, Delay},
    links::Channel,
};

/// What happens in a step.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Fault {
    /// Processes are killed.
    Crash(Crash),
    /// Processes are stopped in an orderly way and started again; or killed, and their disks lost.
    Restart(Restart),
    /// Processes are killed, and others take their places, elsewhere.
    Delete(Delete),
    /// Processes are frozen: unresponsive, not dead.
    Pause(Pause),
    /// Processes are slowed to a crawl.
    #[serde(alias = "overload")]
    Slow(Slow),
    /// The clients offer more, or less.
    Load(Surge),
    /// Links are cut.
    Partition(Partition),
    /// Links misbehave.
    Link(Link),
    /// A client writes a key.
    Put(Put),
    /// Members are added and removed.
    Reconfigure(Reconfigure),
    /// Leadership is handed over.
    Transfer(Transfer),
    /// Disks misbehave.
    Disk(Disk),
    /// Clocks are wrong.
    Clock(Clock),
}

/// SIGKILL: nothing is flushed, nobody is told. The disk is kept, but for what was never synced.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// Who; all of them at the same instant.
    pub target: Targets,
}

/// An orderly stop, and a start after the step's `for` (at once without it).
///
/// A replica that a crash holds down is brought up by it: that is how a crash without `for` ends
/// before the run does.
///
/// With `disk = "lost"` it is killed, and what it ever wrote is gone. It comes back as somebody new,
/// on an empty disk, and an administrator asks that it take the place of its old self, for as long as
/// that takes. Then one replica is hit at a time: the next one, and any other change of the members,
/// waits until this one is done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// Who.
    pub target: Targets,
    /// What becomes of the disk.
    #[serde(default, skip_serializing_if = "Fate::is_kept")]
    pub disk: Fate,
}

/// What becomes of a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It is there again after the start.
    #[default]
    Kept,
    /// It is gone, with everything on it.
    Lost,
}

impl Fate {
    /// Whether it is there again after the start.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_kept(&self) -> bool {
        *self == Self::Kept
    }
}

/// What becomes of a pod that is deleted: the process is killed without grace, and after the step's
/// `for` (at once without it) a new one is started in its place, at another address. The others find
/// it by its name, and by its incarnation, through gossip.
///
/// With `volume = "lost"` its disk is gone besides, and what holds for a [`Restart`] with a lost disk
/// holds for it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    /// Who; all of them at the same instant.
    pub target: Targets,
    /// What becomes of the disk.
    #[serde(default, skip_serializing_if = "Fate::is_kept")]
    pub volume: Fate,
}

/// SIGSTOP: the process holds its connections and answers nothing, then goes on as if no time had
/// passed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Who.
    pub target: Targets,
}

/// Pauses in a rhythm: of each period, the process runs for a share only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// Who.
    pub target: Targets,
    /// The share of the time that it runs, strictly between 0 and 1.
    #[serde(default = "one_tenth")]
    pub share: f64,
    /// The length of one pause and one run together.
    #[serde(default = "hundred_millis", with = "duration::text")]
    pub period: Duration,
}

const fn one_tenth() -> f64 {
    0.1
}

const fn hundred_millis() -> Duration {
    Duration::from_millis(100)
}

/// The load is multiplied: the whole cluster is offered more than it can take.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surge {
    /// By how much; 0 silences the clients.
    pub factor: f64,
}

/// Messages are lost on whole links.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Which links.
    pub shape: Shape,
    /// Which way, seen from the first group: for `isolate`, from the target; for the shapes of partial
    /// connectivity, from the leader.
    #[serde(default)]
    pub direction: Direction,
    /// On which channel; on both if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Who must be in the first group (`isolate`: who is all of it), or be the bridge, the hub
    /// (`quorum-loss`, `constrained-election`) or the far end (`chained`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Targets>,
    /// For `groups`: who still sees whom; who is in none sees nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Vec<u64>>,
    /// For `links`: the cut links, each from one node to another, one way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<[u64; 2]>,
}

/// The shape of a partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// The targets, together, from everybody else.
    Isolate,
    /// Two halves, the first the smaller one.
    Halves,
    /// A minority from a majority; the targets are in the minority.
    Minority,
    /// A majority from a minority; the targets are in the majority.
    Majority,
    /// Two halves that see one node in common, which sees everybody.
    Bridge,
    /// Each sees its two neighbours alone.
    Ring,
    /// Every link is cut but those of one hub, which does not lead. The leader still reaches the hub,
    /// and has lost its quorum; the hub alone has one ("Omni-Paxos", EuroSys 2023, §2).
    QuorumLoss,
    /// The same, and the leader is cut off from the hub as well: the hub alone can be elected, unless
    /// its log is in the way.
    ConstrainedElection,
    /// The leader and one other lose each other; everybody else sees both. Three replicas are then a
    /// chain, with the leader at one end.
    Chained,
    /// As `groups` says.
    Groups,
    /// As `links` says.
    Links,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Isolate,
        Self::Halves,
        Self::Minority,
        Self::Majority,
        Self::Bridge,
        Self::Ring,
        Self::QuorumLoss,
        Self::ConstrainedElection,
        Self::Chained,
        Self::Groups,
        Self::Links,
    ];

    /// Its name in a schedule.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Isolate => "isolate",
            Self::Halves => "halves",
            Self::Minority => "minority",
            Self::Majority => "majority",
            Self::Bridge => "bridge",
            Self::Ring => "ring",
            Self::QuorumLoss => "quorum-loss",
            Self::ConstrainedElection => "constrained-election",
            Self::Chained => "chained",
            Self::Groups => "groups",
            Self::Links => "links",
        }
    }

    /// What it means, in a line.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Isolate => "the targets, together, from everybody else",
            Self::Halves => "two halves, the first the smaller one",
            Self::Minority => "a minority from a majority, the targets in the minority",
            Self::Majority => "a majority from a minority, the targets in the majority",
            Self::Bridge => "two halves that see one node in common",
            Self::Ring => "each sees its two neighbours alone",
            Self::QuorumLoss => "every link but those of one hub, which does not lead",
            Self::ConstrainedElection => "the same, and the leader from the hub as well",
            Self::Chained => "the leader and one other from each other",
            Self::Groups => "named groups, of which each sees itself",
            Self::Links => "named links, each one way",
        }
    }

    /// The fewest replicas for which it cuts anything as named.
    pub const fn least_nodes(self) -> usize {
        match self {
            Self::Isolate | Self::Halves | Self::Groups | Self::Links => 2,
            Self::Minority | Self::Majority | Self::Bridge | Self::Chained => 3,
            // Of three, a leader with one other is a quorum, and so is any other pair.
            Self::Ring | Self::QuorumLoss | Self::ConstrainedElection => 4,
        }
    }

    /// Whether it parts a group from everybody else.
    pub const fn is_grouped(self) -> bool {
        matches!(self, Self::Isolate | Self::Halves | Self::Minority | Self::Majority)
    }

    /// Whether it is drawn around whoever leads: one of the shapes of partial connectivity.
    pub const fn is_around_leader(self) -> bool {
        matches!(self, Self::QuorumLoss | Self::ConstrainedElection | Self::Chained)
    }
}

/// Which way a cut works.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Both ways.
    #[default]
    Both,
    /// The group cannot hear the others; they hear it.
    Inbound,
    /// The others cannot hear the group; it hears them.
    Outbound,
}

/// Links that lose, delay, double, reorder, corrupt or throttle, one way: from → to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The senders.
    pub from: Targets,
    /// The receivers.
    pub to: Targets,
    /// On which channel; on both if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// The probability that a message is lost.
    #[serde(default)]
    pub drop: f64,
    /// The probability that it arrives twice.
    #[serde(default)]
    pub duplicate: f64,
    /// The probability that later messages overtake it.
    #[serde(default)]
    pub reorder: f64,
    /// The probability that bits of it are flipped, after its checksum was computed.
    #[serde(default)]
    pub corrupt: f64,
    /// How much later it arrives: `"50ms"`, or `"50ms~10ms"` with a spread.
    #[serde(default)]
    pub delay: Delay,
    /// The bytes per second that pass; no limit if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
}

/// A client changes a variable meanwhile.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Put {
    /// Which key.
    pub key: String,
    /// What it holds afterwards.
    pub value: String,
}

/// Members are added and removed, as one change. An administrator asks for it until it is done or
/// refused, or the schedule's patience ends.
///
/// Whoever is added comes under the next free identity, on an empty disk, and only learns until the
/// cluster takes it in. Whoever is removed goes on running, and is hit by nothing any more.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconfigure {
    /// How many replicas come.
    #[serde(default)]
    pub add: u32,
    /// Who leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove: Option<Targets>,
}

/// Leadership is handed over. An administrator asks for it until it is done or refused, or the
/// schedule's patience ends.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// To whom; to whichever is best, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Targets>,
}

/// A fault's kind alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// See [`Crash`].
    Crash,
    /// See [`Restart`].
    Restart,
    /// See [`Delete`].
    Delete,
    /// See [`Pause`].
    Pause,
    /// See [`Slow`].
    Slow,
    /// See [`Surge`].
    Load,
    /// See [`Partition`].
    Partition,
    /// See [`Link`].
    Link,
    /// See [`Put`].
    Put,
    /// See [`Reconfigure`].
    Reconfigure,
    /// See [`Transfer`].
    Transfer,
    /// See [`Restart`], with the disk lost.
    LostDisk,
    /// See [`Delete`], with the volume lost.
    LostVolume,
    /// See [`Ailment::Slow`](super::Ailment::Slow).
    SlowDisk,
    /// See [`Ailment::Stall`](super::Ailment::Stall).
    StalledDisk,
    /// See [`Ailment::Error`](super::Ailment::Error).
    DiskError,
    /// See [`Ailment::Full`](super::Ailment::Full).
    FullDisk,
    /// See [`Ailment::Torn`](super::Ailment::Torn).
    TornRecord,
    /// See [`Ailment::Rot`](super::Ailment::Rot).
    BitRot,
    /// See [`Clock::jump`].
    ClockJump,
    /// See [`Clock::rate`].
    ClockRate,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Crash,
        Self::Restart,
        Self::Delete,
        Self::Pause,
        Self::Slow,
        Self::Load,
        Self::Partition,
        Self::Link,
        Self::Put,
        Self::Reconfigure,
        Self::Transfer,
        Self::LostDisk,
        Self::LostVolume,
        Self::SlowDisk,
        Self::StalledDisk,
        Self::DiskError,
        Self::FullDisk,
        Self::TornRecord,
        Self::BitRot,
        Self::ClockJump,
        Self::ClockRate,
    ];

    /// Its name, in records and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Restart => "restart",
            Self::Delete => "delete",
            Self::Pause => "pause",
            Self::Slow => "slow",
            Self::Load => "load",
            Self::Partition => "partition",
            Self::Link => "link",
            Self::Put => "put",
            Self::Reconfigure => "reconfigure",
            Self::Transfer => "transfer",
            Self::LostDisk => "lost-disk",
            Self::LostVolume => "lost-volume",
            Self::SlowDisk => "slow-disk",
            Self::StalledDisk => "stalled-disk",
            Self::DiskError => "disk-error",
            Self::FullDisk => "full-disk",
            Self::TornRecord => "torn-record",
            Self::BitRot => "bit-rot",
            Self::ClockJump => "clock-jump",
            Self::ClockRate => "clock-rate",
        }
    }

    /// Whether it may go on for ever at those who are no part of a [healed core](super::Heal::Core).
    pub const fn may_stay(self) -> bool {
        matches!(
            self,
            Self::Crash
                | Self::Pause
                | Self::Partition
                | Self::Link
                | Self::SlowDisk
                | Self::StalledDisk
                | Self::ClockRate
        )
    }

    /// What a schedule calls it in the field `kind`: some kinds differ by another field only.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::LostDisk => "restart",
            Self::LostVolume => "delete",
            Self::SlowDisk
            | Self::StalledDisk
            | Self::DiskError
            | Self::FullDisk
            | Self::TornRecord
            | Self::BitRot => "disk",
            Self::ClockJump | Self::ClockRate => "clock",
            _ => self.name(),
        }
    }

    /// Whether the cluster has other members afterwards.
    pub const fn changes_members(self) -> bool {
        self.loses_disk() || matches!(self, Self::Reconfigure)
    }

    /// Whether what was promised on a disk is gone afterwards.
    pub const fn loses_disk(self) -> bool {
        matches!(self, Self::LostDisk | Self::LostVolume | Self::BitRot)
    }

    /// Whether the disk has its replica end by itself.
    pub const fn fails_disk(self) -> bool {
        matches!(self, Self::DiskError | Self::FullDisk | Self::TornRecord)
    }

    /// What happens, in a line.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Crash => "processes are killed; disks are kept, but for what was never synced",
            Self::Restart => "processes are stopped in an orderly way, and started again",
            Self::Delete => {
                "processes are killed, as when pods are deleted, and others take their places at \
                 other addresses, with their disks"
            }
            Self::Pause => "processes are frozen: unresponsive, not dead",
            Self::Slow => "processes run for a share of the time only",
            Self::Load => "the clients offer more, or less",
            Self::Partition => "links are cut, one way or both",
            Self::Link => {
                "links lose, delay, double, reorder, corrupt or throttle what they carry, one way"
            }
            Self::Put => "a client writes a key",
            Self::Reconfigure => "members are added and removed, as one change",
            Self::Transfer => "leadership is handed over",
            Self::LostDisk => {
                "a process is killed and its disk lost; somebody new takes its place \
                 (`restart` with `disk = \"lost\"`)"
            }
            Self::LostVolume => {
                "as `delete`, but without the disk: somebody new takes its place \
                 (`delete` with `volume = \"lost\"`)"
            }
            Self::SlowDisk => "syncs take longer (`disk` with `effect = \"slow\"`)",
            Self::StalledDisk => {
                "no sync ends before the step does (`disk` with `effect = \"stall\"`)"
            }
            Self::DiskError => {
                "the next write or sync fails with EIO, and the replica ends by itself \
                 (`disk` with `effect = \"error\"`)"
            }
            Self::FullDisk => "the same with ENOSPC (`disk` with `effect = \"full\"`)",
            Self::TornRecord => {
                "the replica dies while it writes, and half of its last record is on the disk \
                 (`disk` with `effect = \"torn\"`)"
            }
            Self::BitRot => {
                "the replica is killed, and a bit of a record at rest flips: it must refuse to \
                 start, and somebody new takes its place (`disk` with `effect = \"rot\"`)"
            }
            Self::ClockJump => "clocks jump, forward or back (`clock` with `jump`)",
            Self::ClockRate => "clocks run too fast or too slow (`clock` with `rate`)",
        }
    }

    /// Its other name in a schedule, if it has one.
    pub(super) const fn alias(self) -> Option<&'static str> {
        match self {
            Self::Slow => Some("overload"),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Fault {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Crash(_) => Kind::Crash,
            Self::Restart(Restart { disk: Fate::Kept, .. }) => Kind::Restart,
            Self::Restart(Restart { disk: Fate::Lost, .. }) => Kind::LostDisk,
            Self::Delete(Delete { volume: Fate::Kept, .. }) => Kind::Delete,
            Self::Delete(Delete { volume: Fate::Lost, .. }) => Kind::LostVolume,
            Self::Pause(_) => Kind::Pause,
            Self::Slow(_) => Kind::Slow,
            Self::Load(_) => Kind::Load,
            Self::Partition(_) => Kind::Partition,
            Self::Link(_) => Kind::Link,
            Self::Put(_) => Kind::Put,
            Self::Reconfigure(_) => Kind::Reconfigure,
            Self::Transfer(_) => Kind::Transfer,
            Self::Disk(disk) => disk.effect.kind(),
            Self::Clock(Clock { jump: Some(_), rate: None, .. }) => Kind::ClockJump,
            Self::Clock(_) => Kind::ClockRate,
        }
    }

    /// The targets, each with the field that names them.
    pub fn targets(&self) -> Vec<(&'static str, &Targets)> {
        match self {
            Self::Crash(Crash { target })
            | Self::Restart(Restart { target, .. })
            | Self::Delete(Delete { target, .. })
            | Self::Pause(Pause { target })
            | Self::Slow(Slow { target, .. })
            | Self::Disk(Disk { target, .. })
            | Self::Clock(Clock { target, .. }) => vec![("target", target)],
            Self::Partition(Partition { target, .. }) => {
                target.iter().map(|target| ("target", target)).collect()
            }
            Self::Link(Link { from, to, .. }) => vec![("from", from), ("to", to)],
            Self::Reconfigure(Reconfigure { remove, .. }) => {
                remove.iter().map(|target| ("remove", target)).collect()
            }
            Self::Transfer(Transfer { to }) => to.iter().map(|target| ("to", target)).collect(),
            Self::Load(_) | Self::Put(_) => Vec::new(),
        }
    }
}
