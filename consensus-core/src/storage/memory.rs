//! Storage in memory: for the simulator, and for runs that measure everything but the disk.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use super::{Durability, Storage, StorageError, Ticket};
use crate::record::{Disk, Record, Write};

/// A disk in memory, with the one crash rule of the house: a crash keeps a prefix of the batches
/// that were not synced, each whole or not at all.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MemoryDisk<R> {
    durable: Disk<R>,
    unsynced: Vec<Vec<Write<R>>>,
}

impl<R: Record> Default for MemoryDisk<R> {
    fn default() -> Self {
        Self { durable: Disk::empty(), unsynced: Vec::new() }
    }
}

impl<R: Record> MemoryDisk<R> {
    /// A disk that was never written.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a batch, not yet durable.
    pub fn write(&mut self, batch: Vec<Write<R>>) {
        self.unsynced.push(batch);
    }

    /// How many batches are not yet durable.
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The batches that are not yet durable, in order.
    pub fn pending(&self) -> &[Vec<Write<R>>] {
        &self.unsynced
    }

    /// Makes the oldest `batches` durable, or all if there are fewer.
    pub fn sync(&mut self, batches: usize) {
        let batches = batches.min(self.unsynced.len());
        for write in self.unsynced.drain(..batches).flatten() {
            self.durable.write(&write);
        }
    }

    /// Crashes: keeps the oldest `kept` of the batches that were not durable, and loses the others.
    pub fn crash(&mut self, kept: usize) {
        self.sync(kept);
        self.unsynced.clear();
    }

    /// What is durable.
    pub const fn durable(&self) -> &Disk<R> {
        &self.durable
    }

    /// Everything that was written, durable or not: what a replica finds that was stopped in peace.
    pub fn written(&self) -> Disk<R> {
        let mut disk = self.durable.clone();
        self.unsynced.iter().flatten().for_each(|write| disk.write(write));
        disk
    }
}

/// [`Storage`] over a [`MemoryDisk`], which may be shared with whoever makes it crash.
#[derive(Clone, Debug)]
pub struct MemoryStorage<R> {
    disk: Arc<Mutex<MemoryDisk<R>>>,
    taken: u64,
}

impl<R: Record> Default for MemoryStorage<R> {
    fn default() -> Self {
        Self::on(Arc::default())
    }
}

impl<R: Record> MemoryStorage<R> {
    /// Storage over a new disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Storage over this disk.
    pub const fn on(disk: Arc<Mutex<MemoryDisk<R>>>) -> Self {
        Self { disk, taken: 0 }
    }

    fn disk(&self) -> MutexGuard<'_, MemoryDisk<R>> {
        self.disk.lock().expect("nobody panics while holding the disk")
    }
}

impl<R: Record> Storage<R> for MemoryStorage<R> {
    fn recover(&mut self) -> Result<Disk<R>, StorageError> {
        Ok(self.disk().written())
    }

    fn append(
        &mut self,
        batches: &mut dyn Iterator<Item = &[Write<R>]>,
    ) -> Result<Ticket, StorageError> {
        for batch in batches {
            self.disk().write(batch.to_vec());
            self.taken += 1;
        }
        Ok(Ticket(self.taken))
    }

    fn sync(&mut self) -> Result<Ticket, StorageError> {
        self.disk().sync(usize::MAX);
        Ok(Ticket(self.taken))
    }

    fn reclaim(&mut self, _budget: Duration) -> Result<bool, StorageError> {
        Ok(false)
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::conformance::{self, Backend, TestRecord};

    #[derive(Default)]
    struct Memory(Arc<Mutex<MemoryDisk<TestRecord>>>);

    impl Backend for Memory {
        type Storage = MemoryStorage<TestRecord>;

        fn open(&mut self) -> Self::Storage {
            MemoryStorage::on(Arc::clone(&self.0))
        }

        fn crash(&mut self, storage: Self::Storage) {
            drop(storage);
            self.0.lock().unwrap().crash(0);
        }
    }

    #[test]
    fn conforms() {
        conformance::check_all(Memory::default);
    }

    #[test]
    fn a_crash_keeps_a_prefix_of_the_unsynced_batches() {
        let mut disk = MemoryDisk::new();
        for slot in 1..=3 {
            disk.write(vec![Write::Put(TestRecord::entry(slot, "a"))]);
        }
        disk.crash(2);
        assert_eq!(disk.durable().entries.len(), 2);
        assert_eq!(disk.written(), *disk.durable());
    }
}
