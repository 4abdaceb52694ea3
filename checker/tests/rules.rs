//! The rules about the log, the sessions and the leaders.

mod common;

use checker::{Evidence, StateDigest, Verdict, Verdicts, check};
use common::*;
use consensus_core::{
    Consistency, Epoch, Event, NodeId,
    history::{Applied, Observed, Operation},
};

fn on_log(operations: &[Operation], applied: &[Applied]) -> Verdicts {
    check(&Evidence { operations, applied, ..Evidence::default() })
}

fn summary(verdict: &Verdict) -> &str {
    &verdict.counterexample().unwrap_or_else(|| panic!("not violated: {verdict}")).summary
}

/// Whether every rule holds; so small a run may well be vacuous.
fn nothing_speaks_against(verdicts: &Verdicts) -> bool {
    let rules = verdicts.named().into_iter().filter(|(name, _)| *name != "not-vacuous");
    rules.into_iter().all(|(_, verdict)| verdict.passes())
}

fn again(entry: Applied) -> Applied {
    Applied { incarnation: 2, ..entry }
}

/// One command of session 1 at position 2, on two nodes.
fn sound() -> Vec<Applied> {
    let log = |node| [applied(node, 1, 10), commanded(applied(node, 2, 20), 1, 1)];
    [log(1), log(2)].concat()
}

#[test]
fn equal_logs_agree_whatever_their_length_epochs_and_restarts() {
    let mut entries = sound();
    entries.extend(sound().into_iter().map(again));
    entries.push(Applied { epoch: Epoch::ballot(7, NodeId(2)), ..again(applied(1, 3, 30)) });
    entries.push(again(applied(2, 3, 30)));
    let verdicts = on_log(&[], &entries);
    assert!(nothing_speaks_against(&verdicts), "{verdicts}");
}

#[test]
fn nothing_applied_proves_nothing() {
    let verdicts = on_log(&[], &[]);
    assert!(matches!(verdicts.log_agreement, Verdict::Undecided(_)));
    assert!(!verdicts.holds());
}

#[test]
fn divergent_logs_name_the_nodes_and_the_position() {
    let mut entries = sound();
    entries[3] = commanded(applied(2, 2, 99), 1, 1);
    let verdict = on_log(&[], &entries).log_agreement;
    assert_eq!(summary(&verdict), "nodes 1 and 2 applied different entries at position 2");
    assert_eq!(verdict.counterexample().unwrap().entries, [entries[1].clone(), entries[3].clone()]);
    entries[3] = commanded(applied(2, 2, 20), 1, 2);
    assert!(!on_log(&[], &entries).log_agreement.is_ok());
}

#[test]
fn what_was_applied_before_a_crash_stays() {
    let entries = [applied(1, 1, 10), again(applied(1, 1, 11))];
    let verdict = on_log(&[], &entries).log_agreement;
    let expected =
        "node 1 applied one entry at position 1 in incarnation 1 and another in incarnation 2";
    assert_eq!(summary(&verdict), expected);
}

#[test]
fn positions_are_neither_skipped_nor_repeated() {
    let gap = [applied(1, 1, 10), applied(1, 3, 30)];
    let expected = "node 1 (incarnation 1) applied position 3 where 2 was next";
    assert_eq!(summary(&on_log(&[], &gap).log_agreement), expected);
    let repeated = [applied(1, 1, 10), applied(1, 1, 10)];
    assert!(!on_log(&[], &repeated).log_agreement.is_ok());
    let from_a_snapshot = [applied(1, 7, 70), applied(1, 8, 80)];
    assert!(on_log(&[], &from_a_snapshot).log_agreement.is_ok());
    assert!(!on_log(&[], &[applied(1, 0, 0)]).log_agreement.is_ok());
}

