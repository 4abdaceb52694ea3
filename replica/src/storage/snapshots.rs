//! Snapshots as files: those that are whole, and those that are still on their way here.
//!
//! A whole snapshot is a CRC-32C and then the saved state machine, in a file that is named for what it
//! includes. It appears whole, and is durable when it appears. It is in use only once the log's base
//! names it, so it does not matter what of the log reached the disk before it: a crash before the
//! base is written leaves a file that nobody asks for, until [`reclaim`](SnapshotFiles::reclaim)
//! finds it.
//!
//! What comes from a peer comes as that file, piece by piece, into a *part*. A part outlives its
//! receiver, whose next life says how much of it there is. What is in it is believed only when it is
//! whole, and its checksum fits.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Seek as _, Write},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use bytes::Bytes;
use consensus_core::{Epoch, Index, NodeId, SnapshotMeta, storage::StorageError};

use super::{directory::sync_directory, refused};
use crate::checksum::CHECKSUM_BYTES;

/// The largest snapshot that is taken from a peer, in bytes.
pub const MAX_SNAPSHOT_BYTES: u64 = 4 << 30;
/// How many snapshots may be on their way here; beyond, the oldest is given up.
const MAX_PARTS: usize = 4;
/// How much is read at a time when a checksum is computed, in bytes.
const READ_BYTES: usize = 1 << 18;

/// What the files are worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeping {
    /// They are synced, and found again by the next life.
    Durable,
    /// They are the overflow of this life's memory: never synced, and gone with it.
    Volatile,
}

/// A directory of snapshots. Any thread may use it.
#[derive(Debug)]
pub struct SnapshotFiles {
    directory: PathBuf,
    keeping: Keeping,
    /// Up to where the log's base makes all others superfluous, as far as this life was told. Held by
    /// whoever writes to a part.
    superseded: Mutex<Index>,
}

/// How much of a snapshot is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// This many bytes, from its beginning.
    Part(u64),
    /// All of it; durable.
    Whole,
}

/// A whole snapshot, open for reading; its checksum was seen to fit.
#[derive(Debug)]
pub struct Snapshot {
    path: PathBuf,
    file: File,
    length: u64,
}

impl SnapshotFiles {
    /// Opens the directory, which is made if need be.
    pub fn open(directory: PathBuf, keeping: Keeping) -> Result<Self, StorageError> {
        let made = fs::create_dir_all(&directory);
        made.map_err(|error| refused("make the directory", &directory, error))?;
        let files = Self { directory, keeping, superseded: Mutex::new(0) };
        for (path, kind, _) in files.list()? {
            // What was being saved when the last life ended was never finished.
            if kind == Kind::New || keeping == Keeping::Volatile {
                remove(&path)?;
            }
        }
        Ok(files)
    }

