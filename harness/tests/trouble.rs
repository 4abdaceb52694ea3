//! Whatever happens to a run, no process is left behind, and what was measured is kept.

mod common;

use std::{path::Path, process::Command};

use common::{LONG, Place, Running, json, processes, replicas, send, wait_until_nobody_is_left};
use nix::sys::signal::Signal;

/// A run that is through its first trial and has nine more before it.
fn under_way(place: &Place, protocol: &str) -> Running {
    let (schedule, out) = (place.file("long.toml", LONG), place.out());
    let mut running =
        Running::start(&["run", "--protocol", protocol, "--schedule", &schedule, "--out", &out]);
    running.hear("trial 1/10");
    running
}

/// What is kept of a run that did not come to its end.
fn hold_partial(place: &Place) -> serde_json::Value {
    let out = place.path().join("out");
    let summary = json(&out.join("summary.json"));
    assert_eq!(summary["partial"], true);
    assert!(summary["operations"]["ok"].as_u64().unwrap() > 100, "{}", summary["operations"]);
    assert_eq!(summary["verdict"]["linearizable"], "ok");
    for file in ["report.html", "history.jsonl", "events.jsonl", "schedule.resolved.toml"] {
        assert!(out.join(file).is_file(), "{file} is missing");
    }
    summary
}

#[test]
fn an_interrupted_run_keeps_what_was_measured() {
    for (signal, protocol) in [(Signal::SIGINT, "raft"), (Signal::SIGTERM, "multipaxos")] {
        let place = Place::new();
        let running = under_way(&place, protocol);
        running.signal(signal);
        let (status, said) = running.ended();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("interrupted: keeping what was measured"), "{said}");
        hold_partial(&place);
        wait_until_nobody_is_left(&place.path());
    }
}

#[test]
fn a_second_interruption_ends_everything_at_once() {
    let place = Place::new();
    let mut running = under_way(&place, "raft");
    // Frozen replicas cannot end in order: there is something to be impatient about.
    for (process, _) in replicas(&place.path().join("out")) {
        send(process, Signal::SIGSTOP);
    }
    running.signal(Signal::SIGINT);
    running.hear("interrupted: keeping what was measured");
    running.signal(Signal::SIGINT);
    let (status, said) = running.ended();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("ended at once"), "{said}");
    wait_until_nobody_is_left(&place.path());
}

#[test]
fn interrupted_before_the_cluster_serves_nothing_is_left_either() {
    let place = Place::new();
    let (schedule, out) = (place.file("long.toml", LONG), place.out());
    let running =
        Running::start(&["run", "--protocol", "raft", "--schedule", &schedule, "--out", &out]);
    common::wait_until("a replica is started", || !replicas(&place.path().join("out")).is_empty());
    running.signal(Signal::SIGINT);
    let (status, said) = running.ended();
    assert_eq!(status.code(), Some(1), "{said}");
    wait_until_nobody_is_left(&place.path());
}

#[test]
fn a_harness_that_is_killed_takes_its_replicas_along() {
    let place = Place::new();
    let running = under_way(&place, "raft");
    // Not even one that is frozen may survive.
    let (frozen, _) = replicas(&place.path().join("out"))[0];
    send(frozen, Signal::SIGSTOP);
    running.signal(Signal::SIGKILL);
    let (status, _) = running.ended();
    assert_eq!(status.code(), None);
    wait_until_nobody_is_left(&place.path());
}

#[test]
fn a_replica_that_dies_by_itself_fails_the_run_and_is_named() {
    let place = Place::new();
    let running = under_way(&place, "multipaxos");
    let (victim, line) = replicas(&place.path().join("out"))[0].clone();
    let node = line.split("--node ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    send(victim, Signal::SIGKILL);
    let (status, said) = running.ended();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("replica {node} ended by itself (signal: 9 (SIGKILL))")),
        "{said}"
    );
    assert!(said.contains("its log ends with:\n    20"), "{said}");
    assert!(said.contains(&format!("logs/node-{node}.log")), "{said}");
    let summary = hold_partial(&place);
    let broken = summary["expectations"].to_string();
    assert!(broken.contains(&format!("replica {node} ended by itself")), "{broken}");
    wait_until_nobody_is_left(&place.path());
}

#[test]
fn a_full_disk_is_told_in_one_sentence() {
    let place = Place::new();
    let schedule = place.file("long.toml", LONG);
    let disk = place.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    // A small disk of our own, in a namespace of our own, needs no privilege where that is allowed.
    let inside = |script: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        unshare.arg(&disk);
        unshare
    };
    let mount = "mount -t tmpfs -o size=6m tmpfs \"$1\"";
    if !inside(mount).output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no file system can be mounted here, so no disk can be full");
        return;
    }
    let script = format!("{mount} && shift && exec \"$@\"");
    let mut command = inside(&script);
    command.arg(env!("CARGO_BIN_EXE_harness")).args(["run", "--protocol", "raft"]);
    command.args(["--schedule", &schedule, "--rate", "2000", "--out"]).arg(disk.join("out"));
    let output = command.output().unwrap();
    let said = common::said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let sentences: Vec<_> = said.lines().filter(|line| line.starts_with("harness: ")).collect();
    assert_eq!(sentences.len(), 1, "{said}");
    assert!(sentences[0].contains("the disk is full"), "{said}");
    assert!(sentences[0].contains(Path::new(&disk).to_str().unwrap()), "{said}");
    common::wait_until("every process ends", || processes(&place.path()).is_empty());
}
