//! A run's files, there and back.

#[allow(dead_code)]
mod synthetic;

use std::fs;

use consensus_core::{Epoch, NodeId, SessionId, history::Applied};
use reports::{ReportError, Summary, load, save, save_comparison};
use synthetic::Story;

#[test]
fn a_record_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut record = Story { trials: 2, ..Story::new("multipaxos", 4) }.record();
    record.applied.push(Applied {
        node: NodeId(1),
        incarnation: 2,
        index: 3,
        epoch: Epoch::ballot(2, NodeId(1)),
        digest: u64::MAX,
        request: Some((SessionId(1), 2)),
        fresh: false,
    });
    let summary = save(&record, directory.path()).unwrap();
    let back = load(directory.path()).unwrap();
    assert_eq!(format!("{record:?}"), format!("{back:?}"));
    assert_eq!(Summary::of(&back), Summary::of(&record));

    let path = |name: &str| directory.path().join(name);
    let read: Summary =
        serde_json::from_str(&fs::read_to_string(path("summary.json")).unwrap()).unwrap();
    assert_eq!(read.election_ms, summary.election_ms);
    for name in
        ["report.html", "config.toml", "schedule.resolved.toml", "logs", "plots/timeline.svg"]
    {
        assert!(path(name).exists(), "{name} is missing");
    }
}

#[test]
fn a_report_made_again_has_no_plots_of_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut record = Story { trials: 1, ..Story::new("raft", 1) }.record();
    save(&record, directory.path()).unwrap();
    let stages = directory.path().join("plots/election-stages.svg");
    assert!(stages.exists());
    record.verdicts.exactly_once = checker::Verdict::Violated(checker::Counterexample::default());
    save(&record, directory.path()).unwrap();
    assert!(!stages.exists());
}

#[test]
fn a_comparison_of_several_targets_has_plots_of_each_and_stays_in_its_directory() {
    let place = tempfile::tempdir().unwrap();
    let on = |protocol, target: &str| {
        let mut record = Story { trials: 1, ..Story::new(protocol, 1) }.record();
        record.metadata.target = target.into();
        record
    };
    let records = [on("raft", "local"), on("multipaxos", "local"), on("raft", "../out")];
    let directory = place.path().join("compared");
    let summaries = save_comparison(&records, &directory).unwrap();
    for plots in ["local/plots", "---out/plots"] {
        assert!(directory.join(plots).join("latency-over-time.svg").exists(), "{plots}");
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    // Each target's runs are medians of their own, and the table says whose.
    let table = reports::summary_table(&[summaries.clone(), summaries].concat());
    let line = |name: &str| table.lines().find(|line| line.trim().starts_with(name)).unwrap();
    assert_eq!(
        line("target").split_whitespace().skip(1).collect::<Vec<_>>(),
        ["local", "local", "../out"]
    );
    assert_eq!(line("medians of").matches("2 runs").count(), 3);
}

#[test]
fn a_damaged_file_is_named_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    save(&Story { trials: 1, ..Story::new("raft", 1) }.record(), directory.path()).unwrap();
    let path = directory.path().join("events.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[2] = "{\"at\": 1";
    fs::write(&path, lines.join("\n")).unwrap();
    let message = load(directory.path()).unwrap_err().to_string();
    assert!(message.contains("events.jsonl, line 3"), "{message}");

    fs::remove_file(&path).unwrap();
    let error = load(directory.path()).unwrap_err();
    assert!(matches!(&error, ReportError::File { path, .. } if path.ends_with("events.jsonl")));
}

#[test]
fn a_comparison_has_a_directory_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let records = ["raft", "multipaxos"]
        .map(|protocol| Story { trials: 1, ..Story::new(protocol, 1) }.record());
    let summaries = save_comparison(&records, directory.path()).unwrap();
    assert_eq!(summaries.len(), 2);
    assert!(directory.path().join("plots/goodput-over-time.svg").exists());
    assert!(directory.path().join("report.html").exists());
    assert!(save_comparison(&records[..1], directory.path()).is_err());
}
