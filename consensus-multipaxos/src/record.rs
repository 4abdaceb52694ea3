//! What is persisted, and what recovery makes of it.

use bytes::Bytes;
use consensus_core::{
    DecodeError, Disk, Epoch, Index, NodeId, Payload, SnapshotMeta, Validate, Wire,
    wire::from_frame,
};

use crate::log::Log;

/// The largest slot and the largest round that are believed: adding to either never overflows.
pub(crate) const MAX_NUMBER: u64 = u64::MAX >> 1;

/// A ballot: a numbered attempt to lead, owned by one node, so that no two nodes ever propose under
/// the same ballot ("Paxos Made Simple" §2.2).
///
/// Ordered by round first, then by owner. The default, round 0 of node 0, is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Ballot {
    /// The round: grows with every campaign.
    #[prost(uint64, tag = "1")]
    pub round: u64,
    /// The owner.
    #[prost(uint64, tag = "2")]
    pub node: u64,
}

impl Ballot {
    /// The ballot of this round that belongs to this node.
    pub const fn new(round: u64, node: NodeId) -> Self {
        Self { round, node: node.0 }
    }

    /// The only node that may propose under this ballot.
    pub const fn owner(self) -> NodeId {
        NodeId(self.node)
    }

    /// The same in the words of consensus-core.
    pub const fn epoch(self) -> Epoch {
        Epoch::ballot(self.round, NodeId(self.node))
    }

    /// Whether this is the ballot before all campaigns.
    pub const fn is_nobodys(self) -> bool {
        self.round == 0 && self.node == 0
    }
}

impl Validate for Ballot {
    fn validate(&self) -> Result<(), DecodeError> {
        match (self.round, self.node) {
            (1..=MAX_NUMBER, 1..) => Ok(()),
            _ => Err(DecodeError::Invalid("a ballot has a round and an owner")),
        }
    }
}

/// The state that is not a slot's: what was promised, and how far everything is known to be chosen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Hard {
    /// The highest ballot promised: nothing is accepted under a lower one any more.
    #[prost(message, required, tag = "1")]
    pub promised: Ballot,
    /// Every slot up to here is chosen, and the value on this disk is the chosen one. Written along
    /// with whatever is written next, so it may lag behind what the replica knew.
    #[prost(uint64, tag = "2")]
    pub chosen_to: Index,
}

impl Validate for Hard {
    fn validate(&self) -> Result<(), DecodeError> {
        if !self.promised.is_nobodys() {
            self.promised.validate()?;
        }
        if self.chosen_to > MAX_NUMBER {
            return Err(DecodeError::Invalid("a slot is too large"));
        }
        Ok(())
    }
}

/// A value accepted for a slot under a ballot: the *pvalue* of "Paxos Made Moderately Complex" §2.3.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct PValue {
    /// The slot, from 1.
    #[prost(uint64, tag = "1")]
    pub slot: Index,
    /// The ballot under which it was accepted.
    #[prost(message, required, tag = "2")]
    pub ballot: Ballot,
    /// The value: a command, or the no-op.
    #[prost(message, required, tag = "3")]
    pub value: Payload,
}

impl Validate for PValue {
    fn validate(&self) -> Result<(), DecodeError> {
        if !(1..=MAX_NUMBER).contains(&self.slot) {
            return Err(DecodeError::Invalid("a value has a slot, from 1"));
        }
        self.ballot.validate()?;
        self.value.validate()
    }
}

/// What an acceptor writes to its disk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Oneof)]
pub enum Record {
    /// The hard state.
    #[prost(message, tag = "1")]
    Hard(Hard),
    /// An accepted value; per slot, the last one written counts.
    #[prost(message, tag = "2")]
    Accepted(PValue),
}

/// The frame of a record on disk.
#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(oneof = "Record", tags = "1, 2")]
    record: Option<Record>,
}

impl Wire for Record {
    fn encode_to(&self, buffer: &mut Vec<u8>) {
        buffer.reserve(self.encoded_len());
        self.encode(buffer);
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        from_frame(bytes, |frame: Frame| frame.record)
    }
}

impl Validate for Record {
    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::Hard(hard) => hard.validate(),
            Self::Accepted(pvalue) => pvalue.validate(),
        }
    }
}

impl consensus_core::Record for Record {
    fn slot(&self) -> Option<Index> {
        match self {
            Self::Hard(_) => None,
            Self::Accepted(pvalue) => Some(pvalue.slot),
        }
    }
}

/// An acceptor as it was when it last reached its disk.
pub(crate) struct Recovered {
    pub base: Option<SnapshotMeta>,
    pub hard: Hard,
    pub log: Log,
}

/// Reads a disk back. Slots may be missing: an acceptor accepts out of order.
pub(crate) fn recover(disk: Disk<Record>) -> Recovered {
    let hard = match disk.state {
        Some(Record::Hard(hard)) => hard,
        _ => Hard::default(),
    };
    let mut log = Log::new(disk.base.clone().unwrap_or_default());
    for record in disk.entries {
        if let Record::Accepted(PValue { slot, ballot, value }) = record {
            log.put(slot, ballot, value);
        }
    }
    Recovered { base: disk.base, hard, log }
}

#[cfg(test)]
mod tests {
    use consensus_core::wire::MAX_ENCODED_BYTES;

    use super::*;

    #[test]
    fn records_survive_the_wire() {
        let ballot = Ballot::new(3, NodeId(2));
        let value = Payload::of(Bytes::from_static(b"x"));
        let records = [
            Record::Hard(Hard { promised: ballot, chosen_to: 7 }),
            Record::Hard(Hard::default()),
            Record::Accepted(PValue { slot: 9, ballot, value }),
            Record::Accepted(PValue { slot: 1, ballot, value: Payload::noop() }),
        ];
        for record in records {
            assert_eq!(Record::from_bytes(record.to_bytes()), Ok(record));
        }
    }

    #[test]
    fn records_that_make_no_sense_are_refused() {
        assert!(Record::from_bytes(Bytes::new()).is_err());
        let too_large = vec![0; MAX_ENCODED_BYTES + 1].into();
        assert!(matches!(Record::from_bytes(too_large), Err(DecodeError::TooLarge(_))));
        let ballot = Ballot::new(1, NodeId(1));
        let value = Payload::noop();
        for pvalue in [
            PValue { slot: 0, ballot, value: value.clone() },
            PValue { slot: 1, ballot: Ballot::default(), value: value.clone() },
            PValue { slot: 1, ballot: Ballot::new(0, NodeId(1)), value: value.clone() },
            PValue { slot: u64::MAX, ballot, value },
        ] {
            let bytes = Record::Accepted(pvalue).to_bytes();
            assert!(matches!(Record::from_bytes(bytes), Err(DecodeError::Invalid(_))));
        }
    }

    #[test]
    fn ballots_are_ordered_by_round_and_then_by_owner() {
        let ballot = |round, node| Ballot::new(round, NodeId(node));
        assert!(ballot(1, 9) < ballot(2, 1));
        assert!(ballot(2, 1) < ballot(2, 2));
        assert!(Ballot::default() < ballot(1, 1));
    }
}