#[test]
fn only_an_installed_snapshot_explains_a_jump() {
    let judged = |node, incarnation, index, entries: &[Applied]| {
        let event = Event::Installed { index, from: NodeId(2) };
        let observed = [Observed { event, ..elected(node, incarnation, Epoch::term(1)) }];
        let evidence = Evidence { applied: entries, observed: &observed, ..Evidence::default() };
        check(&evidence).log_agreement
    };
    let jump = [applied(1, 1, 10), applied(1, 5, 50), applied(1, 6, 60)];
    assert_eq!(judged(1, 1, 4, &jump), Verdict::Ok);
    assert!(!judged(1, 1, 3, &jump).is_ok(), "4 is in no snapshot");
    assert!(!judged(1, 1, 5, &jump).is_ok(), "5 is in the snapshot already");
    assert!(!judged(2, 1, 4, &jump).is_ok(), "another node's snapshot");
    assert!(!judged(1, 2, 4, &jump).is_ok(), "another life's snapshot");
    let back = [applied(1, 7, 70), applied(1, 5, 50)];
    assert!(!judged(1, 1, 4, &back).is_ok(), "a snapshot leads forward only");
}

#[test]
fn equal_logs_must_make_equal_states() {
    let state = |node, applied, digest| StateDigest { node: NodeId(node), applied, digest };
    let entries = sound();
    let judge = |states: &[StateDigest]| {
        check(&Evidence { applied: &entries, states, ..Evidence::default() }).state_agreement
    };
    assert!(judge(&[state(1, 2, 5), state(2, 2, 5), state(3, 1, 4)]).is_ok());
    assert!(judge(&[state(1, 2, 5), state(1, 2, 5)]).is_ok(), "another life is company too");
    for alone in [&[][..], &[state(1, 2, 5), state(2, 1, 4)]] {
        assert!(matches!(judge(alone), Verdict::NotJudged(_)), "there is nothing to compare");
    }
    let late = [state(1, 1, 3), state(2, 1, 3), state(1, 2, 5), state(2, 2, 6)];
    assert!(!judge(&late).passes(), "every position counts");
    assert!(summary(&judge(&[state(1, 2, 5), state(2, 2, 6)])).starts_with("nodes 1 and 2 hold"));
}

#[test]
fn an_acknowledged_write_stands_where_its_answer_says() {
    let write = at_revision(in_session(put(7, (0, 10), "a"), 1, 1), 2);
    let verdicts = on_log(std::slice::from_ref(&write), &sound());
    assert!(nothing_speaks_against(&verdicts), "{verdicts}");

    let elsewhere = at_revision(write.clone(), 1);
    let verdict = on_log(&[elsewhere], &sound()).no_lost_acks;
    let expected =
        "the put of x acknowledged to client 7 at position 1 is lost: on node 1 it is not there";
    assert_eq!(summary(&verdict), expected);

    let beyond = at_revision(write, 9);
    let verdict = on_log(&[beyond], &sound()).no_lost_acks;
    assert!(summary(&verdict).ends_with("came farthest and applied no more than 2 entries"));
}

#[test]
fn an_acknowledged_write_must_not_be_overwritten_on_one_node() {
    let write = at_revision(in_session(put(7, (0, 10), "a"), 1, 1), 2);
    let mut entries = sound();
    entries[3] = commanded(applied(2, 2, 99), 5, 1);
    let verdict = on_log(std::slice::from_ref(&write), &entries).no_lost_acks;
    assert!(summary(&verdict).ends_with("on node 2 it is not there"), "{verdict}");
    // A laggard that has not come so far has lost nothing.
    assert!(on_log(&[write], &entries[..3]).no_lost_acks.is_ok());
}

#[test]
fn an_acknowledged_write_must_have_done_its_work() {
    let write = at_revision(in_session(put(7, (0, 10), "a"), 1, 1), 2);
    let mut entries = sound();
    for entry in entries.iter_mut().filter(|entry| entry.index == 2) {
        entry.fresh = false;
    }
    let verdict = on_log(&[write], &entries).no_lost_acks;
    assert!(summary(&verdict).ends_with("on node 1 it changed nothing"), "{verdict}");
}

#[test]
fn a_swap_that_failed_is_in_the_log_all_the_same() {
    let swap = |sequence| in_session(cas(7, (0, 10), "z", "a", false), 1, sequence);
    assert!(on_log(&[swap(1)], &sound()).no_lost_acks.is_ok());
    let verdict = on_log(&[swap(2)], &sound()).no_lost_acks;
    let expected = "the compare-and-swap of x acknowledged to client 7 is lost: no replica applied \
                    command 2 of session 1";
    assert_eq!(summary(&verdict), expected);
}

