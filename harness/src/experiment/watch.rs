//! Looking into the replicas of a real target: what they note, what they believe, what they cost.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context, Result};
use consensus_core::{NodeId, Role, Status, history::Observed};
use deploy::Addresses;
use faults::{
    Schedule,
    schedule::{Anchor, Step, Target},
};
use futures::future::join_all;
use replica::http::server::Report;
use reports::Counters;
use tokio::{sync::mpsc::UnboundedSender, time::sleep};

/// How long a replica may take to answer what it believes; a frozen one does not.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// How soon a replica is asked again that serves nobody yet.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// How often in a row nobody may listen before the process counts as gone.
const MOST_UNHEARD: u32 = 50;

/// The longest line that a replica's event stream may have, in bytes.
const MAX_LINE: usize = 64 << 10;

/// Something that a replica noted.
#[derive(Clone, Debug)]
pub struct News(pub Observed);

/// How much of what replicas note is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Everything.
    Everything,
    /// All but what happens at every operation. Following that costs about as much as the
    /// operations do, and on the same machine that is measured as the protocol's.
    Seldom,
}

impl Heard {
    /// As little as the steps of this schedule can do with.
    pub fn for_schedule(schedule: &Schedule) -> Self {
        let follows_commits = |step: &Step| {
            let targets = step.fault.targets();
            let stalest =
                || targets.iter().any(|(_, words)| words.iter().any(|t| t == Target::Stalest));
            step.at.after == Anchor::Commit || stalest()
        };
        match schedule.steps.iter().any(follows_commits) {
            true => Self::Everything,
            false => Self::Seldom,
        }
    }
}

/// Asks replicas.
#[derive(Clone, Debug)]
pub struct Watch {
    http: reqwest::Client,
}

impl Watch {
    /// One that follows no proxy.
    pub fn new() -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build();
        Ok(Self { http: http.context("cannot make an HTTP client")? })
    }

    /// What these replicas believe, as far as they answer.
    pub async fn reports(
        &self,
        addresses: &BTreeMap<NodeId, Addresses>,
        nodes: &[NodeId],
    ) -> BTreeMap<NodeId, Report> {
        let at = |node: &NodeId| Some((*node, addresses.get(node)?.from_here()));
        let asked = nodes.iter().filter_map(at);
        let reports = asked.map(async |(node, at)| Some((node, self.report(at).await?)));
        join_all(reports).await.into_iter().flatten().collect()
    }

    /// What one replica believes, however long it takes to answer; `None` once it is gone.
    pub async fn patient_report(&self, address: SocketAddr) -> Option<Report> {
        self.served(&format!("http://{address}/v1/status")).await?.json().await.ok()
    }

    /// The answer of a replica once it serves: on a new disk it turns everybody away until the others
    /// have admitted it, and between the two it closes the connections it has. `None` once its process
    /// is gone.
    async fn served(&self, url: &str) -> Option<reqwest::Response> {
        let mut unheard = 0;
        while unheard < MOST_UNHEARD {
            match self.http.get(url).send().await {
                Ok(answer) if answer.status() != reqwest::StatusCode::SERVICE_UNAVAILABLE => {
                    return Some(answer);
                }
                Ok(_) => unheard = 0,
                Err(_) => unheard += 1,
            }
            sleep(ASK_AGAIN).await;
        }
        None
    }

    /// What one replica believes, if it answers.
    pub async fn report(&self, address: SocketAddr) -> Option<Report> {
        let url = format!("http://{address}/v1/status");
        let answer = self.http.get(url).timeout(ANSWER_WITHIN).send().await.ok()?;
        answer.json().await.ok()
    }
}

