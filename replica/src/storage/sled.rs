//! sled 0.34 as a [`Storage`], made honest.
//!
//! sled's `flush` writes the log and asks for `sync_file_range`, which commits no metadata and
//! flushes no drive cache. So each sync here ends with an fdatasync of sled's `db` file, and of
//! the blob files that large values go to.
//!
//! sled's recovery keeps what it can of its log and drops the rest without a word. After a crash
//! that is a torn tail; after bit rot it would be acknowledged data. So beside the database there
//! is the *mark*: how many batches the last completed sync covered. It is written after the sync,
//! hence never ahead of the drive, and recovery refuses a database that holds less than its mark.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use consensus_core::{
    Disk, Index, Record, SnapshotMeta, Write,
    storage::{Durability, Storage, StorageError, Ticket},
};
use sled::{Db, IVec};

use super::{
    directory::sync_directory,
    refused,
    snapshots::{Keeping, SnapshotFiles},
};
use crate::checksum;

const STATE: &[u8] = b"state";
const BASE: &[u8] = b"base";
const BATCHES: &[u8] = b"batches";
/// Entries follow the named records, ascending: `e`, then the position, big-endian.
const ENTRY: u8 = b'e';

/// How much sled may cache, in bytes: the protocols keep their log in memory already.
const CACHE_BYTES: u64 = 16 << 20;
/// How many entries one step of reclaiming deletes: a longer batch would hold up the syncs.
const RECLAIM_ENTRIES: usize = 256;

/// A log in a sled tree: the hard state under one key, entries under big-endian positions.
#[derive(Debug)]
pub struct SledStorage {
    path: PathBuf,
    database: Db,
    file: File,
    mark: File,
    blobs: BTreeSet<OsString>,
    /// Batches that were there when this incarnation began.
    before: u64,
    /// Batches taken by this incarnation.
    taken: u64,
    /// No entry stands after this position, so a truncation beyond it needs no search.
    highest: Index,
    base: Option<SnapshotMeta>,
    /// The base that the last sync covered; `None` before the first sync of this life, for what
    /// recovery found need not be on the drive.
    durable_base: Option<SnapshotMeta>,
    snapshots: Arc<SnapshotFiles>,
}

/// The changes of one sled batch, the last one per key.
type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

