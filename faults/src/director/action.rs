//! What goes into the director and what comes out of it.

use std::time::Duration;

use consensus_core::{Change, Epoch, Event, Index, NodeId};
use serde::{Deserialize, Serialize};

use super::holds::TrialKey;
use crate::{disks::DiskRules, duration::Jump, links::LinkRules};

/// What the director is told of the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Observation<'a> {
    /// Every replica runs and the cluster serves: the run begins. Only the first one counts.
    Ready,
    /// Something happened inside a replica.
    Event {
        /// At which replica.
        node: NodeId,
        /// What.
        event: &'a Event,
    },
    /// A replica's process runs (again).
    Up {
        /// Which replica.
        node: NodeId,
    },
    /// A replica's process ended, by the director's doing or by itself.
    Down {
        /// Which replica.
        node: NodeId,
    },
    /// A replica is known to lead, from elsewhere than its events.
    Leader {
        /// Which replica.
        node: NodeId,
        /// Which epoch.
        epoch: Epoch,
    },
    /// How far a replica has come.
    Status {
        /// Which replica.
        node: NodeId,
        /// The last position it knows to be committed.
        commit: Index,
    },
    /// A client was told that its change is done.
    Acknowledged {
        /// By which replica.
        node: NodeId,
    },
    /// An administrator is done with an errand ([`Effect::Reconfigure`], [`Effect::Transfer`]).
    Answered {
        /// Which errand.
        errand: TrialKey,
        /// What came of it.
        answer: &'a Answer,
    },
}

/// What came of an administrator's errand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// What was asked for is done.
    Done,
    /// It is certainly not done, for this reason.
    Refused(String),
    /// Perhaps it is done, perhaps not: there was no time to find out.
    Unknown(String),
}

/// Something to be done to the cluster, at once.
#[derive(Clone, PartialEq, Debug)]
pub struct Action {
    /// The step it belongs to, by id.
    pub step: String,
    /// Which trial of that step, from 1.
    pub trial: u32,
    /// Whether the fault begins, goes on or ends with it.
    pub phase: Phase,
    /// What to do.
    pub effect: Effect,
}

/// Where in its trial an action stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The fault strikes.
    Begin,
    /// The fault goes on: the rhythm of a slowed process, or a pause renewed after a restart.
    During,
    /// The fault is healed.
    End,
}

/// What to do to the cluster. A list of nodes is never empty, and it is hit at one instant.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Kill the processes (SIGKILL); they run, or are paused.
    Crash(Vec<NodeId>),
    /// Kill the processes, if they run, as [`Crash`](Self::Crash) does; whoever is started in their
    /// places next is found at other addresses.
    Delete(Vec<NodeId>),
    /// Stop the processes in an orderly way; they run, or are paused: then let them run first.
    Stop(Vec<NodeId>),
    /// Start the processes again, with the disks they had.
    Start(Vec<NodeId>),
    /// Freeze the processes (SIGSTOP).
    Pause(Vec<NodeId>),
    /// Let frozen processes run (SIGCONT).
    Resume(Vec<NodeId>),
    /// Install these rules at every replica, in the place of all earlier ones; a replica that
    /// starts later gets the latest ones.
    Links(LinkRules),
    /// Multiply the schedule's load by this, in the place of any earlier factor.
    LoadFactor(f64),
    /// Let a client write a key.
    Put {
        /// The key.
        key: String,
        /// What it holds afterwards.
        value: String,
    },
    /// Start these replicas on empty disks, each in [its place](NodeId::place). They belong to no
    /// configuration, and only learn. Whoever was in the place before is gone, with its disk.
    Deploy(Vec<NodeId>),
    /// Let an administrator ask for a change of the members, until it is done or refused, and tell
    /// what came of it ([`Observation::Answered`]).
    Reconfigure {
        /// Names the errand.
        errand: TrialKey,
        /// The change.
        change: Change,
        /// For how long; `None`: until it is done, whatever is refused meanwhile.
        within: Option<Duration>,
    },
    /// Let an administrator ask the leader to hand over, likewise.
    Transfer {
        /// Names the errand.
        errand: TrialKey,
        /// To whom; `None`: to whichever is best.
        to: Option<NodeId>,
        /// For how long.
        within: Duration,
    },
    /// Put these rules in force at a replica's disk, in the place of all earlier ones, whether its
    /// process runs or not; one that starts later on this disk gets the latest ones. Whoever ends by
    /// itself because of them is observed to be [down](Observation::Down), and is started by the
    /// director.
    Disk {
        /// Whose disk.
        node: NodeId,
        /// What is wrong with it.
        rules: DiskRules,
    },
    /// Flip a bit on the disks of these replicas, whose processes do not run: in a record at rest
    /// that others follow, or it would pass for the torn end of a crash.
    Damage(Vec<NodeId>),
    /// Start these processes on their damaged disks. Each must refuse and end, with an error that
    /// names the record; one that comes up has voted over the damage, and the run is a failure.
    StartDamaged(Vec<NodeId>),
    /// Let the clocks of these replicas jump.
    ClockJump {
        /// Whose clocks.
        nodes: Vec<NodeId>,
        /// How far.
        by: Jump,
    },
    /// Let a replica's clock run at this rate from now on, in the place of any earlier one, whether
    /// its process runs or not; one that starts later runs by it.
    ClockRate {
        /// Whose clock.
        node: NodeId,
        /// By how much it is too fast, in parts per million; `None`: as it drifts by itself.
        ppm: Option<i32>,
    },
}

impl Effect {
    /// Its name in progress lines and traces.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Crash(_) => "crash",
            Self::Delete(_) => "delete",
            Self::Stop(_) => "stop",
            Self::Start(_) => "start",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Links(_) => "links",
            Self::LoadFactor(_) => "load",
            Self::Put { .. } => "put",
            Self::Deploy(_) => "deploy",
            Self::Reconfigure { .. } => "reconfigure",
            Self::Transfer { .. } => "transfer",
            Self::Disk { .. } => "disk",
            Self::Damage(_) => "damage",
            Self::StartDamaged(_) => "start-damaged",
            Self::ClockJump { .. } => "clock-jump",
            Self::ClockRate { .. } => "clock-rate",
        }
    }
}
