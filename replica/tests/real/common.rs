//! A real cluster in one process: real sockets, real disks, real time.

use std::{
    collections::BTreeMap,
    fs,
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use consensus_core::{NodeId, Protocol, Settings, history};
use consensus_raft::Raft;
use faults::LinkRules;
use futures::future::BoxFuture;
use replica::{
    ADDRESS_FILE, Addresses, ReplicaConfig, ReplicaError,
    client::{Client, ClientOptions, Performed},
    http::server::Report,
    security::Security,
    storage::StorageKind,
};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

type Run = fn(ReplicaConfig) -> BoxFuture<'static, Result<(), ReplicaError>>;

pub struct Cluster {
    run: Run,
    pub place: TempDir,
    pub storage: StorageKind,
    members: Vec<NodeId>,
    /// What the replicas speak to each other.
    pub security: Security,
    /// What differs from the defaults.
    adjust: fn(&mut Settings),
    running: BTreeMap<NodeId, (Addresses, JoinHandle<Result<(), ReplicaError>>)>,
    pub http: reqwest::Client,
}

/// Asks again and again until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Cluster {
    /// A cluster of Raft: what is tested with it is the same for every protocol.
    pub async fn start(size: u64, storage: StorageKind) -> Self {
        Self::start_of::<Raft>(size, storage).await
    }

    pub async fn start_of<P: Protocol>(size: u64, storage: StorageKind) -> Self {
        Self::start_adjusted::<P>(size, storage, |_| {}).await
    }

    pub async fn start_adjusted<P: Protocol>(
        size: u64,
        storage: StorageKind,
        adjust: fn(&mut Settings),
    ) -> Self {
        let run: Run = |config| Box::pin(replica::run::<P>(config));
        let mut cluster = Self { run, adjust, ..Self::of(size, storage) };
        for node in 1..=size {
            cluster.start_one(node).await;
        }
        cluster
    }

    /// A cluster of Raft of which nobody is started yet.
    pub fn of(size: u64, storage: StorageKind) -> Self {
        Self {
            run: |config| Box::pin(replica::run::<Raft>(config)),
            place: tempfile::tempdir().unwrap(),
            storage,
            members: (1..=size).map(NodeId).collect(),
            security: Security::Plain,
            adjust: |_| {},
            running: BTreeMap::new(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub fn config(&self, node: u64) -> ReplicaConfig {
        let mut settings = Settings::new(NodeId(node), self.members.clone());
        (self.adjust)(&mut settings);
        let seeds = self.gossip_seeds().into_iter().take(1).collect();
        ReplicaConfig {
            storage: self.storage,
            security: self.security.clone(),
            seeds,
            ..ReplicaConfig::new(settings, self.directory(node))
        }
    }

    pub fn directory(&self, node: u64) -> PathBuf {
        self.place.path().join(node.to_string())
    }

    pub async fn start_one(&mut self, node: u64) {
        self.start_with(node, self.config(node)).await;
    }

    pub async fn start_with(&mut self, node: u64, config: ReplicaConfig) {
        let file = self.directory(node).join(ADDRESS_FILE);
        let _ = fs::remove_file(&file);
        let task = tokio::spawn((self.run)(config));
        let addresses = eventually("the replica's addresses", async || {
            serde_json::from_slice(&fs::read(&file).ok()?).ok()
        });
        self.running.insert(NodeId(node), (addresses.await, task));
    }

    pub fn address(&self, node: u64) -> SocketAddr {
        self.running[&NodeId(node)].0.client
    }

    pub fn gossip_seeds(&self) -> Vec<String> {
        self.running.values().map(|(addresses, _)| addresses.gossip.to_string()).collect()
    }

    pub fn nodes(&self) -> Vec<u64> {
        self.running.keys().map(|node| node.0).collect()
    }

    pub async fn stop_one(&mut self, node: u64) {
        let (addresses, task) = self.running.remove(&NodeId(node)).unwrap();
        let url = format!("http://{}/admin/stop", addresses.client);
        self.http.post(url).send().await.unwrap();
        task.await.unwrap().unwrap();
    }

    pub async fn ask<T: DeserializeOwned>(&self, node: u64, path: &str) -> Option<T> {
        let url = format!("http://{}{path}", self.address(node));
        self.http.get(url).send().await.ok()?.json().await.ok()
    }

    pub async fn report(&self, node: u64) -> Option<Report> {
        self.ask(node, "/v1/status?key=x").await
    }

    /// The one that the replicas among `nodes` agree on, and that is one of them.
    pub async fn leader_among(&self, nodes: &[u64]) -> u64 {
        eventually("a leader", async || {
            let mut leaders = Vec::new();
            for &node in nodes {
                leaders.push(self.report(node).await?.status.leader?.0);
            }
            leaders.dedup();
            (leaders.len() == 1 && nodes.contains(&leaders[0])).then(|| leaders[0])
        })
        .await
    }

    pub async fn leader(&self) -> u64 {
        self.leader_among(&self.nodes()).await
    }

    pub fn client(&self) -> Client {
        let address = |(&node, (addresses, _)): (&NodeId, &(Addresses, _))| {
            (node, addresses.client.to_string())
        };
        let options = ClientOptions { deadline: PATIENCE, ..ClientOptions::default() };
        Client::new(self.running.iter().map(address), options).unwrap()
    }

    pub async fn set_links(&self, rules: &LinkRules) {
        for node in self.nodes() {
            let url = format!("http://{}/admin/links", self.address(node));
            let answer = self.http.put(url).json(rules).send().await.unwrap();
            assert!(answer.status().is_success(), "{answer:?}");
        }
    }
}

/// What a successful operation said: whether it changed anything, and what the key held.
pub fn ok(performed: Performed) -> (bool, Option<String>) {
    match performed.outcome {
        history::Outcome::Ok { changed, held, .. } => (changed, held),
        other => panic!("{other:?}"),
    }
}

pub fn put(value: &str) -> history::Call {
    history::Call::Put(value.to_owned())
}
