//! Good and bad histories of one register, one rule each.

mod common;

use checker::{Counterexample, Evidence, Limits, Verdict, check_within};
use common::*;
use consensus_core::history::Operation;

fn holds(operations: &[Operation]) {
    assert_eq!(linearizable(operations), Verdict::Ok);
}

fn breaks(operations: &[Operation], summary: &str) -> Counterexample {
    let Verdict::Violated(counterexample) = linearizable(operations) else {
        panic!("not violated: {}", linearizable(operations));
    };
    assert_eq!(counterexample.summary, summary);
    counterexample
}

#[test]
fn no_operations_are_in_order() {
    holds(&[]);
}

#[test]
fn overlapping_operations_may_take_effect_in_either_order() {
    for seen in ["a", "b"] {
        holds(&[put(1, (0, 10), "a"), put(2, (5, 15), "b"), get(3, (20, 30), seen)]);
    }
    for seen in ["", "a"] {
        holds(&[put(1, (10, 30), "a"), get(2, (0, 20), seen)]);
    }
}

#[test]
fn the_first_send_counts_and_not_the_time_it_was_meant_for() {
    let mut late = get(2, (20, 30), "a");
    late.intended = consensus_core::Time(0);
    let overtaken = [put(1, (0, 1), "a"), put(1, (5, 15), "b"), late];
    assert!(!linearizable(&overtaken).is_ok());
}

#[test]
fn a_stale_read_is_told_in_one_sentence() {
    let mut history = vec![put(1, (0, 10), "v3"), put(2, (20, 30), "v9")];
    history.extend((0..50).map(|n| get(3, (40 + 10 * n, 45 + 10 * n), "v9")));
    history.push(get(7, (600, 610), "v3"));
    history.push(put(2, (620, 630), "v10"));
    let summary = "the get of x by client 7 found v3 after the put of v9 to x by client 2 was \
                   acknowledged";
    let counterexample = breaks(&history, summary);
    let [first, second] = &history[..2] else { unreachable!() };
    assert_eq!(counterexample.operations, [first.clone(), second.clone(), history[52].clone()]);
    assert_eq!(counterexample.key.as_deref(), Some("x"));
}

#[test]
fn a_read_of_nothing_after_a_write_is_stale() {
    let summary = "the get of x by client 2 found nothing after the put of a to x by client 1 was acknowledged";
    breaks(&[put(1, (0, 10), "a"), get(2, (20, 30), "")], summary);
}

#[test]
fn a_read_may_not_go_back_behind_another_read() {
    // Neither write had ended, so only the two reads together contradict the order.
    let history = [
        put(1, (0, 10), "a"),
        put(2, (20, 200), "b"),
        get(3, (30, 40), "b"),
        get(4, (50, 60), "a"),
    ];
    let counterexample = breaks(
        &history,
        "the get of x by client 4 found a, and no order of the 4 operations listed explains their \
         answers",
    );
    assert_eq!(counterexample.operations, history);
}

#[test]
fn a_value_out_of_thin_air_is_told_alone() {
    let history = [put(1, (0, 10), "a"), get(2, (20, 30), "b")];
    let counterexample = breaks(&history, "the get of x by client 2 found b, which nobody wrote");
    assert_eq!(counterexample.operations, history[1..]);
}

#[test]
fn a_refused_write_must_not_be_seen() {
    let history = [failed(put(1, (0, 10), "a")), get(2, (20, 30), "a")];
    breaks(&history, "the get of x by client 2 found a, which nobody wrote");
    holds(&[failed(put(1, (0, 10), "a")), get(2, (20, 30), "")]);
}

#[test]
fn a_value_cannot_be_read_before_it_is_sent() {
    let history = [get(2, (0, 10), "a"), put(1, (20, 30), "a")];
    breaks(&history, "the get of x by client 2 found a before anybody sent it");
}

#[test]
fn a_lost_update_names_both_swaps() {
    let history =
        [put(1, (0, 10), "a"), cas(2, (20, 30), "a", "b", true), cas(3, (25, 35), "a", "c", true)];
    let summary = "the compare-and-swap of x from a to b by client 2 and the compare-and-swap of x \
                   from a to c by client 3 both found a, which the key held only once";
    assert_eq!(breaks(&history, summary).operations.len(), 3);
}

