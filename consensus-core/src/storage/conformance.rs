//! The suite that every storage backend passes, crash cases included.
//!
//! A backend's own tests call [`check_all`] with a way to make fresh [`Backend`]s, and
//! [`check_snapshots`] if it keeps snapshots beside its log. A check panics with what it expected.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use super::Storage;
use crate::{
    configuration::Configuration,
    id::{Epoch, Index, NodeId},
    record::{Disk, Record, SnapshotMeta, Write},
    wire::{DecodeError, Validate},
};

/// A place that outlives the storage opened on it.
pub trait Backend {
    /// The backend under test.
    type Storage: Storage<TestRecord>;

    /// Opens the place, for the first time or again.
    fn open(&mut self) -> Self::Storage;

    /// Ends the storage as a crash does: what was not synced may be lost, a suffix at a time.
    fn crash(&mut self, storage: Self::Storage);
}

/// A backend with snapshots beside its log, of which [`Storage::reclaim`] frees those that the base
/// supersedes.
pub trait SnapshotBackend: Backend {
    /// Keeps a snapshot, durably on return.
    fn save(&mut self, storage: &mut Self::Storage, meta: &SnapshotMeta, content: &[u8]);

    /// What a snapshot holds; `None` if it is not there.
    fn read(&mut self, storage: &Self::Storage, meta: &SnapshotMeta) -> Option<Vec<u8>>;
}

/// A record for tests: a hard state, or an entry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct TestRecord {
    /// The position; zero for the hard state.
    #[prost(uint64, tag = "1")]
    pub slot: Index,
    /// The content; never empty.
    #[prost(bytes = "bytes", tag = "2")]
    pub content: Bytes,
}

impl TestRecord {
    /// A hard state.
    pub fn state(content: &'static str) -> Self {
        Self { slot: 0, content: content.into() }
    }

    /// An entry.
    pub fn entry(slot: Index, content: &'static str) -> Self {
        Self { slot, content: content.into() }
    }
}

fn snapshot(index: Index, round: u64) -> SnapshotMeta {
    let configurations = BTreeMap::from([(index, Configuration::of([NodeId(1), NodeId(round)]))]);
    SnapshotMeta { index, epoch: Epoch::term(round), configurations: configurations.into() }
}

impl Validate for TestRecord {
    fn validate(&self) -> Result<(), DecodeError> {
        match self.content.is_empty() {
            true => Err(DecodeError::Invalid("a test record has content")),
            false => Ok(()),
        }
    }
}

impl Record for TestRecord {
    fn slot(&self) -> Option<Index> {
        (self.slot > 0).then_some(self.slot)
    }
}

/// Runs every check, each on a fresh backend.
pub fn check_all<B: Backend>(mut fresh: impl FnMut() -> B) {
    starts_empty(&mut fresh());
    the_last_write_per_place_wins(&mut fresh());
    truncation_removes_the_suffix(&mut fresh());
    a_truncation_and_a_rewrite_in_one_batch(&mut fresh());
    holes_are_kept(&mut fresh());
    a_base_drops_the_prefix(&mut fresh());
    what_was_synced_survives_a_crash(&mut fresh());
    a_crash_keeps_a_prefix_of_whole_batches(&mut fresh());
    tickets_count_batches(&mut fresh());
    large_records_and_many_of_them(&mut fresh());
    positions_sort_as_numbers(&mut fresh());
}

/// Runs the checks of what goes on between a log and the snapshots beside it, each on a fresh backend.
pub fn check_snapshots<B: SnapshotBackend>(mut fresh: impl FnMut() -> B) {
    snapshots_come_back(&mut fresh());
    what_a_crash_could_need_is_not_freed(&mut fresh());
}

fn append<S: Storage<TestRecord>>(storage: &mut S, batches: &[Vec<Write<TestRecord>>]) {
    storage.append(&mut batches.iter().map(Vec::as_slice)).expect("append");
}

