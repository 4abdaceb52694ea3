//! What a member says of itself.

use consensus_core::{Epoch, Index, NodeId};

/// Identities from here on belong to gateways; those below, to replicas.
pub const FIRST_GATEWAY: NodeId = NodeId(1 << 32);

/// The longest peer or client address, in bytes: three whole records always fit in a datagram.
pub const MAX_ADDRESS_BYTES: usize = 100;

/// The longest protocol name, in bytes.
pub const MAX_PROTOCOL_BYTES: usize = 32;

/// The identity of the gateway of this number. It is in no replica's way.
pub const fn gateway_id(number: u32) -> NodeId {
    NodeId(FIRST_GATEWAY.0 + number as u64)
}

/// What a member is in the cluster. Its identity tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// It holds a copy of the log.
    Replica,
    /// It takes requests to the leader, and only watches the cluster.
    Gateway,
}

impl Kind {
    /// What the node of this identity is.
    pub const fn of(node: NodeId) -> Self {
        if node.0 < FIRST_GATEWAY.0 { Self::Replica } else { Self::Gateway }
    }
}

/// What a member says of itself: where it is reached, and how far it got.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Metadata {
    /// Where other replicas reach it (gRPC), as `host:port`; empty for a gateway.
    pub peer_address: String,
    /// Where clients reach it (HTTP), as `host:port`.
    pub client_address: String,
    /// The consensus protocol that it runs, or serves.
    pub protocol: String,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// The epoch that `leader` leads, or the latest that it knows of.
    pub epoch: Epoch,
    /// The last log position that it knows to be committed.
    pub commit: Index,
}

impl Metadata {
    /// Refuses what does not fit in a datagram, and leaders that do not exist.
    pub fn validate(&self) -> Result<(), MetadataError> {
        for address in [&self.peer_address, &self.client_address] {
            if address.len() > MAX_ADDRESS_BYTES {
                return Err(MetadataError::Address(address.len()));
            }
        }
        if self.protocol.len() > MAX_PROTOCOL_BYTES {
            return Err(MetadataError::Protocol(self.protocol.len()));
        }
        if self.leader == Some(NodeId(0)) {
            return Err(MetadataError::Leader);
        }
        Ok(())
    }

    /// Whether the two differ in more than the commit index, whose steady growth is no news.
    pub(crate) fn differs_notably(&self, other: &Self) -> bool {
        (&self.peer_address, &self.client_address, &self.protocol, self.leader, self.epoch)
            != (
                &other.peer_address,
                &other.client_address,
                &other.protocol,
                other.leader,
                other.epoch,
            )
    }
}

/// Why metadata was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MetadataError {
    /// An address is too long.
    #[error("an address of {0} bytes is longer than {MAX_ADDRESS_BYTES}")]
    Address(usize),
    /// The protocol's name is too long.
    #[error("a protocol name of {0} bytes is longer than {MAX_PROTOCOL_BYTES}")]
    Protocol(usize),
    /// Node zero is no node.
    #[error("node 0 cannot lead")]
    Leader,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_told_by_their_identity() {
        assert_eq!(Kind::of(NodeId(5)), Kind::Replica);
        assert_eq!(Kind::of(gateway_id(0)), Kind::Gateway);
        assert_eq!(Kind::of(gateway_id(u32::MAX)), Kind::Gateway);
    }

    #[test]
    fn progress_alone_is_not_notable() {
        let before = Metadata { commit: 4, ..Metadata::default() };
        let further = Metadata { commit: 9, ..before.clone() };
        let led = Metadata { leader: Some(NodeId(2)), ..before.clone() };
        assert!(!before.differs_notably(&further));
        assert!(before.differs_notably(&led));
    }
}