    /// Saves a snapshot, and says how many bytes it has; durable on return.
    pub fn save(
        &self,
        meta: &SnapshotMeta,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<u64, StorageError> {
        let fresh = self.path(meta, Kind::New);
        let save = || {
            let mut file = Summed { file: BufWriter::new(File::create(&fresh)?), checksum: 0 };
            file.file.write_all(&[0; CHECKSUM_BYTES])?;
            write(&mut file)?;
            let Summed { file, checksum } = file;
            let file = file.into_inner()?;
            file.write_all_at(&checksum.to_le_bytes(), 0)?;
            Ok((file.metadata()?.len(), file))
        };
        let (length, file) = save().map_err(|error| refused("write", &fresh, error))?;
        self.establish(meta, &fresh, &file)?;
        Ok(length)
    }

    /// Opens a whole snapshot.
    pub fn whole(&self, meta: &SnapshotMeta) -> Result<Snapshot, StorageError> {
        let path = self.path(meta, Kind::Whole);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StorageError::NoSnapshot(meta.clone()));
            }
            Err(error) => return Err(refused("open", &path, error)),
        };
        let checked = fits(&file).and_then(|fits| Ok((fits, file.metadata()?.len())));
        match checked.map_err(|error| refused("read", &path, error))? {
            (true, length) => Ok(Snapshot { path, file, length }),
            (false, _) => Err(StorageError::Corrupt {
                record: path.display().to_string(),
                why: "its checksum does not fit".to_owned(),
            }),
        }
    }

    /// Takes a piece of a snapshot that has `length` bytes, if it is the next one, and says how much
    /// there is: as good as all, if the log's base is as late. An empty piece asks only. When the last
    /// piece came and the checksum of the whole does not fit, there is nothing any more.
    pub fn receive(
        &self,
        meta: &SnapshotMeta,
        length: u64,
        offset: u64,
        piece: &[u8],
    ) -> Result<Received, StorageError> {
        let superseded = self.lock();
        if meta.index <= *superseded || self.path(meta, Kind::Whole).exists() {
            return Ok(Received::Whole);
        }
        let path = self.path(meta, Kind::Part);
        if !path.exists() {
            self.make_room()?;
        }
        let failed = |error| refused("write", &path, error);
        let options =
            File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let part = options.map_err(failed)?;
        let here = part.metadata().map_err(failed)?.len();
        let end = here.saturating_add(piece.len() as u64);
        if here > length || length > MAX_SNAPSHOT_BYTES {
            remove(&path)?;
            return Ok(Received::Part(0));
        }
        if offset != here || end > length {
            return Ok(Received::Part(here));
        }
        part.write_all_at(piece, here).map_err(failed)?;
        if end < length {
            return Ok(Received::Part(end));
        }
        if !fits(&part).map_err(failed)? {
            remove(&path)?;
            return Ok(Received::Part(0));
        }
        self.establish(meta, &path, &part)?;
        Ok(Received::Whole)
    }

    /// Removes what is older than the log's base, which must be durable: a log whose base has no
    /// snapshot cannot be recovered.
    pub fn reclaim(&self, base: &SnapshotMeta) -> Result<(), StorageError> {
        let keep = self.path(base, Kind::Whole);
        let mut superseded = self.lock();
        *superseded = base.index.max(*superseded);
        for (path, kind, index) in self.list()? {
            let superseded = index <= base.index && path != keep;
            if superseded && kind != Kind::New {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Makes a file that was written a whole snapshot.
    fn establish(&self, meta: &SnapshotMeta, from: &Path, file: &File) -> Result<(), StorageError> {
        let path = self.path(meta, Kind::Whole);
        if self.keeping == Keeping::Durable {
            file.sync_all().map_err(|error| refused("sync", from, error))?;
        }
        fs::rename(from, &path).map_err(|error| refused("write", &path, error))?;
        match self.keeping {
            Keeping::Durable => sync_directory(&self.directory),
            Keeping::Volatile => Ok(()),
        }
    }

    /// Gives up the oldest part if there are as many as there may be.
    fn make_room(&self) -> Result<(), StorageError> {
        let mut parts = self.list()?;
        parts.retain(|(_, kind, _)| *kind == Kind::Part);
        parts.sort();
        let surplus = (parts.len() + 1).saturating_sub(MAX_PARTS);
        parts.iter().take(surplus).try_for_each(|(path, ..)| remove(path))
    }

    fn list(&self) -> Result<Vec<(PathBuf, Kind, Index)>, StorageError> {
        let failed = |error| refused("list", &self.directory, error);
        let mut found = Vec::new();
        for file in fs::read_dir(&self.directory).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            let kind = path.extension().and_then(|kind| kind.to_str()).and_then(Kind::named);
            let name = path.file_stem().and_then(|name| name.to_str());
            let index = name.and_then(|name| name.split('-').next()?.parse().ok());
            found.extend(kind.zip(index).map(|(kind, index)| (path.clone(), kind, index)));
        }
        Ok(found)
    }

    /// Names that are made of numbers only, whoever sent them, and sort as the snapshots do.
    fn path(&self, meta: &SnapshotMeta, kind: Kind) -> PathBuf {
        let SnapshotMeta { index, epoch: Epoch { round, node: NodeId(node) }, .. } = meta;
        self.directory.join(format!("{index:020}-{round:020}-{node:020}.{}", kind.name()))
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.superseded.lock().expect("nobody panics while writing a part")
    }
}

impl Snapshot {
    /// Its length, in bytes.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The piece that begins at this offset, of this many bytes at most.
    pub fn piece(&self, offset: u64, most: usize) -> Result<Bytes, StorageError> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut piece = vec![0; left.min(most)];
        let read = self.file.read_exact_at(&mut piece, offset);
        read.map_err(|error| refused("read", &self.path, error))?;
        Ok(piece.into())
    }

    /// What was saved.
    pub fn content(mut self) -> Result<Box<dyn Read + Send>, StorageError> {
        let sought = self.file.seek(io::SeekFrom::Start(CHECKSUM_BYTES as u64));
        sought.map_err(|error| refused("read", &self.path, error))?;
        Ok(Box::new(BufReader::new(self.file)))
    }
}

