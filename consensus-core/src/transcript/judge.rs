//! What no protocol may break, watched while a cluster runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    configuration::{Change, Configuration},
    event::Event,
    id::{Epoch, Index, NodeId, RequestId},
    payload::{Command, Payload},
    protocol::{Ask, Consistency, Outcome, Status},
    record::SnapshotMeta,
    wire::Wire,
};

/// Watches a whole cluster, from the outside, for what no protocol may break.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    /// Who won each epoch.
    elected: BTreeMap<Epoch, NodeId>,
    /// What some replica applied at each position: every other must apply the same.
    applied: BTreeMap<Index, Payload>,
    /// Commands that were certainly not done.
    refused: BTreeSet<Command>,
    /// The requests without an answer.
    open: BTreeMap<RequestId, Open>,
    /// What the first snapshot of each position said of the members.
    snapshots: BTreeMap<Index, BTreeMap<Index, Configuration>>,
    /// What the present turn did, to be judged at its end.
    turn: Vec<Deed>,
    /// Every linearizable read asked for from now on must see this position.
    acknowledged: Index,
}

/// What must be borne out by the status of whoever did it.
#[derive(Clone, Debug)]
enum Deed {
    Won,
    Answered(Ask),
}

#[derive(Clone, Debug)]
struct Open {
    node: NodeId,
    ask: Ask,
    /// What was acknowledged when it was asked.
    acknowledged: Index,
}

impl Judge {
    /// What was applied so far, by position: the commands that must never be lost.
    pub const fn applied(&self) -> &BTreeMap<Index, Payload> {
        &self.applied
    }

    /// Who won each epoch.
    pub const fn elected(&self) -> &BTreeMap<Epoch, NodeId> {
        &self.elected
    }

