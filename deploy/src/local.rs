//! The local target: every replica a process of its own on loopback, with its own directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use consensus_core::NodeId;
use faults::LinkRules;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};

use crate::process::{Exit, Process};

/// How long a replica may take from its start until it has written its addresses.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long a replica may take to stop in peace before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How often a starting replica is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// The file in which a replica says where it listens.
const ADDRESS_FILE: &str = "address.json";

/// What to start.
#[derive(Clone, Debug)]
pub struct LocalSpec {
    /// The executable that starts itself again as a replica or a gateway.
    pub executable: PathBuf,
    /// Where data and logs go: `data/node-N` for each place, `logs/node-N.log`. A disk that was lost
    /// is put aside, as `data/node-N.lost-1`: what its replica did remains evidence.
    pub directory: PathBuf,
    /// The replicas. The first is every other's gossip seed.
    pub members: Vec<NodeId>,
    /// What every replica is told, besides what is its own.
    pub replica_arguments: Vec<OsString>,
    /// What the gateway is told; `None` for a cluster without one.
    pub gateway_arguments: Option<Vec<OsString>>,
}

/// Where a replica or gateway listens.
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

/// A running cluster of local processes. All of them are killed when this is dropped.
#[derive(Debug)]
pub struct LocalCluster {
    spec: LocalSpec,
    replicas: BTreeMap<NodeId, Process>,
    /// Started, but not yet listening.
    starting: BTreeSet<NodeId>,
    /// Asked to stop, but not yet ended.
    leaving: BTreeMap<NodeId, Process>,
    paused: BTreeSet<NodeId>,
    addresses: BTreeMap<NodeId, Addresses>,
    /// Whoever is started in these places next is found at other addresses.
    moving: BTreeSet<NodeId>,
    /// Disks that no process has any more, with the replicas that had them.
    lost: Vec<(NodeId, PathBuf)>,
    gateway: Option<(Process, Addresses)>,
    rules: Option<LinkRules>,
    http: reqwest::Client,
}

impl LocalCluster {
    /// Starts every replica, and the gateway if one is asked for, and waits until each listens.
    /// Only the first replica's gossip address is known to the others.
    pub async fn start(spec: LocalSpec) -> Result<Self> {
        for folder in ["data", "logs"] {
            let path = spec.directory.join(folder);
            fs::create_dir_all(&path)
                .with_context(|| format!("cannot create {}", path.display()))?;
        }
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        let mut cluster = Self {
            spec,
            replicas: BTreeMap::new(),
            starting: BTreeSet::new(),
            leaving: BTreeMap::new(),
            paused: BTreeSet::new(),
            addresses: BTreeMap::new(),
            moving: BTreeSet::new(),
            lost: Vec::new(),
            gateway: None,
            rules: None,
            http,
        };
        let members = cluster.spec.members.clone();
        let (first, others) =
            members.split_first().context("a cluster has at least one replica")?;
        cluster.start_replicas(&[*first]).await?;
        cluster.start_replicas(others).await?;
        cluster.start_gateway().await?;
        Ok(cluster)
    }

    /// Starts replicas that are down, from the disks they left, at the addresses they had if those
    /// are still free. Returns at once; [`arrivals`](Self::arrivals) tells when they listen.
    pub async fn launch(&mut self, nodes: &[NodeId]) -> Result<()> {
        for &node in nodes {
            if let Some(mut leaving) = self.leaving.remove(&node) {
                end_in_peace(&mut leaving).await?;
            }
            // Whoever moves while nobody is where it was must be there before the others ask for it.
            let first = self.moving.contains(&node) && !self.is_anybody_in_place();
            self.spawn_replica(node)?;
            if first {
                let file = self.data_directory(node).join(ADDRESS_FILE);
                let process = self.replicas.get_mut(&node).context("it was started just now")?;
                self.addresses.insert(node, wait_for_addresses(process, &file).await?);
            }
        }
        Ok(())
    }

