//! Who votes, and how many votes suffice.
//!
//! A replica goes by the latest configuration in its log, committed or not (§6): so a configuration
//! is in force from the moment that its entry is appended, and out of force when that entry is
//! truncated. What was in force before is kept for that.
//!
//! ```text
//! asked: +4 -1     1 2 3         newcomers learn first, and catch up in rounds (D§4.2.1)
//! learning         1 2 3 | 4     then a joint configuration needs a majority of the old voters and
//! joint            1 2 3 & 2 3 4 one of the new (§6), so that there is no moment at which either
//! left             2 3 4         could decide alone; once it is committed, the old ones leave
//! ```

use std::collections::BTreeMap;

use consensus_core::{
    Change, Configuration, Index, NodeId, Outbox, Outcome, Payload, Refusal, RequestId,
    SnapshotMeta,
    event::Event,
    promotion::{Promotion, Readiness},
};

use crate::{
    message::{Message, ReadRound},
    record::Entry,
    replica::{Raft, Standing},
    replication::Progress,
};

/// The configurations that this replica's log tells of.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Membership {
    me: NodeId,
    /// Each with the position of its entry, ascending; the last is in force. Zero stands for what
    /// was so before the first entry. Never empty, and from the base on complete.
    history: Vec<(Index, Configuration)>,
}

impl Membership {
    /// What is so before the first entry.
    pub fn new(me: NodeId, voters: Vec<NodeId>) -> Self {
        Self { me, history: vec![(0, Configuration::of(voters))] }
    }

    pub const fn me(&self) -> NodeId {
        self.me
    }

    /// The configuration in force.
    pub fn current(&self) -> &Configuration {
        &self.latest().1
    }

    /// The position of its entry.
    pub fn since(&self) -> Index {
        self.latest().0
    }

    /// Who else votes, ascending.
    pub fn voting_peers(&self) -> Vec<NodeId> {
        self.without_me(self.current().all_voters())
    }

    /// Who else votes or learns, ascending.
    pub fn peers(&self) -> Vec<NodeId> {
        self.without_me(self.current().members())
    }

    /// Whether this replica may be needed as a leader: it votes in the configuration in force, or
    /// did in the last one that is committed. Until the configuration without it is committed, the
    /// others may be unable to elect any but this replica, whose log is the longest (D§4.2.2).
    pub fn may_lead(&self, commit: Index) -> bool {
        let committed = self.history.partition_point(|&(index, _)| index <= commit);
        let possible = &self.history[committed.saturating_sub(1)..];
        possible.iter().any(|(_, configuration)| configuration.is_voter(self.me))
    }

    /// The configurations that a snapshot up to a position must tell of: the one in force after it.
    /// None, if this replica knows none.
    #[allow(dead_code, reason = "snapshots are not taken yet")]
    pub fn configurations_up_to(&self, index: Index) -> BTreeMap<Index, Configuration> {
        let told = self.history.iter().rev().find(|&&(at, _)| at <= index);
        told.filter(|(_, configuration)| !configuration.is_empty()).cloned().into_iter().collect()
    }

    /// An entry with a configuration was appended.
    pub fn append(&mut self, index: Index, configuration: Configuration) {
        debug_assert!(index > self.since(), "configurations come in order");
        self.history.push((index, configuration));
    }

    /// The entries from this position on were removed. Says whether another configuration is in
    /// force now.
    pub fn truncate_from(&mut self, from: Index) -> bool {
        let before = self.history.len();
        self.history.retain(|&(index, _)| index == 0 || index < from);
        self.history.len() < before
    }

    /// Forgets what was in force before this position: nothing up to it will be truncated, nor
    /// another snapshot taken before it.
    pub fn compact(&mut self, base: Index) {
        let obsolete = self.history.partition_point(|&(index, _)| index <= base);
        self.history.drain(..obsolete.saturating_sub(1));
    }

    /// A snapshot stands for the entries up to its end, and tells what they said. What the log holds
    /// after it stays in force.
    pub fn install(&mut self, base: &SnapshotMeta) {
        let told = base.configurations.last_key_value();
        let Some((&index, configuration)) = told else { return self.compact(base.index) };
        self.history.retain(|&(index, _)| index > base.index);
        self.history.insert(0, (index, configuration.clone()));
    }

    fn latest(&self) -> &(Index, Configuration) {
        self.history.last().expect("what is so before the first entry is always known")
    }

