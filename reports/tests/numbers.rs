//! Latency, availability and cost from records written by hand.

#[allow(dead_code)]
mod synthetic;

use std::time::Duration;

use consensus_core::{
    Consistency, Epoch, Event, NodeId, RequestId,
    history::{Operation, Outcome},
};
use reports::{Counters, FaultBand, RunRecord, Summary, render_run};
use synthetic::{BEGIN, Story, at_ms, empty, note, operation};

/// Ten seconds of one answer each 10 ms, a crash at 5,000 ms, and no answer for 1,000 ms after it.
fn with_a_gap() -> RunRecord {
    let mut record = empty("raft");
    for n in 0..1_000 {
        let intended = n as f64 * 10.0 + 5.0;
        if !(5_000.0..6_000.0).contains(&intended) {
            record.operations.push(operation(n, n % 2 == 0, intended, intended + 2.0));
        }
    }
    record.faults.push(FaultBand {
        step: "kill".into(),
        trial: None,
        kind: "crash".into(),
        label: "crash".into(),
        nodes: vec![NodeId(1)],
        links: Vec::new(),
        start: at_ms(5_000.0),
        end: Some(at_ms(7_000.0)),
    });
    record
}

#[test]
fn a_gap_is_seen_from_all_sides() {
    let summary = Summary::of(&with_a_gap());
    let availability = summary.availability.expect("nothing is violated");
    assert!((availability.baseline_per_s.expect("quiet before") - 100.0).abs() < 1e-6);
    assert_eq!(availability.longest_gap_ms, Some(1_010.0));
    assert_eq!(availability.below_half_ms, Some(1_000.0));
    let recovery = availability.longest_recovery_ms.expect("it came back");
    assert!((recovery - 1_000.0).abs() < 1e-6, "{recovery}");
    assert_eq!(summary.throughput_per_s, Some(90.0));
}

#[test]
fn a_cluster_that_stays_silent_never_recovered() {
    let mut record = with_a_gap();
    record.operations.retain(|operation| operation.intended < at_ms(5_000.0));
    let availability = Summary::of(&record).availability.expect("nothing is violated");
    assert_eq!(availability.longest_recovery_ms, None);
    assert!(availability.longest_gap_ms.is_some_and(|gap| gap > 5_000.0), "{availability:?}");
}

#[test]
fn latency_counts_from_the_intended_time_and_leaves_out_what_failed() {
    let mut record = empty("raft");
    for n in 0..10 {
        let mut late = operation(n, false, 100.0, 120.0);
        late.invoked = at_ms(119.0);
        record.operations.push(late);
    }
    let mut failed = operation(10, false, 100.0, 900.0);
    failed.outcome = Outcome::Failed("overloaded".into());
    let mut unknown = operation(11, false, 100.0, 900.0);
    unknown.outcome = Outcome::Unknown("deadline".into());
    record.operations.extend([failed, unknown, operation(12, true, 100.0, 101.0)]);
    let summary = Summary::of(&record);
    let client = summary.commit_latency_ms.expect("nothing is violated").client;
    assert_eq!((client.n, client.p50, client.max, client.p99), (10, Some(20.0), Some(20.0), None));
    assert_eq!(summary.read_latency_ms.expect("one read").p50, Some(1.0));
    let kinds = summary.read_latency_by_kind_ms.expect("one read");
    assert_eq!(kinds.keys().collect::<Vec<_>>(), [&Consistency::Linearizable]);
    let counts = summary.operations;
    assert_eq!((counts.ok, counts.failed, counts.unknown), (11, 1, 1));
}

#[test]
fn operations_during_a_fault_are_told_apart() {
    let latency = Summary::of(&with_a_gap()).commit_latency_ms.expect("nothing is violated");
    assert_eq!(latency.client.n, 450);
    assert_eq!(latency.client_undisturbed.n, 400, "those from 6 to 7 s met the fault");
}

