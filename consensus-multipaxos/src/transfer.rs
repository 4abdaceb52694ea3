//! Handing leadership over (Raft dissertation §3.10, in ballots).
//!
//! ```text
//! leader   takes no more proposals ── all is chosen, and the target has it ── lease ends ── TimeoutNow ──> steps down
//! target                                                                      campaigns at once ──> leads
//! ```
//!
//! Any replica may win, whatever it lacks; the leader waits for the target all the same, so that it
//! takes over at once and the values need not travel twice. The target asks for promises without the
//! round before, and loyal acceptors let it pass: their leader wants it so. If it does not take over
//! within an election timeout, the leader goes on.

use std::cmp::Reverse;

use consensus_core::{NodeId, Outcome, Refusal, RequestId, event::Event};

use crate::{
    message::{Message, TimeoutNow},
    replica::{Leader, MultiPaxos, Out, Standing, Timer},
    replication::Progress,
    triggers::Cause,
};

/// A hand-over under way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Transfer {
    /// Who is to lead next; an acceptor of the configuration decided last.
    pub to: NodeId,
    /// Who asked for it; nobody, if the leader hands over by its own priority.
    pub request: Option<RequestId>,
    /// Whether the target was told to campaign.
    pub told: bool,
}

impl MultiPaxos {
    /// Begins to hand over, to this node or else to whoever is best.
    pub(crate) fn transfer(&mut self, request: RequestId, to: Option<NodeId>, out: &mut Out) {
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

    fn start_transfer(&mut self, to: NodeId, request: Option<RequestId>, out: &mut Out) {
        let timeout = self.config.settings.election_timeout.start;
        let epoch = self.promised.epoch();
        let Some(leader) = self.leading() else { return };
        leader.transfer = Some(Transfer { to, request, told: false });
        out.note(Event::Transferring { epoch, to });
        Self::arm(Timer::Transfer, timeout, out);
    }

    /// Tells the target to campaign once everything proposed is chosen and the target holds it (at
    /// flush).
    pub(crate) fn advance_transfer(&mut self, out: &mut Out) {
        let Standing::Leader(leader) = &self.standing else { return };
        let Some(Transfer { to, told: false, .. }) = leader.transfer else { return };
        if !self.votes_next(to) {
            return self.abort_transfer(format!("node {to} votes no more"), out);
        }
        let chosen_to = self.chosen_to;
        if chosen_to < self.proposed_to().max(leader.inherited_to) {
            return;
        }
        if leader.peer(to).is_none_or(|peer| peer.secured < chosen_to) {
            return self.secure(chosen_to, &[to], out);
        }
        let Some(leader) = self.leading() else { return };
        leader.transfer.iter_mut().for_each(|transfer| transfer.told = true);
        self.tell_to_campaign(to, out);
    }

    /// Tells the target again, if it was told before: the first message may be lost.
    pub(crate) fn repeat_transfer(&mut self, out: &mut Out) {
        let Standing::Leader(leader) = &self.standing else { return };
        if let Some(Transfer { to, told: true, .. }) = leader.transfer {
            self.tell_to_campaign(to, out);
        }
    }

    /// Ends the lease first, for good: the acceptors will help the target although they acknowledged
    /// this leader's rounds, and when it campaigns is unknown. The message promises nothing: the
    /// leader's ballot is on disk since it campaigned.
    fn tell_to_campaign(&mut self, to: NodeId, out: &mut Out) {
        let ballot = self.promised;
        if let Some(leader) = self.leading() {
            leader.lease.end();
        }
        out.send_now(to, Message::TimeoutNow(TimeoutNow { ballot }));
    }

    /// The target did not take over in time: the leader goes on.
    pub(crate) fn transfer_timeout(&mut self, out: &mut Out) {
        let Standing::Leader(leader) = &self.standing else { return };
        let Some(Transfer { to, .. }) = leader.transfer else { return };
        self.abort_transfer(format!("node {to} did not take over in time"), out);
    }

    fn abort_transfer(&mut self, why: String, out: &mut Out) {
        let Some(leader) = self.leading() else { return };
        let Some(transfer) = leader.transfer.take() else { return };
        leader.ask_no_more();
        out.cancel_timer(Timer::Transfer);
        match transfer.request {
            Some(request) => out.refuse(request, Refusal::NotTransferred(why)),
            None => self.refuse(format!("leadership was not handed over: {why}"), out),
        }
    }

    /// The target's part: campaigns at once, whatever it heard of its leader.
    pub(crate) fn receive_timeout_now(&mut self, from: NodeId, told: TimeoutNow, out: &mut Out) {
        let waits = matches!(self.standing, Standing::Follower(_) | Standing::PreCandidate(_));
        // What it promised before it started, and forgot, it may have promised to a later leader.
        let forgot = self.waits_until.is_some();
        if told.ballot != self.promised || told.ballot.owner() != from || !waits || forgot {
            return;
        }
        if !self.membership.is_acceptor(self.membership.me()) {
            return self.refuse(format!("node {from} hands over to who may not lead"), out);
        }
        self.doubt_transfer(out);
        self.arm_election(out);
        self.campaign(Cause::Transfer(told.ballot), out);
    }

    /// Hands over to an acceptor of higher priority that holds what is chosen, if there is one (at
    /// each check of the quorum). Not before this leader chose what it inherited, nor while the
    /// members change: one thing at a time.
    pub(crate) fn transfer_by_priority(&mut self, out: &mut Out) {
        let settings = &self.config.settings;
        let Standing::Leader(leader) = &self.standing else { return };
        let busy = leader.transfer.is_some() || self.is_changing();
        if settings.priorities.is_empty() || busy || self.chosen_to < leader.inherited_to {
            return;
        }
        let own = settings.priority(self.membership.me());
        let best = self.best_successor(leader).filter(|&to| settings.priority(to) > own);
        let Some(peer) = best.and_then(|to| leader.peer(to)) else { return };
        // It is asked at one check, and holds what was chosen then at the next.
        let (to, keeps_up) = (peer.peer, peer.asked > 0 && peer.secured >= peer.asked);
        if keeps_up {
            self.start_transfer(to, None, out);
        } else {
            self.secure(self.chosen_to, &[to], out);
        }
    }

    /// A leader that the members left without hands over to whoever holds everything, and spares
    /// them an election timeout without a leader.
    pub(crate) fn leave(&mut self, out: &mut Out) {
        let Standing::Leader(leader) = &self.standing else { return };
        let successor = self.best_successor(leader);
        self.become_follower(self.promised, None, out);
        if let Some(to) = successor {
            self.tell_to_campaign(to, out);
        }
    }

    /// The acceptor that should lead next: of the highest priority, then the furthest, among
    /// those that were heard of lately.
    fn best_successor(&self, leader: &Leader) -> Option<NodeId> {
        let voters = self.membership.latest().voters.iter();
        let peers = voters.filter_map(|&voter| leader.peer(voter));
        let lately = peers.filter(|peer| peer.heard || peer.heard_before);
        let priority = |node| self.config.settings.priority(node);
        let rank = |peer: &&Progress| (priority(peer.peer), peer.accepted_to, Reverse(peer.peer));
        lately.max_by_key(rank).map(|peer| peer.peer)
    }

    /// Whether a node accepts under the configuration that was decided last.
    fn votes_next(&self, node: NodeId) -> bool {
        self.membership.latest().voters.contains(&node)
    }

    /// A reign ends while a hand-over was under way: whoever asked for it hears when another leads.
    pub(crate) fn hand_over(&mut self, transfer: Option<Transfer>, out: &mut Out) {
        let Some(Transfer { request, .. }) = transfer else { return };
        out.cancel_timer(Timer::Transfer);
        self.handed_over = request;
    }

    /// Answers whoever asked for a hand-over, once another leads.
    pub(crate) fn conclude_transfer(&mut self, out: &mut Out) {
        if let Some(request) = self.handed_over.take() {
            out.reply(request, Outcome::Done);
        }
    }

    /// Nobody leads whom this replica heard of, for an election timeout.
    pub(crate) fn doubt_transfer(&mut self, out: &mut Out) {
        if let Some(request) = self.handed_over.take() {
            out.reply(request, Outcome::Unknown);
        }
    }
}
