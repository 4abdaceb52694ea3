//! Elections from traces written by hand.

#[allow(dead_code)]
mod synthetic;

use consensus_core::{Epoch, Event, NodeId, RequestId};
use reports::{
    FaultBand, RunRecord, Summary,
    elections::{Stage, Trial, TrialOutcome, trials},
};
use synthetic::{Story, at_ms, empty, note, operation};

fn band(step: &str, trial: u32, nodes: &[u64], from_ms: f64, to_ms: Option<f64>) -> FaultBand {
    FaultBand {
        step: step.into(),
        trial: Some(trial),
        kind: "crash".into(),
        label: "crash".into(),
        nodes: nodes.iter().copied().map(NodeId).collect(),
        links: Vec::new(),
        start: at_ms(from_ms),
        end: to_ms.map(at_ms),
    }
}

fn committed(round: u64, to: u64) -> Event {
    Event::Committed { epoch: Epoch::term(round), from: to, to, has_command: true }
}

/// Node 1 leads term 1 and crashes at 1,000 ms; node 3 campaigns in vain for term 2; node 2 wins
/// term 3 at the second attempt.
fn trace() -> RunRecord {
    let mut record = empty("raft");
    record.faults.push(band("kill", 1, &[1], 1_000.0, Some(2_000.0)));
    let term = Epoch::term;
    for (ms, node, event) in [
        (-10.0, 1, Event::Elected { epoch: term(1) }),
        (1_100.0, 2, Event::TimedOut { epoch: term(1) }),
        (1_150.0, 3, Event::TimedOut { epoch: term(1) }),
        (1_152.0, 3, Event::Campaigning { epoch: term(2) }),
        (1_160.0, 2, Event::TimedOut { epoch: term(1) }),
        (1_163.0, 2, Event::Campaigning { epoch: term(3) }),
        (1_170.0, 2, Event::Elected { epoch: term(3) }),
        // A command of the old term is committed by the new one before its own first is.
        (1_171.0, 2, committed(3, 8)),
        (1_172.0, 2, Event::CaughtUp { epoch: term(3) }),
        (1_175.0, 2, Event::Proposed { request: RequestId(1), index: 10, epoch: term(3) }),
        (1_178.0, 2, committed(3, 10)),
    ] {
        note(&mut record, ms, node, event);
    }
    // The old leader's last answer is still on its way; the second is the first of the new one.
    record.operations.push(operation(1, false, 995.0, 1_001.0));
    record.operations.push(operation(2, false, 1_010.0, 1_180.0));
    record
}

fn the_only(record: &RunRecord) -> Trial {
    let [trial] = <[Trial; 1]>::try_from(trials(record)).expect("one trial");
    trial
}

#[test]
fn every_stage_of_an_election_is_measured() {
    let trial = the_only(&trace());
    let election = trial.election().expect("node 2 was elected");
    assert_eq!(trial.leader, Some((NodeId(1), Epoch::term(1))));
    assert_eq!((election.winner, election.epoch), (NodeId(2), Epoch::term(3)));
    assert_eq!(election.election_ms(), 170.0);
    assert_eq!(election.vote_rounds_ms(), Some(10.0));
    assert_eq!(election.lost_campaigns, 1);
    assert_eq!(trial.outage_ms(), Some(180.0));
    let stages = election.stages_ms().map(|(stage, took)| (stage, took.expect("seen")));
    assert_eq!(
        stages,
        [
            (Stage::Detect, 160.0),
            (Stage::Campaign, 3.0),
            (Stage::Win, 7.0),
            (Stage::CatchUp, 2.0),
            (Stage::FirstCommit, 6.0),
            (Stage::FirstAnswer, 2.0)
        ]
    );
}

#[test]
fn what_was_not_seen_is_null_and_the_next_stage_counts_from_what_was() {
    let mut record = trace();
    record
        .observed
        .retain(|seen| !matches!(seen.event, Event::Campaigning { .. } | Event::CaughtUp { .. }));
    let trial = the_only(&record);
    let stages = trial.election().expect("elected").stages_ms().map(|stage| stage.1);
    assert_eq!(stages, [Some(160.0), None, Some(10.0), None, Some(8.0), Some(2.0)]);
}

#[test]
fn trials_without_an_election_say_why() {
    let outcome = |change: fn(&mut RunRecord)| {
        let mut record = trace();
        change(&mut record);
        the_only(&record).outcome
    };
    assert_eq!(
        outcome(|record| record.faults[0].nodes = vec![NodeId(4)]),
        TrialOutcome::LeaderNotStruck
    );
    assert_eq!(
        outcome(|record| record.observed.retain(|seen| seen.at < at_ms(1_165.0))),
        TrialOutcome::NobodyElected
    );
    assert_eq!(
        outcome(|record| record.observed.retain(|seen| seen.at > at_ms(0.0))),
        TrialOutcome::NobodyLed
    );
    // A leader that stepped down before the fault does not lead.
    assert_eq!(
        outcome(|record| note(record, 900.0, 1, Event::SteppedDown { epoch: Epoch::term(1) })),
        TrialOutcome::NobodyLed
    );
}

