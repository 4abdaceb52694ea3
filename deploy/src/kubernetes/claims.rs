//! The claims of a StatefulSet's pods, one of which is lost.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, Client, ResourceExt, api::DeleteParams};
use tokio::time::sleep;

use super::pods::{Pods, is_gone};

/// How long a claim may take to be made anew.
const RENEW_LIMIT: Duration = Duration::from_secs(60);

/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The claim of a pod.
pub(super) fn name(pod: &str) -> String {
    format!("data-{pod}")
}

/// Deletes the claim of a pod that was killed, and waits until the StatefulSet has made another.
///
/// A claim goes only once no pod uses it; a successor that came before waits for a claim that is going,
/// and before Kubernetes 1.23 would wait for it for ever. So whoever is there goes, until the claim is
/// another.
pub(super) async fn renew(client: &Client, pods: &Pods, pod: &str) -> Result<()> {
    let claim = name(pod);
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), pods_namespace(pods));
    let before =
        claims.get(&claim).await.context("the disk that is to be lost is not there")?.uid();
    match claims.delete(&claim, &DeleteParams::default()).await {
        Err(error) if !is_gone(&error) => bail!("the claim {claim} cannot be deleted: {error}"),
        _ => {}
    }
    let since = Instant::now();
    loop {
        let now = claims.get_opt(&claim).await.context("cannot look at the claim")?;
        if now.is_some_and(|now| now.uid() != before) {
            return Ok(());
        }
        if let Some(uid) = pods.now().get(pod).and_then(ResourceExt::uid) {
            pods.spend(&uid);
            pods.delete_at_once(pod, &uid).await?;
        }
        if since.elapsed() > RENEW_LIMIT {
            bail!("the claim {claim} was not made anew within {RENEW_LIMIT:?}");
        }
        sleep(LOOK_EVERY).await;
    }
}

fn pods_namespace(pods: &Pods) -> &str {
    pods.api().namespace().unwrap_or_default()
}
