//! Running a change of the members.
//!
//! ```text
//! asked: +4 -1   the newcomers learn first, and catch up in rounds (Raft dissertation §4.2.1)
//! ready          a quorum of the target promised this ballot: the target is proposed, for slot i
//! chosen         no-ops fill the slots before i + α, which those before still decide
//! in force       a quorum of the target holds all of them on disk: those who left may go
//! ```

use consensus_core::{
    Change, ChangeError, Configuration, Index, NodeId, Outcome, Payload, Refusal, RequestId,
    promotion::{Promotion, Readiness},
};

use crate::{
    message::{Message, Secure, Secured},
    replica::{MultiPaxos, Out, Standing},
    replication::Progress,
};

/// A change of the members that this leader was asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Changing {
    /// Who asked.
    pub request: RequestId,
    /// What governed then.
    pub before: Configuration,
    /// Where it leads.
    pub target: Configuration,
    /// How far it came.
    pub stage: Stage,
}

/// How far a change came.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Stage {
    /// Whoever is to vote catches up.
    CatchingUp(Promotion),
    /// This newcomer did not, and what governed before is on its way back.
    Returning(NodeId),
    /// The target is proposed.
    Moving,
}

impl MultiPaxos {
    /// Begins a change of the members: first everybody who is to vote learns.
    pub(crate) fn reconfigure(&mut self, request: RequestId, change: &Change, out: &mut Out) {
        let target = match self.target_of(change) {
            Ok(target) => target,
            Err(why) => return out.refuse(request, why),
        };
        let before = self.membership.latest().clone();
        let is_new = |node: &NodeId| !before.voters.contains(node);
        let newcomers: Vec<_> = target.voters.iter().copied().filter(is_new).collect();
        let learning = before.with_learners(&newcomers);
        let stage = Stage::CatchingUp(Promotion::new(newcomers, self.chosen_to));
        let next = Some(learning).filter(|learning| *learning != before);
        if let Some(leader) = self.leading() {
            leader.next_configuration = next;
            leader.changing = Some(Changing { request, before, target, stage });
        }
    }

    /// Where a change leads, if it may begin: one at a time, and not before everything that this
    /// leader inherited is chosen; until then a configuration may be about that it has not heard of.
    fn target_of(&self, change: &Change) -> Result<Configuration, Refusal> {
        let Standing::Leader(leader) = &self.standing else {
            return Err(Refusal::NotLeader { leader: self.leader() });
        };
        if let Some(transfer) = &leader.transfer {
            return Err(Refusal::Transferring(transfer.to));
        }
        if self.chosen_to < leader.inherited_to {
            let why = "the leader has yet to choose what it inherited";
            return Err(Refusal::ChangeUnderWay(why.into()));
        }
        if self.is_changing() {
            return Err(Refusal::ChangeUnderWay(self.membership.latest().to_string()));
        }
        let target = self.membership.latest().changed(change)?;
        match self.membership.fault(&target) {
            Some(why) => Err(ChangeError::Forbidden(why).into()),
            None => Ok(target),
        }
    }

    /// Takes a change further (at flush).
    pub(crate) fn advance_change(&mut self, out: &mut Out) {
        let Standing::Leader(leader) = &self.standing else { return };
        if leader.changing.is_none() && leader.coming.is_none() {
            return;
        }
        self.promote(out);
        self.propose_configuration();
        self.bring_into_force(out);
    }

