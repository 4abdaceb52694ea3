//! Logs that end: snapshots are taken, sent, installed and recovered from, whatever happens meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use consensus_core::{
    NodeId, Protocol, Settings,
    history::{Applied, StateDigest},
};
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use faults::{LinkRule, LinkRules};
use replica::{ADDRESS_FILE, Addresses, ReplicaConfig, http::server::Report, storage::StorageKind};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::common::{Cluster, eventually, ok, put};

/// Of so many bytes are the values here: few commands fill a log.
const VALUE_BYTES: usize = 50_000;

/// Logs that are worth half a mebibyte, and no memory of what is behind.
fn short_logs(settings: &mut Settings) {
    settings.snapshot_after_bytes = 1 << 19;
    settings.retained_bytes = 0;
}

/// Writes to many keys, so that the state is a few mebibytes, and to `x`, which tells how far it is.
async fn fill(cluster: &Cluster, mark: &str) {
    let client = cluster.client();
    for key in 0..60 {
        ok(client.perform(&format!("key {key}"), &put(&"v".repeat(VALUE_BYTES))).await);
    }
    ok(client.perform("x", &put(mark)).await);
}

async fn has(cluster: &Cluster, node: u64, mark: &str) -> Report {
    eventually("the replica has caught up", async || {
        let report = cluster.report(node).await?;
        (report.value.as_deref() == Some(mark)).then_some(report)
    })
    .await
}

/// Stops a follower and lets the others go on until its entries are nowhere any more.
async fn leave_behind(cluster: &mut Cluster) -> u64 {
    ok(cluster.client().perform("x", &put("before")).await);
    let leader = cluster.leader().await;
    let behind = cluster.nodes().into_iter().find(|&node| node != leader).unwrap();
    let last = has(cluster, behind, "before").await.status.last;
    cluster.stop_one(behind).await;
    fill(cluster, "after").await;
    for node in cluster.nodes() {
        eventually("the log's beginning is gone", async || {
            (cluster.report(node).await?.status.first > last + 1).then_some(())
        })
        .await;
    }
    behind
}

