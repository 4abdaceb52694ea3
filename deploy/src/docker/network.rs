//! A run's own network: a bridge of this machine without an uplink, on which the harness chooses who
//! has which address.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};

use super::engine::{Engine, labels};

/// The first number that a container gets; below are the bridge's own address and a few to spare.
const FIRST_HOST: u32 = 10;

/// How many addresses a run may use up: each container that moves takes a new one.
const MOST_HOSTS: u32 = 240;

/// A private bridge network.
#[derive(Debug)]
pub(crate) struct Network {
    name: String,
    base: Ipv4Addr,
    used: u32,
}

impl Network {
    /// Makes the network of a run.
    ///
    /// Addresses can be chosen only where the subnet was, and only the engine knows which subnets are
    /// free: so it is asked for any network first, whose subnet is then asked for by name.
    pub async fn create(engine: &Engine, run: &str) -> Result<Self> {
        let name = format!("lab-{run}");
        make(engine, &name, run, None).await?;
        let found = engine.docker().inspect_network(&name, None).await;
        let found = found.context("cannot look at the run's network")?;
        let subnet = found.ipam.and_then(|ipam| ipam.config?.into_iter().next()?.subnet);
        let subnet = subnet.context("the engine gave the run's network no subnet")?;
        let removed = engine.docker().remove_network(&name).await;
        removed.context("cannot make the run's network anew")?;
        make(engine, &name, run, Some(&subnet)).await?;
        let base = subnet.split('/').next().and_then(|address| address.parse().ok());
        let base = base.with_context(|| format!("the run's subnet {subnet} is no IPv4 subnet"))?;
        Ok(Self { name, base, used: 0 })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// An address that nobody had before.
    pub fn next_address(&mut self) -> Result<Ipv4Addr> {
        anyhow::ensure!(self.used < MOST_HOSTS, "a run has at most {MOST_HOSTS} addresses");
        self.used += 1;
        Ok(Ipv4Addr::from_bits(self.base.to_bits() + FIRST_HOST - 1 + self.used))
    }
}

async fn make(engine: &Engine, name: &str, run: &str, subnet: Option<&str>) -> Result<()> {
    let chosen = subnet
        .map(|subnet| IpamConfig { subnet: Some(subnet.to_owned()), ..IpamConfig::default() });
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        internal: Some(true),
        ipam: Some(Ipam { config: chosen.map(|config| vec![config]), ..Ipam::default() }),
        labels: Some(labels(run, "network")),
        ..NetworkCreateRequest::default()
    };
    let made = engine.docker().create_network(request).await;
    made.map(|_| ()).context("cannot make the run's network")
}
