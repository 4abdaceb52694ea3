//! The run record: everything that one run leaves behind, and the schema that every target fills.
//!
//! A *run* is one cluster's life under one schedule. Statistics, plots and reports are functions of
//! the record alone, so that a report can be made again, years later, from the files of a run.

use std::collections::BTreeMap;

use checker::{Core, Evidence, Fault, Faults, StateDigest, Verdict, Verdicts};
use consensus_core::{
    NodeId, Time,
    history::{Applied, Observed, Operation, Passage, Sample},
};
use serde::{Deserialize, Serialize};

/// Everything of one run.
///
/// The long lists stand in files of their own (see [`crate::directory`]) and are skipped here when
/// the record is serialized.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRecord {
    /// What ran, where, and by which command.
    pub metadata: Metadata,
    /// The parameters of the replicas, one row each: the parity table.
    pub settings: Vec<Setting>,
    /// The parameters once more, as a replica takes them on its command line, so that the run can be
    /// played again.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// The faults that struck, in the order in which they took effect.
    pub faults: Vec<FaultBand>,
    /// What the run cost.
    pub counters: Counters,
    /// The election parameters, for the prediction; `None` makes none.
    pub timing: Option<ElectionTiming>,
    /// What the checker found.
    pub verdicts: Verdicts,
    /// How many faults were planned.
    #[serde(default)]
    pub planned_faults: u64,
    /// Who was healed at the end, if not everybody.
    #[serde(default)]
    pub core: Option<Core>,
    /// Digests of the replicas' states, as far as they were taken.
    pub states: Vec<StateDigest>,
    /// What the schedule expected, and whether it held.
    pub expectations: Vec<Expectation>,
    /// The verdicts, by name, that the schedule expects to be violated.
    #[serde(default)]
    pub meant_to_break: Vec<String>,
    /// What a reader of the verdicts must know, each in a sentence.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// The resolved schedule, as TOML.
    #[serde(skip)]
    pub schedule_text: String,
    /// The configuration of the replicas, as TOML.
    #[serde(skip)]
    pub config_text: String,
    /// The clients' operations.
    #[serde(skip)]
    pub operations: Vec<Operation>,
    /// What each replica applied.
    #[serde(skip)]
    pub applied: Vec<Applied>,
    /// What was seen inside the replicas.
    #[serde(skip)]
    pub observed: Vec<Observed>,
    /// The replicas' states over time; empty if nobody watched.
    #[serde(skip)]
    pub samples: Vec<Sample>,
    /// How long messages between the replicas were under way; empty if nobody measured.
    #[serde(skip)]
    pub passages: Vec<Passage>,
}

/// What ran, where, and by which command.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Metadata {
    /// The protocol's name on the command line, for machines.
    pub protocol: String,
    /// The protocol's name for people; empty if it has no other.
    #[serde(default)]
    pub title: String,
    /// The target: `sim`, `local`, …
    pub target: String,
    /// Which kind of clock the run's times come from.
    pub clock: Clock,
    /// The schedule's name.
    pub schedule: String,
    /// The digest of the symbolic schedule and its draws: equal digests had equal schedules.
    pub schedule_digest: String,
    /// The seed of every draw.
    pub seed: u64,
    /// How many replicas the cluster has.
    pub nodes: usize,
    /// Facts of the machine, by name: operating system, processor, cores, disk, …
    pub host: BTreeMap<String, String>,
    /// The commit of the laboratory that ran.
    pub commit: String,
    /// The command that repeats the run.
    pub command: String,
    /// What a synced write survives on this run's storage.
    pub durability: String,
    /// What messages travelled over.
    #[serde(default)]
    pub network: String,
    /// Whether the run was ended before its schedule was.
    pub partial: bool,
    /// When it started, by the wall clock, RFC 3339.
    pub started_at: String,
    /// When the clients' load began, on the run's own clock.
    pub begin: Time,
    /// When the clients' load ended, on the run's own clock.
    pub end: Time,
    /// The key whose value the samples follow, if one is watched.
    pub watched_key: Option<String>,
}

impl Metadata {
    /// What reports call the protocol.
    pub fn name(&self) -> &str {
        if self.title.is_empty() { &self.protocol } else { &self.title }
    }
}

/// Which kind of clock times come from. Numbers of different kinds never share a chart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// The simulator's: computing takes no time unless the simulation says so.
    Virtual,
    /// A machine's.
    Wall,
}

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Virtual => "virtual time",
            Self::Wall => "wall-clock time",
        })
    }
}

/// One row of the parity table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Setting {
    /// The parameter's name.
    pub name: String,
    /// Its value, with its unit.
    pub value: String,
}

