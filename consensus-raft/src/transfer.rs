//! Handing leadership over (D§3.10).
//!
//! ```text
//! leader   takes no more proposals ── target holds the whole log ── lease ends ── TimeoutNow ──> steps down
//! target                                                                     campaigns at once ──> leads
//! ```
//!
//! The target asks for votes without a pre-vote, and loyal voters let it pass: their leader wants it
//! so. If it does not take over within an election timeout, the leader goes on.

use std::cmp::Reverse;

use consensus_core::{Epoch, NodeId, Outbox, Outcome, Refusal, RequestId, event::Event};

use crate::{
    message::{Message, TimeoutNow},
    replica::{Leader, Raft, Standing, Timer},
    replication::Progress,
    triggers::Cause,
};

/// A hand-over under way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Transfer {
    /// Who is to lead next; a voter of the configuration in force.
    pub to: NodeId,
    /// Who asked for it; nobody, if the leader hands over by its own priority.
    pub request: Option<RequestId>,
    /// Whether the target was told to campaign.
    pub told: bool,
}

impl Raft {
    /// Begins to hand over, to this node or else to whoever is best.
    pub(crate) fn transfer(
        &mut self,
        request: RequestId,
        to: Option<NodeId>,
        out: &mut Outbox<Self>,
    ) {
        match self.transfer_target(to) {
            Ok(to) => self.start_transfer(to, Some(request), out),
            Err(why) => out.refuse(request, why),
        }
    }

    fn transfer_target(&self, to: Option<NodeId>) -> Result<NodeId, Refusal> {
        let refused = |why: String| Err(Refusal::NotTransferred(why));
        let Standing::Leader(leader) = &self.standing else {
            return Err(Refusal::NotLeader { leader: self.leader() });
        };
        if let Some(transfer) = &leader.transfer {
            return Err(Refusal::Transferring(transfer.to));
        }
        match to {
            Some(to) if to == self.membership.me() => refused(format!("node {to} leads already")),
            Some(to) if !self.votes_next(to) => refused(format!("node {to} does not vote")),
            Some(to) => Ok(to),
            None => match self.best_successor(leader) {
                Some(to) => Ok(to),
                None => refused("no other voter was heard of lately".into()),
            },
        }
    }

    fn start_transfer(&mut self, to: NodeId, request: Option<RequestId>, out: &mut Outbox<Self>) {
        let timeout = self.config.settings.election_timeout.start;
        let Some(leader) = self.leading() else { return };
        leader.transfer = Some(Transfer { to, request, told: false });
        out.note(Event::Transferring { epoch: Epoch::term(self.term), to });
        Self::arm(Timer::Transfer, timeout, out);
    }

    /// Tells the target to campaign once it holds the whole log (at flush): only then is it sure to
    /// win.
    pub(crate) fn advance_transfer(&mut self, out: &mut Outbox<Self>) {
        let Standing::Leader(leader) = &self.standing else { return };
        let Some(Transfer { to, told: false, .. }) = leader.transfer else { return };
        if !self.votes_next(to) {
            return self.abort_transfer(format!("node {to} votes no more"), out);
        }
        let last = self.log.last_index();
        let Some(leader) = self.leading() else { return };
        if leader.peer(to).is_some_and(|peer| peer.matched == last) {
            leader.transfer.iter_mut().for_each(|transfer| transfer.told = true);
            self.tell_to_campaign(to, out);
        }
    }

    /// Tells the target again, if it was told before: the first message may be lost.
    pub(crate) fn repeat_transfer(&mut self, out: &mut Outbox<Self>) {
        let Standing::Leader(leader) = &self.standing else { return };
        if let Some(Transfer { to, told: true, .. }) = leader.transfer {
            self.tell_to_campaign(to, out);
        }
    }

    /// Ends the lease first, for good: the voters will help the target although they acknowledged this
    /// leader's rounds, and nobody knows when the message arrives (D§6.4.1). It promises nothing: the
    /// leader's term is on disk since it was elected.
    fn tell_to_campaign(&mut self, to: NodeId, out: &mut Outbox<Self>) {
        if let Some(leader) = self.leading() {
            leader.lease.end();
        }
        out.send_now(to, Message::TimeoutNow(TimeoutNow { term: self.term }));
    }

