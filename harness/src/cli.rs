//! The arguments of every command.

mod searches;
mod serving;
mod standing;

use std::{ops::Range, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use consensus_core::Consistency;
use reports::Clock;
use simulator::Preset;

pub use searches::{HuntArgs, Quarry, ReplayArgs, ShrinkArgs, SweepArgs};
pub use serving::{CertificatesArgs, GatewayArgs, ReplicaArgs};
pub use standing::{
    DownArgs, Ground, ImageArgs, LogsArgs, PodArgs, PodErrand, PodVolumes, StandingArgs, UpArgs,
};

use crate::tuning::{Tuning, parse_duration, parse_duration_range};

/// A laboratory for consensus protocols: Raft and Multi-Paxos under the same failures.
#[derive(Debug, Parser)]
#[command(
    name = "harness",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  harness run --protocol raft                          kill the leader ten times, on real processes
  harness run --protocol multipaxos --target sim       the same schedule in virtual time
  harness compare --protocols raft,multipaxos          both under one schedule, one report
  harness run --protocol raft --target docker          the same in containers
  harness run --protocol raft --target kubernetes      the same in pods: minikube, kind or --context
  harness up --target docker --protocol raft           a cluster to play with
  harness sweep --protocol raft --seeds 0..500         many seeded simulations with every fault
  harness schedules                                    what is bundled

Exit status: 0 the run holds its expectations, 1 it does not, 2 bad arguments or an unreachable target."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one protocol under a failure schedule, check what happened, and write a report.
    Run(RunArgs),
    /// Run several protocols under the same schedule and write one report with both.
    Compare(CompareArgs),
    /// Run many seeded simulations; shrink what failed, and print how to replay it.
    Sweep(SweepArgs),
    /// Cut a schedule under which a simulated run fails down to what it takes.
    Shrink(ShrinkArgs),
    /// Search for schedules in which two protocols differ most, and write the best ones.
    Hunt(HuntArgs),
    /// Play a recorded run again: in virtual time, beside the real one, or with another protocol.
    Replay(ReplayArgs),
    /// Cut links for long, in virtual time, and tell which variant of which protocol recovers.
    Recovery(RecoveryArgs),
    /// Give the verdicts on a recorded run, or on a history file.
    Check(CheckArgs),
    /// Build report.html again from run directories; several become one comparison.
    Report(ReportArgs),
    /// Write a run's history for a checker that others wrote.
    #[command(after_help = "\
Examples:
  harness export runs/mine --format jepsen --out history.edn     for Knossos and Elle, as Jepsen keeps it
  harness export runs/mine --format porcupine | head -3          a JSON line for each operation
  harness export runs/mine/history.jsonl --format porcupine      a history alone will do

The formats are defined, field by field, in checker/README.md.")]
    Export(ExportArgs),
    /// List the bundled schedules, or print one.
    Schedules(SchedulesArgs),
    /// List the protocols.
    Protocols,
    /// Read a key.
    Get(GetArgs),
    /// Write a key.
    Put(PutArgs),
    /// Write a key if it holds what is expected.
    Cas(CasArgs),
    /// Write a key if it holds nothing, and say what it held.
    #[command(name = "test-and-set")]
    TestAndSet(TestAndSetArgs),
    /// List the members of a cluster, add some, remove some, or replace one.
    Members(MembersArgs),
    /// Hand leadership over to another replica.
    Transfer(TransferArgs),
    /// Start one replica (what deployments run).
    Replica(Box<ReplicaArgs>),
    /// Start a gateway: the stateless web server in front of the replicas.
    Gateway(GatewayArgs),
    /// Issue the certificates of a cluster whose replicas speak TLS.
    Certificates(CertificatesArgs),
    /// Be the clients of a run: orders come in, what came of each operation goes out.
    #[command(hide = true)]
    Load,
    /// Do something inside a replica's pod.
    #[command(hide = true)]
    Pod(PodArgs),
    /// Build the image of this executable, or of another, and say what it is called.
    Image(ImageArgs),
    /// Start a cluster to play with, and leave it standing.
    Up(UpArgs),
    /// Say who stands, who leads, and how far each replica is.
    Status(StandingArgs),
    /// Follow a cluster, a line for each change.
    Watch(StandingArgs),
    /// Print what a replica or the gateway said.
    Logs(LogsArgs),
    /// Remove clusters, and everything that runs left behind.
    Down(DownArgs),
}

