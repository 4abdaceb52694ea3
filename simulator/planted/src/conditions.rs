//! Under which conditions a mistake shows: schedules aimed at the moment at which it matters, and
//! parameters that make that moment likely.

use std::{fmt, num::NonZeroUsize, time::Duration};

use faults::Schedule;
use simulator::SimulationConfig;

use crate::liveness::Expects;

mod table;

pub use table::{ALL, SWARM};

/// A schedule, the cluster that it strikes, and how well a cluster without a mistake lives through it.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// The name, as the scoreboard prints it.
    pub name: &'static str,
    /// The schedule's text; `None` where each seed draws another.
    text: Option<&'static str>,
    /// Sets what no schedule can.
    tune: fn(&mut SimulationConfig),
    /// How a cluster without a mistake lives through it.
    pub expects: Expects,
}

impl Conditions {
    /// The conditions of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|known| known.name == name)
    }

    /// The same conditions with another schedule's text.
    pub const fn with_text(self, text: &'static str) -> Self {
        Self { text: Some(text), ..self }
    }

    /// The schedule under a seed.
    ///
    /// # Panics
    ///
    /// If a file of this crate's `schedules` is no schedule.
    pub fn schedule(&self, seed: u64) -> Schedule {
        match self.text {
            Some(text) => Schedule::parse(self.name, text)
                .unwrap_or_else(|error| panic!("a bundled schedule is refused: {error}")),
            None => swarm(seed),
        }
    }

    /// The run under a seed.
    pub fn config(&self, seed: u64) -> SimulationConfig {
        self.config_of(self.schedule(seed), seed)
    }

    /// The run of another schedule under the same conditions: of a smaller one, while it is shrunk.
    pub fn config_of(&self, schedule: Schedule, seed: u64) -> SimulationConfig {
        let mut config = SimulationConfig {
            convergence_within: Duration::from_secs(5),
            // Many times what any schedule takes here.
            limit: Duration::from_secs(120),
            ..SimulationConfig::new(schedule, seed)
        };
        (self.tune)(&mut config);
        config
    }
}

/// Faults of every kind, drawn from the seed, on the disks that it draws; both as the schedule has it,
/// so that it can be shrunk.
fn swarm(seed: u64) -> Schedule {
    const SIZES: [usize; 4] = [3, 5, 5, 7];
    let nodes = SIZES[seed as usize % SIZES.len()];
    let nodes = NonZeroUsize::new(nodes).expect("no cluster is empty");
    let schedule = Schedule::swarm(seed, nodes);
    let config = SimulationConfig::new(schedule, seed).varied();
    Schedule { simulation: config.simulation(), ..config.schedule }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