    /// The requests without an answer.
    pub fn open(&self) -> impl Iterator<Item = RequestId> + '_ {
        self.open.keys().copied()
    }

    pub(super) fn ask(&mut self, node: NodeId, request: RequestId, ask: Ask) {
        let acknowledged = self.acknowledged;
        self.open.insert(request, Open { node, ask, acknowledged });
    }

    /// The node crashed: its open requests will never be answered.
    pub(super) fn crash(&mut self, node: NodeId) {
        self.open.retain(|_, open| open.node != node);
    }

    /// What an honest replica sends or writes comes back as it was, and no validation refuses it.
    pub(super) fn encode<W: Wire>(&self, sent: &W) {
        assert_eq!(W::from_bytes(sent.to_bytes()).as_ref(), Ok(sent), "it decodes as itself");
    }

    pub(super) fn note(&mut self, node: NodeId, event: &Event) {
        if let Event::Elected { epoch } = *event {
            let earlier = self.elected.insert(epoch, node);
            assert_eq!(earlier, None, "epoch {epoch} was won again, by n{node}");
            self.turn.push(Deed::Won);
        }
    }

    /// Equal positions are equal states, for all replicas apply the same; so what a snapshot says of
    /// the members must be the same too.
    pub(super) fn name(&mut self, node: NodeId, meta: &SnapshotMeta) {
        let known = self.snapshots.entry(meta.index);
        let known = known.or_insert_with(|| (*meta.configurations).clone());
        assert_eq!(
            *known, *meta.configurations,
            "n{node} names another snapshot at {}",
            meta.index
        );
    }

    /// The status of a replica bears out what it did in its turn.
    pub(super) fn after_turn(&mut self, node: NodeId, status: &Status) {
        for deed in std::mem::take(&mut self.turn) {
            match deed {
                Deed::Won => assert!(
                    status.members.contains(&node) || self.had_vote(node, status.commit),
                    "n{node} is elected and has no vote"
                ),
                Deed::Answered(Ask::Reconfigure(change)) => {
                    let votes = |member| status.members.contains(member);
                    let learns = |member| status.learners.contains(member);
                    let done = change.add.iter().all(votes)
                        && change.learn.iter().all(learns)
                        && !change.remove.iter().any(|member| votes(member) || learns(member));
                    assert!(done, "n{node} says that it is done: {change}; and has {status:?}");
                    assert!(self.configures(&change), "nobody applied what is done: {change}");
                }
                Deed::Answered(_) => {
                    let led = self.elected.iter().rev();
                    let last = led.clone().find(|&(_, &leader)| leader == node);
                    let handed_over = led.map(|(epoch, _)| epoch).next() > last.map(|last| last.0);
                    assert!(handed_over, "n{node} says that another leads, and nobody does");
                }
            }
        }
    }

    /// Whether a node votes in the last configuration up to here: while the one after it is not
    /// committed, it may still be needed (Raft dissertation §4.2.2).
    fn had_vote(&self, node: NodeId, commit: Index) -> bool {
        let mut before = self.applied.range(..=commit).rev();
        let last = before.find_map(|(_, payload)| payload.configuration());
        last.is_none_or(|configuration| configuration.is_voter(node))
    }

    /// Whether some replica applied a configuration to which this change leads.
    fn configures(&self, change: &Change) -> bool {
        let mut applied = self.applied.values().rev().filter_map(Payload::configuration);
        applied.any(|configuration| {
            !configuration.is_joint()
                && change.add.iter().all(|&member| configuration.is_voter(member))
                && change.learn.iter().all(|&member| configuration.is_learner(member))
                && !change.remove.iter().any(|&member| configuration.contains(member))
        })
    }

    pub(super) fn apply(
        &mut self,
        node: NodeId,
        index: Index,
        payload: &Payload,
        request: Option<RequestId>,
    ) {
        let known = self.applied.entry(index).or_insert_with(|| payload.clone());
        assert_eq!(known, payload, "n{node} applies something else at {index}");
        if let Some(command) = payload.command() {
            assert!(
                !self.refused.contains(&**command),
                "n{node} applies a refused command at {index}"
            );
        }
        let Some(request) = request else { return };
        let open = self.close(node, request);
        assert_eq!(
            (Ask::Propose(payload.command().cloned().unwrap_or_default()), false),
            (open.ask, payload.is_noop()),
            "request {} of n{node} is answered with somebody else's command",
            request.0
        );
        self.acknowledged = self.acknowledged.max(index);
    }

    /// `applied` is what the answering node has applied.
    pub(super) fn reply(
        &mut self,
        node: NodeId,
        request: RequestId,
        outcome: &Outcome,
        applied: Index,
    ) {
        let open = self.close(node, request);
        match (open.ask, outcome) {
            (
                Ask::Read(Consistency::Linearizable | Consistency::Lease | Consistency::Follower),
                Outcome::Readable,
            ) => {
                let must = open.acknowledged;
                assert!(applied >= must, "a read at n{node} sees {applied} but not {must}");
                self.acknowledged = self.acknowledged.max(applied);
            }
            (Ask::Propose(command), Outcome::Refused(_)) => {
                let done = self.applied.values().any(|p| p.command() == Some(&command));
                assert!(!done, "n{node} refuses a command that was applied");
                self.refused.insert(command);
            }
            (Ask::Propose(_), Outcome::Readable) => panic!("n{node} answers a command as a read"),
            (Ask::Read(_), Outcome::Unknown) => panic!("a read is done or not done"),
            (Ask::Propose(_) | Ask::Read(_), Outcome::Done) => panic!("n{node} changed nothing"),
            (ask @ (Ask::Reconfigure(_) | Ask::Transfer(_)), Outcome::Done) => {
                self.turn.push(Deed::Answered(ask));
            }
            (Ask::Reconfigure(_) | Ask::Transfer(_), Outcome::Readable) => {
                panic!("n{node} answers an administrator as a reader")
            }
            (Ask::Read(_) | Ask::Reconfigure(_) | Ask::Transfer(_), _)
            | (Ask::Propose(_), Outcome::Unknown) => {}
        }
    }

    fn close(&mut self, node: NodeId, request: RequestId) -> Open {
        let open = self.open.remove(&request);
        let open = open.unwrap_or_else(|| panic!("request {} is answered twice", request.0));
        assert_eq!(open.node, node, "request {} is answered elsewhere", request.0);
        open
    }
}
