//! `harness replica` and `harness gateway`: what deployments start.

use std::{
    fs, io,
    net::{IpAddr, ToSocketAddrs as _},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use consensus_core::NodeId;
use deploy::{
    Wanted,
    kubernetes::{self, Errand},
};
use faults::LinkRules;
use replica::{
    Listen, Parent, ReplicaConfig, Sampling, client::ClientOptions, gateway::GatewayConfig,
    security::Security, storage,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::{GatewayArgs, Peers, PodArgs, PodErrand, ReplicaArgs, StorageKind},
    experiment, registry,
    usage::usage,
};

/// How often a replica's state is sampled.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);

/// Runs a replica until it is told to stop.
pub fn replica(arguments: ReplicaArgs) -> Result<bool> {
    start_logging();
    let protocol = registry::find(&arguments.protocol)?;
    let members = arguments.members.iter().copied().map(NodeId).collect();
    let settings = arguments.tuning.settings(arguments.who.node(), members);
    protocol.check(settings.clone())?;
    let config = ReplicaConfig {
        settings,
        cluster: arguments.cluster,
        listen: Listen {
            client: arguments.client_address,
            peer: arguments.peer_address,
            gossip: arguments.gossip_address,
        },
        advertise: arguments.advertise.as_deref().map(own_address).transpose()?,
        seeds: arguments.seed_addresses,
        data: arguments.data,
        data_patience: arguments.wait_for_data,
        storage: match arguments.storage {
            StorageKind::Sled => storage::StorageKind::Sled,
            StorageKind::Memory => storage::StorageKind::Memory,
        },
        security: match (arguments.peers, &arguments.certificates) {
            (Peers::Tls, Some(directory)) => {
                Security::tls(directory).map_err(|error| usage(error.to_string()))?
            }
            _ => Security::Plain,
        },
        seed: arguments.seed,
        links: arguments.link_rules.as_deref().map(link_rules).transpose()?,
        sampling: Some(Sampling { every: SAMPLE_EVERY, key: arguments.watch }),
        parent: parent(arguments.die_with_parent),
    };
    serve((protocol.serve)(config))
}

/// Runs a gateway until it is told to stop.
pub fn gateway(arguments: GatewayArgs) -> Result<bool> {
    start_logging();
    let config = GatewayConfig {
        cluster: arguments.cluster,
        client: arguments.client_address,
        gossip: arguments.gossip_address,
        advertise: arguments.advertise.as_deref().map(own_address).transpose()?,
        seeds: arguments.seed_addresses,
        data: arguments.data,
        parent: parent(arguments.die_with_parent),
        client_options: ClientOptions::default(),
    };
    serve(replica::gateway::run(config))
}

/// Does something inside a replica's pod.
pub fn pod(arguments: &PodArgs) -> Result<bool> {
    let wanted = if arguments.everything { Wanted::Everything } else { Wanted::Records };
    let errand = match arguments.errand {
        PodErrand::Kill => Errand::Kill,
        PodErrand::Freeze => Errand::Freeze,
        PodErrand::Thaw => Errand::Thaw,
        PodErrand::Seize => Errand::Seize(wanted),
        PodErrand::Fetch => Errand::Fetch(wanted),
        PodErrand::Clock => Errand::Clock,
        PodErrand::Listen => return Ok(kubernetes::listen().map(|()| true)?),
        PodErrand::Call => {
            let to = arguments.to.context("somebody is to be called")?;
            return Ok(kubernetes::call(to).map(|()| true)?);
        }
        PodErrand::Wait => {
            return serve(async {
                let mut told = signal(SignalKind::terminate())?;
                told.recv().await;
                Ok::<_, io::Error>(())
            });
        }
    };
    let data = Path::new(kubernetes::DATA);
    kubernetes::carry_out(errand, data, io::BufWriter::new(io::stdout()))?;
    Ok(true)
}

/// Is the clients of a run until it is told to stop.
pub fn load() -> Result<bool> {
    serve(experiment::load())
}

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).init();
}

fn serve<E>(server: impl Future<Output = Result<(), E>>) -> Result<bool>
where
    anyhow::Error: From<E>,
{
    // The consensus loop, the disk and the journal have threads of their own; what is left is sockets.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let ended = runtime.block_on(server);
    // A name that is being looked up is not waited for, nor is a line that nobody writes.
    runtime.shutdown_background();
    ended?;
    Ok(true)
}

/// The address that this is, or that it names on this host.
fn own_address(host: &str) -> Result<IpAddr> {
    let found = (host, 0).to_socket_addrs();
    let found = found.map_err(|error| usage(format!("'{host}' names no address here: {error}")))?;
    // Gossip and its peers are told one address each; the older kind is everywhere.
    let all: Vec<_> = found.map(|at| at.ip()).collect();
    let first = all.iter().find(|ip| ip.is_ipv4()).or(all.first()).copied();
    first.ok_or_else(|| usage(format!("'{host}' names no address here")))
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
