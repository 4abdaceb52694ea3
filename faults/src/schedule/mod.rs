//! The file a person writes: which faults, at whom, when, under which load, and what must hold.
//!
//! ```toml
//! name  = "leader-isolation"
//! nodes = 5
//! load  = { rate = 2000, keys = 100, reads = 0.5, timeout = "1s" }
//!
//! [[step]]
//! id     = "cut"
//! at     = { after = "leader-elected", plus = "5s", jitter = "500ms" }
//! fault  = { kind = "partition", shape = "isolate", target = "leader", direction = "inbound" }
//! for    = "3s"
//! repeat = { times = 10, every = "8s", resolve = "each" }
//!
//! [expect]
//! always    = ["linearizable", "log-agreement", "no-lost-acks", "exactly-once"]
//! sometimes = ["leader-changed"]
//! ```

mod bundled;
mod capabilities;
mod digest;
mod error;
mod expect;
mod fault;
mod hardware;
mod heal;
mod load;
pub(crate) mod paths;
mod settings;
mod short;
mod simulation;
mod step;
mod swarm;
mod target;
mod validate;

use std::{num::NonZeroUsize, time::Duration};

use serde::{Deserialize, Serialize};

pub use bundled::Named;
pub use capabilities::{Capabilities, Feature, Support, Unsupported, table};
pub use error::ScheduleError;
pub use expect::{AfterHeal, Always, Expect, Sometimes};
pub use fault::{
    Crash, Delete, Direction, Fate, Fault, Kind, Link, Partition, Pause, Put, Reconfigure, Restart,
    Shape, Slow, Surge, Transfer,
};
pub use hardware::{Ailment, Clock, Disk};
pub use heal::Heal;
pub use load::{Arrivals, Load, Mix, Mode, ReadKinds};
pub use settings::{Overrides, Size, SizeError};
pub use simulation::{Simulation, Stalls};
pub use step::{Anchor, At, Repeat, Resolve, Step};
pub use target::{Target, Targets};

use crate::duration;

/// A failure schedule: symbolic, and so the same for every protocol.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Its name, on the command line and in reports.
    pub name: String,
    /// What it shows, in a line.
    #[serde(default)]
    pub description: String,
    /// How many replicas the cluster has.
    #[serde(default = "five")]
    pub nodes: NonZeroUsize,
    /// How long the load runs undisturbed, from the moment the cluster serves until the anchor
    /// `start`. The baseline is measured here.
    #[serde(default = "two_seconds", with = "duration::text")]
    pub warmup: Duration,
    /// How long the run goes on after the last fault is healed, for the cluster to agree again.
    #[serde(default = "five_seconds", with = "duration::text")]
    pub settle: Duration,
    /// How long a step waits for its event, or for a target to exist, before it is given up and
    /// recorded as missed.
    #[serde(default = "thirty_seconds", with = "duration::text")]
    pub patience: Duration,
    /// Who is healed once all steps are over.
    #[serde(default, skip_serializing_if = "Heal::is_usual")]
    pub heal: Heal,
    /// A key whose value is sampled at every replica throughout the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<String>,
    /// What it sets of the protocols' parameters.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub settings: Overrides,
    /// What a simulated cluster runs on.
    #[serde(default, skip_serializing_if = "Simulation::is_usual")]
    pub simulation: Simulation,
    /// What the clients do.
    #[serde(default)]
    pub load: Load,
    /// What must hold.
    #[serde(default)]
    pub expect: Expect,
    /// The faults, in the order of the file.
    #[serde(default, rename = "step")]
    pub steps: Vec<Step>,
}

const fn five() -> NonZeroUsize {
    NonZeroUsize::new(5).expect("five is not zero")
}

const fn two_seconds() -> Duration {
    Duration::from_secs(2)
}

const fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

const fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

impl Schedule {
    /// Reads a schedule and checks it; `file_name` is what errors call it.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, ScheduleError> {
        Self::parse_for(file_name, text, None)
    }

    /// Reads a schedule for a cluster of this size, whatever size the text says, and checks it at
    /// that size; without one, at its own.
    pub fn parse_for(
        file_name: &str,
        text: &str,
        nodes: Option<NonZeroUsize>,
    ) -> Result<Self, ScheduleError> {
        let mut schedule: Self =
            toml::from_str(text).map_err(|error| error::explain(file_name, text, &error))?;
        schedule.nodes = nodes.unwrap_or(schedule.nodes);
        schedule.name_steps();
        schedule.check().map_err(|trouble| trouble.locate(file_name, text))?;
        Ok(schedule)
    }

    /// The same schedule for a cluster of another size; an error if it cannot be had at that size.
    pub fn with_nodes(&self, nodes: NonZeroUsize) -> Result<Self, ScheduleError> {
        let resized = Self { nodes, ..self.clone() };
        resized.check().map_err(|trouble| trouble.without_file(&self.name))?;
        Ok(resized)
    }

    /// The same schedule for a network on which everything takes so many times longer: how long
    /// clients and steps wait, how long recovery is watched, and every bound on what is measured.
    /// The faults themselves come and last as before.
    #[must_use]
    pub fn stretched(&self, times: u32) -> Self {
        let mut schedule = self.clone();
        let Self { settle, patience, load, expect, .. } = &mut schedule;
        let AfterHeal { leader, converged } = &mut expect.after_heal;
        let bounds = leader.iter_mut().chain(converged).chain(expect.slo.values_mut());
        for waits in bounds.chain([settle, patience, &mut load.timeout]) {
            *waits = waits.saturating_mul(times);
        }
        schedule
    }

    /// The schedule as TOML, to be read back by [`Schedule::parse`].
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a schedule holds nothing that TOML cannot write")
    }

    /// How many trials there are: the sum of all repetitions.
    pub fn trial_count(&self) -> u32 {
        self.steps.iter().map(Step::times).sum()
    }

    /// How many places for replicas a run may fill: those of the beginning, and one for each replica
    /// that is added. A replica that comes back without its disk fills its old place.
    pub fn places(&self) -> usize {
        let added = self.steps.iter().map(|step| match &step.fault {
            Fault::Reconfigure(change) => u64::from(change.add) * u64::from(step.times()),
            _ => 0,
        });
        self.nodes.get() + usize::try_from(added.sum::<u64>()).unwrap_or(usize::MAX / 2)
    }

    /// Gives each step without an id its number as one, so that everything can be spoken of.
    fn name_steps(&mut self) {
        for (number, step) in self.steps.iter_mut().enumerate() {
            if step.id.is_empty() {
                step.id = format!("step-{}", number + 1);
            }
        }
    }
}
