//! Who votes, and how many votes suffice.
//!
//! A replica goes by the latest configuration in its log, committed or not (§6): so a configuration
//! is in force from the moment that its entry is appended, and out of force when that entry is
//! truncated. What was in force before is kept for that.

use std::collections::BTreeMap;

use consensus_core::{Configuration, Index, NodeId, Outbox, Payload, SnapshotMeta, event::Event};

use crate::{record::Entry, replica::Raft};

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

impl Raft {
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