/// Where a cluster runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Target {
    /// All replicas in one thread, in virtual time, seeded.
    Sim,
    /// Real processes on loopback, real disks.
    Local,
    /// Containers of this machine's Docker engine, on a private network, with volumes.
    Docker,
    /// Pods of a Kubernetes cluster, each with a claim: they come back by themselves.
    Kubernetes,
}

impl Target {
    /// Which kind of clock its times come from.
    pub const fn clock(self) -> Clock {
        match self {
            Self::Sim => Clock::Virtual,
            Self::Local | Self::Docker | Self::Kubernetes => Clock::Wall,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sim => "sim",
            Self::Local => "local",
            Self::Docker => "docker",
            Self::Kubernetes => "kubernetes",
        })
    }
}

/// Where a replica's records live.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum StorageKind {
    /// sled, with its file synced to the drive.
    Sled,
    /// Memory: nothing survives the process.
    Memory,
}

impl std::fmt::Display for StorageKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sled => "sled",
            Self::Memory => "memory",
        })
    }
}

/// What replicas speak to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Peers {
    /// In the clear.
    #[default]
    Plain,
    /// Mutual TLS, by certificates of the cluster's own.
    Tls,
}

impl std::fmt::Display for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
        })
    }
}

/// Which way the load takes on a real target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Route {
    /// Clients find the leader themselves.
    Direct,
    /// Clients send everything to the gateway.
    Gateway,
}

/// What carries cut links out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum CutBy {
    /// The link shim in each replica.
    Shim,
    /// The network, which drops the packets: on the bridge between containers (docker; takes root, and
    /// nft), or by NetworkPolicies (kubernetes; refused where the network does not keep to them).
    #[value(alias = "network-policy")]
    Network,
}

/// What a read promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ReadConsistency {
    Linearizable,
    Lease,
    Follower,
    Stale,
}

impl From<ReadConsistency> for Consistency {
    fn from(asked: ReadConsistency) -> Self {
        match asked {
            ReadConsistency::Linearizable => Self::Linearizable,
            ReadConsistency::Lease => Self::Lease,
            ReadConsistency::Follower => Self::Follower,
            ReadConsistency::Stale => Self::Stale,
        }
    }
}

/// What both `run` and `compare` take.
#[derive(Clone, Debug, Args)]
pub struct ExperimentArgs {
    /// Where the cluster runs.
    #[arg(long, value_enum, default_value_t = Target::Local)]
    pub target: Target,
    /// A bundled schedule's name, or a schedule file.
    #[arg(long, default_value = "leader-crash", value_name = "NAME|FILE")]
    pub schedule: String,
    /// How many replicas; the schedule's own number if not given.
    #[arg(long)]
    pub nodes: Option<usize>,
    /// How often the schedule's repeating steps repeat; the schedule's own number if not given.
    #[arg(long)]
    pub trials: Option<u32>,
    /// The seed of every draw: jitter, targets, arrivals, keys, the simulated network.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where to write; by default a new folder under runs/.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where the replicas' records live (local, docker, kubernetes).
    #[arg(long, value_enum, default_value_t = StorageKind::Sled)]
    pub storage: StorageKind,
    /// What the replicas speak to each other (local, docker, kubernetes).
    #[arg(long, value_enum, default_value_t = Peers::Plain)]
    pub peers: Peers,
    /// Which way the load takes (local, docker, kubernetes).
    #[arg(long, value_enum, default_value_t = Route::Direct)]
    pub via: Route,
    /// Offered operations per second; the schedule's own number if not given.
    #[arg(long, allow_negative_numbers = true)]
    pub rate: Option<f64>,
    /// The simulated network (sim): loopback, lan, three-zones or five-regions; `lan` if not given.
    /// Where messages are long under way, election
    /// timeouts and heartbeats that are not given, the clients' patience and the schedule's bounds
    /// are longer too.
    #[arg(long, value_name = "NAME", value_parser = str::parse::<Preset>)]
    pub network: Option<Preset>,
    /// What carries out the cuts of partitions and links.
    #[arg(long, value_enum, default_value_t = CutBy::Shim)]
    pub cut: CutBy,
    /// Keep the replicas' data directories after a run that holds.
    #[arg(long)]
    pub keep_data: bool,
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
    #[command(flatten)]
    pub tuning: Tuning,
}

