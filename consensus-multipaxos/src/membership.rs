//! Who accepts, and how many of them suffice, slot by slot.
//!
//! A configuration is a value like any other, chosen for a slot. One that is chosen for slot i governs
//! the slots from i + α on, until the next does (Lamport, Malkhi and Zhou, "Reconfiguring a State
//! Machine", 2010; "Paxos Made Simple" §3): whoever knows every choice up to slot i knows who decides
//! every slot up to i + α, and no leader proposes a later one.
//!
//! ```text
//!             chosen_to                    i + α
//!                 |                          |
//!   . . i . . . . | . . . . . . . . . . . . .|. . . . . .
//!       |         decided by the old         | decided by the new
//!       a configuration was chosen           (nothing is proposed after chosen_to + α)
//! ```
//!
//! A quorum of promises and a quorum of acceptances share an acceptor: it tells a new leader what an
//! old one may have chosen ("Paxos Made Simple" §2.2, P2c). Both are majorities unless told otherwise;
//! only that the two kinds meet matters, and not that quorums of one kind do (Howard, Malkhi and
//! Spiegelman, "Flexible Paxos", 2016). A candidate needs promises from *every* configuration that may
//! decide a slot that it does not know chosen.

use std::collections::{BTreeMap, BTreeSet};

use consensus_core::{
    Configuration, Index, NodeId, Payload, Settings, SettingsError, SnapshotMeta,
    event::Event,
    quorum::{Tally, Verdict, majority, reached_by},
};

use crate::{
    log::MAX_AHEAD,
    message::{Message, ReadRound},
    replica::{MultiPaxos, Out, Standing},
    replication::Progress,
};

/// The most members of all the configurations that decide slots not yet chosen: one bit each.
pub(crate) const MAX_ACCEPTORS: usize = u64::BITS as usize;

/// How configurations govern: the same for every replica, and for the cluster's life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rules {
    /// A configuration chosen for slot i governs from slot i + α on.
    pub alpha: u64,
    /// The sizes of quorums, if they are not majorities.
    pub quorums: Option<Quorums>,
}

/// How many acceptors of a configuration form a quorum of each kind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Quorums {
    /// For phase 1: promises, and the round before a campaign.
    pub promise: usize,
    /// For phase 2: acceptances. Read rounds, leases and the check of the quorum need as many: a
    /// leader that won meanwhile has promises, and every quorum of promises meets one of these.
    pub accept: usize,
}

impl Quorums {
    /// Majorities of so many acceptors.
    const fn majorities(acceptors: usize) -> Self {
        Self { promise: majority(acceptors), accept: majority(acceptors) }
    }

    /// Why these are no quorums of so many acceptors, if they are not.
    pub fn fault(self, acceptors: usize) -> Option<String> {
        let Self { promise, accept } = self;
        if promise == 0 || accept == 0 {
            return Some("a quorum of nobody decides nothing".into());
        }
        if promise.max(accept) > acceptors {
            return Some(format!(
                "of {acceptors} acceptors, {} form no quorum",
                promise.max(accept)
            ));
        }
        (promise + accept <= acceptors).then(|| {
            format!(
                "of {acceptors} acceptors, {promise} that promise and {accept} that accept need not \
                 meet: together they must be more than {acceptors}"
            )
        })
    }
}

/// The default α: as many slots as a leader holds uncommitted by default, so that it limits nobody.
const ALPHA: u64 = 4_096;

