//! Linearizable reads without a log write: a quorum confirms that the ballot stands.
//!
//! ```text
//! read asked ──> round n sent ──> a quorum acknowledged n ──> served
//!                                 "no higher ballot was promised when this arrived": every later
//!                                  leader needs a promise from one of them, so none was elected yet
//! ```

use std::collections::VecDeque;

use consensus_core::{Consistency, Index, NodeId, Outcome, Refusal, RequestId, quorum::reached_by};

use crate::{
    message::{Message, ReadAck, ReadRound},
    replica::{MultiPaxos, Out, Standing},
};

/// The reads that a leader holds.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Reads {
    /// Reads that no round was sent for, in order.
    waiting: Vec<RequestId>,
    /// Rounds with reads that were sent and not yet confirmed, in order of their numbers.
    rounds: VecDeque<Round>,
    /// The number of the last round. A number is used once under a ballot, and its reads came before
    /// it: an acknowledgement of an earlier round can never confirm a later read.
    last: u64,
    /// How many reads are held.
    held: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Round {
    number: u64,
    /// What was known chosen when the round was sent: what its reads must see.
    index: Index,
    requests: Vec<RequestId>,
}

impl Reads {
    /// The number of the last round.
    pub const fn round(&self) -> u64 {
        self.last
    }

    /// Numbers another round.
    pub const fn next_round(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub const fn held(&self) -> usize {
        self.held
    }

    /// All requests, in order.
    pub fn into_requests(self) -> impl Iterator<Item = RequestId> {
        self.rounds.into_iter().flat_map(|round| round.requests).chain(self.waiting)
    }

    fn wait(&mut self, request: RequestId) {
        self.waiting.push(request);
        self.held += 1;
    }

    /// Starts a round for every read that waits; `None` if none does.
    fn start_round(&mut self, index: Index) -> Option<u64> {
        if self.waiting.is_empty() {
            return None;
        }
        let requests = std::mem::take(&mut self.waiting);
        let number = self.next_round();
        self.rounds.push_back(Round { number, index, requests });
        Some(number)
    }

    /// Takes the reads of the oldest round, if a quorum confirmed it and what it must see is
    /// applied.
    fn take_confirmed(&mut self, confirmed: u64, applied: Index) -> Option<Vec<RequestId>> {
        let round = self.rounds.front()?;
        if round.number > confirmed || round.index > applied {
            return None;
        }
        let round = self.rounds.pop_front()?;
        self.held -= round.requests.len();
        Some(round.requests)
    }
}

impl MultiPaxos {
    /// Takes a read; the next flush sends a round for all that came together.
    pub(crate) fn read(&mut self, request: RequestId, consistency: Consistency, out: &mut Out) {
        let limit = self.config.settings.max_uncommitted_entries;
        match (consistency, &mut self.standing) {
            (Consistency::Stale, _) => out.reply(request, Outcome::Readable),
            (Consistency::Linearizable, Standing::Leader(leader)) => {
                if leader.reads.held() < limit {
                    leader.reads.wait(request);
                } else {
                    out.refuse(request, Refusal::Overloaded);
                }
            }
            (Consistency::Linearizable, _) => {
                out.refuse(request, Refusal::NotLeader { leader: self.leader() });
            }
        }
    }

    /// Starts a round for the reads that wait, and serves those whose round is confirmed (at flush).
    ///
    /// Before everything that it inherited is chosen, a leader does not know what its predecessors
    /// chose, and may be behind what they acknowledged: reads wait.
    pub(crate) fn serve_reads(&mut self, out: &mut Out) {
        let (ballot, chosen_to) = (self.promised, self.chosen_to);
        let Standing::Leader(leader) = &mut self.standing else { return };
        if chosen_to < leader.inherited_to {
            return;
        }
        if let Some(round) = leader.reads.start_round(chosen_to) {
            for peer in &leader.progress {
                let message = ReadRound { ballot, round, chosen_to: None };
                out.send_now(peer.peer, Message::ReadRound(message));
            }
        }
        // The leader promised no higher ballot, and so confirms every round itself.
        let own = leader.reads.round();
        let acked = leader.progress.iter().map(|peer| peer.read_acked).chain([own]);
        let confirmed = reached_by(acked, self.membership.quorum());
        while let Some(requests) = leader.reads.take_confirmed(confirmed, self.applied) {
            for request in requests {
                out.reply(request, Outcome::Readable);
            }
        }
    }

    /// The follower's part: the leader is heard of. The acknowledgement leaves with the flush, one
    /// for all rounds of this drain.
    pub(crate) fn receive_read_round(&mut self, from: NodeId, round: ReadRound, out: &mut Out) {
        if !self.follow(from, round.ballot, out) {
            return;
        }
        if let Some(told) = round.chosen_to {
            self.follow_choices(told, out);
            self.catch_up(out);
        }
        if let Standing::Follower(follower) = &mut self.standing {
            follower.round = follower.round.max(Some(round.round));
        }
    }

    /// Acknowledges the read rounds of this drain (at flush). It promises nothing, and so does not
    /// wait for the disk.
    pub(crate) fn acknowledge_reads(&mut self, out: &mut Out) {
        let ballot = self.promised;
        let Standing::Follower(follower) = &mut self.standing else { return };
        if let (Some(leader), Some(round)) = (follower.leader, follower.round.take()) {
            out.send_now(leader, Message::ReadAck(ReadAck { ballot, round }));
        }
    }

    /// Counts an acknowledgement. One of an earlier round confirms nothing that came after it.
    pub(crate) fn receive_read_ack(&mut self, from: NodeId, ack: ReadAck, out: &mut Out) {
        let Standing::Leader(leader) = &mut self.standing else { return };
        if ack.ballot != self.promised || ack.round > leader.reads.round() {
            return;
        }
        if let Some(peer) = leader.progress.iter_mut().find(|peer| peer.peer == from) {
            peer.heard = true;
            peer.read_acked = peer.read_acked.max(ack.round);
            if let Some(lost) = peer.settle(ack.round) {
                self.resend(from, lost, out);
            }
        }
    }
}
