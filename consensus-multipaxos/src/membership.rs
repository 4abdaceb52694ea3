//! The acceptors and their quorums.
//!
//! The set is fixed for the cluster's life. A quorum of promises and a quorum of acceptances share an
//! acceptor: it tells a new leader what an old one may have chosen ("Paxos Made Simple" §2.2, P2c).

use std::collections::BTreeMap;

use consensus_core::{Configuration, Index, NodeId, quorum::majority};

/// The most acceptors that one log has: one bit each.
const MAX_ACCEPTORS: usize = u64::BITS as usize;

/// The acceptors of every slot, this replica among them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Membership {
    me: NodeId,
    acceptors: Vec<NodeId>,
}

impl Membership {
    pub fn new(me: NodeId, mut acceptors: Vec<NodeId>) -> Self {
        acceptors.sort_unstable();
        acceptors.dedup();
        assert!(acceptors.len() <= MAX_ACCEPTORS, "a log has at most {MAX_ACCEPTORS} acceptors");
        assert!(acceptors.contains(&me), "a replica is a member of its cluster");
        Self { me, acceptors }
    }

    pub const fn me(&self) -> NodeId {
        self.me
    }

    pub fn acceptors(&self) -> &[NodeId] {
        &self.acceptors
    }

    pub fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.acceptors.iter().copied().filter(|&acceptor| acceptor != self.me)
    }

    pub fn contains(&self, node: NodeId) -> bool {
        self.acceptors.binary_search(&node).is_ok()
    }

    /// What a snapshot up to this slot tells of the acceptors, each by the first slot that it governs.
    pub fn configurations_up_to(&self, _index: Index) -> BTreeMap<Index, Configuration> {
        BTreeMap::from([(1, Configuration::of(self.acceptors.iter().copied()))])
    }

    /// How many acceptors decide: any two such groups share an acceptor.
    pub fn quorum(&self) -> usize {
        majority(self.acceptors.len())
    }

    /// An acceptor's bit in a set of acceptors; none for a stranger, who counts for nothing.
    pub fn bit(&self, node: NodeId) -> u64 {
        self.acceptors.binary_search(&node).map_or(0, |place| 1 << place)
    }

    /// Whether a set of acceptors, one bit each, is a quorum.
    pub fn is_quorum(&self, bits: u64) -> bool {
        bits.count_ones() as usize >= self.quorum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_two_quorums_share_an_acceptor() {
        for size in 1..=7 {
            let membership = Membership::new(NodeId(1), (1..=size).map(NodeId).collect());
            let quorums: Vec<u64> =
                (0..1 << size).filter(|&bits| membership.is_quorum(bits)).collect();
            assert!(quorums.iter().all(|a| quorums.iter().all(|b| a & b != 0)), "{size}");
            assert!(quorums.contains(&((1 << size) - 1)));
        }
    }

    #[test]
    fn a_stranger_counts_for_nothing() {
        let membership = Membership::new(NodeId(1), vec![NodeId(5), NodeId(1)]);
        assert_eq!((membership.bit(NodeId(5)), membership.bit(NodeId(2))), (0b10, 0));
    }
}
