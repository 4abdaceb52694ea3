//! Who votes, and how many votes suffice.
//!
//! The members are fixed for the cluster's life; changing them (D§4) is a matter of this file.

use consensus_core::{NodeId, quorum::majority};

/// The voters, this replica among them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Membership {
    me: NodeId,
    voters: Vec<NodeId>,
}

impl Membership {
    pub fn new(me: NodeId, mut voters: Vec<NodeId>) -> Self {
        voters.sort_unstable();
        voters.dedup();
        assert!(voters.contains(&me), "a replica is a member of its cluster");
        Self { me, voters }
    }

    pub const fn me(&self) -> NodeId {
        self.me
    }

    pub fn voters(&self) -> &[NodeId] {
        &self.voters
    }

    pub fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.voters.iter().copied().filter(|&voter| voter != self.me)
    }

    pub fn contains(&self, node: NodeId) -> bool {
        self.voters.binary_search(&node).is_ok()
    }

    /// How many voters decide: any two such groups share a voter.
    pub fn quorum(&self) -> usize {
        majority(self.voters.len())
    }
}
