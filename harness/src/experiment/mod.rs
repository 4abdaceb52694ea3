//! One run, from a plan to a record: start, drive, collect, judge.

mod administrators;
mod bands;
mod collect;
mod docker;
mod host;
mod judge;
mod kubernetes;
mod load;
mod local;
mod progress;
mod real;
mod remarks;
mod sim;
pub mod watch;

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use checker::{Core, Evidence, Faults, StateDigest, Verdicts};
use consensus_core::{
    Time,
    history::{Applied, Call, Observed, Operation, Passage, Sample},
};
use deploy::{Crossings, Cut};
use faults::Resolved;
use reports::{Counters, ElectionTiming, FaultBand, Metadata, RunRecord, Setting};

use crate::{
    cli::{Peers, Target},
    plan::Plan,
    registry::Entry,
};

pub use docker::{docker, reach};
pub use host::{stamp, time_of_day};
pub use kubernetes::{delivery, kubernetes, reach as reach_kubernetes};
pub use load::serve as load;
pub use local::local;
pub use remarks::meant_to_break;
pub use sim::{raw, simulation};

/// What a target hands over: everything that was seen, and nothing judged.
#[derive(Clone, Debug)]
pub struct Raw {
    /// The clients' operations.
    pub operations: Vec<Operation>,
    /// What each replica applied.
    pub applied: Vec<Applied>,
    /// What was seen inside the replicas.
    pub observed: Vec<Observed>,
    /// The replicas' states over time.
    pub samples: Vec<Sample>,
    /// How long messages were under way, as far as that was measured.
    pub passages: Vec<Passage>,
    /// Each replica's state at the end.
    pub states: Vec<StateDigest>,
    /// What the schedule turned out to be.
    pub resolved: Resolved,
    /// When the cluster served: the resolved schedule's time zero.
    pub ready: Time,
    /// When the clients' load ended.
    pub end: Time,
    /// How recovery went after the last fault was healed.
    pub recovery: Recovery,
    /// What it cost.
    pub counters: Counters,
    /// What was sent over links while a target cut them itself; `None` if it cut none.
    pub crossings: Option<Crossings>,
    /// Facts of the target that numbers depend on, by name.
    pub facts: BTreeMap<String, String>,
    /// Damaged messages that replicas noticed and dropped.
    pub damaged: u64,
    /// What a synced write survives.
    pub durability: String,
    /// Whether the run ended before its schedule.
    pub partial: bool,
    /// What broke, if that is why it ended.
    pub failure: Option<String>,
}

impl Raw {
    /// The verdicts on what was seen.
    pub fn judge(&self) -> Verdicts {
        let bands = bands::bands(&self.resolved, self.ready);
        let struck: Vec<_> = bands.iter().filter_map(FaultBand::for_the_checker).collect();
        let (planned, core) = (bands::planned(&self.resolved), self.core());
        checker::check(&Evidence {
            operations: &self.operations,
            applied: &self.applied,
            observed: &self.observed,
            states: &self.states,
            samples: &self.samples,
            faults: Some(Faults { planned, struck: &struck, core: core.as_ref() }),
        })
    }

    /// Who was healed at the end, if not everybody.
    fn core(&self) -> Option<Core> {
        let healed = self.ready + self.resolved.healed?;
        Some(Core { nodes: self.resolved.core.clone()?, healed })
    }
}

/// How long the cluster took to stand again after the last fault was healed; `None`: too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// Until a leader stood: until a client's change was acknowledged.
    pub leader: Option<Duration>,
    /// Until every replica had applied what had been applied anywhere when the fault was healed.
    pub converged: Option<Duration>,
}

impl Recovery {
    /// How long after this instant the first change was acknowledged.
    pub fn served_after(healed: Option<Time>, operations: &[Operation]) -> Option<Duration> {
        let changes = operations.iter().filter(|operation| operation.call != Call::Get);
        let acknowledged = changes.filter(|operation| operation.outcome.is_ok());
        let first =
            acknowledged.filter_map(|op| op.completed.filter(|&at| Some(at) >= healed)).min();
        healed.zip(first).map(|(from, to)| to.since(from))
    }
}

/// What started a run, and when.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The command that repeats it.
    pub command: String,
    /// The wall clock at its start, RFC 3339.
    pub started_at: String,
}

impl Origin {
    /// A run that this command starts now.
    pub fn now(command: String) -> Self {
        Self { command, started_at: host::now_rfc3339() }
    }
}

