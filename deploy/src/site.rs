//! What a target does, whichever it is: one place where replicas run, and what can be done to them.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Result;
use consensus_core::NodeId;
use faults::LinkRules;
use serde::{Deserialize, Serialize};

/// How long a replica may take to stop in peace before it is killed.
pub const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The file in its data directory in which a replica says where it listens.
pub(crate) const ADDRESS_FILE: &str = "address.json";

/// A place where replicas run.
pub trait Site {
    /// A replica or gateway that was started here.
    type Unit: Unit;

    /// Whether somebody else starts whoever ended again, at once, until the site is told to
    /// [retire](Self::retire): then nobody can be held away, and `start` waits for the successor.
    const RETURNS: bool = false;

    /// Starts one: whoever runs there already must have ended. A replica that was there before is
    /// started again on the disk that it left.
    fn start(&mut self, part: Part, launch: Launch) -> impl Future<Output = Result<Self::Unit>>;

    /// Puts the disk of this replica's place aside, who was killed [for good](Unit::kill_for_good).
    /// Whoever is started there next has an empty one; what was on the old one remains evidence.
    fn lose_disk(&mut self, node: NodeId) -> impl Future<Output = Result<()>>;

    /// Keeps link faults for those who start later, and carries out those that are no business of
    /// the replicas. Hands back the rest: what the replicas' own shims are to do.
    fn set_links(&mut self, rules: &LinkRules) -> impl Future<Output = Result<LinkRules>>;

    /// What was sent over links while the site itself cut them; `None` if it cuts none.
    fn crossings(&self) -> impl Future<Output = Result<Option<Crossings>>>;

    /// From now on nobody comes back who ends.
    fn retire(&mut self) -> impl Future<Output = Result<()>> {
        async { Ok(()) }
    }

    /// The directories with what these replicas, and those on disks that were lost, wrote down.
    /// Nobody runs any more.
    fn evidence(&mut self, nodes: &[NodeId]) -> impl Future<Output = Result<Vec<Evidence>>>;

    /// Leaves nothing behind but the evidence.
    fn clear(&mut self) -> impl Future<Output = Result<()>>;
}

/// A replica or gateway that was started.
pub trait Unit {
    /// Where it listens, once it does.
    fn addresses(&mut self) -> impl Future<Output = Result<Option<Addresses>>>;

    /// Kills it as SIGKILL does, and says when it was dead. It is dead on return.
    fn kill(&mut self) -> impl Future<Output = Result<Instant>>;

    /// Kills it, and its disk is lost right after: what is on that must be kept now, if ever.
    fn kill_for_good(&mut self) -> impl Future<Output = Result<Instant>> {
        self.kill()
    }

    /// Asks it to stop in peace, as SIGTERM does. Returns at once.
    fn terminate(&mut self) -> impl Future<Output = Result<()>>;

    /// Waits until it has ended, and kills it if it has not by then.
    fn end_by(&mut self, patience: Instant) -> impl Future<Output = Result<()>>;

    /// Freezes it: it keeps its connections and answers nothing.
    fn pause(&mut self) -> impl Future<Output = Result<()>>;

    /// Lets it go on.
    fn resume(&mut self) -> impl Future<Output = Result<()>>;

    /// How it ended, if it has ended already, or could not even be started.
    fn exit(&mut self) -> Option<Exit>;
}

/// Who is started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// A replica, in its [place](NodeId::place).
    Replica(NodeId),
    /// The gateway.
    Gateway,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica(node) => write!(f, "replica {node}"),
            Self::Gateway => f.write_str("gateway"),
        }
    }
}

/// How one is started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Launch {
    /// Whom it asks first for the others, where addresses are all that there is to ask by.
    pub seeds: Vec<SocketAddr>,
    /// Where it is to listen again, if it can; `None`: elsewhere than anybody did before.
    pub at: Option<Addresses>,
}

/// Where a replica or gateway listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Addresses {
    /// HTTP, for clients and the administrator.
    pub client: SocketAddr,
    /// gRPC, for peers; the gateway has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// UDP, for gossip.
    pub gossip: SocketAddr,
    /// Where this machine reaches the same HTTP, if the replica's own network is another.
    #[serde(skip)]
    pub forwarded: Option<SocketAddr>,
}

impl Addresses {
    /// Where whoever is on this machine reaches its HTTP.
    pub fn from_here(&self) -> SocketAddr {
        self.forwarded.unwrap_or(self.client)
    }
}

/// Packets of links while those were cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub packets: u64,
    /// Their size on the wire, in bytes.
    pub bytes: u64,
}

/// What was sent over links that were cut, from the run's beginning on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Crossings {
    /// What was dropped.
    pub dropped: Tally,
    /// What came through nonetheless.
    pub crossed: Tally,
}

/// What one disk's replicas wrote down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Evidence {
    /// The last who had that disk.
    pub node: NodeId,
    /// Where it is.
    pub directory: PathBuf,
}

/// What is fetched of a data directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// What replicas wrote down for others to read.
    Records,
    /// All of it, disks included.
    Everything,
}

/// The last lines of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogTail {
    /// Where the whole log is.
    pub path: PathBuf,
    /// Its last lines.
    pub lines: Vec<String>,
}

/// One that ended although nobody ended it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exit {
    /// Who.
    pub part: Part,
    /// How it ended, in a few words.
    pub how: String,
    /// What it said last.
    pub log: LogTail,
}

impl Exit {
    pub(crate) fn new(part: Part, how: impl Into<String>, log: &Path) -> Self {
        Self { part, how: how.into(), log: crate::log::tail(log) }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ended by itself ({}); its log ends with:", self.part, self.how)?;
        for line in &self.log.lines {
            writeln!(f, "    {line}")?;
        }
        write!(f, "  the whole log: {}", self.log.path.display())
    }
}
