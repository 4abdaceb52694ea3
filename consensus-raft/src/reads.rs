//! Linearizable reads without a log write: ReadIndex (§8, D§6.4).
//! The reads themselves wait in [`consensus_core::ReadRounds`].
//!
//! ```text
//! read asked ──> commit index noted, round n sent ──> a quorum acknowledged n ──> served
//!                "everything acknowledged so far      "nobody else led when
//!                 is at or before this"                this was asked"
//! ```

use consensus_core::{Consistency, NodeId, Outbox, Outcome, Reader, Refusal, RequestId};

use crate::{
    message::{Message, ReadAck, ReadRound},
    replica::{Raft, Standing},
};

impl Raft {
    /// Takes a read; the next flush sends a round for all that came together.
    pub(crate) fn read(
        &mut self,
        request: RequestId,
        consistency: Consistency,
        out: &mut Outbox<Self>,
    ) {
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
    /// Before an entry of its own term is committed, a leader does not know what its predecessors
    /// committed, and its commit index may be behind what they acknowledged: reads wait (D§6.4).
    pub(crate) fn serve_reads(&mut self, out: &mut Outbox<Self>) {
        let Standing::Leader(leader) = &mut self.standing else { return };
        if self.commit < leader.term_start {
            return;
        }
        if let Some(round) = leader.reads.start_round(self.commit) {
            for peer in &leader.progress {
                let commit = self.commit.min(peer.matched);
                let message = ReadRound { term: self.term, round, commit };
                out.send_now(peer.peer, Message::ReadRound(message));
            }
        }
        let (me, configuration) = (self.membership.me(), self.membership.current());
        let confirmed = configuration.reached(|voter| leader.read_acked_of(voter, me));
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
    pub(crate) fn receive_read_round(
        &mut self,
        from: NodeId,
        round: ReadRound,
        out: &mut Outbox<Self>,
    ) {
        if !self.follow(from, round.term, out) {
            let ack = ReadAck { term: self.term, round: 0 };
            return out.send_now(from, Message::ReadAck(ack));
        }
        self.commit_to(round.commit, out);
        if let Standing::Follower(follower) = &mut self.standing {
            follower.round = follower.round.max(Some(round.round));
        }
    }

    /// Acknowledges the read rounds of this drain (at flush). It promises nothing, and so does not
    /// wait for the disk.
    pub(crate) fn acknowledge_reads(&mut self, out: &mut Outbox<Self>) {
        let Standing::Follower(follower) = &mut self.standing else { return };
        if let (Some(leader), Some(round)) = (follower.leader, follower.round.take()) {
            out.send_now(leader, Message::ReadAck(ReadAck { term: self.term, round }));
        }
    }

    /// Counts an acknowledgement. One of an earlier round confirms nothing that came after it.
    pub(crate) fn receive_read_ack(&mut self, from: NodeId, ack: ReadAck, out: &mut Outbox<Self>) {
        self.observe_term(ack.term, out);
        let Standing::Leader(leader) = &mut self.standing else { return };
        if ack.term != self.term || ack.round > leader.reads.last() {
            return;
        }
        if let Some(peer) = leader.progress.iter_mut().find(|peer| peer.peer == from) {
            peer.heard = true;
            peer.read_acked = peer.read_acked.max(ack.round);
        }
    }
}
