use std::io::Read as _;

use consensus_core::storage::conformance::{self, Backend, SnapshotBackend, TestRecord};
use tempfile::TempDir;

use super::*;
use crate::storage::snapshots::Snapshot;

/// A place whose crash is a power cut: what the last sync reached the drive with is kept as a copy,
/// and becomes all there is.
struct PowerCut {
    place: TempDir,
    lives: u32,
}

impl PowerCut {
    fn new() -> Self {
        Self { place: tempfile::tempdir().unwrap(), lives: 0 }
    }

    fn path(&self) -> PathBuf {
        self.place.path().join(self.lives.to_string())
    }
}

/// [`SledStorage`] that copies its directory after each sync.
struct Copied {
    storage: SledStorage,
    copy: PathBuf,
}

impl Copied {
    fn take(&self) {
        let _ = fs::remove_dir_all(&self.copy);
        copy_directory(&self.storage.path, &self.copy);
    }
}

impl Storage<TestRecord> for Copied {
    fn recover(&mut self) -> Result<Disk<TestRecord>, StorageError> {
        let disk = self.storage.recover();
        self.take();
        disk
    }

    fn append(
        &mut self,
        batches: &mut dyn Iterator<Item = &[Write<TestRecord>]>,
    ) -> Result<Ticket, StorageError> {
        self.storage.append(batches)
    }

    fn sync(&mut self) -> Result<Ticket, StorageError> {
        let ticket = Storage::<TestRecord>::sync(&mut self.storage)?;
        self.take();
        Ok(ticket)
    }

    fn reclaim(&mut self, budget: Duration) -> Result<bool, StorageError> {
        Storage::<TestRecord>::reclaim(&mut self.storage, budget)
    }

    fn durability(&self) -> Durability {
        Durability::Drive
    }
}

impl Backend for PowerCut {
    type Storage = Copied;

    fn open(&mut self) -> Copied {
        let copy = self.place.path().join((self.lives + 1).to_string());
        Copied { storage: SledStorage::open(&self.path()).unwrap(), copy }
    }

    fn crash(&mut self, storage: Copied) {
        // sled writes everything out when it is dropped in peace; the copy knows nothing of that.
        drop(storage);
        self.lives += 1;
    }
}

impl SnapshotBackend for PowerCut {
    fn save(&mut self, storage: &mut Copied, meta: &SnapshotMeta, content: &[u8]) {
        save(&storage.storage, meta, content);
    }

    fn read(&mut self, storage: &Copied, meta: &SnapshotMeta) -> Option<Vec<u8>> {
        read(&storage.storage, meta)
    }
}

fn save(storage: &SledStorage, meta: &SnapshotMeta, content: &[u8]) {
    storage.snapshots().save(meta, |to| to.write_all(content)).unwrap();
}

fn read(storage: &SledStorage, meta: &SnapshotMeta) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    match storage.snapshots().whole(meta).and_then(Snapshot::content) {
        Ok(mut content) => content.read_to_end(&mut found).unwrap(),
        Err(StorageError::NoSnapshot(_)) => return None,
        Err(error) => panic!("{error}"),
    };
    Some(found)
}

/// A place whose crash is a SIGKILL: what was handed to the kernel survives, the rest does not.
struct Killed(PowerCut);

impl Backend for Killed {
    type Storage = SledStorage;

    fn open(&mut self) -> SledStorage {
        SledStorage::open(&self.0.path()).unwrap()
    }

    fn crash(&mut self, storage: SledStorage) {
        self.0.lives += 1;
        copy_directory(&storage.path, &self.0.path());
        drop(storage);
    }
}

impl SnapshotBackend for Killed {
    fn save(&mut self, storage: &mut SledStorage, meta: &SnapshotMeta, content: &[u8]) {
        save(storage, meta, content);
    }

    fn read(&mut self, storage: &SledStorage, meta: &SnapshotMeta) -> Option<Vec<u8>> {
        read(storage, meta)
    }
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        match file.file_type().unwrap().is_dir() {
            true => copy_directory(&file.path(), &to),
            false => drop(fs::copy(file.path(), to).unwrap()),
        }
    }
}

fn put(slot: Index) -> Write<TestRecord> {
    Write::Put(TestRecord { slot, content: Bytes::from(format!("content of {slot}")) })
}

fn append(storage: &mut SledStorage, batch: &[Write<TestRecord>]) {
    storage.append(&mut std::iter::once(batch)).unwrap();
}

fn sync(storage: &mut SledStorage) {
    Storage::<TestRecord>::sync(storage).unwrap();
}

fn recover(storage: &mut SledStorage) -> Result<Disk<TestRecord>, StorageError> {
    storage.recover()
}

#[test]
fn conforms_under_power_cuts() {
    conformance::check_all(PowerCut::new);
    conformance::check_snapshots(PowerCut::new);
}

