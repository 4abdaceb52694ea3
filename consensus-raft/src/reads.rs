//! Linearizable reads without a log write: ReadIndex (§8, D§6.4), leases (D§6.4.1), and reads that
//! a follower serves. The books are [`consensus_core::ReadRounds`], [`consensus_core::Lease`] and
//! [`consensus_core::ReadQuestions`].
//!
//! ```text
//! read asked ──> commit index noted, round n sent ──> a quorum acknowledged n ──> served
//!                "everything acknowledged so far      "nobody else led when
//!                 is at or before this"                this was asked"
//!
//! with leases   a quorum acknowledged n ──> whoever is asked within a lease of when n was sent is served
//!                                           at once: until then no voter of that quorum helps another
//!
//! at a follower read asked ──> ReadIndex ──> as above, at the leader ──> ReadIndexReply ──> applied ──> served
//! ```

use consensus_core::{
    Consistency, Epoch, Index, NodeId, Outbox, Outcome, Reader, Refusal, RequestId, Time,
};

use crate::{
    membership::Membership,
    message::{Message, ReadAck, ReadIndex, ReadIndexReply, ReadRound},
    replica::{Leader, Raft, Standing},
};

impl Raft {
    /// Takes a read; the next flush does what it needs, once for all that came together.
    pub(crate) fn read(
        &mut self,
        request: RequestId,
        consistency: Consistency,
        out: &mut Outbox<Self>,
    ) {
        let limit = self.config.settings.max_uncommitted_entries;
        match (consistency, &mut self.standing) {
            (Consistency::Stale, _) => out.reply(request, Outcome::Readable),
            (_, Standing::Leader(leader)) if leader.reads.held() >= limit => {
                out.refuse(request, Refusal::Overloaded);
            }
            (Consistency::Lease, Standing::Leader(leader)) => leader.reads.wait_leased(request),
            (_, Standing::Leader(leader)) => leader.reads.wait(request),
            (Consistency::Follower, Standing::Follower(follower)) if follower.leader.is_some() => {
                if self.questions.held() < limit {
                    self.questions.wait(request);
                } else {
                    out.refuse(request, Refusal::Overloaded);
                }
            }
            _ => out.refuse(request, Refusal::NotLeader { leader: self.leader() }),
        }
    }

    /// Serves the reads that the lease covers, starts a round for the others that wait, and serves
    /// those whose round is confirmed (at flush).
    ///
    /// Before an entry of its own term is committed, a leader does not know what its predecessors
    /// committed, and its commit index may be behind what they acknowledged: reads wait (D§6.4).
    pub(crate) fn serve_reads(&mut self, now: Time, out: &mut Outbox<Self>) {
        if self.holds_lease(now) {
            let leased = self.leading().map(|leader| leader.reads.take_leased());
            for request in leased.into_iter().flatten() {
                out.reply(request, Outcome::Readable);
            }
        }
        let Standing::Leader(leader) = &mut self.standing else { return };
        if self.commit < leader.term_start {
            return;
        }
        if leader.reads.held() == 0 {
            return;
        }
        if let Some(round) = leader.reads.start_round(self.commit) {
            if self.config.settings.leases {
                leader.lease.sent(round, now, self.config.settings.lease());
            }
            for peer in &leader.progress {
                let commit = self.commit.min(peer.matched);
                let message = ReadRound { term: self.term, round, commit };
                out.send_now(peer.peer, Message::ReadRound(message));
            }
        }
        let confirmed = leader.confirmed_round(&self.membership);
        while let Some((index, readers)) = leader.reads.take_confirmed(confirmed, self.applied) {
            for reader in readers {
                serve(reader, self.term, index, out);
            }
        }
    }

    /// Whether nobody else leads at this moment, if the clocks drift no further than they may, and
    /// this leader knows all that is committed.
    fn holds_lease(&mut self, now: Time) -> bool {
        let settings = &self.config.settings;
        let Standing::Leader(leader) = &mut self.standing else { return false };
        if !settings.leases {
            return false;
        }
        let confirmed = leader.confirmed_round(&self.membership);
        leader.lease.confirmed(confirmed);
        leader.lease.holds(now, settings.lease()) && self.commit >= leader.term_start
    }

