//! A hold is measured as it is defined, and what came of it is called by its name.

#[allow(dead_code)]
mod synthetic;

use std::time::Duration;

use consensus_core::{
    Epoch, Event, NodeId, SessionId, Time,
    history::{Call, Observed, Operation, Outcome},
};
use reports::{
    FaultBand, RunRecord,
    recovery::{Cell, Class, Hold, Recovery, Scenario, csv, markdown, traces},
    render_recovery,
    verdicts::Standing,
};
use synthetic::{BEGIN, empty};

/// When the links are cut, and for how long.
const CUT_MS: u64 = 2_000;
const HOLD_MS: u64 = 8_000;

fn at(millis: u64) -> Time {
    BEGIN + Duration::from_millis(CUT_MS + millis)
}

/// A run in which node 1 led, and sees node 2 alone from the cut on.
fn record() -> RunRecord {
    let mut record = empty("raft");
    let (leader, hub) = (NodeId(1), NodeId(2));
    let links = (1..=5).flat_map(|from| (1..=5).map(move |to| (NodeId(from), NodeId(to))));
    record.faults.push(FaultBand {
        step: "cut".into(),
        trial: None,
        kind: "partition".into(),
        label: "quorum loss".into(),
        nodes: vec![leader, hub],
        links: links.filter(|&(from, to)| from != to && from != hub && to != hub).collect(),
        start: at(0),
        end: Some(at(HOLD_MS)),
    });
    record
}

/// Writes acknowledged every 50 ms, from and to these milliseconds after the cut.
fn serve(record: &mut RunRecord, from: u64, to: u64) {
    for millis in (from..to).step_by(50) {
        record.operations.push(Operation {
            client: 1,
            session: SessionId(1),
            sequence: millis,
            key: "key".into(),
            call: Call::Put("value".into()),
            consistency: None,
            intended: at(millis),
            invoked: at(millis),
            completed: Some(at(millis) + Duration::from_millis(2)),
            outcome: Outcome::Ok { changed: true, held: None, revision: 1 },
        });
    }
}

fn campaign(record: &mut RunRecord, millis: u64, node: u64, term: u64, wins: bool) {
    let epoch = Epoch::term(term);
    let events = [Event::Campaigning { epoch }, Event::Elected { epoch }];
    for event in events.into_iter().take(if wins { 2 } else { 1 }) {
        let (node, at) = (NodeId(node), at(millis));
        record.observed.push(Observed { at, node, incarnation: 1, from: None, sync_ns: 0, event });
    }
}

fn hold(change: impl Fn(&mut RunRecord)) -> Hold {
    let mut record = record();
    change(&mut record);
    Hold::of(&record).unwrap()
}

fn recovers() -> Hold {
    hold(|record| {
        campaign(record, 400, 2, 2, true);
        serve(record, 500, HOLD_MS);
    })
}

fn flaps() -> Hold {
    hold(|record| {
        serve(record, 0, HOLD_MS);
        (1..8).for_each(|n| campaign(record, 1_000 * n, 2 + n % 2, 1 + n, true));
    })
}

fn livelocks() -> Hold {
    hold(|record| (1..8).for_each(|n| campaign(record, 1_000 * n, 2, 1 + n, false)))
}

fn deadlocks() -> Hold {
    hold(|record| campaign(record, 500, 2, 2, false))
}

#[test]
fn each_class_is_what_it_is_defined_as() {
    assert_eq!(recovers().class, Class::Recovers);
    assert_eq!(flaps().class, Class::Flaps);
    assert_eq!(livelocks().class, Class::Livelocks);
    assert_eq!(deadlocks().class, Class::Deadlocks);
    // Whoever serves under one leader, but not always, does not recover.
    let gap = hold(|record| {
        serve(record, 0, 5_000);
        serve(record, 6_000, HOLD_MS);
    });
    assert_eq!(gap.class, Class::Flaps);
}