impl Rules {
    /// The rules that the protocol's own options ask for.
    ///
    /// # Errors
    ///
    /// If quorums of promises and of acceptances need not meet, or a number is none.
    pub(crate) fn of(settings: &Settings) -> Result<Self, SettingsError> {
        let number = |name: &str| {
            let wrong = |why: String| SettingsError::Option { name: name.into(), why };
            let parsed = settings
                .options
                .get(name)
                .map(|text| text.parse().map_err(|_| wrong(format!("{text} is no number"))));
            parsed.transpose()
        };
        let wrong = |name: &str, why| SettingsError::Option { name: name.into(), why };
        let alpha = number("alpha")?.unwrap_or(ALPHA);
        if !(1..=MAX_AHEAD).contains(&alpha) {
            return Err(wrong("alpha", format!("it must be 1 to {MAX_AHEAD}")));
        }
        let quorums = match (number("phase-1-quorum")?, number("phase-2-quorum")?) {
            (None, None) => None,
            (Some(promise), Some(accept)) => {
                Some(Quorums { promise: promise as usize, accept: accept as usize })
            }
            (None, Some(_)) => {
                return Err(wrong("phase-1-quorum", "set both sizes or none".into()));
            }
            (Some(_), None) => {
                return Err(wrong("phase-2-quorum", "set both sizes or none".into()));
            }
        };
        let acceptors = settings.members.len();
        let fault = quorums.filter(|_| acceptors > 0).and_then(|both| both.fault(acceptors));
        match fault {
            Some(why) => Err(wrong("phase-2-quorum", why)),
            None => Ok(Self { alpha, quorums }),
        }
    }

    /// The quorums of so many acceptors. Sizes that do not fit are never configured nor proposed.
    fn quorums(self, acceptors: usize) -> Quorums {
        let fitting = self.quorums.filter(|quorums| quorums.fault(acceptors).is_none());
        fitting.unwrap_or(Quorums::majorities(acceptors))
    }
}

/// The acceptors of consecutive slots that are not known chosen.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Acceptors {
    /// The last slot that they decide, as far as is known.
    pub until: Index,
    voters: Vec<NodeId>,
    /// One bit for each voter.
    bits: u64,
    quorums: Quorums,
}

impl Acceptors {
    /// How many of them must accept.
    pub const fn quorum(&self) -> usize {
        self.quorums.accept
    }

    /// Whether a set of nodes, one bit each, holds enough of them to choose.
    #[inline]
    pub const fn is_quorum(&self, bits: u64) -> bool {
        let bits = bits & self.bits;
        bits.count_ones() as usize >= self.quorum()
    }

    fn count(&self, said: impl Fn(NodeId) -> bool) -> usize {
        self.voters.iter().filter(|&&voter| said(voter)).count()
    }
}

/// The configurations that this replica knows, and what follows for the slots not known chosen.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Membership {
    me: NodeId,
    rules: Rules,
    /// Each configuration by the first slot that it governs; complete from the base on, never empty.
    history: BTreeMap<Index, Configuration>,
    /// The slots not known chosen for which a configuration was accepted.
    pending: BTreeSet<Index>,
    /// The acceptors of the slots not known chosen, in order; never empty.
    deciding: Vec<Acceptors>,
    /// Everybody in a configuration that governs such a slot, ascending: the place is the bit.
    table: Vec<NodeId>,
}

impl Membership {
    /// What is so before the first slot is chosen. A newcomer may know of nobody.
    pub fn new(me: NodeId, rules: Rules, voters: Vec<NodeId>) -> Self {
        let history = BTreeMap::from([(1, Configuration::of(voters))]);
        let (pending, deciding, table) = (BTreeSet::new(), Vec::new(), Vec::new());
        let mut membership = Self { me, rules, history, pending, deciding, table };
        membership.advance(0);
        membership
    }

    pub const fn me(&self) -> NodeId {
        self.me
    }

    pub const fn rules(&self) -> Rules {
        self.rules
    }

