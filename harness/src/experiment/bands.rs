//! The faults of a run as its report shows them: when, whom, and which of them never struck.

use consensus_core::{NodeId, Time};
use faults::{
    Kind, Resolved,
    director::{Missed, Trial},
    links::Channel,
    schedule::{Direction, Fault, Partition, Shape},
};
use reports::{Expectation, FaultBand};

/// The faults as bands on the run's own clock.
pub fn bands(resolved: &Resolved, ready: Time) -> Vec<FaultBand> {
    let band = |trial: &Trial| {
        let repeats = |step: &&faults::schedule::Step| step.times() > 1;
        let step = resolved.schedule.steps.iter().find(|step| step.id == trial.step);
        let fault = step.map(|step| &step.fault);
        // What the gossip alone loses leaves the protocol's quorums as they are.
        let cuts =
            matches!(fault, Some(Fault::Partition(cut)) if cut.channel != Some(Channel::Gossip));
        Some(FaultBand {
            step: trial.step.clone(),
            trial: step.filter(repeats).map(|_| trial.trial),
            kind: trial.kind.to_string(),
            label: fault.map_or_else(|| trial.kind.to_string(), |fault| label(fault, trial)),
            nodes: trial.nodes.clone(),
            links: if cuts { trial.links.clone() } else { Vec::new() },
            start: ready + trial.began?,
            end: trial.ended.map(|ended| ready + ended),
        })
    };
    let mut bands: Vec<_> = resolved.trials.iter().filter_map(band).collect();
    bands.sort_by_key(|band| band.start);
    bands
}

/// How many faults were planned that can strike a replica.
pub fn planned(resolved: &Resolved) -> u64 {
    let strikes = |trial: &&Trial| !matches!(trial.kind, Kind::Load | Kind::Put);
    resolved.trials.iter().filter(strikes).count() as u64
}

/// What a plot writes beside a fault.
fn label(fault: &Fault, trial: &Trial) -> String {
    let kind = trial.kind;
    match fault {
        Fault::Put(put) => format!("put {}={}", put.key, put.value),
        Fault::Load(surge) => format!("load ×{}", surge.factor),
        Fault::Partition(partition) => parted(partition, trial),
        Fault::Link(_) => match trial.links.as_slice() {
            [(from, to)] => format!("{kind} {from}→{to}"),
            links => format!("{kind} faults on {}", links.len()),
        },
        _ => format!("{kind} {}", listed(&trial.nodes)),
    }
}

fn parted(partition: &Partition, trial: &Trial) -> String {
    let group = listed(&trial.nodes);
    match (partition.shape, partition.direction) {
        (Shape::Bridge, _) => format!("partition, bridge {group}"),
        (Shape::Ring, _) => "partition, ring".to_owned(),
        (Shape::QuorumLoss, direction) => around(trial, "quorum loss, hub", direction),
        (Shape::ConstrainedElection, direction) => {
            around(trial, "constrained election, hub", direction)
        }
        (Shape::Chained, direction) => around(trial, "chained, far end", direction),
        (Shape::Groups, _) => {
            let group =
                |group: &Vec<u64>| listed(&group.iter().copied().map(NodeId).collect::<Vec<_>>());
            let groups: Vec<String> = partition.groups.iter().map(group).collect();
            format!("partition {}", groups.join(" | "))
        }
        (Shape::Links, _) => format!("partition, {} links", trial.links.len()),
        (_, Direction::Both) => format!("partition {group} | rest"),
        (_, Direction::Inbound) => format!("{group} hears nobody"),
        (_, Direction::Outbound) => format!("{group} is heard by nobody"),
    }
}

/// A shape around the leader and one other.
fn around(trial: &Trial, words: &str, direction: Direction) -> String {
    let other = trial.nodes.get(1).map_or_else(String::new, NodeId::to_string);
    let way = match direction {
        Direction::Both => "",
        Direction::Inbound => ", the leader is deaf",
        Direction::Outbound => ", the leader is mute",
    };
    format!("{words} {other}{way}")
}

fn listed(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",")
}

/// Whether every fault that was planned struck: a run that missed some shows less than it says.
pub fn all_struck(resolved: &Resolved) -> Expectation {
    let missed: Vec<String> = resolved
        .trials
        .iter()
        .filter_map(|trial| {
            let why = match trial.missed? {
                Missed::NoEvent => "what it waits for did not happen",
                Missed::NoTarget => "there was nobody to strike",
                Missed::Ended => "the run was ended before",
            };
            Some(format!("'{}', trial {}: {why}", trial.step, trial.trial))
        })
        .collect();
    let all = resolved.trials.len();
    let struck = format!("{} of {all} struck", all - missed.len());
    Expectation {
        name: "every planned fault strikes".to_owned(),
        held: missed.is_empty(),
        detail: std::iter::once(struck).chain(missed).collect::<Vec<_>>().join("; "),
    }
}