/// Passes on what a replica notes, until its process ends or nobody listens.
pub async fn follow(
    watch: Watch,
    address: SocketAddr,
    heard: Heard,
    teller: UnboundedSender<News>,
) {
    let routine = heard == Heard::Everything;
    let url = format!("http://{address}/admin/events?routine={routine}");
    let Some(mut stream) = watch.served(&url).await else { return };
    let mut line = Vec::new();
    while let Ok(Some(chunk)) = stream.chunk().await {
        for &byte in &chunk {
            if byte != b'\n' {
                line.push(byte);
            } else if let Ok(observed) = serde_json::from_slice(&std::mem::take(&mut line))
                && teller.send(News(observed)).is_err()
            {
                return;
            }
        }
        if line.len() > MAX_LINE {
            return;
        }
    }
}

/// Whether every replica's gossip sees all others, and all follow one leader.
pub fn all_found_each_other(reports: &BTreeMap<NodeId, Report>, nodes: usize) -> bool {
    let leaders: BTreeSet<_> = reports.values().map(|report| report.status.leader).collect();
    reports.len() == nodes
        && reports.values().all(|report| report.gossip.alive().len() == nodes)
        && matches!(leaders.iter().collect::<Vec<_>>()[..], [Some(_)])
}

/// The members as the leader of the newest epoch knows them, or those of a core, if all of them run,
/// follow it, have applied the same, and will stay members; `None` otherwise. Whoever is no member
/// need not agree.
pub fn agreed(reports: &BTreeMap<NodeId, Report>, core: Option<&[NodeId]>) -> Option<Vec<NodeId>> {
    let leaders = reports.values().filter(|report| report.status.role == Role::Leader);
    let leader = leaders.max_by_key(|report| report.status.epoch)?;
    let Status { node, epoch, members, learners, changing, .. } = &leader.status;
    let counts = |member: &NodeId| core.is_none_or(|core| core.contains(member));
    let members = members.iter().chain(learners).copied();
    let members: Vec<_> = members.filter(counts).collect();
    let follows = |report: &Report| {
        let status = &report.status;
        (status.leader, status.epoch, report.applied) == (Some(*node), *epoch, leader.applied)
    };
    let all = members.iter().all(|member| reports.get(member).is_some_and(follows));
    (all && !changing).then_some(members)
}

/// What replicas believe, in a line.
pub fn describe(reports: &BTreeMap<NodeId, Report>) -> String {
    let one = |report: &Report| {
        let leader = report.status.leader.map_or("nobody".to_owned(), |leader| leader.to_string());
        format!(
            "node {} sees {} alive, follows {leader}, applied {}",
            report.about.node,
            report.gossip.alive().len(),
            report.applied,
        )
    };
    match reports.len() {
        0 => "none answers".to_owned(),
        _ => reports.values().map(one).collect::<Vec<_>>().join("; "),
    }
}

/// What the replicas cost, over all their incarnations. What an incarnation did between its last
/// report and its death is not counted.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    last: BTreeMap<(NodeId, u64), Report>,
}

impl Ledger {
    /// Takes a replica's latest counts.
    pub fn note(&mut self, report: Report) {
        self.last.insert((report.about.node, report.about.incarnation), report);
    }

    /// The costs so far.
    pub fn counters(&self) -> Counters {
        let sum = |of: fn(&Report) -> u64| Some(self.last.values().map(of).sum());
        Counters {
            messages: sum(|report| report.counters.messages_sent_total),
            bytes: sum(|report| report.counters.bytes_sent_total),
            syncs: sum(|report| report.counters.syncs_total),
        }
    }

    /// The costs since an earlier state of this ledger.
    pub fn since(&self, earlier: &Self) -> Counters {
        let (now, then) = (self.counters(), earlier.counters());
        let less = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        Counters {
            messages: less(now.messages, then.messages),
            bytes: less(now.bytes, then.bytes),
            syncs: less(now.syncs, then.syncs),
        }
    }

    /// Damaged messages that were noticed.
    pub fn damaged(&self) -> u64 {
        self.last.values().map(|report| report.counters.checksum_errors_total).sum()
    }

    /// What a synced write survives there.
    pub fn durability(&self) -> String {
        let first = self.last.values().next();
        first.map_or("unknown".to_owned(), |report| {
            format!("{}: {}", report.about.storage, report.about.durability)
        })
    }
}