impl SledStorage {
    /// Opens the database in this directory, which is made if need be.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        fs::create_dir_all(path).map_err(|error| refused("make the directory", path, error))?;
        let open = || {
            sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None).open()
        };
        // On a damaged log sled may panic instead of returning an error.
        let database = catch_unwind(AssertUnwindSafe(open))
            .map_err(|_| damaged(path, "sled could not make sense of it"))?
            .map_err(|error| open_failure(path, error))?;
        let at = path.join("db");
        let file = File::open(&at).map_err(|error| refused("open", &at, error))?;
        let at = path.join("mark");
        let mark = File::options().read(true).write(true).create(true).truncate(false).open(&at);
        let mark = mark.map_err(|error| refused("open", &at, error))?;
        sync_directory(path)?;
        Ok(Self {
            path: path.to_owned(),
            database,
            file,
            mark,
            blobs: BTreeSet::new(),
            before: 0,
            taken: 0,
            highest: 0,
            base: None,
            durable_base: None,
            snapshots: Arc::new(SnapshotFiles::open(path.join("snapshots"), Keeping::Durable)?),
        })
    }

    /// The snapshots beside the log: for whoever saves, sends or receives them without the disk
    /// thread.
    pub fn snapshots(&self) -> Arc<SnapshotFiles> {
        Arc::clone(&self.snapshots)
    }

    fn failed(&self, action: &str, error: sled::Error) -> StorageError {
        failure(action, &self.path, error)
    }

    fn read(&self, key: &[u8], name: &str) -> Result<Option<Bytes>, StorageError> {
        let found = self.database.get(key).map_err(|error| self.failed("read", error))?;
        found.map(|value| unseal(key, &value, name)).transpose()
    }

    fn read_batches(&self) -> Result<u64, StorageError> {
        let name = "the count of batches";
        let Some(found) = self.read(BATCHES, name)? else { return Ok(0) };
        let bytes = <[u8; 8]>::try_from(&found[..]).map_err(|_| corrupt(name, "not a number"))?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn read_base(&self) -> Result<Option<SnapshotMeta>, StorageError> {
        let name = "the base of the log";
        let Some(found) = self.read(BASE, name)? else { return Ok(None) };
        serde_json::from_slice(&found).map(Some).map_err(|error| corrupt(name, &error.to_string()))
    }

    fn read_entries<R: Record>(&self, after: Index) -> Result<Vec<R>, StorageError> {
        let mut entries = Vec::new();
        for pair in self.database.range(entry_key(after + 1)..) {
            let (key, value) = pair.map_err(|error| self.failed("read", error))?;
            let Some(slot) = entry_slot(&key) else { break };
            let name = format!("the entry at {slot}");
            let entry: R = decode(unseal(&key, &value, &name)?, &name)?;
            if entry.slot() != Some(slot) {
                return Err(corrupt(&name, "it names another position"));
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    /// The batches that the last completed sync covered; zero if the mark itself is torn.
    fn read_mark(&self) -> Result<u64, StorageError> {
        let mut frame = vec![0; checksum::CHECKSUM_BYTES + 8];
        match self.mark.read_exact_at(&mut frame, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            Err(error) => return Err(refused("read", &self.path.join("mark"), error)),
        }
        let content = checksum::open(frame.into()).ok();
        let number = content.and_then(|content| <[u8; 8]>::try_from(&content[..]).ok());
        Ok(number.map_or(0, u64::from_le_bytes))
    }

    fn write_mark(&self) -> Result<(), StorageError> {
        let batches = self.before + self.taken;
        let frame = checksum::seal(|frame| frame.extend_from_slice(&batches.to_le_bytes()));
        let written = self.mark.write_all_at(&frame, 0);
        written.map_err(|error| refused("write", &self.path.join("mark"), error))
    }

    fn change<R: Record>(
        &mut self,
        write: &Write<R>,
        changes: &mut Changes,
    ) -> Result<(), StorageError> {
        match write {
            Write::Put(record) => {
                let key = record.slot().map_or(STATE.to_vec(), |slot| entry_key(slot).to_vec());
                self.highest = self.highest.max(record.slot().unwrap_or(0));
                changes.insert(key.clone(), Some(seal(&key, |value| record.encode_to(value))));
            }
            Write::TruncateFrom(from) if *from > self.highest => {}
            Write::TruncateFrom(from) => {
                let first = entry_key(*from);
                for key in self.database.range(first..).keys() {
                    let key = key.map_err(|error| self.failed("read", error))?;
                    if entry_slot(&key).is_none() {
                        break;
                    }
                    changes.insert(key.to_vec(), None);
                }
                let past = vec![ENTRY + 1];
                changes.range_mut(first.to_vec()..past).for_each(|(_, change)| *change = None);
                self.highest = from.saturating_sub(1);
            }
            Write::Base(meta) => {
                let json = serde_json::to_vec(meta).expect("a snapshot's name is plain JSON");
                changes.insert(BASE.to_vec(), Some(seal(BASE, |value| value.extend(json))));
                self.base = Some(meta.clone());
            }
        }
        Ok(())
    }

    fn commit(&mut self, changes: Changes) -> Result<(), StorageError> {
        let mut batch = sled::Batch::default();
        for (key, change) in changes {
            match change {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.database.apply_batch(batch).map_err(|error| self.failed("write to", error))
    }

    fn make_durable(&mut self) -> Result<(), StorageError> {
        self.database.flush().map_err(|error| self.failed("write to", error))?;
        self.sync_blobs()?;
        let synced = self.file.sync_data();
        synced.map_err(|error| refused("sync", &self.path.join("db"), error))?;
        self.write_mark()?;
        self.durable_base.clone_from(&self.base);
        Ok(())
    }

    /// Large values leave sled's log for files of their own, which nobody syncs but we.
    fn sync_blobs(&mut self) -> Result<(), StorageError> {
        let directory = self.path.join("blobs");
        let failed = |error| refused("sync", &directory, error);
        let mut present = BTreeSet::new();
        let mut fresh = false;
        for blob in fs::read_dir(&directory).map_err(failed)? {
            let name = blob.map_err(failed)?.file_name();
            if !self.blobs.contains(&name) {
                fresh = true;
                match File::open(directory.join(&name)) {
                    Ok(file) => file.sync_data().map_err(failed)?,
                    // sled dropped it already: nothing points to it any more.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(failed(error)),
                }
            }
            present.insert(name);
        }
        self.blobs = present;
        if fresh { sync_directory(&directory) } else { Ok(()) }
    }

    /// Deletes some of the entries that the base covers; says whether more are left.
    fn reclaim_entries(&mut self) -> Result<bool, StorageError> {
        let Some(base) = &self.base else { return Ok(false) };
        let mut batch = sled::Batch::default();
        let mut count = 0;
        let range = entry_key(0)..entry_key(base.index + 1);
        for key in self.database.range(range).keys().take(RECLAIM_ENTRIES) {
            batch.remove(key.map_err(|error| self.failed("read", error))?);
            count += 1;
        }
        self.database.apply_batch(batch).map_err(|error| self.failed("write to", error))?;
        Ok(count == RECLAIM_ENTRIES)
    }
}

impl<R: Record> Storage<R> for SledStorage {
    fn recover(&mut self) -> Result<Disk<R>, StorageError> {
        self.before = self.read_batches()?;
        let mark = self.read_mark()?;
        if self.before < mark {
            let why = format!("{mark} batches were synced, of which {} are left", self.before);
            return Err(damaged(&self.path, &why));
        }
        let name = "the hard state";
        let state = self.read(STATE, name)?.map(|bytes| decode(bytes, name)).transpose()?;
        self.base = self.read_base()?;
        let entries: Vec<R> = self.read_entries(self.base.as_ref().map_or(0, |base| base.index))?;
        self.highest = entries.last().and_then(Record::slot).unwrap_or(0);
        Ok(Disk { base: self.base.clone(), state, entries })
    }

    fn append(
        &mut self,
        batches: &mut dyn Iterator<Item = &[Write<R>]>,
    ) -> Result<Ticket, StorageError> {
        let mut changes = Changes::new();
        let mut count = 0;
        for batch in batches {
            for write in batch {
                self.change(write, &mut changes)?;
            }
            count += 1;
        }
        if count > 0 {
            self.taken += count;
            let total = (self.before + self.taken).to_le_bytes();
            changes.insert(BATCHES.to_vec(), Some(seal(BATCHES, |value| value.extend(total))));
            self.commit(changes)?;
        }
        Ok(Ticket(self.taken))
    }

    fn sync(&mut self) -> Result<Ticket, StorageError> {
        self.make_durable()?;
        Ok(Ticket(self.taken))
    }

    fn reclaim(&mut self, budget: Duration) -> Result<bool, StorageError> {
        let started = Instant::now();
        if self.durable_base != self.base {
            // A crash must not find a base whose snapshot was freed for the sake of a later one.
            self.make_durable()?;
        }
        self.base.as_ref().map_or(Ok(()), |base| self.snapshots.reclaim(base))?;
        while self.reclaim_entries()? {
            if started.elapsed() >= budget {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn durability(&self) -> Durability {
        Durability::Drive
    }
}

fn entry_key(slot: Index) -> [u8; 9] {
    let mut key = [ENTRY; 9];
    key[1..].copy_from_slice(&slot.to_be_bytes());
    key
}

fn entry_slot(key: &IVec) -> Option<Index> {
    let (&first, rest) = key.split_first()?;
    let slot = <[u8; 8]>::try_from(rest).ok()?;
    (first == ENTRY).then(|| Index::from_be_bytes(slot))
}

/// A value with a checksum over its key too, so that a record in another's place is noticed.
fn seal(key: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut value = checksum::seal(write);
    let salted = crc32c::crc32c_append(read_checksum(&value), key);
    value[..checksum::CHECKSUM_BYTES].copy_from_slice(&salted.to_le_bytes());
    value
}

fn unseal(key: &[u8], value: &IVec, name: &str) -> Result<Bytes, StorageError> {
    let wrong = || corrupt(name, "its checksum does not fit");
    if value.len() < checksum::CHECKSUM_BYTES {
        return Err(wrong());
    }
    let content = Bytes::copy_from_slice(&value[checksum::CHECKSUM_BYTES..]);
    let salted = crc32c::crc32c_append(crc32c::crc32c(&content), key);
    if read_checksum(value) == salted { Ok(content) } else { Err(wrong()) }
}

fn read_checksum(value: &[u8]) -> u32 {
    let (checksum, _) = value.split_first_chunk().expect("a value starts with its checksum");
    u32::from_le_bytes(*checksum)
}

fn decode<R: Record>(bytes: Bytes, name: &str) -> Result<R, StorageError> {
    R::from_bytes(bytes).map_err(|error| corrupt(name, &error.to_string()))
}

fn corrupt(record: &str, why: &str) -> StorageError {
    StorageError::Corrupt { record: record.to_owned(), why: why.to_owned() }
}

fn damaged(path: &Path, why: &str) -> StorageError {
    corrupt(&path.display().to_string(), why)
}

fn open_failure(path: &Path, error: sled::Error) -> StorageError {
    // sled reports a held lock as an error of no particular kind.
    match error {
        sled::Error::Io(source) if source.to_string().contains("could not acquire lock") => {
            StorageError::Locked(path.display().to_string())
        }
        error => failure("open", path, error),
    }
}

fn failure(action: &str, path: &Path, error: sled::Error) -> StorageError {
    match error {
        sled::Error::Io(source) => refused(action, path, plain(source)),
        sled::Error::Corruption { at, .. } => {
            damaged(path, &at.map_or("somewhere".into(), |at| format!("at {at:?}")))
        }
        other => refused(action, path, io::Error::other(other.to_string())),
    }
}

/// sled hands on copies of an error, whose text is that of a debugger; the kind says it better.
fn plain(error: io::Error) -> io::Error {
    match (error.raw_os_error(), error.kind()) {
        (None, kind) if kind != io::ErrorKind::Other => kind.into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests;
