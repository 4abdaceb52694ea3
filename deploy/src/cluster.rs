//! A cluster on any site: who runs, who starts, who leaves, who is frozen, and which links are hurt;
//! [hardware](crate::hardware) is about disks and clocks.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use consensus_core::NodeId;
use faults::LinkRules;
use futures::future::{join_all, try_join_all};
use tokio::time::sleep;

use crate::{
    hardware::Hardware,
    site::{Addresses, Evidence, Exit, Launch, Part, STOP_LIMIT, Site, Unit as _},
    tell::{Order, Teller},
};

/// How long a replica may take from its start until it listens.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How often a starting replica is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// A cluster, and what is being done to it.
#[derive(Debug)]
pub struct Cluster<S: Site> {
    site: S,
    /// The replicas of the first start. The first is every other's gossip seed.
    members: Vec<NodeId>,
    pub(crate) replicas: BTreeMap<NodeId, S::Unit>,
    /// Started, but not yet listening.
    pub(crate) starting: BTreeSet<NodeId>,
    /// Asked to stop, but not yet ended.
    leaving: BTreeMap<NodeId, S::Unit>,
    pub(crate) paused: BTreeSet<NodeId>,
    addresses: BTreeMap<NodeId, Addresses>,
    /// Whoever is started in these places next is found at other addresses.
    moving: BTreeSet<NodeId>,
    gateway: Option<(S::Unit, Addresses)>,
    /// What the replicas' link shims are to do.
    rules: Option<LinkRules>,
    /// What is wrong with disks and clocks.
    pub(crate) hardware: Hardware,
    teller: Teller,
}

impl<S: Site> Cluster<S> {
    /// A cluster of which nobody runs yet.
    pub fn new(site: S, members: Vec<NodeId>) -> Result<Self> {
        Ok(Self {
            site,
            members,
            replicas: BTreeMap::new(),
            starting: BTreeSet::new(),
            leaving: BTreeMap::new(),
            paused: BTreeSet::new(),
            addresses: BTreeMap::new(),
            moving: BTreeSet::new(),
            gateway: None,
            rules: None,
            hardware: Hardware::default(),
            teller: Teller::new()?,
        })
    }

    /// Where it runs.
    pub const fn site(&self) -> &S {
        &self.site
    }

    /// Where it runs.
    pub const fn site_mut(&mut self) -> &mut S {
        &mut self.site
    }

    /// Starts every replica, and waits until each listens. Only the first is known to the others.
    pub async fn start(&mut self) -> Result<()> {
        let members = self.members.clone();
        let (first, others) =
            members.split_first().context("a cluster has at least one replica")?;
        self.start_replicas(&[*first]).await?;
        self.start_replicas(others).await
    }

    /// Starts the gateway, and waits until it listens.
    pub async fn start_gateway(&mut self) -> Result<()> {
        let first = self.addresses.get(&self.members[0]);
        let first = first.context("the first replica is started before the gateway")?;
        let launch = Launch { seeds: vec![first.gossip], at: None };
        let mut unit = self.site.start(Part::Gateway, launch).await?;
        let addresses = listening::<S>(&mut unit).await?;
        self.gateway = Some((unit, addresses));
        Ok(())
    }