/// Which Kubernetes cluster, and how it gets the image.
#[derive(Clone, PartialEq, Eq, Debug, Default, Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct KubernetesArgs {
    /// A context of the kubeconfig; without it, the current one, which must be minikube's or kind's.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// An image that the cluster has or can pull; without it, one is built of this executable, by
    /// this machine's Docker engine.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// A command that takes an image of that engine into the cluster, with the image as its last
    /// argument; minikube's and kind's own are known.
    #[arg(long, value_name = "COMMAND")]
    pub load: Option<String>,
}

/// `harness run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness run --protocol raft
  harness run --protocol multipaxos --schedule minority-partition --nodes 3
  harness run --protocol raft --target sim --seed 7 --schedule my-schedule.toml
  harness run --protocol raft --target sim --network five-regions
  harness run --protocol raft --target docker --schedule leader-isolation --cut network
  harness run --protocol raft --election-timeout 500ms..1s --heartbeat-interval 100ms")]
pub struct RunArgs {
    /// Which protocol (see `harness protocols`).
    #[arg(long)]
    pub protocol: String,
    #[command(flatten)]
    pub experiment: ExperimentArgs,
}

/// `harness compare`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness compare --protocols raft,multipaxos
  harness compare --protocols raft,multipaxos --target sim --runs 20
  harness compare --protocols raft,multipaxos --schedule leader-isolation --out runs/isolation")]
pub struct CompareArgs {
    /// Which protocols, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "raft,multipaxos")]
    pub protocols: Vec<String>,
    /// How many runs of each, with consecutive seeds; the run is the unit of statistics.
    #[arg(long, default_value_t = 1)]
    pub runs: u64,
    #[command(flatten)]
    pub experiment: ExperimentArgs,
}

/// `harness recovery`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness recovery                                     every scenario, variant and election timeout
  harness recovery --runs 3 --hold 30s                 a first look
  harness recovery --scenarios chained --protocols multipaxos --election-timeouts 150ms..300ms

Each scenario is a bundled schedule whose links stay cut for the time of --hold. Every run is simulated.
Each cell of the table is a scenario, a variant and an election timeout, with as many runs as --runs
says. A heartbeat is sent five times in the shortest election timeout.

Exit status: 0 every verdict is ok, whoever recovers; 1 a run was not safe; 2 bad arguments.")]
pub struct RecoveryArgs {
    /// Which scenarios, separated by commas; all of them if not given.
    #[arg(long, value_delimiter = ',')]
    pub scenarios: Vec<String>,
    /// Which protocols, separated by commas; all of them if not given.
    #[arg(long, value_delimiter = ',')]
    pub protocols: Vec<String>,
    /// Which ranges of the election timeout, separated by commas.
    #[arg(
        long,
        value_delimiter = ',',
        value_parser = parse_duration_range,
        value_name = "FROM..TO",
        default_value = "150ms..300ms,500ms..1s,2s..4s"
    )]
    pub election_timeouts: Vec<Range<Duration>>,
    /// How many runs each cell has, with consecutive seeds.
    #[arg(long, default_value_t = 10)]
    pub runs: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// For how long the links stay cut.
    #[arg(long, value_parser = parse_duration, default_value = "40s")]
    pub hold: Duration,
    /// How many simulations run side by side; as many as there are cores if not given.
    #[arg(long)]
    pub jobs: Option<usize>,
    /// Where to write; by default a new folder under runs/.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `harness check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A run directory, or a history.jsonl.
    #[arg(value_name = "RUN|HISTORY")]
    pub path: PathBuf,
}

