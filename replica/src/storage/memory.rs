//! A log in memory whose snapshots overflow into files, so that memory holds the state once.

use std::{path::PathBuf, sync::Arc, time::Duration};

use consensus_core::{
    Disk, Record, SnapshotMeta, Write,
    storage::{Durability, MemoryStorage, Storage, StorageError, Ticket},
};

use super::snapshots::{Keeping, SnapshotFiles};

/// [`MemoryStorage`], with its snapshots in files that are never synced and go with the process.
#[derive(Debug)]
pub struct MemoryLog<R> {
    entries: MemoryStorage<R>,
    snapshots: Arc<SnapshotFiles>,
    base: Option<SnapshotMeta>,
}

impl<R: Record> MemoryLog<R> {
    /// An empty log; the snapshots go into this directory, which is emptied.
    pub fn open(directory: PathBuf) -> Result<Self, StorageError> {
        let snapshots = Arc::new(SnapshotFiles::open(directory, Keeping::Volatile)?);
        Ok(Self { entries: MemoryStorage::new(), snapshots, base: None })
    }

    /// The snapshots beside the log.
    pub fn snapshots(&self) -> Arc<SnapshotFiles> {
        Arc::clone(&self.snapshots)
    }
}

impl<R: Record> Storage<R> for MemoryLog<R> {
    fn recover(&mut self) -> Result<Disk<R>, StorageError> {
        self.entries.recover()
    }

    fn append(
        &mut self,
        batches: &mut dyn Iterator<Item = &[Write<R>]>,
    ) -> Result<Ticket, StorageError> {
        let base = &mut self.base;
        self.entries.append(&mut batches.inspect(|batch| {
            for write in *batch {
                if let Write::Base(meta) = write {
                    *base = Some(meta.clone());
                }
            }
        }))
    }

    fn sync(&mut self) -> Result<Ticket, StorageError> {
        self.entries.sync()
    }

    fn reclaim(&mut self, _budget: Duration) -> Result<bool, StorageError> {
        self.base.as_ref().map_or(Ok(()), |base| self.snapshots.reclaim(base))?;
        Ok(false)
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use consensus_core::storage::conformance::TestRecord;

    use super::*;

    #[test]
    fn the_base_supersedes_the_snapshots_before_it() {
        let place = tempfile::tempdir().unwrap();
        let mut log = MemoryLog::<TestRecord>::open(place.path().to_owned()).unwrap();
        let meta = |index| SnapshotMeta { index, ..SnapshotMeta::default() };
        for index in [3, 5] {
            log.snapshots().save(&meta(index), |to| to.write_all(b"state")).unwrap();
        }
        log.reclaim(Duration::ZERO).unwrap();
        assert!(log.snapshots().whole(&meta(3)).is_ok(), "no base, nothing to remove");
        let batch = [Write::Put(TestRecord::entry(6, "a")), Write::Base(meta(5))];
        log.append(&mut std::iter::once(&batch[..])).unwrap();
        log.reclaim(Duration::ZERO).unwrap();
        assert!(matches!(log.snapshots().whole(&meta(3)), Err(StorageError::NoSnapshot(_))));
        let mut content = String::new();
        let whole = log.snapshots().whole(&meta(5)).unwrap();
        whole.content().unwrap().read_to_string(&mut content).unwrap();
        assert_eq!((content.as_str(), log.recover().unwrap().base), ("state", Some(meta(5))));
    }
}
