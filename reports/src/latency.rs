//! Commit latency: as clients feel it, and inside the leader with what completed each quorum.
//!
//! A client's latency counts from the instant at which an open-loop client *meant* to send, so that
//! a stall is not hidden by the requests that it kept from being sent ("coordinated omission").
//! Inside the leader it counts from `Proposed` to the `Committed` that covers the entry, in the same
//! epoch, and is attributed to what completed the quorum: the leader's own disk, or a peer's network
//! and disk, the latter's share riding along in its message. Disks work in parallel: these parts
//! are an attribution, not a sum.

use std::collections::BTreeMap;

use consensus_core::{
    Consistency, Event, Index, NodeId, Time,
    history::{Call, Observed, Operation},
};
use serde::{Deserialize, Serialize};

use crate::{
    record::RunRecord,
    statistics::{Quantiles, sorted},
};

/// One answered client operation.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Answered {
    /// When it was meant to be sent.
    pub intended: Time,
    /// When the successful answer came.
    pub completed: Time,
    /// Whether it reads only.
    pub kind: Kind,
    /// What was promised to it, if it is a read.
    pub promised: Option<Consistency>,
}

/// What an operation does to the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It is served without a log entry.
    Read,
    /// It commits an entry.
    Write,
}

impl Kind {
    /// The kind of an operation.
    pub const fn of(operation: &Operation) -> Self {
        match operation.call {
            Call::Get => Self::Read,
            _ => Self::Write,
        }
    }
}

impl Answered {
    /// From the intended sending to the answer, in milliseconds.
    pub fn latency_ms(&self) -> f64 {
        self.completed.since(self.intended).as_nanos() as f64 / 1e6
    }
}

/// The operations that were answered with success, by the time they were meant to be sent.
pub fn answered(operations: &[Operation]) -> Vec<Answered> {
    let mut answered: Vec<Answered> = operations
        .iter()
        .filter(|operation| operation.outcome.is_ok())
        .filter_map(|operation| {
            let completed = operation.completed?;
            Some(Answered {
                intended: operation.intended,
                completed,
                kind: Kind::of(operation),
                promised: operation.promised(),
            })
        })
        .collect();
    answered.sort_unstable_by_key(|operation| (operation.intended, operation.completed));
    answered
}

/// The latencies of one kind, in milliseconds, ascending.
pub fn latencies_ms(answered: &[Answered], kind: Kind) -> Vec<f64> {
    sorted(answered.iter().filter(|op| op.kind == kind).map(Answered::latency_ms))
}

/// The latencies of each kind of read, in milliseconds. What a kind costs is its own: one of them
/// asks a quorum, another only the replica next door.
pub fn reads_ms(answered: &[Answered]) -> BTreeMap<Consistency, Quantiles> {
    let of_kind = |kind| {
        let reads = answered.iter().filter(move |read| read.promised == Some(kind));
        let latencies = sorted(reads.map(Answered::latency_ms));
        (!latencies.is_empty()).then(|| (kind, Quantiles::of(&latencies)))
    };
    Consistency::ALL.into_iter().filter_map(of_kind).collect()
}

/// The operations that were under way at no time between a fault's strike and its end.
pub fn undisturbed(record: &RunRecord, answered: &[Answered]) -> Vec<Answered> {
    let disturbed = |operation: &Answered| {
        record.faults.iter().filter(|fault| fault.disturbs()).any(|fault| {
            let end = fault.end.unwrap_or(Time(u64::MAX));
            operation.intended <= end && operation.completed >= fault.start
        })
    };
    answered.iter().filter(|operation| !disturbed(operation)).copied().collect()
}

/// The observations by time; those of one instant stay in the order in which they were noted.
pub fn in_order(observed: &[Observed]) -> Vec<&Observed> {
    let mut observed: Vec<&Observed> = observed.iter().collect();
    observed.sort_by_key(|seen| seen.at);
    observed
}

/// One command that its leader committed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Commit {
    /// The leader.
    pub leader: NodeId,
    /// When the leader put it into its log.
    pub proposed: Time,
    /// When the leader knew it to be committed.
    pub committed: Time,
    /// What completed the quorum.
    pub completed_by: Completion,
    /// How long the completing acknowledgement had waited for its sender's disk, in milliseconds.
    pub sync_ms: f64,
}

/// What completed a quorum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completion {
    /// The leader's own disk was the last that was needed.
    OwnDisk,
    /// A peer's acknowledgement was the last that was needed.
    Peer,
    /// The observation does not tell.
    Unknown,
}

