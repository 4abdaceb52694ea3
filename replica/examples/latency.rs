//! How long a write takes, on real processes with real disks: `latency [replicas] [rate] [seconds]`.
//!
//! An open-loop load of puts at the rate, every latency counted from the intended time of sending.

use std::{
    env, fs,
    path::Path,
    process::{Child, Command},
    sync::Arc,
    time::Duration,
};

use consensus_core::{NodeId, Settings, history::Call};
use consensus_raft::Raft;
use replica::{
    ADDRESS_FILE, Addresses, Parent, ReplicaConfig,
    client::{Client, ClientOptions},
    http::server::Report,
};
use tokio::time::{Instant, sleep, sleep_until};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.first().map(String::as_str) {
        Some("replica") => Ok(runtime.block_on(replica::run::<Raft>(told(&arguments[1..])?))?),
        _ => {
            let number = |at: usize, default| {
                arguments.get(at).map_or(Ok(default), |text| text.parse::<u64>())
            };
            runtime.block_on(measure(number(0, 3)?, number(1, 200)?, number(2, 5)?))
        }
    }
}

/// What a replica is told: its number, how many there are, its directory, and a gossip seed.
fn told(arguments: &[String]) -> Result<ReplicaConfig, Box<dyn std::error::Error>> {
    let [node, size, directory, seeds @ ..] = arguments else {
        return Err("replica NODE SIZE DIRECTORY [SEED]".into());
    };
    let members = (1..=size.parse()?).map(NodeId).collect();
    let settings = Settings::new(NodeId(node.parse()?), members);
    let config = ReplicaConfig::new(settings, directory.into());
    let parent = Parent::DieWith(std::os::unix::process::parent_id());
    Ok(ReplicaConfig { seeds: seeds.to_vec(), parent, ..config })
}

struct Replicas(Vec<Child>);

impl Drop for Replicas {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn start(directory: &Path, size: u64) -> std::io::Result<(Replicas, Vec<Addresses>)> {
    let mut replicas = Replicas(Vec::new());
    let mut addresses: Vec<Addresses> = Vec::new();
    for node in 1..=size {
        let data = directory.join(node.to_string());
        let mut command = Command::new(env::current_exe()?);
        command.arg("replica").arg(node.to_string()).arg(size.to_string()).arg(&data);
        if let Some(first) = addresses.first() {
            command.arg(first.gossip.to_string());
        }
        replicas.0.push(command.spawn()?);
        let address = loop {
            if let Ok(text) = fs::read(data.join(ADDRESS_FILE)) {
                break serde_json::from_slice(&text)?;
            }
            sleep(Duration::from_millis(5)).await;
        };
        addresses.push(address);
    }
    Ok((replicas, addresses))
}

async fn measure(size: u64, rate: u64, seconds: u64) -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir_in(env::current_dir()?)?;
    let (_replicas, addresses) = start(place.path(), size).await?;
    let located = (1..).map(NodeId).zip(addresses.iter().map(|at| at.client.to_string()));
    let client = Arc::new(Client::new(located, ClientOptions::default())?);
    let first = client.perform("warm", &Call::Put("up".into())).await;
    println!("first write: {} tries, {:?}", first.attempts, first.outcome);
    let began = Instant::now();
    let requests: Vec<_> = (0..rate * seconds)
        .map(|n| {
            let (client, at) = (Arc::clone(&client), began + Duration::from_secs(n) / rate as u32);
            tokio::spawn(async move {
                // Tokio's timers tick in milliseconds: the last one is waited out.
                sleep_until(at - Duration::from_millis(1)).await;
                while Instant::now() < at {
                    tokio::task::yield_now().await;
                }
                let (key, call) = (format!("key-{}", n % 100), Call::Put("v".repeat(64)));
                let performed = client.perform(&key, &call).await;
                (performed.outcome.is_ok(), at.elapsed())
            })
        })
        .collect();
    let (mut latencies, mut failed) = (Vec::new(), 0);
    for request in requests {
        match request.await? {
            (true, latency) => latencies.push(latency),
            (false, _) => failed += 1,
        }
    }
    latencies.sort_unstable();
    let quantile = |q: f64| latencies[((latencies.len() - 1) as f64 * q) as usize];
    println!(
        "{size} replicas, {rate} puts/s: p50 {:?}, p90 {:?}, p99 {:?}, max {:?}, {failed} failed",
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(1.0)
    );
    let leader = client.leader().map_or(0, |leader| leader.0 as usize - 1);
    let url = format!("http://{}/v1/status", addresses[leader].client);
    let report: Report = reqwest::get(url).await?.json().await?;
    println!("the leader's counters: {:#?}", report.counters);
    Ok(())
}
