//! What stands on the engine: a run's containers, found by their labels alone.

use std::{collections::HashMap, net::Ipv4Addr};

use anyhow::{Context as _, Result};
use bollard::{models::ContainerSummary, query_parameters as query};
use futures::TryStreamExt as _;

use super::engine::{Engine, PART_LABEL, RUN_LABEL, filter};

/// What compose calls a part of what it started.
const SERVICE_LABEL: &str = "com.docker.compose.service";

/// A container of the laboratory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Standing {
    /// The run that it belongs to.
    pub run: String,
    /// Its part there: `node-3`, `gateway`.
    pub part: String,
    /// Its name on the engine.
    pub container: String,
    /// Its address on the run's network, if it runs.
    pub address: Option<Ipv4Addr>,
    /// How it is, in the engine's words: `Up 3 minutes`, `Exited (137) 2 seconds ago`.
    pub state: String,
}

/// The containers of one run, or of all, by run and part.
pub async fn standing(engine: &Engine, run: Option<&str>) -> Result<Vec<Standing>> {
    let label = run.map_or(RUN_LABEL.to_owned(), |run| format!("{RUN_LABEL}={run}"));
    let options = query::ListContainersOptionsBuilder::default().all(true);
    let options = options.filters(&filter("label", &label)).build();
    let listed = engine.docker().list_containers(Some(options)).await;
    let listed = listed.context("cannot list the containers")?;
    let mut standing: Vec<_> = listed.into_iter().filter_map(describe).collect();
    standing.sort_unstable();
    Ok(standing)
}

fn describe(found: ContainerSummary) -> Option<Standing> {
    let mut labels: HashMap<_, _> = found.labels?;
    let networks = found.network_settings.and_then(|settings| settings.networks);
    let addresses = networks.into_iter().flatten();
    let address = addresses.filter_map(|(_, at)| at.ip_address?.parse().ok()).next();
    let name = found.names?.into_iter().next()?;
    Some(Standing {
        run: labels.remove(RUN_LABEL)?,
        part: labels.remove(PART_LABEL).or_else(|| labels.remove(SERVICE_LABEL))?,
        container: name.trim_start_matches('/').to_owned(),
        address,
        state: found.status.unwrap_or_default(),
    })
}

/// What a container said last, in all its lives: so many lines of it, or everything.
pub async fn said(engine: &Engine, container: &str, lines: Option<u32>) -> Result<String> {
    let tail = lines.map_or("all".to_owned(), |lines| lines.to_string());
    let options = query::LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&tail);
    let pieces = engine.docker().logs(container, Some(options.build()));
    let pieces: Result<Vec<_>, _> = pieces.map_ok(|piece| piece.to_string()).try_collect().await;
    Ok(pieces.with_context(|| format!("what {container} said is lost"))?.concat())
}
