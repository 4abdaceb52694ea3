//! Runs in pods of a Kubernetes cluster, from the command line to the report. Where no kubeconfig leads
//! to one that may be used, nothing of this can be tried, and that is said.
//!
//! `LAB_CONTEXT`, `LAB_IMAGE` and `LAB_LOAD` are handed on as `--context`, `--image` and `--load`.

mod common;

use std::{env, fs, path::Path};

use common::{LONG, Place, Running, harness, json, said, wait_until};
use deploy::kubernetes::{Reach, standing};
use nix::sys::signal::Signal;

/// One of each kind: the leader is cut off, deleted, and a follower loses its volume.
const CHURN: &str = r#"
name   = "churn"
nodes  = 3
warmup = "1s"
settle = "8s"
load   = { rate = 100, keys = 20, reads = 0.5, timeout = "1s" }

[[step]]
id    = "cut"
at    = { after = "leader-elected", plus = "500ms" }
fault = { kind = "partition", shape = "isolate", target = "leader" }
for   = "2s"

[[step]]
id    = "delete"
at    = { after = "cut.done", plus = "2s" }
fault = { kind = "delete", target = "leader" }
for   = "8s"

[[step]]
id    = "freeze"
at    = { after = "delete.done", plus = "2s" }
fault = { kind = "pause", target = "leader" }
for   = "2s"

[[step]]
id    = "lose"
at    = { after = "freeze.done", plus = "2s" }
fault = { kind = "delete", target = "one-follower", volume = "lost" }
for   = "1s"

[expect]
always     = ["linearizable", "log-agreement", "no-lost-acks", "exactly-once"]
sometimes  = ["leader-changed", "reconfigured"]
"#;

/// Which cluster, and how it gets the image.
struct Cluster {
    arguments: Vec<String>,
    context: Option<String>,
}

impl Cluster {
    fn of_the_environment() -> Self {
        let context = env::var("LAB_CONTEXT").ok();
        let given =
            [("--context", "LAB_CONTEXT"), ("--image", "LAB_IMAGE"), ("--load", "LAB_LOAD")];
        let given = given.into_iter().filter_map(|(flag, name)| Some((flag, env::var(name).ok()?)));
        let arguments = given.flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        Self { arguments, context }
    }

    /// A command that starts something there.
    fn starting<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        let own = self.arguments.iter().map(String::as_str);
        command.iter().copied().chain(["--target", "kubernetes"]).chain(own).collect()
    }

    /// A command about what stands there.
    fn about<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        let context = self.context.iter().flat_map(|context| ["--context", context]);
        command.iter().copied().chain(["--target", "kubernetes"]).chain(context).collect()
    }
}

/// One after the other: what one of them leaves behind on purpose, another would find.
#[test]
fn runs_in_pods() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cluster = Cluster::of_the_environment();
    let reach = match runtime.block_on(Reach::open(cluster.context.as_deref())) {
        Ok(reach) => reach,
        Err(error) => {
            println!("skipped: no Kubernetes may be used here ({error:#})");
            return;
        }
    };
    let left = || runtime.block_on(standing(&reach, None)).unwrap().len();
    assert_eq!(left(), 0, "something of earlier runs is there: harness down --target kubernetes");
    stands_and_goes(&cluster);
    assert_eq!(left(), 0, "a cluster leaves something behind");
    churn(&cluster, "raft", &[]);
    churn(&cluster, "multipaxos", &["--via", "gateway", "--peers", "tls"]);
    isolation(&cluster);
    cut_by_the_network(&cluster);
    assert_eq!(left(), 0, "a run leaves something behind");
    interrupted(&cluster);
    assert_eq!(left(), 0, "an interrupted run leaves something behind");
    killed(&cluster);
    assert_ne!(left(), 0, "nobody can clean up who was killed");
    let down = harness(&cluster.about(&["down"]));
    assert_eq!(down.status.code(), Some(0), "{}", said(&down));
    assert_eq!(left(), 0, "{}", said(&down));
}

