//! The names of things: nodes, epochs, positions in the log, requests.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A replica's identity, unique within its cluster and never reused.
///
/// A replica that lost its disk must not come back under its old identity: its votes and promises
/// are gone with the disk. Zero is no node.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NodeId(pub u64);

/// How far apart the identities of two lives in one place are.
const LIFE: u64 = 100;

impl NodeId {
    /// The identity under which a replica comes back that lost its disk: 3, 103, 203 and so on. The
    /// earlier one never votes again.
    pub const fn reborn(self) -> Self {
        Self(self.0 + LIFE)
    }

    /// The place that a replica fills, whichever of its lives this is: the identity of the first.
    /// Places count from 1 to 100.
    pub const fn place(self) -> Self {
        Self((self.0 - 1) % LIFE + 1)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A position in the replicated log, from 1: Raft's log index, Multi-Paxos's slot.
///
/// Zero means "before the first entry".
pub type Index = u64;

/// A leader's reign: Raft's term, Multi-Paxos's ballot.
///
/// Epochs are totally ordered, first by round and then by owner. Raft's terms carry no owner
/// (`node` is [`NodeId`] zero), for a term may pass without a leader; a ballot belongs to the node
/// that made it, so that no two nodes ever propose under the same ballot ("Paxos Made Simple" §2.2).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Epoch {
    /// The round: grows with every campaign. Zero is before every campaign.
    pub round: u64,
    /// The owner of a ballot; zero for a term.
    pub node: NodeId,
}

impl Epoch {
    /// An epoch that anybody may win: a Raft term.
    pub const fn term(round: u64) -> Self {
        Self { round, node: NodeId(0) }
    }

    /// An epoch that only `node` may lead: a Paxos ballot.
    pub const fn ballot(round: u64, node: NodeId) -> Self {
        Self { round, node }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            NodeId(0) => write!(f, "{}", self.round),
            node => write!(f, "{}.{}", self.round, node),
        }
    }
}

/// A client request in flight at one replica: unique within one incarnation of that replica.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RequestId(pub u64);

/// A client session: the log index at which it was opened, hence unique for the cluster's life.
///
/// Zero is no session.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SessionId(pub u64);

/// Which replicated log an envelope belongs to, so that one replica can later host several groups.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct GroupId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_life_in_a_place_has_an_identity_of_its_own() {
        let lives: Vec<_> =
            std::iter::successors(Some(NodeId(3)), |node| Some(node.reborn())).take(3).collect();
        assert_eq!(lives, [NodeId(3), NodeId(103), NodeId(203)]);
        assert!(lives.iter().all(|life| life.place() == NodeId(3)));
        assert_eq!((NodeId(100).place(), NodeId(101).place()), (NodeId(100), NodeId(1)));
    }
}