#[test]
fn two_clients_cannot_both_win_a_test_and_set() {
    let history = [test_and_set(1, (0, 10), "one", true), test_and_set(2, (0, 10), "two", true)];
    let summary = "the test-and-set of x to one by client 1 and the test-and-set of x to two by \
                   client 2 both found nothing, which the key held only once";
    breaks(&history, summary);
    let fair = [test_and_set(1, (0, 10), "one", true), test_and_set(2, (0, 10), "two", false)];
    holds(&fair);
    holds(&[fair[0].clone(), delete(3, (5, 20), true), test_and_set(2, (30, 40), "two", true)]);
    let nobody = [test_and_set(1, (0, 10), "one", false)];
    assert!(!linearizable(&nobody).is_ok());
}

#[test]
fn a_swap_must_find_what_it_expects_and_fail_otherwise() {
    holds(&[put(1, (0, 10), "a"), cas(2, (20, 30), "b", "c", false), get(3, (40, 50), "a")]);
    assert!(!linearizable(&[put(1, (0, 10), "a"), cas(2, (20, 30), "a", "c", false)]).is_ok());
    assert!(!linearizable(&[put(1, (0, 10), "a"), cas(2, (20, 30), "", "c", true)]).is_ok());
    holds(&[cas(2, (20, 30), "", "c", true), get(1, (40, 50), "c")]);
}

#[test]
fn what_a_write_met_counts_if_its_answer_tells() {
    let first = put(1, (0, 10), "a");
    holds(&[first.clone(), told(put(2, (20, 30), "b"), "a")]);
    assert!(!linearizable(&[first.clone(), told(put(2, (20, 30), "b"), "z")]).is_ok());
    let contradictory = told(cas(2, (20, 30), "a", "b", false), "a");
    let summary =
        "the compare-and-swap of x from a to b by client 2 answered a, which it never can";
    breaks(&[first, contradictory], summary);
}

#[test]
fn a_delete_tells_whether_there_was_something() {
    holds(&[put(1, (0, 10), "a"), delete(2, (20, 30), true), get(3, (40, 50), "")]);
    holds(&[delete(2, (20, 30), false)]);
    assert!(!linearizable(&[delete(2, (20, 30), true)]).is_ok());
    assert!(!linearizable(&[put(1, (0, 10), "a"), delete(2, (20, 30), false)]).is_ok());
}

#[test]
fn an_unknown_write_may_take_effect_late_or_never() {
    let lost = unknown(put(1, (0, 10), "a"));
    holds(&[lost.clone(), get(2, (20, 30), "")]);
    holds(&[lost.clone(), get(2, (20, 30), ""), get(2, (40, 50), "a")]);
    holds(&[lost.clone(), put(3, (20, 30), "b"), get(2, (40, 50), "b"), get(2, (60, 70), "a")]);
    let too_early = [get(2, (0, 10), "a"), unknown(put(1, (20, 30), "a"))];
    assert!(!linearizable(&too_early).is_ok());
}

#[test]
fn an_unknown_write_that_was_seen_may_not_vanish() {
    let history = [unknown(put(1, (0, 10), "a")), get(2, (20, 30), "a"), get(3, (40, 50), "")];
    let counterexample = breaks(
        &history,
        "the get of x by client 3 found nothing, and no order of the 3 operations listed explains \
         their answers",
    );
    assert_eq!(counterexample.operations, history);
}

#[test]
fn which_unknown_changes_were_used_up_belongs_to_a_configuration() {
    // Both orders of the first two writes come to a, but one of them only by the unknown write, which
    // is then not there any more for the last read.
    holds(&[
        put(1, (0, 10), "a"),
        put(2, (0, 20), "b"),
        unknown(put(3, (0, 0), "a")),
        get(4, (30, 40), "a"),
        put(5, (50, 60), "c"),
        get(4, (70, 80), "c"),
        get(4, (90, 100), "a"),
    ]);
}

#[test]
fn an_unknown_read_tells_nothing() {
    holds(&[put(1, (0, 10), "a"), unknown(get(2, (20, 30), "z")), get(3, (40, 50), "a")]);
}

