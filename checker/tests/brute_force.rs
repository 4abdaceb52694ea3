//! The checker against the definition: every order of a small history is tried.

mod common;

use checker::{Evidence, Limits, Verdict, check_within, jsonl};
use common::{Shape, execution, linearizable, linearizable_by, logged_execution, perform, unknown};
use consensus_core::{
    Draw,
    history::{Applied, Call, Operation, Outcome},
};
use proptest::prelude::*;

/// Whether an answer may have been given where the register answered `real`.
fn fits(call: &Call, answer: &Outcome, real: &Outcome) -> bool {
    let (Outcome::Ok { changed, held, .. }, Outcome::Ok { changed: does, held: holds, .. }) =
        (answer, real)
    else {
        return false;
    };
    let told = *call == Call::Get || held.is_some();
    changed == does && (!told || held == holds)
}

/// Whether some order of the operations, each in its time, explains every answer.
fn has_an_order(operations: &[Operation]) -> bool {
    let candidates: Vec<&Operation> = operations
        .iter()
        .filter(|operation| !matches!(operation.outcome, Outcome::Failed(_)))
        .collect();
    extend(&(None, 0), &candidates, 0)
}

/// Whether an operation has to come before another one, by the clock or by its client's order.
fn precedes(first: &Operation, second: &Operation) -> bool {
    let over = first.outcome.is_ok() && first.completed <= Some(second.invoked);
    let in_turn = first.client == second.client && first.invoked < second.invoked;
    over && (in_turn || first.completed < Some(second.invoked))
}

/// Whether the operations whose bits are not set can follow those whose bits are.
fn extend(register: &(Option<String>, u64), candidates: &[&Operation], gone: u32) -> bool {
    let waiting = || (0..candidates.len()).filter(|n| gone >> n & 1 == 0);
    let is_required = |n: usize| candidates[n].outcome.is_ok();
    if !waiting().any(is_required) {
        return true;
    }
    waiting().any(|n| {
        let next = candidates[n];
        let too_late = |other: &Operation| next.completed.is_some_and(|end| end < other.invoked);
        let gone_before = (0..candidates.len()).filter(|other| gone >> other & 1 == 1);
        if waiting().any(|other| precedes(candidates[other], next))
            || gone_before.into_iter().any(|other| too_late(candidates[other]))
        {
            return false;
        }
        let mut after = register.clone();
        let real = perform(&mut after, &next.call, 1, true);
        let possible = !is_required(n) || fits(&next.call, &next.outcome, &real);
        possible && extend(&after, candidates, gone | 1 << n)
    })
}

/// Changes one answer or one time, so that the history may or may not stay linearizable.
fn mutate(operations: &mut [Operation], draw: Draw) {
    if operations.is_empty() {
        return;
    }
    let chosen = draw.of("which").below(operations.len() as u64) as usize;
    let operation = &mut operations[chosen];
    match (draw.of("how").below(4), &mut operation.outcome) {
        (0, Outcome::Ok { changed, .. }) if operation.call != Call::Get => *changed = !*changed,
        (1, Outcome::Ok { held, .. }) => {
            let other = draw.of("other").below(4);
            *held = (other > 0).then(|| format!("v{}", other - 1));
        }
        (2, _) => {
            if let Some(completed) = &mut operation.completed {
                let width = completed.0 - operation.invoked.0;
                completed.0 -= draw.of("shorter").below(width + 1);
            }
        }
        _ => operation.outcome = Outcome::Failed("no".into()),
    }
}

/// Revisions would say more than the definition knows.
fn without_revisions(mut operations: Vec<Operation>) -> Vec<Operation> {
    for operation in &mut operations {
        if let Outcome::Ok { revision, .. } = &mut operation.outcome {
            *revision = 0;
        }
    }
    operations
}

/// What may be wrong with a log.
fn damaged(mut log: Vec<Applied>, operations: &[Operation], draw: Draw) -> Vec<Applied> {
    match draw.of("damage").below(6) {
        0 => {}
        1 => log.clear(),
        2 => {
            let dropped = |entry: &Applied| draw.of("dropped").at(entry.index).chance(0.3);
            log.retain(|entry| !dropped(entry));
        }
        3 => {
            for entry in &mut log {
                entry.index = 1 + draw.of("shuffled").at(entry.index).below(20);
            }
        }
        4 => {
            // Commands that perhaps never came stand in it, reads among them.
            for (n, operation) in (0u64..).zip(operations) {
                let index = 1 + draw.of("invented").at(n).below(20);
                let invented = common::applied(2, index, n);
                log.push(Applied {
                    request: Some((operation.session, operation.sequence)),
                    ..invented
                });
            }
        }
        _ => {
            for entry in &mut log {
                entry.fresh = draw.of("fresh").at(entry.index).chance(0.5);
            }
        }
    }
    log
}

/// The verdict of the log's order alone: nothing is searched for.
fn without_a_search(operations: &[Operation], applied: &[Applied]) -> Verdict {
    let limits = Limits { candidates_per_key: 0, configurations_per_key: 0, candidates: 0 };
    check_within(&Evidence { operations, applied, ..Evidence::default() }, &limits).linearizable
}

/// What is left when no answer is believed but those of a counterexample: all other changes may have
/// happened, each in its own time, or never.
fn weakened(operations: &[Operation], counterexample: &[Operation]) -> Vec<Operation> {
    let weaken = |operation: &Operation| match operation.outcome {
        _ if counterexample.contains(operation) => Some(operation.clone()),
        Outcome::Failed(_) | Outcome::Ok { changed: false, .. } => None,
        _ if operation.call == Call::Get => None,
        _ => Some(Operation { completed: operation.completed, ..unknown(operation.clone()) }),
    };
    operations.iter().filter_map(weaken).collect()
}

