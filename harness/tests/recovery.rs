//! Partial connectivity: the schedules do to a cluster what they say, and the table tells who recovers.

mod common;

use std::fs;

use common::{Place, harness, said};
use faults::Resolved;

#[test]
fn the_hub_of_a_constrained_election_is_the_one_that_fell_behind() {
    let place = Place::new();
    for protocol in ["raft", "multipaxos"] {
        let out = place.path().join(protocol);
        let arguments = ["run", "--protocol", protocol, "--target", "sim", "--out"];
        let more = [out.to_str().unwrap(), "--schedule", "constrained-election"];
        let output = harness(&[&arguments[..], &more[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let text = fs::read_to_string(out.join("schedule.resolved.toml")).unwrap();
        let resolved = Resolved::parse("resolved.toml", &text).unwrap();
        let struck = |step: &str| {
            let trials = resolved.trials.iter().filter(|trial| trial.step == step);
            trials.map(|trial| (trial.leader, trial.nodes.clone())).collect::<Vec<_>>()
        };
        let (behind, cut) = (struck("behind"), struck("cut"));
        assert_eq!((behind.len(), cut.len()), (5, 5));
        for ((_, behind), (leader, cut)) in behind.iter().zip(&cut) {
            assert_eq!((Some(cut[0]), &cut[1..]), (*leader, &behind[..]), "{protocol}");
        }
    }
}

#[test]
fn only_paxos_elects_a_hub_that_is_behind() {
    let place = Place::new();
    let out = place.out();
    let output = harness(&[
        "recovery",
        "--scenarios",
        "constrained-election",
        "--election-timeouts",
        "150ms..300ms",
        "--runs",
        "2",
        "--hold",
        "4s",
        "--out",
        &out,
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let rows = fs::read_to_string(place.path().join("out/recovery.csv")).unwrap();
    let rows: Vec<Vec<&str>> = rows.lines().skip(1).map(|row| row.split(',').collect()).collect();
    assert!(rows.len() >= 36, "{} runs", rows.len());
    for row in &rows {
        let recovers = row.contains(&"recovers");
        assert_eq!(recovers, row[1] == "Multi-Paxos", "{row:?}");
    }
    for file in ["recovery.md", "recovery.json", "traces.md", "report.html"] {
        let text = fs::read_to_string(place.path().join("out").join(file)).unwrap();
        assert!(text.contains("constrained-election"), "{file}");
    }
}

#[test]
fn what_makes_no_table_is_refused() {
    for (bad, why) in [
        (["--scenarios", "sunshine"], "there is no scenario 'sunshine'; there are: quorum-loss"),
        (["--hold", "3s"], "tell little of an election timeout"),
        (["--runs", "0"], "at least one run"),
        (["--protocols", "zab"], "there is no protocol 'zab'"),
    ] {
        let output = harness(&["recovery", bad[0], bad[1]]);
        assert_eq!(output.status.code(), Some(2), "{bad:?}: {}", said(&output));
        assert!(said(&output).contains(why), "{bad:?}: {}", said(&output));
    }
}