#[test]
fn a_commit_is_attributed_to_what_completed_its_quorum() {
    let mut record = empty("raft");
    let epoch = Epoch::term(1);
    for index in 1..=4 {
        let proposed = Event::Proposed { request: RequestId(index), index, epoch };
        note(&mut record, index as f64, 1, proposed);
    }
    let mut commit = |ms: f64, epoch, from: u64, to: u64, by: u64, sync_ns: u64| {
        note(&mut record, ms, 1, Event::Committed { epoch, from, to, has_command: true });
        let seen = record.observed.last_mut().expect("just noted");
        (seen.from, seen.sync_ns) = (Some(NodeId(by)), sync_ns);
    };
    commit(5.0, epoch, 1, 2, 2, 1_500_000);
    commit(6.0, epoch, 3, 3, 1, 0);
    // The last one it learned of as a follower, in a later epoch: not its own commit.
    commit(9.0, Epoch::term(2), 4, 4, 2, 0);
    let messages = Counters { messages: Some(30), bytes: Some(3_000), syncs: None };
    record.counters = messages;

    let summary = Summary::of(&record);
    let leader = summary.commit_latency_ms.expect("nothing is violated").leader;
    assert_eq!(
        (leader.latency.n, leader.latency.min, leader.latency.max),
        (3, Some(3.0), Some(4.0))
    );
    assert_eq!(leader.completed_by_peer, Some(2.0 / 3.0));
    assert_eq!(leader.completed_by_own_disk, Some(1.0 / 3.0));
    assert_eq!(leader.peer_sync_p50_ms, Some(1.5));
    assert_eq!(leader.peer_network_p50_ms, Some(2.0));
    let cost = summary.cost.expect("nothing is violated");
    assert_eq!((cost.commits, cost.messages_per_commit), (3, Some(10.0)));
    assert_eq!((cost.bytes_per_commit, cost.syncs_per_commit), (Some(1_000.0), None));
}

#[test]
fn an_empty_run_has_no_figures_to_give() {
    let mut record = empty("raft");
    record.metadata.end = BEGIN + Duration::ZERO;
    let summary = Summary::of(&record);
    assert_eq!(summary.throughput_per_s, None);
    assert_eq!(summary.election_ms.expect("not violated").p50, None);
    let table = reports::summary_table(&[summary]);
    let line = table.lines().find(|line| line.contains("election time p50")).expect("a line");
    assert!(line.ends_with('–'), "{table}");
}

#[test]
fn the_summary_keeps_its_names() {
    let json = serde_json::to_value(Summary::of(&Story::new("raft", 1).record())).unwrap();
    for path in [
        "/protocol",
        "/target",
        "/schedule",
        "/schedule_digest",
        "/seed",
        "/nodes",
        "/verdict/linearizable",
        "/verdict/log_agreement",
        "/verdict/no_lost_acks",
        "/verdict/exactly_once",
        "/operations/ok",
        "/operations/failed",
        "/operations/unknown",
        "/throughput_per_s",
        "/election_ms/n",
        "/election_ms/min",
        "/election_ms/p50",
        "/election_ms/mean",
        "/election_ms/p90",
        "/election_ms/p99",
        "/election_ms/max",
        "/election_stages_ms/detect/p50",
        "/election_stages_ms/catch_up/p50",
        "/outage_ms/p50",
        "/commit_latency_ms/client/p50",
        "/commit_latency_ms/client/p90",
        "/commit_latency_ms/client/p99",
        "/commit_latency_ms/client/p999",
        "/commit_latency_ms/client/max",
        "/commit_latency_ms/leader/p50",
        "/cost/messages_per_commit",
        "/cost/bytes_per_commit",
        "/cost/syncs_per_commit",
        "/host",
        "/commit",
        "/command",
    ] {
        assert!(json.pointer(path).is_some(), "{path} is missing");
    }
    assert_eq!(json.pointer("/election_ms/n"), Some(&10.into()));
    assert!(json.pointer("/election_ms/p90").unwrap().is_null(), "ten trials carry no p90");
}

#[test]
fn each_kind_of_read_is_measured_by_itself() {
    let mut record = empty("raft");
    for (n, consistency) in (1..).zip(Consistency::ALL) {
        let read = operation(n, true, 1_000.0, 1_000.0 + n as f64);
        record.operations.push(Operation { consistency: Some(consistency), ..read });
    }
    let kinds = Summary::of(&record).read_latency_by_kind_ms.expect("four reads");
    let medians: Vec<_> = kinds.values().map(|quantiles| quantiles.p50).collect();
    assert_eq!(medians, [1.0, 2.0, 3.0, 4.0].map(Some));
    let page = render_run(&record).unwrap();
    for kind in ["linearizable reads", "by lease", "followers serve", "stale reads"] {
        assert!(page.contains(kind), "{kind}");
    }
}