#[test]
fn at_one_instant_a_client_reads_its_own_write_and_others_need_not() {
    let write = put(1, (0, 10), "a");
    holds(&[write.clone(), get(2, (10, 20), "")]);
    assert!(!linearizable(&[write, get(1, (10, 20), "")]).is_ok());
}

#[test]
fn revisions_may_not_go_back_even_if_the_values_are_equal() {
    let history = [
        at_revision(put(1, (0, 10), "a"), 5),
        at_revision(put(2, (20, 30), "a"), 9),
        at_revision(get(3, (40, 50), "a"), 5),
    ];
    let summary = "the get of x by client 3 was answered from revision 5 after revision 9 was told \
                   to client 2";
    breaks(&history, summary);
    let overlapping =
        [history[0].clone(), history[1].clone(), at_revision(get(3, (25, 50), "a"), 5)];
    holds(&overlapping);
}

#[test]
fn a_revision_belongs_to_one_change() {
    let history = [at_revision(put(1, (0, 10), "a"), 5), at_revision(put(2, (5, 30), "b"), 5)];
    let summary = "revision 5 of x was told in two ways: by the put of a to x by client 1 and by \
                   the put of b to x by client 2";
    breaks(&history, summary);
    let swapped = [
        at_revision(put(1, (0, 10), "a"), 5),
        at_revision(told(cas(2, (5, 30), "z", "y", false), "a"), 5),
    ];
    holds(&swapped);
}

#[test]
fn keys_are_judged_one_by_one() {
    let other = Operation { key: "y".into(), ..put(2, (20, 30), "b") };
    holds(&[put(1, (0, 10), "a"), other.clone(), get(3, (40, 50), "a")]);
    let stale = Operation { key: "y".into(), ..get(3, (40, 50), "") };
    let Verdict::Violated(counterexample) = linearizable(&[put(1, (0, 10), "a"), other, stale])
    else {
        panic!("a stale read of y passed");
    };
    assert_eq!(counterexample.key.as_deref(), Some("y"));
}

#[test]
fn a_contradiction_in_a_long_history_is_reduced_to_those_who_make_it() {
    // Two swaps take the same value in the middle of a thousand overlapping operations.
    let mut history = Vec::new();
    for n in 0..500 {
        let at = 100 * n;
        history.push(put(n % 7, (at, at + 150), &format!("p{n}")));
        history.push(get(100, (at + 150, at + 151), &format!("p{n}")));
    }
    let at = 100_000;
    history.push(put(1, (at, at + 10), "a"));
    history.push(cas(2, (at + 20, at + 40), "a", "b", true));
    history.push(cas(3, (at + 20, at + 40), "a", "c", true));
    history.push(get(4, (at + 50, at + 60), "c"));
    let counterexample = linearizable(&history).counterexample().cloned().unwrap();
    assert!(counterexample.operations.len() <= 3, "{}", counterexample.summary);
}

#[test]
fn a_search_beyond_its_limits_is_undecided_and_says_why() {
    // Blind writes of few values under way at once, and one read too many of an older value.
    let mut history: Vec<Operation> =
        (0..40).map(|n| put(n, (0, 1_000), &format!("v{}", n % 20))).collect();
    history.extend(
        (0..40).map(|n| get(50, (2_000 + 20 * n, 2_010 + 20 * n), ["v0", "v1"][n as usize % 2])),
    );
    let limits = Limits { candidates_per_key: 10_000, ..Limits::default() };
    let evidence = Evidence { operations: &history, ..Evidence::default() };
    let verdict = check_within(&evidence, &limits).linearizable;
    let Verdict::Undecided(reason) = verdict else { panic!("{verdict}") };
    assert!(reason.contains("given up"), "{reason}");
}

#[test]
fn a_record_that_cannot_be_true_decides_nothing() {
    let mut backwards = put(1, (10, 5), "a");
    assert!(matches!(linearizable(&[backwards.clone()]), Verdict::Undecided(_)));
    backwards.completed = None;
    assert!(matches!(linearizable(&[backwards]), Verdict::Undecided(_)));
}
