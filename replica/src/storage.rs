//! Where a replica keeps what it must not forget.
//!
//! [`Directory`] is the data directory: locked against a second process, and counting the
//! incarnations. In it lives a backend of [`consensus_core::storage::Storage`], chosen by
//! [`StorageKind`].

use std::{fmt, io, path::Path, str::FromStr, sync::Arc};

use consensus_core::{
    Record,
    storage::{Storage, StorageError},
};
use serde::{Deserialize, Serialize};

mod directory;
mod memory;
mod sled;
mod snapshots;

pub use directory::Directory;
pub(crate) use directory::replace;
pub use memory::MemoryLog;
pub use sled::SledStorage;
pub use snapshots::{Keeping, MAX_SNAPSHOT_BYTES, Received, Snapshot, SnapshotFiles};

/// Which backend holds the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageKind {
    /// Nothing outlives the process: for runs that measure everything but the disk.
    Memory,
    /// [sled](https://docs.rs/sled) 0.34, with an fdatasync of its own.
    #[default]
    Sled,
}

impl StorageKind {
    /// Every backend there is.
    pub const ALL: [Self; 2] = [Self::Memory, Self::Sled];

    /// Opens the backend in this directory.
    pub fn open<R: Record>(self, directory: &Directory) -> Result<Opened<R>, StorageError> {
        Ok(match self {
            Self::Memory => {
                let log = MemoryLog::open(directory.path().join("snapshots"))?;
                let snapshots = log.snapshots();
                Opened { log: Box::new(log), snapshots }
            }
            Self::Sled => {
                let log = SledStorage::open(&directory.path().join("sled"))?;
                let snapshots = log.snapshots();
                Opened { log: Box::new(log), snapshots }
            }
        })
    }
}

/// A replica's storage. The log belongs to one thread; the snapshots are files that any thread reads
/// and writes, so that a large one holds up no entry.
pub struct Opened<R> {
    /// The log.
    pub log: Box<dyn Storage<R>>,
    /// The snapshots, the log's base among them.
    pub snapshots: Arc<SnapshotFiles>,
}

impl fmt::Display for StorageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Sled => "sled",
        })
    }
}

impl FromStr for StorageKind {
    type Err = UnknownStorage;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.to_string() == name);
        found.ok_or_else(|| UnknownStorage(name.to_owned()))
    }
}

/// There is no such backend.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no storage {0:?}; there are memory and sled")]
pub struct UnknownStorage(String);

/// Says what was tried, where, and what the operating system answered.
fn refused(action: &str, path: &Path, source: io::Error) -> StorageError {
    StorageError::Io { action: format!("{action} {}", path.display()), source }
}
