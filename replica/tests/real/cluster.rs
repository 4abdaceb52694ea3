//! Replicas of a real cluster: elections, recovery, damage, cuts, and what clients hear of it all.

use std::{fs, time::Duration};

use crate::common::{Cluster, eventually, ok, put};
use consensus_core::{
    NodeId,
    history::{Applied, Call, Observed},
    storage::StorageError,
};
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use faults::{LinkRule, LinkRules};
use replica::{
    ReplicaError, Sampling,
    http::{
        api::Reason,
        members::{Members, Part},
        server::Report,
    },
    security::{self, Security},
    storage::StorageKind,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn raft_lives_through_the_loss_of_the_leader_and_of_everybody() {
    lives_through_losses(Cluster::start_of::<Raft>(3, StorageKind::Sled).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn multipaxos_lives_through_the_loss_of_the_leader_and_of_everybody() {
    lives_through_losses(Cluster::start_of::<MultiPaxos>(3, StorageKind::Sled).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_speak_tls_live_through_the_loss_of_the_leader_and_of_everybody() {
    let mut cluster = Cluster::of(3, StorageKind::Sled);
    let certificates = tempfile::tempdir().unwrap();
    for (name, text) in security::issue("lab").unwrap() {
        fs::write(certificates.path().join(name), text).unwrap();
    }
    cluster.security = Security::tls(certificates.path()).unwrap();
    for node in 1..=3 {
        cluster.start_one(node).await;
    }
    lives_through_losses(cluster).await;
}

async fn lives_through_losses(mut cluster: Cluster) {
    let client = cluster.client();
    assert_eq!(ok(client.perform("x", &put("1")).await), (true, None));
    let leader = cluster.leader().await;
    cluster.stop_one(leader).await;
    assert_eq!(ok(client.perform("x", &put("2")).await), (true, Some("1".into())));

    cluster.start_one(leader).await;
    eventually("the returned replica catches up", async || {
        let report = cluster.report(leader).await?;
        (report.value.as_deref() == Some("2") && report.about.incarnation == 2).then_some(())
    })
    .await;

    for node in cluster.nodes() {
        cluster.stop_one(node).await;
    }
    for node in 1..=3 {
        cluster.start_one(node).await;
    }
    let client = cluster.client();
    let swap = Call::CompareAndSwap { expected: Some("2".into()), value: "3".into() };
    assert_eq!(ok(client.perform("x", &swap).await), (true, Some("2".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_replica_takes_every_request_to_the_leader() {
    let cluster = Cluster::start(3, StorageKind::Memory).await;
    let leader = cluster.leader().await;
    for node in cluster.nodes() {
        let url = format!("http://{}/v1/kv/key%20{node}", cluster.address(node));
        let answer = cluster.http.put(&url).body(format!("from {node}")).send().await.unwrap();
        assert_eq!(answer.headers()["leader"], leader.to_string());
        let answer: Value = answer.json().await.unwrap();
        assert_eq!((&answer["done"], &answer["changed"]), (&json!("yes"), &json!(true)));
        let answer: Value = cluster.http.get(&url).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["held"], format!("from {node}"));
    }
    let forwarded = async |node| cluster.report(node).await.unwrap().counters.forwarded_total;
    for node in cluster.nodes() {
        assert_eq!(forwarded(node).await > 0, node != leader, "node {node}, leader {leader}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_in_a_session_is_applied_once_wherever_it_is_sent() {
    let cluster = Cluster::start(3, StorageKind::Memory).await;
    cluster.leader().await;
    let url = |node| format!("http://{}/v1", cluster.address(node));
    let opened = cluster.http.post(url(1) + "/session").send().await.unwrap();
    let opened: Value = opened.json().await.unwrap();
    let session = opened["session"].as_u64().unwrap().to_string();
    let put = async |node, sequence: &str, first_unanswered: &str, value: &'static str| {
        let request = cluster
            .http
            .put(url(node) + "/kv/x")
            .header("Session", &session)
            .header("Sequence", sequence)
            .header("First-Unanswered", first_unanswered);
        let answer = request.body(value).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap())
    };
    let (_, first) = put(1, "1", "1", "a").await;
    let (_, second) = put(2, "2", "1", "b").await;
    assert_eq!(second["held"], "a");
    for node in [1, 2, 3] {
        let (status, again) = put(node, "1", "1", "a").await;
        assert_eq!((status, &again), (200, &first), "the retry hears the first answer");
    }
    let held: Value =
        cluster.http.get(url(1) + "/kv/x").send().await.unwrap().json().await.unwrap();
    assert_eq!(held["held"], "b", "the retry changed nothing");

    put(1, "3", "3", "c").await;
    let (status, late) = put(1, "1", "1", "a").await;
    assert_eq!((status, &late["done"]), (409, &json!("no")), "{late}");
    let forgotten = cluster.http.put(url(1) + "/kv/x").header("session", "77777");
    let forgotten = forgotten.header("sequence", "1").body("z").send().await.unwrap();
    assert_eq!(forgotten.status(), 410);
    let refused: Value = forgotten.json().await.unwrap();
    assert_eq!(refused["reason"], json!(Reason::UnknownSession));
}

fn on_every_link(rule: impl Fn(LinkRule) -> LinkRule) -> LinkRules {
    let nodes = || (1..=3).map(NodeId);
    let links = nodes().flat_map(|from| nodes().map(move |to| (from, to)));
    let rules = links.filter(|(from, to)| from != to);
    let rules = rules.map(|(from, to)| rule(LinkRule::clean(from, to))).collect();
    LinkRules { seed: 5, expires_in: Duration::from_secs(600), rules }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_messages_are_counted_and_dropped_and_nothing_else_happens() {
    let cluster = Cluster::start(3, StorageKind::Memory).await;
    let client = cluster.client();
    ok(client.perform("x", &put("0")).await);
    cluster.set_links(&on_every_link(|rule| LinkRule { corrupt: 0.2, ..rule })).await;
    for n in 1..=30 {
        ok(client.perform("x", &put(&n.to_string())).await);
    }
    cluster.set_links(&LinkRules::default()).await;
    assert_eq!(ok(client.perform("x", &Call::Get).await).1.as_deref(), Some("30"));
    let (mut damaged, mut noticed) = (0, 0);
    for node in cluster.nodes() {
        let report = cluster.report(node).await.unwrap();
        damaged += report.links.corrupted;
        noticed += report.counters.checksum_errors_total;
        assert_eq!(report.counters.malformed_total, 0, "damage got past a checksum");
    }
    assert!(noticed > 0 && noticed <= damaged, "{noticed} of {damaged} noticed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_steps_down_and_the_others_go_on() {
    let cluster = Cluster::start(3, StorageKind::Memory).await;
    let client = cluster.client();
    ok(client.perform("x", &put("before")).await);
    let old = cluster.leader().await;
    let others: Vec<_> = cluster.nodes().into_iter().filter(|&node| node != old).collect();
    let cut = on_every_link(|rule| match [rule.from, rule.to].contains(&NodeId(old)) {
        true => LinkRule { drop: 1.0, ..rule },
        false => rule,
    });
    cluster.set_links(&cut).await;
    cluster.leader_among(&others).await;
    assert_eq!(ok(client.perform("x", &put("after")).await).1.as_deref(), Some("before"));
    let gone = eventually("the old leader steps down", async || {
        let report = cluster.report(old).await?;
        (report.status.leader != Some(NodeId(old))).then_some(report)
    });
    assert_eq!(gone.await.value.as_deref(), Some("before"));
    cluster.set_links(&LinkRules::default()).await;
    eventually("all agree again", async || {
        let report = cluster.report(old).await?;
        (report.value.as_deref() == Some("after")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_replica_is_cut_off_from_its_first_packet() {
    let mut cluster = Cluster::start(3, StorageKind::Sled).await;
    let client = cluster.client();
    ok(client.perform("x", &put("before")).await);
    cluster.stop_one(3).await;
    ok(client.perform("x", &put("after")).await);
    let cut = on_every_link(|rule| match [rule.from, rule.to].contains(&NodeId(3)) {
        true => LinkRule { drop: 1.0, ..rule },
        false => rule,
    });
    let mut config = cluster.config(3);
    config.links = Some(cut);
    cluster.start_with(3, config).await;
    let report = eventually("it campaigns in vain", async || {
        let report = cluster.report(3).await?;
        (report.links.dropped > 3).then_some(report)
    });
    let Report { counters, status, .. } = report.await;
    assert_eq!((counters.messages_received_total, status.leader), (0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_and_applied_is_written_down() {
    let mut cluster = Cluster::start(1, StorageKind::Memory).await;
    cluster.stop_one(1).await;
    let mut config = cluster.config(1);
    config.sampling = Some(Sampling { every: Duration::from_millis(5), key: Some("x".into()) });
    cluster.start_with(1, config).await;
    let client = cluster.client();
    for n in 0..20 {
        ok(client.perform("x", &put(&n.to_string())).await);
    }
    let samples = cluster.directory(1).join("samples.jsonl");
    eventually("a sample of the last value", async || {
        fs::read_to_string(&samples).ok()?.contains(r#""value":"19""#).then_some(())
    })
    .await;
    cluster.stop_one(1).await;

    let lines = |name: &str| fs::read_to_string(cluster.directory(1).join(name)).unwrap();
    let events = lines("events.jsonl");
    let observed: Vec<Observed> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(observed.is_sorted_by_key(|observed| observed.at));
    assert!(events.contains(r#""event":"elected""#), "{events}");
    let applied: Vec<Applied> =
        lines("applied-2.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(applied.iter().zip(1..).all(|(applied, index)| applied.index == index));
    assert_eq!(applied.iter().filter(|applied| applied.request.is_some()).count(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_refusals() {
    let cluster = Cluster::start(1, StorageKind::Memory).await;
    cluster.leader().await;
    let url = |path: &str| format!("http://{}{path}", cluster.address(1));
    let put = async |key: &str, length: usize| {
        let request = cluster.http.put(url("/v1/kv/") + key).body(vec![b'v'; length]);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["done"].clone())
    };
    assert_eq!(put("k", 512 << 10).await, (200, json!("yes")));
    assert_eq!(put("k", (512 << 10) + 1).await, (413, json!("no")));
    assert_eq!(put("k", 1 << 20).await, (413, json!("no")));
    assert_eq!(put(&"k".repeat(1_025), 1).await, (400, json!("no")));
    let nowhere = cluster.http.get(url("/v2/kv/k")).send().await.unwrap();
    assert_eq!(nowhere.status(), 404);
    let metrics = cluster.http.get(url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("consensus_leads 1\n"), "{metrics}");
    for path in ["/livez", "/readyz"] {
        assert_eq!(cluster.http.get(url(path)).send().await.unwrap().status(), 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_is_held_by_one() {
    let cluster = Cluster::start(1, StorageKind::Memory).await;
    let second = replica::run::<Raft>(cluster.config(1)).await;
    assert!(matches!(second, Err(ReplicaError::Storage(StorageError::Locked(_)))), "{second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_replica_says_who_the_members_are_and_where() {
    let cluster = Cluster::start(3, StorageKind::Memory).await;
    let leader = cluster.leader().await;
    for node in cluster.nodes() {
        let members = eventually("gossip knows everybody", async || {
            let members: Members = cluster.ask(node, "/v1/members").await?;
            members.known.iter().all(|known| known.state == "alive").then_some(members)
        });
        let members = members.await;
        assert_eq!((members.according_to.0, members.leader), (node, Some(NodeId(leader))));
        assert_eq!(members.voters, [NodeId(1), NodeId(2), NodeId(3)]);
        let of_two = members.known.iter().find(|known| known.node == NodeId(2)).unwrap();
        assert_eq!(of_two.part, Part::Voter);
        assert_eq!(of_two.client_address, cluster.address(2).to_string());
    }
    assert_eq!(cluster.client().members().await.unwrap().leader, Some(NodeId(leader)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_to_an_administrator_is_one_sentence() {
    let cluster = Cluster::start(1, StorageKind::Memory).await;
    cluster.leader().await;
    for (path, body, status, word) in [
        ("/v1/members", "{}", 400, "whom to add"),
        ("/v1/members", r#"{"dd": [3]}"#, 400, "unknown field"),
        ("/v1/transfer", r#"{"to": 0}"#, 400, "node 0"),
    ] {
        let url = format!("http://{}{path}", cluster.address(1));
        let answer = cluster.http.post(url).body(body).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path} {body}");
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["done"], "no");
        assert!(answer["error"].as_str().unwrap().contains(word), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lost_its_disk_comes_back_as_somebody_else() {
    let mut cluster = Cluster::start(3, StorageKind::Sled).await;
    ok(cluster.client().perform("x", &put("before")).await);
    for lives in [2, 3] {
        cluster.stop_one(3).await;
        let lost = cluster.place.path().join(format!("lost-{lives}"));
        fs::rename(cluster.directory(3), lost).unwrap();
        cluster.start_one(3).await;
        let report = eventually("it is admitted", async || cluster.report(3).await).await;
        assert_eq!(report.about.node, NodeId(100 * (lives - 1) + 3));
    }
    ok(cluster.client().perform("x", &put("after")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_disk_alone_is_nobody_yet() {
    let mut cluster = Cluster::of(3, StorageKind::Sled);
    cluster.start_one(1).await;
    cluster.start_one(2).await;
    let status = async |node| {
        let url = format!("http://{}/v1/status", cluster.address(node));
        cluster.http.get(url).send().await.unwrap().status().as_u16()
    };
    assert_eq!([status(1).await, status(2).await], [503, 503], "one of the others is missing");
    cluster.start_one(3).await;
    let leader = cluster.leader().await;
    for node in cluster.nodes() {
        cluster.stop_one(node).await;
    }
    // Whoever was admitted once needs a quorum, and nobody else.
    let other = if leader == 1 { 2 } else { 1 };
    cluster.start_one(leader).await;
    cluster.start_one(other).await;
    cluster.leader().await;
}
