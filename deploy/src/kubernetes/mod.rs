//! The Kubernetes target: every replica a pod of a StatefulSet, with a claim of its own.
//!
//! What is applied are the manifests in `deploy/kubernetes`, in a namespace of the run's own, which is
//! deleted in the end with everything in it. Whoever ends comes back by itself, for that is what a
//! StatefulSet is for: nobody is held away. The harness reaches pods by way of the API server, to
//! administer them; the load comes from the pod of a Job, and takes the network that all pods share.

mod access;
mod agent;
mod apply;
mod canary;
mod claims;
mod cleanup;
mod clients;
mod events;
mod evidence;
mod exec;
mod forward;
mod image;
mod inventory;
mod links;
mod logs;
mod manifests;
mod pods;
mod policies;
mod unit;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use consensus_core::NodeId;
use faults::LinkRules;
use futures::future::try_join_all;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::Job,
    core::v1::{Pod, Service},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

pub use access::Reach;
pub use agent::{Errand, carry_out};
pub use canary::{call, listen};
pub use cleanup::{Removed, remove};
pub use image::{Delivery, provide};
pub use inventory::{Standing, Window, said, standing};
pub use manifests::Volumes;
pub use unit::{KubernetesUnit, ReplicaPod};

use crate::{
    cut::{Cut, for_shims},
    pipe::Pipe,
    secrets::Secrets,
    site::{Addresses, Crossings, Evidence, Launch, Part, Site, Wanted},
};
use evidence::Keeper;
use logs::Logs;
use manifests::Edition;
use pods::Pods;
use policies::{JOB_LABEL, Policies};
use unit::pod_name;

/// HTTP, for clients and the administrator.
const CLIENT_PORT: u16 = 7100;

/// gRPC, for peers.
const PEER_PORT: u16 = 7200;

/// UDP, for gossip.
const GOSSIP_PORT: u16 = 7300;

/// Where a replica's volume is, in its container.
pub const DATA: &str = "/data";

/// Everything of the laboratory is part of this.
const PART_OF: &str = "consensus-lab";

/// What the harness itself applied says so; its value names the run.
const RUN_LABEL: &str = "lab.run";

/// Who applies the manifests, to the API server.
const APPLIER: &str = "consensus-lab-harness";

/// The StatefulSet.
const REPLICA: &str = "replica";

/// How long the first pods may take until they run: volumes are made, and images unpacked.
const FIRST_START_LIMIT: Duration = Duration::from_secs(180);

/// How long all pods may take to be ready, once there is a leader.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long the pod of a Job of ours may take until it runs.
const ERRAND_LIMIT: Duration = Duration::from_secs(120);

/// What to start.
#[derive(Clone, Debug)]
pub struct KubernetesSpec {
    /// Names the run: its namespace is `consensus-<run>`.
    pub run: String,
    /// The image of every container.
    pub image: String,
    /// The protocol's name, for which there are overlays.
    pub protocol: String,
    /// What the replicas' disks are.
    pub volumes: Volumes,
    /// Where logs and fetched data go, as on every target; `None`: nothing is kept.
    pub directory: Option<PathBuf>,
    /// The replicas of the first start: 1 to n.
    pub members: Vec<NodeId>,
    /// What every replica is told, besides what is its own: flags, each with its value.
    pub replica_arguments: Vec<String>,
    /// What only replicas may read.
    pub secrets: Secrets,
    /// Whether there are gateways.
    pub gateway: bool,
    /// What carries cuts out; the network does by NetworkPolicies.
    pub cut: Cut,
    /// What is fetched of the volumes.
    pub wanted: Wanted,
}

/// A cluster, and what a run has there.
#[derive(Debug)]
pub struct KubernetesSite {
    reach: Reach,
    edition: Edition,
    pods: Pods,
    keeper: Keeper,
    logs: Logs,
    /// What cuts links, if the network does.
    policies: Option<Policies>,
    /// How many replicas the StatefulSet has.
    size: u64,
    /// Whether all of the first pods ran.
    is_up: bool,
}

impl KubernetesSite {
    /// Applies the manifests.
    ///
    /// # Errors
    ///
    /// If there is a cluster of this name already, or the manifests cannot be applied; then nothing of
    /// it is left.
    pub async fn create(reach: Reach, spec: KubernetesSpec) -> Result<Self> {
        let edition = edition(&spec)?;
        let client = reach.client().clone();
        if apply::exists(&client, &edition.namespace).await? {
            bail!("the namespace {} is there already", edition.namespace);
        }
        let objects = manifests::render(&reach, &edition).await?;
        let applied = async {
            apply::apply(&client, &objects[..1]).await?;
            if edition.links {
                links::write(&client, &edition.namespace, &LinkRules::default()).await?;
            }
            apply::apply(&client, &objects[1..]).await
        };
        if let Err(error) = applied.await {
            remove(&reach, Some(&spec.run)).await?;
            return Err(error);
        }
        let folder = |name| spec.directory.as_ref().map(|directory| directory.join(name));
        Ok(Self {
            pods: Pods::watch(&client, &edition.namespace),
            keeper: Keeper::new(folder("data").unwrap_or_default(), spec.wanted),
            logs: Logs::new(folder("logs")),
            policies: (spec.cut == Cut::Network)
                .then(|| Policies::new(&client, &edition.namespace)),
            size: spec.members.len() as u64,
            is_up: false,
            edition,
            reach,
        })
    }