#[test]
fn only_acknowledged_writes_must_be_there() {
    let write = in_session(put(7, (0, 10), "a"), 1, 5);
    let history = [unknown(write.clone()), failed(write), get(8, (20, 30), "")];
    let verdicts = on_log(&history, &sound());
    assert!(nothing_speaks_against(&verdicts), "{verdicts}");
}

#[test]
fn a_retry_that_takes_effect_again_is_told_with_both_positions() {
    let mut entries = sound();
    let retry = |node, fresh| Applied { fresh, ..commanded(applied(node, 3, 20), 1, 1) };
    entries.push(retry(1, false));
    let harmless = on_log(&[], &entries);
    assert!(harmless.exactly_once.is_ok());
    assert_eq!(harmless.coverage.retries, 1);
    entries[4] = retry(1, true);
    let verdict = on_log(&[], &entries).exactly_once;
    let expected = "command 1 of session 1 took effect twice: at position 2 on node 1 and at \
                    position 3 on node 1";
    assert_eq!(summary(&verdict), expected);
}

#[test]
fn a_restart_must_not_forget_what_took_effect() {
    let retry = |entry: Applied, fresh| Applied { fresh, ..entry };
    let mut entries = sound();
    entries.push(retry(commanded(applied(1, 3, 20), 1, 1), false));
    entries.push(retry(commanded(applied(2, 3, 20), 1, 1), true));
    assert!(!on_log(&[], &entries).exactly_once.is_ok());
    // The very same entry, judged differently before and after.
    let mut entries = sound();
    entries.extend([again(applied(1, 1, 10)), retry(again(entries[1].clone()), false)]);
    let verdict = on_log(&[], &entries).exactly_once;
    assert!(summary(&verdict).starts_with("position 2 took effect on node 1 (incarnation 1)"));
}

#[test]
fn a_refused_command_takes_no_effect() {
    let refused = failed(in_session(put(7, (0, 10), "a"), 1, 1));
    let verdict = on_log(&[refused], &sound()).exactly_once;
    let expected = "command 1 of session 1 was refused to client 7 but took effect at position 2";
    assert_eq!(summary(&verdict), expected);
}

#[test]
fn commands_outside_sessions_are_nobody_s_retries() {
    let entries = [applied(1, 1, 10), applied(1, 2, 10)];
    assert!(on_log(&[], &entries).exactly_once.is_ok());
}

#[test]
fn an_epoch_has_one_leader() {
    let judge = |observed: &[Observed]| {
        check(&Evidence { observed, ..Evidence::default() }).election_safety
    };
    let first = elected(1, 1, Epoch::term(3));
    assert!(judge(&[first.clone(), elected(2, 1, Epoch::term(4)), first.clone()]).is_ok());
    let expected = "epoch 3 has two leaders: node 1 (incarnation 1) and node 2 (incarnation 1)";
    assert_eq!(summary(&judge(&[first.clone(), elected(2, 1, Epoch::term(3))])), expected);
    assert!(!judge(&[first, elected(1, 2, Epoch::term(3))]).is_ok());
    let stolen = judge(&[elected(1, 1, Epoch::ballot(3, NodeId(2)))]);
    assert_eq!(summary(&stolen), "node 1 leads epoch 3.2, which only 2 may");
}

#[test]
fn the_verdicts_are_written_as_json_and_read_back() {
    let mut entries = sound();
    entries[3] = commanded(applied(2, 2, 99), 1, 1);
    let observed = [elected(1, 1, Epoch::term(3)), elected(2, 1, Epoch::term(3))];
    let operations = [put(1, (0, 10), "a"), get(2, (20, 30), "")];
    let evidence = Evidence {
        operations: &operations,
        applied: &entries,
        observed: &observed,
        ..Evidence::default()
    };
    let verdicts = check(&evidence);
    assert_eq!(verdicts.named().iter().filter(|(_, verdict)| !verdict.passes()).count(), 3);
    let json = serde_json::to_value(&verdicts).unwrap();
    assert_eq!(json["exactly_once"], "ok");
    assert!(json["not_vacuous"]["not-judged"].is_string(), "nobody told which faults struck");
    assert!(json["converged"]["not-judged"].is_string());
    assert_eq!(json["log_agreement"]["violated"]["entries"][0]["digest"], 20);
    assert_eq!(serde_json::from_value::<Verdicts>(json).unwrap(), verdicts);
    let text = verdicts.to_string();
    assert!(text.contains("exactly-once     ok\n"), "{text}");
    assert!(text.contains("election-safety  violated: epoch 3 has two leaders"), "{text}");
}