fn put(slot: Index, content: &'static str) -> Write<TestRecord> {
    Write::Put(TestRecord::entry(slot, content))
}

fn state(content: &'static str) -> Write<TestRecord> {
    Write::Put(TestRecord::state(content))
}

/// Appends and syncs, crashes, and recovers.
fn recovered<B: Backend>(backend: &mut B, batches: &[Vec<Write<TestRecord>>]) -> Disk<TestRecord> {
    let mut storage = backend.open();
    storage.recover().expect("recover");
    append(&mut storage, batches);
    storage.sync().expect("sync");
    backend.crash(storage);
    backend.open().recover().expect("recover")
}

fn contents(disk: &Disk<TestRecord>) -> Vec<(Index, String)> {
    let content = |entry: &TestRecord| String::from_utf8_lossy(&entry.content).into_owned();
    disk.entries.iter().map(|entry| (entry.slot, content(entry))).collect()
}

fn expect(disk: &Disk<TestRecord>, entries: &[(Index, &str)]) {
    let expected: Vec<_> = entries.iter().map(|&(slot, text)| (slot, text.to_owned())).collect();
    assert_eq!(contents(disk), expected);
}

fn starts_empty<B: Backend>(backend: &mut B) {
    let disk = backend.open().recover().expect("recover");
    assert!(disk.is_empty(), "a new disk holds {disk:?}");
}

fn the_last_write_per_place_wins<B: Backend>(backend: &mut B) {
    let disk = recovered(
        backend,
        &[vec![state("one"), put(1, "a"), put(2, "b")], vec![state("two"), put(1, "c")]],
    );
    assert_eq!(disk.state, Some(TestRecord::state("two")));
    expect(&disk, &[(1, "c"), (2, "b")]);
}

fn truncation_removes_the_suffix<B: Backend>(backend: &mut B) {
    let disk = recovered(
        backend,
        &[vec![put(1, "a"), put(2, "b"), put(3, "c")], vec![Write::TruncateFrom(2)]],
    );
    expect(&disk, &[(1, "a")]);
}

fn a_truncation_and_a_rewrite_in_one_batch<B: Backend>(backend: &mut B) {
    let disk = recovered(
        backend,
        &[
            vec![put(1, "a"), put(2, "b"), put(3, "c")],
            vec![Write::TruncateFrom(2), put(2, "d")],
            vec![put(5, "x"), Write::TruncateFrom(5), Write::TruncateFrom(9)],
        ],
    );
    expect(&disk, &[(1, "a"), (2, "d")]);
}

fn holes_are_kept<B: Backend>(backend: &mut B) {
    let disk = recovered(backend, &[vec![put(5, "e")], vec![put(2, "b")]]);
    expect(&disk, &[(2, "b"), (5, "e")]);
}

fn a_base_drops_the_prefix<B: Backend>(backend: &mut B) {
    let base = snapshot(2, 7);
    let batches = [vec![put(1, "a"), put(2, "b"), put(3, "c")], vec![Write::Base(base.clone())]];
    let disk = recovered(backend, &batches);
    assert_eq!(disk.base, Some(base));
    expect(&disk, &[(3, "c")]);
    let past = snapshot(10, 8);
    let disk = recovered(backend, &[vec![Write::Base(past.clone())]]);
    assert_eq!(disk.base, Some(past));
    expect(&disk, &[]);
}

fn what_was_synced_survives_a_crash<B: Backend>(backend: &mut B) {
    let disk = recovered(backend, &[vec![state("one"), put(1, "a")]]);
    expect(&disk, &[(1, "a")]);
    let disk = recovered(backend, &[vec![put(2, "b")]]);
    assert_eq!(disk.state, Some(TestRecord::state("one")));
    expect(&disk, &[(1, "a"), (2, "b")]);
}