impl Commit {
    /// From `Proposed` to `Committed`, in milliseconds.
    pub fn latency_ms(&self) -> f64 {
        self.committed.since(self.proposed).as_nanos() as f64 / 1e6
    }
}

/// The commands that leaders committed in the epoch in which they proposed them.
pub fn commits(observed: &[Observed]) -> Vec<Commit> {
    let mut open: BTreeMap<(NodeId, u64), BTreeMap<Index, (consensus_core::Epoch, Time)>> =
        BTreeMap::new();
    let mut commits = Vec::new();
    for seen in in_order(observed) {
        let of_node = (seen.node, seen.incarnation);
        match seen.event {
            Event::Proposed { index, epoch, .. } => {
                open.entry(of_node).or_default().insert(index, (epoch, seen.at));
            }
            Event::Committed { epoch, to, .. } => {
                let Some(waiting) = open.get_mut(&of_node) else { continue };
                let later = waiting.split_off(&(to + 1));
                let done = std::mem::replace(waiting, later);
                let own = done.into_values().filter(|&(proposed_in, _)| proposed_in == epoch);
                commits.extend(own.map(|(_, proposed)| commit(seen, proposed)));
            }
            _ => {}
        }
    }
    commits
}

fn commit(seen: &Observed, proposed: Time) -> Commit {
    Commit {
        leader: seen.node,
        proposed,
        committed: seen.at,
        completed_by: match seen.from {
            Some(from) if from == seen.node => Completion::OwnDisk,
            Some(_) => Completion::Peer,
            None => Completion::Unknown,
        },
        sync_ms: seen.sync_ns as f64 / 1e6,
    }
}

/// The commit latency inside leaders, and what completed the quorums.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct LeaderLatency {
    /// From `Proposed` to `Committed`, in milliseconds.
    #[serde(flatten)]
    pub latency: Quantiles,
    /// The share of commands whose quorum the leader's own disk completed.
    pub completed_by_own_disk: Option<f64>,
    /// The share of commands whose quorum a peer completed.
    pub completed_by_peer: Option<f64>,
    /// Where a peer completed it: the median of that peer's wait for its disk, in milliseconds.
    pub peer_sync_p50_ms: Option<f64>,
    /// Where a peer completed it: the median of what is left, the network and both queues.
    pub peer_network_p50_ms: Option<f64>,
}

/// The commit latency inside leaders.
pub fn leader_latency(commits: &[Commit]) -> LeaderLatency {
    let share = |wanted| {
        let count = commits.iter().filter(|commit| commit.completed_by == wanted).count();
        (!commits.is_empty()).then(|| count as f64 / commits.len() as f64)
    };
    let median_of_peers = |part: fn(&Commit) -> f64| {
        let by_peer = commits.iter().filter(|commit| commit.completed_by == Completion::Peer);
        Quantiles::of(&sorted(by_peer.map(part))).p50
    };
    LeaderLatency {
        latency: Quantiles::of(&sorted(commits.iter().map(Commit::latency_ms))),
        completed_by_own_disk: share(Completion::OwnDisk),
        completed_by_peer: share(Completion::Peer),
        peer_sync_p50_ms: median_of_peers(|commit| commit.sync_ms),
        peer_network_p50_ms: median_of_peers(|c| (c.latency_ms() - c.sync_ms).max(0.0)),
    }
}

/// The latencies of the operations that were meant to be sent within one stretch of time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LatencyBin {
    /// The middle of the stretch, in seconds since the load began.
    pub at_s: f64,
    /// The median, in milliseconds.
    pub p50: f64,
    /// The 95 % quantile, whatever the number of operations: a shape, not a figure.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

/// The latencies over time, in stretches of `width_s` seconds; stretches without answers are left
/// out.
pub fn latency_over_time(
    record: &RunRecord,
    answered: &[Answered],
    width_s: f64,
) -> Vec<LatencyBin> {
    let mut bins: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for operation in answered {
        let bin = (record.seconds(operation.intended) / width_s).floor() as i64;
        bins.entry(bin).or_default().push(operation.latency_ms());
    }
    bins.into_iter()
        .filter_map(|(bin, latencies)| {
            let latencies = sorted(latencies);
            let at = |p| crate::statistics::quantile(&latencies, p);
            let at_s = (bin as f64 + 0.5) * width_s;
            Some(LatencyBin { at_s, p50: at(0.5)?, p95: at(0.95)?, max: at(1.0)? })
        })
        .collect()
}
