//! Becoming leader, and ceasing to be one.
//!
//! ```text
//!               timeout              a quorum would vote            a quorum voted
//!   follower ------------> pre-candidate ------------> candidate ------------> leader
//!      ^                        |                          |                     |
//!      +------- refused, or a leader or a later term is heard of, or (leader) no quorum is heard
//! ```

use consensus_core::{
    Epoch, Index, Lease, NodeId, Outbox, Outcome, Payload, ReadRounds, Refusal,
    event::Event,
    quorum::{Tally, Verdict},
};

use crate::{
    message::{Message, PreVote, PreVoteReply, RequestVote, RequestVoteReply},
    record::Entry,
    replica::{Follower, Leader, Raft, Standing, Timer},
    replication::Progress,
    triggers::Cause,
};

impl Raft {
    /// Asks whether a campaign could succeed (D§9.6). A replica that is cut off, or whose log is
    /// behind, learns so without raising anybody's term.
    pub(crate) fn ask_pre_votes(&mut self, out: &mut Outbox<Self>) {
        let term = self.term + 1;
        let (last_log_index, last_log_term) = self.last();
        for peer in self.membership.voting_peers() {
            out.send_now(peer, Message::PreVote(PreVote { term, last_log_index, last_log_term }));
        }
        // It answers itself at once: the answer promises nothing.
        self.standing = Standing::PreCandidate(Tally::new());
        let reply = PreVoteReply { term: self.term, asked: term, granted: true };
        self.receive_pre_vote_reply(self.membership.me(), reply, out);
    }

    /// Would this replica vote for the sender, in that term?
    pub(crate) fn receive_pre_vote(&mut self, from: NodeId, ask: PreVote, out: &mut Outbox<Self>) {
        let current = self.is_current(ask.last_log_index, ask.last_log_term);
        let granted = ask.term > self.term && current && !self.is_loyal();
        let reply = PreVoteReply { term: self.term, asked: ask.term, granted };
        out.send_now(from, Message::PreVoteReply(reply));
    }

    /// Counts an answer. Answers to an earlier question about the same term are as good.
    pub(crate) fn receive_pre_vote_reply(
        &mut self,
        from: NodeId,
        reply: PreVoteReply,
        out: &mut Outbox<Self>,
    ) {
        self.observe_term(reply.term, out);
        let Standing::PreCandidate(tally) = &mut self.standing else { return };
        if reply.asked != self.term + 1 {
            return;
        }
        tally.count(from, reply.granted);
        match self.membership.current().verdict(tally) {
            Verdict::Won => self.campaign(Cause::Timeout, out),
            Verdict::Lost => self.standing = Standing::Follower(Follower::default()),
            Verdict::Open => {}
        }
    }

    /// Starts a term of its own and asks for votes (§5.2). The questions wait until the new term
    /// and the vote for itself are on disk, and so does that vote.
    pub(crate) fn campaign(&mut self, cause: Cause, out: &mut Outbox<Self>) {
        let me = self.membership.me();
        self.term += 1;
        self.vote = Some(me);
        self.standing = Standing::Candidate(Tally::new());
        self.save(out);
        let epoch = Epoch::term(self.term);
        out.note(Event::Campaigning { epoch });
        out.note(Event::Voted { epoch, candidate: me });
        let (last_log_index, last_log_term) = self.last();
        let transfer = cause == Cause::Transfer;
        let ask = RequestVote { term: self.term, last_log_index, last_log_term, transfer };
        for peer in self.membership.voting_peers() {
            out.send(peer, Message::RequestVote(ask));
        }
        let own = RequestVoteReply { term: self.term, granted: true };
        out.send(me, Message::RequestVoteReply(own));
    }

