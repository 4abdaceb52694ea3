//! The checker against the definition: every order of a small history is tried.

mod common;

use checker::{Verdict, jsonl};
use common::{Shape, execution, linearizable, perform, unknown};
use consensus_core::{
    Draw,
    history::{Call, Operation, Outcome},
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
    let expected = has_an_order(operations);
    let verdict = linearizable(operations);
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
        let mut history = execution(shape, draw.of("execution"));
        // Revisions would say more than the definition below knows.
        for operation in &mut history {
            if let Outcome::Ok { revision, .. } = &mut operation.outcome {
                *revision = 0;
            }
        }
        for n in 0..mutations {
            mutate(&mut history, draw.of("mutation").at(n));
        }
        verdicts_agree(&history)?;
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
