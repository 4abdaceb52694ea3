//! Who decides: the members of a cluster, and how they change.
//!
//! A protocol keeps its configuration in its log, and nowhere else; gossip only ever proposes a
//! change. How one configuration follows another safely is each protocol's own matter: Raft goes by
//! way of a joint configuration (Raft §6), Multi-Paxos decides at slot i who decides slot i+α
//! (Lamport, Malkhi & Zhou, "Reconfiguring a State Machine", 2010).

use std::fmt;

use bytes::{Buf, BufMut};
use prost::encoding::{self, DecodeContext, WireType};
use serde::{Deserialize, Serialize};

use crate::{
    id::{Index, NodeId},
    quorum::{Tally, Verdict, majority, reached_by},
    wire::{DecodeError, Validate},
};

/// The most voters, and the most learners, of a configuration.
pub const MAX_MEMBERS: usize = 64;

/// The members of a cluster at a position of its log. Each list is ascending and without repetition.
/// Nobody votes and learns at once; but a voter of the set being left may be named as a learner, and
/// is one once that set is left.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Who votes and counts.
    pub voters: Vec<NodeId>,
    /// In a joint configuration, the voters of the one being left: until it is left, every decision
    /// needs a majority of these as well. Empty otherwise.
    pub outgoing: Vec<NodeId>,
    /// Who receives the log without a say in it; in a joint configuration, who will.
    pub learners: Vec<NodeId>,
}

/// What an administrator wants changed, all of it at once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// Who is to vote: each is a learner first, and is promoted once it has caught up.
    pub add: Vec<NodeId>,
    /// Who is to learn, and never to vote.
    pub learn: Vec<NodeId>,
    /// Who is to leave.
    pub remove: Vec<NodeId>,
}

/// Why a change is impossible.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
pub enum ChangeError {
    /// Nothing would be different afterwards.
    #[error("the change changes nothing")]
    Nothing,
    /// Node zero is no node.
    #[error("node 0 is no node")]
    NoNode,
    /// The change names a node twice.
    #[error("node {0} is named twice")]
    Twice(NodeId),
    /// Somebody is to leave who is not there.
    #[error("node {0} is no member")]
    NoMember(NodeId),
    /// Nobody would be left to vote.
    #[error("nobody would be left to vote")]
    NobodyVotes,
    /// Too many members.
    #[error("a cluster has at most {MAX_MEMBERS} voters and {MAX_MEMBERS} learners")]
    TooMany,
    /// The protocol's own rules forbid the configuration.
    #[error("{0}")]
    Forbidden(String),
}

impl Change {
    /// Adds voters.
    pub fn add(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self { add: nodes.into_iter().collect(), ..Self::default() }
    }

    /// Removes members.
    pub fn remove(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self { remove: nodes.into_iter().collect(), ..Self::default() }
    }

    /// Lets one node take the place of another.
    pub fn replace(old: NodeId, new: NodeId) -> Self {
        Self { add: vec![new], remove: vec![old], ..Self::default() }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("add", &self.add), ("learn", &self.learn), ("remove", &self.remove)];
        let named = parts.into_iter().filter(|(_, nodes)| !nodes.is_empty());
        let words: Vec<_> = named.map(|(verb, nodes)| format!("{verb} {}", list(nodes))).collect();
        f.write_str(&words.join(", "))
    }
}

impl Configuration {
    /// A configuration of these voters alone.
    pub fn of(voters: impl IntoIterator<Item = NodeId>) -> Self {
        Self { voters: sorted(voters), ..Self::default() }
    }

