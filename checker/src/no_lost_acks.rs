//! Acknowledged means present: what a client was told is done stands in the log of every replica
//! that came so far, and did its work there.

use std::collections::{BTreeMap, BTreeSet};

use consensus_core::{
    NodeId,
    history::{Applied, Call, Operation, Outcome},
    id::{Index, SessionId},
};

use crate::{Counterexample, Evidence, Verdict, coverage::call_name};

/// A command's name: its session and its number in it.
type Request = (SessionId, u64);

/// Judges the acknowledged writes. Reads leave no entry, so they are linearizability's matter.
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut writes = evidence.operations.iter().filter_map(Acknowledged::of).peekable();
    if writes.peek().is_none() {
        return Verdict::Ok;
    }
    if evidence.applied.is_empty() {
        return Verdict::undecided("writes were acknowledged, but no applied entry was recorded");
    }
    let logs = Logs::of(evidence.applied);
    match writes.find_map(|write| logs.lost(&write)) {
        Some(counterexample) => counterexample.into(),
        None => Verdict::Ok,
    }
}

/// A write whose client heard that it is done.
struct Acknowledged<'a> {
    operation: &'a Operation,
    /// Its name in the log, if it was sent in a session.
    request: Option<Request>,
    /// Where the answer says that it took effect. The answer to a write that changed nothing names
    /// an earlier change, and so says nothing about the write itself.
    index: Option<Index>,
}

impl<'a> Acknowledged<'a> {
    fn of(operation: &'a Operation) -> Option<Self> {
        let &Outcome::Ok { changed, revision, .. } = &operation.outcome else { return None };
        if operation.call == Call::Get {
            return None;
        }
        let in_session = operation.session != SessionId(0);
        let request = in_session.then_some((operation.session, operation.sequence));
        let index = (changed && revision > 0).then_some(revision);
        Some(Self { operation, request, index })
    }

    fn describe(&self) -> String {
        let Operation { call, key, client, .. } = self.operation;
        format!("the {} of {key} acknowledged to client {client}", call_name(call))
    }
}

/// The replicas' logs, as far as they were recorded.
struct Logs<'a> {
    /// What stands at each position on each node; the last incarnation that came there counts.
    nodes: BTreeMap<NodeId, BTreeMap<Index, &'a Applied>>,
    /// The commands that took effect somewhere.
    effects: BTreeSet<Request>,
    /// Whether some log is known from its very beginning.
    from_the_beginning: bool,
}

impl<'a> Logs<'a> {
    fn of(applied: &'a [Applied]) -> Self {
        let mut nodes: BTreeMap<NodeId, BTreeMap<Index, &Applied>> = BTreeMap::new();
        for entry in applied {
            nodes.entry(entry.node).or_default().insert(entry.index, entry);
        }
        let effects = applied.iter().filter(|entry| entry.fresh).filter_map(|entry| entry.request);
        let effects = effects.collect();
        let from_the_beginning = nodes.values().any(|log| log.contains_key(&1));
        Self { nodes, effects, from_the_beginning }
    }

    fn lost(&self, write: &Acknowledged<'_>) -> Option<Counterexample> {
        write.index.map_or_else(|| self.lost_somewhere(write), |index| self.lost_at(write, index))
    }

    /// The answer names a position: every replica that came so far must hold the write there.
    fn lost_at(&self, write: &Acknowledged<'_>, index: Index) -> Option<Counterexample> {
        let reached = self.nodes.values().filter_map(|log| log.last_key_value());
        let farthest = reached.map(|(_, entry)| *entry).max_by_key(|entry| entry.index)?;
        if farthest.index < index {
            let summary = format!(
                "{} at position {index} is lost: node {} came farthest and applied no more than \
                 {} entries",
                write.describe(),
                farthest.node,
                farthest.index
            );
            let counterexample = Counterexample::new(summary).operations([write.operation]);
            return Some(counterexample.entries([farthest]));
        }
        let standing = self.nodes.values().filter_map(|log| log.get(&index).copied());
        let wrong = |entry: &&Applied| entry.request != write.request || !entry.fresh;
        let other = standing.into_iter().find(wrong)?;
        let what = if other.request == write.request { "changed nothing" } else { "is not there" };
        let summary = format!(
            "{} at position {index} is lost: on node {} it {what}",
            write.describe(),
            other.node
        );
        Some(Counterexample::new(summary).operations([write.operation]).entries([other]))
    }

    /// The answer names no position: the write must have done its work at one.
    fn lost_somewhere(&self, write: &Acknowledged<'_>) -> Option<Counterexample> {
        let request = write.request?;
        if self.effects.contains(&request) || !self.from_the_beginning {
            return None;
        }
        let (session, sequence) = (request.0.0, request.1);
        let summary = format!(
            "{} is lost: no replica applied command {sequence} of session {session}",
            write.describe()
        );
        Some(Counterexample::new(summary).operations([write.operation]))
    }
}