/// One fault, from the instant it took effect until it was taken back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FaultBand {
    /// The schedule's step that it belongs to.
    pub step: String,
    /// Which repetition of the step it is, from 1; `None` for a step that does not repeat.
    pub trial: Option<u32>,
    /// The kind: `crash`, `partition`, …
    pub kind: String,
    /// What a plot writes beside it, in a few words.
    pub label: String,
    /// The nodes that it struck; of a partition, its first group.
    pub nodes: Vec<NodeId>,
    /// The links on which a partition loses the protocol's messages, each from one node to another.
    #[serde(default)]
    pub links: Vec<(NodeId, NodeId)>,
    /// When it took effect.
    pub start: Time,
    /// When it was taken back; `None` if it never was.
    pub end: Option<Time>,
}

impl FaultBand {
    /// Whether it can strike a replica: a change of the load, or a client's write, cannot.
    pub fn strikes(&self) -> bool {
        !matches!(self.kind.as_str(), "load" | "put")
    }

    /// Whether it is meant to disturb the clients: a write that is only noted is not.
    pub fn disturbs(&self) -> bool {
        self.kind != "put"
    }

    /// The same for the checker; `None` for what cannot strike a replica.
    pub fn for_the_checker(&self) -> Option<Fault> {
        self.strikes().then(|| Fault {
            nodes: self.nodes.clone(),
            from: self.start,
            until: self.end,
            ends_processes: self.ends_processes(),
        })
    }

    /// Whether it cuts links.
    pub fn is_partition(&self) -> bool {
        self.kind == "partition"
    }

    /// Whether the nodes it struck stop running.
    pub fn stops_processes(&self) -> bool {
        self.ends_processes() || self.kind == "pause"
    }

    /// Whether the processes it struck end, and forget what they led.
    pub fn ends_processes(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "crash"
                | "delete"
                | "restart"
                | "lost-disk"
                | "lost-volume"
                | "disk-error"
                | "full-disk"
                | "torn-record"
                | "bit-rot"
        )
    }
}

/// What a run cost, over the whole cluster and from [`Metadata::begin`] to [`Metadata::end`].
/// `None`: the target does not count it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Protocol messages that replicas sent to each other; messages to oneself do not count.
    pub messages: Option<u64>,
    /// The bytes of those messages, as encoded by the protocol.
    pub bytes: Option<u64>,
    /// Syncs of the consensus logs.
    pub syncs: Option<u64>,
}

/// The parameters from which election times are predicted.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct ElectionTiming {
    /// The shortest election timeout, in milliseconds.
    pub shortest_timeout_ms: f64,
    /// The longest election timeout, in milliseconds.
    pub longest_timeout_ms: f64,
    /// The longest that a leader stays silent, in milliseconds: the heartbeat interval.
    pub heartbeat_interval_ms: f64,
}

/// One expectation of the schedule, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Expectation {
    /// What was expected, in words.
    pub name: String,
    /// Whether it held.
    pub held: bool,
    /// What was seen instead, or by how much it held.
    pub detail: String,
}

impl RunRecord {
    /// The verdicts on what is recorded.
    pub fn judge(&self) -> Verdicts {
        let struck: Vec<Fault> =
            self.faults.iter().filter_map(FaultBand::for_the_checker).collect();
        checker::check(&Evidence {
            operations: &self.operations,
            applied: &self.applied,
            observed: &self.observed,
            states: &self.states,
            samples: &self.samples,
            faults: Some(Faults {
                planned: self.planned_faults,
                struck: &struck,
                core: self.core.as_ref(),
            }),
        })
    }

    /// How the run stands: the worst of its verdicts.
    pub fn standing(&self) -> crate::verdicts::Standing {
        crate::verdicts::overall(&self.verdicts)
    }

    /// The verdicts that are not ok, and that the schedule does not expect to be violated.
    pub fn unexpected(&self) -> impl Iterator<Item = (&'static str, &Verdict)> {
        let named = self.verdicts.named().into_iter();
        named.filter(|(name, verdict)| {
            let named = self.meant_to_break.iter().any(|meant| meant == name);
            let meant = named && verdict.counterexample().is_some();
            !verdict.passes() && !meant
        })
    }

    /// Whether performance figures may be given: no verdict is violated (a run that fails
    /// its verdict gives no performance figures and enters no comparison).
    pub fn may_be_measured(&self) -> bool {
        self.standing() != crate::verdicts::Standing::Violated
    }

    /// Milliseconds from the beginning of the load until `at`; negative before it.
    pub fn millis(&self, at: Time) -> f64 {
        at.as_millis_f64() - self.metadata.begin.as_millis_f64()
    }

    /// Seconds from the beginning of the load until `at`; negative before it.
    pub fn seconds(&self, at: Time) -> f64 {
        self.millis(at) / 1e3
    }
}