#[test]
fn conforms_under_sigkill() {
    conformance::check_all(|| Killed(PowerCut::new()));
    conformance::check_snapshots(|| Killed(PowerCut::new()));
}

#[test]
fn a_second_opening_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let _held = SledStorage::open(place.path()).unwrap();
    assert!(matches!(SledStorage::open(place.path()), Err(StorageError::Locked(_))));
}

#[test]
fn a_damaged_record_is_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let mut storage = SledStorage::open(place.path()).unwrap();
    recover(&mut storage).unwrap();
    append(&mut storage, &[put(1), put(2), put(3)]);
    let key = entry_key(2);
    let mut value = storage.database.get(key).unwrap().unwrap().to_vec();
    *value.last_mut().unwrap() ^= 1;
    storage.database.insert(key, value).unwrap();
    let error = recover(&mut storage).unwrap_err().to_string();
    assert!(error.contains("the entry at 2"), "{error}");
}

#[test]
fn a_record_in_anothers_place_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let mut storage = SledStorage::open(place.path()).unwrap();
    recover(&mut storage).unwrap();
    append(&mut storage, &[put(1), put(2)]);
    let first = storage.database.get(entry_key(1)).unwrap().unwrap();
    storage.database.insert(entry_key(2), first).unwrap();
    assert!(matches!(recover(&mut storage), Err(StorageError::Corrupt { .. })));
}

/// Bit rot anywhere in sled's log is an error, or it hit nothing that counts. It is never a log that
/// silently lost what was synced.
#[test]
fn rot_never_loses_synced_entries_in_silence() {
    let place = tempfile::tempdir().unwrap();
    let original = place.path().join("original");
    let mut storage = SledStorage::open(&original).unwrap();
    recover(&mut storage).unwrap();
    for slot in 1..=40 {
        append(&mut storage, &[put(slot)]);
        sync(&mut storage);
    }
    let copy = |name: String| {
        let path = place.path().join(name);
        copy_directory(&original, &path);
        path
    };
    let whole = recover(&mut SledStorage::open(&copy("whole".into())).unwrap()).unwrap();
    assert_eq!(whole.entries.len(), 40);
    let used = fs::read(original.join("db")).unwrap().iter().rposition(|&byte| byte != 0).unwrap();
    let mut refused = 0;
    for nth in 0..64 {
        let path = copy(format!("rotten {nth}"));
        let mut bytes = fs::read(path.join("db")).unwrap();
        bytes[used * nth / 64] ^= 0x10;
        fs::write(path.join("db"), bytes).unwrap();
        match SledStorage::open(&path).and_then(|mut storage| recover(&mut storage)) {
            Ok(disk) => assert_eq!(disk, whole, "flip {nth}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0, "no flip hit anything");
}

#[test]
fn reclaiming_deletes_what_the_base_covers() {
    let place = tempfile::tempdir().unwrap();
    let mut storage = SledStorage::open(place.path()).unwrap();
    recover(&mut storage).unwrap();
    append(&mut storage, &(1..=1_000).map(put).collect::<Vec<_>>());
    let base = SnapshotMeta { index: 900, ..SnapshotMeta::default() };
    append(&mut storage, &[Write::Base(base)]);
    while Storage::<TestRecord>::reclaim(&mut storage, Duration::ZERO).unwrap() {}
    assert_eq!(storage.database.range(entry_key(0)..entry_key(Index::MAX)).count(), 100);
    assert_eq!(recover(&mut storage).unwrap().entries.len(), 100);
}

/// What a directory and those in it take, in bytes.
fn space(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap());
    let size = |file: fs::DirEntry| match file.file_type().unwrap().is_dir() {
        true => space(&file.path()),
        false => file.metadata().unwrap().len(),
    };
    files.map(size).sum()
}

#[test]
fn what_was_reclaimed_is_used_again() {
    let place = tempfile::tempdir().unwrap();
    let mut storage = SledStorage::open(place.path()).unwrap();
    recover(&mut storage).unwrap();
    let content = Bytes::from(vec![7; 2 << 10]);
    let mut spaces = Vec::new();
    for round in 0..24 {
        for batch in 0..10 {
            let first = 1 + round * 1_000 + batch * 100;
            let put = |slot| Write::Put(TestRecord { slot, content: content.clone() });
            append(&mut storage, &(first..first + 100).map(put).collect::<Vec<_>>());
            sync(&mut storage);
        }
        let base = SnapshotMeta { index: (round + 1) * 1_000, ..SnapshotMeta::default() };
        append(&mut storage, &[Write::Base(base)]);
        while Storage::<TestRecord>::reclaim(&mut storage, Duration::ZERO).unwrap() {}
        sync(&mut storage);
        spaces.push(space(place.path()));
    }
    let (early, late) = (spaces[..8].iter().max().unwrap(), spaces[16..].iter().max().unwrap());
    assert!(*late < early * 3 / 2, "the log grows for ever: {spaces:?}");
}
