//! Quorums: who must agree before something is decided.

use std::collections::BTreeMap;

use crate::id::{Index, NodeId};

/// How many of `members` form a majority: any two majorities share a member.
pub const fn majority(members: usize) -> usize {
    members / 2 + 1
}

/// The highest position that a quorum of `quorum` members has reached, or zero if fewer members
/// than that are given.
///
/// Computed afresh from every member's own position: a remembered order could commit on a minority.
///
/// ```text
/// positions 9 4 7 4 8, quorum 3:   9 8 [7] 4 4   three members hold 7
/// ```
pub fn reached_by(positions: impl IntoIterator<Item = Index>, quorum: usize) -> Index {
    debug_assert!(quorum > 0, "a quorum of nobody decides nothing");
    // Almost every cluster fits here, and the leader asks once per acknowledgement.
    let mut small = [0; 9];
    let mut large = Vec::new();
    let mut count = 0;
    for position in positions {
        match small.get_mut(count) {
            Some(place) => *place = position,
            None => large.push(position),
        }
        count += 1;
    }
    let sorted = if large.is_empty() {
        &mut small[..count]
    } else {
        large.extend_from_slice(&small);
        &mut large[..]
    };
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    sorted.get(quorum - 1).copied().unwrap_or(0)
}

/// The answers to one question, counted once per member.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Tally {
    answers: BTreeMap<NodeId, bool>,
}

/// What a [`Tally`] says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// A quorum said yes.
    Won,
    /// So many said no that no quorum can say yes any more.
    Lost,
    /// Neither yet.
    Open,
}

impl Tally {
    /// A tally without answers.
    pub const fn new() -> Self {
        Self { answers: BTreeMap::new() }
    }

    /// Counts an answer. A member's first answer stands: the network may repeat it, and nobody may
    /// change it.
    pub fn count(&mut self, member: NodeId, yes: bool) {
        self.answers.entry(member).or_insert(yes);
    }

    /// Whether a member has answered.
    pub fn has_answer(&self, member: NodeId) -> bool {
        self.answers.contains_key(&member)
    }

    /// Who said yes.
    pub fn yes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.answers.iter().filter(|&(_, &yes)| yes).map(|(&member, _)| member)
    }

    /// The verdict when `quorum` of `members` must say yes. Answers of non-members do not count.
    pub fn verdict(&self, members: &[NodeId], quorum: usize) -> Verdict {
        let answered = |wanted| {
            let said = |member| self.answers.get(member) == Some(&wanted);
            members.iter().filter(|member| said(member)).count()
        };
        if answered(true) >= quorum {
            Verdict::Won
        } else if members.len() - answered(false) < quorum {
            Verdict::Lost
        } else {
            Verdict::Open
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn majorities() {
        let sizes: Vec<_> = (1..=7).map(majority).collect();
        assert_eq!(sizes, [1, 2, 2, 3, 3, 4, 4]);
    }

    #[test]
    fn a_tally_counts_members_once_and_strangers_never() {
        let members = [NodeId(1), NodeId(2), NodeId(3)];
        let mut tally = Tally::new();
        tally.count(NodeId(1), true);
        tally.count(NodeId(1), true);
        tally.count(NodeId(9), true);
        assert_eq!(tally.verdict(&members, 2), Verdict::Open);
        tally.count(NodeId(2), false);
        tally.count(NodeId(2), true);
        assert_eq!(tally.verdict(&members, 2), Verdict::Open);
        tally.count(NodeId(3), false);
        assert_eq!(tally.verdict(&members, 2), Verdict::Lost);
    }

    proptest! {
        #[test]
        fn a_quorum_has_reached_the_position_and_none_a_higher_one(
            positions in prop::collection::vec(0u64..20, 1..14),
        ) {
            let quorum = majority(positions.len());
            let reached = reached_by(positions.iter().copied(), quorum);
            let holders = |at| positions.iter().filter(|&&position| position >= at).count();
            prop_assert!(holders(reached) >= quorum);
            prop_assert!(holders(reached + 1) < quorum);
        }

        #[test]
        fn fewer_members_than_a_quorum_reach_nothing(positions in prop::collection::vec(1u64..20, 0..4)) {
            prop_assert_eq!(reached_by(positions.iter().copied(), positions.len() + 1), 0);
        }
    }
}