    /// Whether nobody is a member: what a newcomer knows before it was told.
    pub const fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// Whether two sets of voters decide.
    pub const fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether a node votes, in either set.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.binary_search(&node).is_ok() || self.outgoing.binary_search(&node).is_ok()
    }

    /// Whether a node learns without a vote.
    pub fn is_learner(&self, node: NodeId) -> bool {
        self.learners.binary_search(&node).is_ok() && !self.is_voter(node)
    }

    /// Whether a node votes or learns.
    pub fn contains(&self, node: NodeId) -> bool {
        self.is_voter(node) || self.is_learner(node)
    }

    /// Everybody who votes or learns, ascending.
    pub fn members(&self) -> Vec<NodeId> {
        sorted([&self.voters, &self.outgoing, &self.learners].into_iter().flatten().copied())
    }

    /// Everybody who votes, ascending.
    pub fn all_voters(&self) -> Vec<NodeId> {
        sorted(self.voters.iter().chain(&self.outgoing).copied())
    }

    /// Whether a majority of each set of voters is among those of whom `said` holds.
    pub fn agrees(&self, said: impl Fn(NodeId) -> bool) -> bool {
        self.sets().all(|voters| {
            voters.iter().filter(|&&voter| said(voter)).count() >= majority(voters.len())
        })
    }

    /// The highest position that a majority of each set of voters has reached; zero if nobody votes.
    pub fn reached(&self, position: impl Fn(NodeId) -> Index) -> Index {
        let of = |voters: &[NodeId]| {
            reached_by(voters.iter().map(|&voter| position(voter)), majority(voters.len()))
        };
        self.sets().map(of).min().unwrap_or(0)
    }

    /// What a tally says when a majority of each set of voters must say yes.
    pub fn verdict(&self, tally: &Tally) -> Verdict {
        let mut verdicts = self.sets().map(|voters| tally.verdict(voters, majority(voters.len())));
        let all = verdicts.try_fold(Verdict::Won, |so_far, verdict| match (so_far, verdict) {
            (_, Verdict::Lost) => Err(Verdict::Lost),
            (Verdict::Open, _) | (_, Verdict::Open) => Ok(Verdict::Open),
            _ => Ok(Verdict::Won),
        });
        all.unwrap_or_else(|lost| lost)
    }

    /// Who learns now, ascending.
    pub fn all_learners(&self) -> Vec<NodeId> {
        self.learners.iter().copied().filter(|&node| self.is_learner(node)).collect()
    }

    /// The same with these as learners, unless they are members already.
    pub fn with_learners(&self, nodes: &[NodeId]) -> Self {
        let new = nodes.iter().copied().filter(|&node| !self.contains(node));
        let learners = sorted(self.learners.iter().copied().chain(new));
        Self { learners, ..self.clone() }
    }

    /// The joint configuration by way of which these voters hand over to another configuration's.
    pub fn joint_with(&self, next: &Self) -> Self {
        Self { outgoing: self.voters.clone(), ..next.clone() }
    }

    /// What is left of a joint configuration when the outgoing voters have left.
    pub fn left(&self) -> Self {
        Self { outgoing: Vec::new(), ..self.clone() }
    }

    /// The configuration to which a change leads from this one, with nobody outgoing.
    ///
    /// # Errors
    ///
    /// If the change makes no sense here.
    pub fn changed(&self, change: &Change) -> Result<Self, ChangeError> {
        let named = || change.add.iter().chain(&change.learn).chain(&change.remove).copied();
        let mut seen = Vec::new();
        for node in named() {
            if node == NodeId(0) {
                return Err(ChangeError::NoNode);
            }
            if seen.contains(&node) {
                return Err(ChangeError::Twice(node));
            }
            seen.push(node);
        }
        if let Some(&stranger) = change.remove.iter().find(|&&node| !self.contains(node)) {
            return Err(ChangeError::NoMember(stranger));
        }
        let kept = |nodes: &[NodeId]| -> Vec<NodeId> {
            nodes.iter().copied().filter(|node| !seen.contains(node)).collect()
        };
        let changed = Self {
            voters: sorted(kept(&self.voters).into_iter().chain(change.add.iter().copied())),
            outgoing: Vec::new(),
            learners: sorted(kept(&self.learners).into_iter().chain(change.learn.iter().copied())),
        };
        if changed.voters.is_empty() {
            return Err(ChangeError::NobodyVotes);
        }
        if changed.voters.len() > MAX_MEMBERS || changed.learners.len() > MAX_MEMBERS {
            return Err(ChangeError::TooMany);
        }
        if !self.is_joint() && changed == *self {
            return Err(ChangeError::Nothing);
        }
        Ok(changed)
    }

    /// The sets of which each must agree: one, or two while it is joint; none of an empty one,
    /// whose majority is out of reach.
    fn sets(&self) -> impl Iterator<Item = &[NodeId]> {
        let outgoing = Some(&self.outgoing[..]).filter(|voters| !voters.is_empty());
        [&self.voters[..]].into_iter().chain(outgoing)
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&list(&self.voters))?;
        if self.is_joint() {
            write!(f, " leaving {}", list(&self.outgoing))?;
        }
        if !self.learners.is_empty() {
            write!(f, " with learners {}", list(&self.learners))?;
        }
        Ok(())
    }
}

fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn sorted(nodes: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
    let mut nodes: Vec<_> = nodes.into_iter().collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// The field numbers of the three lists.
const VOTERS: u32 = 1;
const OUTGOING: u32 = 2;
const LEARNERS: u32 = 3;

/// Three packed lists of node numbers. Written by hand, for prost knows numbers and not their
/// names.
impl prost::Message for Configuration {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        for (tag, nodes) in self.fields() {
            encoding::uint64::encode_packed(tag, &numbers(nodes), buffer);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        let nodes = match tag {
            VOTERS => &mut self.voters,
            OUTGOING => &mut self.outgoing,
            LEARNERS => &mut self.learners,
            _ => return encoding::skip_field(wire_type, tag, buffer, context),
        };
        let mut more = Vec::new();
        encoding::uint64::merge_repeated(wire_type, &mut more, buffer, context)?;
        nodes.extend(more.into_iter().map(NodeId));
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        let fields = self.fields().into_iter();
        fields.map(|(tag, nodes)| encoding::uint64::encoded_len_packed(tag, &numbers(nodes))).sum()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Configuration {
    const fn fields(&self) -> [(u32, &Vec<NodeId>); 3] {
        [(VOTERS, &self.voters), (OUTGOING, &self.outgoing), (LEARNERS, &self.learners)]
    }
}

fn numbers(nodes: &[NodeId]) -> Vec<u64> {
    nodes.iter().map(|node| node.0).collect()
}

impl Validate for Configuration {
    fn validate(&self) -> Result<(), DecodeError> {
        if self.voters.is_empty() {
            return Err(DecodeError::Invalid("a configuration in which nobody votes"));
        }
        for (_, nodes) in self.fields() {
            if nodes.len() > MAX_MEMBERS {
                return Err(DecodeError::Invalid("a configuration of too many members"));
            }
            if nodes.first() == Some(&NodeId(0)) || nodes.windows(2).any(|two| two[0] >= two[1]) {
                return Err(DecodeError::Invalid("members out of order"));
            }
        }
        if self.learners.iter().any(|node| self.voters.contains(node)) {
            return Err(DecodeError::Invalid("a member that votes and learns"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn nodes<const N: usize>(numbers: [u64; N]) -> Vec<NodeId> {
        numbers.map(NodeId).to_vec()
    }

    fn joint() -> Configuration {
        Configuration {
            voters: nodes([1, 2, 6]),
            outgoing: nodes([1, 2, 3, 4, 5]),
            learners: nodes([9]),
        }
    }

    #[test]
    fn a_joint_configuration_needs_both_majorities() {
        let joint = joint();
        let agree = |numbers: &[u64]| joint.agrees(|node| numbers.contains(&node.0));
        assert!(agree(&[1, 2, 3]));
        assert!(!agree(&[1, 6, 9]), "no majority of the outgoing voters");
        assert!(!agree(&[3, 4, 5, 9]), "no majority of the incoming voters");
        let position = |node: NodeId| if node.0 <= 2 { 7 } else { node.0 };
        assert_eq!(joint.reached(position), 5);
        let mut tally = Tally::new();
        [1, 2].into_iter().for_each(|node| tally.count(NodeId(node), true));
        assert_eq!(joint.verdict(&tally), Verdict::Open);
        tally.count(NodeId(3), true);
        assert_eq!(joint.verdict(&tally), Verdict::Won);
    }

    #[test]
    fn nobody_decides_for_an_empty_configuration() {
        let empty = Configuration::default();
        assert!(!empty.agrees(|_| true));
        assert_eq!(empty.reached(|_| 9), 0);
        assert_ne!(empty.verdict(&Tally::new()), Verdict::Won);
    }

    #[test]
    fn a_change_adds_removes_and_moves() {
        let before = Configuration { learners: nodes([4]), ..Configuration::of(nodes([1, 2, 3])) };
        let change = Change { add: nodes([4, 5]), learn: nodes([3]), remove: nodes([1]) };
        let after = before.changed(&change).unwrap();
        assert_eq!(
            after,
            Configuration { learners: nodes([3]), ..Configuration::of(nodes([2, 4, 5])) }
        );
    }

    #[test]
    fn a_change_that_makes_no_sense_says_why() {
        let before = Configuration::of(nodes([1, 2]));
        let error = |change| before.changed(&change).unwrap_err();
        assert_eq!(error(Change::default()), ChangeError::Nothing);
        assert_eq!(error(Change::add(nodes([2]))), ChangeError::Nothing);
        assert_eq!(error(Change::add(nodes([0]))), ChangeError::NoNode);
        assert_eq!(error(Change::replace(NodeId(2), NodeId(2))), ChangeError::Twice(NodeId(2)));
        assert_eq!(error(Change::remove(nodes([7]))), ChangeError::NoMember(NodeId(7)));
        assert_eq!(error(Change::remove(nodes([1, 2]))), ChangeError::NobodyVotes);
        assert_eq!(error(Change::add((1..=65).map(NodeId))), ChangeError::TooMany);
    }

    #[test]
    fn a_change_by_way_of_a_joint_configuration() {
        let before = Configuration::of(nodes([1, 2, 3]));
        let change = Change { add: nodes([4]), learn: nodes([3]), remove: nodes([1]) };
        let target = before.changed(&change).unwrap();
        let learning = before.with_learners(&nodes([2, 4]));
        assert_eq!((learning.voters, learning.learners), (nodes([1, 2, 3]), nodes([4])));
        let joint = before.joint_with(&target);
        assert_eq!(joint.all_voters(), nodes([1, 2, 3, 4]));
        assert_eq!((joint.all_learners(), joint.validate()), (Vec::new(), Ok(())));
        assert_eq!(joint.left(), target);
        assert_eq!(target.all_learners(), nodes([3]));
    }

    #[test]
    fn configurations_travel_and_nonsense_is_refused() {
        let bytes = joint().encode_to_vec();
        assert_eq!(bytes.len(), joint().encoded_len());
        assert_eq!(Configuration::decode(&bytes[..]), Ok(joint()));
        assert_eq!(joint().validate(), Ok(()));
        let demoting = Configuration { learners: nodes([3]), ..joint() };
        assert_eq!(demoting.validate(), Ok(()));
        assert!(demoting.is_voter(NodeId(3)) && !demoting.is_learner(NodeId(3)), "not yet");
        for bad in [
            Configuration::default(),
            Configuration { voters: nodes([2, 1]), ..joint() },
            Configuration { voters: nodes([0, 1]), ..joint() },
            Configuration { learners: nodes([6]), ..joint() },
        ] {
            assert!(bad.validate().is_err(), "{bad}");
        }
    }
}
