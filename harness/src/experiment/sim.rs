//! The target `sim`: the plan in virtual time.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use checker::StateDigest;
use consensus_core::NodeId;
use reports::Counters;
use simulator::{Measured, Recording, SimulationConfig};

use super::{Raw, Recovery};
use crate::plan::Plan;

/// The simulation that a plan asks for.
pub fn simulation(plan: &Plan) -> SimulationConfig {
    let config = SimulationConfig::new(plan.schedule.clone(), plan.seed);
    let mut config = config.on(plan.network.unwrap_or_default());
    config.settings = plan.tuning.settings(NodeId(1), plan.members());
    if let Some(replay) = &plan.replay {
        config.replayed = Some(replay.resolved.clone());
        config.cast = replay.cast;
    }
    if let Some(Measured { network, sync, .. }) = plan.measured() {
        config.network = network.clone();
        config.disk.sync = sync.clone().unwrap_or(config.disk.sync);
    }
    if plan.is_drawn() { config.varied() } else { config }
}

/// What a simulation left, in the shape that every target hands over.
pub fn raw(recording: Recording) -> Result<Raw> {
    let ready = recording.ready.context("the simulated cluster never served")?;
    let sum = |of: fn(&simulator::Counters) -> u64| recording.counters.iter().map(of).sum();
    let counters = Counters {
        messages: Some(sum(|counters| counters.messages)),
        bytes: Some(sum(|counters| counters.bytes)),
        syncs: Some(sum(|counters| counters.syncs)),
    };
    let damaged = sum(|counters| counters.corrupt);
    let end = recording.operations.iter().map(|operation| operation.intended).max();
    let caught_up = recording.healed.zip(recording.caught_up).map(|(from, to)| to.since(from));
    let leader = Recovery::served_after(recording.healed, &recording.operations);
    let digest = |state: &simulator::FinalState| StateDigest {
        node: state.node,
        applied: state.applied,
        digest: state.digest,
    };
    Ok(Raw {
        counters,
        damaged,
        crossings: None,
        facts: BTreeMap::new(),
        states: recording.known_states().map(digest).collect(),
        recovery: Recovery { leader, converged: caught_up },
        ready,
        end: end.unwrap_or(ready),
        durability: "simulated disk: what is synced survives".to_owned(),
        partial: recording.healed.is_none(),
        failure: None,
        resolved: recording.resolved,
        operations: recording.operations,
        applied: recording.applied,
        observed: recording.observed,
        samples: recording.samples,
        passages: Vec::new(),
    })
}