    /// Votes, or not: at most once a term, and only for a log at least as up to date as its own
    /// (§5.4.1). While a leader is heard of, the question is disregarded, term and all, unless that
    /// leader handed over to the candidate (D§4.2.3).
    ///
    /// A replica that no configuration names votes like any other: its own log may be the one that
    /// is behind, and the candidate counts only votes of voters (D§4.1).
    pub(crate) fn receive_request_vote(
        &mut self,
        from: NodeId,
        ask: RequestVote,
        out: &mut Outbox<Self>,
    ) {
        if ask.term > self.term && self.is_loyal() && !ask.transfer {
            return self.refuse(format!("a vote for {from}: a leader is heard of"), out);
        }
        self.observe_term(ask.term, out);
        let free = self.vote.is_none_or(|candidate| candidate == from);
        let current = self.is_current(ask.last_log_index, ask.last_log_term);
        let granted = ask.term == self.term && free && current;
        if granted && self.vote.is_none() {
            self.vote = Some(from);
            self.arm_election(out);
            out.note(Event::Voted { epoch: Epoch::term(self.term), candidate: from });
        }
        self.save(out);
        let reply = RequestVoteReply { term: self.term, granted };
        out.send(from, Message::RequestVoteReply(reply));
    }

    /// Counts a vote, its own among them.
    pub(crate) fn receive_request_vote_reply(
        &mut self,
        from: NodeId,
        reply: RequestVoteReply,
        out: &mut Outbox<Self>,
    ) {
        self.observe_term(reply.term, out);
        let Standing::Candidate(tally) = &mut self.standing else { return };
        if reply.term != self.term {
            return;
        }
        tally.count(from, reply.granted);
        match self.membership.current().verdict(tally) {
            Verdict::Won => self.win(out),
            // Another candidate may yet be served: wait for it as a follower.
            Verdict::Lost => self.become_follower(self.term, None, out),
            Verdict::Open => {}
        }
    }

    /// Leads: opens the term with a no-op, for only an entry of its own term can be committed by
    /// counting, and with it all before (§5.4.2, §8).
    fn win(&mut self, out: &mut Outbox<Self>) {
        let last = self.log.last_index();
        let peers = self.membership.peers();
        self.standing = Standing::Leader(Box::new(Leader {
            term_start: last + 1,
            matched: 0,
            offered: 0,
            progress: peers.into_iter().map(|peer| Progress::new(peer, last)).collect(),
            uncommitted_bytes: self.bytes_after(self.commit),
            reads: ReadRounds::default(),
            lease: Lease::default(),
            settled: None,
            changing: None,
            transfer: None,
        }));
        out.note(Event::Elected { epoch: Epoch::term(self.term) });
        out.cancel_timer(Timer::Election);
        Self::arm(Timer::Heartbeat, self.config.settings.heartbeat_interval, out);
        Self::arm(Timer::Quorum, self.config.settings.election_timeout.start, out);
        let payload = Some(Payload::noop());
        self.append(Entry { index: last + 1, term: self.term, payload }, None);
    }

    /// Gives up leading if no quorum was heard of for an election timeout: a leader that is cut off
    /// must not keep clients waiting, nor followers that hear it and cannot answer (D§6.2). It is also
    /// the tick by which newcomers are measured.
    pub(crate) fn quorum_timeout(&mut self, out: &mut Outbox<Self>) {
        let Standing::Leader(leader) = &mut self.standing else { return };
        let (me, configuration) = (self.membership.me(), self.membership.current());
        let has_quorum = configuration.agrees(|voter| voter == me || leader.has_heard(voter));
        if self.config.settings.check_quorum && !has_quorum {
            return self.become_follower(self.term, None, out);
        }
        leader.tick();
        Self::arm(Timer::Quorum, self.config.settings.election_timeout.start, out);
        self.transfer_by_priority(out);
    }

    /// A later term than its own ends whatever the replica did in its own (§5.1).
    pub(crate) fn observe_term(&mut self, term: u64, out: &mut Outbox<Self>) {
        if term > self.term {
            self.become_follower(term, None, out);
        }
    }

