//! How much there was to judge. A verdict on nothing is worth nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use consensus_core::{
    Event,
    history::{Call, Operation, Outcome},
};
use serde::{Deserialize, Serialize};

use crate::Evidence;

/// What a run's history holds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// How the operations ended, by what they were: `get`, `put`, `delete`, `compare-and-swap`,
    /// `test-and-set`.
    pub operations: BTreeMap<String, Tally>,
    /// How many keys they touched.
    pub keys: u64,
    /// How many clients there were.
    pub clients: u64,
    /// The most operations that were under way at the same instant.
    pub concurrency: u64,
    /// How many operations met another one of the same key under way: only these can tell a
    /// linearizable store from one that is merely sequential.
    pub overlapping: u64,
    /// How many entries were applied, summed over the replicas and their incarnations.
    pub applied: u64,
    /// How many of the applied entries of sessions were retries that changed nothing.
    pub retries: u64,
    /// How many elections were won.
    pub elections: u64,
}

/// How operations ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Done and answered.
    pub ok: u64,
    /// Certainly not done.
    pub failed: u64,
    /// Perhaps done.
    pub unknown: u64,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Ok { .. } => self.ok += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Unknown(_) => self.unknown += 1,
        }
    }
}

impl Coverage {
    /// Counts what there is.
    pub fn of(evidence: &Evidence<'_>) -> Self {
        let mut coverage = Self::default();
        let mut clients = BTreeSet::new();
        let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
        for operation in evidence.operations {
            let name = call_name(&operation.call).to_owned();
            coverage.operations.entry(name).or_default().count(&operation.outcome);
            clients.insert(operation.client);
            keys.entry(&operation.key).or_default().push(operation);
        }
        coverage.clients = clients.len() as u64;
        coverage.keys = keys.len() as u64;
        coverage.concurrency = concurrency(evidence.operations);
        coverage.overlapping = keys.into_values().map(overlapping).sum();
        coverage.applied = evidence.applied.len() as u64;
        let is_retry = |entry: &&_| is_retry(entry);
        coverage.retries = evidence.applied.iter().filter(is_retry).count() as u64;
        let elected = |event: &Event| matches!(event, Event::Elected { .. });
        coverage.elections =
            evidence.observed.iter().filter(|seen| elected(&seen.event)).count() as u64;
        coverage
    }

    /// How the operations of all kinds ended.
    pub fn total(&self) -> Tally {
        self.operations.values().fold(Tally::default(), |sum, tally| Tally {
            ok: sum.ok + tally.ok,
            failed: sum.failed + tally.failed,
            unknown: sum.unknown + tally.unknown,
        })
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { ok, failed, unknown } = self.total();
        write!(
            f,
            "{ok} operations ok, {failed} failed, {unknown} unknown, by {} clients on {} keys, at \
             most {} at once, {} overlapping on their key; {} entries applied, {} of them retries; \
             {} elections",
            self.clients,
            self.keys,
            self.concurrency,
            self.overlapping,
            self.applied,
            self.retries,
            self.elections,
        )
    }
}

/// The call's name, as schedules and reports spell it.
pub const fn call_name(call: &Call) -> &'static str {
    match call {
        Call::Get => "get",
        Call::Put(_) => "put",
        Call::Delete => "delete",
        Call::CompareAndSwap { .. } => "compare-and-swap",
        Call::TestAndSet(_) => "test-and-set",
    }
}

fn is_retry(entry: &consensus_core::history::Applied) -> bool {
    entry.request.is_some() && !entry.fresh
}

/// Until when an operation was under way: what never ended is so forever.
fn end(operation: &Operation) -> u64 {
    operation.completed.map_or(u64::MAX, |completed| completed.0)
}

fn concurrency(operations: &[Operation]) -> u64 {
    let mut changes: Vec<(u64, i64)> = Vec::with_capacity(2 * operations.len());
    for operation in operations {
        changes.push((operation.invoked.0, 1));
        changes.push((end(operation), -1));
    }
    // At one instant, ends sort before starts: touching is not overlapping.
    changes.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, change) in changes {
        now += change;
        most = most.max(now);
    }
    most.try_into().unwrap_or(0)
}

/// How many operations of one key overlap another one of it.
fn overlapping(mut operations: Vec<&Operation>) -> u64 {
    operations.sort_unstable_by_key(|operation| operation.invoked);
    let mut count = 0;
    let mut latest_end = 0;
    for (position, operation) in operations.iter().enumerate() {
        let with_earlier = position > 0 && operation.invoked.0 < latest_end;
        let next = operations.get(position + 1);
        let with_later = next.is_some_and(|next| next.invoked.0 < end(operation));
        count += u64::from(with_earlier || with_later);
        latest_end = latest_end.max(end(operation));
    }
    count
}
