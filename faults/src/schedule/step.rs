//! One step of a schedule: a fault, when it starts, how long it lasts, how often it comes back.

use std::{fmt, num::NonZeroU32, num::NonZeroU64, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::fault::Fault;
use crate::duration;

/// A fault with its time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What other steps and the report call it; unique. `step-<number>` if the file gives none.
    #[serde(default)]
    pub id: String,
    /// How long the fault lasts. A crash without it stays down until a restart step, or until all
    /// other steps are over and the run is healed; what happens in an instant (`put`) has none;
    /// everything else must have it, unless only a core is healed (`heal = "core"`): then many kinds
    /// may do without, and go on for ever at the others.
    #[serde(
        default,
        rename = "for",
        with = "duration::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub lasts: Option<Duration>,
    /// When it starts.
    pub at: At,
    /// What happens.
    pub fault: Fault,
    /// How often, and how far apart. Each repetition is a trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
}

impl Step {
    /// How many trials the step has.
    pub fn times(&self) -> u32 {
        self.repeat.as_ref().map_or(1, |repeat| repeat.times.get())
    }

    /// How far its trials are apart; zero for a single one.
    pub fn every(&self) -> Duration {
        self.repeat.as_ref().map_or(Duration::ZERO, |repeat| repeat.every)
    }

    /// Whether each trial chooses its targets anew.
    pub fn resolve(&self) -> Resolve {
        self.repeat.as_ref().map_or(Resolve::Each, |repeat| repeat.resolve)
    }
}

/// When a step starts: some time after something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct At {
    /// After what.
    pub after: Anchor,
    /// After how many such events, counted from when the step began to wait; only for the events
    /// `elected`, `campaigning`, `voted`, `commit`, `acknowledged`, `compacted`, `installed`,
    /// `reconfigured` and `transferring`. One if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<NonZeroU64>,
    /// How long after it.
    #[serde(default, with = "duration::text")]
    pub plus: Duration,
    /// At most how much later still, drawn uniformly for each trial.
    #[serde(default, with = "duration::text")]
    pub jitter: Duration,
}

/// What a step waits for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Anchor {
    /// `start`: the cluster serves, and the warm-up is over.
    Start,
    /// `leader-elected`: a leader stands; at once if one does already.
    LeaderElected,
    /// `elected`: the next time that a replica becomes leader.
    Elected,
    /// `campaigning`: the next time that a replica asks for votes or promises.
    Campaigning,
    /// `voted`: the next time that a replica gives its vote or promise to another.
    Voted,
    /// `commit`: the next time that the cluster's commit position grows; `count` counts positions.
    Commit,
    /// `acknowledged`: the next time that a client is told its change is done.
    Acknowledged,
    /// `compacted`: the next time that a replica's snapshot of its own is durable.
    Compacted,
    /// `installed`: the next time that a replica puts a snapshot from another in the place of its
    /// state.
    Installed,
    /// `reconfigured`: the next time that another configuration is in force at a replica.
    Reconfigured,
    /// `transferring`: the next time that a leader begins to hand over.
    Transferring,
    /// `<id>.start`: the first trial of that step began.
    StepStart(String),
    /// `<id>.done`: the last trial of that step ended.
    StepDone(String),
}

impl Anchor {
    /// Whether it is an event inside the cluster, which may be counted and comes with its node.
    pub const fn is_event(&self) -> bool {
        matches!(
            self,
            Self::Elected
                | Self::Campaigning
                | Self::Voted
                | Self::Commit
                | Self::Acknowledged
                | Self::Compacted
                | Self::Installed
                | Self::Reconfigured
                | Self::Transferring
        )
    }

    /// The step it refers to, if it does.
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::StepStart(id) | Self::StepDone(id) => Some(id),
            _ => None,
        }
    }
}

impl FromStr for Anchor {
    type Err = AnchorError;

    fn from_str(text: &str) -> Result<Self, AnchorError> {
        Ok(match text {
            "start" => Self::Start,
            "leader-elected" => Self::LeaderElected,
            "elected" => Self::Elected,
            "campaigning" => Self::Campaigning,
            "voted" => Self::Voted,
            "commit" => Self::Commit,
            "acknowledged" => Self::Acknowledged,
            "compacted" => Self::Compacted,
            "installed" => Self::Installed,
            "reconfigured" => Self::Reconfigured,
            "transferring" => Self::Transferring,
            step => match step.rsplit_once('.') {
                Some((id, "start")) if !id.is_empty() => Self::StepStart(id.to_owned()),
                Some((id, "done")) if !id.is_empty() => Self::StepDone(id.to_owned()),
                _ => return Err(AnchorError(text.to_owned())),
            },
        })
    }
}

/// What nothing can wait for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is nothing to wait for; there are start, leader-elected, elected, campaigning, voted, \
     commit, acknowledged, compacted, installed, reconfigured, transferring, <step>.start and \
     <step>.done"
)]
pub struct AnchorError(pub String);

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::LeaderElected => "leader-elected",
            Self::Elected => "elected",
            Self::Campaigning => "campaigning",
            Self::Voted => "voted",
            Self::Commit => "commit",
            Self::Acknowledged => "acknowledged",
            Self::Compacted => "compacted",
            Self::Installed => "installed",
            Self::Reconfigured => "reconfigured",
            Self::Transferring => "transferring",
            Self::StepStart(id) => return write!(f, "{id}.start"),
            Self::StepDone(id) => return write!(f, "{id}.done"),
        })
    }
}

impl Serialize for Anchor {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Anchor {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// How often a step comes back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// How many trials there are.
    pub times: NonZeroU32,
    /// From the anchor of one trial to that of the next. A trial never begins before the one before
    /// it has ended.
    #[serde(with = "duration::text")]
    pub every: Duration,
    /// Whether each trial chooses its targets anew.
    #[serde(default)]
    pub resolve: Resolve,
}

/// When a step's targets are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolve {
    /// In each trial anew: whoever leads then.
    #[default]
    Each,
    /// In the first trial, for all of them.
    Once,
}
