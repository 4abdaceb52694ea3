//! `harness up`, `status`, `watch`, `logs`, `down` and `image`: clusters that outlive the command that
//! started them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroUsize,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use deploy::{
    Cluster,
    docker::{self, CLIENT_PORT, Cut, DockerSite, DockerSpec, Engine, Removed, Standing, Wanted},
};
use futures::future::join_all;
use replica::http::server::Report;
use tokio::time::sleep;

use crate::{
    cli::{DownArgs, Ground, ImageArgs, LogsArgs, StandingArgs, UpArgs},
    experiment::{self, watch, watch::Watch},
    plan, registry,
    usage::usage,
};

/// How long the replicas may take to find each other and elect a leader.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How often a cluster is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Starts a cluster, and says where it is once it serves.
pub fn up(arguments: &UpArgs) -> Result<bool> {
    let Ground::Docker = arguments.target;
    runtime()?.block_on(async {
        let engine = experiment::reach().await?;
        let name = &arguments.name;
        if !docker::standing(&engine, Some(name)).await?.is_empty() {
            return Err(usage(format!(
                "a cluster called '{name}' stands already; harness down --target docker --name {name}"
            )));
        }
        let spec = spec(&engine, arguments).await?;
        let members = spec.members.clone();
        let site = DockerSite::create(engine.clone(), spec).await?;
        let mut cluster = Cluster::new(site, members)?;
        match serving(&mut cluster).await {
            Ok(leader) => println!("{name} serves: {leader}"),
            Err(error) => {
                cluster.clear().await?;
                return Err(error);
            }
        }
        for (node, at) in cluster.addresses() {
            let name = format!("node-{node}");
            println!("{name:<9} {}", at.client);
        }
        if let Some(gateway) = cluster.gateway() {
            println!("gateway   {gateway}\n\nharness put greeting hello --server {gateway}");
        }
        println!("harness status --target docker\nharness down --target docker --name {name}");
        Ok(true)
    })
}

async fn spec(engine: &Engine, arguments: &UpArgs) -> Result<DockerSpec> {
    let protocol = registry::find(&arguments.protocol)?;
    let nodes = NonZeroUsize::new(arguments.nodes);
    let nodes = nodes.ok_or_else(|| usage("a cluster has at least one replica"))?;
    let members = plan::members(nodes);
    plan::check_tuning(&arguments.tuning, &members)?;
    protocol.check(arguments.tuning.settings(members[0], members.clone()))?;
    let executable = std::env::current_exe().context("cannot find this executable")?;
    let image = docker::ensure(engine, &executable).await?;
    Ok(DockerSpec {
        run: arguments.name.clone(),
        image: image.name,
        directory: PathBuf::from("runs").join(&arguments.name),
        replica_arguments: plan::replica_arguments(
            &protocol,
            &members,
            arguments.storage,
            &arguments.tuning,
        ),
        gateway_arguments: Vec::new(),
        members,
        cut: Cut::Shim,
        wanted: Wanted::Records,
    })
}