#[test]
fn a_trial_ends_where_the_next_leader_is_struck() {
    let mut record = trace();
    // Node 2's election at 1,170 ms belongs to the first fault only if the second comes later.
    record.faults.push(band("kill", 2, &[2], 1_500.0, None));
    let two = trials(&record);
    assert!(two[0].election().is_some());
    assert_eq!(two[1].outcome, TrialOutcome::NobodyElected);
    assert_eq!(two[1].leader, Some((NodeId(2), Epoch::term(3))));

    // A leader that is slowed still leads when it is killed; one that was killed does not.
    record.faults[1] = band("kill", 2, &[1], 1_050.0, None);
    let two = trials(&record);
    assert!(two[0].election().is_some());
    assert_eq!(two[1].outcome, TrialOutcome::NobodyLed);
    record.faults[0].kind = "slow".into();
    let two = trials(&record);
    assert_eq!(two[0].outcome, TrialOutcome::NobodyElected);
    assert!(two[1].election().is_some_and(|election| election.election_ms() == 120.0));
}

#[test]
fn without_a_quorum_the_time_counts_from_its_return() {
    let mut record = trace();
    record.faults[0] = band("kill", 1, &[1, 4, 5], 1_000.0, Some(1_080.0));
    let trial = the_only(&record);
    assert_eq!(trial.election().expect("elected").election_ms(), 90.0);
    assert_eq!(trial.outage_ms(), Some(180.0), "clients waited since the fault");
}

/// Node 1 cut off, in these directions.
fn cut_off(inbound: bool, outbound: bool) -> FaultBand {
    let others = (2..=5).map(NodeId);
    let mut links: Vec<(NodeId, NodeId)> = Vec::new();
    links.extend(others.clone().filter(|_| inbound).map(|other| (other, NodeId(1))));
    links.extend(others.filter(|_| outbound).map(|other| (NodeId(1), other)));
    FaultBand { kind: "partition".into(), links, ..band("cut", 1, &[1], 1_000.0, None) }
}

#[test]
fn a_quorum_is_what_all_faults_together_leave() {
    let mut record = trace();
    record.faults = vec![band("kill", 1, &[4, 5], 500.0, Some(1_080.0)), cut_off(true, true)];
    let [dead, cut] = <[Trial; 2]>::try_from(trials(&record)).expect("two trials");
    assert_eq!(dead.outcome, TrialOutcome::LeaderNotStruck, "three of five are a quorum");
    assert_eq!(cut.election().expect("elected").election_ms(), 90.0, "since two came back");
    assert!(cut.waited_for_quorum() && cut.predictable_survivors().is_none());
    assert!(Summary::of(&record).election_prediction.is_none());

    // With one dead, three are left to elect, at once.
    record.faults[0] = band("kill", 1, &[5], 500.0, None);
    let cut = trials(&record).remove(1);
    assert_eq!(cut.election().expect("elected").election_ms(), 170.0);
    assert_eq!(cut.predictable_survivors(), Some(3));
    assert_eq!(Summary::of(&record).election_prediction.expect("one election").survivors, 3);
}

#[test]
fn a_leader_that_is_still_heard_is_not_missed() {
    let mut record = trace();
    record.faults = vec![cut_off(true, false)];
    let deaf = the_only(&record);
    assert!(deaf.election().is_some(), "a leader that hears nobody is deposed all the same");
    assert_eq!(deaf.predictable_survivors(), None);
    record.faults = vec![cut_off(false, true)];
    assert_eq!(the_only(&record).predictable_survivors(), Some(4));
    // On the gossip's channel alone, nothing is cut for the protocol.
    record.faults = vec![cut_off(false, false)];
    assert_eq!(the_only(&record).outcome, TrialOutcome::LeaderNotStruck);
}

#[test]
fn writes_and_loads_are_no_trials() {
    let mut record = trace();
    for kind in ["put", "load"] {
        let label = format!("{kind} something");
        record.faults.push(FaultBand {
            kind: kind.into(),
            label,
            ..band(kind, 1, &[], 900.0, None)
        });
    }
    assert_eq!(the_only(&record).kind, "crash");
}

#[test]
fn faults_of_one_trial_are_one() {
    let mut record = trace();
    record.faults.push(band("kill", 1, &[4], 1_000.5, None));
    let trial = the_only(&record);
    assert_eq!(trial.nodes, [NodeId(1), NodeId(4)]);
    assert_eq!(trial.end, None, "one of its faults was never taken back");
}

#[test]
fn the_prediction_meets_elections_that_were_drawn_from_the_timeouts() {
    let story = Story { trials: 200, rate: 50, ..Story::new("raft", 5) };
    let summary = Summary::of(&story.record());
    let prediction = summary.election_prediction.expect("leaders crashed");
    assert_eq!((prediction.n, prediction.survivors), (200, 4));
    assert!((prediction.smallest_timeout_p50_ms - 173.87).abs() < 0.01);
    // The story's leaders were heard at most 2 ms before they crashed, the prediction's 15 ms: the
    // difference shows, and no more than it.
    let phase = prediction.phase_mean_ms - 1.0;
    let difference = prediction.measured_p50_ms - prediction.predicted_p50_ms;
    assert!((difference - phase).abs() < 6.0, "{prediction:?}");
    let interval = prediction.predicted_p50_low_ms..prediction.predicted_p50_high_ms;
    assert!(interval.contains(&prediction.predicted_p50_ms), "{prediction:?}");
}

#[test]
fn no_prediction_is_made_of_what_the_timeouts_do_not_cause() {
    let mut record = trace();
    record.faults[0].kind = "link".into();
    assert!(Summary::of(&record).election_prediction.is_none());
    record.faults[0] = band("kill", 1, &[1, 4, 5], 1_000.0, Some(1_080.0));
    assert!(Summary::of(&record).election_prediction.is_none());
    let mut untold = trace();
    untold.timing = None;
    assert!(Summary::of(&untold).election_prediction.is_none());
    assert!(Summary::of(&trace()).election_prediction.is_some());
}
