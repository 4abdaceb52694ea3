//! Linearizable reads without a log write: a quorum confirms that the ballot stands, or did so a
//! moment ago; and reads at followers. The reads themselves wait in [`consensus_core::ReadRounds`] and
//! [`consensus_core::ReadQuestions`], and [`consensus_core::Lease`] keeps the time.
//!
//! ```text
//! read asked ──> round n sent ──> a quorum acknowledged n ──> served
//!                                 "no higher ballot was promised when this arrived": every later
//!                                  leader needs a promise from one of them, so none was elected yet
//! ```
//!
//! With leases, whoever acknowledges a round promises nobody else anything for the shortest election
//! timeout, so until then no other leader is elected at all, and reads need no round ("Paxos Made
//! Live" §5.2, master leases). Three rules make it so: the leader counts from when it *sent* the round;
//! an acceptor that starts waits as long before it promises anything, for what it acknowledged is not
//! on its disk; and a leader ends its lease before it has somebody campaign in its place.

use consensus_core::{Consistency, NodeId, Outcome, Reader, Refusal, RequestId, Settings, Time};

use crate::{
    membership::Membership,
    message::{Message, ReadAck, ReadIndex, ReadIndexReply, ReadRound},
    replica::{Follower, Leader, MultiPaxos, Out, Standing},
};

impl Leader {
    /// A round is sent for the first time: once a quorum acknowledges it, it extends the lease.
    pub fn lease_by(&mut self, round: u64, now: Time, settings: &Settings) {
        if settings.leases {
            self.lease.sent(round, now, settings.lease());
        }
    }

    /// The last round that a quorum acknowledged, and with it every earlier one. The leader promised
    /// no higher ballot, and so confirms every round itself.
    fn confirmed_round(&self, membership: &Membership) -> u64 {
        let own = self.reads.last();
        let peer = |node| self.progress.iter().find(|peer| peer.peer == node);
        let acked = |node| peer(node).map_or(own, |peer| peer.read_acked);
        membership.reached(acked)
    }
}

impl MultiPaxos {
    /// Takes a read; the next flush sends a round for all that came together.
    pub(crate) fn read(&mut self, request: RequestId, consistency: Consistency, out: &mut Out) {
        let limit = self.config.settings.max_uncommitted_entries;
        let leader = self.leader();
        match (consistency, &mut self.standing) {
            (Consistency::Stale, _) => out.reply(request, Outcome::Readable),
            (_, Standing::Leader(leader)) if leader.reads.held() >= limit => {
                out.refuse(request, Refusal::Overloaded);
            }
            (Consistency::Lease, Standing::Leader(leader)) => leader.reads.wait_leased(request),
            (_, Standing::Leader(leader)) => leader.reads.wait(request),
            (Consistency::Follower, Standing::Follower(Follower { leader: Some(_), .. })) => {
                if self.questions.held() < limit {
                    self.questions.wait(request);
                } else {
                    out.refuse(request, Refusal::Overloaded);
                }
            }
            (_, _) => out.refuse(request, Refusal::NotLeader { leader }),
        }
    }