    /// Everybody else who takes part in deciding, or learns, as things stand; ascending.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.table.iter().copied().filter(|&node| node != self.me)
    }

    /// Everybody else who votes on a slot not known chosen; ascending.
    pub fn voting_peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.peers().filter(|&node| self.is_acceptor(node))
    }

    /// Whether a node votes on a slot not known chosen.
    pub fn is_acceptor(&self, node: NodeId) -> bool {
        self.deciding.iter().any(|acceptors| acceptors.voters.binary_search(&node).is_ok())
    }

    /// The acceptors of the first slot not known chosen, and of those after it that they decide too.
    #[inline]
    pub fn acceptors(&self) -> &Acceptors {
        &self.deciding[0]
    }

    /// Whoever votes on a slot not known chosen, ascending.
    pub fn voters(&self) -> Vec<NodeId> {
        self.table.iter().copied().filter(|&node| self.is_acceptor(node)).collect()
    }

    /// Whoever only learns, ascending.
    pub fn learners(&self) -> Vec<NodeId> {
        self.table.iter().copied().filter(|&node| !self.is_acceptor(node)).collect()
    }

    /// The first slot of the configuration decided last, unless it is that of the first members.
    pub fn coming(&self) -> Option<Index> {
        let (&from, _) = self.history.last_key_value().expect("never empty");
        Some(from).filter(|&from| from > 1)
    }

    /// Whether more than one configuration decides slots not known chosen.
    pub const fn has_several(&self) -> bool {
        self.deciding.len() > 1
    }

    /// The configuration that was decided last.
    pub fn latest(&self) -> &Configuration {
        let (_, configuration) = self.history.last_key_value().expect("never empty");
        configuration
    }

    /// Whether the members ever changed, as far as is known: then others may know more of it.
    pub fn has_changed(&self) -> bool {
        self.history.len() > 1 || !self.history.contains_key(&1)
    }

    /// A member's bit in a set of members; none for a stranger, who counts for nothing.
    #[inline]
    pub fn bit(&self, node: NodeId) -> u64 {
        let place = self.table.binary_search(&node).ok().filter(|&place| place < MAX_ACCEPTORS);
        place.map_or(0, |place| 1 << place)
    }

    /// Whether a quorum of promises of each configuration that may decide is among those of whom
    /// `said` holds.
    pub fn promised_by(&self, said: impl Fn(NodeId) -> bool) -> bool {
        self.deciding.iter().all(|acceptors| acceptors.count(&said) >= acceptors.quorums.promise)
    }

    /// Whether a quorum of promises of this configuration, decided or not, is among those of whom
    /// `said` holds.
    pub fn would_be_promised_by(
        &self,
        configuration: &Configuration,
        said: impl Fn(NodeId) -> bool,
    ) -> bool {
        let voters = &configuration.voters;
        let yes = voters.iter().filter(|&&voter| said(voter)).count();
        yes >= self.rules.quorums(voters.len()).promise
    }

    /// Whether a quorum of acceptances of this configuration, decided or not, is among those of whom
    /// `said` holds.
    pub fn would_be_accepted_by(
        &self,
        configuration: &Configuration,
        said: impl Fn(NodeId) -> bool,
    ) -> bool {
        let voters = &configuration.voters;
        let yes = voters.iter().filter(|&&voter| said(voter)).count();
        yes >= self.rules.quorums(voters.len()).accept
    }

    /// Why this configuration cannot follow those that decide, if it cannot.
    pub fn fault(&self, next: &Configuration) -> Option<String> {
        let new = next.members().into_iter().filter(|node| self.table.binary_search(node).is_err());
        if self.table.len() + new.count() > MAX_ACCEPTORS {
            return Some(format!(
                "at most {MAX_ACCEPTORS} nodes are members before or after one change"
            ));
        }
        self.rules.quorums.and_then(|quorums| quorums.fault(next.voters.len()))
    }

    /// What the answers say to a question about promises.
    pub fn verdict(&self, tally: &Tally) -> Verdict {
        let mut verdict = Verdict::Won;
        for acceptors in &self.deciding {
            match tally.verdict(&acceptors.voters, acceptors.quorums.promise) {
                Verdict::Lost => return Verdict::Lost,
                Verdict::Open => verdict = Verdict::Open,
                Verdict::Won => {}
            }
        }
        verdict
    }

    /// Whether a quorum of acceptances of each configuration that may decide is among those of whom
    /// `said` holds.
    pub fn accepted_by(&self, said: impl Fn(NodeId) -> bool) -> bool {
        self.deciding.iter().all(|acceptors| acceptors.count(&said) >= acceptors.quorums.accept)
    }

    /// The highest position that a quorum of acceptances of each configuration that may decide has
    /// reached.
    pub fn reached(&self, position: impl Fn(NodeId) -> u64) -> u64 {
        let reached = |acceptors: &Acceptors| {
            reached_by(acceptors.voters.iter().map(|&voter| position(voter)), acceptors.quorum())
        };
        self.deciding.iter().map(reached).min().unwrap_or(0)
    }

    /// What a snapshot up to this slot tells of the configurations: the one that governs the next
    /// slot, and those that the slots up to it decided for later. None, if this replica knows none.
    pub fn configurations_up_to(&self, index: Index) -> BTreeMap<Index, Configuration> {
        let next = self.history.range(..=index + 1).next_back();
        let later = self.history.range(index + 2..=(index + self.rules.alpha).max(index + 2));
        let later = later.filter(|&(&from, _)| from <= index + self.rules.alpha);
        let told = next.into_iter().chain(later);
        told.filter(|(_, configuration)| !configuration.is_empty())
            .map(|(&from, configuration)| (from, configuration.clone()))
            .collect()
    }

    /// Forgets what no snapshot up to this slot or a later one tells of.
    pub fn compact(&mut self, base: Index) {
        let first = self.history.range(..=base + 1).next_back().map_or(0, |(&from, _)| from);
        self.history = self.history.split_off(&first);
    }

    /// A snapshot stands for the slots up to its end, and tells what they decided.
    pub fn install(&mut self, base: &SnapshotMeta) {
        if !base.configurations.is_empty() {
            self.history = (*base.configurations).clone();
            if self.history.range(..=base.index + 1).next().is_none() {
                // Its maker knew only who decides later.
                self.history.insert(1, Configuration::default());
            }
        }
        self.pending = self.pending.split_off(&(base.index + 1));
        self.advance(base.index);
    }

    /// A value was accepted for a slot that is not known chosen.
    #[inline]
    pub fn accepted(&mut self, slot: Index, value: &Payload) {
        if value.configuration().is_some() {
            self.pending.insert(slot);
        } else if !self.pending.is_empty() {
            self.pending.remove(&slot);
        }
    }

    /// Whether something changes once everything up to this slot is known chosen.
    #[inline]
    fn is_outdated(&self, chosen_to: Index) -> bool {
        self.acceptors().until <= chosen_to
            || self.pending.first().is_some_and(|&slot| slot <= chosen_to)
    }

    /// The slots not known chosen for which a configuration was accepted, ascending.
    pub fn pending(&self) -> impl Iterator<Item = Index> + '_ {
        self.pending.iter().copied()
    }

    /// Everything up to here is known chosen: works out who decides what comes after it.
    fn advance(&mut self, chosen_to: Index) {
        let start = self.history.range(..=chosen_to + 1).next_back().map_or(0, |(&from, _)| from);
        let live = || self.history.range(start..);
        let mut table: Vec<_> =
            live().flat_map(|(_, configuration)| configuration.members()).collect();
        table.sort_unstable();
        table.dedup();
        self.table = table;
        let ends = live().skip(1).map(|(&from, _)| from - 1).chain([Index::MAX]);
        let acceptors = |((_, configuration), until): ((&Index, &Configuration), Index)| {
            let voters = configuration.voters.clone();
            let bits = voters.iter().fold(0, |bits, &voter| bits | self.bit(voter));
            Acceptors { until, bits, quorums: self.rules.quorums(voters.len()), voters }
        };
        self.deciding = live().zip(ends).map(acceptors).collect();
    }

    /// The same set of members in the places of another table.
    fn moved(&self, bits: u64, before: &[NodeId]) -> u64 {
        let held = before.iter().enumerate().take(MAX_ACCEPTORS);
        let held = held.filter(|&(place, _)| bits & 1 << place != 0);
        held.fold(0, |moved, (_, &node)| moved | self.bit(node))
    }
}

