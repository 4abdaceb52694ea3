//! Removing what runs left: containers, volumes, networks, and tables of the packet filter.

use anyhow::{Context as _, Result};
use bollard::query_parameters as query;
use futures::future::try_join_all;

use super::{
    cut,
    engine::{Engine, RUN_LABEL, done},
};

/// What was removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Removed {
    /// Containers, running or not.
    pub containers: usize,
    /// Volumes, with what is on them.
    pub volumes: usize,
    /// Networks.
    pub networks: usize,
}

/// Removes everything that carries the label of one run, or of any.
pub async fn remove(engine: &Engine, run: Option<&str>) -> Result<Removed> {
    let label = match run {
        Some(run) => format!("{RUN_LABEL}={run}"),
        None => RUN_LABEL.to_owned(),
    };
    let containers = engine.containers(&label).await?;
    try_join_all(containers.iter().map(|name| engine.remove_container(name))).await?;
    let volumes = engine.volumes(&label).await?;
    try_join_all(volumes.iter().map(async |name| {
        let options = None::<query::RemoveVolumeOptions>;
        let removed = engine.docker().remove_volume(name, options).await;
        done(removed).with_context(|| format!("cannot remove the volume {name}"))
    }))
    .await?;
    let networks = engine.networks(&label).await?;
    for (name, run) in &networks {
        let removed = engine.docker().remove_network(name).await;
        done(removed).with_context(|| format!("cannot remove the network {name}"))?;
        // Only who may cut links left any; the cuts themselves have expired.
        let _nothing_to_remove = cut::remove_left(run).await;
    }
    Ok(Removed { containers: containers.len(), volumes: volumes.len(), networks: networks.len() })
}
