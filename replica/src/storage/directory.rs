//! The data directory: one process at a time, and a count of its lives.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use consensus_core::storage::StorageError;
use tokio::time::{Instant, sleep};

use super::refused;

/// How often a directory is tried that another process holds. No signal says that it let go.
const RETRY_EVERY: Duration = Duration::from_millis(20);

/// A data directory that this process holds. The lock goes with the process, however it ends.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    incarnation: u64,
    _lock: File,
}

impl Directory {
    /// Makes the directory if need be, locks it, and counts this start: durable on return, so that
    /// no two lives of a replica share an incarnation.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        fs::create_dir_all(path).map_err(|error| refused("make the directory", path, error))?;
        let lock = lock(path)?;
        let incarnation = read_incarnation(path)?.checked_add(1).expect("lives are few");
        let content = format!("{incarnation}\n");
        replace(&path.join("incarnation"), content.as_bytes())?;
        Ok(Self { path: path.to_owned(), incarnation, _lock: lock })
    }

    /// The same, and waits so long for another process that holds it: a replica that is deleted in
    /// haste may run for a moment beside its successor.
    pub async fn open_within(path: &Path, patience: Duration) -> Result<Self, StorageError> {
        let deadline = Instant::now() + patience;
        let mut told = false;
        loop {
            match Self::open(path) {
                Err(StorageError::Locked(_)) if Instant::now() < deadline => {
                    if !told {
                        let path = path.display();
                        tracing::info!(%path, "another process holds the data directory: waiting");
                        told = true;
                    }
                    sleep(RETRY_EVERY).await;
                }
                opened => return opened,
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The how-many-th life of this directory this is, from 1.
    pub const fn incarnation(&self) -> u64 {
        self.incarnation
    }
}

fn lock(directory: &Path) -> Result<File, StorageError> {
    let path = directory.join("lock");
    let file = File::create(&path).map_err(|error| refused("write", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::Locked(directory.display().to_string())),
        Err(TryLockError::Error(error)) => Err(refused("lock", &path, error)),
    }
}

fn read_incarnation(directory: &Path) -> Result<u64, StorageError> {
    let path = directory.join("incarnation");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(refused("read", &path, error)),
    };
    text.trim().parse().map_err(|_| StorageError::Corrupt {
        record: path.display().to_string(),
        why: format!("it holds {text:?} instead of a number"),
    })
}

/// Replaces a small file as a whole: a crash leaves the old content or the new.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), StorageError> {
    let fresh = path.with_extension("new");
    let write = || {
        let mut file = File::create(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(path.parent().expect("a file is in a directory"))?.sync_all()
    };
    write().map_err(|error| refused("write", path, error))
}

/// Makes durable which files a directory holds.
pub(super) fn sync_directory(path: &Path) -> Result<(), StorageError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|error| refused("sync", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_is_a_new_incarnation() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("made/on/demand");
        for life in 1..=3 {
            assert_eq!(Directory::open(&path).unwrap().incarnation(), life);
        }
    }

    #[test]
    fn a_second_holder_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let held = Directory::open(place.path()).unwrap();
        assert!(matches!(Directory::open(place.path()), Err(StorageError::Locked(_))));
        drop(held);
        assert_eq!(Directory::open(place.path()).unwrap().incarnation(), 2);
    }

    #[tokio::test]
    async fn whoever_is_patient_waits_for_the_holder_and_not_for_ever() {
        let place = tempfile::tempdir().unwrap();
        let held = Directory::open(place.path()).unwrap();
        let limit = 3 * RETRY_EVERY;
        let began = Instant::now();
        let refused = Directory::open_within(place.path(), limit).await;
        assert!(matches!(refused, Err(StorageError::Locked(_))));
        assert!(began.elapsed() >= limit);

        let release = async {
            sleep(limit).await;
            drop(held);
        };
        let enough = Duration::from_secs(60);
        let (opened, ()) = tokio::join!(Directory::open_within(place.path(), enough), release);
        assert_eq!(opened.unwrap().incarnation(), 2, "who only tried counts as no life");
    }

    #[test]
    fn a_damaged_count_is_refused_by_name() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("incarnation"), "seven").unwrap();
        let error = Directory::open(place.path()).unwrap_err().to_string();
        assert!(error.contains("incarnation") && error.contains("seven"), "{error}");
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("a file");
        fs::write(&file, "").unwrap();
        let error = Directory::open(&file.join("data")).unwrap_err().to_string();
        assert!(error.contains("a file/data"), "{error}");
    }
}
