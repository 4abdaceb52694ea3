//! The disk shim of this replica: above the storage, below everything that waits for it.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use consensus_core::{
    Disk, Draw, Record, Time, Write,
    storage::{Durability, Storage, StorageError, Ticket},
};
use faults::{DiskFailure, DiskOrder, DiskRules};
use nix::errno::Errno;

use crate::clock;

/// What is wrong with this replica's disk at the moment.
#[derive(Debug)]
pub struct Disks {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    rules: DiskRules,
    expires: Time,
    /// What the added times are drawn from.
    draw: Draw,
    /// How many syncs there were.
    syncs: u64,
}

impl Disks {
    /// A disk with which nothing is wrong; what faults add to its syncs is drawn below this key.
    pub fn new(draw: Draw) -> Self {
        let state = State { rules: DiskRules::default(), expires: Time::ZERO, draw, syncs: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Puts these rules in the place of all earlier ones.
    pub fn install(&self, DiskOrder { rules, expires_in }: DiskOrder) {
        let mut state = self.lock();
        (state.rules, state.expires) = (rules, clock::now() + expires_in);
        drop(state);
        self.changed.notify_all();
    }

    /// What a write meets.
    fn write(&self) -> Result<(), StorageError> {
        let fails = self.lock().rules().and_then(|rules| rules.fails);
        fails.map_or(Ok(()), |failure| Err(failed(failure, "write to the log")))
    }

    /// What a sync meets: waits while the disk is stalled, then for as long as the rules add.
    fn sync(&self) -> Result<(), StorageError> {
        let mut state = self.lock();
        while let Some(DiskRules { stalled: true, .. }) = state.rules() {
            let patience = state.expires.since(clock::now()).max(Duration::from_millis(1));
            let woken = self.changed.wait_timeout(state, patience);
            state = woken.expect("nobody panics while holding the disk's rules").0;
        }
        state.syncs += 1;
        let draw = state.draw.at(state.syncs);
        let Some(rules) = state.rules().cloned() else { return Ok(()) };
        drop(state);
        if let Some(failure) = rules.fails {
            return Err(failed(failure, "sync the log"));
        }
        thread::sleep(rules.adds(draw));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the disk's rules")
    }
}

impl State {
    /// The rules, while they are in force.
    fn rules(&self) -> Option<&DiskRules> {
        (!self.rules.is_clean() && clock::now() < self.expires).then_some(&self.rules)
    }
}

/// What the operating system says of such a disk.
fn failed(failure: DiskFailure, action: &str) -> StorageError {
    let errno = match failure {
        DiskFailure::Full => Errno::ENOSPC,
        DiskFailure::Error | DiskFailure::Torn => Errno::EIO,
    };
    StorageError::Io { action: action.to_owned(), source: io::Error::from(errno) }
}

/// A log on a disk that may be at fault.
pub struct Shimmed<R: Record> {
    /// The log.
    pub storage: Box<dyn Storage<R>>,
    /// What is wrong with its disk.
    pub disks: Arc<Disks>,
}

impl<R: Record> Storage<R> for Shimmed<R> {
    fn recover(&mut self) -> Result<Disk<R>, StorageError> {
        self.storage.recover()
    }

    fn append(
        &mut self,
        batches: &mut dyn Iterator<Item = &[Write<R>]>,
    ) -> Result<Ticket, StorageError> {
        self.disks.write()?;
        self.storage.append(batches)
    }

    fn sync(&mut self) -> Result<Ticket, StorageError> {
        self.disks.sync()?;
        self.storage.sync()
    }

    fn reclaim(&mut self, budget: Duration) -> Result<bool, StorageError> {
        self.storage.reclaim(budget)
    }

    fn durability(&self) -> Durability {
        self.storage.durability()
    }
}

#[cfg(test)]
mod tests {
    use consensus_core::storage::MemoryStorage;
    use consensus_raft::{Record as RaftRecord, record::Entry};
    use faults::duration::Delay;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shimmed() -> (Shimmed<RaftRecord>, Arc<Disks>) {
        let disks = Arc::new(Disks::new(Draw::new(1)));
        let storage = Box::new(MemoryStorage::new());
        (Shimmed { storage, disks: Arc::clone(&disks) }, disks)
    }

    fn append(storage: &mut Shimmed<RaftRecord>) -> Result<Ticket, StorageError> {
        let entry = Entry { term: 1, index: 1, payload: None };
        let batch = [Write::Put(RaftRecord::Entry(entry))];
        storage.append(&mut std::iter::once(&batch[..]))
    }

    #[test]
    fn a_failing_disk_fails_writes_and_syncs_with_what_the_system_says() {
        for (failure, code) in
            [(DiskFailure::Error, Errno::EIO), (DiskFailure::Full, Errno::ENOSPC)]
        {
            let (mut storage, disks) = shimmed();
            append(&mut storage).unwrap();
            let rules = DiskRules { fails: Some(failure), ..DiskRules::default() };
            disks.install(DiskOrder { rules, expires_in: LONG });
            for result in [append(&mut storage), storage.sync()] {
                let Err(StorageError::Io { source, .. }) = result else { panic!("{result:?}") };
                assert_eq!(source.raw_os_error(), Some(code as i32));
            }
        }
    }

    #[test]
    fn a_stall_lasts_until_it_is_taken_back_or_expires() {
        let stalled = |expires_in| DiskOrder {
            rules: DiskRules { stalled: true, ..DiskRules::default() },
            expires_in,
        };
        let (mut storage, disks) = shimmed();
        disks.install(stalled(LONG));
        let (began, teller) = (clock::now(), Arc::clone(&disks));
        let mender = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            teller.install(DiskOrder { rules: DiskRules::default(), expires_in: LONG });
        });
        storage.sync().unwrap();
        assert!(clock::now().since(began) >= Duration::from_millis(20));
        mender.join().unwrap();
        let (began, short) = (clock::now(), Duration::from_millis(5));
        disks.install(stalled(short));
        storage.sync().unwrap();
        assert!(clock::now().since(began) >= short);
    }

    #[test]
    fn a_slow_disk_takes_longer_by_what_every_fault_adds() {
        let (mut storage, disks) = shimmed();
        let middle = Duration::from_millis(4);
        let slower = vec![Delay { middle, spread: Duration::ZERO }; 2];
        disks.install(DiskOrder {
            rules: DiskRules { slower, ..DiskRules::default() },
            expires_in: LONG,
        });
        let began = clock::now();
        storage.sync().unwrap();
        assert!(clock::now().since(began) >= 2 * middle);
    }
}
