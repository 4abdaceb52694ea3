//! The arguments of what concerns clusters that outlive the command that started them.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

use super::{KubernetesArgs, Peers, StorageKind};
use crate::tuning::Tuning;

/// `harness image`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness image                                        this executable, with the libraries that it needs
  harness image --executable target/release/harness
                                                       a static one (see deploy/README.md)

`harness run --target docker` does this by itself.")]
pub struct ImageArgs {
    /// A static executable; without it, this one.
    #[arg(long, value_name = "FILE")]
    pub executable: Option<PathBuf>,
}

/// `harness pod`.
#[derive(Debug, Args)]
pub struct PodArgs {
    /// What.
    #[arg(value_enum)]
    pub errand: PodErrand,
    /// Hand over all that is on the disk, and not only what was written down for others.
    #[arg(long)]
    pub everything: bool,
    /// Whom to call.
    #[arg(long, required_if_eq("errand", "call"))]
    pub to: Option<SocketAddr>,
}

/// What is done inside a replica's pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum PodErrand {
    /// Kill the replica with SIGKILL, and say when.
    Kill,
    /// Freeze it with SIGSTOP, and say when.
    Freeze,
    /// Let it go on with SIGCONT, and say when.
    Thaw,
    /// Freeze it, hand over what it wrote down, and kill it.
    Seize,
    /// Hand over what a replica wrote down that runs no more.
    Fetch,
    /// Read the host's monotonic clock.
    Clock,
    /// Do nothing until told to stop.
    Wait,
    /// Answer whoever calls, until told to stop.
    Listen,
    /// Call somebody, say so whenever they answer, and go on until told to stop.
    Call,
}

/// Where clusters stand that outlive the command that started them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Ground {
    /// Containers of this machine's Docker engine.
    Docker,
    /// Pods of a Kubernetes cluster.
    Kubernetes,
}

/// What a replica's disk is, in a pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum PodVolumes {
    /// A claim: a deleted pod comes back on its own disk.
    Claims,
    /// An emptyDir: a deleted pod comes back as somebody new, and takes its old self's place.
    Emptydir,
}

/// `harness up`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness up --target docker --protocol raft
  harness up --target docker --protocol multipaxos --nodes 3 --name second
  harness status --target docker
  harness down --target docker
  harness up --target kubernetes --protocol raft --nodes 5
  harness up --target kubernetes --protocol raft --context lab --load 'deploy/ci/kubernetes load'

It says so once every replica's gossip sees all others, and all follow one leader.")]
pub struct UpArgs {
    /// Where.
    #[arg(long, value_enum)]
    pub target: Ground,
    /// Which protocol (see `harness protocols`).
    #[arg(long)]
    pub protocol: String,
    /// How many replicas.
    #[arg(long, default_value_t = 5)]
    pub nodes: usize,
    /// What the cluster is called: letters, digits and dashes.
    #[arg(long, default_value = "lab", value_parser = parse_name)]
    pub name: String,
    /// Where the replicas' records live.
    #[arg(long, value_enum, default_value_t = StorageKind::Sled)]
    pub storage: StorageKind,
    /// What the replicas speak to each other.
    #[arg(long, value_enum, default_value_t = Peers::Plain)]
    pub peers: Peers,
    /// What the replicas' disks are (kubernetes).
    #[arg(long, value_enum, default_value_t = PodVolumes::Claims)]
    pub volumes: PodVolumes,
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
    #[command(flatten)]
    pub tuning: Tuning,
}

/// `harness status` and `harness watch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness status --target docker                       every cluster, of runs under way too
  harness watch --target docker --name lab             until it is interrupted
  harness status --target kubernetes

What compose started from deploy/compose.yaml is found as well; it is called `compose`. What kubectl
applied from deploy/kubernetes is found as well; it is called `lab`.")]
pub struct StandingArgs {
    /// Where.
    #[arg(long, value_enum)]
    pub target: Ground,
    /// Which cluster; all of them if not given.
    #[arg(long)]
    pub name: Option<String>,
    #[command(flatten)]
    pub context: ContextArg,
}

/// Which Kubernetes cluster.
#[derive(Clone, Debug, Args)]
pub struct ContextArg {
    /// A context of the kubeconfig (kubernetes); without it, the current one, which must be
    /// minikube's or kind's.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// `harness logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness logs --target docker node-3
  harness logs --target docker gateway --name lab --lines 20")]
pub struct LogsArgs {
    /// Whose: `node-3`, `gateway`.
    #[arg(value_name = "PART")]
    pub part: String,
    /// Where.
    #[arg(long, value_enum)]
    pub target: Ground,
    /// Of which cluster.
    #[arg(long, default_value = "lab")]
    pub name: String,
    /// How many of the last lines; all of them if not given.
    #[arg(long)]
    pub lines: Option<u32>,
    #[command(flatten)]
    pub context: ContextArg,
}

/// `harness down`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness down --target docker                         everything, runs under way among it
  harness down --target docker --name lab              this cluster alone

A run cleans up after itself, also when it is interrupted. What one leaves that is killed is removed by
this: whatever carries the label `lab.run`; on Kubernetes, every namespace that is part of
`consensus-lab`, also what kubectl alone applied.")]
pub struct DownArgs {
    /// Where.
    #[arg(long, value_enum)]
    pub target: Ground,
    /// Which cluster; everything if not given.
    #[arg(long)]
    pub name: Option<String>,
    #[command(flatten)]
    pub context: ContextArg,
}

fn parse_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match !text.is_empty() && text.len() <= 32 && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("a name is up to 32 small letters, digits and dashes".to_owned()),
    }
}
