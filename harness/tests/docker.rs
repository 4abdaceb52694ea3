//! Runs in containers of a Docker engine, from the command line to the report. Where no engine answers,
//! nothing of this can be tried, and that is said.

mod common;

use std::{fs, path::Path, process::Command};

use common::{Place, Running, harness, json, said, wait_until};
use deploy::docker::{Engine, RUN_LABEL};
use nix::sys::signal::Signal;

/// The leader is cut off, and then killed.
const TROUBLE: &str = r#"
name   = "trouble"
nodes  = 3
warmup = "1s"
settle = "3s"
load   = { rate = 200, keys = 20, reads = 0.5, timeout = "1s" }

[[step]]
id    = "cut"
at    = { after = "leader-elected", plus = "500ms" }
fault = { kind = "partition", shape = "isolate", target = "leader" }
for   = "2s"

[[step]]
id    = "kill"
at    = { after = "cut.done", plus = "2s" }
fault = { kind = "crash", target = "leader" }
for   = "1s"

[expect]
always     = ["linearizable", "log-agreement", "no-lost-acks", "exactly-once"]
sometimes  = ["leader-changed"]
"#;

/// One after the other: what one of them leaves behind on purpose, another would find.
#[test]
fn runs_in_containers() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engine = match runtime.block_on(Engine::reach()) {
        Ok(engine) => engine,
        Err(error) => {
            println!("skipped: no Docker engine answers ({error:#})");
            return;
        }
    };
    let left = || runtime.block_on(engine.left(RUN_LABEL)).unwrap();
    assert_eq!(
        left(),
        [0, 0, 0],
        "something of earlier runs is there: harness down --target docker"
    );
    // Only who may program the host's packet filter can have packets dropped.
    let filter = Command::new("nft").args(["list", "tables"]).output();
    let cut = if filter.is_ok_and(|it| it.status.success()) { "network" } else { "shim" };
    short_run("raft", &["--cut", cut]);
    short_run("multipaxos", &["--cut", cut, "--via", "gateway", "--peers", "tls"]);
    assert_eq!(left(), [0, 0, 0], "a run leaves something behind");
    interrupted("raft");
    assert_eq!(left(), [0, 0, 0], "an interrupted run leaves something behind");
    killed("multipaxos");
    assert_ne!(left(), [0, 0, 0], "nobody can clean up who was killed");
    let down = harness(&["down", "--target", "docker"]);
    assert_eq!(down.status.code(), Some(0), "{}", said(&down));
    assert_eq!(left(), [0, 0, 0], "{}", said(&down));
}

fn short_run(protocol: &str, more: &[&str]) {
    let place = Place::new();
    let (schedule, out) = (place.file("trouble.toml", TROUBLE), place.out());
    let arguments = ["run", "--target", "docker", "--protocol", protocol];
    let files = ["--schedule", &schedule, "--out", &out];
    let output = harness(&[&arguments[..], &files, more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let out = Path::new(&out);
    for file in
        ["report.html", "history.jsonl", "events.jsonl", "logs/node-1.log", "logs/node-3.log"]
    {
        let length = fs::metadata(out.join(file)).map(|file| file.len());
        assert!(length.is_ok_and(|length| length > 0), "{file} is missing");
    }
    let summary = json(&out.join("summary.json"));
    assert_eq!(summary["target"], "docker");
    for rule in ["linearizable", "log_agreement", "no_lost_acks", "exactly_once"] {
        assert_eq!(summary["verdict"][rule], "ok", "{rule}");
    }
    assert_eq!(summary["election_ms"]["n"], 2, "one for each trial");
    let host = summary["host"].as_object().unwrap();
    assert!(host["container engine"].as_str().unwrap().starts_with("Docker "), "{host:?}");
    if more.contains(&"network") {
        let report = fs::read_to_string(out.join("report.html")).unwrap();
        let said = "over links that were cut, 0 bytes in 0 packets came through";
        assert!(report.contains(said), "the report does not tell what crossed the cut");
    }
}

/// A run that is through its first trial.
fn under_way(place: &Place, protocol: &str) -> Running {
    let (schedule, out) = (place.file("trouble.toml", TROUBLE), place.out());
    let arguments = ["run", "--target", "docker", "--protocol", protocol];
    let files = ["--schedule", &schedule, "--out", &out];
    let mut running = Running::start(&[&arguments[..], &files].concat());
    running.hear("trial 1/2");
    running
}

fn interrupted(protocol: &str) {
    let place = Place::new();
    let running = under_way(&place, protocol);
    running.signal(Signal::SIGINT);
    let (status, said) = running.ended();
    assert_eq!(status.code(), Some(1), "{said}");
    assert_eq!(json(&place.path().join("out/summary.json"))["partial"], true);
}

fn killed(protocol: &str) {
    let place = Place::new();
    let running = under_way(&place, protocol);
    running.signal(Signal::SIGKILL);
    let (status, said) = running.ended();
    assert_eq!(status.code(), None, "{said}");
    wait_until("its directory is there", || place.path().join("out").is_dir());
}