    fn without_me(&self, mut nodes: Vec<NodeId>) -> Vec<NodeId> {
        nodes.retain(|&node| node != self.me);
        nodes
    }
}

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

    /// Learns from the base and the log who the members are (at recovery).
    pub(crate) fn recover_membership(&mut self, out: &mut Outbox<Self>) {
        self.membership.install(self.log.base());
        for (index, configuration) in self.log.configurations() {
            self.membership.append(index, configuration.clone());
        }
        if self.membership.since() > 0 {
            self.note_configuration(out);
        }
    }

    /// An entry is appended: if it holds a configuration, that is in force from now on.
    pub(crate) fn observe_configuration(&mut self, entry: &Entry, out: &mut Outbox<Self>) {
        let configuration = entry.payload.as_ref().and_then(Payload::configuration);
        let Some(configuration) = configuration else { return };
        self.membership.append(entry.index, configuration.clone());
        self.note_configuration(out);
    }

    /// The entries from this position on are removed, and the configurations among them.
    pub(crate) fn truncate_membership(&mut self, from: Index, out: &mut Outbox<Self>) {
        if self.membership.truncate_from(from) {
            self.note_configuration(out);
        }
    }

    /// A snapshot took the place of the whole log: it tells who the members are.
    pub(crate) fn install_membership(&mut self, base: &SnapshotMeta, out: &mut Outbox<Self>) {
        let known = self.membership.current().clone();
        self.membership.truncate_from(base.index + 1);
        self.membership.install(base);
        if *self.membership.current() != known {
            self.note_configuration(out);
        }
    }

    /// Whether a change of the members is under way: this leader was asked for one, or the
    /// configuration in force is joint, or may yet be truncated.
    pub(crate) fn is_changing(&self) -> bool {
        let asked = matches!(&self.standing, Standing::Leader(leader) if leader.changing.is_some());
        asked || self.membership.current().is_joint() || self.membership.since() > self.commit
    }

    fn note_configuration(&self, out: &mut Outbox<Self>) {
        let configuration = Box::new(self.membership.current().clone());
        out.note(Event::Reconfigured { from: self.membership.since(), configuration });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<const N: usize>(voters: [u64; N]) -> Configuration {
        Configuration::of(voters.map(NodeId))
    }

    fn membership() -> Membership {
        let mut membership = Membership::new(NodeId(1), [1, 2].map(NodeId).to_vec());
        membership.append(3, of([1, 2, 3]));
        membership.append(7, of([2, 3]));
        membership
    }

    #[test]
    fn a_truncated_configuration_falls_back_to_the_one_before() {
        let mut membership = membership();
        assert!(!membership.truncate_from(8));
        assert_eq!(membership.current(), &of([2, 3]));
        assert!(membership.truncate_from(7));
        assert_eq!((membership.since(), membership.current()), (3, &of([1, 2, 3])));
        assert!(membership.truncate_from(1));
        assert_eq!((membership.since(), membership.current()), (0, &of([1, 2])));
    }

    #[test]
    fn whoever_was_removed_may_lead_until_that_is_committed() {
        let membership = membership();
        assert!(membership.may_lead(2) && membership.may_lead(6));
        assert!(!membership.may_lead(7));
    }

    #[test]
    fn a_snapshot_tells_what_was_in_force_at_its_end() {
        let mut membership = membership();
        let told = |membership: &Membership, index| membership.configurations_up_to(index);
        assert_eq!(told(&membership, 2), BTreeMap::from([(0, of([1, 2]))]));
        assert_eq!(told(&membership, 6), BTreeMap::from([(3, of([1, 2, 3]))]));
        membership.compact(6);
        assert_eq!(told(&membership, 6), BTreeMap::from([(3, of([1, 2, 3]))]));
        assert_eq!(told(&membership, 2), BTreeMap::new(), "forgotten");
        assert_eq!(told(&Membership::new(NodeId(4), Vec::new()), 9), BTreeMap::new());
    }

    #[test]
    fn an_installed_snapshot_replaces_what_was_before_its_end() {
        let base = |index, configurations| SnapshotMeta {
            index,
            configurations: Box::new(BTreeMap::from(configurations)),
            ..SnapshotMeta::default()
        };
        let mut membership = membership();
        membership.install(&base(5, [(4, of([1, 9]))]));
        assert_eq!(membership.current(), &of([2, 3]), "what follows stays");
        assert!(membership.truncate_from(7));
        assert_eq!((membership.since(), membership.current()), (4, &of([1, 9])));
        membership.install(&base(9, [(8, of([9]))]));
        assert_eq!((membership.since(), membership.current()), (8, &of([9])));
    }
}