    /// Takes notice of a leader. `false` if its term is over. A second leader of one term would be a
    /// mistake in this protocol, and nothing that comes after it could be trusted.
    pub(crate) fn follow(&mut self, leader: NodeId, term: u64, out: &mut Outbox<Self>) -> bool {
        if term < self.term {
            return false;
        }
        let known = match &self.standing {
            Standing::Follower(follower) => follower.leader,
            Standing::PreCandidate(_) | Standing::Candidate(_) => None,
            Standing::Leader(_) => Some(self.membership.me()),
        };
        let known = known.filter(|_| term == self.term);
        assert!(known.is_none_or(|known| known == leader), "one leader per term (§5.2)");
        if known.is_none() {
            self.become_follower(term, Some(leader), out);
            self.conclude_transfer(out);
        }
        if let Standing::Follower(follower) = &mut self.standing {
            follower.loyal = self.config.settings.pre_vote;
            follower.contact = true;
        }
        (self.bound, self.binding) = (self.config.settings.leases, self.config.settings.leases);
        true
    }

    /// Follows in this term, and ends what it did before. What was gathered for the next flush dies
    /// with the old term: an acknowledgement must never speak for another term than the one in
    /// which it was earned.
    pub(crate) fn become_follower(
        &mut self,
        term: u64,
        leader: Option<NodeId>,
        out: &mut Outbox<Self>,
    ) {
        let ended = Epoch::term(self.term);
        if term > self.term {
            self.term = term;
            self.vote = None;
        }
        let follower = Standing::Follower(Follower { leader, ..Follower::default() });
        match std::mem::replace(&mut self.standing, follower) {
            Standing::Leader(reign) => {
                out.note(Event::SteppedDown { epoch: ended });
                self.step_down(*reign, leader, out);
            }
            Standing::Candidate(_) => out.note(Event::SteppedDown { epoch: ended }),
            Standing::Follower(_) | Standing::PreCandidate(_) => {}
        }
    }

    /// Ends a reign. Commands that it left in the log may be committed by another leader or
    /// replaced: their outcome is unknown here.
    fn step_down(&mut self, reign: Leader, leader: Option<NodeId>, out: &mut Outbox<Self>) {
        out.cancel_timer(Timer::Heartbeat);
        out.cancel_timer(Timer::Quorum);
        self.arm_election(out);
        for slot in self.log.range_mut(self.applied + 1..=self.log.last_index()) {
            if let Some(request) = slot.request.take() {
                out.reply(request, Outcome::Unknown);
            }
        }
        self.abandon_change(reign.changing, leader, out);
        self.hand_over(reign.transfer, out);
        for request in reign.reads.into_requests() {
            out.refuse(request, Refusal::NotLeader { leader });
        }
    }

    /// Whether a leader is heard of, possibly itself, so that nobody else gets this vote. With
    /// leases, that outlasts the term in which it was heard of: its lease does not end with what this
    /// replica learns.
    const fn is_loyal(&self) -> bool {
        let settings = &self.config.settings;
        match &self.standing {
            Standing::Leader(_) => settings.pre_vote || settings.leases,
            _ if self.bound => true,
            Standing::Follower(follower) => follower.loyal,
            Standing::PreCandidate(_) | Standing::Candidate(_) => false,
        }
    }

    /// Whether a log that ends there is at least as up to date as this one (§5.4.1).
    fn is_current(&self, last_log_index: Index, last_log_term: u64) -> bool {
        let (own_index, own_term) = self.last();
        (last_log_term, last_log_index) >= (own_term, own_index)
    }

    /// The position and term of the last entry.
    fn last(&self) -> (Index, u64) {
        (self.log.last_index(), self.log.last_term())
    }

    fn bytes_after(&self, index: Index) -> usize {
        let after = index + 1..=self.log.last_index();
        after.filter_map(|index| self.log.get(index)).map(|slot| slot.payload.bytes()).sum()
    }
}
