//! The engine that runs containers on this machine, reached by its socket.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use bollard::{Docker, errors::Error, query_parameters as query};

/// Every container, volume and network of the laboratory carries this label; its value names the run.
pub const RUN_LABEL: &str = "lab.run";

/// This label says what part of its run something is.
pub(crate) const PART_LABEL: &str = "lab.part";

/// A Docker engine of this machine.
#[derive(Clone, Debug)]
pub struct Engine {
    docker: Docker,
    facts: BTreeMap<String, String>,
}

impl Engine {
    /// Asks the engine who it is.
    ///
    /// # Errors
    ///
    /// If none answers at `DOCKER_HOST`, or at the usual socket.
    pub async fn reach() -> Result<Self> {
        let docker = Docker::connect_with_defaults().context("no Docker engine can be reached")?;
        let docker = docker.negotiate_version().await.context("no Docker engine answers")?;
        let version = docker.version().await.context("no Docker engine answers")?;
        let info = docker.info().await.context("the Docker engine does not describe itself")?;
        let unknown = || "unknown".to_owned();
        let named = format!(
            "Docker {} (API {})",
            version.version.unwrap_or_else(unknown),
            version.api_version.unwrap_or_else(unknown)
        );
        let facts = BTreeMap::from([
            ("container engine".to_owned(), named),
            ("container file systems".to_owned(), info.driver.unwrap_or_else(unknown)),
            ("container runtime".to_owned(), info.default_runtime.unwrap_or_else(unknown)),
        ]);
        Ok(Self { docker, facts })
    }

    /// What reports tell of it, by name.
    pub const fn facts(&self) -> &BTreeMap<String, String> {
        &self.facts
    }

    pub(crate) const fn docker(&self) -> &Docker {
        &self.docker
    }

    /// How many containers, volumes and networks carry this label.
    pub async fn left(&self, label: &str) -> Result<[usize; 3]> {
        let containers = self.containers(label).await?.len();
        let volumes = self.volumes(label).await?.len();
        Ok([containers, volumes, self.networks(label).await?.len()])
    }

    /// The names of the containers with this label, or this label and value, whether they run or not.
    pub(crate) async fn containers(&self, label: &str) -> Result<Vec<String>> {
        let options = query::ListContainersOptionsBuilder::default().all(true);
        let options = options.filters(&filter("label", label)).build();
        let listed = self.docker.list_containers(Some(options)).await;
        let listed = listed.context("cannot list the containers")?;
        Ok(listed.into_iter().filter_map(|container| container.id).collect())
    }

    /// The names of the volumes with this label.
    pub(crate) async fn volumes(&self, label: &str) -> Result<Vec<String>> {
        let options = query::ListVolumesOptionsBuilder::default();
        let options = options.filters(&filter("label", label)).build();
        let listed = self.docker.list_volumes(Some(options)).await;
        let listed = listed.context("cannot list the volumes")?;
        Ok(listed.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect())
    }

    /// The networks with this label: the name of each, and the value of the label.
    pub(crate) async fn networks(&self, label: &str) -> Result<Vec<(String, String)>> {
        let options = query::ListNetworksOptionsBuilder::default();
        let options = options.filters(&filter("label", label)).build();
        let listed = self.docker.list_networks(Some(options)).await;
        let listed = listed.context("cannot list the networks")?;
        let named = listed.into_iter().filter_map(|network| {
            let run = network.labels.unwrap_or_default().remove(RUN_LABEL)?;
            Some((network.name?, run))
        });
        Ok(named.collect())
    }

    /// Removes a container, whether it runs or not, and whether it is there or not.
    pub(crate) async fn remove_container(&self, name: &str) -> Result<()> {
        let options = query::RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removed = self.docker.remove_container(name, Some(options)).await;
        done(removed).with_context(|| format!("cannot remove the container {name}"))
    }
}

/// The filter of a list.
pub(crate) fn filter(name: &str, value: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([(name.to_owned(), vec![value.to_owned()])])
}

/// The labels of something that is part of a run.
pub(crate) fn labels(run: &str, part: &str) -> HashMap<String, String> {
    HashMap::from([
        (RUN_LABEL.to_owned(), run.to_owned()),
        (PART_LABEL.to_owned(), part.to_owned()),
    ])
}

/// Takes it for done if it was done already: gone, or not running any more, or being removed.
pub(crate) fn done(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::DockerResponseServerError { status_code: 304 | 404 | 409, .. }) => Ok(()),
        other => other,
    }
}
