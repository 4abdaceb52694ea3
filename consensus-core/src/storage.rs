//! Where a replica's records live, and what a backend must promise.

use std::{io, time::Duration};

use serde::{Deserialize, Serialize};

use crate::record::{Disk, Record, SnapshotMeta, Write};

pub mod conformance;
mod memory;

pub use memory::{MemoryDisk, MemoryStorage};

/// A backend: takes batches of writes in order, and makes them durable on demand.
///
/// Snapshots are not among what it takes: each driver keeps them beside the log, for a large one must
/// hold up no entry. One thread owns it. A crash keeps a prefix of the batches that were not yet synced, each whole
/// or not at all. Every backend passes the [conformance suite](conformance).
pub trait Storage<R: Record>: Send {
    /// Reads everything back. Cuts a torn tail; refuses a damaged middle with
    /// [`StorageError::Corrupt`], for a replica must not vote on what it half remembers.
    fn recover(&mut self) -> Result<Disk<R>, StorageError>;

    /// Takes batches, each atomic, in order. They need not be durable on return. The ticket names
    /// the last of them.
    fn append(
        &mut self,
        batches: &mut dyn Iterator<Item = &[Write<R>]>,
    ) -> Result<Ticket, StorageError>;

    /// Makes every batch so far durable. The ticket names the last of them.
    ///
    /// A failure ends the replica: a sync that failed once must not be tried again as if the data
    /// were still there (Rebello et al., "Can Applications Recover from fsync Failures?", 2020).
    fn sync(&mut self) -> Result<Ticket, StorageError>;

    /// Frees space that is no longer needed, snapshots that the base supersedes among it, for about this long; says whether more is left.
    fn reclaim(&mut self, budget: Duration) -> Result<bool, StorageError>;

    /// What a sync is worth here; printed with every result.
    fn durability(&self) -> Durability;
}

/// Names a batch within one incarnation: the how-many-th it was, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Ticket(pub u64);

/// What survives which failure once a sync has returned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Nothing survives the process.
    Memory,
    /// The data survives the process, not the machine.
    Process,
    /// The data reached the drive (fdatasync): it survives a power cut, as far as the drive is
    /// honest.
    Drive,
}

impl std::fmt::Display for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory only",
            Self::Process => "survives the process",
            Self::Drive => "fdatasync to the drive",
        })
    }
}

/// Why a backend failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A record is damaged: not at the torn end, where a crash explains it, but before records that
    /// are whole.
    #[error("{record} is damaged: {why}")]
    Corrupt {
        /// Which record.
        record: String,
        /// How.
        why: String,
    },
    /// There is no such snapshot.
    #[error("there is no snapshot at index {index}", index = .0.index)]
    NoSnapshot(SnapshotMeta),
    /// Another process holds the data directory.
    #[error("{0} is in use by another process")]
    Locked(String),
}
