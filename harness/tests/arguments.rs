//! What makes no sense is refused before anything starts: one sentence, and exit status 2.

mod common;

use common::{Place, command, harness, said, standard_error};

/// Runs it, and holds that it was refused with one sentence that holds all of this.
fn refused(arguments: &[&str], wanted: &[&str]) {
    let output = harness(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", said(&output));
    let sentence = standard_error(&output);
    assert_eq!(sentence.lines().count(), 1, "{arguments:?}: {sentence}");
    assert!(sentence.starts_with("harness: "), "{arguments:?}: {sentence}");
    for part in wanted {
        assert!(sentence.contains(part), "{arguments:?}: {sentence} lacks {part}");
    }
}

/// The same for `run` with a schedule of this text.
fn schedule_refused(text: &str, more: &[&str], wanted: &[&str]) {
    let place = Place::new();
    let (file, out) = (place.file("mine.toml", text), place.out());
    let run = ["run", "--protocol", "raft", "--schedule", &file, "--out", &out];
    refused(&[&run[..], more].concat(), wanted);
    assert!(!place.path().join("out").exists(), "something was started for {text}");
}

#[test]
fn unknown_names_are_answered_with_what_exists() {
    refused(&["run", "--protocol", "zab"], &["'zab'", "raft, multipaxos"]);
    refused(&["sweep", "--protocol", "zab", "--seeds", "0..2"], &["'zab'", "raft, multipaxos"]);
    refused(&["compare", "--protocols", "raft,zab"], &["'zab'", "raft, multipaxos"]);
    refused(&["run", "--protocol", "raft", "--target", "moon"], &["'moon'", "sim, local"]);
    let known = ["leader-crash", "quorum-edge", "the-story", "swarm"];
    let wanted = |name| [&[name], &known[..]].concat();
    refused(&["run", "--protocol", "raft", "--schedule", "hug"], &wanted("'hug'"));
    refused(&["run", "--protocol", "raft", "--schedule", "./hug.toml"], &wanted("./hug.toml"));
    refused(&["schedules", "hug"], &wanted("'hug'"));
    refused(&["dance"], &["'dance'", "run, compare, sweep"]);
    refused(&["run", "--protocl", "raft"], &["'--protocl'", "--protocol, --target"]);
    refused(&["run", "--protocol", "raft", "--storage", "clay"], &["'clay'", "sled, memory"]);
}

#[test]
fn nonsense_is_refused_with_its_reason() {
    let run = |more: &[&'static str]| [&["run", "--protocol", "raft"], more].concat();
    refused(&["run"], &["--protocol"]);
    refused(&run(&["--nodes", "0"]), &["at least one replica"]);
    refused(&run(&["--nodes", "200"]), &["leader-crash.toml", "nodes", "200", "99"]);
    refused(&run(&["--trials", "0"]), &["at least one trial"]);
    refused(&run(&["--rate", "-3"]), &["-3"]);
    refused(&run(&["--election-timeout", "soon"]), &["'soon'", "150ms..300ms"]);
    refused(&run(&["--heartbeat-interval", "140ms"]), &["140ms", "at most a third"]);
    refused(&run(&["--network", "lan"]), &["--network lan", "--target sim"]);
    refused(&run(&["--cut", "network"]), &["--cut network", "kubernetes", "link shim"]);
    let disk = ["--target", "kubernetes", "--schedule", "bad-disk"];
    refused(&run(&disk), &["kubernetes", "the kubelet starts"]);
    refused(&run(&["--target", "sim", "--network", "moon"]), &["'moon'", "five-regions"]);
    refused(&["sweep", "--protocol", "raft", "--seeds", "5"], &["'5'", "0..500"]);
    let sweep = ["sweep", "--protocol", "raft", "--seeds", "0..2", "--shrink", "much"];
    refused(&sweep, &["'much'", "'no'"]);
    let shrink = |more: &[&'static str]| [&["shrink", "--protocol", "raft"], more].concat();
    refused(&shrink(&[]), &["SCHEDULE"]);
    refused(&shrink(&["hug"]), &["'hug'", "leader-crash"]);
    refused(&shrink(&["calm", "--tries", "0"]), &["--tries", "at least one"]);
    refused(&shrink(&["calm", "--verdict", "beauty"]), &["'beauty'", "linearizable"]);
    refused(&["replay", "/nonsuch"], &["/nonsuch"]);
    refused(&["replay", "/nonsuch", "--cast", "stars"], &["'stars'", "literal, roles"]);
    let hunt = |more: &[&'static str]| [&["hunt"], more].concat();
    refused(&hunt(&["--protocols", "raft"]), &["at least two"]);
    refused(&hunt(&["--budget", "5"]), &["--budget", "6 simulations"]);
    refused(&hunt(&["--maximize", "joy"]), &["'joy'", "outage-difference"]);
    refused(&["compare", "--protocols", "raft"], &["at least two"]);
    refused(&["compare", "--protocols", "raft,raft"], &["twice"]);
    refused(&["get", "key", "--server", "nowhere"], &["'nowhere'", "HOST:PORT"]);
    refused(&["check", "/nonsuch"], &["/nonsuch"]);
    refused(&["report", "/proc"], &["/proc", "no run directory"]);
    refused(&["export", "/nonsuch", "--format", "jepsen"], &["/nonsuch"]);
    refused(&["export", "/proc", "--format", "jepsen"], &["/proc", "no history.jsonl"]);
    refused(&["export", "/proc"], &["--format"]);
    refused(&["export", "/proc", "--format", "latin"], &["'latin'", "jepsen, porcupine"]);
    refused(&["replica", "--protocol", "raft", "--node", "0", "--data", "x"], &["not node 0"]);
    let pod = |name| ["replica", "--protocol", "raft", "--pod", name, "--data", "x"];
    refused(&pod("replica"), &["'replica'", "replica-0"]);
    refused(&pod("replica--1x"), &["'replica--1x'", "replica-0"]);
    refused(&["replica", "--protocol", "raft", "--data", "x"], &["--node", "--pod"]);
    refused(&[&pod("replica-0")[..], &["--node", "1"]].concat(), &["--pod", "--node"]);
    let tls = |more: &[&'static str]| [&pod("replica-0")[..], &["--peers", "tls"], more].concat();
    refused(&tls(&[]), &["--certificates"]);
    refused(&tls(&["--certificates", "/nonsuch"]), &["/nonsuch/ca.crt", "TLS"]);
    refused(&run(&["--target", "sim", "--peers", "tls"]), &["--peers tls", "the simulator"]);
    refused(&["certificates", "--out", "/proc/nonsuch"], &["/proc/nonsuch"]);
    refused(&run(&["--option", "speed=9"]), &["speed", "no options of its own"]);
    let sweep = ["sweep", "--protocol", "multipaxos", "--seeds", "0..2", "--option", "speed=9"];
    refused(&sweep, &["speed", "no such option"]);
    let nobody = ["members", "--at", "127.0.0.1:1", "--timeout", "200ms"];
    refused(&[&nobody[..], &["list"]].concat(), &["127.0.0.1:1", "who the members are"]);
    refused(&[&nobody[..], &["add"]].concat(), &["NODE"]);
    refused(&[&nobody[..], &["add", "x"]].concat(), &["'x'"]);
    refused(&[&nobody[..], &["remove", "2"]].concat(), &["127.0.0.1:1"]);
    refused(&["transfer", "--at", "nowhere"], &["'nowhere'", "HOST:PORT"]);
}

const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: production
clusters: [{ name: production, cluster: { server: 'https://127.0.0.1:1' } }]
contexts: [{ name: production, context: { cluster: production, user: me } }]
users: [{ name: me, user: {} }]
";

#[test]
fn a_cluster_that_may_be_somebody_elses_is_refused_unless_it_is_named() {
    let place = Place::new();
    let kubeconfig = place.file("kubeconfig", KUBECONFIG);
    let told = |more: &[&str]| {
        let ask = [&["status", "--target", "kubernetes"], more].concat();
        let output = command(&ask).env("KUBECONFIG", &kubeconfig).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        standard_error(&output)
    };
    let refused = told(&[]);
    assert!(refused.contains("'production'"), "{refused}");
    assert!(refused.contains("--context production allows it"), "{refused}");
    // Named, it is asked, and nobody is there.
    let asked = told(&["--context", "production"]);
    assert!(asked.contains("no Kubernetes answers at the context 'production'"), "{asked}");
    let unknown = told(&["--context", "moon"]);
    assert!(unknown.contains("'moon' cannot be used"), "{unknown}");
}

const CRASH: &str = r#"name = "mine"
nodes = 3
[[step]]
at = { after = "start" }
fault = { kind = "crash", target = "leader" }
for = "1s"
"#;

#[test]
fn a_schedule_is_refused_with_file_line_and_reason() {
    let with = |old: &str, new: &str| CRASH.replace(old, new);
    let cases = [
        (with("for = ", "fore = "), vec!["mine.toml:6", "`fore`", "`for`"]),
        (with("\"1s\"", "\"-1s\""), vec!["mine.toml:6", "`-1s` is no time"]),
        (with("\"1s\"", "\"0s\""), vec!["mine.toml:6", "over before it began"]),
        (with("\"start\"", "\"noon\""), vec!["mine.toml:4", "`noon`", "leader-elected"]),
        (with("\"crash\"", "\"hug\""), vec!["mine.toml:5", "`hug`", "`crash`, `restart`"]),
        (with("\"leader\"", "\"king\""), vec!["mine.toml:5", "`king`", "leader, one-follower"]),
        (with("\"leader\"", "\"node 5\""), vec!["mine.toml:5", "a cluster of 3 has no `node 5`"]),
        (with("name =", "name"), vec!["mine.toml:1"]),
    ];
    for (text, wanted) in cases {
        schedule_refused(&text, &[], &wanted);
    }
}

#[test]
fn a_target_must_exist_at_the_size_that_is_asked_for() {
    let text = CRASH.replace("leader", "node 5");
    schedule_refused(&text, &["--nodes", "4"], &["mine.toml:5", "a cluster of 4 has no `node 5`"]);
    // At a size that has it, it is no mistake any more.
    let place = Place::new();
    let (file, out) = (place.file("mine.toml", &text), place.out());
    let run = ["run", "--protocol", "raft", "--target", "sim", "--schedule", &file, "--nodes", "5"];
    let output = harness(&[&run[..], &["--out", &out]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn a_place_that_cannot_be_written_is_refused() {
    let place = Place::new();
    let file = place.file("taken", "");
    let run = |out| ["run", "--protocol", "raft", "--target", "sim", "--out", out];
    refused(&run(&file), &[&file, "a file is there"]);
    refused(&run("/proc/self/out"), &["cannot create the folder /proc/self/out"]);
    let folder = place.path();
    refused(&run(folder.to_str().unwrap()), &["is not empty"]);
}
