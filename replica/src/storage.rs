//! Where a replica keeps what it must not forget.
//!
//! [`Directory`] is the data directory: locked against a second process, and counting the
//! incarnations. In it lives a backend of [`consensus_core::storage::Storage`], chosen by
//! [`StorageKind`].

use std::{fmt, io, path::Path, str::FromStr};

use consensus_core::{
    Record,
    storage::{MemoryStorage, Storage, StorageError},
};
use serde::{Deserialize, Serialize};

mod directory;
mod sled;

pub use directory::Directory;
pub(crate) use directory::replace;
pub use sled::SledStorage;

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
    pub fn open<R: Record>(
        self,
        directory: &Directory,
    ) -> Result<Box<dyn Storage<R>>, StorageError> {
        Ok(match self {
            Self::Memory => Box::new(MemoryStorage::new()),
            Self::Sled => Box::new(SledStorage::open(&directory.path().join("sled"))?),
        })
    }
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
