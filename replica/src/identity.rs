//! Who a replica is: a node's name, and the one disk that may speak under it.
//!
//! A replica that lost its disk has forgotten its votes, its promises and its acknowledgements. If it
//! came back under its old name, an entry that was committed with its help could be lost. So a name
//! belongs to one disk for ever: the data directory keeps a [`Passport`], the node's name together
//! with a random number of the disk's own, and every replica remembers, durably and before it listens
//! to what they say, which disk it first heard of under each name ([`Acquaintances`]). Messages under
//! the same name from another disk are refused.
//!
//! # When a replica on an empty disk may vote
//!
//! It cannot know whether its name had another disk once, so it asks (`introduction`). It
//! introduces itself to everybody whom gossip finds; whoever is asked either remembers the new disk
//! under the name, or says that the name is taken. If anybody says so, the replica takes the next name
//! of its place ([`NodeId::reborn`]), asks again under that one, and has itself put in the place of its
//! old self by a change of the members. Otherwise it waits until a majority *of the other voters*
//! remembers it, and only then may its consensus loop start. Any two majorities of the others have one
//! in common: so if an earlier life ever voted, somebody among those that answer remembers its disk.
//! Who the voters are, the most advanced of those that answer tells; while nobody has committed
//! anything, they are the initial members.
//!
//! Names of a place are taken one after the other, so whoever knows a later one, as a voter or by its
//! disk, knows that all earlier ones are used up. Else a name could pass for unused once everybody that
//! ever met its bearer has lost its disk too, one after the other.
//!
//! So a first start of a whole cluster forms one at once, but one of three needs all three to be there,
//! and one of five needs four. A restart with its disk needs nobody.
//!
//! # What this does not cover
//!
//! If further disks are lost before their owners' names are taken over, the one in common may be among
//! them: with two more of five lost at once, or all of three, a name may pass for unused. The same holds
//! if everybody that answers knows only a configuration of which no majority is left. And a disk that
//! was copied, or put back from a backup, bears its number like the original. Records in memory
//! ([`StorageKind::Memory`](crate::storage::StorageKind::Memory)) are outside of this: what such a
//! replica forgets when it is restarted, nobody notices.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use consensus_core::{NodeId, storage::StorageError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::storage::replace;

/// The file that says whose directory it is.
const PASSPORT_FILE: &str = "identity.json";
/// The file that says which disks are known under which names.
const ACQUAINTANCES_FILE: &str = "acquaintances.json";
/// How many random bytes name a disk.
const DISK_BYTES: usize = 16;
/// How many strangers are remembered, so that each is told of once.
const MAX_STRANGERS: usize = 1_024;

/// A disk's own number: random, in hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiskId(String);

impl DiskId {
    /// A number that nobody has yet.
    fn draw() -> io::Result<Self> {
        let mut bytes = [0; DISK_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// The number from the wire, if it is one.
    pub fn from_wire(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        (digits && text.len() == 2 * DISK_BYTES).then(|| Self(text.to_owned()))
    }
}

impl std::fmt::Display for DiskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose disk this is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passport {
    /// Under which name.
    pub node: NodeId,
    /// The disk.
    pub disk: DiskId,
    /// Whether enough others remember it, so that the replica may vote.
    pub admitted: bool,
}

impl Passport {
    /// Reads the passport in a data directory; a directory without one gets a new one, which is
    /// durable on return. `used`: the directory holds records, and so was somebody's before there
    /// were passports.
    ///
    /// # Errors
    ///
    /// If the directory is somebody else's, or cannot be read or written.
    pub(crate) fn of(directory: &Path, node: NodeId, used: Use) -> Result<Self, StorageError> {
        if let Some(passport) = read::<Self>(&directory.join(PASSPORT_FILE))? {
            return match passport.node.place() == node.place() && passport.node >= node {
                true => Ok(passport),
                false => Err(StorageError::Corrupt {
                    record: directory.join(PASSPORT_FILE).display().to_string(),
                    why: format!("the directory is that of node {}, not of {node}", passport.node),
                }),
            };
        }
        let disk = DiskId::draw().map_err(|source| StorageError::Io {
            action: "draw a number from /dev/urandom".to_owned(),
            source,
        })?;
        let passport = Self { node, disk, admitted: used == Use::Records };
        passport.write(directory)?;
        Ok(passport)
    }

    /// Writes it; durable on return.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), StorageError> {
        write(&directory.join(PASSPORT_FILE), self)
    }

    /// Whether its name is not the first one of its place: an earlier life lost its disk.
    pub fn is_reborn(&self) -> bool {
        self.node != self.node.place()
    }
}

/// What a directory holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// Nothing.
    Empty,
    /// A protocol's records.
    Records,
}

/// Which disk is known under which name.
#[derive(Debug)]
pub struct Acquaintances {
    file: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    disks: BTreeMap<NodeId, DiskId>,
    /// Those that were refused, and are told of once.
    strangers: BTreeSet<(NodeId, DiskId)>,
}