/// What a file is, by its extension.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Whole,
    Part,
    New,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Whole => "snapshot",
            Self::Part => "part",
            Self::New => "new",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Whole, Self::Part, Self::New].into_iter().find(|kind| kind.name() == name)
    }
}

/// Computes the checksum of what passes.
struct Summed {
    file: BufWriter<File>,
    checksum: u32,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.checksum = crc32c::crc32c_append(self.checksum, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Whether a file's checksum fits the rest of it.
fn fits(file: &File) -> io::Result<bool> {
    let mut expected = [0; CHECKSUM_BYTES];
    match file.read_exact_at(&mut expected, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    }
    let mut buffer = vec![0; READ_BYTES];
    let (mut offset, mut checksum) = (CHECKSUM_BYTES as u64, 0);
    loop {
        let read = file.read_at(&mut buffer, offset)?;
        if read == 0 {
            return Ok(checksum == u32::from_le_bytes(expected));
        }
        checksum = crc32c::crc32c_append(checksum, &buffer[..read]);
        offset += read as u64;
    }
}

fn remove(path: &Path) -> Result<(), StorageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(refused("remove", path, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(index: Index) -> SnapshotMeta {
        SnapshotMeta { index, epoch: Epoch::ballot(3, NodeId(2)), ..SnapshotMeta::default() }
    }

    fn files(place: &Path) -> SnapshotFiles {
        SnapshotFiles::open(place.to_owned(), Keeping::Durable).unwrap()
    }

    fn content(files: &SnapshotFiles, index: Index) -> Vec<u8> {
        let mut content = Vec::new();
        let mut from = files.whole(&meta(index)).unwrap().content().unwrap();
        from.read_to_end(&mut content).unwrap();
        content
    }

    fn save(files: &SnapshotFiles, index: Index, content: &[u8]) {
        files.save(&meta(index), |to| to.write_all(content)).unwrap();
    }

    #[test]
    fn what_was_saved_is_read_and_damage_is_noticed() {
        let place = tempfile::tempdir().unwrap();
        let files = files(place.path());
        save(&files, 7, b"the state");
        assert_eq!(content(&files, 7), b"the state");
        assert!(matches!(files.whole(&meta(8)), Err(StorageError::NoSnapshot(_))));
        let path = files.path(&meta(7), Kind::Whole);
        let mut bytes = fs::read(&path).unwrap();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(files.whole(&meta(7)), Err(StorageError::Corrupt { .. })), "{bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn what_was_not_finished_is_swept_away() {
        let place = tempfile::tempdir().unwrap();
        let first = files(place.path());
        let failed = first.save(&meta(7), |_| Err(io::Error::other("out of ideas")));
        assert!(failed.unwrap_err().to_string().contains("out of ideas"));
        assert!(first.path(&meta(7), Kind::New).exists());
        let second = files(place.path());
        assert!(!second.path(&meta(7), Kind::New).exists());
        assert!(matches!(second.whole(&meta(7)), Err(StorageError::NoSnapshot(_))));
    }

    /// Moves a snapshot in pieces of three bytes, from where the receiver is.
    fn hand_over(from: &Snapshot, to: &SnapshotFiles, pieces: usize) -> Received {
        let mut received = to.receive(&meta(7), from.length(), 0, b"").unwrap();
        for _ in 0..pieces {
            let Received::Part(offset) = received else { break };
            let piece = from.piece(offset, 3).unwrap();
            received = to.receive(&meta(7), from.length(), offset, &piece).unwrap();
        }
        received
    }

    #[test]
    fn pieces_become_whole_across_the_lives_of_the_receiver() {
        let [sender, receiver] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let sender = files(sender.path());
        save(&sender, 7, b"thirteen here");
        let snapshot = sender.whole(&meta(7)).unwrap();
        assert_eq!(hand_over(&snapshot, &files(receiver.path()), 2), Received::Part(6));
        let next_life = files(receiver.path());
        assert_eq!(next_life.receive(&meta(7), 17, 3, b"old").unwrap(), Received::Part(6));
        assert_eq!(next_life.receive(&meta(7), 17, 9, b"new").unwrap(), Received::Part(6));
        assert_eq!(next_life.receive(&meta(7), 17, 6, &[0; 12]).unwrap(), Received::Part(6));
        assert!(matches!(next_life.whole(&meta(7)), Err(StorageError::NoSnapshot(_))));
        assert_eq!(hand_over(&snapshot, &next_life, 9), Received::Whole);
        assert_eq!(content(&next_life, 7), b"thirteen here");
        assert_eq!(next_life.receive(&meta(7), 17, 0, b"").unwrap(), Received::Whole);
    }

    #[test]
    fn a_damaged_whole_is_thrown_away_and_comes_again() {
        let [sender, receiver] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (sender, receiver) = (files(sender.path()), files(receiver.path()));
        save(&sender, 7, b"thirteen here");
        let snapshot = sender.whole(&meta(7)).unwrap();
        receiver.receive(&meta(7), 17, 0, b"nonsense").unwrap();
        let pieces = 3;
        assert_eq!(hand_over(&snapshot, &receiver, pieces), Received::Part(0));
        assert_eq!(hand_over(&snapshot, &receiver, 9), Received::Whole);
        assert_eq!(content(&receiver, 7), b"thirteen here");
    }

    #[test]
    fn a_snapshot_beyond_the_limit_or_shorter_than_its_part_is_not_taken() {
        let place = tempfile::tempdir().unwrap();
        let files = files(place.path());
        let refused = files.receive(&meta(7), MAX_SNAPSHOT_BYTES + 1, 0, b"x").unwrap();
        assert_eq!(refused, Received::Part(0));
        assert_eq!(files.receive(&meta(7), 9, 0, b"abcdef").unwrap(), Received::Part(6));
        assert_eq!(files.receive(&meta(7), 5, 6, b"").unwrap(), Received::Part(0));
    }

    #[test]
    fn few_parts_are_kept_and_the_base_supersedes_them() {
        let place = tempfile::tempdir().unwrap();
        let files = files(place.path());
        for index in 1..=9 {
            files.receive(&meta(index), 100, 0, b"part").unwrap();
        }
        let here = |kind| {
            let mut found = files.list().unwrap();
            found.retain(|(_, found, _)| *found == kind);
            let mut found: Vec<_> = found.into_iter().map(|(_, _, index)| index).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(here(Kind::Part), [6, 7, 8, 9]);
        for index in [3, 7, 8] {
            save(&files, index, b"state");
        }
        files.reclaim(&meta(7)).unwrap();
        assert_eq!((here(Kind::Part), here(Kind::Whole)), (vec![8, 9], vec![7, 8]));
        // Whoever still sends an older one need not go on.
        assert_eq!(files.receive(&meta(6), 100, 4, b"part").unwrap(), Received::Whole);
        assert_eq!(here(Kind::Part), [8, 9]);
    }

    #[test]
    fn what_was_volatile_is_gone_with_its_life() {
        let place = tempfile::tempdir().unwrap();
        let open = || SnapshotFiles::open(place.path().to_owned(), Keeping::Volatile).unwrap();
        let first = open();
        save(&first, 7, b"state");
        assert_eq!(content(&first, 7), b"state");
        assert!(matches!(open().whole(&meta(7)), Err(StorageError::NoSnapshot(_))));
    }
}