    /// Catches newcomers up, and decides what comes next once they are ready, or hopeless.
    ///
    /// Before a configuration is proposed, a quorum of it has promised this leader's ballot, on disk:
    /// so nobody with a lower one, who learns of the configuration from this leader's own choice, can
    /// lead under it.
    fn promote(&mut self, out: &mut Out) {
        let (me, chosen_to) = (self.membership.me(), self.chosen_to);
        let has_pending = self.membership.pending().next().is_some();
        let Standing::Leader(leader) = &mut self.standing else { return };
        let Some(Changing { before, target, stage, .. }) = &mut leader.changing else { return };
        let Stage::CatchingUp(promotion) = stage else { return };
        if has_pending || leader.next_configuration.is_some() {
            return; // the newcomers are no members yet
        }
        let progress = &leader.progress;
        let peer = |node| progress.iter().find(|peer| peer.peer == node);
        promotion.observe(|node| peer(node).map_or(0, |peer| peer.secured), chosen_to);
        let is_promised = |node| node == me || peer(node).is_some_and(|peer| peer.promised);
        match promotion.readiness() {
            Readiness::Ready if self.membership.would_be_promised_by(target, is_promised) => {
                leader.next_configuration = Some(target.clone());
                *stage = Stage::Moving;
            }
            Readiness::Hopeless(node) => {
                let back = Some(before.clone()).filter(|before| before != self.membership.latest());
                leader.next_configuration = back;
                *stage = Stage::Returning(node);
            }
            Readiness::Ready | Readiness::Waits => {
                let newcomers: Vec<_> = promotion.nodes().collect();
                let unpromised = target.voters.iter().filter(|&&node| !is_promised(node)).copied();
                let asked: Vec<_> = newcomers.into_iter().chain(unpromised).collect();
                self.secure(chosen_to, &asked, out);
            }
        }
    }

    /// Proposes the configuration that comes next, as soon as the window has room for it.
    fn propose_configuration(&mut self) {
        let has_room = self.proposed_to() < self.chosen_to + self.membership.rules().alpha;
        let Some(leader) = self.leading().filter(|_| has_room) else { return };
        if let Some(configuration) = leader.next_configuration.take() {
            self.propose_value(Payload::configure(configuration));
        }
    }

    /// Brings the configuration that was decided last into force: no-ops fill the slots before its
    /// first, and once they are chosen, and a quorum of it has them all on disk, those who left are
    /// needed no more. Then the change is done, and a leader that is out steps down.
    fn bring_into_force(&mut self, out: &mut Out) {
        let Standing::Leader(leader) = &self.standing else { return };
        let stage = leader.changing.as_ref().map(|changing| &changing.stage);
        if leader.next_configuration.is_some() || self.membership.pending().next().is_some() {
            return; // another follows at once
        }
        if matches!(stage, Some(Stage::Returning(_))) && leader.coming.is_none() {
            return self.conclude_change(out); // the newcomers were members before
        }
        let Some(from) = leader.coming.filter(|_| !matches!(stage, Some(Stage::CatchingUp(_))))
        else {
            return;
        };
        if self.chosen_to + 1 < from {
            return self.fill_to(from - 1);
        }
        let (me, own) = (self.membership.me(), leader.secured);
        let secured = |node| {
            let of = |peer: &Progress| peer.secured;
            let peer = leader.progress.iter().find(|peer| peer.peer == node).map(of);
            peer.or((node == me).then_some(own)).unwrap_or(0) >= from - 1
        };
        let latest = self.membership.latest();
        if self.membership.would_be_accepted_by(latest, secured) {
            return self.conclude_change(out);
        }
        let voters = latest.voters.clone();
        self.secure(from - 1, &voters, out);
    }

    /// Proposes no-ops up to a slot, a few at a time, so that clients find room between them.
    fn fill_to(&mut self, slot: Index) {
        let limit =
            self.membership.rules().alpha.min(self.config.settings.max_uncommitted_entries as u64);
        let room_to = self.chosen_to + limit.div_ceil(2);
        while self.proposed_to() < slot.min(room_to) {
            self.propose_value(Payload::noop());
        }
    }

    /// The configuration decided last is in force, and no other is about.
    fn conclude_change(&mut self, out: &mut Out) {
        let Some(leader) = self.leading() else { return };
        leader.coming = None;
        leader.ask_no_more();
        if let Some(Changing { request, stage, .. }) = leader.changing.take() {
            match stage {
                Stage::Returning(node) => out.refuse(request, Refusal::NotCaughtUp(node)),
                Stage::CatchingUp(_) | Stage::Moving => out.reply(request, Outcome::Done),
            }
        }
        if !self.membership.is_acceptor(self.membership.me()) {
            self.leave(out);
        }
    }

