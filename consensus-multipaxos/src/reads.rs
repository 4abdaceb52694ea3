//! Linearizable reads without a log write: the leader asks a quorum whether its ballot still stands.
//!
//! A quorum that promised no higher ballot when the round reached it shares an acceptor with every
//! quorum that could elect another leader, so nothing newer was acknowledged before the read was
//! asked for. The leader itself must know everything older: it serves reads only once all that it
//! inherited is chosen. One round at each flush confirms all reads that came before it.

use std::collections::VecDeque;

use consensus_core::{
    Consistency, NodeId, RequestId,
    protocol::{Outcome, Refusal},
};

use crate::{
    message::{Message, ReadAck, ReadRound},
    replica::{MultiPaxos, Out, Part},
};

/// The leader's linearizable reads.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Reads {
    /// Asked for, and in no round yet.
    waiting: Vec<RequestId>,
    /// The rounds under way, ascending.
    rounds: VecDeque<Round>,
    /// The context of the last round; none is used twice under one ballot, and no ballot twice.
    last_context: u64,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Round {
    context: u64,
    /// Who confirmed it, or a later one: one bit per acceptor.
    confirmed_by: u64,
    requests: Vec<RequestId>,
}

impl Reads {
    fn len(&self) -> usize {
        self.waiting.len() + self.rounds.iter().map(|round| round.requests.len()).sum::<usize>()
    }

    /// Every read without an answer.
    pub fn into_requests(self) -> impl Iterator<Item = RequestId> {
        self.rounds.into_iter().flat_map(|round| round.requests).chain(self.waiting)
    }
}

impl MultiPaxos {
    /// Takes a read; a stale one is served at once, anywhere.
    pub(crate) fn read(&mut self, request: RequestId, consistency: Consistency, out: &mut Out) {
        if consistency == Consistency::Stale {
            return out.reply(request, Outcome::Readable);
        }
        match &mut self.part {
            Part::Leader(leader)
                if leader.reads.len() < self.config.settings.max_uncommitted_entries =>
            {
                leader.reads.waiting.push(request);
            }
            Part::Leader(_) => out.refuse(request, Refusal::Overloaded),
            _ => out.refuse(request, Refusal::NotLeader { leader: self.leader }),
        }
    }

    /// Starts one round for all reads that wait.
    pub(crate) fn serve_reads(&mut self, out: &mut Out) {
        let own = self.acceptors.bit(self.node());
        let Part::Leader(leader) = &mut self.part else { return };
        let reads = &mut leader.reads;
        let has_room = reads.rounds.len() < self.config.settings.max_inflight_batches;
        if reads.waiting.is_empty() || !leader.is_caught_up || !has_room {
            return;
        }
        reads.last_context += 1;
        let context = reads.last_context;
        let requests = std::mem::take(&mut reads.waiting);
        // A leader that promised a higher ballot leads no more: its own word needs no message.
        reads.rounds.push_back(Round { context, confirmed_by: own, requests });
        self.send_read_round(context, out);
        self.finish_rounds(out);
    }

    /// Asks again, should the round have been lost: the last round's confirmation serves all before.
    pub(crate) fn repeat_read_round(&self, out: &mut Out) {
        let Part::Leader(leader) = &self.part else { return };
        if let Some(round) = leader.reads.rounds.back() {
            self.send_read_round(round.context, out);
        }
    }

    fn send_read_round(&self, context: u64, out: &mut Out) {
        let round = ReadRound { ballot: self.promised, context };
        for peer in self.peers() {
            out.send_now(peer, Message::ReadRound(round));
        }
    }

    pub(crate) fn receive_read_round(
        &mut self,
        from: NodeId,
        ReadRound { ballot, context }: ReadRound,
        out: &mut Out,
    ) {
        if self.follows(from, ballot, out) {
            out.send_now(from, Message::ReadAck(ReadAck { ballot, context }));
        }
    }

    pub(crate) fn receive_read_ack(
        &mut self,
        from: NodeId,
        ReadAck { ballot, context }: ReadAck,
        out: &mut Out,
    ) {
        let bit = self.acceptors.bit(from);
        let Part::Leader(leader) = &mut self.part else { return };
        if ballot != self.promised {
            return;
        }
        if let Some(peer) = leader.peers.get_mut(&from) {
            peer.is_heard = true;
        }
        let confirmed = leader.reads.rounds.iter_mut().take_while(|round| round.context <= context);
        confirmed.for_each(|round| round.confirmed_by |= bit);
        self.finish_rounds(out);
    }

    /// Serves the reads of the rounds that a quorum confirmed. Earlier rounds are never confirmed by
    /// fewer than later ones.
    fn finish_rounds(&mut self, out: &mut Out) {
        let Part::Leader(leader) = &mut self.part else { return };
        let rounds = &mut leader.reads.rounds;
        let is_confirmed = |round: &Round| self.acceptors.is_quorum(round.confirmed_by);
        while let Some(round) = rounds.pop_front_if(|round| is_confirmed(round)) {
            let serve = |request: RequestId| out.reply(request, Outcome::Readable);
            round.requests.into_iter().for_each(serve);
        }
    }
}
