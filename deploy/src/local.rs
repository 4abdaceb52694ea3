//! The local target: every replica a process of its own on loopback, with its own directory.

use std::{
    ffi::OsString,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result};
use consensus_core::NodeId;
use faults::LinkRules;
use nix::sys::signal::Signal;
use tokio::time::timeout_at;

use crate::{
    process::Process,
    secrets::Secrets,
    site::{ADDRESS_FILE, Addresses, Crossings, Evidence, Exit, Launch, Part, Site, Unit},
};

/// What to start.
#[derive(Clone, Debug)]
pub struct LocalSpec {
    /// The executable that starts itself again as a replica or a gateway.
    pub executable: PathBuf,
    /// Where data and logs go: `data/node-N` for each place, `logs/node-N.log`. A disk that was lost
    /// is put aside, as `data/node-N.lost-1`: what its replica did remains evidence.
    pub directory: PathBuf,
    /// What every replica is told, besides what is its own.
    pub replica_arguments: Vec<OsString>,
    /// What the gateway is told.
    pub gateway_arguments: Vec<OsString>,
    /// What only replicas may read; it is in `data/certificates`.
    pub secrets: Secrets,
}

/// This machine, and the run's directory on it.
#[derive(Debug)]
pub struct LocalSite {
    spec: LocalSpec,
    /// Disks that no process has any more, with the replicas that had them.
    lost: Vec<Evidence>,
    /// Whether link faults are in force, or were.
    has_rules: bool,
}

impl LocalSite {
    /// Makes the directories.
    pub fn new(spec: LocalSpec) -> Result<Self> {
        for folder in ["data", "logs"] {
            make(&spec.directory.join(folder))?;
        }
        if !spec.secrets.is_empty() {
            spec.secrets.write(&certificates(&spec))?;
        }
        Ok(Self { spec, lost: Vec::new(), has_rules: false })
    }

    fn data_directory(&self, node: NodeId) -> PathBuf {
        self.spec.directory.join("data").join(format!("node-{}", node.place()))
    }

    fn rules_file(&self) -> PathBuf {
        self.spec.directory.join("data").join("links.json")
    }

    fn replica_arguments(&self, node: NodeId, at: Option<Addresses>) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["replica".into()];
        arguments.extend(["--node".into(), node.place().to_string().into()]);
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (client, peer, gossip) = match at {
            Some(had) => (had.client, had.peer.unwrap_or(free), had.gossip),
            None => (free, free, free),
        };
        for (flag, address) in
            [("--client-address", client), ("--peer-address", peer), ("--gossip-address", gossip)]
        {
            arguments.extend([flag.into(), address.to_string().into()]);
        }
        if self.has_rules {
            arguments.extend(["--link-rules".into(), self.rules_file().into_os_string()]);
        }
        arguments.extend(self.spec.replica_arguments.iter().cloned());
        if !self.spec.secrets.is_empty() {
            arguments.extend(["--certificates".into(), certificates(&self.spec).into_os_string()]);
        }
        arguments
    }

    fn gateway_arguments(&self) -> Vec<OsString> {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string();
        let mut arguments: Vec<OsString> = vec!["gateway".into()];
        arguments.extend(["--client-address".into(), free.clone().into()]);
        arguments.extend(["--gossip-address".into(), free.into()]);
        arguments.extend(self.spec.gateway_arguments.iter().cloned());
        arguments
    }
}

impl Site for LocalSite {
    type Unit = LocalUnit;

    async fn start(&mut self, part: Part, launch: Launch) -> Result<LocalUnit> {
        let (name, directory, mut arguments) = match part {
            Part::Replica(node) => {
                let arguments = self.replica_arguments(node, launch.at);
                (format!("node-{node}"), self.data_directory(node), arguments)
            }
            Part::Gateway => {
                let directory = self.spec.directory.join("data").join("gateway");
                ("gateway".to_owned(), directory, self.gateway_arguments())
            }
        };
        make(&directory)?;
        let addresses = directory.join(ADDRESS_FILE);
        forget(&addresses)?;
        arguments.extend(["--data".into(), directory.into_os_string()]);
        for seed in launch.seeds {
            arguments.extend(["--seed-address".into(), seed.to_string().into()]);
        }
        let log = self.spec.directory.join("logs").join(format!("{name}.log"));
        let process = Process::start(part, &self.spec.executable, &arguments, &log)?;
        Ok(LocalUnit { process, addresses })
    }

    async fn lose_disk(&mut self, node: NodeId) -> Result<()> {
        let directory = self.data_directory(node);
        let aside = directory.with_extension(format!("lost-{}", self.lost.len() + 1));
        fs::rename(&directory, &aside)
            .with_context(|| format!("cannot put {} aside", directory.display()))?;
        self.lost.push(Evidence { node, directory: aside });
        Ok(())
    }

    async fn set_links(&mut self, rules: &LinkRules) -> Result<LinkRules> {
        let text = serde_json::to_vec(rules).context("link rules are plain data")?;
        let path = self.rules_file();
        fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        self.has_rules = true;
        Ok(rules.clone())
    }

    async fn crossings(&self) -> Result<Option<Crossings>> {
        Ok(None)
    }

    async fn evidence(&mut self, nodes: &[NodeId]) -> Result<Vec<Evidence>> {
        let present = nodes
            .iter()
            .map(|&node| Evidence { node, directory: self.data_directory(node) })
            .collect::<Vec<_>>();
        Ok(self.lost.iter().cloned().chain(present).collect())
    }

    async fn clear(&mut self) -> Result<()> {
        // Processes end with whoever holds them, and nothing else was made.
        Ok(())
    }
}

/// One process. It is killed when this is dropped.
#[derive(Debug)]
pub struct LocalUnit {
    process: Process,
    addresses: PathBuf,
}

impl Unit for LocalUnit {
    async fn addresses(&mut self) -> Result<Option<Addresses>> {
        // The file appears whole: it is written under another name first.
        let Ok(text) = fs::read(&self.addresses) else { return Ok(None) };
        let addresses = serde_json::from_slice(&text)
            .with_context(|| format!("{} does not name addresses", self.addresses.display()))?;
        Ok(Some(addresses))
    }

    async fn kill(&mut self) -> Result<Instant> {
        self.process.signal(Signal::SIGKILL)?;
        // From here on it does nothing any more, whenever its end is told.
        let at = Instant::now();
        self.process.ended().await?;
        Ok(at)
    }

    async fn terminate(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)
    }

    async fn end_by(&mut self, patience: Instant) -> Result<()> {
        if timeout_at(patience.into(), self.process.ended()).await.is_err() {
            self.kill().await?;
        }
        Ok(())
    }

    async fn pause(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    async fn resume(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    fn exit(&mut self) -> Option<Exit> {
        self.process.exit()
    }
}

fn certificates(spec: &LocalSpec) -> PathBuf {
    spec.directory.join("data").join("certificates")
}

fn make(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))
}

fn forget(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}