fn stands_and_goes(cluster: &Cluster) {
    let ask = ["up", "--protocol", "raft", "--nodes", "3", "--name", "tried"];
    let up = harness(&cluster.starting(&ask));
    assert_eq!(up.status.code(), Some(0), "{}", said(&up));
    assert!(said(&up).contains("3 replicas follow node "), "{}", said(&up));
    let status = harness(&cluster.about(&["status", "--name", "tried"]));
    let told = said(&status);
    assert_eq!(told.lines().filter(|line| line.contains("sees 3 alive")).count(), 3, "{told}");
    let logs = harness(&cluster.about(&["logs", "node-2", "--name", "tried"]));
    assert!(logs.status.success() && !logs.stdout.is_empty(), "{}", said(&logs));
    let again = harness(&cluster.starting(&ask));
    assert_eq!(again.status.code(), Some(2), "{}", said(&again));
    let down = harness(&cluster.about(&["down", "--name", "tried"]));
    assert!(said(&down).contains("removed 1 namespaces"), "{}", said(&down));
}

fn run(cluster: &Cluster, protocol: &str, place: &Place, more: &[&str]) -> serde_json::Value {
    let out = place.out();
    let arguments = cluster.starting(&["run", "--protocol", protocol, "--out", &out]);
    let output = harness(&[&arguments[..], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let out = Path::new(&out);
    for file in [
        "report.html",
        "history.jsonl",
        "events.jsonl",
        "logs/node-1.log",
        "logs/node-3.log",
        "logs/kubernetes.log",
    ] {
        let length = fs::metadata(out.join(file)).map(|file| file.len());
        assert!(length.is_ok_and(|length| length > 0), "{file} is missing");
    }
    let summary = json(&out.join("summary.json"));
    assert_eq!(summary["target"], "kubernetes");
    for rule in ["linearizable", "log_agreement", "no_lost_acks", "exactly_once"] {
        assert_eq!(summary["verdict"][rule], "ok", "{rule}");
    }
    assert!(summary["host"]["cluster's Kubernetes"].is_string(), "{}", summary["host"]);
    summary
}

fn churn(cluster: &Cluster, protocol: &str, more: &[&str]) {
    let place = Place::new();
    let schedule = place.file("churn.toml", CHURN);
    run(cluster, protocol, &place, &[&["--schedule", &schedule], more].concat());
}

fn isolation(cluster: &Cluster) {
    let place = Place::new();
    let more = ["--schedule", "leader-isolation", "--nodes", "3", "--trials", "2", "--rate", "100"];
    let summary = run(cluster, "raft", &place, &more);
    assert_eq!(summary["election_ms"]["n"], 2, "one for each trial");
}

/// Not every cluster's network keeps to policies: one that does not is refused.
fn cut_by_the_network(cluster: &Cluster) {
    let place = Place::new();
    let out = place.out();
    let ask = ["run", "--protocol", "multipaxos", "--schedule", "leader-isolation", "--nodes", "3"];
    let more = ["--trials", "2", "--rate", "100", "--cut", "network", "--out", &out];
    let output = harness(&cluster.starting(&[&ask[..], &more].concat()));
    match output.status.code() {
        Some(0) => {
            let summary = json(&Path::new(&out).join("summary.json"));
            let kept = summary["host"]["cluster's NetworkPolicies"].as_str();
            assert!(kept.is_some_and(|kept| kept.starts_with("kept to ")), "{}", summary["host"]);
            assert!(summary["remarks"].to_string().contains("NetworkPolicies"), "it is not said");
            assert_eq!(summary["election_ms"]["n"], 2, "one for each trial");
        }
        Some(2) => {
            assert!(said(&output).contains("a NetworkPolicy forbade it"), "{}", said(&output))
        }
        _ => panic!("{}", said(&output)),
    }
}

fn interrupted(cluster: &Cluster) {
    let place = Place::new();
    let (schedule, out) = (place.file("long.toml", LONG), place.out());
    let ask = ["run", "--protocol", "raft", "--schedule", &schedule, "--out", &out];
    let mut running = Running::start(&cluster.starting(&ask));
    running.hear("trial 1/");
    running.signal(Signal::SIGINT);
    let (status, told) = running.ended();
    assert_eq!(status.code(), Some(1), "{told}");
    let summary = json(&Path::new(&out).join("summary.json"));
    assert_eq!(summary["partial"], true);
}

fn killed(cluster: &Cluster) {
    let place = Place::new();
    let (schedule, out) = (place.file("long.toml", LONG), place.out());
    let ask = ["run", "--protocol", "multipaxos", "--schedule", &schedule, "--out", &out];
    let mut running = Running::start(&cluster.starting(&ask));
    running.hear("trial 1/");
    running.signal(Signal::SIGKILL);
    let _killed = running.ended();
    wait_until("the run's directory is there", || Path::new(&out).is_dir());
}
