//! All conditions.

use std::time::Duration;

use simulator::SimulationConfig;

use super::Conditions;
use crate::liveness::Expects;

/// The conditions with the schedule of this name in this crate's `schedules`.
macro_rules! aimed {
    ($name:literal) => {
        Conditions {
            name: $name,
            text: Some(include_str!(concat!("../../schedules/", $name, ".toml"))),
            tune: as_usual,
            expects: Expects::AGREEMENT,
        }
    };
}

/// Faults of every kind, drawn from the seed.
pub static SWARM: Conditions =
    Conditions { name: "swarm", text: None, tune: untidy, expects: Expects::AGREEMENT };

/// All of them.
pub static ALL: [Conditions; 25] = [
    aimed!("after-campaigning"),
    aimed!("after-voted"),
    aimed!("split-vote").tuned(hasty),
    aimed!("after-elected"),
    aimed!("after-acknowledged"),
    aimed!("power-failure"),
    aimed!("leader-in-a-minority"),
    aimed!("longer-logs"),
    aimed!("leaders-fall").tuned(one_by_one),
    aimed!("leaders-cut-off").tuned(one_by_one),
    aimed!("reordered"),
    aimed!("lossy-leaders").tuned(one_by_one),
    aimed!("late-answers").tuned(hasty),
    aimed!("late-retries"),
    aimed!("first-readers"),
    aimed!("restarted-readers").tuned(patient),
    aimed!("stale-readers"),
    aimed!("forgotten-lease").tuned(steady),
    aimed!("lease-handed-over"),
    aimed!("members-swapped"),
    aimed!("members-return").tuned(hasty_with_leases).expecting(UNDISTURBED),
    aimed!("bridge").expecting(SOON_SERVED),
    aimed!("deaf-follower").expecting(UNDISTURBED),
    aimed!("installs"),
    SWARM,
];

/// Nothing strikes the leader or its quorum, so it stays.
const UNDISTURBED: Expects = Expects { longest_outage: None, most_elections: Some(0) };

/// Some replica still reaches a quorum, so it leads soon.
const SOON_SERVED: Expects =
    Expects { longest_outage: Some(Duration::from_secs(2)), most_elections: None };

impl Conditions {
    const fn tuned(self, tune: fn(&mut SimulationConfig)) -> Self {
        Self { tune, ..self }
    }

    const fn expecting(self, expects: Expects) -> Self {
        Self { expects, ..self }
    }
}

const fn as_usual(_config: &mut SimulationConfig) {}

fn untidy(config: &mut SimulationConfig) {
    *config = config.clone().untidy();
}

/// Nobody asks before it campaigns, and many do so at the same time.
fn hasty(config: &mut SimulationConfig) {
    config.settings.pre_vote = false;
    steady(config);
}

/// The same, where leases alone say when nobody is to be helped.
fn hasty_with_leases(config: &mut SimulationConfig) {
    config.settings.pre_vote = false;
}

/// Everybody waits about equally long before it campaigns.
fn steady(config: &mut SimulationConfig) {
    config.settings.election_timeout = Duration::from_millis(150)..Duration::from_millis(165);
}

/// Links may be slow without anybody taking the leader for dead.
fn patient(config: &mut SimulationConfig) {
    config.settings.election_timeout = Duration::from_millis(400)..Duration::from_millis(800);
}

/// Each message carries one entry, so that of several some arrive.
fn one_by_one(config: &mut SimulationConfig) {
    config.settings.max_batch_entries = 1;
}