    /// Starts replicas that are down, from the disks they left, at the addresses they had if those
    /// are still free; who came back by itself is left as it is. Returns at once;
    /// [`arrivals`](Self::arrivals) tells when they listen.
    pub async fn launch(&mut self, nodes: &[NodeId]) -> Result<()> {
        for &node in nodes {
            if let Some(mut leaving) = self.leaving.remove(&node) {
                leaving.end_by(Instant::now() + STOP_LIMIT).await?;
            }
            if S::RETURNS && self.replicas.contains_key(&node) {
                continue;
            }
            // Whoever moves while nobody is where it was must be there before the others ask for it.
            let first = self.moving.contains(&node) && !self.is_anybody_in_place();
            self.start_replica(node).await?;
            if first {
                let unit = self.replicas.get_mut(&node).context("it was started just now")?;
                self.addresses.insert(node, listening::<S>(unit).await?);
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
            self.kill(&before, S::Unit::kill_for_good).await?;
            if let Some(&last) = before.last() {
                self.site.lose_disk(last).await?;
            }
            self.addresses.retain(|other, _| !here(other));
            self.start_replica(node).await?;
        }
        Ok(())
    }

    /// The replicas that began to listen since the last call.
    pub async fn arrivals(&mut self) -> Result<Vec<NodeId>> {
        let mut arrived = Vec::new();
        for &node in &self.starting {
            let Some(unit) = self.replicas.get_mut(&node) else { continue };
            if let Some(addresses) = unit.addresses().await? {
                self.addresses.insert(node, addresses);
                arrived.push(node);
            }
        }
        self.starting.retain(|node| !arrived.contains(node));
        if let Some(rules) = self.rules.clone().filter(|_| !arrived.is_empty()) {
            // They may have read the rules of an earlier moment.
            self.tell(&Order::Links(rules), &arrived).await?;
        }
        self.tell_newcomers(&arrived).await?;
        Ok(arrived)
    }

    /// Starts replicas and waits until they listen.
    async fn start_replicas(&mut self, nodes: &[NodeId]) -> Result<()> {
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

    /// Kills replicas, and says when the last of them was dead. All of them are dead on return; where
    /// nobody can be held away, their successors are followed at once.
    pub async fn crash(&mut self, nodes: &[NodeId]) -> Result<Instant> {
        let present: Vec<_> =
            nodes.iter().copied().filter(|node| self.replicas.contains_key(node)).collect();
        let dead = self.kill(nodes, S::Unit::kill).await?;
        self.follow_successors(&present).await?;
        Ok(dead)
    }

    /// Those who ended come back by themselves, if they do so at all here.
    pub(crate) async fn follow_successors(&mut self, nodes: &[NodeId]) -> Result<()> {
        if S::RETURNS {
            for &node in nodes {
                self.start_replica(node).await?;
            }
        }
        Ok(())
    }

    async fn kill(
        &mut self,
        nodes: &[NodeId],
        how: impl AsyncFn(&mut S::Unit) -> Result<Instant>,
    ) -> Result<Instant> {
        let mut struck: Vec<_> =
            nodes.iter().filter_map(|node| self.replicas.remove(node)).collect();
        for node in nodes {
            self.paused.remove(node);
            self.starting.remove(node);
        }
        let deaths = try_join_all(struck.iter_mut().map(|unit| how(unit))).await?;
        Ok(deaths.into_iter().max().unwrap_or_else(Instant::now))
    }

    /// Kills replicas, if they run, and lets whoever is started in their places listen elsewhere.
    pub async fn delete(&mut self, nodes: &[NodeId]) -> Result<Instant> {
        self.moving.extend(nodes);
        self.crash(nodes).await
    }

    /// Asks replicas to stop in peace. Returns at once; they are waited for when they are started
    /// again or when the cluster is shut down.
    pub async fn stop(&mut self, nodes: &[NodeId]) -> Result<()> {
        let present: Vec<_> =
            nodes.iter().copied().filter(|node| self.replicas.contains_key(node)).collect();
        self.ask_to_stop(nodes).await?;
        self.follow_successors(&present).await
    }

    async fn ask_to_stop(&mut self, nodes: &[NodeId]) -> Result<()> {
        self.resume(nodes).await?;
        let asked: Vec<_> =
            nodes.iter().filter_map(|node| self.replicas.remove_entry(node)).collect();
        let asked = asked.into_iter().map(async |(node, mut unit)| {
            unit.terminate().await?;
            Ok::<_, anyhow::Error>((node, unit))
        });
        for (node, unit) in try_join_all(asked).await? {
            self.starting.remove(&node);
            self.leaving.insert(node, unit);
        }
        Ok(())
    }

    /// Freezes replicas: they keep their connections and answer nothing.
    pub async fn pause(&mut self, nodes: &[NodeId]) -> Result<()> {
        let hit = self.replicas.iter_mut().filter(|(node, _)| nodes.contains(node));
        let frozen = hit.map(async |(node, unit)| unit.pause().await.map(|()| *node));
        self.paused.extend(try_join_all(frozen).await?);
        Ok(())
    }

    /// Lets paused replicas go on.
    pub async fn resume(&mut self, nodes: &[NodeId]) -> Result<()> {
        let paused = &self.paused;
        let frozen = |node: &NodeId| nodes.contains(node) && paused.contains(node);
        let hit = self.replicas.iter_mut().filter(|(node, _)| frozen(node));
        try_join_all(hit.map(|(_, unit)| unit.resume())).await?;
        self.paused.retain(|node| !nodes.contains(node));
        Ok(())
    }

    /// Puts the link faults in force, and keeps them for those that start later.
    ///
    /// A paused replica takes them once it goes on; the connection waits for it in the background.
    pub async fn set_links(&mut self, rules: LinkRules) -> Result<()> {
        let rules = self.site.set_links(&rules).await?;
        self.rules = Some(rules.clone());
        self.tell(&Order::Links(rules), &self.running()).await
    }

    /// Tells those of these replicas that listen. Whoever is frozen, or may end at any moment because of
    /// its disk, is not waited for.
    pub(crate) async fn tell(&self, order: &Order, nodes: &[NodeId]) -> Result<()> {
        let at = |node: &NodeId| (*node, self.addresses[node].from_here());
        let listens =
            |node: &&NodeId| self.replicas.contains_key(node) && !self.starting.contains(node);
        let (unsure, sure): (Vec<_>, Vec<_>) = nodes
            .iter()
            .filter(listens)
            .partition(|&node| self.paused.contains(node) || self.hardware.fails(*node));
        self.teller.tell_later(order, unsure.into_iter().map(at));
        self.teller.tell(order, sure.into_iter().map(at)).await
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
    pub fn running(&self) -> Vec<NodeId> {
        self.replicas.keys().copied().collect()
    }

    /// What all replicas that there ever were wrote down. Nobody runs any more.
    pub async fn evidence(&mut self) -> Result<Vec<Evidence>> {
        let nodes: Vec<_> = self.addresses.keys().copied().collect();
        self.site.evidence(&nodes).await
    }

    /// Those who ended although nobody ended them, and their disks did not either.
    pub fn exits(&mut self) -> Vec<Exit> {
        self.bury();
        let replicas = self.replicas.values_mut();
        let gateway = self.gateway.iter_mut().map(|(unit, _)| unit);
        replicas.chain(gateway).filter_map(S::Unit::exit).collect()
    }

    /// Stops everybody in peace.
    pub async fn shut_down(&mut self) -> Result<()> {
        self.site.retire().await?;
        let patience = Instant::now() + STOP_LIMIT;
        let gateway = self.gateway.take();
        if let Some((mut gateway, _)) = gateway {
            gateway.terminate().await?;
            gateway.end_by(patience).await?;
        }
        self.ask_to_stop(&self.running()).await?;
        // All of them were asked already, so they end side by side.
        let mut leaving = std::mem::take(&mut self.leaving);
        let patience = Instant::now() + STOP_LIMIT;
        let ends = join_all(leaving.values_mut().map(|unit| unit.end_by(patience))).await;
        ends.into_iter().collect()
    }

    /// Leaves nothing behind but what was measured.
    pub async fn clear(mut self) -> Result<()> {
        // Processes end with these.
        self.replicas.clear();
        self.leaving.clear();
        self.gateway = None;
        self.site.clear().await
    }

    async fn start_replica(&mut self, node: NodeId) -> Result<()> {
        let stays = !self.moving.remove(&node);
        let at = self.addresses.get(&node).copied().filter(|_| stays);
        let launch = Launch { seeds: self.seeds(node), at };
        let unit = self.site.start(Part::Replica(node), launch).await?;
        self.replicas.insert(node, unit);
        self.starting.insert(node);
        Ok(())
    }

    /// Whom a replica asks first for the others: at the cluster's first start, the first replica; when
    /// it comes later, or comes back, all that there are, for the first may be gone, and its own port may be another now.
    fn seeds(&self, node: NodeId) -> Vec<SocketAddr> {
        let is_member = self.members.contains(&node);
        let first_start = is_member && !self.addresses.contains_key(&node);
        let others = self.addresses.iter().filter(|(other, _)| **other != node);
        let asked = others.filter(|(other, _)| !first_start || **other == self.members[0]);
        asked.map(|(_, addresses)| addresses.gossip).collect()
    }
}

/// Waits until somebody listens who was started.
async fn listening<S: Site>(unit: &mut S::Unit) -> Result<Addresses> {
    let since = Instant::now();
    loop {
        if let Some(addresses) = unit.addresses().await? {
            return Ok(addresses);
        }
        if let Some(exit) = unit.exit() {
            bail!("{exit}");
        }
        if since.elapsed() > START_LIMIT {
            bail!("nobody listens after {START_LIMIT:?}");
        }
        sleep(POLL_INTERVAL).await;
    }
}