#[test]
fn coverage_counts_what_there_was_to_judge() {
    let history = [
        put(1, (0, 10), "a"),
        get(2, (5, 20), "a"),
        get(2, (20, 30), "a"),
        unknown(put(3, (40, 0), "b")),
        failed(put(1, (50, 60), "c")),
    ];
    let coverage = on_log(&history, &sound()).coverage;
    assert_eq!((coverage.keys, coverage.clients, coverage.applied), (1, 3, 4));
    assert_eq!((coverage.concurrency, coverage.overlapping), (2, 4));
    let puts = coverage.operations["put"];
    assert_eq!((puts.ok, puts.failed, puts.unknown), (1, 1, 1));
    assert_eq!(coverage.total().ok, 3);
}

fn stale(read: Operation) -> Operation {
    Operation { consistency: Some(Consistency::Stale), ..read }
}

fn stale_reads(operations: &[Operation]) -> Verdicts {
    check(&Evidence { operations, ..Evidence::default() })
}

#[test]
fn a_stale_read_may_see_the_past_and_is_no_part_of_what_is_linearizable() {
    let history = [put(1, (0, 10), "a"), put(1, (20, 30), "b"), get(2, (40, 50), "a")];
    assert!(!stale_reads(&history).linearizable.is_ok());
    let [first, second, read] = history;
    let history = [first, second, stale(read), stale(get(3, (60, 70), ""))];
    let verdicts = stale_reads(&history);
    assert!(verdicts.linearizable.is_ok() && verdicts.stale_reads.is_ok(), "{verdicts}");
}

#[test]
fn a_stale_read_sees_nothing_that_nobody_wrote() {
    for (writes, summary) in [
        (vec![], "nobody wrote"),
        (vec![failed(put(1, (0, 10), "a"))], "nobody wrote"),
        (vec![Operation { key: "y".into(), ..put(1, (0, 10), "a") }], "nobody wrote"),
        (vec![put(1, (60, 70), "a")], "only afterwards"),
    ] {
        let history: Vec<_> = writes.into_iter().chain([stale(get(2, (40, 50), "a"))]).collect();
        let verdict = stale_reads(&history).stale_reads;
        let found = verdict.counterexample().expect("the read is wrong");
        assert!(found.summary.contains(summary), "{}", found.summary);
    }
    let perhaps = [unknown(put(1, (0, 10), "a")), stale(get(2, (40, 50), "a"))];
    assert!(stale_reads(&perhaps).stale_reads.is_ok(), "an unknown write may have been done");
}

#[test]
fn a_read_by_lease_that_sees_the_past_breaks_its_own_rule_alone() {
    let leased = |read| Operation { consistency: Some(Consistency::Lease), ..read };
    let judge =
        |history: &[Operation]| check(&Evidence { operations: history, ..Evidence::default() });
    let writes = [put(1, (0, 10), "a"), put(1, (20, 30), "b")];
    let with = |reads: &[Operation]| judge(&[&writes[..], reads].concat());
    let verdicts = with(&[leased(get(2, (40, 50), "b"))]);
    assert!(verdicts.linearizable.is_ok() && verdicts.lease_reads.is_ok(), "{verdicts}");
    let verdicts = with(&[leased(get(2, (40, 50), "a")), get(3, (60, 70), "b")]);
    assert!(verdicts.linearizable.is_ok(), "{verdicts}");
    assert!(verdicts.lease_reads.counterexample().is_some(), "{verdicts}");
    // Where nothing is as it should be, nothing is said of leases.
    let verdicts = with(&[leased(get(2, (40, 50), "b")), get(3, (60, 70), "a")]);
    assert!(verdicts.linearizable.counterexample().is_some(), "{verdicts}");
    assert!(matches!(verdicts.lease_reads, Verdict::Undecided(_)), "{verdicts}");
}