    /// The target did not take over in time: the leader goes on.
    pub(crate) fn transfer_timeout(&mut self, out: &mut Outbox<Self>) {
        let Standing::Leader(leader) = &self.standing else { return };
        let Some(Transfer { to, .. }) = leader.transfer else { return };
        self.abort_transfer(format!("node {to} did not take over in time"), out);
    }

    fn abort_transfer(&mut self, why: String, out: &mut Outbox<Self>) {
        let Some(leader) = self.leading() else { return };
        let Some(transfer) = leader.transfer.take() else { return };
        out.cancel_timer(Timer::Transfer);
        match transfer.request {
            Some(request) => out.refuse(request, Refusal::NotTransferred(why)),
            None => self.refuse(format!("leadership was not handed over: {why}"), out),
        }
    }

    /// The target's part: campaigns at once, whatever it heard of its leader.
    pub(crate) fn receive_timeout_now(
        &mut self,
        from: NodeId,
        told: TimeoutNow,
        out: &mut Outbox<Self>,
    ) {
        self.observe_term(told.term, out);
        let waits = matches!(self.standing, Standing::Follower(_) | Standing::PreCandidate(_));
        if told.term != self.term || !waits {
            return;
        }
        if !self.membership.may_lead(self.commit) {
            return self.refuse(format!("node {from} hands over to who may not lead"), out);
        }
        self.doubt_transfer(out);
        self.arm_election(out);
        self.campaign(Cause::Transfer, out);
    }

    /// Hands over to a voter of higher priority that holds what is committed, if there is one (at
    /// each check of the quorum). Not before this leader committed something of its own, nor while
    /// the members change: one thing at a time.
    pub(crate) fn transfer_by_priority(&mut self, out: &mut Outbox<Self>) {
        let settings = &self.config.settings;
        let Standing::Leader(leader) = &self.standing else { return };
        let busy = leader.transfer.is_some() || self.is_changing();
        if settings.priorities.is_empty() || busy || self.commit < leader.term_start {
            return;
        }
        let own = settings.priority(self.membership.me());
        if let Some(to) = self.best_successor(leader)
            && settings.priority(to) > own
            && leader.peer(to).is_some_and(|peer| peer.matched >= self.commit)
        {
            self.start_transfer(to, None, out);
        }
    }

    /// A leader that the members left without hands over to whoever holds everything, and is
    /// spared an election timeout without a leader (D§4.2.2).
    pub(crate) fn leave(&mut self, out: &mut Outbox<Self>) {
        let last = self.log.last_index();
        let Standing::Leader(leader) = &self.standing else { return };
        let successor = self.best_successor(leader);
        let holds_all = |to: &NodeId| leader.peer(*to).is_some_and(|peer| peer.matched == last);
        let successor = successor.filter(holds_all);
        self.become_follower(self.term, None, out);
        if let Some(to) = successor {
            self.tell_to_campaign(to, out);
        }
    }

    /// The voter that should lead next: of the highest priority, then with the longest log, among
    /// those that were heard of lately.
    fn best_successor(&self, leader: &Leader) -> Option<NodeId> {
        let voters = self.membership.current().voters.iter();
        let peers = voters.filter_map(|&voter| leader.peer(voter));
        let lately = peers.filter(|peer| peer.heard || peer.heard_before);
        let priority = |node| self.config.settings.priority(node);
        let rank = |peer: &&Progress| (priority(peer.peer), peer.matched, Reverse(peer.peer));
        lately.max_by_key(rank).map(|peer| peer.peer)
    }

    /// Whether a node votes, and will when a joint configuration is left.
    fn votes_next(&self, node: NodeId) -> bool {
        self.membership.current().voters.contains(&node)
    }

    /// A reign ends while a hand-over was under way: whoever asked for it hears when another leads.
    pub(crate) fn hand_over(&mut self, transfer: Option<Transfer>, out: &mut Outbox<Self>) {
        let Some(Transfer { request, .. }) = transfer else { return };
        out.cancel_timer(Timer::Transfer);
        self.handed_over = request;
    }

    /// Answers whoever asked for a hand-over, once another leads.
    pub(crate) fn conclude_transfer(&mut self, out: &mut Outbox<Self>) {
        if let Some(request) = self.handed_over.take() {
            out.reply(request, Outcome::Done);
        }
    }

    /// Nobody leads whom this replica heard of, for an election timeout.
    pub(crate) fn doubt_transfer(&mut self, out: &mut Outbox<Self>) {
        if let Some(request) = self.handed_over.take() {
            out.reply(request, Outcome::Unknown);
        }
    }
}
