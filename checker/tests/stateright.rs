//! The checker against other people's: `stateright`'s linearizability tester judges the same small
//! random histories, good and bad, with outcomes that stayed unknown, and must say the same.

mod common;

use std::collections::BTreeMap;

use checker::{Verdict, jsonl};
use common::{done, failed, get, linearizable, operation, perform, put, unknown};
use consensus_core::{
    Draw, Time,
    history::{Call, Operation, Outcome},
};
use proptest::prelude::*;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

/// The store as `stateright` is told of it: all keys in one state, which it does not take apart.
#[derive(Clone, Default)]
struct Store(BTreeMap<String, String>);

/// What an answer says: whether something changed, and what was there. A change may keep silent
/// about that.
#[derive(Clone, PartialEq, Debug)]
struct Answer {
    changed: bool,
    held: Option<String>,
}

impl SequentialSpec for Store {
    type Op = (String, Call);
    type Ret = Answer;

    fn invoke(&mut self, (key, call): &Self::Op) -> Answer {
        let mut register = (self.0.get(key).cloned(), 0);
        let Outcome::Ok { changed, held, .. } = perform(&mut register, call, 1, true) else {
            unreachable!("a register answers everything")
        };
        match register.0 {
            Some(value) => self.0.insert(key.clone(), value),
            None => self.0.remove(key),
        };
        Answer { changed, held }
    }

    fn is_valid_step(&mut self, asked: &Self::Op, answer: &Answer) -> bool {
        let real = self.invoke(asked);
        let silent = asked.1 != Call::Get && answer.held.is_none();
        answer.changed == real.changed && (silent || answer.held == real.held)
    }
}

/// The verdict of `stateright`. Nothing happens at the same time as anything else; a client whose
/// operation never ended goes on under another name, and what was refused never happened.
fn judged_by_stateright(operations: &[Operation]) -> bool {
    let mut events: Vec<(Time, usize, bool)> = Vec::new();
    for (n, operation) in operations.iter().enumerate() {
        match (&operation.outcome, operation.completed) {
            (Outcome::Failed(_), _) => {}
            (Outcome::Ok { .. }, Some(completed)) => {
                events.extend([(operation.invoked, n, false), (completed, n, true)]);
            }
            _ => events.push((operation.invoked, n, false)),
        }
    }
    events.sort_unstable();
    let mut tester = LinearizabilityTester::new(Store::default());
    let mut names: BTreeMap<u64, usize> = BTreeMap::new();
    for (_, n, is_answer) in events {
        let Operation { client, key, call, outcome, .. } = &operations[n];
        let name = (*client, *names.entry(*client).or_default());
        if is_answer {
            let Outcome::Ok { changed, held, .. } = outcome else { unreachable!() };
            let answer = Answer { changed: *changed, held: held.clone() };
            tester.on_return(name, answer).expect("it was asked");
        } else {
            tester.on_invoke(name, (key.clone(), call.clone())).expect("one at a time");
            if !outcome.is_ok() {
                *names.get_mut(client).unwrap() += 1;
            }
        }
    }
    tester.is_consistent()
}

/// How a history comes to be.
#[derive(Clone, Copy, Debug)]
struct Kind {
    operations: u64,
    clients: u64,
    keys: u64,
    values: u64,
    /// How likely an operation never gets an answer.
    unknown: f64,
    /// How likely an operation is refused.
    refused: f64,
    /// How likely an answer is not the register's.
    wrong: f64,
    /// How likely an operation has its effect only after its answer.
    late: f64,
}

impl Kind {
    fn drawn(draw: Draw) -> Self {
        let one_of =
            |what, choices: &[f64]| choices[draw.of(what).below(choices.len() as u64) as usize];
        Self {
            operations: 3 + draw.of("operations").below(7),
            clients: 2 + draw.of("clients").below(3),
            keys: 1 + draw.of("keys").below(2),
            values: 1 + draw.of("values").below(3),
            unknown: one_of("unknown", &[0.0, 0.05, 0.15]),
            refused: one_of("refused", &[0.0, 0.1]),
            wrong: one_of("wrong", &[0.0, 0.1, 0.3]),
            late: one_of("late", &[0.0, 0.3, 0.6]),
        }
    }
}

/// What a client has under way.
struct UnderWay {
    operation: Operation,
    /// What the register answered, once it was asked.
    answer: Option<Outcome>,
}

