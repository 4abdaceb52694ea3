//! Clusters in containers.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, Result};
use deploy::{
    Cluster, Cut, Wanted,
    docker::{self, CLIENT_PORT, DockerSite, DockerSpec, Engine, Removed, Standing},
};
use futures::future::join_all;
use replica::http::server::Report;
use tokio::time::sleep;

use super::{LOOK_EVERY, Told, asked, believes, progress, serving};
use crate::{
    cli::{DownArgs, ImageArgs, LogsArgs, StandingArgs, UpArgs},
    experiment::{self, watch::Watch},
    plan,
    usage::usage,
};

pub async fn up(arguments: &UpArgs) -> Result<bool> {
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
}

async fn spec(engine: &Engine, arguments: &UpArgs) -> Result<DockerSpec> {
    let (protocol, members) = asked(arguments)?;
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
            arguments.peers,
            &arguments.tuning,
        ),
        gateway_arguments: Vec::new(),
        secrets: plan::secrets(arguments.peers, &arguments.name)?,
        members,
        cut: Cut::Shim,
        wanted: Wanted::Records,
    })
}

pub async fn status(arguments: &StandingArgs) -> Result<bool> {
    let engine = experiment::reach().await?;
    let seen = look(&engine, &Watch::new()?, arguments.name.as_deref()).await?;
    if seen.is_empty() {
        println!("nothing stands; harness up --target docker --protocol raft starts a cluster");
    }
    for (standing, report) in &seen {
        let Standing { run, part, state, .. } = standing;
        let at = standing.address.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let (believes, progress) = (believes(report.as_ref()), progress(report.as_ref()));
        println!("{run:<12} {part:<10} {at:<15} {state}: {believes}{progress}");
    }
    Ok(!seen.is_empty())
}

pub async fn follow(arguments: &StandingArgs) -> Result<bool> {
    let engine = experiment::reach().await?;
    let watch = Watch::new()?;
    let mut known = Told::default();
    loop {
        let seen = look(&engine, &watch, arguments.name.as_deref()).await?;
        let now = seen.into_iter().map(|(standing, report)| {
            let runs = if standing.address.is_some() { "runs" } else { "is down" };
            let told = format!("{runs}: {}", believes(report.as_ref()));
            ((standing.run, standing.part), told)
        });
        known.change(now.collect());
        sleep(LOOK_EVERY).await;
    }
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

pub async fn logs(arguments: &LogsArgs) -> Result<bool> {
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
}

pub async fn down(arguments: &DownArgs) -> Result<bool> {
    let removed = docker::remove(&experiment::reach().await?, arguments.name.as_deref()).await?;
    let Removed { containers, volumes, networks } = removed;
    println!("removed {containers} containers, {volumes} volumes, {networks} networks");
    Ok(true)
}

/// Builds the image, and says what it is called.
pub async fn image(arguments: &ImageArgs) -> Result<bool> {
    let executable = match &arguments.executable {
        Some(executable) => executable.clone(),
        None => std::env::current_exe().context("cannot find this executable")?,
    };
    let image = docker::ensure(&experiment::reach().await?, &executable).await?;
    let megabytes = image.bytes as f64 / 1e6;
    let how = if image.built { "built" } else { "there already" };
    eprintln!("{how}, {megabytes:.1} MB");
    println!("{}", image.name);
    Ok(true)
}
