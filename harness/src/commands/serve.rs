//! `harness replica` and `harness gateway`: what deployments start.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use consensus_core::NodeId;
use faults::LinkRules;
use replica::{
    Listen, Parent, ReplicaConfig, Sampling, client::ClientOptions, gateway::GatewayConfig, storage,
};

use crate::{
    cli::{GatewayArgs, ReplicaArgs, StorageKind},
    registry,
    usage::usage,
};

/// How often a replica's state is sampled.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);

/// Runs a replica until it is told to stop.
pub fn replica(arguments: ReplicaArgs) -> Result<bool> {
    start_logging();
    let protocol = registry::find(&arguments.protocol)?;
    let members = arguments.members.iter().copied().map(NodeId).collect();
    let settings = arguments.tuning.settings(NodeId(arguments.node), members);
    protocol.check(settings.clone())?;
    let config = ReplicaConfig {
        settings,
        cluster: arguments.cluster,
        listen: Listen {
            client: arguments.client_address,
            peer: arguments.peer_address,
            gossip: arguments.gossip_address,
        },
        advertise: arguments.advertise,
        seeds: arguments.seed_addresses,
        data: arguments.data,
        storage: match arguments.storage {
            StorageKind::Sled => storage::StorageKind::Sled,
            StorageKind::Memory => storage::StorageKind::Memory,
        },
        seed: arguments.seed,
        links: arguments.link_rules.as_deref().map(link_rules).transpose()?,
        sampling: Some(Sampling { every: SAMPLE_EVERY, key: arguments.watch }),
        parent: parent(arguments.die_with_parent),
    };
    runtime()?.block_on((protocol.serve)(config))?;
    Ok(true)
}

/// Runs a gateway until it is told to stop.
pub fn gateway(arguments: GatewayArgs) -> Result<bool> {
    start_logging();
    let config = GatewayConfig {
        cluster: arguments.cluster,
        client: arguments.client_address,
        gossip: arguments.gossip_address,
        advertise: arguments.advertise,
        seeds: arguments.seed_addresses,
        data: arguments.data,
        parent: parent(arguments.die_with_parent),
        client_options: ClientOptions::default(),
    };
    runtime()?.block_on(replica::gateway::run(config))?;
    Ok(true)
}

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).init();
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    // The consensus loop, the disk and the journal have threads of their own; what is left is sockets.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

fn parent(die_with: Option<u32>) -> Parent {
    die_with.map_or(Parent::Outlive, Parent::DieWith)
}

fn link_rules(path: &Path) -> Result<LinkRules> {
    let shown = path.display();
    let text = fs::read(path).map_err(|error| usage(format!("cannot read {shown}: {error}")))?;
    serde_json::from_slice(&text)
        .map_err(|error| usage(format!("{shown} holds no link rules: {error}")))
}
