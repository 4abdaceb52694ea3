//! The target `docker`: containers on a private network, with volumes.

use std::{path::Path, process};

use anyhow::{Context as _, Result};
use deploy::{
    Wanted,
    docker::{self, DockerSite, DockerSpec, Engine},
};

use super::{
    Raw, host,
    load::{CLIENTS, Clients},
    real,
};
use crate::{
    interrupt::Interrupts,
    plan::{self, Plan},
    registry::Entry,
    usage::usage,
};

/// Runs a plan in containers of this machine's Docker engine.
pub fn docker(
    plan: &Plan,
    protocol: &Entry,
    directory: &Path,
    interrupts: &Interrupts,
) -> Result<Raw> {
    let mut facts = std::collections::BTreeMap::new();
    let site = async || {
        let engine = reach().await?;
        facts.clone_from(engine.facts());
        let spec = spec(&engine, plan, protocol, directory).await?;
        let mut site = DockerSite::create(engine, spec).await?;
        let pipe = site.pipe(CLIENTS, &["load".to_owned()]).await;
        Clients::at(site, pipe).await
    };
    let raw = real::run(plan, site, directory, interrupts)?;
    Ok(Raw { facts, ..raw })
}

/// This machine's engine.
pub async fn reach() -> Result<Engine> {
    Engine::reach().await.map_err(|error| usage(format!("{error:#}")))
}

async fn spec(
    engine: &Engine,
    plan: &Plan,
    protocol: &Entry,
    directory: &Path,
) -> Result<DockerSpec> {
    let executable = std::env::current_exe().context("cannot find this executable")?;
    let image = docker::ensure(engine, &executable).await?;
    let directory = std::path::absolute(directory).context("cannot name the run's folder")?;
    Ok(DockerSpec {
        run: format!("{}-{}-{}", protocol.name, host::stamp(), process::id()),
        image: image.name,
        directory,
        members: plan.members(),
        replica_arguments: plan.replica_arguments(protocol),
        secrets: plan::secrets(plan.peers, protocol.name)?,
        gateway_arguments: Vec::new(),
        cut: plan.cut,
        wanted: if plan.keep_data { Wanted::Everything } else { Wanted::Records },
    })
}
