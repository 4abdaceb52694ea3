//! What a schedule turned out to be in a run: when, and who.

use std::time::Duration;

use consensus_core::NodeId;
use serde::{Deserialize, Serialize};

use super::Answer;
use crate::{
    duration,
    schedule::{Kind, Schedule, ScheduleError},
};

/// A run's own schedule: the symbolic one, and what "leader" turned out to be, and when. Times count
/// from the moment the cluster served ([`Observation::Ready`](super::Observation::Ready)).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// The digest of the symbolic schedule with the seed.
    pub digest: String,
    /// The seed, as text: TOML's numbers end at 2⁶³.
    #[serde(with = "seed_text")]
    pub seed: u64,
    /// When everything was healed, or the core, if it came to that.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub healed: Option<Duration>,
    /// Who was healed, if not everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core: Option<Vec<NodeId>>,
    /// The trials, in the order in which they were planned.
    #[serde(default, rename = "trial")]
    pub trials: Vec<Trial>,
    /// The symbolic schedule.
    pub schedule: Schedule,
}

impl Resolved {
    /// The resolved schedule as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a resolved schedule holds nothing that TOML cannot write")
    }

    /// Reads a resolved schedule; `file_name` is what errors call it.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, ScheduleError> {
        let resolved: Self = toml::from_str(text)
            .map_err(|error| ScheduleError::unreadable(file_name, text, &error))?;
        resolved.check(file_name)?;
        Ok(resolved)
    }
}

impl Resolved {
    /// Whether the schedule inside is sound, and the rest speaks of it.
    fn check(&self, file_name: &str) -> Result<(), ScheduleError> {
        Schedule::parse(file_name, &self.schedule.to_toml())
            .map_err(|error| ScheduleError { line: None, ..error })?;
        let refuse = |field: String, why: String| {
            Err(ScheduleError { file: file_name.to_owned(), line: None, field, why })
        };
        if self.digest != self.schedule.digest(self.seed) {
            let why = "it is not that of the schedule and the seed: one of the three was changed";
            return refuse("digest".into(), why.into());
        }
        let places = 1..=self.schedule.places() as u64;
        let is_strange = |id: &NodeId| id.0 == 0 || !places.contains(&id.place().0);
        if let Some(stranger) = self.core.iter().flatten().find(|id| is_strange(id)) {
            return refuse("core".into(), format!("the cluster has no node {stranger}"));
        }
        for (position, trial) in self.trials.iter().enumerate() {
            let field = |name| format!("trial[{}].{name}", position + 1);
            let step = self.schedule.steps.iter().find(|step| step.id == trial.step);
            if step.is_none_or(|step| step.fault.kind() != trial.kind) {
                return refuse(
                    field("step"),
                    format!("there is no {} `{}`", trial.kind, trial.step),
                );
            }
            let links = trial.links.iter().flat_map(|&(from, to)| [from, to]);
            let named = trial.nodes.iter().chain(&trial.added).copied().chain(links);
            if let Some(stranger) = named.into_iter().find(is_strange) {
                return refuse(field("nodes"), format!("the cluster has no node {stranger}"));
            }
        }
        Ok(())
    }
}

/// One fault of a schedule with its recovery.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The step, by id.
    pub step: String,
    /// Which trial of that step, from 1.
    pub trial: u32,
    /// What kind of fault.
    pub kind: Kind,
    /// When it was planned: its anchor with `plus` and jitter.
    #[serde(with = "duration::text")]
    pub planned: Duration,
    /// When it struck; `None` if it never did.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub began: Option<Duration>,
    /// When it was healed; `None` if it has not been yet.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub ended: Option<Duration>,
    /// Why it never struck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
    /// Who led when it struck, as far as was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<NodeId>,
    /// The replicas it hit, in order; for a partition, its first group (or its bridge).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeId>,
    /// The links it hit, each from one replica to another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<(NodeId, NodeId)>,
    /// The replicas that came anew with it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<NodeId>,
    /// What an administrator was told who asked for a change of the members or of the leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// Why a trial never struck.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// What it waited for did not happen within the schedule's patience.
    NoEvent,
    /// There was nobody to hit within the schedule's patience.
    NoTarget,
    /// The run was ended before.
    Ended,
}

/// A seed as text.
mod seed_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(seed: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(seed)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}
