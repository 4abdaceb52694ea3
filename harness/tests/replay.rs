//! What a run's schedule turned out to be is played again: in the simulator, or by another protocol.

mod common;

use std::{fs, path::Path};

use common::{Place, SHORT, harness, json, said};
use faults::Resolved;

fn resolved(run: &Path) -> Resolved {
    let text = fs::read_to_string(run.join("schedule.resolved.toml")).unwrap();
    Resolved::parse("schedule.resolved.toml", &text).unwrap()
}

/// Runs it and holds that everything held.
fn held(arguments: &[&str]) {
    let output = harness(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
}

#[test]
fn a_real_run_is_foretold_with_its_own_load_and_parameters() {
    let place = Place::new();
    let (schedule, real) = (place.file("short.toml", SHORT), place.out());
    let run = ["run", "--protocol", "raft", "--storage", "memory", "--schedule", &schedule];
    held(&[&run[..], &["--election-timeout", "200ms..400ms", "--out", &real]].concat());
    let foretold = place.path().join("foretold");
    held(&["replay", &real, "--runs", "3", "--out", foretold.to_str().unwrap()]);

    let first = foretold.join("raft-1");
    let config = fs::read_to_string(first.join("config.toml")).unwrap();
    assert!(
        config.contains("200ms..400ms") && config.contains("as measured (simulated)"),
        "{config}"
    );
    let (then, now) = (resolved(Path::new(&real)), resolved(&first));
    assert_eq!((&now.digest, now.trials.len()), (&then.digest, then.trials.len()));
    assert_eq!(now.trials[0].began, then.trials[0].began);
    // Whoever leads now is struck, as who led was.
    assert!(now.trials[0].nodes == [now.trials[0].leader.unwrap()], "{:?}", now.trials);

    let forecast = json(&foretold.join("forecast.json"));
    assert_eq!(forecast["simulations"], 3);
    let network = forecast["fitted"][0]["value"].as_str().unwrap();
    assert!(network.contains("messages measured it") && network.contains("links"), "{network}");
    let trial = &forecast["trials"][0];
    for what in ["election", "outage"] {
        let [measured, simulated] =
            ["measured_ms", "foretold_ms"].map(|which| trial[what][which].as_f64().unwrap());
        assert!(measured > 100.0 && simulated > 100.0, "{trial}");
    }
    let whole = forecast["whole"].as_array().unwrap();
    assert!(whole.iter().any(|row| row[0] == "commit latency in the leader, p50"), "{forecast}");
    let report = fs::read_to_string(foretold.join("report.html")).unwrap();
    assert!(report.contains("measured") && report.contains("simulated"));

    // Another protocol's simulation stands beside the real run, in charts of its own.
    let other = place.path().join("other");
    let ask = ["replay", &real, "--protocol", "multipaxos", "--out", other.to_str().unwrap()];
    let output = harness(&ask);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", said(&output));
    let report = fs::read_to_string(other.join("report.html")).unwrap();
    assert!(report.contains("<h2>On local") && report.contains("<h2>On sim"));
}

#[test]
fn another_protocol_meets_a_run_to_the_letter() {
    let place = Place::new();
    let (schedule, original) = (place.file("short.toml", SHORT), place.out());
    let run = ["run", "--protocol", "multipaxos", "--option", "alpha=3", "--target", "sim"];
    held(&[&run[..], &["--seed", "5", "--schedule", &schedule, "--out", &original]].concat());
    let again = place.path().join("again");
    let again_text = again.to_str().unwrap();
    let replay = ["replay", &original, "--protocol", "raft", "--out", again_text];
    let output = harness(&replay);
    // Whom it strikes need not lead now, and then no leader changes: the schedule expects one.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", said(&output));
    let (then, now) = (resolved(Path::new(&original)), resolved(&again.join("raft-5")));
    let struck = |run: &Resolved| (run.trials[0].began, run.trials[0].nodes.clone());
    assert_eq!(struck(&then), struck(&now));
    let summaries = json(&again.join("summary.json"));
    assert_eq!(
        (&summaries[0]["protocol"], &summaries[1]["protocol"]),
        (&"multipaxos".into(), &"raft".into())
    );

    // The same protocol under the same seed does the same once more.
    let twin = place.path().join("twin");
    held(&["replay", &original, "--out", twin.to_str().unwrap()]);
    let history = |run: &Path| fs::read(run.join("history.jsonl")).unwrap();
    assert_eq!(history(&twin.join("multipaxos-5")), history(Path::new(&original)));
}