/// Makes a judged record of what a target handed over.
pub fn assemble(plan: &Plan, protocol: &Entry, origin: Origin, raw: Raw) -> Result<RunRecord> {
    let verdicts = raw.judge();
    let timing = plan.tuning.election_timeout();
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    let mut record = RunRecord {
        metadata: Metadata {
            protocol: protocol.name.to_owned(),
            title: protocol.title.to_owned(),
            target: plan.target.to_string(),
            clock: plan.target.clock(),
            schedule: plan.schedule.name.clone(),
            schedule_digest: raw.resolved.digest.clone(),
            seed: plan.seed,
            nodes: plan.schedule.nodes.get(),
            host: host::facts().into_iter().chain(raw.facts.clone()).collect(),
            commit: env!("LABORATORY_COMMIT").to_owned(),
            command: origin.command,
            durability: raw.durability.clone(),
            network: network(plan),
            partial: raw.partial,
            started_at: origin.started_at,
            begin: raw.ready,
            end: raw.end,
            watched_key: plan.schedule.watch.clone(),
        },
        settings: settings(plan),
        arguments: plan.tuning.arguments(),
        faults: bands::bands(&raw.resolved, raw.ready),
        counters: raw.counters,
        timing: Some(ElectionTiming {
            shortest_timeout_ms: millis(timing.start),
            longest_timeout_ms: millis(timing.end),
            heartbeat_interval_ms: millis(plan.tuning.heartbeat_interval()),
        }),
        verdicts,
        planned_faults: bands::planned(&raw.resolved),
        core: raw.core(),
        expectations: Vec::new(),
        meant_to_break: remarks::meant_to_break(&plan.schedule),
        remarks: remarks::remarks(plan, &raw.resolved),
        schedule_text: raw.resolved.to_toml(),
        config_text: config_text(plan, protocol.name),
        operations: raw.operations,
        applied: raw.applied,
        observed: raw.observed,
        samples: raw.samples,
        passages: raw.passages,
        states: raw.states,
    };
    record.expectations = judge::expectations(&plan.schedule, &record, raw.recovery, raw.damaged);
    record.expectations.push(bands::all_struck(&raw.resolved));
    record.expectations.extend(raw.crossings.map(judge::sealed));
    record.expectations.extend(raw.failure.as_deref().map(judge::broken));
    Ok(record)
}

/// What messages travel over.
fn network(plan: &Plan) -> String {
    match (plan.target, plan.network) {
        (_, Some(_)) if plan.measured().is_some() => "as measured (simulated)".to_owned(),
        (_, Some(network)) => format!("{network} (simulated)"),
        (Target::Docker, None) => "a bridge between containers of this machine".to_owned(),
        (Target::Kubernetes, None) => "the cluster's network of pods".to_owned(),
        (_, None) => "this machine's loopback".to_owned(),
    }
}

/// The rows of the parity table: what every compared run shares.
fn settings(plan: &Plan) -> Vec<Setting> {
    let row = |(name, value): (String, String)| Setting { name, value };
    let load = &plan.schedule.load;
    let mut rows: Vec<_> = plan.tuning.rows().into_iter().map(row).collect();
    let more = [
        ("replicas", plan.schedule.nodes.to_string()),
        ("offered load", format!("{}/s, open loop", load.rate)),
        ("reads", format!("{:.0} % of the operations", load.reads * 100.0)),
        ("keys", load.keys.to_string()),
        ("client timeout", format!("{:?}", load.timeout)),
        match plan.target {
            Target::Sim => ("storage", "simulated disk".to_owned()),
            _ => ("storage", plan.storage.to_string()),
        },
    ];
    rows.extend(more.map(|(name, value)| row((name.to_owned(), value))));
    if plan.target != Target::Sim {
        let spoken = match plan.peers {
            Peers::Plain => "HTTP/2 in the clear",
            Peers::Tls => "HTTP/2 over mutual TLS",
        };
        rows.push(row(("between replicas".to_owned(), spoken.to_owned())));
        let cut = match (plan.cut, plan.target) {
            (Cut::Shim, _) => "the replicas' link shims",
            (Cut::Network, Target::Kubernetes) => "NetworkPolicies",
            (Cut::Network, _) => "the host's packet filter",
        };
        rows.push(row(("links are cut by".to_owned(), cut.to_owned())));
    }
    rows
}

/// The replicas' configuration, as TOML.
fn config_text(plan: &Plan, protocol: &str) -> String {
    let (target, network) = (plan.target.to_string(), network(plan));
    let mut text = format!("protocol = {protocol:?}\ntarget = {target:?}\nnetwork = {network:?}\n");
    for Setting { name, value } in settings(plan) {
        text.push_str(&format!("{name:?} = {value:?}\n"));
    }
    text
}
