//! The target `kubernetes`: pods of a StatefulSet, with claims.

use std::{path::Path, process};

use anyhow::{Context as _, Result};
use deploy::{
    Cut, Wanted,
    kubernetes::{self, Delivery, KubernetesSite, KubernetesSpec, Reach, Volumes},
};

use super::{
    Raw, host,
    load::{CLIENTS, Clients},
    real,
};
use crate::{
    cli::{KubernetesArgs, Route},
    interrupt::Interrupts,
    plan::{self, Plan},
    registry::Entry,
    usage::usage,
};

/// Runs a plan in a namespace of its own.
pub fn kubernetes(
    plan: &Plan,
    protocol: &Entry,
    directory: &Path,
    interrupts: &Interrupts,
) -> Result<Raw> {
    let mut facts = std::collections::BTreeMap::new();
    let site = async || {
        let reach = reach(plan.kubernetes.context.as_deref()).await?;
        facts.clone_from(reach.facts());
        let spec = spec(&reach, plan, protocol, directory).await?;
        let mut site = KubernetesSite::create(reach, spec).await?;
        let prepared = async {
            if plan.cut == Cut::Network {
                eprintln!("trying whether the cluster's network keeps to NetworkPolicies");
                let took =
                    site.try_policies().await.map_err(|error| usage(format!("{error:#}")))?;
                let kept = format!("kept to {} ms after they are applied", took.as_millis());
                facts.insert("cluster's NetworkPolicies".to_owned(), kept);
            }
            site.pipe(CLIENTS, &["load"]).await
        };
        let pipe = prepared.await;
        Clients::at(site, pipe).await
    };
    let raw = real::run(plan, site, directory, interrupts)?;
    Ok(Raw { facts, ..raw })
}

/// The cluster of a context.
pub async fn reach(context: Option<&str>) -> Result<Reach> {
    Reach::open(context).await.map_err(|error| usage(format!("{error:#}")))
}

/// How the cluster gets the image.
pub fn delivery(arguments: &KubernetesArgs) -> Delivery {
    Delivery { image: arguments.image.clone(), loader: arguments.load.clone() }
}

async fn spec(
    reach: &Reach,
    plan: &Plan,
    protocol: &Entry,
    directory: &Path,
) -> Result<KubernetesSpec> {
    let executable = std::env::current_exe().context("cannot find this executable")?;
    let image = kubernetes::provide(reach, &delivery(&plan.kubernetes), &executable).await;
    let directory = std::path::absolute(directory).context("cannot name the run's folder")?;
    Ok(KubernetesSpec {
        run: format!("{}-{}-{}", protocol.name, host::stamp(), process::id()),
        image: image.map_err(|error| usage(format!("{error:#}")))?,
        protocol: protocol.name.to_owned(),
        volumes: Volumes::Claims,
        directory: Some(directory),
        members: plan.members(),
        replica_arguments: plan.replica_arguments(protocol),
        secrets: plan::secrets(plan.peers, protocol.name)?,
        gateway: plan.via == Route::Gateway,
        cut: plan.cut,
        wanted: if plan.keep_data { Wanted::Everything } else { Wanted::Records },
    })
}