    /// Whether any replica listens where the others were told that it does.
    fn is_anybody_in_place(&self) -> bool {
        self.replicas.keys().any(|node| !self.starting.contains(node))
    }

    /// Starts replicas on empty disks, each in its [place](NodeId::place): by the same command line
    /// as whoever was there before, who is killed, and whose disk is lost. One that comes back there
    /// finds its new name by itself. Returns at once, as [`launch`](Self::launch) does.
    pub async fn deploy(&mut self, nodes: &[NodeId]) -> Result<()> {
        for &node in nodes {
            let here = |other: &NodeId| other.place() == node.place();
            let before: Vec<_> = self.addresses.keys().copied().filter(here).collect();
            self.crash(&before).await?;
            let directory = self.data_directory(node);
            if let Some(&last) = before.last() {
                let aside = directory.with_extension(format!("lost-{}", self.lost.len() + 1));
                fs::rename(&directory, &aside)
                    .with_context(|| format!("cannot put {} aside", directory.display()))?;
                self.lost.push((last, aside));
            }
            self.addresses.retain(|other, _| !here(other));
            self.spawn_replica(node)?;
        }
        Ok(())
    }

    /// The replicas that began to listen since the last call.
    pub async fn arrivals(&mut self) -> Result<Vec<NodeId>> {
        let mut arrived = Vec::new();
        for &node in &self.starting {
            let file = self.data_directory(node).join(ADDRESS_FILE);
            if let Some(addresses) = read_addresses(&file)? {
                self.addresses.insert(node, addresses);
                arrived.push(node);
            }
        }
        self.starting.retain(|node| !arrived.contains(node));
        if let Some(rules) = self.rules.clone().filter(|_| !arrived.is_empty()) {
            // They may have read the rules of an earlier moment.
            self.push_links(&rules, &arrived).await?;
        }
        Ok(arrived)
    }

