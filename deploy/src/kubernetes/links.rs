//! The link faults in force, for whoever starts: a file that every replica's container has.

use anyhow::{Context as _, Result};
use faults::LinkRules;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, api::Patch};
use serde_json::json;

use super::{PART_OF, apply::ours};

/// The file's name.
pub(super) const LINKS: &str = "links.json";

/// Writes the rules down. A replica that starts from now on finds them, as soon as its kubelet has them.
pub(super) async fn write(client: &Client, namespace: &str, rules: &LinkRules) -> Result<()> {
    let text = serde_json::to_string(rules).context("link rules are plain data")?;
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "links", "labels": { "app.kubernetes.io/part-of": PART_OF } },
        "data": { LINKS: text },
    });
    let maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let applied = maps.patch("links", &ours(), &Patch::Apply(&map)).await;
    applied.map(|_| ()).context("the link faults cannot be written down")
}