    /// Serves what the lease suffices for, starts a round for the reads that wait, and serves those
    /// whose round is confirmed (at flush).
    ///
    /// Before everything that it inherited is chosen, a leader does not know what its predecessors
    /// chose, and may be behind what they acknowledged: reads wait.
    pub(crate) fn serve_reads(&mut self, now: Time, out: &mut Out) {
        let (ballot, chosen_to) = (self.promised, self.chosen_to);
        let settings = &self.config.settings;
        let Standing::Leader(leader) = &mut self.standing else { return };
        if chosen_to < leader.inherited_to {
            return;
        }
        if settings.leases {
            leader.lease.confirmed(leader.confirmed_round(&self.membership));
            if leader.lease.holds(now, settings.lease()) {
                let leased = leader.reads.take_leased();
                leased.into_iter().for_each(|request| out.reply(request, Outcome::Readable));
            }
        }
        if leader.reads.held() == 0 {
            return;
        }
        if let Some(round) = leader.reads.start_round(chosen_to) {
            leader.lease_by(round, now, settings);
            for peer in &leader.progress {
                let message = ReadRound { ballot, round, chosen_to: None };
                out.send_now(peer.peer, Message::ReadRound(message));
            }
        }
        let confirmed = leader.confirmed_round(&self.membership);
        while let Some((chosen_to, readers)) = leader.reads.take_confirmed(confirmed, self.applied)
        {
            readers.into_iter().for_each(|reader| match reader {
                Reader::Client(request) => out.reply(request, Outcome::Readable),
                Reader::Follower { node, question } => {
                    let answer = ReadIndexReply { ballot, question, chosen_to };
                    out.send_now(node, Message::ReadIndexReply(answer));
                }
            });
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
            if let Some(question) = self.questions.heard() {
                let again = ReadIndex { ballot: round.ballot, question };
                out.send_now(from, Message::ReadIndex(again));
            }
        }
        if let Standing::Follower(follower) = &mut self.standing {
            follower.round = follower.round.max(Some(round.round));
        }
    }

    /// Acknowledges the read rounds of this drain (at flush). It promises nothing, and so does not
    /// wait for the disk. With leases it does promise something, but only as long as this replica
    /// runs: one that starts again keeps the promise without remembering it.
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

    /// The follower's part of its own reads: asks its leader once for all that came together, and
    /// serves what the leader answered and is applied (at flush). A leader that is gone answers
    /// nothing any more, and what it said of earlier questions is answered by then.
    pub(crate) fn ask_leader(&mut self, out: &mut Out) {
        if self.questions.held() == 0 {
            return;
        }
        let (ballot, leader) = (self.promised, self.leader());
        let asked = leader.filter(|_| !self.leads()).map(|leader| (ballot.epoch(), leader));
        if self.questions.lost(asked) {
            for request in self.questions.take_all() {
                out.refuse(request, Refusal::NotLeader { leader });
            }
        }
        while let Some(requests) = self.questions.take_served(self.applied) {
            requests.into_iter().for_each(|request| out.reply(request, Outcome::Readable));
        }
        let Some((epoch, leader)) = asked else { return };
        if let Some(question) = self.questions.ask((epoch, leader)) {
            out.send_now(leader, Message::ReadIndex(ReadIndex { ballot, question }));
        }
    }

    /// The leader's part: a follower's reads wait like a client's, and if there are too many, it asks
    /// again.
    pub(crate) fn receive_read_index(&mut self, from: NodeId, ask: ReadIndex) {
        let ReadIndex { ballot, question } = ask;
        let limit = self.config.settings.max_uncommitted_entries;
        let Standing::Leader(leader) = &mut self.standing else { return };
        if ballot == self.promised && leader.reads.held() < limit {
            leader.reads.wait(Reader::Follower { node: from, question });
        }
    }

    /// The leader says up to where to apply; and so, that as much is chosen.
    pub(crate) fn receive_read_index_reply(
        &mut self,
        from: NodeId,
        reply: ReadIndexReply,
        out: &mut Out,
    ) {
        if reply.ballot != self.promised || self.leader() != Some(from) || self.leads() {
            return;
        }
        self.questions.answered(reply.question, reply.chosen_to);
        self.follow_choices(reply.chosen_to, out);
    }

    /// Where leases are in use, a replica that starts promises nothing for as long as it may have
    /// promised a leader before (at recovery). Whom it hears of meanwhile makes no difference.
    pub(crate) fn wait_out_leases(&mut self, now: Time) {
        let settings = &self.config.settings;
        self.waits_until = settings.leases.then(|| now + settings.election_timeout.start);
    }

    /// The time is over.
    pub(crate) fn end_wait(&mut self, now: Time) {
        self.waits_until.take_if(|until| *until <= now);
    }
}