/// `harness report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Run directories.
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Where to write a comparison of several runs.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Whose words a history is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum HistoryFormat {
    /// Jepsen's history: EDN, one operation map to a line.
    Jepsen,
    /// Porcupine's operations: JSON, one to a line.
    Porcupine,
}

/// `harness export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A run directory, or a history.jsonl.
    #[arg(value_name = "RUN|HISTORY")]
    pub path: PathBuf,
    /// Whose words to write it in.
    #[arg(long, value_enum)]
    pub format: HistoryFormat,
    /// Where to; without it, to the standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `harness schedules`.
#[derive(Debug, Args)]
pub struct SchedulesArgs {
    /// Print this bundled schedule, as a start for your own.
    pub name: Option<String>,
    /// Print what a schedule may ask for, and what each target makes of it, as Markdown.
    #[arg(long, conflicts_with = "name")]
    pub faults: bool,
}

/// How a cluster comes to be that a client at the command line can talk to.
macro_rules! by_hand {
    ($examples:literal) => {
        concat!(
            "Examples:\n",
            $examples,
            "
A cluster to talk to, started by hand, each line in a terminal of its own:
  harness replica --protocol raft --members 1,2,3 --node 1 --data /tmp/lab/1 \\
      --client-address 127.0.0.1:7101 --gossip-address 127.0.0.1:7201
  harness replica --protocol raft --members 1,2,3 --node 2 --data /tmp/lab/2 \\
      --client-address 127.0.0.1:7102 --seed-address 127.0.0.1:7201
  harness replica --protocol raft --members 1,2,3 --node 3 --data /tmp/lab/3 \\
      --client-address 127.0.0.1:7103 --seed-address 127.0.0.1:7201
  harness gateway --client-address 127.0.0.1:7100 --seed-address 127.0.0.1:7201

Any replica takes any request to the leader, and so does the gateway. Several --server may be given:
if one does not answer, the next is asked.

Exit status: 0 done, 1 not as hoped for (see above) or perhaps done, 2 nobody did it, and why."
        )
    };
}

const GET_HELP: &str = by_hand!(
    "  harness get greeting --server 127.0.0.1:7101
  harness get greeting --server 127.0.0.1:7100             by way of the gateway
  harness get greeting --consistency stale --server 127.0.0.1:7103
      what this replica has applied, which may be old
  harness get greeting --consistency follower --server 127.0.0.1:7103
      by this replica, which asks the leader only how far it must have applied
The value goes to standard output. If the key holds nothing, the exit status is 1.
"
);

const PUT_HELP: &str = by_hand!(
    "  harness put greeting hello --server 127.0.0.1:7101
  harness put greeting hello --server 127.0.0.1:7101 --server 127.0.0.1:7102
"
);

const CAS_HELP: &str = by_hand!(
    "  harness cas greeting goodbye --expected hello --server 127.0.0.1:7101
  harness cas greeting hello --absent --server 127.0.0.1:7101
If the key holds something else, it is left as it is, and the exit status is 1.
"
);

const TEST_AND_SET_HELP: &str = by_hand!(
    "  harness test-and-set lock alice --server 127.0.0.1:7101
If somebody was first, what the key holds goes to standard output, and the exit status is 1.
"
);

/// Where a client at the command line finds the cluster.
#[derive(Clone, Debug, Args)]
pub struct ClientArgs {
    /// A replica's or gateway's client address; several may be given.
    #[arg(long = "server", value_name = "HOST:PORT", required = true, value_parser = parse_server)]
    pub servers: Vec<String>,
    /// How long to try.
    #[arg(long, value_parser = parse_duration, default_value = "5s")]
    pub timeout: Duration,
}