impl Known {
    /// Whether somebody is known who came in the place of this node.
    fn has_later_life(&self, node: NodeId) -> bool {
        self.disks.keys().any(|known| known.place() == node.place() && *known > node)
    }
}

/// What somebody is to this replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Met {
    /// The one whom it knows under this name, from now on or for long.
    Known,
    /// Somebody else is known under this name, or under a later one of its place.
    Stranger,
}

impl Acquaintances {
    /// Those whom a data directory remembers.
    pub(crate) fn of(directory: &Path) -> Result<Self, StorageError> {
        let file = directory.join(ACQUAINTANCES_FILE);
        let disks = read(&file)?.unwrap_or_default();
        Ok(Self { file, known: Mutex::new(Known { disks, ..Known::default() }) })
    }

    /// Meets a node with its disk, and remembers it, durably on return, if nobody was known under its
    /// name.
    ///
    /// # Errors
    ///
    /// If it cannot be remembered.
    pub fn meet(&self, node: NodeId, disk: &DiskId) -> Result<Met, StorageError> {
        let mut known = self.known();
        match known.disks.get(&node) {
            Some(its) if its == disk => return Ok(Met::Known),
            Some(_) => {
                let stranger = (node, disk.clone());
                if known.strangers.len() < MAX_STRANGERS && known.strangers.insert(stranger) {
                    tracing::warn!(
                        "node {node} speaks from another disk than the one it is known with: it is \
                         not listened to, for it may have forgotten what it promised"
                    );
                }
                return Ok(Met::Stranger);
            }
            None if known.has_later_life(node) => return Ok(Met::Stranger),
            None => {}
        }
        let mut disks = known.disks.clone();
        disks.insert(node, disk.clone());
        write(&self.file, &disks)?;
        known.disks = disks;
        Ok(Met::Known)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nobody panics while holding the acquaintances")
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<Option<T>, StorageError> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(StorageError::Io { action: format!("read {}", file.display()), source });
        }
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| StorageError::Corrupt {
        record: file.display().to_string(),
        why: error.to_string(),
    })
}

fn write(file: &Path, content: &impl Serialize) -> Result<(), StorageError> {
    let json = serde_json::to_vec(content).expect("names and numbers are plain JSON");
    replace(file, &json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_passport_and_is_nobody_elses() {
        let place = tempfile::tempdir().unwrap();
        let first = Passport::of(place.path(), NodeId(3), Use::Empty).unwrap();
        assert!(!first.admitted && !first.is_reborn());
        assert_eq!(Passport::of(place.path(), NodeId(3), Use::Records).unwrap(), first);
        let error = Passport::of(place.path(), NodeId(2), Use::Empty).unwrap_err().to_string();
        assert!(error.contains("node 3, not of 2"), "{error}");

        let reborn = Passport { node: NodeId(3).reborn(), admitted: true, ..first };
        reborn.write(place.path()).unwrap();
        let found = Passport::of(place.path(), NodeId(3), Use::Empty).unwrap();
        assert!(found == reborn && found.is_reborn(), "the command line names the place");
    }

    #[test]
    fn records_from_before_there_were_passports_may_go_on() {
        let place = tempfile::tempdir().unwrap();
        assert!(Passport::of(place.path(), NodeId(1), Use::Records).unwrap().admitted);
    }

    #[test]
    fn a_name_belongs_to_one_disk_for_ever() {
        let place = tempfile::tempdir().unwrap();
        let (mine, other) = (DiskId::draw().unwrap(), DiskId::draw().unwrap());
        assert_ne!(mine, other);
        let meet = |disk| Acquaintances::of(place.path()).unwrap().meet(NodeId(3), disk).unwrap();
        assert_eq!(meet(&mine), Met::Known);
        assert_eq!(meet(&other), Met::Stranger);
        assert_eq!(meet(&mine), Met::Known, "restarts change nothing");
        let acquaintances = Acquaintances::of(place.path()).unwrap();
        assert_eq!(acquaintances.meet(NodeId(103), &other).unwrap(), Met::Known);
    }

    #[test]
    fn a_later_life_uses_the_earlier_names_up() {
        let place = tempfile::tempdir().unwrap();
        let acquaintances = Acquaintances::of(place.path()).unwrap();
        let (first, second) = (DiskId::draw().unwrap(), DiskId::draw().unwrap());
        assert_eq!(acquaintances.meet(NodeId(103), &second).unwrap(), Met::Known);
        assert_eq!(acquaintances.meet(NodeId(3), &first).unwrap(), Met::Stranger);
        assert_eq!(acquaintances.meet(NodeId(203), &first).unwrap(), Met::Known);
        assert_eq!(acquaintances.meet(NodeId(4), &first).unwrap(), Met::Known, "another place");
    }

    #[test]
    fn a_disks_number_from_the_wire_is_checked() {
        let disk = DiskId::draw().unwrap();
        assert_eq!(DiskId::from_wire(&disk.to_string()), Some(disk));
        for bad in ["", "abc", "zz000000000000000000000000000000"] {
            assert_eq!(DiskId::from_wire(bad), None, "{bad}");
        }
    }
}
