//! What can be done to a cluster.

use std::{collections::BTreeSet, fmt, time::Duration};

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
    pub const ALL: [Self; 19] = [
        Self::Crash,
        Self::Restart,
        Self::Pause,
        Self::Slow,
        Self::Load,
        Self::Partition,
        Self::Link,
        Self::Put,
        Self::Reconfigure,
        Self::Transfer,
        Self::LostDisk,
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
            Self::Pause => "pause",
            Self::Slow => "slow",
            Self::Load => "load",
            Self::Partition => "partition",
            Self::Link => "link",
            Self::Put => "put",
            Self::Reconfigure => "reconfigure",
            Self::Transfer => "transfer",
            Self::LostDisk => "lost-disk",
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

    /// What a schedule calls it in the field `kind`: some kinds differ by another field only.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::LostDisk => "restart",
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
        matches!(self, Self::Reconfigure | Self::LostDisk | Self::BitRot)
    }

    /// Whether what was promised on a disk is gone afterwards.
    pub const fn loses_disk(self) -> bool {
        matches!(self, Self::LostDisk | Self::BitRot)
    }

    /// Whether the disk has its replica end by itself.
    pub const fn fails_disk(self) -> bool {
        matches!(self, Self::DiskError | Self::FullDisk | Self::TornRecord)
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
            Self::Pause(_) => Kind::Pause,
            Self::Slow(_) => Kind::Slow,
            Self::Load(_) => Kind::Load,
            Self::Partition(_) => Kind::Partition,
            Self::Link(_) => Kind::Link,
            Self::Put(_) => Kind::Put,
            Self::Reconfigure(_) => Kind::Reconfigure,
            Self::Transfer(_) => Kind::Transfer,
            Self::Disk(disk) => disk.effect.kind(),
            Self::Clock(Clock { jump: Some(_), .. }) => Kind::ClockJump,
            Self::Clock(Clock { jump: None, .. }) => Kind::ClockRate,
        }
    }

    /// The targets, each with the field that names them.
    pub fn targets(&self) -> Vec<(&'static str, &Targets)> {
        match self {
            Self::Crash(Crash { target })
            | Self::Restart(Restart { target, .. })
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

/// What a target (simulator, processes, containers, pods) can do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capabilities {
    kinds: BTreeSet<Kind>,
}

impl Capabilities {
    /// Everything.
    pub fn all() -> Self {
        Self::only(Kind::ALL)
    }

    /// These kinds alone.
    pub fn only(kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self { kinds: kinds.into_iter().collect() }
    }

    /// Whether this kind is among them.
    pub fn can(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }
}

/// A step that a target cannot carry out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("step `{step}`: this target cannot do `{kind}`")]
pub struct Unsupported {
    /// The step.
    pub step: String,
    /// What it asks for.
    pub kind: Kind,
}
