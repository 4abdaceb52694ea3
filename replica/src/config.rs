//! What a replica is told at its start, and why it may end.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use consensus_core::{Settings, SettingsError, storage::StorageError};
use faults::LinkRules;
use serde::{Deserialize, Serialize};

use crate::{
    security::Security,
    storage::{StorageKind, replace},
};

/// The file in the data directory that says where the replica listens.
pub const ADDRESS_FILE: &str = "address.json";

/// One replica.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// The replica, its members, and the protocol's parameters.
    pub settings: Settings,
    /// The cluster's name: replicas and gossip of other clusters are refused.
    pub cluster: String,
    /// Where to listen.
    pub listen: Listen,
    /// The address under which others reach this host; needed if `listen` is unspecified.
    pub advertise: Option<IpAddr>,
    /// Gossip addresses of others, HOST:PORT, of whom one must be there. Names are looked up again and
    /// again.
    pub seeds: Vec<String>,
    /// The data directory.
    pub data: PathBuf,
    /// How long the data directory may still be held by another process at the start.
    pub data_patience: Duration,
    /// What holds the log in it.
    pub storage: StorageKind,
    /// What peers speak.
    pub security: Security,
    /// The root of the replica's draws.
    pub seed: u64,
    /// Link faults in force from the first packet on.
    pub links: Option<LinkRules>,
    /// Whether and how the state is sampled into `samples.jsonl`.
    pub sampling: Option<Sampling>,
    /// What the parent's end means.
    pub parent: Parent,
}

impl ReplicaConfig {
    /// A replica on loopback, on free ports, with sled.
    pub fn new(settings: Settings, data: PathBuf) -> Self {
        Self {
            settings,
            cluster: "lab".to_owned(),
            listen: Listen::default(),
            advertise: None,
            seeds: Vec::new(),
            data,
            data_patience: Duration::ZERO,
            storage: StorageKind::default(),
            security: Security::Plain,
            seed: 1,
            links: None,
            sampling: None,
            parent: Parent::Outlive,
        }
    }
}

/// Where to listen. Port 0 takes a free one, and so does a port that is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    /// HTTP, for clients and the administrator.
    pub client: SocketAddr,
    /// gRPC, for peers.
    pub peer: SocketAddr,
    /// UDP, for gossip.
    pub gossip: SocketAddr,
}

impl Default for Listen {
    fn default() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { client: free, peer: free, gossip: free }
    }
}

/// Where a replica or gateway is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Addresses {
    /// HTTP, for clients and the administrator.
    pub client: SocketAddr,
    /// gRPC, for peers; the gateway has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// UDP, for gossip.
    pub gossip: SocketAddr,
}

impl Addresses {
    /// Writes them to [`ADDRESS_FILE`], which appears whole.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), StorageError> {
        let json = serde_json::to_vec(self).expect("addresses are plain JSON");
        replace(&directory.join(ADDRESS_FILE), &json)
    }
}

/// How the replica's state is sampled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sampling {
    /// How often.
    pub every: Duration,
    /// A key whose value is part of the sample.
    pub key: Option<String>,
}

/// What the end of the parent process means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Parent {
    /// Nothing.
    #[default]
    Outlive,
    /// This process, whose parent has this number, is killed too (`PR_SET_PDEATHSIG`). Strictly, the
    /// signal comes with the end of the *thread* that started this process.
    DieWith(u32),
}

/// Why a replica or gateway ended, other than in peace.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The parameters cannot work.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The storage failed; what was acknowledged is on the disk, and nothing more may be.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A socket could not be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// An unspecified address was to be listened on, and nothing says how others reach it.
    #[error("{0} is no address that others can reach: say which one to advertise")]
    Advertise(SocketAddr),
    /// Gossip refused its parameters.
    #[error(transparent)]
    Gossip(#[from] gossip::Error),
    /// No HTTP client could be made.
    #[error("cannot make an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// The operating system refused something else.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A thread panicked: an invariant does not hold.
    #[error("the {0} thread panicked; its message is in the log")]
    Panicked(&'static str),
}
