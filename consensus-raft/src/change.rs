//! Running a change of the members (§6, D§4).
//!
//! ```text
//! asked: +4 -1     1 2 3         newcomers learn first, and catch up in rounds (D§4.2.1)
//! learning         1 2 3 | 4     then a joint configuration needs a majority of the old voters and
//! joint            1 2 3 & 2 3 4 one of the new (§6), so that there is no moment at which either
//! left             2 3 4         could decide alone; once it is committed, the old ones leave
//! ```

use consensus_core::{
    Change, Configuration, Index, NodeId, Outbox, Outcome, Payload, Refusal, RequestId,
    promotion::{Promotion, Readiness},
};

use crate::{
    message::{Message, ReadRound},
    record::Entry,
    replica::{Raft, Standing},
    replication::Progress,
};

/// A change of the members that this leader was asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Changing {
    /// Who asked.
    pub request: RequestId,
    /// What was in force then, and since when.
    pub before: Configuration,
    pub before_since: Index,
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
    /// This newcomer did not, and what was in force before is on its way back.
    Returning(NodeId),
    /// The entries that lead to the target are on their way.
    Moving,
}

impl Changing {
    /// What comes next in the log after the configuration in force, which is committed: something, once
    /// the newcomers are ready or given up.
    fn next(&mut self, current: &Configuration) -> Option<Configuration> {
        let Stage::CatchingUp(promotion) = &self.stage else { return None };
        match promotion.readiness() {
            Readiness::Ready => {
                self.stage = Stage::Moving;
                let same_voters = self.target.voters == current.voters;
                Some(match same_voters {
                    true => self.target.clone(),
                    false => current.joint_with(&self.target),
                })
            }
            Readiness::Hopeless(node) => {
                self.stage = Stage::Returning(node);
                (self.before != *current).then(|| self.before.clone())
            }
            Readiness::Waits => None,
        }
    }
}

impl Raft {
    /// Begins a change of the members.
    pub(crate) fn reconfigure(
        &mut self,
        request: RequestId,
        change: &Change,
        out: &mut Outbox<Self>,
    ) {
        let target = match self.target_of(change) {
            Ok(target) => target,
            Err(why) => return out.refuse(request, why),
        };
        let (before, before_since) = (self.membership.current().clone(), self.membership.since());
        let is_new = |node: &NodeId| !before.voters.contains(node);
        let newcomers: Vec<_> = target.voters.iter().copied().filter(is_new).collect();
        let learning = before.with_learners(&newcomers);
        let promotion = Promotion::new(newcomers, self.log.last_index());
        if learning != before {
            self.propose_configuration(learning, out);
        }
        let stage = Stage::CatchingUp(promotion);
        if let Some(leader) = self.leading() {
            let changing = Changing { request, before, before_since, target, stage };
            leader.changing = Some(changing);
        }
    }

    /// Where a change leads, if it may begin: one at a time, and not before this leader committed an
    /// entry of its own term. Until then a configuration of an earlier term may be about that it has
    /// not heard of, and whose quorums may not overlap with those of the new one (the mistake in
    /// D§4.1 that its author announced in 2015).
    fn target_of(&self, change: &Change) -> Result<Configuration, Refusal> {
        let Standing::Leader(leader) = &self.standing else {
            return Err(Refusal::NotLeader { leader: self.leader() });
        };
        if let Some(transfer) = &leader.transfer {
            return Err(Refusal::Transferring(transfer.to));
        }
        let current = self.membership.current();
        if self.is_changing() {
            return Err(Refusal::ChangeUnderWay(current.to_string()));
        }
        if self.commit < leader.term_start {
            let why = "the leader has not committed anything in its term yet";
            return Err(Refusal::ChangeUnderWay(why.into()));
        }
        Ok(current.changed(change)?)
    }