fn a_crash_keeps_a_prefix_of_whole_batches<B: Backend>(backend: &mut B) {
    let mut storage = backend.open();
    storage.recover().expect("recover");
    append(&mut storage, &[vec![put(1, "synced")]]);
    storage.sync().expect("sync");
    let pair = |first, second| vec![put(first, "left"), put(second, "right")];
    append(&mut storage, &[pair(2, 3), pair(4, 5), pair(6, 7)]);
    backend.crash(storage);
    let disk = backend.open().recover().expect("recover");
    let slots: Vec<_> = disk.entries.iter().map(|entry| entry.slot).collect();
    let prefixes: [&[Index]; 4] = [&[1], &[1, 2, 3], &[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5, 6, 7]];
    assert!(prefixes.contains(&slots.as_slice()), "no prefix of whole batches: {slots:?}");
}

fn tickets_count_batches<B: Backend>(backend: &mut B) {
    let mut storage = backend.open();
    storage.recover().expect("recover");
    let batches = [vec![put(1, "a")], vec![put(2, "b")]];
    let ticket = storage.append(&mut batches.iter().map(Vec::as_slice)).expect("append");
    assert_eq!(ticket.0, 2);
    assert_eq!(storage.sync().expect("sync"), ticket);
    let more = [vec![put(3, "c")]];
    let next = storage.append(&mut more.iter().map(Vec::as_slice)).expect("append");
    assert_eq!(next.0, 3);
}

fn large_records_and_many_of_them<B: Backend>(backend: &mut B) {
    let large = Bytes::from(vec![7; 1 << 20]);
    let entry = |slot| TestRecord { slot, content: large.slice(..slot as usize) };
    let mut batches: Vec<_> = (1..=500).map(|slot| vec![Write::Put(entry(slot))]).collect();
    batches.push(vec![Write::Put(TestRecord { slot: 501, content: large.clone() })]);
    let disk = recovered(backend, &batches);
    assert_eq!(disk.entries.len(), 501);
    assert!(disk.entries[..500].iter().all(|found| *found == entry(found.slot)));
    assert_eq!(disk.entries[500].content, large);
}

fn snapshots_come_back<B: SnapshotBackend>(backend: &mut B) {
    let old = snapshot(1, 1);
    let new = snapshot(2, 1);
    let mut storage = backend.open();
    storage.recover().expect("recover");
    let bytes: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    backend.save(&mut storage, &old, b"old");
    backend.save(&mut storage, &new, &bytes);
    append(&mut storage, &[vec![put(1, "a"), put(2, "b")], vec![Write::Base(new.clone())]]);
    storage.sync().expect("sync");
    backend.crash(storage);
    let mut storage = backend.open();
    assert_eq!(storage.recover().expect("recover").base, Some(new.clone()));
    while storage.reclaim(Duration::from_millis(50)).expect("reclaim") {}
    assert!(backend.read(&storage, &new) == Some(bytes), "the snapshot came back changed");
    assert_eq!(backend.read(&storage, &old), None);
}

fn what_a_crash_could_need_is_not_freed<B: SnapshotBackend>(backend: &mut B) {
    let bases = [snapshot(1, 1), snapshot(2, 1)];
    let mut storage = backend.open();
    storage.recover().expect("recover");
    for base in &bases {
        backend.save(&mut storage, base, b"state");
    }
    append(&mut storage, &[vec![put(1, "a"), put(2, "b")], vec![Write::Base(bases[0].clone())]]);
    storage.sync().expect("sync");
    append(&mut storage, &[vec![Write::Base(bases[1].clone())]]);
    while storage.reclaim(Duration::from_millis(50)).expect("reclaim") {}
    backend.crash(storage);
    let mut storage = backend.open();
    let base = storage.recover().expect("recover").base.expect("one of the bases");
    assert!(backend.read(&storage, &base).is_some(), "the base at {} has no snapshot", base.index);
}

fn positions_sort_as_numbers<B: Backend>(backend: &mut B) {
    let disk = recovered(backend, &[vec![put(255, "a"), put(256, "b"), put(65_536, "c")]]);
    expect(&disk, &[(255, "a"), (256, "b"), (65_536, "c")]);
}