/// `harness get`.
#[derive(Debug, Args)]
#[command(after_help = GET_HELP)]
pub struct GetArgs {
    pub key: String,
    /// What the read promises: to see every acknowledged write (asked of a quorum; of the leader's
    /// lease; served by the replica that is asked), or nothing but what that replica has applied.
    #[arg(long, value_enum, default_value_t = ReadConsistency::Linearizable)]
    pub consistency: ReadConsistency,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `harness put`.
#[derive(Debug, Args)]
#[command(after_help = PUT_HELP)]
pub struct PutArgs {
    pub key: String,
    pub value: String,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `harness cas`.
#[derive(Debug, Args)]
#[command(after_help = CAS_HELP)]
pub struct CasArgs {
    pub key: String,
    /// What the key must hold.
    #[arg(long, required_unless_present = "absent", conflicts_with = "absent")]
    pub expected: Option<String>,
    /// The key must hold nothing.
    #[arg(long)]
    pub absent: bool,
    /// What it holds afterwards.
    pub value: String,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `harness test-and-set`.
#[derive(Debug, Args)]
#[command(after_help = TEST_AND_SET_HELP)]
pub struct TestAndSetArgs {
    pub key: String,
    /// What the key holds afterwards, if it held nothing.
    #[arg(default_value = "1")]
    pub value: String,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Where an administrator at the command line finds the cluster.
#[derive(Clone, Debug, Args)]
pub struct AtArgs {
    /// A replica's or gateway's client address; several may be given.
    #[arg(long = "at", value_name = "HOST:PORT", required = true, value_parser = parse_server)]
    pub servers: Vec<String>,
    /// How long to try: whoever is added catches up first.
    #[arg(long, value_parser = parse_duration, default_value = "30s")]
    pub timeout: Duration,
}

/// `harness members`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness members --at 127.0.0.1:7101 list
  harness members --at 127.0.0.1:7101 add 4 5          two more voters, in one change
  harness members --at 127.0.0.1:7101 add --learn 6    it receives the log, and does not vote
  harness members --at 127.0.0.1:7101 remove 2
  harness members --at 127.0.0.1:7101 replace 2 4      4 votes in the place of 2

A newcomer is started first, on an empty data directory and with a seed address; it only learns until
it is added:
  harness replica --protocol raft --members 1,2,3 --node 4 --data /tmp/lab/4 \\
      --seed-address 127.0.0.1:7201
A replica that lost its disk needs none of this: it comes back as another node (3 as 103), and has
itself put in the place of its old self.

Any replica, and the gateway, takes the request to the leader. One change goes after the other: while
another is under way, this one waits.

Exit status: 0 done, 1 not done because somebody did not catch up, or perhaps done, 2 nobody did it,
and why.")]
pub struct MembersArgs {
    #[command(flatten)]
    pub at: AtArgs,
    #[command(subcommand)]
    pub command: MembersCommand,
}

#[derive(Debug, Subcommand)]
pub enum MembersCommand {
    /// Say who votes, who learns, who leads, and where everybody is.
    List,
    /// Add voters; each learns first, and votes once it has caught up.
    Add {
        /// Whom.
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<u64>,
        /// They are to learn, and never to vote.
        #[arg(long)]
        learn: bool,
    },
    /// Remove members.
    Remove {
        /// Whom.
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<u64>,
    },
    /// Let one node vote in the place of another.
    Replace {
        /// Who leaves.
        #[arg(value_name = "OLD")]
        old: u64,
        /// Who comes.
        #[arg(value_name = "NEW")]
        new: u64,
    },
}

/// `harness transfer`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness transfer --at 127.0.0.1:7101              to whichever replica is best
  harness transfer --at 127.0.0.1:7101 --to 3

A leader that is stopped with SIGTERM does this by itself.

Exit status: 0 another leads, 1 leadership stays, or perhaps not, 2 nobody did it, and why.")]
pub struct TransferArgs {
    #[command(flatten)]
    pub at: AtArgs,
    /// To whom.
    #[arg(long, value_name = "NODE")]
    pub to: Option<u64>,
}

fn parse_server(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let has_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    match has_port && !host.is_empty() {
        true => Ok(text.to_owned()),
        false => Err("a server is given as HOST:PORT, as in 127.0.0.1:7101".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
