//! The arguments of what deployments start: a replica, a gateway.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use consensus_core::NodeId;

use super::{Peers, StorageKind, parse_server};
use crate::tuning::{Tuning, parse_duration};

/// `harness replica`.
#[derive(Debug, Args)]
#[command(after_help = "\
A replica that is not among --members is a newcomer: it only learns until it is added (`harness
members`). It may also leave --members out.

A data directory belongs to one node for ever. A replica on an empty one asks the others first whether
they know its name with another disk. If they do, that disk is lost, with everything that this replica
once promised: it comes back under another name (3 as 103) and has itself put in the place of its old
self. If they do not, it may vote once a majority of the other members remembers it; so a new cluster
of three needs all three to begin, and needs two from then on.")]
pub struct ReplicaArgs {
    /// Which protocol (see `harness protocols`).
    #[arg(long)]
    pub protocol: String,
    #[command(flatten)]
    pub who: Who,
    /// The voting members at the cluster's first start. What the log says of them comes on top.
    #[arg(long, value_delimiter = ',')]
    pub members: Vec<u64>,
    /// The cluster's name; replicas of other clusters are refused.
    #[arg(long, default_value = "lab")]
    pub cluster: String,
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// How long another process may still hold the data directory, as in 20s: a deleted pod may run
    /// for a moment beside its successor.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub wait_for_data: Duration,
    /// Where the replica's records live.
    #[arg(long, value_enum, default_value_t = StorageKind::Sled)]
    pub storage: StorageKind,
    /// What replicas speak to each other.
    #[arg(long, value_enum, default_value_t = Peers::Plain)]
    pub peers: Peers,
    /// Where their certificates are for TLS: ca.crt, tls.crt and tls.key, as `harness certificates`
    /// issues them.
    #[arg(long, value_name = "DIR", required_if_eq("peers", "tls"))]
    pub certificates: Option<PathBuf>,
    /// HTTP for clients and the administrator; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub client_address: SocketAddr,
    /// gRPC for peers.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub peer_address: SocketAddr,
    /// UDP for gossip.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub gossip_address: SocketAddr,
    /// The address under which others reach this host, if it listens on all of them; or a name that
    /// means it here, as a container's own does.
    #[arg(long, value_name = "IP|HOST")]
    pub advertise: Option<String>,
    /// The gossip address of a replica that is already there; several may be given. A host's name is
    /// looked up again and again.
    #[arg(long = "seed-address", value_name = "HOST:PORT", value_parser = parse_server)]
    pub seed_addresses: Vec<String>,
    /// The seed of this replica's draws.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Link faults in force from the first packet on (a JSON file).
    #[arg(long, value_name = "FILE")]
    pub link_rules: Option<PathBuf>,
    /// A key whose value is part of the replica's state samples.
    #[arg(long)]
    pub watch: Option<String>,
    /// End when the process of this number, which started this one, ends.
    #[arg(long, value_name = "PROCESS")]
    pub die_with_parent: Option<u32>,
    #[command(flatten)]
    pub tuning: Tuning,
}

/// Which replica this is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Who {
    /// This replica's number.
    #[arg(long)]
    pub node: Option<u64>,
    /// The name of this pod of a StatefulSet, in place of a number: `replica-0` is node 1.
    #[arg(long, value_name = "NAME-ORDINAL", value_parser = parse_pod)]
    pub pod: Option<u64>,
}

impl Who {
    /// The replica's number.
    pub fn node(&self) -> NodeId {
        NodeId(self.node.or(self.pod).expect("one of the two is required"))
    }
}

/// `harness gateway`.
#[derive(Debug, Args)]
pub struct GatewayArgs {
    /// The cluster's name.
    #[arg(long, default_value = "lab")]
    pub cluster: String,
    /// Where it writes the addresses it listens on.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// HTTP for clients; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub client_address: SocketAddr,
    /// UDP for gossip.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub gossip_address: SocketAddr,
    /// The address under which others reach this host, if it listens on all of them; or a name that
    /// means it here.
    #[arg(long, value_name = "IP|HOST")]
    pub advertise: Option<String>,
    /// The gossip address of a replica; several may be given.
    #[arg(long = "seed-address", value_name = "HOST:PORT", required = true, value_parser = parse_server)]
    pub seed_addresses: Vec<String>,
    /// End when the process of this number, which started this one, ends.
    #[arg(long, value_name = "PROCESS")]
    pub die_with_parent: Option<u32>,
}

/// `harness certificates`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness certificates --out certificates
  harness replica --protocol raft --node 1 --members 1,2,3 --data data/1 --peers tls --certificates certificates
  kubectl -n consensus-lab create secret generic peers --from-file=certificates

Three files: the cluster's own authority (ca.crt), and what its replicas show each other and whoever
calls them (tls.crt, with the private key tls.key). The authority's key is kept nowhere; the
certificate is valid for a year. A run with `--peers tls` issues its own.")]
pub struct CertificatesArgs {
    /// The folder; files that are there are not overwritten.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The cluster's name, as certificates tell it.
    #[arg(long, default_value = "lab")]
    pub cluster: String,
}

/// The node that a pod of a StatefulSet is: ordinals begin with 0, and nodes with 1.
fn parse_pod(name: &str) -> Result<u64, String> {
    let ordinal = name.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse::<u32>().ok());
    let node = ordinal.map(|ordinal| u64::from(ordinal) + 1);
    node.ok_or_else(|| format!("'{name}' is no pod of a StatefulSet, as in replica-0"))
}