    /// The number of a heartbeat. It confirms the reads that wait; so it is that of the last round, but
    /// where a lease is measured by it: there each number has one time at which it was sent.
    pub(crate) fn heartbeat_round(&mut self, now: Time) -> u64 {
        let settings = &self.config.settings;
        let Standing::Leader(leader) = &mut self.standing else { return 0 };
        if settings.leases {
            let round = leader.reads.next_round();
            leader.lease.sent(round, now, settings.lease());
        }
        leader.reads.last()
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
    /// wait for the disk. With leases it does promise something, but only as long as this replica
    /// runs: one that starts again keeps the promise without remembering it.
    pub(crate) fn acknowledge_reads(&mut self, out: &mut Outbox<Self>) {
        let Standing::Follower(follower) = &mut self.standing else { return };
        let (Some(leader), Some(round)) = (follower.leader, follower.round.take()) else { return };
        out.send_now(leader, Message::ReadAck(ReadAck { term: self.term, round }));
        if let Some(question) = self.questions.heard() {
            out.send_now(leader, Message::ReadIndex(ReadIndex { term: self.term, question }));
        }
    }

    /// Counts an acknowledgement. One of an earlier round confirms nothing that came after it.
    pub(crate) fn receive_read_ack(&mut self, from: NodeId, ack: ReadAck, out: &mut Outbox<Self>) {
        self.observe_term(ack.term, out);
        let Standing::Leader(leader) = &mut self.standing else { return };
        if ack.term != self.term || ack.round > leader.reads.last() {
            return;
        }
        if let Some(peer) = leader.peer_mut(from) {
            peer.heard = true;
            peer.read_acked = peer.read_acked.max(ack.round);
        }
    }

    /// Asks the leader for the reads that came since the last flush, and refuses them all if it is not
    /// the leader any more that was asked.
    pub(crate) fn ask_leader(&mut self, out: &mut Outbox<Self>) {
        if self.questions.held() == 0 {
            return;
        }
        let leader = match &self.standing {
            Standing::Follower(follower) => follower.leader,
            _ => None,
        };
        let asked = leader.map(|leader| (Epoch::term(self.term), leader));
        if self.questions.lost(asked) {
            for request in self.questions.take_all() {
                out.refuse(request, Refusal::NotLeader { leader: self.leader() });
            }
            return;
        }
        let question = asked.and_then(|asked| self.questions.ask(asked));
        if let (Some(leader), Some(question)) = (leader, question) {
            out.send_now(leader, Message::ReadIndex(ReadIndex { term: self.term, question }));
        }
    }

    /// The leader's part: a follower waits for the next round like a client. Whoever does not lead,
    /// or has no room, does not answer: the follower asks again while it hears of its leader.
    pub(crate) fn receive_read_index(
        &mut self,
        from: NodeId,
        ask: ReadIndex,
        out: &mut Outbox<Self>,
    ) {
        self.observe_term(ask.term, out);
        let limit = self.config.settings.max_uncommitted_entries;
        let Standing::Leader(leader) = &mut self.standing else { return };
        if ask.term == self.term && leader.reads.held() < limit {
            leader.reads.wait(Reader::Follower { node: from, question: ask.question });
        }
    }

    /// The follower's part: it knows what its readers must see.
    pub(crate) fn receive_read_index_reply(
        &mut self,
        reply: ReadIndexReply,
        out: &mut Outbox<Self>,
    ) {
        self.observe_term(reply.term, out);
        self.questions.answered(reply.question, reply.index);
    }

    /// Serves the reads whose answer has come and is applied (at flush).
    pub(crate) fn serve_followers_reads(&mut self, out: &mut Outbox<Self>) {
        while let Some(requests) = self.questions.take_served(self.applied) {
            for request in requests {
                out.reply(request, Outcome::Readable);
            }
        }
    }
}

impl Leader {
    /// The latest round that a quorum acknowledged.
    fn confirmed_round(&self, membership: &Membership) -> u64 {
        let (leader, me, configuration) = (self, membership.me(), membership.current());
        configuration.reached(|voter| leader.read_acked_of(voter, me))
    }
}

/// Serves one read that is confirmed: a client's here, or a follower's by the index that it must have
/// applied.
fn serve(reader: Reader, term: u64, index: Index, out: &mut Outbox<Raft>) {
    match reader {
        Reader::Client(request) => out.reply(request, Outcome::Readable),
        Reader::Follower { node, question } => {
            let reply = ReadIndexReply { term, question, index };
            out.send_now(node, Message::ReadIndexReply(reply));
        }
    }
}