    /// The namespace that all of it is in.
    pub fn namespace(&self) -> &str {
        &self.edition.namespace
    }

    /// Tries whether the cluster's network keeps to NetworkPolicies, also between pods that talk already,
    /// and says how long it took to keep to one.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub async fn try_policies(&self) -> Result<Duration> {
        canary::time_to_enforce(self).await
    }

    /// Starts a Job of the same image, with these arguments, whose pod is talked to over its standard
    /// input and output. Its clock must be this machine's, for it measures times that are compared with
    /// ours.
    pub async fn pipe(&mut self, name: &str, arguments: &[&str]) -> Result<Pipe> {
        let stdin = json!({ "stdin": true, "stdinOnce": true });
        let more = json!({ "container": stdin });
        let pod = self.send(name, "clients", arguments, more).await?;
        ensure!(
            exec::shares_clock(self.pods.api(), &pod).await?,
            "the pods' monotonic clock is not this machine's: they run on another host, or in a \
             virtual machine, and times that were measured there could not be compared with the \
             faults' (a cluster in containers of this machine has its clock)"
        );
        clients::attach(self.pods.api(), &pod).await
    }

    /// Waits until every replica is ready, in Kubernetes' own sense.
    pub async fn ready(&self) -> Result<()> {
        let size = self.size;
        let all = |seen: &pods::Seen| {
            let ready = |n| seen.get(&pod_name(NodeId(n))).is_some_and(pods::is_ready);
            (1..=size).all(ready).then_some(())
        };
        match self.pods.within(READY_LIMIT, all).await? {
            Some(()) => Ok(()),
            None => bail!("not every pod is ready after {READY_LIMIT:?}: {}", self.describe()),
        }
    }

    /// Makes a Job of the run's own, waits until its pod runs, and says which that is.
    async fn send(
        &self,
        name: &str,
        component: &str,
        arguments: &[&str],
        more: Value,
    ) -> Result<String> {
        let job = manifests::errand(&self.edition, name, component, arguments, more);
        let job: Job = serde_json::from_value(job).context("a Job is one")?;
        let jobs = Api::<Job>::namespaced(self.client().clone(), self.namespace());
        let made = jobs.create(&PostParams::default(), &job).await;
        made.with_context(|| format!("cannot make the Job {name}"))?;
        let is_its = |pod: &&Pod| pod.labels().get(JOB_LABEL).is_some_and(|job| job == name);
        let runs = |seen: &pods::Seen| {
            let pod = seen.values().find(is_its)?;
            pods::runs(pod).then(|| Ok(pod.name_any())).or_else(|| pods::hopeless(pod).map(Err))
        };
        match self.pods.within(ERRAND_LIMIT, runs).await? {
            Some(Ok(pod)) => Ok(pod),
            Some(Err(why)) => bail!("the pod of the Job {name} cannot run: {why}"),
            None => bail!(
                "the pod of the Job {name} does not run after {ERRAND_LIMIT:?}: {}",
                self.describe()
            ),
        }
    }

    /// Waits until all of the first pods run; later ones are waited for one by one.
    async fn come_up(&mut self) -> Result<()> {
        if self.is_up {
            return Ok(());
        }
        let size = self.size;
        let all = |seen: &pods::Seen| {
            let pods: Vec<_> = (1..=size).filter_map(|n| seen.get(&pod_name(NodeId(n)))).collect();
            let up = pods.len() as u64 == size && pods.iter().all(|pod| pods::runs(pod));
            up.then_some(Ok(()))
                .or_else(|| pods.iter().find_map(|pod| pods::hopeless(pod)).map(Err))
        };
        match self.pods.within(FIRST_START_LIMIT, all).await? {
            Some(Ok(())) => self.is_up = true,
            Some(Err(why)) => bail!("a pod cannot run: {why}"),
            None => {
                bail!("not every pod runs after {FIRST_START_LIMIT:?}: {}", self.describe())
            }
        }
        Ok(())
    }

    /// How the pods are, in a line.
    fn describe(&self) -> String {
        let seen = self.pods.now();
        let each = seen.iter().map(|(name, pod)| format!("{name}: {}", pods::state(pod)));
        let told = each.collect::<Vec<_>>().join("; ");
        if told.is_empty() { "there is none".to_owned() } else { told }
    }

    fn client(&self) -> &Client {
        self.reach.client()
    }

    /// Lets the StatefulSet have so many replicas.
    async fn scale(&mut self, size: u64) -> Result<()> {
        let sets = Api::<StatefulSet>::namespaced(self.client().clone(), self.namespace());
        let to = Patch::Merge(json!({ "spec": { "replicas": size } }));
        let scaled = sets.patch_scale(REPLICA, &PatchParams::default(), &to).await;
        scaled.with_context(|| format!("cannot let there be {size} replicas"))?;
        self.size = size;
        Ok(())
    }

    /// Where clients in the cluster reach the gateways.
    async fn gateway(&self) -> Result<Addresses> {
        let services = Api::<Service>::namespaced(self.client().clone(), self.namespace());
        let service = services.get("gateway").await.context("there is no gateway")?;
        let address = service.spec.and_then(|spec| spec.cluster_ip);
        let address = address.and_then(|address| address.parse::<IpAddr>().ok());
        let address = address.context("the gateway's Service has no address")?;
        Ok(Addresses {
            client: (address, 80).into(),
            peer: None,
            gossip: (address, GOSSIP_PORT).into(),
            forwarded: None,
        })
    }
}

