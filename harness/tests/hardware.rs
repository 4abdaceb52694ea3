//! Disks and clocks go wrong on real processes: by the shims in the replicas, as the schedule says.

mod common;

use std::{fs, path::Path};

use common::{Place, harness, json, said, wait_until_nobody_is_left};

const WRONG: &str = r#"
name   = "wrong"
nodes  = 3
warmup = "500ms"
settle = "2s"
load   = { rate = 200, keys = 20, reads = 0.3, timeout = "1s" }

[[step]]
id    = "fails"
at    = { after = "leader-elected", plus = "300ms" }
fault = { kind = "disk", target = "leader", effect = "error" }
for   = "500ms"

[[step]]
id    = "full"
at    = { after = "fails.done", plus = "1s" }
fault = { kind = "disk", target = "all", effect = "full" }
for   = "300ms"

[[step]]
id    = "stalls"
at    = { after = "full.done", plus = "1s" }
fault = { kind = "disk", target = "majority", effect = "stall" }
for   = "400ms"

[[step]]
id    = "hurries"
at    = { after = "stalls.done", plus = "300ms" }
fault = { kind = "clock", target = "one-follower", rate = 500000 }
for   = "500ms"

[[step]]
id    = "jumps"
at    = { after = "hurries.start" }
fault = { kind = "clock", target = "leader", jump = "1h" }

[expect]
sometimes  = ["leader-changed", "unavailable"]
after_heal = { leader = "2s", converged = "5s" }
"#;

fn wrong_hardware(protocol: &str) {
    let place = Place::new();
    let (schedule, out) = (place.file("wrong.toml", WRONG), place.out());
    let output = harness(&["run", "--protocol", protocol, "--schedule", &schedule, "--out", &out]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let out = Path::new(&out);
    let summary = json(&out.join("summary.json"));
    assert_eq!(summary["partial"], false);
    let logs: Vec<_> = (1..=3).map(|node| out.join(format!("logs/node-{node}.log"))).collect();
    let logs: Vec<_> = logs.iter().map(|log| fs::read_to_string(log).unwrap()).collect();
    let say = |what: &str| logs.iter().filter(|log| log.contains(what)).count();
    // Every replica is told that its disk is full; who has nothing to write meanwhile does not notice.
    assert_eq!((say("fails: Some(Error)"), say("fails: Some(Full)")), (1, 3), "{logs:?}");
    assert_eq!(say("Input/output error"), 1, "the leader writes all the time: {logs:?}");
    assert_ne!(say("No space left on device"), 0, "the leader writes all the time: {logs:?}");
    assert_eq!(say("the clock is told"), 2, "{logs:?}");
    wait_until_nobody_is_left(&place.path());
}

#[test]
fn raft_survives_disks_and_clocks_that_go_wrong() {
    wrong_hardware("raft");
}

#[test]
fn multipaxos_survives_disks_and_clocks_that_go_wrong() {
    wrong_hardware("multipaxos");
}
