//! Under which conditions a mistake shows: schedules aimed at the moment at which it matters, and
//! disks so slow that a crash finds something not yet synced.

use std::{fmt, num::NonZeroUsize, time::Duration};

use faults::Schedule;
use simulator::{DiskModel, Latency, SimulationConfig};

/// A schedule, and the cluster that it strikes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Conditions {
    /// Those who campaign die with a majority, right after their questions, and come back at once.
    AfterCampaigning,
    /// A majority dies right after votes were given, and comes back at once.
    AfterVoted,
    /// Candidates come in pairs, and a voter dies right after its vote left, and comes back while the
    /// other candidate's question is still on its way.
    SplitVote,
    /// A new leader dies with a majority, right after it was elected, and all come back at once.
    AfterElected,
    /// A majority dies right after clients heard that their changes are done.
    AfterAcknowledged,
    /// All replicas die at once, right after clients heard that their changes are done.
    PowerFailure,
    /// The leader stays behind with a minority, which its clients still reach.
    LeaderInAMinority,
    /// Clients read stale values at any replica, one of which is cut off.
    StaleReaders,
    /// Faults of every kind, drawn from the seed.
    Swarm,
}

impl Conditions {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::AfterCampaigning,
        Self::AfterVoted,
        Self::SplitVote,
        Self::AfterElected,
        Self::AfterAcknowledged,
        Self::PowerFailure,
        Self::LeaderInAMinority,
        Self::StaleReaders,
        Self::Swarm,
    ];

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
        let mut config = SimulationConfig {
            disk: DiskModel { sync, ..DiskModel::default() },
            convergence_within: Duration::from_secs(5),
            ..SimulationConfig::new(schedule, seed)
        };
        if self == Self::SplitVote {
            config.settings.pre_vote = false;
            config.settings.election_timeout =
                Duration::from_millis(150)..Duration::from_millis(165);
        }
        config
    }

    /// The name, as the scoreboard prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfterCampaigning => "after-campaigning",
            Self::AfterVoted => "after-voted",
            Self::SplitVote => "split-vote",
            Self::AfterElected => "after-elected",
            Self::AfterAcknowledged => "after-acknowledged",
            Self::PowerFailure => "power-failure",
            Self::LeaderInAMinority => "leader-in-a-minority",
            Self::StaleReaders => "stale-readers",
            Self::Swarm => "swarm",
        }
    }

    const fn file(self) -> Option<&'static str> {
        Some(match self {
            Self::AfterCampaigning => include_str!("../schedules/after-campaigning.toml"),
            Self::AfterVoted => include_str!("../schedules/after-voted.toml"),
            Self::SplitVote => include_str!("../schedules/split-vote.toml"),
            Self::AfterElected => include_str!("../schedules/after-elected.toml"),
            Self::AfterAcknowledged => include_str!("../schedules/after-acknowledged.toml"),
            Self::PowerFailure => include_str!("../schedules/power-failure.toml"),
            Self::LeaderInAMinority => include_str!("../schedules/leader-in-a-minority.toml"),
            Self::StaleReaders => include_str!("../schedules/stale-readers.toml"),
            Self::Swarm => return None,
        })
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
