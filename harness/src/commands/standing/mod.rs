//! `harness up`, `status`, `watch`, `logs`, `down` and `image`: clusters that outlive the command that
//! started them.

mod docker;
mod kubernetes;

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use consensus_core::NodeId;
use deploy::{Cluster, Site};
use replica::http::server::Report;
use tokio::time::sleep;

use crate::{
    cli::{DownArgs, Ground, ImageArgs, LogsArgs, StandingArgs, UpArgs},
    experiment::{self, watch, watch::Watch},
    plan,
    registry::{self, Entry},
    usage::usage,
};

/// How long the replicas may take to find each other and elect a leader.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How often a cluster is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Starts a cluster, and says where it is once it serves.
pub fn up(arguments: &UpArgs) -> Result<bool> {
    runtime()?.block_on(async {
        match arguments.target {
            Ground::Docker => docker::up(arguments).await,
            Ground::Kubernetes => kubernetes::up(arguments).await,
        }
    })
}

/// Says how everybody is.
pub fn status(arguments: &StandingArgs) -> Result<bool> {
    runtime()?.block_on(async {
        match arguments.target {
            Ground::Docker => docker::status(arguments).await,
            Ground::Kubernetes => kubernetes::status(arguments).await,
        }
    })
}

/// Tells of each change, until it is interrupted.
pub fn follow(arguments: &StandingArgs) -> Result<bool> {
    runtime()?.block_on(async {
        match arguments.target {
            Ground::Docker => docker::follow(arguments).await,
            Ground::Kubernetes => kubernetes::follow(arguments).await,
        }
    })
}

/// Prints what somebody said.
pub fn logs(arguments: &LogsArgs) -> Result<bool> {
    runtime()?.block_on(async {
        match arguments.target {
            Ground::Docker => docker::logs(arguments).await,
            Ground::Kubernetes => kubernetes::logs(arguments).await,
        }
    })
}

/// Removes what stands, and what was left behind, and says how much that was.
pub fn down(arguments: &DownArgs) -> Result<bool> {
    runtime()?.block_on(async {
        match arguments.target {
            Ground::Docker => docker::down(arguments).await,
            Ground::Kubernetes => kubernetes::down(arguments).await,
        }
    })
}

/// Builds the image, and says what it is called.
pub fn image(arguments: &ImageArgs) -> Result<bool> {
    runtime()?.block_on(docker::image(arguments))
}

/// The protocol and the members that are asked for, if they make sense.
fn asked(arguments: &UpArgs) -> Result<(Entry, Vec<NodeId>)> {
    let protocol = registry::find(&arguments.protocol)?;
    let nodes = NonZeroUsize::new(arguments.nodes);
    let nodes = nodes.ok_or_else(|| usage("a cluster has at least one replica"))?;
    let members = plan::members(nodes);
    plan::check_tuning(&arguments.tuning, &members)?;
    protocol.check(arguments.tuning.settings(members[0], members.clone()))?;
    Ok((protocol, members))
}

/// Starts everybody, waits until all replicas found each other and follow one leader, and names it.
async fn serving<S: Site>(cluster: &mut Cluster<S>) -> Result<String> {
    cluster.start().await?;
    cluster.start_gateway().await?;
    let watch = Watch::new()?;
    let nodes: Vec<_> = cluster.addresses().keys().copied().collect();
    let since = Instant::now();
    loop {
        let reports = watch.reports(cluster.addresses(), &nodes).await;
        if watch::all_found_each_other(&reports, nodes.len()) {
            let leader = reports.values().find_map(|report| report.status.leader);
            let leader = leader.context("all of them follow one")?;
            return Ok(format!("{} replicas follow node {leader}", nodes.len()));
        }
        if let Some(exit) = cluster.exits().first() {
            bail!("{exit}");
        }
        if since.elapsed() > READY_WITHIN {
            let told = watch::describe(&reports);
            bail!("no leader after {READY_WITHIN:?}: {told}");
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What is known of everybody: by cluster and part, what is told of them.
#[derive(Debug, Default)]
struct Told(BTreeMap<(String, String), String>);

impl Told {
    /// Tells of what has changed.
    fn change(&mut self, now: BTreeMap<(String, String), String>) {
        for ((run, part), told) in now.iter().filter(|(who, told)| self.0.get(*who) != Some(told)) {
            println!("{} {run} {part} {told}", experiment::time_of_day());
        }
        for (run, part) in self.0.keys().filter(|who| !now.contains_key(who)) {
            println!("{} {run} {part} is gone", experiment::time_of_day());
        }
        self.0 = now;
    }
}

/// What a replica believes, but for how far it is.
fn believes(report: Option<&Report>) -> String {
    let Some(Report { about, status, gossip, .. }) = report else {
        return "says nothing".to_owned();
    };
    let leader = status.leader.map_or("nobody".to_owned(), |leader| format!("node {leader}"));
    format!(
        "{} node {} is {:?} in epoch {}, follows {leader}, sees {} alive",
        about.protocol,
        about.node,
        status.role,
        status.epoch,
        gossip.alive().len(),
    )
}

/// How far a replica is.
fn progress(report: Option<&Report>) -> String {
    report.map_or_else(String::new, |report| {
        format!(", commit {}, applied {}", report.status.commit, report.applied)
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")
}