/// A history, one event after the other: some client sends, or its operation has its effect on the
/// register, or it is answered. An answer that is made up, or comes before the effect, makes most
/// histories wrong.
fn history(kind: Kind, draw: Draw) -> Vec<Operation> {
    let mut registers: BTreeMap<String, (Option<String>, u64)> = BTreeMap::new();
    let mut under_way: BTreeMap<u64, UnderWay> = BTreeMap::new();
    let mut late: Vec<Operation> = Vec::new();
    let mut history = Vec::new();
    let mut sent = 0;
    for n in 1.. {
        let draw = draw.at(n);
        let now = Time(n);
        if let Some(operation) = late.pop_if(|_| draw.of("overdue").chance(0.3)) {
            let register = registers.entry(operation.key.clone()).or_default();
            perform(register, &operation.call, n, true);
        }
        let client = draw.of("client").below(kind.clients);
        let Some(mut current) = under_way.remove(&client) else {
            if sent < kind.operations {
                sent += 1;
                let call = some_call(kind, draw);
                let mut operation = operation(client, call, (n, n), done(false));
                operation.key = format!("k{}", draw.of("key").below(kind.keys));
                under_way.insert(client, UnderWay { operation, answer: None });
            } else if under_way.is_empty() {
                return history;
            }
            continue;
        };
        if draw.of("refused").chance(kind.refused) && current.answer.is_none() {
            current.operation.completed = Some(now);
            history.push(failed(current.operation));
        } else if draw.of("unknown").chance(kind.unknown) {
            history.push(unknown(current.operation));
        } else if let Some(answer) = current.answer {
            current.operation.completed = Some(now);
            current.operation.outcome = told(kind, &current.operation.call, answer, draw);
            history.push(current.operation);
        } else {
            let call = &current.operation.call;
            let register = registers.entry(current.operation.key.clone()).or_default();
            if *call != Call::Get && draw.of("late").chance(kind.late) {
                // It is answered as if it had happened, and happens afterwards or never.
                current.answer = Some(perform(&mut register.clone(), call, n, true));
                late.push(current.operation.clone());
            } else {
                current.answer = Some(perform(register, call, n, true));
            }
            under_way.insert(client, current);
        }
    }
    unreachable!("the loop has no other end")
}

fn some_call(kind: Kind, draw: Draw) -> Call {
    let value = |what| format!("v{}", draw.of(what).below(kind.values));
    match draw.of("call").below(10) {
        0..4 => Call::Get,
        4..7 => Call::Put(value("value")),
        7 => Call::Delete,
        8 => Call::TestAndSet(value("value")),
        _ => {
            let expected = draw.of("expects").chance(0.8).then(|| value("expected"));
            Call::CompareAndSwap { expected, value: value("value") }
        }
    }
}

/// What the client hears: nothing of revisions, perhaps nothing of what a change found, and perhaps
/// something else than was so.
fn told(kind: Kind, call: &Call, answer: Outcome, draw: Draw) -> Outcome {
    let Outcome::Ok { mut changed, mut held, .. } = answer else { unreachable!() };
    if draw.of("wrong").chance(kind.wrong) {
        match *call {
            Call::Get => {
                let other = draw.of("other").below(kind.values + 1);
                held = other.checked_sub(1).map(|other| format!("v{other}"));
            }
            _ => changed = !changed,
        }
    }
    if *call != Call::Get && draw.of("silent").chance(0.5) {
        held = None;
    }
    Outcome::Ok { changed, held, revision: 0 }
}

/// Whether both say that the history is linearizable; that they say the same is asserted.
fn both_say(operations: &[Operation]) -> bool {
    let expected = judged_by_stateright(operations);
    let verdict = linearizable(operations);
    let shown = || {
        let mut lines = Vec::new();
        jsonl::write(&mut lines, operations).unwrap();
        String::from_utf8(lines).unwrap()
    };
    assert!(!matches!(verdict, Verdict::Undecided(_)), "{verdict}\n{}", shown());
    assert_eq!(verdict.is_ok(), expected, "{verdict}\n{}", shown());
    expected
}

#[test]
fn thousands_of_histories_are_judged_alike_and_many_of_them_are_bad() {
    let (mut good, mut bad, mut bad_with_unknown, mut good_with_unknown) = (0, 0, 0, 0);
    for seed in 0..10_000 {
        let draw = Draw::new(seed);
        let history = history(Kind::drawn(draw.of("kind")), draw.of("history"));
        let has_unknown = history.iter().any(|one| matches!(one.outcome, Outcome::Unknown(_)));
        if both_say(&history) {
            good += 1;
            good_with_unknown += u64::from(has_unknown);
        } else {
            bad += 1;
            bad_with_unknown += u64::from(has_unknown);
        }
    }
    println!(
        "{good} good ({good_with_unknown} with unknown outcomes), {bad} bad ({bad_with_unknown})"
    );
    assert!(good >= 3_000 && bad >= 3_000, "{good} good, {bad} bad");
    assert!(good_with_unknown >= 750 && bad_with_unknown >= 750);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 5_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn histories_of_any_kind_are_judged_alike(
        seed in any::<u64>(), operations in 1u64..8, clients in 1u64..5, keys in 1u64..3,
        values in 1u64..4, unknown in 0.0..0.5, refused in 0.0..0.3, wrong in 0.0..0.5,
        late in 0.0..0.5,
    ) {
        let kind = Kind { operations, clients, keys, values, unknown, refused, wrong, late };
        both_say(&history(kind, Draw::new(seed)));
    }
}

/// The two are told of the same things: on the simplest histories a person sees who is right.
#[test]
fn the_simplest_histories_are_judged_as_anybody_would() {
    assert!(both_say(&[put(1, (0, 1), "a"), get(2, (2, 3), "a")]));
    assert!(!both_say(&[put(1, (0, 1), "a"), get(2, (2, 3), "")]));
    assert!(both_say(&[put(1, (0, 3), "a"), get(2, (1, 2), "")]));
    assert!(both_say(&[unknown(put(1, (0, 0), "a")), get(2, (1, 2), ""), get(2, (3, 4), "a")]));
    assert!(!both_say(&[unknown(put(1, (0, 0), "a")), get(2, (1, 2), "a"), get(2, (3, 4), "")]));
    assert!(!both_say(&[failed(put(1, (0, 1), "a")), get(2, (2, 3), "a")]));
}
