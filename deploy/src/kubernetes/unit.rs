//! One life of a replica in a pod: from when the pod runs until it ends.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use consensus_core::NodeId;
use kube::ResourceExt as _;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout, timeout_at},
};

use super::{
    CLIENT_PORT, GOSSIP_PORT, PEER_PORT, REPLICA,
    agent::Errand,
    evidence::Keeper,
    exec,
    forward::Forward,
    logs::Logs,
    pods::{self, Pods, Seen},
};
use crate::site::{Addresses, Exit, LogTail, Part, Unit};

/// How long a pod may take until it runs, before it is hurt.
const BEGIN_LIMIT: Duration = Duration::from_secs(60);

/// How long the API server may take to tell that a container ended.
const TELL_LIMIT: Duration = Duration::from_secs(10);

/// How soon it is looked again whether somebody listens who has just been started.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long one look may take.
const LOOK_LIMIT: Duration = Duration::from_millis(500);

/// A pod that is waited for or there, with whatever has become of it.
#[derive(Debug)]
pub struct ReplicaPod {
    node: NodeId,
    name: String,
    pods: Pods,
    keeper: Keeper,
    log: PathBuf,
    state: watch::Receiver<State>,
    _following: JoinSet<()>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Starting,
    Running(Found),
    Listening(Found, Addresses),
    Ended(End),
}

/// A pod that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Found {
    uid: String,
    address: IpAddr,
    restarts: i32,
}

/// The end of a life.
#[derive(Clone, PartialEq, Eq, Debug)]
struct End {
    at: Instant,
    how: String,
}

impl ReplicaPod {
    /// Follows the pod of this replica to its end, once one runs that was not ended before. Returns at once.
    pub(super) fn follow(node: NodeId, pods: &Pods, keeper: &Keeper, logs: &Logs) -> Self {
        let (name, part) = (pod_name(node.place()), Part::Replica(node));
        let (teller, state) = watch::channel(State::Starting);
        let life =
            Life { name: name.clone(), pods: pods.clone(), logs: logs.clone(), part, teller };
        let mut following = JoinSet::new();
        following.spawn(life.live());
        let (pods, keeper, log) = (pods.clone(), keeper.clone(), logs.path(part));
        Self { node, name, pods, keeper, log, state, _following: following }
    }

    /// The pod, once it runs: before, it cannot be hurt. `None` if it has ended.
    async fn begun(&mut self) -> Result<Option<Found>> {
        let name = &self.name;
        let begun = self.state.wait_for(|state| *state != State::Starting);
        let begun = timeout(BEGIN_LIMIT, begun).await;
        let begun = begun.with_context(|| format!("the pod {name} does not run"))?;
        match &*begun.with_context(|| format!("nobody follows the pod {name}"))? {
            State::Running(found) | State::Listening(found, _) => Ok(Some(found.clone())),
            State::Ended(_) | State::Starting => Ok(None),
        }
    }

    async fn end(&mut self) -> Result<End> {
        let ended = self.state.wait_for(|state| matches!(state, State::Ended(_))).await;
        let ended = ended.with_context(|| format!("nobody follows the pod {}", self.name))?;
        match &*ended {
            State::Ended(end) => Ok(end.clone()),
            _ => unreachable!("it was waited for"),
        }
    }

    /// Kills it in a way that says when it was dead, and deletes its pod.
    async fn kill_by(
        &mut self,
        way: impl Future<Output = Result<Instant>>,
        found: &Found,
    ) -> Result<Instant> {
        let killed = way.await;
        self.pods.spend(&found.uid);
        let at = match killed {
            Ok(at) => at,
            // Whoever has ended meanwhile cannot be killed.
            Err(error) => timeout(TELL_LIMIT, self.end()).await.map_err(|_| error)??.at,
        };
        self.pods.delete_at_once(&self.name, &found.uid).await?;
        Ok(at)
    }

    async fn errand(&mut self, errand: Errand) -> Result<()> {
        match self.begun().await? {
            Some(_) => exec::send(self.pods.api(), &self.name, errand).await.map(|_| ()),
            None => Ok(()),
        }
    }
}

impl Unit for ReplicaPod {
    async fn addresses(&mut self) -> Result<Option<Addresses>> {
        Ok(match &*self.state.borrow() {
            State::Listening(_, addresses) => Some(*addresses),
            _ => None,
        })
    }

    async fn kill(&mut self) -> Result<Instant> {
        let Some(found) = self.begun().await? else { return Ok(self.end().await?.at) };
        let (pods, name) = (self.pods.clone(), self.name.clone());
        self.kill_by(async move { exec::send(pods.api(), &name, Errand::Kill).await }, &found).await
    }

    async fn kill_for_good(&mut self) -> Result<Instant> {
        let found = self.begun().await?;
        let found = found.with_context(|| {
            format!("replica {} ended before what was on its disk was fetched", self.node)
        })?;
        let (keeper, pods, name, node) =
            (self.keeper.clone(), self.pods.clone(), self.name.clone(), self.node);
        self.kill_by(async move { keeper.seize(pods.api(), &name, node).await }, &found).await
    }

    async fn terminate(&mut self) -> Result<()> {
        let Some(found) = self.begun().await? else { return Ok(()) };
        self.pods.spend(&found.uid);
        self.pods.delete_in_peace(&self.name, &found.uid).await
    }

    async fn end_by(&mut self, patience: Instant) -> Result<()> {
        if timeout_at(patience.into(), self.end()).await.is_err() {
            self.kill().await?;
        }
        Ok(())
    }

