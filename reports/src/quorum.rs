//! What all faults in force leave of a cluster: who runs, who reaches whom, who could lead.
//!
//! A fault is judged by what it adds to the others: cutting off the leader of five leaves a quorum,
//! unless two more are dead already.

use std::collections::BTreeSet;

use consensus_core::{NodeId, Time};

use crate::record::{FaultBand, RunRecord};

/// A cluster under some faults.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Condition {
    running: Vec<NodeId>,
    cut: BTreeSet<(NodeId, NodeId)>,
    majority: usize,
}

impl Condition {
    /// The cluster under these faults.
    pub fn under<'a>(record: &RunRecord, faults: impl Iterator<Item = &'a FaultBand>) -> Self {
        let members = record.metadata.nodes as u64;
        let (mut stopped, mut cut) = (BTreeSet::new(), BTreeSet::new());
        for fault in faults {
            if fault.stops_processes() {
                stopped.extend(fault.nodes.iter().copied());
            }
            if fault.is_partition() {
                cut.extend(fault.links.iter().copied());
            }
        }
        Self {
            running: (1..=members).map(NodeId).filter(|node| !stopped.contains(node)).collect(),
            cut,
            majority: record.metadata.nodes / 2 + 1,
        }
    }

    /// Whether what `from` sends arrives at `to`.
    fn reaches(&self, from: NodeId, to: NodeId) -> bool {
        self.running.contains(&from)
            && self.running.contains(&to)
            && !self.cut.contains(&(from, to))
    }

    /// Whether a replica runs and exchanges messages with a quorum, itself included.
    pub fn has_quorum(&self, node: NodeId) -> bool {
        let exchange = |other: &&NodeId| self.reaches(node, **other) && self.reaches(**other, node);
        self.running.contains(&node)
            && self.running.iter().filter(exchange).count() >= self.majority
    }

    /// Those who could be elected.
    fn electable(&self) -> impl Iterator<Item = NodeId> {
        self.running.iter().copied().filter(|&node| self.has_quorum(node))
    }

    /// Those who miss this leader and could be elected in its place; nobody if any replica that
    /// could be elected still hears it.
    pub fn survivors(&self, leader: NodeId) -> Vec<NodeId> {
        let survivors: Vec<NodeId> = self.electable().collect();
        match survivors.iter().any(|&node| self.reaches(leader, node)) {
            true => Vec::new(),
            false => survivors,
        }
    }
}

/// The faults that are in force just after an instant.
pub(crate) fn in_force(record: &RunRecord, at: Time) -> impl Iterator<Item = &FaultBand> {
    let lasts = move |fault: &&FaultBand| fault.end.is_none_or(|end| end > at);
    record.faults.iter().filter(move |fault| fault.start <= at).filter(lasts)
}

/// When a quorum last came back between these instants; `None` if there was one all the time.
pub(crate) fn returned(record: &RunRecord, from: Time, to: Time) -> Option<Time> {
    let changes = record.faults.iter().flat_map(|fault| [Some(fault.start), fault.end]).flatten();
    let mut instants: BTreeSet<Time> = changes.filter(|&at| from < at && at <= to).collect();
    instants.insert(from);
    let (mut missing, mut returned) = (false, None);
    for at in instants {
        let quorum = Condition::under(record, in_force(record, at)).electable().next().is_some();
        if quorum && missing {
            returned = Some(at);
        }
        missing = !quorum;
    }
    returned
}
