//! Cuts by the cluster's own network: NetworkPolicies that keep replicas' pods from each other.
//!
//! A policy names who may come in, and not who may not. So each pod that somebody may not reach has a
//! policy that lets everybody else in. It is the network's plugin that carries that out, or does not:
//! see [`canary`](super::canary).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use consensus_core::NodeId;
use faults::LinkRules;
use futures::future::try_join_all;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch},
};
use serde_json::{Value, json};

use super::{PART_OF, apply::ours, unit::pod_name};
use crate::cut::for_network;

/// The label by which a StatefulSet's pods are known one by one.
const POD_LABEL: &str = "statefulset.kubernetes.io/pod-name";

/// The label by which the pods of a Job are known.
pub(super) const JOB_LABEL: &str = "job-name";

/// The policies of one run.
#[derive(Debug)]
pub(super) struct Policies {
    api: Api<NetworkPolicy>,
    /// The names of those that there are.
    made: BTreeSet<String>,
}

impl Policies {
    pub fn new(client: &Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client.clone(), namespace), made: BTreeSet::new() }
    }

    /// Cuts what these rules cut for all that is said, in the place of all that was cut before.
    pub async fn set(&mut self, rules: &LinkRules) -> Result<()> {
        let wanted = wanted(rules);
        let named =
            wanted.iter().map(|(to, from)| (name(to), lets_in_all_but(POD_LABEL, to, from)));
        let named: BTreeMap<_, _> = named.collect();
        let gone: Vec<_> =
            self.made.iter().filter(|name| !named.contains_key(*name)).cloned().collect();
        self.made.extend(named.keys().cloned());
        try_join_all(named.iter().map(|(name, policy)| self.apply(name, policy))).await?;
        try_join_all(gone.iter().map(|name| self.remove(name))).await?;
        self.made.retain(|name| named.contains_key(name));
        Ok(())
    }

    /// Forbids the pods of one Job to reach those of another.
    pub async fn forbid(&mut self, from: &str, to: &str) -> Result<()> {
        let forbidden = BTreeSet::from([from.to_owned()]);
        self.made.insert(name(to));
        self.apply(&name(to), &lets_in_all_but(JOB_LABEL, to, &forbidden)).await
    }

    async fn apply(&self, name: &str, policy: &Value) -> Result<()> {
        let applied = self.api.patch(name, &ours(), &Patch::Apply(policy)).await;
        applied.map(|_| ()).with_context(|| format!("cannot apply the NetworkPolicy {name}"))
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let removed = self.api.delete(name, &DeleteParams::default()).await;
        removed.map(|_| ()).with_context(|| format!("cannot delete the NetworkPolicy {name}"))
    }
}

/// Of each pod, the pods that may not reach it.
fn wanted(rules: &LinkRules) -> BTreeMap<String, BTreeSet<String>> {
    let mut wanted = BTreeMap::<_, BTreeSet<_>>::new();
    let pod = |node: NodeId| pod_name(node.place());
    for (from, to) in for_network(rules) {
        wanted.entry(pod(to)).or_default().insert(pod(from));
    }
    wanted
}

/// The name of the policy for those that somebody may not reach.
fn name(to: &str) -> String {
    format!("cut-{to}")
}

/// A policy for the pods that have this value of a label, which lets in all but those with these. A pod
/// without that label is none of them.
fn lets_in_all_but(label: &str, to: &str, from: &BTreeSet<String>) -> Value {
    let others = json!({ "key": label, "operator": "NotIn", "values": from });
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": name(to), "labels": { "app.kubernetes.io/part-of": PART_OF } },
        "spec": {
            "podSelector": { "matchLabels": { label: to } },
            "policyTypes": ["Ingress"],
            "ingress": [{ "from": [{ "podSelector": { "matchExpressions": [others] } }] }],
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faults::{Channel, LinkRule};

    use super::*;

    #[test]
    fn each_pod_lets_in_all_but_those_that_are_cut_off_from_it() {
        let cut = |from, to| LinkRule::cut(NodeId(from), NodeId(to));
        let gossip = LinkRule { channel: Some(Channel::Gossip), ..cut(2, 1) };
        let rules = vec![cut(1, 2), cut(103, 2), cut(2, 3), gossip];
        let rules = LinkRules { seed: 1, expires_in: Duration::from_secs(9), rules };
        let wanted = wanted(&rules);
        let pods: Vec<_> = wanted.keys().map(String::as_str).collect();
        assert_eq!(pods, ["replica-1", "replica-2"]);
        let policy = lets_in_all_but(POD_LABEL, "replica-1", &wanted["replica-1"]);
        let from = policy.pointer("/spec/ingress/0/from/0/podSelector/matchExpressions/0");
        // Node 103 is who node 3 became: it is in the same pod.
        assert_eq!(from.unwrap()["values"], json!(["replica-0", "replica-2"]));
        assert_eq!(policy["spec"]["podSelector"]["matchLabels"][POD_LABEL], "replica-1");
    }
}
