//! Removing clusters: their namespaces, with everything in them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use tokio::time::sleep;

use super::{PART_OF, access::Reach, namespace, pods::is_gone};

/// How long a namespace may take to go.
const GONE_LIMIT: Duration = Duration::from_secs(180);

/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What was removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Removed {
    /// Namespaces.
    pub namespaces: usize,
    /// Pods that were in them.
    pub pods: usize,
    /// Claims that were in them, with what was on their volumes.
    pub claims: usize,
}

/// Removes the cluster of this name, or all that are there, and returns when they are gone.
pub async fn remove(reach: &Reach, run: Option<&str>) -> Result<Removed> {
    let namespaces = Api::<Namespace>::all(reach.client().clone());
    let ours = format!("app.kubernetes.io/part-of={PART_OF}");
    let listed = namespaces.list(&ListParams::default().labels(&ours)).await;
    let listed = listed.context("cannot list the namespaces")?;
    let wanted = run.map(namespace);
    let doomed = listed.items.iter().map(ResourceExt::name_any);
    let doomed = doomed.filter(|name| wanted.as_ref().is_none_or(|wanted| wanted == name));
    let removed = try_join_all(doomed.map(|name| remove_one(reach, name))).await?;
    Ok(removed.into_iter().fold(Removed::default(), |sum, one| Removed {
        namespaces: sum.namespaces + one.namespaces,
        pods: sum.pods + one.pods,
        claims: sum.claims + one.claims,
    }))
}

async fn remove_one(reach: &Reach, name: String) -> Result<Removed> {
    let client = reach.client();
    let namespaces = Api::<Namespace>::all(client.clone());
    let pods = Api::<Pod>::namespaced(client.clone(), &name);
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), &name);
    let why = || format!("cannot remove the namespace {name}");
    let all = ListParams::default();
    let removed = Removed {
        namespaces: 1,
        pods: pods.list(&all).await.with_context(why)?.items.len(),
        claims: claims.list(&all).await.with_context(why)?.items.len(),
    };
    match namespaces.delete(&name, &DeleteParams::default()).await {
        Err(error) if !is_gone(&error) => return Err(error).with_context(why),
        _ => {}
    }
    // Nobody is asked to stop in peace: there is nothing left to hand over.
    let at_once = DeleteParams::default().grace_period(0);
    pods.delete_collection(&at_once, &all).await.with_context(why)?;
    let since = Instant::now();
    while namespaces.get_opt(&name).await.with_context(why)?.is_some() {
        if since.elapsed() > GONE_LIMIT {
            bail!("the namespace {name} is not gone after {GONE_LIMIT:?}");
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(removed)
}