    /// Starts replicas and waits until they listen.
    pub async fn start_replicas(&mut self, nodes: &[NodeId]) -> Result<()> {
        self.launch(nodes).await?;
        let since = Instant::now();
        while !self.starting.is_empty() {
            self.arrivals().await?;
            if let Some(exit) = self.exits().first() {
                bail!("{exit}");
            }
            if since.elapsed() > START_LIMIT {
                bail!("not every replica listens after {START_LIMIT:?}");
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Kills replicas with SIGKILL. All of them are dead on return.
    pub async fn crash(&mut self, nodes: &[NodeId]) -> Result<()> {
        for node in nodes {
            if let Some(process) = self.replicas.get(node) {
                process.signal(Signal::SIGKILL)?;
            }
        }
        for node in nodes {
            if let Some(mut process) = self.replicas.remove(node) {
                process.ended().await?;
            }
            self.paused.remove(node);
            self.starting.remove(node);
        }
        Ok(())
    }

    /// Kills replicas, if they run, and lets whoever is started in their places listen elsewhere.
    pub async fn delete(&mut self, nodes: &[NodeId]) -> Result<()> {
        self.moving.extend(nodes);
        self.crash(nodes).await
    }

    /// Asks replicas to stop in peace. Returns at once; they are waited for when they are started
    /// again or when the cluster is shut down.
    pub fn stop(&mut self, nodes: &[NodeId]) -> Result<()> {
        self.resume(nodes)?;
        for node in nodes {
            if let Some(process) = self.replicas.remove(node) {
                process.signal(Signal::SIGTERM)?;
                self.leaving.insert(*node, process);
                self.starting.remove(node);
            }
        }
        Ok(())
    }

    /// Freezes replicas with SIGSTOP: they keep their connections and answer nothing.
    pub fn pause(&mut self, nodes: &[NodeId]) -> Result<()> {
        for node in nodes {
            if let Some(process) = self.replicas.get(node) {
                process.signal(Signal::SIGSTOP)?;
                self.paused.insert(*node);
            }
        }
        Ok(())
    }

    /// Lets paused replicas go on.
    pub fn resume(&mut self, nodes: &[NodeId]) -> Result<()> {
        for node in nodes {
            if self.paused.remove(node)
                && let Some(process) = self.replicas.get(node)
            {
                process.signal(Signal::SIGCONT)?;
            }
        }
        Ok(())
    }

    /// Hands the link faults in force to every replica, and keeps them for those that start later.
    ///
    /// A paused replica takes them once it goes on; the connection waits for it in the background.
    pub async fn set_links(&mut self, rules: LinkRules) -> Result<()> {
        let text = serde_json::to_vec(&rules).context("link rules are plain data")?;
        let path = self.rules_file();
        fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        let listening: Vec<_> =
            self.running().filter(|node| !self.starting.contains(node)).collect();
        self.push_links(&rules, &listening).await?;
        self.rules = Some(rules);
        Ok(())
    }

    async fn push_links(&self, rules: &LinkRules, nodes: &[NodeId]) -> Result<()> {
        let mut awake = Vec::new();
        for node in nodes {
            let url = format!("http://{}/admin/links", self.addresses[node].client);
            let put = self.http.put(url).json(rules);
            if self.paused.contains(node) {
                tokio::spawn(put.timeout(Duration::from_secs(60)).send());
            } else {
                awake.push((*node, tokio::spawn(put.send())));
            }
        }
        for (node, answer) in awake {
            let answer = answer.await.context("the request was cancelled")?;
            let answer = answer.with_context(|| format!("replica {node} takes no link faults"))?;
            if !answer.status().is_success() {
                bail!("replica {node} refuses the link faults: {}", answer.text().await?);
            }
        }
        Ok(())
    }

    /// Where each replica listens, or last listened.
    pub const fn addresses(&self) -> &BTreeMap<NodeId, Addresses> {
        &self.addresses
    }

    /// Where the gateway takes requests.
    pub fn gateway(&self) -> Option<SocketAddr> {
        self.gateway.as_ref().map(|(_, addresses)| addresses.client)
    }

    /// The replicas that run, paused ones among them.
    pub fn running(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.replicas.keys().copied()
    }

    /// A replica's directory: that of its place.
    pub fn data_directory(&self, node: NodeId) -> PathBuf {
        self.spec.directory.join("data").join(format!("node-{}", node.place()))
    }

    /// The directories of all replicas that there ever were, lost ones first.
    pub fn data_directories(&self) -> Vec<(NodeId, PathBuf)> {
        let present = self.addresses.keys().map(|&node| (node, self.data_directory(node)));
        self.lost.iter().cloned().chain(present).collect()
    }

    /// The processes that ended although nobody ended them.
    pub fn exits(&mut self) -> Vec<Exit> {
        let replicas = self.replicas.values_mut();
        let gateway = self.gateway.iter_mut().map(|(process, _)| process);
        replicas.chain(gateway).filter_map(Process::exit).collect()
    }

    /// Stops everything in peace.
    pub async fn shut_down(&mut self) -> Result<()> {
        if let Some((mut gateway, _)) = self.gateway.take() {
            gateway.signal(Signal::SIGTERM)?;
            end_in_peace(&mut gateway).await?;
        }
        let nodes: Vec<_> = self.running().collect();
        self.stop(&nodes)?;
        // All of them were asked already, so they end side by side.
        let mut leaving = std::mem::take(&mut self.leaving);
        let patience = Instant::now() + STOP_LIMIT;
        for process in leaving.values_mut() {
            end_by(process, patience).await?;
        }
        Ok(())
    }

    fn spawn_replica(&mut self, node: NodeId) -> Result<()> {
        let directory = self.data_directory(node);
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        forget(&directory.join(ADDRESS_FILE))?;
        let mut arguments: Vec<OsString> = vec!["replica".into()];
        arguments.extend(["--node".into(), node.place().to_string().into()]);
        arguments.extend(["--data".into(), directory.into_os_string()]);
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let stays = !self.moving.remove(&node);
        let (client, peer, gossip) = match self.addresses.get(&node).filter(|_| stays) {
            Some(had) => (had.client, had.peer.unwrap_or(free), had.gossip),
            None => (free, free, free),
        };
        for (flag, address) in
            [("--client-address", client), ("--peer-address", peer), ("--gossip-address", gossip)]
        {
            arguments.extend([flag.into(), address.to_string().into()]);
        }
        for seed in self.seeds(node) {
            arguments.extend(["--seed-address".into(), seed.to_string().into()]);
        }
        if self.rules.is_some() {
            arguments.extend(["--link-rules".into(), self.rules_file().into_os_string()]);
        }
        arguments.extend(self.spec.replica_arguments.iter().cloned());
        let log = self.spec.directory.join("logs").join(format!("node-{node}.log"));
        let name = format!("replica {node}");
        let process = Process::start(name, &self.spec.executable, &arguments, &log)?;
        self.replicas.insert(node, process);
        self.starting.insert(node);
        Ok(())
    }

    async fn start_gateway(&mut self) -> Result<()> {
        let Some(given) = self.spec.gateway_arguments.clone() else { return Ok(()) };
        let directory = self.spec.directory.join("data").join("gateway");
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let file = directory.join(ADDRESS_FILE);
        forget(&file)?;
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string();
        let mut arguments: Vec<OsString> = vec!["gateway".into(), "--data".into()];
        arguments.push(directory.into_os_string());
        arguments.extend(["--client-address".into(), free.clone().into()]);
        arguments.extend(["--gossip-address".into(), free.into()]);
        let first = self.addresses.get(&self.spec.members[0]);
        let first = first.context("the first replica was started before the gateway")?;
        arguments.extend(["--seed-address".into(), first.gossip.to_string().into()]);
        arguments.extend(given);
        let log = self.spec.directory.join("logs").join("gateway.log");
        let mut process =
            Process::start("gateway".into(), &self.spec.executable, &arguments, &log)?;
        let addresses = wait_for_addresses(&mut process, &file).await?;
        self.gateway = Some((process, addresses));
        Ok(())
    }

    /// Whom a replica asks first for the others: at the cluster's first start, the first replica; when
    /// it comes later, or comes back, all that there are, for the first may be gone, and its own port may be another now.
    fn seeds(&self, node: NodeId) -> Vec<SocketAddr> {
        let is_member = self.spec.members.contains(&node);
        let first_start = is_member && !self.addresses.contains_key(&node);
        let others = self.addresses.iter().filter(|(other, _)| **other != node);
        let asked = others.filter(|(other, _)| !first_start || **other == self.spec.members[0]);
        asked.map(|(_, addresses)| addresses.gossip).collect()
    }

    fn rules_file(&self) -> PathBuf {
        self.spec.directory.join("data").join("links.json")
    }
}

fn forget(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// Reads the addresses once they are there. The file appears whole: it is written under another
/// name first.
fn read_addresses(file: &Path) -> Result<Option<Addresses>> {
    let Ok(text) = fs::read(file) else { return Ok(None) };
    let addresses = serde_json::from_slice(&text)
        .with_context(|| format!("{} does not name addresses", file.display()))?;
    Ok(Some(addresses))
}

async fn wait_for_addresses(process: &mut Process, file: &Path) -> Result<Addresses> {
    let since = Instant::now();
    loop {
        if let Some(addresses) = read_addresses(file)? {
            return Ok(addresses);
        }
        if let Some(exit) = process.exit() {
            bail!("{exit}");
        }
        if since.elapsed() > START_LIMIT {
            bail!("{} did not appear within {START_LIMIT:?}", file.display());
        }
        sleep(POLL_INTERVAL).await;
    }
}

async fn end_in_peace(process: &mut Process) -> Result<()> {
    end_by(process, Instant::now() + STOP_LIMIT).await
}

/// Waits until a process that was asked to stop has ended, and kills it if it has not by then.
async fn end_by(process: &mut Process, patience: Instant) -> Result<()> {
    if timeout_at(patience, process.ended()).await.is_err() {
        process.signal(Signal::SIGKILL)?;
        process.ended().await?;
    }
    Ok(())
}
