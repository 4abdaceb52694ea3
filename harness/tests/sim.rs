//! Whole runs in virtual time: the same seed gives the same bytes, and the quorum has an edge.

mod common;

use std::{fs, path::Path, time::Duration};

use common::{Place, SHORT, harness, json, said};
use consensus_core::{
    NodeId, Time,
    history::{Operation, Outcome},
};
use faults::Resolved;

const PROTOCOLS: [&str; 2] = ["raft", "multipaxos"];

/// Runs it in virtual time and holds that everything held.
fn simulate(protocol: &str, more: &[&str]) {
    let arguments = [&["run", "--protocol", protocol, "--target", "sim"], more].concat();
    let output = harness(&arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_every_protocol_the_same_schedule() {
    let place = Place::new();
    let schedule = place.file("short.toml", SHORT);
    let mut digests = Vec::new();
    for protocol in PROTOCOLS {
        let run = |seed: &str, name: &str| {
            let out = place.path().join(format!("{protocol}-{name}"));
            let out_text = out.to_str().unwrap();
            simulate(protocol, &["--schedule", &schedule, "--seed", seed, "--out", out_text]);
            out
        };
        let (first, again, other) = (run("7", "first"), run("7", "again"), run("8", "other"));
        for file in ["history.jsonl", "events.jsonl", "applied.jsonl", "schedule.resolved.toml"] {
            let bytes = |run: &Path| fs::read(run.join(file)).unwrap();
            assert_eq!(bytes(&first), bytes(&again), "{protocol}: {file} differs");
            assert_ne!(bytes(&first), bytes(&other), "{protocol}: {file} ignores the seed");
        }
        digests.push(json(&first.join("summary.json"))["schedule_digest"].clone());
        assert_ne!(digests.last(), Some(&json(&other.join("summary.json"))["schedule_digest"]));
    }
    assert!(digests[0].is_string() && digests[0] == digests[1], "{digests:?}");
}

#[test]
fn a_network_is_chosen_by_name_and_recorded_with_what_it_takes() {
    let place = Place::new();
    let (schedule, out) = (place.file("short.toml", SHORT), place.out());
    simulate("raft", &["--network", "five-regions", "--schedule", &schedule, "--out", &out]);
    let directory = Path::new(&out);
    let config = fs::read_to_string(directory.join("config.toml")).unwrap();
    for wanted in ["network = \"five-regions (simulated)\"", "750ms..1.5s", "150ms"] {
        assert!(config.contains(wanted), "{config} lacks {wanted}");
    }
    let summary = json(&directory.join("summary.json"));
    assert_eq!(summary["network"], "five-regions (simulated)");
    let median = summary["commit_latency_ms"]["client"]["p50"].as_f64().unwrap();
    assert!(median > 119.0, "a quorum of five regions is not nearer: {median} ms");
    let report = fs::read_to_string(directory.join("report.html")).unwrap();
    assert!(report.contains("<dt>network</dt><dd>five-regions (simulated)</dd>"));
}

#[test]
fn a_run_directory_is_judged_and_reported_again() {
    let place = Place::new();
    let (schedule, out) = (place.file("short.toml", SHORT), place.out());
    simulate("raft", &["--schedule", &schedule, "--out", &out]);
    let checked = harness(&["check", &out]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    assert!(said(&checked).contains("linearizable"), "{}", said(&checked));

    let directory = Path::new(&out);
    let summary = fs::read(directory.join("summary.json")).unwrap();
    fs::remove_file(directory.join("report.html")).unwrap();
    fs::remove_file(directory.join("summary.json")).unwrap();
    let reported = harness(&["report", &out]);
    assert_eq!(reported.status.code(), Some(0), "{}", said(&reported));
    assert!(directory.join("report.html").is_file());
    assert_eq!(fs::read(directory.join("summary.json")).unwrap(), summary);

    // Everything that was asked is told to other people's checkers, and what cannot be is refused.
    let operations = history_of(directory);
    let exported = harness(&["export", &out, "--format", "jepsen"]);
    assert_eq!(exported.status.code(), Some(0), "{}", said(&exported));
    let told = String::from_utf8(exported.stdout).unwrap();
    let judged = operations.iter().filter(|operation| !operation.is_stale_read()).count();
    assert_eq!(told.lines().count(), 2 * judged);
    assert!(told.starts_with("{:index 0, :time 0, :process "), "{told}");
    let (file, history) = (directory.join("told.jsonl"), directory.join("history.jsonl"));
    let (file_text, history_text) = (file.to_str().unwrap(), history.to_str().unwrap());
    let porcupine = ["export", history_text, "--format", "porcupine", "--out"];
    let exported = harness(&[&porcupine[..], &[file_text]].concat());
    assert_eq!(exported.status.code(), Some(0), "{}", said(&exported));
    let told = fs::read_to_string(file).unwrap();
    assert!(told.starts_with("{\"ClientId\":"), "{told}");
    let nowhere = directory.join("nowhere/told.jsonl");
    let refused = harness(&[&porcupine[..], &[nowhere.to_str().unwrap()]].concat());
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));

    // A history that was tampered with is caught: somebody reads what nobody ever wrote.
    let history = directory.join("history.jsonl");
    let mut operations = history_of(directory);
    let read = operations.iter_mut().rfind(|read| read.sequence == 0 && read.outcome.is_ok());
    if let Outcome::Ok { held, .. } = &mut read.unwrap().outcome {
        *held = Some("out of thin air".to_owned());
    }
    let lines: Vec<_> =
        operations.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
    fs::write(&history, lines.concat()).unwrap();
    let checked = harness(&["check", history.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(1), "{}", said(&checked));
}

#[test]
fn a_comparison_puts_both_on_the_same_axes() {
    let place = Place::new();
    let (schedule, out) = (place.file("short.toml", SHORT), place.out());
    let arguments = ["compare", "--target", "sim", "--schedule", &schedule, "--runs", "2"];
    let output = harness(&[&arguments[..], &["--out", &out]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let summaries = json(&Path::new(&out).join("summary.json"));
    let of = |field: &str| -> Vec<_> {
        let runs = summaries.as_array().unwrap();
        runs.iter().map(|run| run[field].to_string().replace('"', "")).collect()
    };
    assert_eq!(of("protocol"), ["raft", "multipaxos", "raft", "multipaxos"]);
    assert_eq!(of("seed"), ["1", "1", "2", "2"]);
    let digests = of("schedule_digest");
    assert!(digests[0] == digests[1] && digests[2] == digests[3] && digests[0] != digests[2]);
    assert!(Path::new(&out).join("report.html").is_file());
}

#[test]
fn at_the_edge_of_a_quorum_one_replica_makes_the_difference() {
    for protocol in PROTOCOLS {
        for nodes in [3, 5, 7] {
            let place = Place::new();
            let (size, out) = (nodes.to_string(), place.out());
            simulate(protocol, &["--schedule", "quorum-edge", "--nodes", &size, "--out", &out]);
            Edge::of(Path::new(&out), nodes).hold(&format!("{protocol}, {nodes} replicas"));
        }
    }
}

/// What was acknowledged around the edge.
struct Edge {
    within: Vec<NodeId>,
    beyond: Vec<NodeId>,
    /// When the fault within what can be borne struck, when the one beyond struck and ended, and
    /// when everybody was brought back.
    struck: [Time; 4],
    nodes: usize,
    operations: Vec<Operation>,
}

impl Edge {
    fn of(directory: &Path, nodes: usize) -> Self {
        let file = "schedule.resolved.toml";
        let text = fs::read_to_string(directory.join(file)).unwrap();
        let resolved = Resolved::parse(file, &text).unwrap();
        let ready = reports::load(directory).unwrap().metadata.begin;
        let trial = |step| resolved.trials.iter().find(|trial| trial.step == step).unwrap();
        let at = |offset: Option<Duration>| ready + offset.unwrap();
        let [within, beyond, everybody] = ["within", "beyond", "everybody"].map(trial);
        Self {
            within: within.nodes.clone(),
            beyond: beyond.nodes.clone(),
            struck: [at(within.began), at(beyond.began), at(beyond.ended), at(everybody.began)],
            nodes,
            operations: history_of(directory),
        }
    }

    fn hold(&self, of: &str) {
        let borne = (self.nodes - 1) / 2;
        assert_eq!((self.within.len(), self.beyond.len()), (borne, 1), "{of}");
        assert!(self.beyond.iter().all(|node| !self.within.contains(node)), "{of}");
        let [within, beyond, returned, everybody] = self.struck;
        // An election takes its time, and what was under way may still be answered for a moment.
        let elected = Duration::from_secs(2);
        let under_way = Duration::from_millis(50);
        let served = |from, until| self.changes(from, until) + self.reads(from, until);
        assert!(self.changes(within + elected, beyond) > 200, "{of}: f are dead, and it stops");
        assert!(self.reads(within + elected, beyond) > 200, "{of}: f are dead, and it stops");
        assert_eq!(served(beyond + under_way, returned), 0, "{of}: it serves without a quorum");
        assert!(self.changes(returned + elected, everybody) > 200, "{of}: it does not serve again");
        assert!(self.reads(returned + elected, everybody) > 200, "{of}: it does not serve again");
        // Whoever asked meanwhile was told: that it was not done, or that nobody knows.
        let timeout = Duration::from_secs(1);
        let asked =
            |op: &&Operation| op.intended > beyond + under_way && op.intended + timeout < returned;
        let asked: Vec<_> = self.operations.iter().filter(asked).collect();
        assert!(asked.len() > 1_000, "{of}: only {} asked", asked.len());
        assert!(asked.iter().all(|op| !op.outcome.is_ok()), "{of}: it serves without a quorum");
        let refused = asked.iter().filter(|op| matches!(op.outcome, Outcome::Failed(_))).count();
        assert!(refused > asked.len() / 4, "{of}: only {refused} were told that it was not done");
    }

    fn changes(&self, from: Time, until: Time) -> usize {
        self.acknowledged(from, until, |operation| operation.sequence > 0)
    }

    fn reads(&self, from: Time, until: Time) -> usize {
        self.acknowledged(from, until, |operation| operation.sequence == 0)
    }

    fn acknowledged(&self, from: Time, until: Time, kind: impl Fn(&Operation) -> bool) -> usize {
        let within = |op: &Operation| op.completed.is_some_and(|at| at > from && at < until);
        let acknowledged = |op: &&Operation| op.outcome.is_ok() && kind(op) && within(op);
        self.operations.iter().filter(acknowledged).count()
    }
}

fn history_of(directory: &Path) -> Vec<Operation> {
    let text = fs::read_to_string(directory.join("history.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_lease_that_breaks_is_seen_and_the_report_says_how_far_the_clocks_drifted() {
    for protocol in PROTOCOLS {
        let place = Place::new();
        let out = place.out();
        simulate(protocol, &["--schedule", "clock-beyond-bound", "--seed", "1", "--out", &out]);
        let verdict = json(&Path::new(&out).join("summary.json"))["verdict"].clone();
        assert_eq!(
            (&verdict["lease_reads"], &verdict["linearizable"]),
            (&"violated".into(), &"ok".into())
        );
        let report = fs::read_to_string(Path::new(&out).join("report.html")).unwrap();
        let why = "the clocks drifted beyond the bound that leases assume (1000 ppm assumed, 900000 ppm made)";
        assert!(report.contains(why), "{protocol}");
    }
}