impl Site for KubernetesSite {
    type Unit = KubernetesUnit;

    const RETURNS: bool = true;

    async fn start(&mut self, part: Part, _launch: Launch) -> Result<KubernetesUnit> {
        let Part::Replica(node) = part else {
            let ready = |seen: &pods::Seen| {
                let gateways = seen.iter().filter(|(name, _)| name.starts_with("gateway-"));
                gateways.into_iter().any(|(_, pod)| pods::is_ready(pod)).then_some(())
            };
            return match self.pods.within(READY_LIMIT, ready).await? {
                Some(()) => Ok(KubernetesUnit::Gateway(self.gateway().await?)),
                None => bail!("no gateway is ready after {READY_LIMIT:?}: {}", self.describe()),
            };
        };
        self.come_up().await?;
        let place = node.place().0;
        if place > self.size {
            ensure!(
                place == self.size + 1,
                "node {place} cannot start before node {}: a StatefulSet has no gaps",
                self.size + 1
            );
            self.scale(place).await?;
        }
        let pod = ReplicaPod::follow(node, &self.pods, &self.keeper, &self.logs);
        Ok(KubernetesUnit::Replica(Box::new(pod)))
    }

    async fn lose_disk(&mut self, node: NodeId) -> Result<()> {
        // What was on it was fetched when its replica was killed for good.
        claims::renew(self.client(), &self.pods, &pod_name(node.place())).await
    }

    async fn set_links(&mut self, rules: &LinkRules) -> Result<LinkRules> {
        let rules = match &mut self.policies {
            Some(policies) => {
                policies.set(rules).await?;
                for_shims(rules)
            }
            None => rules.clone(),
        };
        if self.edition.links {
            links::write(self.client(), self.namespace(), &rules).await?;
        }
        Ok(rules)
    }

    async fn crossings(&self) -> Result<Option<Crossings>> {
        Ok(None)
    }

    async fn retire(&mut self) -> Result<()> {
        self.scale(0).await?;
        let deployments = Api::<Deployment>::namespaced(self.client().clone(), self.namespace());
        let none = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
        let scaled = deployments.patch_scale("gateway", &PatchParams::default(), &none).await;
        scaled.map(|_| ()).context("cannot end the gateways")
    }

    async fn evidence(&mut self, nodes: &[NodeId]) -> Result<Vec<Evidence>> {
        self.logs.settle().await;
        if let Some(folder) = self.logs.folder() {
            events::keep(self.client(), self.namespace(), folder).await?;
        }
        let fetched = nodes.iter().map(async |&node| {
            let place = node.place();
            let name = format!("evidence-{place}");
            let claim = claims::name(&pod_name(place));
            let more = json!({
                "container": { "volumeMounts": [{ "name": "data", "mountPath": DATA }] },
                "spec": { "volumes": [
                    { "name": "data", "persistentVolumeClaim": { "claimName": claim } },
                ] },
            });
            let pod = self.send(&name, "evidence", &["pod", "wait"], more).await?;
            self.keeper.fetch(self.pods.api(), &pod, node).await
        });
        let present = try_join_all(fetched).await?;
        Ok(self.keeper.lost().into_iter().chain(present).collect())
    }

    async fn clear(&mut self) -> Result<()> {
        remove(&self.reach, Some(&self.edition.run)).await.map(|_| ())
    }
}

fn edition(spec: &KubernetesSpec) -> Result<Edition> {
    let mut arguments = Vec::new();
    for pair in spec.replica_arguments.chunks(2) {
        match pair {
            [flag, value] => arguments.push((flag.clone(), value.clone())),
            _ => bail!("a replica's flags have a value each"),
        }
    }
    Ok(Edition {
        namespace: namespace(&spec.run),
        run: spec.run.clone(),
        image: spec.image.clone(),
        protocol: spec.protocol.clone(),
        volumes: spec.volumes,
        replicas: spec.members.len(),
        arguments,
        secrets: spec.secrets.clone(),
        gateway: spec.gateway,
        links: spec.directory.is_some(),
    })
}

/// The namespace of a run. What kubectl alone applied is the cluster called `lab`.
fn namespace(run: &str) -> String {
    format!("consensus-{run}")
}

/// A part's name, as on every target.
fn host_name(part: Part) -> String {
    match part {
        Part::Replica(node) => format!("node-{}", node.place()),
        Part::Gateway => "gateway".to_owned(),
    }
}
