//! What reaches a disk: records, the writes that change them, and what recovery finds.

use serde::{Deserialize, Serialize};

use crate::{
    id::{Epoch, Index},
    wire::Wire,
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

/// A snapshot's name: the last entry it includes.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct SnapshotMeta {
    /// The position of the last entry that the snapshot includes.
    pub index: Index,
    /// The epoch of that entry.
    pub epoch: Epoch,
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
                self.base = Some(*meta);
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
