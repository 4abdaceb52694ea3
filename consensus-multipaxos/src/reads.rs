//! Linearizable reads without a log write: a quorum confirms that the ballot stands.
//! The reads themselves wait in [`consensus_core::ReadRounds`].
//!
//! ```text
//! read asked ──> round n sent ──> a quorum acknowledged n ──> served
//!                                 "no higher ballot was promised when this arrived": every later
//!                                  leader needs a promise from one of them, so none was elected yet
//! ```

use consensus_core::{Consistency, NodeId, Outcome, Reader, Refusal, RequestId};

use crate::{
    message::{Message, ReadAck, ReadRound},
    replica::{MultiPaxos, Out, Standing},
};

impl MultiPaxos {
    /// Takes a read; the next flush sends a round for all that came together.
    pub(crate) fn read(&mut self, request: RequestId, consistency: Consistency, out: &mut Out) {
        let limit = self.config.settings.max_uncommitted_entries;
        match (consistency, &mut self.standing) {
            (Consistency::Stale, _) => out.reply(request, Outcome::Readable),
            (_, Standing::Leader(leader)) => {
                if leader.reads.held() < limit {
                    leader.reads.wait(request);
                } else {
                    out.refuse(request, Refusal::Overloaded);
                }
            }
            (_, _) => {
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
        let own = leader.reads.last();
        let peer = |node| leader.progress.iter().find(|peer| peer.peer == node);
        let acked = |node| peer(node).map_or(own, |peer| peer.read_acked);
        let confirmed = self.membership.reached(acked);
        while let Some((_, readers)) = leader.reads.take_confirmed(confirmed, self.applied) {
            for reader in readers {
                if let Reader::Client(request) = reader {
                    out.reply(request, Outcome::Readable);
                }
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
        if ack.ballot != self.promised || ack.round > leader.reads.last() {
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