fn verdicts_agree(operations: &[Operation]) -> Result<bool, TestCaseError> {
    verdicts_agree_on_log(operations, &[])
}

/// The definition knows no log.
fn verdicts_agree_on_log(operations: &[Operation], log: &[Applied]) -> Result<bool, TestCaseError> {
    let expected = has_an_order(operations);
    let verdict = linearizable_by(operations, log);
    prop_assert!(!matches!(verdict, Verdict::Undecided(_)), "{}", verdict);
    prop_assert_eq!(verdict.is_ok(), expected, "{}\n{}", verdict, written(operations));
    if let Some(counterexample) = verdict.counterexample() {
        for operation in &counterexample.operations {
            prop_assert!(operations.contains(operation));
        }
        let believed = weakened(operations, &counterexample.operations);
        prop_assert!(!has_an_order(&believed), "{}\n{}", verdict, written(operations));
    }
    Ok(expected)
}

/// A history to look at, one operation to a line.
fn written(operations: &[Operation]) -> String {
    let mut lines = Vec::new();
    jsonl::write(&mut lines, operations).unwrap();
    String::from_utf8(lines).unwrap()
}

fn small(operations: u64, values: u64, unknown: f64, telling: bool) -> Shape {
    Shape { operations, clients: 4, keys: 1, values: Some(values), unknown, telling }
}

/// A failure prints what it takes to repeat it; nothing is written beside the sources.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(30_000))]

    #[test]
    fn mutated_histories_are_judged_as_the_definition_says(
        seed in any::<u64>(), operations in 1u64..9, values in 1u64..4,
        unknown in 0.0..0.4, mutations in 0u64..4, telling in any::<bool>(),
    ) {
        let draw = Draw::new(seed);
        let shape = small(operations, values, unknown, telling);
        let mut history = without_revisions(execution(shape, draw.of("execution")));
        for n in 0..mutations {
            mutate(&mut history, draw.of("mutation").at(n));
        }
        verdicts_agree(&history)?;
    }

    #[test]
    fn no_log_makes_a_difference_to_the_verdict(
        seed in any::<u64>(), operations in 1u64..9, values in 1u64..4,
        unknown in 0.0..0.7, mutations in 0u64..3, telling in any::<bool>(),
    ) {
        let draw = Draw::new(seed);
        let shape = small(operations, values, unknown, telling);
        let (history, log) = logged_execution(shape, draw.of("execution"));
        let mut history = without_revisions(history);
        for n in 0..mutations {
            mutate(&mut history, draw.of("mutation").at(n));
        }
        verdicts_agree_on_log(&history, &damaged(log, &history, draw))?;
    }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn real_executions_are_linearizable(
        seed in any::<u64>(), clients in 1u64..12, keys in 1u64..4, many in any::<bool>(),
        unknown in 0.0..0.1, telling in any::<bool>(),
    ) {
        let values = (!many).then_some(3);
        let shape = Shape { operations: 300, clients, keys, values, unknown, telling };
        let history = execution(shape, Draw::new(seed));
        prop_assert_eq!(linearizable(&history), Verdict::Ok);
    }

    #[test]
    fn with_their_log_real_executions_need_no_search(
        seed in any::<u64>(), clients in 1u64..12, keys in 1u64..4, values in 1u64..30,
        unknown in 0.0..0.9, telling in any::<bool>(),
    ) {
        let shape = Shape { operations: 300, clients, keys, values: Some(values), unknown, telling };
        let (history, log) = logged_execution(shape, Draw::new(seed));
        prop_assert_eq!(without_a_search(&history, &log), Verdict::Ok);
        let history = without_revisions(history);
        prop_assert_eq!(without_a_search(&history, &log), Verdict::Ok);
    }
}

#[test]
fn a_long_history_with_many_unknown_outcomes_is_decided_by_its_log() {
    let shape = Shape {
        operations: 300_000,
        clients: 500,
        keys: 1,
        values: Some(50),
        unknown: 0.3,
        telling: false,
    };
    let (mut history, log) = logged_execution(shape, Draw::new(1));
    let is_unknown = |operation: &&Operation| matches!(operation.outcome, Outcome::Unknown(_));
    assert!(history.len() > 100_000, "{} operations", history.len());
    assert!(history.iter().filter(is_unknown).count() > 30_000);
    assert_eq!(without_a_search(&history, &log), Verdict::Ok);
    assert!(matches!(without_a_search(&history, &[]), Verdict::Undecided(_)));
    // One answer that was never true, in the midst of all that is uncertain.
    let middle = history.len() / 2;
    let last = &mut history[middle..];
    let read =
        last.iter_mut().find(|operation| operation.call == Call::Get && operation.outcome.is_ok());
    let read = read.expect("half of the operations are reads");
    let Outcome::Ok { held, .. } = &mut read.outcome else { unreachable!() };
    *held = Some("never written".to_owned());
    assert!(matches!(without_a_search(&history, &log), Verdict::Violated(_)));
}

#[test]
fn the_mutations_make_both_kinds_of_histories() {
    let mut good = 0;
    let mut bad = 0;
    for seed in 0..1_000 {
        let draw = Draw::new(seed);
        let mut history = execution(small(7, 3, 0.2, false), draw.of("execution"));
        mutate(&mut history, draw.of("mutation"));
        if verdicts_agree(&history).unwrap() { good += 1 } else { bad += 1 }
    }
    assert!(good > 200 && bad > 200, "{good} good, {bad} bad");
}
