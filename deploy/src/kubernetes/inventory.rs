//! What stands in a cluster, whoever applied it: the pods of the laboratory, found by their labels alone.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context as _, Result};
use consensus_core::NodeId;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, LogParams},
};

use super::{
    CLIENT_PORT, PART_OF,
    access::Reach,
    forward::Forward,
    host_name,
    pods::{self, container, runs},
};
use crate::site::Part;

/// A pod of the laboratory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Standing {
    /// The cluster that it belongs to: its namespace without `consensus-`.
    pub run: String,
    /// Its part there: `node-3`, `gateway`.
    pub part: String,
    /// Its name.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// Whether it runs.
    pub runs: bool,
    /// How it is, in Kubernetes' words.
    pub state: String,
    uid: String,
}

impl Standing {
    /// Whether it is a replica.
    pub fn is_replica(&self) -> bool {
        self.part.starts_with("node-")
    }
}

/// The pods of one cluster, or of all, by cluster and part.
pub async fn standing(reach: &Reach, run: Option<&str>) -> Result<Vec<Standing>> {
    let ours = format!("app.kubernetes.io/part-of={PART_OF}");
    let all = Api::<Pod>::all(reach.client().clone());
    let listed = all.list(&ListParams::default().labels(&ours)).await;
    let listed = listed.context("cannot list the pods")?;
    let mut standing: Vec<_> = listed.items.iter().map(describe).collect();
    standing.retain(|found| run.is_none_or(|run| found.run == run));
    standing.sort_unstable();
    Ok(standing)
}

fn describe(pod: &Pod) -> Standing {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let component = pod.labels().get("app.kubernetes.io/component").map(String::as_str);
    let ordinal = name.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse::<u64>().ok());
    let part = match (component, ordinal) {
        (Some("replica"), Some(ordinal)) => host_name(Part::Replica(NodeId(ordinal + 1))),
        (Some(component), _) => component.to_owned(),
        (None, _) => name.clone(),
    };
    Standing {
        run: namespace.strip_prefix("consensus-").unwrap_or(&namespace).to_owned(),
        part,
        pod: name,
        namespace,
        runs: runs(pod),
        state: pods::state(pod),
        uid: pod.uid().unwrap_or_default(),
    }
}

/// Ways from this machine to pods, kept open from one look to the next.
#[derive(Debug, Default)]
pub struct Window {
    open: BTreeMap<String, Forward>,
}

impl Window {
    /// Where this machine reaches a pod's HTTP.
    pub async fn onto(&mut self, reach: &Reach, standing: &Standing) -> Result<SocketAddr> {
        if let Some(forward) = self.open.get(&standing.uid) {
            return Ok(forward.address());
        }
        let pods = Api::<Pod>::namespaced(reach.client().clone(), &standing.namespace);
        let forward = Forward::open(pods, &standing.pod, CLIENT_PORT).await?;
        let address = forward.address();
        self.open.insert(standing.uid.clone(), forward);
        Ok(address)
    }

    /// Lets go of pods that are not there any more.
    pub fn keep(&mut self, standing: &[Standing]) {
        self.open.retain(|uid, _| standing.iter().any(|found| found.uid == *uid));
    }
}

/// What a pod said last, its container's former life first: so many lines of it, or everything.
pub async fn said(reach: &Reach, standing: &Standing, lines: Option<u32>) -> Result<String> {
    let pods = Api::<Pod>::namespaced(reach.client().clone(), &standing.namespace);
    let why = || format!("what {} said is lost", standing.pod);
    let pod = pods.get(&standing.pod).await.with_context(why)?;
    let how = LogParams { tail_lines: lines.map(i64::from), ..LogParams::default() };
    let mut said = String::new();
    if container(&pod).is_some_and(|container| container.restart_count > 0) {
        let before = LogParams { previous: true, ..how.clone() };
        // It may be gone already.
        said.push_str(&pods.logs(&standing.pod, &before).await.unwrap_or_default());
    }
    said.push_str(&pods.logs(&standing.pod, &how).await.with_context(why)?);
    Ok(said)
}