impl MultiPaxos {
    /// Learns from the base and the log who decides (at recovery).
    pub(crate) fn recover_membership(&mut self, out: &mut Out) {
        let base = self.log.base().clone();
        self.membership.install(&base);
        for slot in base.index + 1..=self.log.last() {
            if let Some(held) = self.log.get(slot) {
                self.membership.accepted(slot, &held.value);
            }
        }
        self.enact_configurations(self.chosen_to, out);
    }

    /// Everything up to here is chosen: the configurations among it will govern, and who governed no
    /// slot after it has no say any more.
    pub(crate) fn enact_configurations(&mut self, chosen_to: Index, out: &mut Out) {
        if !self.membership.is_outdated(chosen_to) {
            return;
        }
        while let Some(slot) = self.membership.pending.first().copied().filter(|&s| s <= chosen_to)
        {
            self.membership.pending.pop_first();
            // A slot may have gone into a snapshot, which tells of it.
            let held = self.log.get(slot).and_then(|held| held.value.configuration());
            let Some(configuration) = held.cloned() else { continue };
            let from = slot + self.membership.rules.alpha;
            self.membership.history.insert(from, configuration.clone());
            if let Some(leader) = self.leading() {
                leader.coming = Some(from);
                leader.lease.restart(); // others must confirm it as well
            }
            out.note(Event::Reconfigured { from, configuration: Box::new(configuration) });
        }
        let before = self.membership.table.clone();
        self.membership.advance(chosen_to);
        self.readdress(&before, chosen_to, out);
        if let Some(leader) = self.leading() {
            // Those who confirmed it so far may have no say any more, and others have one: they could
            // elect somebody among themselves. It counts anew, from all who decide now.
            leader.lease.restart();
        }
    }

