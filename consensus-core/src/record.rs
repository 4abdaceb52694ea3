//! What reaches a disk: records, the writes that change them, and what recovery finds.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    configuration::Configuration,
    id::{Epoch, Index, NodeId},
    wire::{DecodeError, Validate, Wire, from_frame},
};

/// Something a protocol persists: its hard state, or an entry of its log.
pub trait Record: Wire {
    /// `None` for the hard state, of which the last write wins; the position for an entry, of which
    /// the last write per position wins.
    fn slot(&self) -> Option<Index>;
}

/// One change of the disk. Writes are applied in order, and a batch of them atomically.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Write<R> {
    /// Writes the hard state, or an entry at its position.
    Put(R),
    /// Removes every entry at this position and after it.
    TruncateFrom(Index),
    /// Makes this snapshot the base of the log, and drops the entries up to its index.
    Base(SnapshotMeta),
}

/// A snapshot's name, and what the log up to it says of the members.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// The position of the last entry that the snapshot includes.
    pub index: Index,
    /// The epoch of that entry.
    pub epoch: Epoch,
    /// The configuration in force after that entry, and those that the log up to it decided for
    /// later: each by the first position that it governs, in its protocol's own way of counting.
    /// Boxed, for writes of entries are many, and this one would make each of them larger.
    pub configurations: Box<BTreeMap<Index, Configuration>>,
}

/// The form of a [`SnapshotMeta`] on disk and on the wire.
#[derive(Clone, PartialEq, prost::Message)]
struct MetaFrame {
    #[prost(uint64, tag = "1")]
    index: Index,
    #[prost(uint64, tag = "2")]
    round: u64,
    #[prost(uint64, tag = "3")]
    node: u64,
    #[prost(btree_map = "uint64, message", tag = "4")]
    configurations: BTreeMap<Index, Configuration>,
}

/// The most configurations that one snapshot names.
const MAX_CONFIGURATIONS: usize = 4_096;

impl Wire for SnapshotMeta {
    fn encode_to(&self, buffer: &mut Vec<u8>) {
        let Self { index, epoch: Epoch { round, node: NodeId(node) }, configurations } =
            self.clone();
        let frame = MetaFrame { index, round, node, configurations: *configurations };
        prost::Message::encode(&frame, buffer).expect("a Vec grows as needed");
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        from_frame(bytes, |frame: MetaFrame| {
            let MetaFrame { index, round, node, configurations } = frame;
            let epoch = Epoch { round, node: NodeId(node) };
            Some(Self { index, epoch, configurations: configurations.into() })
        })
    }
}

impl Validate for SnapshotMeta {
    fn validate(&self) -> Result<(), DecodeError> {
        if self.index == 0 || self.epoch.round == 0 {
            return Err(DecodeError::Invalid("a snapshot of nothing"));
        }
        if self.configurations.len() > MAX_CONFIGURATIONS {
            return Err(DecodeError::Invalid("a snapshot with too many configurations"));
        }
        self.configurations.values().try_for_each(Validate::validate)
    }
}

/// What recovery found: the newest snapshot, the hard state, and the entries after the snapshot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Disk<R> {
    /// The base of the log, if it was ever compacted.
    pub base: Option<SnapshotMeta>,
    /// The hard state; `None` on a disk that was never written.
    pub state: Option<R>,
    /// The entries after the base, ascending by position. Holes are allowed: Multi-Paxos accepts
    /// out of order.
    pub entries: Vec<R>,
}

impl<R: Record> Disk<R> {
    /// A disk that was never written.
    pub const fn empty() -> Self {
        Self { base: None, state: None, entries: Vec::new() }
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.state.is_none() && self.entries.is_empty()
    }

    /// Applies one write: the meaning of [`Write`], which every backend must agree with.
    pub fn write(&mut self, write: &Write<R>) {
        match write {
            Write::Put(record) => match record.slot() {
                None => self.state = Some(record.clone()),
                Some(slot) => match self.position(slot) {
                    Ok(at) => self.entries[at] = record.clone(),
                    Err(at) => self.entries.insert(at, record.clone()),
                },
            },
            Write::TruncateFrom(from) => {
                let keep = self.position(*from).unwrap_or_else(|at| at);
                self.entries.truncate(keep);
            }
            Write::Base(meta) => {
                self.base = Some(meta.clone());
                let drop = self.position(meta.index + 1).unwrap_or_else(|at| at);
                self.entries.drain(..drop);
            }
        }
    }

    fn position(&self, slot: Index) -> Result<usize, usize> {
        // The common write is an append: look at the end first.
        match self.entries.last().and_then(Record::slot) {
            None => Err(0),
            Some(last) if last < slot => Err(self.entries.len()),
            Some(_) => self.entries.binary_search_by_key(&Some(slot), Record::slot),
        }
    }
}

impl<R: Record> Default for Disk<R> {
    fn default() -> Self {
        Self::empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshots_name_travels_and_nonsense_is_refused() {
        let configurations = BTreeMap::from([(7, Configuration::of([NodeId(1), NodeId(2)]))]);
        let epoch = Epoch::ballot(3, NodeId(2));
        let meta = SnapshotMeta { index: 9, epoch, configurations: configurations.into() };
        assert_eq!(SnapshotMeta::from_bytes(meta.to_bytes()), Ok(meta.clone()));
        let nobody = BTreeMap::from([(7, Configuration::default())]);
        for bad in [
            SnapshotMeta { index: 0, ..meta.clone() },
            SnapshotMeta { epoch: Epoch::default(), ..meta.clone() },
            SnapshotMeta { configurations: nobody.into(), ..meta },
        ] {
            assert!(SnapshotMeta::from_bytes(bad.to_bytes()).is_err());
        }
    }
}