fn lines<T: DeserializeOwned>(path: PathBuf) -> Vec<T> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn raft_installs_snapshots_and_recovers_from_them() {
    installs_and_recovers::<Raft>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn multipaxos_installs_snapshots_and_recovers_from_them() {
    installs_and_recovers::<MultiPaxos>().await;
}

async fn installs_and_recovers<P: Protocol>() {
    let mut cluster = Cluster::start_adjusted::<P>(3, StorageKind::Sled, short_logs).await;
    let behind = leave_behind(&mut cluster).await;
    cluster.start_one(behind).await;
    let report = has(&cluster, behind, "after").await;
    assert!(report.counters.snapshots_received_total > 0, "{:?}", report.counters);
    assert!(report.counters.restores_total > 0, "{:?}", report.counters);
    eventually("one snapshot is left", async || {
        (snapshots(&cluster.directory(behind)).len() == 1).then_some(())
    })
    .await;

    cluster.stop_one(behind).await;
    cluster.start_one(behind).await;
    let report = has(&cluster, behind, "after").await;
    assert_eq!(report.counters.restores_total, 1, "the base is where it begins");
    assert_eq!(report.counters.snapshots_received_total, 0, "nothing need come again");
    for node in cluster.nodes() {
        cluster.stop_one(node).await;
    }

    let applied: Vec<Applied> = lines(cluster.directory(behind).join("applied-2.jsonl"));
    let events = fs::read_to_string(cluster.directory(behind).join("events.jsonl")).unwrap();
    let before = format!(r#""event":"installed","index":{}"#, applied[0].index - 1);
    let jump = applied.windows(2).find(|two| two[1].index != two[0].index + 1);
    let before =
        jump.map_or(before, |two| format!(r#""event":"installed","index":{}"#, two[1].index - 1));
    assert!(events.contains(&before), "a jump that nothing explains: {before}");
    same_states(&cluster);
}

fn snapshots(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory.join("sled/snapshots")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

/// Every replica that saved or took over the state at one position had the same.
fn same_states(cluster: &Cluster) {
    let mut states: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    let mut seen = 0;
    for (node, life) in (1..=3).flat_map(|node| [(node, 1), (node, 2), (node, 3)]) {
        let path = cluster.directory(node).join(format!("states-{life}.jsonl"));
        for state in path.exists().then(|| lines::<StateDigest>(path)).into_iter().flatten() {
            states.entry(state.applied).or_default().insert(state.digest);
            seen += 1;
        }
    }
    assert!(seen > states.len(), "no two states to compare");
    assert!(states.values().all(|digests| digests.len() == 1), "{states:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_pieces_are_noticed_and_come_again() {
    let mut cluster = Cluster::start_adjusted::<Raft>(3, StorageKind::Sled, short_logs).await;
    let behind = leave_behind(&mut cluster).await;
    let noisy = |from| LinkRule { corrupt: 0.3, ..LinkRule::clean(from, NodeId(behind)) };
    let rules = (1..=3).map(NodeId).filter(|node| node.0 != behind).map(noisy).collect();
    cluster.set_links(&LinkRules { seed: 5, expires_in: Duration::from_secs(60), rules }).await;
    cluster.start_one(behind).await;
    let report = has(&cluster, behind, "after").await;
    assert!(report.counters.restores_total > 0 && report.counters.checksum_errors_total > 0);
    let mut interruptions = 0;
    for node in cluster.nodes() {
        interruptions += cluster.report(node).await.unwrap().counters.snapshot_interruptions_total;
    }
    assert!(interruptions > 0, "of so many pieces one must have been damaged");
}

/// What a replica in a process of its own is told.
#[derive(Serialize, Deserialize)]
struct Told {
    node: u64,
    data: PathBuf,
    seeds: Vec<String>,
    links: Option<LinkRules>,
}

const TOLD: &str = "REPLICA_IS_TOLD";

#[test]
#[ignore = "a process that another test starts"]
fn replica_process() {
    let Ok(told) = std::env::var(TOLD) else {
        println!("skipped: nobody says what to run");
        return;
    };
    let told: Told = serde_json::from_str(&told).unwrap();
    let mut settings = Settings::new(NodeId(told.node), (1..=3).map(NodeId).collect());
    short_logs(&mut settings);
    let config = ReplicaConfig {
        seeds: told.seeds,
        links: told.links,
        ..ReplicaConfig::new(settings, told.data)
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(replica::run::<Raft>(config)).unwrap();
}

/// A replica in a process of its own, killed with this.
struct Process(Child);

impl Process {
    fn start(cluster: &Cluster, node: u64, links: Option<LinkRules>) -> Self {
        let (data, seeds) = (cluster.directory(node), cluster.gossip_seeds());
        let _ = fs::remove_file(data.join(ADDRESS_FILE));
        let told = serde_json::to_string(&Told { node, data, seeds, links }).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "snapshots::replica_process"])
            .env(TOLD, told)
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL; it may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_that_was_killed_goes_on_where_it_was() {
    let mut cluster = Cluster::start_adjusted::<Raft>(3, StorageKind::Sled, short_logs).await;
    let behind = leave_behind(&mut cluster).await;
    let directory = cluster.directory(behind);

    // Its answers take their time, so the kill comes in the middle.
    let slow =
        |to| LinkRule { delay: Duration::from_millis(150), ..LinkRule::clean(NodeId(behind), to) };
    let rules = (1..=3).map(NodeId).filter(|node| node.0 != behind).map(slow).collect();
    let slow = LinkRules { seed: 5, expires_in: Duration::from_secs(60), rules };
    let process = Process::start(&cluster, behind, Some(slow));
    let part = || -> Option<u64> {
        let is_part = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "part");
        let part = snapshots(&directory).into_iter().find(is_part)?;
        Some(part.metadata().ok()?.len())
    };
    eventually("a good part is there", async || part().filter(|&length| length > 1 << 20)).await;
    drop(process);
    let kept = part().expect("the part outlives its process");

    let _process = Process::start(&cluster, behind, None);
    let addresses: Addresses = eventually("the replica's addresses", async || {
        serde_json::from_slice(&fs::read(directory.join(ADDRESS_FILE)).ok()?).ok()
    })
    .await;
    let url = format!("http://{}/v1/status?key=x", addresses.client);
    let report: Report = eventually("the killed replica has caught up", async || {
        let report: Report = cluster.http.get(&url).send().await.ok()?.json().await.ok()?;
        (report.value.as_deref() == Some("after")).then_some(report)
    })
    .await;
    assert_eq!(report.counters.restores_total, 1, "{:?}", report.counters);
    let mut sent = 0;
    for node in cluster.nodes() {
        sent += cluster.report(node).await.unwrap().counters.snapshot_bytes_sent_total;
    }
    let whole = snapshots(&directory)[0].metadata().unwrap().len();
    assert!(sent < whole + kept / 2, "{sent} bytes were sent of {whole}; {kept} were there");
}
