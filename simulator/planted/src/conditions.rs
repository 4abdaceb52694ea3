//! Under which conditions a mistake shows: schedules aimed at the moment at which it matters, and
//! disks so slow that a crash finds something not yet synced.

use std::{fmt, num::NonZeroUsize, time::Duration};

use faults::Schedule;
use simulator::{DiskModel, Latency, SimulationConfig};

use crate::plant::Mistake;

/// A schedule, and how it is told which seed it runs under.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Conditions {
    /// Those who campaign die with a majority, right after their questions, and come back at once.
    AfterCampaigning,
    /// A majority dies right after votes were given, and comes back at once.
    AfterVoted,
    /// A new leader dies with a minority, right after it was elected.
    AfterElected,
    /// A majority dies right after clients heard that their changes are done.
    AfterAcknowledged,
    /// The leader stays behind with a minority, which its clients still reach.
    LeaderInAMinority,
    /// Whatever the seed draws: what `harness sweep` runs.
    Swarm,
}

impl Conditions {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::AfterCampaigning,
        Self::AfterVoted,
        Self::AfterElected,
        Self::AfterAcknowledged,
        Self::LeaderInAMinority,
        Self::Swarm,
    ];

    /// The conditions that are aimed at a mistake.
    pub const fn aimed_at(mistake: Mistake) -> Self {
        match mistake {
            Mistake::VoteNotPersisted => Self::AfterVoted,
            Mistake::CommitOnAMinority | Mistake::ReadByADeposedLeader => Self::LeaderInAMinority,
            Mistake::AcknowledgementBeforeTheSync | Mistake::RetryAppliedTwice => {
                Self::AfterAcknowledged
            }
        }
    }

    /// The run under a seed.
    ///
    /// # Panics
    ///
    /// If a file of this crate's `schedules` is no schedule.
    pub fn config(self, seed: u64) -> SimulationConfig {
        let schedule = match self.file() {
            Some(text) => Schedule::parse(self.name(), text)
                .unwrap_or_else(|error| panic!("a bundled schedule is refused: {error}")),
            None => Schedule::swarm(seed, const { NonZeroUsize::new(5).expect("not zero") }),
        };
        let sync = Latency::Uniform(Duration::from_millis(2)..Duration::from_millis(30));
        SimulationConfig {
            disk: DiskModel { sync, ..DiskModel::default() },
            convergence_within: Duration::from_secs(5),
            ..SimulationConfig::new(schedule, seed)
        }
    }

    /// The name, as the scoreboard prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfterCampaigning => "after-campaigning",
            Self::AfterVoted => "after-voted",
            Self::AfterElected => "after-elected",
            Self::AfterAcknowledged => "after-acknowledged",
            Self::LeaderInAMinority => "leader-in-a-minority",
            Self::Swarm => "swarm",
        }
    }

    const fn file(self) -> Option<&'static str> {
        Some(match self {
            Self::AfterCampaigning => include_str!("../schedules/after-campaigning.toml"),
            Self::AfterVoted => include_str!("../schedules/after-voted.toml"),
            Self::AfterElected => include_str!("../schedules/after-elected.toml"),
            Self::AfterAcknowledged => include_str!("../schedules/after-acknowledged.toml"),
            Self::LeaderInAMinority => include_str!("../schedules/leader-in-a-minority.toml"),
            Self::Swarm => return None,
        })
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