    async fn pause(&mut self) -> Result<()> {
        self.errand(Errand::Freeze).await
    }

    async fn resume(&mut self) -> Result<()> {
        self.errand(Errand::Thaw).await
    }

    fn exit(&mut self) -> Option<Exit> {
        match &*self.state.borrow() {
            State::Ended(End { how, .. }) => {
                let log = match self.log.is_file() {
                    true => crate::log::tail(&self.log),
                    false => LogTail { path: self.log.clone(), lines: Vec::new() },
                };
                Some(Exit { part: Part::Replica(self.node), how: how.clone(), log })
            }
            _ => None,
        }
    }
}

/// A replica in its pod, or the gateways, which are nobody in particular.
#[derive(Debug)]
pub enum KubernetesUnit {
    /// A replica.
    Replica(Box<ReplicaPod>),
    /// The gateways, behind their Service. They end with the site's retirement.
    Gateway(Addresses),
}

impl Unit for KubernetesUnit {
    async fn addresses(&mut self) -> Result<Option<Addresses>> {
        match self {
            Self::Replica(pod) => pod.addresses().await,
            Self::Gateway(addresses) => Ok(Some(*addresses)),
        }
    }

    async fn kill(&mut self) -> Result<Instant> {
        match self {
            Self::Replica(pod) => pod.kill().await,
            Self::Gateway(_) => Ok(Instant::now()),
        }
    }

    async fn kill_for_good(&mut self) -> Result<Instant> {
        match self {
            Self::Replica(pod) => pod.kill_for_good().await,
            Self::Gateway(_) => Ok(Instant::now()),
        }
    }

    async fn terminate(&mut self) -> Result<()> {
        match self {
            Self::Replica(pod) => pod.terminate().await,
            Self::Gateway(_) => Ok(()),
        }
    }

    async fn end_by(&mut self, patience: Instant) -> Result<()> {
        match self {
            Self::Replica(pod) => pod.end_by(patience).await,
            Self::Gateway(_) => Ok(()),
        }
    }

    async fn pause(&mut self) -> Result<()> {
        match self {
            Self::Replica(pod) => pod.pause().await,
            Self::Gateway(_) => Ok(()),
        }
    }

    async fn resume(&mut self) -> Result<()> {
        match self {
            Self::Replica(pod) => pod.resume().await,
            Self::Gateway(_) => Ok(()),
        }
    }

    fn exit(&mut self) -> Option<Exit> {
        match self {
            Self::Replica(pod) => pod.exit(),
            Self::Gateway(_) => None,
        }
    }
}

/// Who follows a pod.
struct Life {
    part: Part,
    name: String,
    pods: Pods,
    logs: Logs,
    teller: watch::Sender<State>,
}

impl Life {
    async fn live(self) {
        let how = match self.pods.until(|seen| self.begins(seen)).await {
            Ok(Ok(found)) => self.run(found).await,
            Ok(Err(how)) => format!("it cannot run: {how}"),
            Err(error) => format!("{error:#}"),
        };
        self.teller.send_replace(State::Ended(End { at: Instant::now(), how }));
    }

    /// The pod that runs, or why none will.
    fn begins(&self, seen: &Seen) -> Option<Result<Found, String>> {
        let pod = seen.get(&self.name)?;
        let uid = pod.uid().filter(|uid| !self.pods.is_spent(uid))?;
        if let Some(why) = pods::hopeless(pod) {
            return Some(Err(why));
        }
        let address = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
        let restarts = pods::container(pod)?.restart_count;
        pods::runs(pod).then_some(Ok(Found { uid, address, restarts }))
    }

    /// Follows a pod that runs, and says how it ended.
    async fn run(&self, found: Found) -> String {
        self.teller.send_replace(State::Running(found.clone()));
        self.logs.follow(self.pods.api(), &self.name, self.part);
        let listening = async {
            match Forward::open(self.pods.api().clone(), &self.name, CLIENT_PORT).await {
                Ok(forward) => {
                    listens(forward.address()).await;
                    let addresses = addresses(&found, &forward);
                    self.teller.send_replace(State::Listening(found.clone(), addresses));
                    // It is carried to as long as it runs.
                    std::future::pending().await
                }
                Err(error) => format!("{error:#}"),
            }
        };
        let ended =
            self.pods.until(|seen| pods::ended(seen.get(&self.name), &found.uid, found.restarts));
        tokio::select! {
            ended = ended => ended.unwrap_or_else(|error| format!("{error:#}")),
            how = listening => how,
        }
    }
}

fn addresses(found: &Found, forward: &Forward) -> Addresses {
    let at = |port| SocketAddr::from((found.address, port));
    Addresses {
        client: at(CLIENT_PORT),
        peer: Some(at(PEER_PORT)),
        gossip: at(GOSSIP_PORT),
        forwarded: Some(forward.address()),
    }
}

/// Waits until somebody answers there.
async fn listens(at: SocketAddr) {
    let Ok(http) = reqwest::Client::builder().no_proxy().timeout(LOOK_LIMIT).build() else {
        return;
    };
    while http.get(format!("http://{at}/livez")).send().await.is_err() {
        sleep(LOOK_AGAIN).await;
    }
}

/// The pod of a place: node 3 is in `replica-2`.
pub(super) fn pod_name(place: NodeId) -> String {
    format!("{REPLICA}-{}", place.0.saturating_sub(1))
}