/// Waits until all replicas found each other and follow one leader, whom it names.
async fn serving(cluster: &mut Cluster<DockerSite>) -> Result<String> {
    cluster.start().await?;
    cluster.start_gateway().await?;
    let watch = Watch::new()?;
    let nodes: Vec<_> = cluster.addresses().keys().copied().collect();
    let since = Instant::now();
    loop {
        let reports = watch.reports(cluster.addresses(), &nodes).await;
        if watch::all_found_each_other(&reports, nodes.len()) {
            let leader = reports.values().find_map(|report| report.status.leader);
            let leader = leader.context("all of them follow one")?;
            return Ok(format!("{} replicas follow node {leader}", nodes.len()));
        }
        if let Some(exit) = cluster.exits().first() {
            bail!("{exit}");
        }
        if since.elapsed() > READY_WITHIN {
            let told = watch::describe(&reports);
            bail!("no leader after {READY_WITHIN:?}: {told}");
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Says how everybody is.
pub fn status(arguments: &StandingArgs) -> Result<bool> {
    let Ground::Docker = arguments.target;
    runtime()?.block_on(async {
        let engine = experiment::reach().await?;
        let seen = look(&engine, &Watch::new()?, arguments.name.as_deref()).await?;
        if seen.is_empty() {
            println!("nothing stands; harness up --target docker --protocol raft starts a cluster");
        }
        for (standing, report) in &seen {
            let Standing { run, part, state, .. } = standing;
            let at = standing.address.map_or_else(|| "-".to_owned(), |at| at.to_string());
            let progress = report.as_ref().map_or_else(String::new, |report| {
                format!(", commit {}, applied {}", report.status.commit, report.applied)
            });
            let believes = believes(report.as_ref());
            println!("{run:<12} {part:<10} {at:<15} {state}: {believes}{progress}");
        }
        Ok(!seen.is_empty())
    })
}

/// Tells of each change, until it is interrupted.
pub fn follow(arguments: &StandingArgs) -> Result<bool> {
    let Ground::Docker = arguments.target;
    runtime()?.block_on(async {
        let engine = experiment::reach().await?;
        let watch = Watch::new()?;
        let mut known: BTreeMap<(String, String), String> = BTreeMap::new();
        loop {
            let seen = look(&engine, &watch, arguments.name.as_deref()).await?;
            let now = seen.into_iter().map(|(standing, report)| {
                let runs = if standing.address.is_some() { "runs" } else { "is down" };
                let told = format!("{runs}: {}", believes(report.as_ref()));
                ((standing.run, standing.part), told)
            });
            let now: BTreeMap<_, _> = now.collect();
            for ((run, part), told) in
                now.iter().filter(|(who, told)| known.get(*who) != Some(told))
            {
                println!("{} {run} {part} {told}", experiment::stamp());
            }
            for (run, part) in known.keys().filter(|who| !now.contains_key(who)) {
                println!("{} {run} {part} is gone", experiment::stamp());
            }
            known = now;
            sleep(LOOK_EVERY).await;
        }
    })
}

/// Everybody who stands, each with what it answers.
async fn look(
    engine: &Engine,
    watch: &Watch,
    name: Option<&str>,
) -> Result<Vec<(Standing, Option<Report>)>> {
    let standing = docker::standing(engine, name).await?;
    let asked = standing.into_iter().map(async |standing| {
        let at = standing.address.filter(|_| standing.part.starts_with("node-"));
        let report = match at {
            Some(at) => watch.report(SocketAddr::from((at, CLIENT_PORT))).await,
            None => None,
        };
        (standing, report)
    });
    Ok(join_all(asked).await)
}

/// What a replica believes, but for how far it is.
fn believes(report: Option<&Report>) -> String {
    let Some(Report { about, status, gossip, .. }) = report else {
        return "says nothing".to_owned();
    };
    let leader = status.leader.map_or("nobody".to_owned(), |leader| format!("node {leader}"));
    format!(
        "{} node {} is {:?} in epoch {}, follows {leader}, sees {} alive",
        about.protocol,
        about.node,
        status.role,
        status.epoch,
        gossip.alive().len(),
    )
}

/// Prints what somebody said.
pub fn logs(arguments: &LogsArgs) -> Result<bool> {
    let Ground::Docker = arguments.target;
    runtime()?.block_on(async {
        let engine = experiment::reach().await?;
        let LogsArgs { part, name, lines, .. } = arguments;
        let standing = docker::standing(&engine, Some(name)).await?;
        let theirs: Vec<_> = standing.iter().filter(|found| found.part == *part).collect();
        if theirs.is_empty() {
            return Err(usage(format!("no '{part}' stands in a cluster called '{name}'")));
        }
        for found in theirs {
            print!("{}", docker::said(&engine, &found.container, *lines).await?);
        }
        Ok(true)
    })
}

/// Removes what stands, and what was left behind, and says how much that was.
pub fn down(arguments: &DownArgs) -> Result<bool> {
    let Ground::Docker = arguments.target;
    let removed = runtime()?.block_on(async {
        docker::remove(&experiment::reach().await?, arguments.name.as_deref()).await
    })?;
    let Removed { containers, volumes, networks } = removed;
    println!("removed {containers} containers, {volumes} volumes, {networks} networks");
    Ok(true)
}

/// Builds the image, and says what it is called.
pub fn image(arguments: &ImageArgs) -> Result<bool> {
    let executable = match &arguments.executable {
        Some(executable) => executable.clone(),
        None => std::env::current_exe().context("cannot find this executable")?,
    };
    let image = runtime()?
        .block_on(async { docker::ensure(&experiment::reach().await?, &executable).await })?;
    let megabytes = image.bytes as f64 / 1e6;
    let how = if image.built { "built" } else { "there already" };
    eprintln!("{how}, {megabytes:.1} MB");
    println!("{}", image.name);
    Ok(true)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")
}
