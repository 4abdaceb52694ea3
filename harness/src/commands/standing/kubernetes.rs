//! Clusters in pods.

use anyhow::{Context as _, Result};
use deploy::{
    Cluster, Cut, Wanted,
    kubernetes::{self, KubernetesSite, KubernetesSpec, Reach, Removed, Standing, Volumes, Window},
};
use futures::future::join_all;
use replica::http::server::Report;
use tokio::time::sleep;

use super::{LOOK_EVERY, Told, asked, believes, progress, serving};
use crate::{
    cli::{DownArgs, LogsArgs, PodVolumes, StandingArgs, UpArgs},
    experiment::{self, watch::Watch},
    plan,
    usage::usage,
};

pub async fn up(arguments: &UpArgs) -> Result<bool> {
    let context = arguments.kubernetes.context.as_deref();
    let reach = experiment::reach_kubernetes(context).await?;
    let name = &arguments.name;
    if !kubernetes::standing(&reach, Some(name)).await?.is_empty() {
        return Err(usage(format!(
            "a cluster called '{name}' stands already; harness down --target kubernetes --name {name}"
        )));
    }
    let spec = spec(&reach, arguments).await?;
    let members = spec.members.clone();
    eprintln!("applying the manifests to the context '{}'", reach.context());
    let site = KubernetesSite::create(reach, spec).await?;
    let namespace = site.namespace().to_owned();
    let mut cluster = Cluster::new(site, members)?;
    let served = async {
        let leader = serving(&mut cluster).await?;
        cluster.site().ready().await?;
        Ok(leader)
    };
    match served.await {
        Ok(leader) => println!("{name} serves: all pods are ready, {leader}"),
        Err(error) => {
            cluster.clear().await?;
            return Err(error);
        }
    }
    for (node, at) in cluster.addresses() {
        println!("node-{node:<4} {} in the cluster", at.client);
    }
    let context = context.map_or_else(String::new, |context| format!(" --context {context}"));
    println!(
        "\nkubectl{context} -n {namespace} port-forward service/gateway 8080:80 &\n\
         harness put greeting hello --server 127.0.0.1:8080\n\
         harness status --target kubernetes{context}\n\
         harness down --target kubernetes{context} --name {name}"
    );
    Ok(true)
}

async fn spec(reach: &Reach, arguments: &UpArgs) -> Result<KubernetesSpec> {
    let (protocol, members) = asked(arguments)?;
    let executable = std::env::current_exe().context("cannot find this executable")?;
    let delivery = experiment::delivery(&arguments.kubernetes);
    let image = kubernetes::provide(reach, &delivery, &executable).await;
    Ok(KubernetesSpec {
        run: arguments.name.clone(),
        image: image.map_err(|error| usage(format!("{error:#}")))?,
        protocol: protocol.name.to_owned(),
        volumes: match arguments.volumes {
            PodVolumes::Claims => Volumes::Claims,
            PodVolumes::Emptydir => Volumes::EmptyDir,
        },
        directory: None,
        replica_arguments: plan::replica_arguments(
            &protocol,
            &members,
            arguments.storage,
            arguments.peers,
            &arguments.tuning,
        ),
        secrets: plan::secrets(arguments.peers, &arguments.name)?,
        members,
        gateway: true,
        cut: Cut::Shim,
        wanted: Wanted::Records,
    })
}

pub async fn status(arguments: &StandingArgs) -> Result<bool> {
    let reach = experiment::reach_kubernetes(arguments.context.context.as_deref()).await?;
    let mut window = Window::default();
    let name = arguments.name.as_deref();
    let seen = look(&reach, &mut window, &Watch::new()?, name).await?;
    if seen.is_empty() {
        println!("nothing stands; harness up --target kubernetes --protocol raft starts a cluster");
    }
    for (standing, report) in &seen {
        let Standing { run, part, state, .. } = standing;
        let said = match standing.is_replica() {
            true => format!(": {}{}", believes(report.as_ref()), progress(report.as_ref())),
            false => String::new(),
        };
        println!("{run:<12} {part:<10} {state}{said}");
    }
    Ok(!seen.is_empty())
}

pub async fn follow(arguments: &StandingArgs) -> Result<bool> {
    let reach = experiment::reach_kubernetes(arguments.context.context.as_deref()).await?;
    let (watch, mut window) = (Watch::new()?, Window::default());
    let mut known = Told::default();
    loop {
        let seen = look(&reach, &mut window, &watch, arguments.name.as_deref()).await?;
        let now = seen.into_iter().map(|(standing, report)| {
            let said = match standing.is_replica() {
                true => format!(": {}", believes(report.as_ref())),
                false => String::new(),
            };
            // There may be several gateways.
            let who = if standing.is_replica() { standing.part } else { standing.pod };
            ((standing.run, who), format!("{}{said}", standing.state))
        });
        known.change(now.collect());
        sleep(LOOK_EVERY).await;
    }
}

/// Everybody who stands, each with what it answers.
async fn look(
    reach: &Reach,
    window: &mut Window,
    watch: &Watch,
    name: Option<&str>,
) -> Result<Vec<(Standing, Option<Report>)>> {
    let standing = kubernetes::standing(reach, name).await?;
    window.keep(&standing);
    let mut asked = Vec::new();
    for found in standing {
        let at = match found.is_replica() && found.runs {
            true => Some(window.onto(reach, &found).await?),
            false => None,
        };
        asked.push(async move {
            let report = match at {
                Some(at) => watch.report(at).await,
                None => None,
            };
            (found, report)
        });
    }
    Ok(join_all(asked).await)
}

pub async fn logs(arguments: &LogsArgs) -> Result<bool> {
    let reach = experiment::reach_kubernetes(arguments.context.context.as_deref()).await?;
    let LogsArgs { part, name, lines, .. } = arguments;
    let standing = kubernetes::standing(&reach, Some(name)).await?;
    let theirs: Vec<_> = standing.iter().filter(|found| found.part == *part).collect();
    if theirs.is_empty() {
        return Err(usage(format!("no '{part}' stands in a cluster called '{name}'")));
    }
    for found in theirs {
        print!("{}", kubernetes::said(&reach, found, *lines).await?);
    }
    Ok(true)
}

pub async fn down(arguments: &DownArgs) -> Result<bool> {
    let reach = experiment::reach_kubernetes(arguments.context.context.as_deref()).await?;
    let removed = kubernetes::remove(&reach, arguments.name.as_deref()).await?;
    let Removed { namespaces, pods, claims } = removed;
    println!("removed {namespaces} namespaces, with {pods} pods and {claims} claims");
    Ok(true)
}
