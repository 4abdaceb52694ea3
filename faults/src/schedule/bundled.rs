//! The schedules that come with the laboratory. Their files are documentation: read them.

use super::{Schedule, ScheduleError};

/// A bundled schedule's name and what it shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Named {
    /// The name, for [`Schedule::bundled`].
    pub name: &'static str,
    /// What it shows, as its file says.
    pub description: &'static str,
    /// The file itself.
    pub text: &'static str,
}

/// A file of the `schedules` folder, with the line that describes it.
macro_rules! bundled {
    ($($name:literal: $description:literal),+ $(,)?) => {
        [$(Named {
            name: $name,
            description: $description,
            text: include_str!(concat!("../../schedules/", $name, ".toml")),
        }),+]
    };
}

const BUNDLED: [Named; 29] = bundled! {
    "leader-crash": "the leader is killed ten times and brought back",
    "leader-isolation": "the leader is cut off, hearing nobody yet heard by all, ten times",
    "minority-partition": "a minority with the leader is cut off from the majority",
    "quorum-loss": "the leader reaches one hub alone, and only the hub reaches a quorum",
    "constrained-election": "the leader is cut off, and the only one that reaches a quorum is behind",
    "chained": "the leader and one other lose each other; the one between them sees both",
    "one-way-cut": "a follower, then another, then the leader: deaf, mute, and mute",
    "bridge": "two halves see one node in common: first the leader, then a follower",
    "swizzle": "replicas are cut off one after the other, and come back in another order",
    "flaky-links": "messages are lost, doubled, reordered, damaged and late; links are narrow",
    "half-healed": "everybody is hurt; a majority is healed, and the others never are",
    "majority-loss": "a majority is killed at once: the cluster stops, and serves again when it is back",
    "quorum-edge": "as many die as can be borne: it serves; one more: it stops; one returns: it serves",
    "unresponsive-peer": "the leader, then a follower, freezes without dying",
    "overload-peer": "one replica is slowed to a crawl, first a follower, then the leader",
    "overload-cluster": "the whole cluster is offered more than it can take",
    "corruption": "bits are flipped on every link, behind the checksum",
    "rolling-restart": "one replica after the other is restarted in an orderly way",
    "follower-behind": "a follower sleeps past compaction, and needs a snapshot to catch up",
    "grow-and-shrink": "three become five and three again, under load; the leader itself is among those who leave",
    "hand-over": "leadership is handed over ten times, and once to somebody who cannot hear of it",
    "amnesia": "disks are lost, one after the other; newcomers take the places of those who forgot",
    "pod-churn": "nodes are deleted and come back elsewhere, one without its volume, while a variable changes",
    "slow-disk": "syncs are slow, then stall: a follower's, the leader's, at last a majority's",
    "bad-disk": "input and output errors, full disks, torn records, and at last bits that rot",
    "clock-skew": "clocks drift apart as far as leases allow for, and jump forward: no lease breaks",
    "clock-beyond-bound": "the leader's clock drifts beyond what leases allow for: reads by lease are seen to be wrong",
    "the-story": "nodes deleted, network partitioned, a variable changed, everything brought back",
    "calm": "nothing happens at all: the baseline",
};

impl Schedule {
    /// The default schedule's name.
    pub const DEFAULT: &'static str = "leader-crash";

    /// The bundled schedule of this name; an error that lists what exists if there is none.
    pub fn bundled(name: &str) -> Result<Self, ScheduleError> {
        match BUNDLED.iter().find(|bundled| bundled.name == name) {
            Some(found) => Self::parse(&format!("{name}.toml"), found.text),
            None => Err(ScheduleError {
                file: name.to_owned(),
                line: None,
                field: String::new(),
                why: format!(
                    "there is no such bundled schedule; there are {}",
                    BUNDLED.map(|bundled| bundled.name).join(", ")
                ),
            }),
        }
    }

    /// The bundled schedules.
    pub const fn names() -> &'static [Named] {
        &BUNDLED
    }
}
