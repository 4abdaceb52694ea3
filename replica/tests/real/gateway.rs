//! The gateway in front of a real cluster.

use std::fs;

use crate::common::{Cluster, eventually, ok, put};
use consensus_core::{NodeId, history::Call};
use replica::{
    ADDRESS_FILE, Addresses,
    client::{Client, ClientOptions, SessionUse},
    gateway::{self, GatewayConfig},
    storage::StorageKind,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_finds_the_replicas_and_follows_the_leader() {
    let mut cluster = Cluster::start(3, StorageKind::Memory).await;
    let directory = cluster.place.path().join("gateway");
    fs::create_dir(&directory).unwrap();
    let config = GatewayConfig {
        data: Some(directory.clone()),
        ..GatewayConfig::new("lab", cluster.gossip_seeds())
    };
    let running = tokio::spawn(gateway::run(config));
    let file = directory.join(ADDRESS_FILE);
    let addresses: Addresses = eventually("the gateway's address", async || {
        serde_json::from_slice(&fs::read(&file).ok()?).ok()
    })
    .await;
    let ready = format!("http://{}/readyz", addresses.client);
    eventually("the gateway is ready", async || {
        cluster.http.get(&ready).send().await.ok()?.error_for_status().ok().map(drop)
    })
    .await;

    let url = format!("http://{}/v1/kv/x", addresses.client);
    let first = cluster.http.put(&url).body("1").send().await.unwrap();
    assert_eq!(first.json::<Value>().await.unwrap()["done"], json!("yes"));
    let leader = cluster.leader().await;
    cluster.stop_one(leader).await;
    let swap = json!({ "expected": "1", "value": "2" });
    let second = cluster.http.post(format!("{url}/compare-and-swap")).json(&swap);
    let second: Value = second.send().await.unwrap().json().await.unwrap();
    assert_eq!((&second["done"], &second["changed"]), (&json!("yes"), &json!(true)), "{second}");

    // The gateway speaks as a replica does, so the client takes it for one.
    let options = ClientOptions { sessions: SessionUse::None, ..ClientOptions::default() };
    let client = Client::new([(NodeId(9), addresses.client.to_string())], options).unwrap();
    assert_eq!(ok(client.perform("x", &Call::Get).await).1.as_deref(), Some("2"));
    assert_eq!(ok(client.perform("x", &put("3")).await), (true, Some("2".into())));
    assert_eq!(ok(client.perform("x", &Call::Delete).await), (true, Some("3".into())));
    let taken = Call::TestAndSet("mine".into());
    assert_eq!(ok(client.perform("x", &taken).await), (true, None));
    assert_eq!(ok(client.perform("x", &taken).await), (false, Some("mine".into())));
    running.abort();
}
