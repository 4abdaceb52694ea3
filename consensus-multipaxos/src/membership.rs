//! The acceptors and their quorums.
//!
//! The set is static. A quorum of promises and a quorum of acceptances must share an acceptor ("Paxos
//! Made Simple" §2.2, P2c): that acceptor tells a new leader what an old one may have chosen.

use consensus_core::{NodeId, Settings, quorum::majority};

/// The most acceptors that one log has: one bit each.
pub(crate) const MAX_ACCEPTORS: usize = u64::BITS as usize;

/// The acceptors of every slot.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Acceptors {
    nodes: Vec<NodeId>,
}

impl Acceptors {
    /// The members of the settings.
    pub fn new(settings: &Settings) -> Self {
        let nodes = settings.members.clone();
        assert!(nodes.len() <= MAX_ACCEPTORS, "one log has at most {MAX_ACCEPTORS} acceptors");
        assert!(nodes.contains(&settings.node), "a replica is one of its acceptors");
        Self { nodes }
    }

    /// All of them.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Whether this node is one.
    pub fn contains(&self, node: NodeId) -> bool {
        self.nodes.contains(&node)
    }

    /// An acceptor's bit in [`accepted_by`](crate::replica::Proposal::accepted_by); no bit for a
    /// stranger, who counts for nothing.
    pub fn bit(&self, node: NodeId) -> u64 {
        self.nodes.iter().position(|&other| other == node).map_or(0, |place| 1 << place)
    }

    /// How many must promise, accept, or confirm.
    pub fn quorum(&self) -> usize {
        majority(self.nodes.len())
    }

    /// Whether these bits are a quorum.
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
            let nodes: Vec<_> = (1..=size).map(NodeId).collect();
            let acceptors = Acceptors::new(&Settings::new(NodeId(1), nodes));
            let quorums: Vec<u64> =
                (0..1 << size).filter(|&bits| acceptors.is_quorum(bits)).collect();
            assert!(quorums.iter().all(|a| quorums.iter().all(|b| a & b != 0)), "{size}");
            assert!(quorums.contains(&((1 << size) - 1)));
        }
    }

    #[test]
    fn a_stranger_counts_for_nothing() {
        let acceptors = Acceptors::new(&Settings::new(NodeId(1), vec![NodeId(1), NodeId(5)]));
        assert_eq!(acceptors.bit(NodeId(5)), 0b10);
        assert_eq!(acceptors.bit(NodeId(2)), 0);
    }
}