    /// A peer's snapshot tells who decides. A leader whose promises are of others gives up.
    pub(crate) fn install_membership(&mut self, base: &SnapshotMeta, out: &mut Out) {
        let known = self.membership.history.clone();
        let (table, deciding) = (self.membership.table.clone(), self.membership.deciding.clone());
        self.membership.install(base);
        for (&from, configuration) in &*base.configurations {
            if known.get(&from) != Some(configuration) {
                let configuration = Box::new(configuration.clone());
                out.note(Event::Reconfigured { from, configuration });
            }
        }
        self.readdress(&table, base.index, out);
        let Standing::Leader(leader) = &mut self.standing else { return };
        leader.lease.restart();
        if leader.has_taken_over() && deciding != self.membership.deciding {
            self.become_follower(self.promised, None, out);
        }
    }

    /// A leader's marks move with the members, and whoever is new is told.
    fn readdress(&mut self, before: &[NodeId], chosen_to: Index, out: &mut Out) {
        let (membership, ballot) = (&self.membership, self.promised);
        let Standing::Leader(leader) = &mut self.standing else { return };
        if membership.table == before {
            return;
        }
        for proposal in &mut leader.window {
            proposal.accepted_by = membership.moved(proposal.accepted_by, before);
        }
        let (stay, leave): (Vec<_>, Vec<_>) = std::mem::take(&mut leader.progress)
            .into_iter()
            .partition(|peer| membership.peers().any(|member| member == peer.peer));
        // Whoever is out learns so, and will not campaign.
        for Progress { peer, .. } in leave {
            let round = leader.reads.last();
            let farewell = ReadRound { ballot, round, chosen_to: Some(chosen_to) };
            out.send_now(peer, Message::ReadRound(farewell));
        }
        leader.progress = stay;
        let known: Vec<_> = leader.progress.iter().map(|peer| peer.peer).collect();
        let new = membership.peers().filter(|peer| !known.contains(peer));
        leader.progress.extend(new.map(|peer| Progress::new(peer, chosen_to + 1)));
        leader.progress.sort_unstable_by_key(|peer| peer.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { alpha: 4, quorums: None };

    fn nodes(numbers: impl IntoIterator<Item = u64>) -> Vec<NodeId> {
        numbers.into_iter().map(NodeId).collect()
    }

    fn of(numbers: impl IntoIterator<Item = u64>) -> Configuration {
        Configuration::of(nodes(numbers))
    }

    /// Nodes 1 to 3 decide up to slot 9, and then nodes 3 to 5.
    fn changing() -> Membership {
        let mut membership = Membership::new(NodeId(1), RULES, nodes(1..=3));
        membership.history.insert(10, of(3..=5));
        membership.advance(6);
        membership
    }

    #[test]
    fn any_two_quorums_share_an_acceptor() {
        for size in 1..=7 {
            let membership = Membership::new(NodeId(1), RULES, nodes(1..=size));
            let is_quorum = |bits: &u64| membership.acceptors().is_quorum(*bits);
            let quorums: Vec<u64> = (0..1 << size).filter(is_quorum).collect();
            assert!(quorums.iter().all(|a| quorums.iter().all(|b| a & b != 0)), "{size}");
            assert!(quorums.contains(&((1 << size) - 1)));
        }
    }

    #[test]
    fn flexible_quorums_meet_or_are_refused() {
        let flexible = |promise, accept| Quorums { promise, accept };
        assert_eq!(flexible(4, 2).fault(5), None);
        for (promise, accept) in [(3, 2), (0, 5), (6, 1)] {
            assert!(flexible(promise, accept).fault(5).is_some(), "{promise} {accept}");
        }
        let rules = Rules { quorums: Some(flexible(4, 2)), ..RULES };
        let membership = Membership::new(NodeId(1), rules, nodes(1..=5));
        assert!(membership.acceptors().is_quorum(0b11));
        assert!(!membership.promised_by(|node| node.0 <= 3));
        assert!(membership.promised_by(|node| node.0 <= 4));
    }

    #[test]
    fn a_stranger_counts_for_nothing() {
        let membership = Membership::new(NodeId(1), RULES, nodes([5, 1]));
        assert_eq!((membership.bit(NodeId(5)), membership.bit(NodeId(2))), (0b10, 0));
        let nobody = Membership::new(NodeId(1), RULES, Vec::new());
        assert!(!nobody.acceptors().is_quorum(u64::MAX) && !nobody.promised_by(|_| true));
    }

    #[test]
    fn every_configuration_that_may_decide_must_promise_and_its_slots_are_its_own() {
        let membership = changing();
        assert_eq!(membership.table, nodes(1..=5));
        assert_eq!(membership.acceptors().until, 9);
        assert!(membership.acceptors().is_quorum(0b00011));
        assert!(!membership.acceptors().is_quorum(0b11100), "they decide later");
        let said = |numbers: &'static [u64]| move |node: NodeId| numbers.contains(&node.0);
        assert!(!membership.promised_by(said(&[1, 2, 3])));
        assert!(membership.promised_by(said(&[1, 3, 4])));
        assert_eq!(membership.reached(|node| node.0), 2, "of 1 2 3, and 4 of 3 4 5");
    }

    #[test]
    fn whoever_decides_nothing_any_more_is_forgotten_and_marks_move() {
        let mut membership = changing();
        let before = membership.table.clone();
        assert!(!membership.is_outdated(8) && membership.is_outdated(9));
        membership.advance(9);
        assert_eq!(membership.table, nodes(3..=5));
        assert_eq!(membership.moved(0b10110, &before), 0b101);
        assert!(!membership.is_acceptor(NodeId(1)) && membership.is_acceptor(NodeId(5)));
    }

    #[test]
    fn a_snapshot_tells_what_its_slots_decided_and_no_more() {
        let mut membership = changing();
        membership.history.insert(12, of(3..=4));
        let told = |membership: &Membership, index| {
            membership.configurations_up_to(index).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(told(&membership, 5), [1], "the next was chosen for slot 6");
        assert_eq!(told(&membership, 6), [1, 10]);
        assert_eq!(told(&membership, 8), [1, 10, 12]);
        assert_eq!(told(&membership, 11), [12]);
        membership.compact(9);
        assert_eq!(told(&membership, 9), [10, 12]);
    }

    #[test]
    fn a_newcomer_is_told_by_a_snapshot() {
        let mut membership = Membership::new(NodeId(5), RULES, Vec::new());
        let configurations = Box::new(changing().configurations_up_to(8));
        let base = SnapshotMeta { index: 8, configurations, ..SnapshotMeta::default() };
        membership.install(&base);
        assert_eq!(membership.deciding[0].voters, nodes(1..=3));
        assert!(membership.is_acceptor(NodeId(5)) && membership.has_changed());
        let configurations = Box::new(BTreeMap::from([(10, of(3..=5))]));
        membership.install(&SnapshotMeta { configurations, ..base });
        assert!(membership.deciding[0].voters.is_empty());
        assert!(!membership.promised_by(|_| true), "nobody knows who decides slot 9");
    }
}