    /// Proposes the next configuration, once the one in force is committed (at flush). Whoever leads
    /// leaves a joint configuration, also one that it inherited; but only when that is committed, and
    /// known to be so by an entry of the leader's own term: what a crash brought back may yet be
    /// replaced.
    pub(crate) fn advance_change(&mut self, out: &mut Outbox<Self>) {
        let Standing::Leader(leader) = &mut self.standing else { return };
        let since = self.membership.since();
        if leader.settled == Some(since) && leader.changing.is_none() {
            return;
        }
        let last = self.log.last_index();
        let (current, progress) = (self.membership.current(), &leader.progress);
        let matched =
            |node| progress.iter().find(|peer| peer.peer == node).map_or(0, |peer| peer.matched);
        if let Some(Changing { stage: Stage::CatchingUp(promotion), .. }) = &mut leader.changing {
            promotion.observe(matched, last);
        }
        if self.commit < since.max(leader.term_start) {
            return;
        }
        let next = match &mut leader.changing {
            _ if current.is_joint() => Some(current.left()),
            Some(changing) => changing.next(current),
            None => None,
        };
        if let Some(next) = next {
            self.propose_configuration(next, out);
        }
    }

    /// Answers whoever asked for a change, once all of it is committed; and a leader that is no voter
    /// any more steps down (D§4.2.2). At the end of a flush, when what is committed is applied.
    pub(crate) fn conclude_change(&mut self, out: &mut Outbox<Self>) {
        let Standing::Leader(leader) = &mut self.standing else { return };
        let (since, current) = (self.membership.since(), self.membership.current());
        let is_settled = leader.settled == Some(since) && leader.changing.is_none();
        let is_final = self.commit >= since.max(leader.term_start) && !current.is_joint();
        let catching_up = |changing: &Changing| matches!(changing.stage, Stage::CatchingUp(_));
        if is_settled || !is_final || leader.changing.as_ref().is_some_and(catching_up) {
            return;
        }
        leader.settled = Some(since);
        // Whoever left learns that it did, if it holds the entry: so it will not campaign.
        for gone in leader.progress.iter().filter(|peer| !current.contains(peer.peer)) {
            let (round, commit) = (leader.reads.last(), self.commit.min(gone.matched));
            let farewell = ReadRound { term: self.term, round, commit };
            out.send_now(gone.peer, Message::ReadRound(farewell));
        }
        leader.progress.retain(|peer| current.contains(peer.peer));
        if let Some(Changing { request, stage, .. }) = leader.changing.take() {
            match stage {
                Stage::Returning(node) => out.refuse(request, Refusal::NotCaughtUp(node)),
                Stage::CatchingUp(_) | Stage::Moving => out.reply(request, Outcome::Done),
            }
        }
        if !current.is_voter(self.membership.me()) {
            self.leave(out);
        }
    }

    /// A reign ends while a change was under way. If nothing of it stands in the log, nothing will
    /// come of it; otherwise the next leader may carry it through, or not.
    pub(crate) fn abandon_change(
        &self,
        changing: Option<Changing>,
        leader: Option<NodeId>,
        out: &mut Outbox<Self>,
    ) {
        let Some(Changing { request, before_since, .. }) = changing else { return };
        if self.membership.since() == before_since {
            out.refuse(request, Refusal::NotLeader { leader });
        } else {
            out.reply(request, Outcome::Unknown);
        }
    }

    /// Puts a configuration into the leader's log, where it is in force at once. Whoever is new
    /// receives the log from now on; whoever leaves, until that is committed.
    fn propose_configuration(&mut self, configuration: Configuration, out: &mut Outbox<Self>) {
        let index = self.log.last_index() + 1;
        let payload = Some(Payload::configure(configuration));
        let entry = Entry { index, term: self.term, payload };
        self.observe_configuration(&entry, out);
        self.append(entry, None);
        let peers = self.membership.peers();
        let Some(leader) = self.leading() else { return };
        for peer in peers {
            if leader.peer(peer).is_none() {
                leader.progress.push(Progress::new(peer, index - 1));
            }
        }
        leader.progress.sort_by_key(|peer| peer.peer);
    }

    /// Whether a change of the members is under way: this leader was asked for one, or the
    /// configuration in force is joint, or may yet be truncated.
    pub(crate) fn is_changing(&self) -> bool {
        let asked = matches!(&self.standing, Standing::Leader(leader) if leader.changing.is_some());
        asked || self.membership.current().is_joint() || self.membership.since() > self.commit
    }
}