#[test]
fn the_outage_is_the_longest_gap_and_says_whether_it_ever_ended() {
    let recovers = recovers();
    assert!((recovers.outage_ms - 502.0).abs() < 1e-6, "{}", recovers.outage_ms);
    assert!(!recovers.outage_to_the_end);
    assert_eq!((recovers.elections, recovers.epochs), (1, 1));
    let deadlocks = deadlocks();
    assert_eq!((deadlocks.outage_ms, deadlocks.outage_to_the_end), (HOLD_MS as f64, true));
    assert_eq!(deadlocks.served, 0.0);
    // What was sent before the cut says nothing of what came after it.
    let before = hold(|record| {
        serve(record, 0, 50);
        record.operations[0].invoked = BEGIN;
    });
    assert_eq!(before.served, 0.0);
}

#[test]
fn who_reaches_nobody_uses_nothing_up() {
    let alone = |record: &mut RunRecord| {
        let others = (2..=5).flat_map(|other| [(1, other), (other, 1)]);
        let others = others.map(|(from, to)| (NodeId(from), NodeId(to)));
        record.faults[0].links = others.collect();
        (1..8).for_each(|n| campaign(record, 1_000 * n, 1, 1 + n, false));
    };
    let hold = hold(alone);
    assert_eq!((hold.class, hold.epochs), (Class::Deadlocks, 0));
}

#[test]
fn a_run_without_a_cut_around_a_leader_is_not_measured() {
    let mut record = record();
    record.faults[0].nodes.pop();
    assert!(Hold::of(&record).is_none());
    record.faults.clear();
    assert!(Hold::of(&record).is_none());
}

fn table() -> Recovery {
    let cell = |variant: &str, runs: Vec<Hold>| Cell {
        scenario: "quorum-loss".into(),
        protocol: "Raft".into(),
        variant: variant.into(),
        election_timeout: "150ms..300ms".into(),
        arguments: "--protocol raft".into(),
        runs,
    };
    Recovery {
        command: "harness recovery".into(),
        commit: "0123abc".into(),
        started_at: "2025-01-01T12:00:00Z".into(),
        hold_s: 8.0,
        runs: 3,
        load: "20 writes a second".into(),
        scenarios: vec![Scenario {
            name: "quorum-loss".into(),
            description: "Everybody sees <one> hub alone.".into(),
            schedule: String::new(),
        }],
        election_timeouts: vec!["150ms..300ms".into()],
        cells: vec![
            cell("both", vec![recovers(), recovers(), flaps()]),
            cell("neither", vec![deadlocks(), livelocks(), livelocks()]),
        ],
    }
}

#[test]
fn a_cell_stands_for_most_of_its_runs_and_names_the_others() {
    let table = table();
    let [both, neither] = &table.cells[..] else { panic!("two cells") };
    assert_eq!(both.classes(), "recovers in 2 of 3 (flaps in 1)");
    assert_eq!(neither.class(), Class::Livelocks);
    assert_eq!(neither.typical().unwrap().class, Class::Livelocks);
    let tie = Cell { runs: vec![recovers(), deadlocks()], ..both.clone() };
    assert_eq!(tie.class(), Class::Deadlocks, "the worse of two");
    assert_eq!(table.standing(), Standing::Ok);
}

#[test]
fn the_table_is_told_in_every_form() {
    let table = table();
    let text = markdown(&table);
    assert!(text.contains("| Raft | both | recovers in 2 of 3 (flaps in 1); 0.50 s"), "{text}");
    assert!(text.contains("no service to the end"), "{text}");
    let rows = csv(&table);
    assert_eq!(rows.lines().count(), 7);
    let fields = rows.lines().map(|line| line.split(',').count()).collect::<Vec<_>>();
    assert!(fields.iter().all(|&count| count == fields[0]), "{rows}");
    let traces = traces(&table);
    assert!(traces.contains("quorum-loss: Raft, neither") && !traces.contains("Raft, both"));
    assert!(traces.contains("node 2, hub") && traces.contains("campaigns for epoch 2"), "{traces}");
    let page = render_recovery(&table).unwrap();
    assert!(page.contains("&lt;one&gt;") && !page.contains("<one>"));
    for asks in ["src=", "href=", "url(", "<script"] {
        assert!(!page.contains(asks), "the page contains {asks}");
    }
}