    /// A reign ends while a change was under way. If nothing of it stands in the log, nothing will
    /// come of it; otherwise the next leader may carry it through, or not.
    pub(crate) fn abandon_change(
        &self,
        changing: Option<Changing>,
        leader: Option<NodeId>,
        out: &mut Out,
    ) {
        let Some(Changing { request, before, .. }) = changing else { return };
        if self.membership.pending().next().is_none() && *self.membership.latest() == before {
            out.refuse(request, Refusal::NotLeader { leader });
        } else {
            out.reply(request, Outcome::Unknown);
        }
    }

    /// Whether a change is under way: this leader was asked for one, or a configuration waits to be
    /// chosen, or to govern, or for a quorum of it to know all before.
    pub(crate) fn is_changing(&self) -> bool {
        let asked = match &self.standing {
            Standing::Leader(leader) => leader.changing.is_some() || leader.coming.is_some(),
            _ => false,
        };
        asked || self.membership.pending().next().is_some() || self.membership.has_several()
    }

    /// Asks these to say when they hold every choice up to here, as far as they were not asked yet.
    pub(crate) fn secure(&mut self, to: Index, nodes: &[NodeId], out: &mut Out) {
        let (me, ballot) = (self.membership.me(), self.promised);
        let Some(leader) = self.leading() else { return };
        for peer in leader.progress.iter_mut().filter(|peer| nodes.contains(&peer.peer)) {
            if peer.asked < to && peer.secured >= peer.asked {
                peer.asked = to;
                out.send_now(peer.peer, Message::Secure(Secure { ballot, to }));
            }
        }
        if nodes.contains(&me) && leader.asked < to {
            leader.asked = to;
            self.save_choices(to, out);
            out.send(me, Message::Secured(Secured { ballot, to }));
        }
    }

    /// Asks again those who did not answer (at each heartbeat).
    pub(crate) fn repeat_secure(&mut self, out: &mut Out) {
        let ballot = self.promised;
        let Some(leader) = self.leading() else { return };
        for peer in leader.progress.iter().filter(|peer| peer.secured < peer.asked) {
            out.send_now(peer.peer, Message::Secure(Secure { ballot, to: peer.asked }));
        }
    }

    /// The member's part: everything up to there is chosen, and the leader wants to hear when it is
    /// all here.
    pub(crate) fn receive_secure(&mut self, from: NodeId, ask: Secure, out: &mut Out) {
        if !self.follow(from, ask.ballot, out) {
            return;
        }
        self.follow_choices(ask.to, out);
        if let Standing::Follower(follower) = &mut self.standing {
            follower.secure = follower.secure.max(Some(ask.to));
        }
    }

    /// Answers once all of it is here, and on disk (at flush).
    pub(crate) fn acknowledge_secure(&mut self, out: &mut Out) {
        let (ballot, chosen_to) = (self.promised, self.chosen_to);
        let Standing::Follower(follower) = &mut self.standing else { return };
        let Some(leader) = follower.leader else { return };
        if let Some(to) = follower.secure.take_if(|to| *to <= chosen_to) {
            self.save_choices(to, out);
            out.send(leader, Message::Secured(Secured { ballot, to }));
        }
    }

    /// Counts an answer, its own among them. It was earned under this ballot, and so is a promise of
    /// it.
    pub(crate) fn receive_secured(&mut self, from: NodeId, secured: Secured) {
        let (me, ballot) = (self.membership.me(), self.promised);
        let Some(leader) = self.leading().filter(|_| secured.ballot == ballot) else { return };
        if from == me {
            leader.secured = leader.secured.max(secured.to);
        } else if let Some(peer) = leader.progress.iter_mut().find(|peer| peer.peer == from) {
            (peer.heard, peer.promised) = (true, true);
            peer.secured = peer.secured.max(secured.to);
        }
    }
}
