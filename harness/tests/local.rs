//! Runs on real processes with real disks, from the command line to the report.

mod common;

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    path::Path,
};

use common::{
    ByHand, Place, Running, SHORT, harness, json, replicas, said, standard_error, wait_until,
    wait_until_nobody_is_left,
};
use deploy::Addresses;
use nix::sys::signal::Signal;

/// A short run holds what is expected of it, and leaves everything that it should and nothing else.
fn short_run(protocol: &str, more: &[&str]) {
    let place = Place::new();
    let (schedule, out) = (place.file("short.toml", SHORT), place.out());
    let arguments = ["run", "--protocol", protocol, "--schedule", &schedule, "--out", &out];
    let output = harness(&[&arguments[..], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(standard_error(&output).contains("trial 1/1: leader is node"), "{}", said(&output));
    assert!(said(&output).contains("report.html"), "{}", said(&output));
    let out = Path::new(&out);
    for file in [
        "summary.json",
        "report.html",
        "history.jsonl",
        "events.jsonl",
        "schedule.resolved.toml",
        "config.toml",
        "plots/timeline.svg",
        "logs/node-1.log",
        "logs/node-3.log",
    ] {
        let length = fs::metadata(out.join(file)).map(|file| file.len());
        assert!(length.is_ok_and(|length| length > 0), "{file} is missing");
    }
    assert!(!out.join("data").exists(), "the replicas' disks are kept for nothing");
    let config = fs::read_to_string(out.join("config.toml")).unwrap();
    let tls = more.contains(&"tls");
    assert_eq!(config.contains("mutual TLS"), tls, "{config}");
    assert_eq!(config.contains("in the clear"), !tls, "{config}");
    let summary = json(&out.join("summary.json"));
    assert_eq!(summary["protocol"], protocol);
    assert_eq!(summary["target"], "local");
    assert_eq!(summary["nodes"], 3);
    assert_eq!(summary["partial"], false);
    for rule in ["linearizable", "log_agreement", "no_lost_acks", "exactly_once"] {
        assert_eq!(summary["verdict"][rule], "ok", "{rule}");
    }
    assert!(summary["operations"]["ok"].as_u64().unwrap() > 200);
    assert_eq!(summary["election_ms"]["n"], 1);
    for figure in ["throughput_per_s", "outage_ms", "commit_latency_ms", "cost"] {
        assert!(!summary[figure].is_null(), "{figure} is missing");
    }
    wait_until_nobody_is_left(&place.path());
}

#[test]
fn a_short_run_of_raft() {
    short_run("raft", &[]);
}

#[test]
fn a_short_run_of_raft_over_tls() {
    short_run("raft", &["--peers", "tls"]);
}

#[test]
fn a_short_run_of_multipaxos_by_way_of_the_gateway() {
    short_run("multipaxos", &["--via", "gateway"]);
}

/// What an administrator is sent for: a member more, another leader, and a disk's loss made good.
const ERRANDS: &str = r#"
name     = "errands"
nodes    = 3
warmup   = "500ms"
settle   = "2s"
patience = "60s"
load     = { rate = 100, keys = 20, reads = 0.5, timeout = "1s" }

[[step]]
id    = "grow"
at    = { after = "leader-elected", plus = "300ms" }
fault = { kind = "reconfigure", add = 1 }

[[step]]
id    = "hand-over"
at    = { after = "grow.done", plus = "300ms" }
fault = { kind = "transfer", to = "one-follower" }

[[step]]
id    = "forget"
at    = { after = "hand-over.done", plus = "300ms" }
fault = { kind = "restart", target = "leader", disk = "lost" }
for   = "300ms"

[expect]
sometimes = ["reconfigured", "handed-over", "leader-changed"]
"#;

fn errands_are_carried_out(protocol: &str) {
    let place = Place::new();
    let (schedule, out) = (place.file("errands.toml", ERRANDS), place.out());
    let arguments = ["run", "--protocol", protocol, "--schedule", &schedule, "--out", &out];
    let output = harness(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let resolved = fs::read_to_string(Path::new(&out).join("schedule.resolved.toml")).unwrap();
    assert_eq!(resolved.matches("answer = \"done\"").count(), 3, "{resolved}");
    for newcomer in ["added = [4]", "added = [10"] {
        assert!(resolved.contains(newcomer), "{newcomer}: {resolved}");
    }
    wait_until_nobody_is_left(&place.path());
}

#[test]
fn errands_are_carried_out_by_raft() {
    errands_are_carried_out("raft");
}

#[test]
fn errands_are_carried_out_by_multipaxos() {
    errands_are_carried_out("multipaxos");
}

/// The first replica is the one that all others were told of; while it is dead, somebody else takes
/// its ports.
const FIRST_DIES: &str = r#"
name   = "first-dies"
nodes  = 3
warmup = "500ms"
settle = "2s"
load   = { rate = 100, keys = 20, reads = 0.5, timeout = "1s" }

[[step]]
at    = { after = "leader-elected", plus = "300ms" }
fault = { kind = "crash", target = "node 1" }
for   = "2s"
"#;

#[test]
fn a_replica_whose_ports_were_taken_takes_others_and_is_found_again() {
    let place = Place::new();
    let (schedule, out) = (place.file("first-dies.toml", FIRST_DIES), place.out());
    let directory = Path::new(&out).to_owned();
    let running =
        Running::start(&["run", "--protocol", "raft", "--schedule", &schedule, "--out", &out]);
    let file = directory.join("data").join("node-1").join("address.json");
    let addresses = || -> Option<Addresses> { serde_json::from_slice(&fs::read(&file).ok()?).ok() };
    wait_until("node 1 listens", || addresses().is_some());
    let before = addresses().unwrap();
    let alive = || replicas(&directory).iter().any(|(_, line)| line.contains("--node 1 "));
    wait_until("node 1 is killed", || !alive());
    // A process that is dead needs a moment to give its ports back.
    let mut taken = Vec::new();
    for address in [before.client, before.peer.unwrap()] {
        wait_until("the port is free", || {
            TcpListener::bind(address).map(|listener| taken.push(listener)).is_ok()
        });
    }
    let mut gossip = None;
    wait_until("the port is free", || {
        gossip = UdpSocket::bind(before.gossip).ok();
        gossip.is_some()
    });
    wait_until("node 1 listens again", || addresses().is_some_and(|now| now != before));
    let after = addresses().unwrap();
    assert!(after.client != before.client && after.gossip != before.gossip, "{after:?}");
    let (status, said) = running.ended();
    // It ends well only if all replicas came to hold the same, the one that moved among them.
    assert_eq!(status.code(), Some(0), "{said}");
    wait_until_nobody_is_left(&place.path());
}

#[test]
fn clients_at_the_command_line_talk_to_a_cluster_started_by_hand() {
    let place = Place::new();
    let mut cluster = ByHand::new();
    let mut addresses: Vec<Addresses> = Vec::new();
    for node in ["1", "2", "3"] {
        let replica = ["replica", "--protocol", "multipaxos", "--members", "1,2,3", "--node", node];
        let seed = addresses.first().map(|first| first.gossip.to_string());
        let seed = seed.as_ref().map(|seed| ["--seed-address", seed]);
        let arguments = [&replica[..], seed.as_ref().map_or(&[], |seed| &seed[..])].concat();
        addresses.push(cluster.start(&arguments, &place.path().join(node)));
    }
    let seed = addresses[0].gossip.to_string();
    let gateway = ["gateway", "--seed-address", &seed];
    let gateway = cluster.start(&gateway, &place.path().join("gateway")).client.to_string();
    let servers: Vec<_> = addresses.iter().map(|at| at.client.to_string()).collect();

    // The exit status, and what went to standard output.
    let ask = |arguments: &[&str], server: &str| {
        let more = ["--server", server, "--timeout", "30s"];
        let output = harness(&[arguments, &more].concat());
        let printed = String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned();
        (output.status.code().unwrap(), printed)
    };
    let nothing = String::new;
    assert_eq!(ask(&["get", "greeting"], &servers[0]), (1, nothing()));
    // Whichever replica is asked, and by way of the gateway as well.
    for server in servers.iter().chain([&gateway]) {
        assert_eq!(ask(&["put", "greeting", server], server), (0, nothing()));
        for other in servers.iter().chain([&gateway]) {
            assert_eq!(ask(&["get", "greeting"], other), (0, server.clone()));
        }
        let swap = |expected, value| ["cas", "greeting", value, "--expected", expected];
        assert_eq!(ask(&swap("another", "wrong"), server), (1, nothing()));
        assert_eq!(ask(&swap(server.as_str(), "swapped"), server), (0, nothing()));
        assert_eq!(ask(&["cas", "greeting", "wrong", "--absent"], server), (1, nothing()));
        assert_eq!(ask(&["get", "greeting"], server), (0, "swapped".to_owned()));
        let lock = format!("lock of {server}");
        assert_eq!(ask(&["test-and-set", &lock, "alice"], server), (0, nothing()));
        assert_eq!(ask(&["test-and-set", &lock, "bob"], server), (1, "alice".to_owned()));
    }
    let stale = || {
        ask(&["get", "greeting", "--consistency", "stale"], &servers[2])
            == (0, "swapped".to_owned())
    };
    wait_until("what was written is applied there too", stale);

    // One server that is not there is no obstacle, if another is named.
    let absent = ["get", "greeting", "--server", "127.0.0.1:9"];
    assert_eq!(ask(&absent, &servers[1]), (0, "swapped".to_owned()));
    // Without a quorum nobody does it, and the reason is told.
    common::send(cluster.process(0), Signal::SIGKILL);
    common::send(cluster.process(1), Signal::SIGKILL);
    let get = ["get", "greeting", "--server", &servers[2], "--timeout", "2s"];
    let output = harness(&get);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("certainly not done"), "{}", said(&output));
}

#[test]
fn replicas_started_by_hand_speak_tls_by_certificates_that_the_harness_issued() {
    let place = Place::new();
    let certificates = place.path().join("certificates");
    let certificates = certificates.to_str().unwrap();
    let issued = harness(&["certificates", "--out", certificates]);
    assert_eq!(issued.status.code(), Some(0), "{}", said(&issued));
    assert_eq!(String::from_utf8(issued.stdout).unwrap().lines().count(), 3);
    let again = harness(&["certificates", "--out", certificates]);
    assert_eq!(again.status.code(), Some(2), "{}", said(&again));

    let mut cluster = ByHand::new();
    let mut seeds: Vec<String> = Vec::new();
    let mut servers = Vec::new();
    for node in ["1", "2", "3"] {
        let replica = ["replica", "--protocol", "raft", "--members", "1,2,3", "--node", node];
        let tls = ["--peers", "tls", "--certificates", certificates];
        let seed = seeds.iter().flat_map(|seed| ["--seed-address", seed]).collect::<Vec<_>>();
        let arguments = [&replica[..], &tls, &seed].concat();
        let at = cluster.start(&arguments, &place.path().join(node));
        seeds = vec![at.gossip.to_string()];
        servers.push(at.client.to_string());
    }
    let put = ["put", "greeting", "hidden", "--server", &servers[0], "--timeout", "30s"];
    let output = harness(&put);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let get = ["get", "greeting", "--server", &servers[2], "--timeout", "30s"];
    let output = harness(&get);
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "hidden");
}

#[test]
fn the_help_of_a_client_command_says_how_to_start_a_cluster() {
    for name in ["get", "put", "cas", "test-and-set"] {
        let help = said(&harness(&[name, "--help"]));
        for part in ["harness replica --protocol raft", "harness gateway", "--seed-address"] {
            assert!(help.contains(part), "{name}: {help}");
        }
    }
}
