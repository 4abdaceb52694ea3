//! A contradiction in words.

use std::collections::BTreeSet;

use consensus_core::history::{Call, Operation, Outcome};

use super::{
    model::{Guard, NOTHING, State},
    quick,
    register::Register,
};
use crate::Counterexample;

/// The most characters of a value or key that a sentence quotes.
const QUOTED_CHARACTERS: usize = 40;

/// A value or key, cut to a readable length.
pub fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARACTERS) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

fn value(held: Option<&str>) -> String {
    held.map_or_else(|| "nothing".to_owned(), quote)
}

/// What was asked and by whom: "put of v3 to x by client 7".
pub fn call(operation: &Operation) -> String {
    let Operation { key, client, .. } = operation;
    let key = quote(key);
    let what = match &operation.call {
        Call::Get => format!("get of {key}"),
        Call::Put(written) => format!("put of {} to {key}", quote(written)),
        Call::Delete => format!("delete of {key}"),
        Call::CompareAndSwap { expected, value: written } => {
            let expected = value(expected.as_deref());
            format!("compare-and-swap of {key} from {expected} to {}", quote(written))
        }
        Call::TestAndSet(written) => format!("test-and-set of {key} to {}", quote(written)),
    };
    format!("{what} by client {client}")
}

/// What was answered: the value met, or whether there was a change.
pub fn answer(operation: &Operation) -> String {
    match (&operation.outcome, &operation.call) {
        (Outcome::Ok { held, .. }, Call::Get) => value(held.as_deref()),
        (Outcome::Ok { held: Some(held), .. }, _) => quote(held),
        (Outcome::Ok { changed: true, .. }, Call::CompareAndSwap { expected, .. }) => {
            value(expected.as_deref())
        }
        (Outcome::Ok { changed: true, .. }, Call::TestAndSet(_)) => value(None),
        (Outcome::Ok { changed: true, .. }, _) => "that it took effect".to_owned(),
        (Outcome::Ok { changed: false, .. }, Call::Delete) => value(None),
        (Outcome::Ok { changed: false, .. }, _) => "that it changed nothing".to_owned(),
        (Outcome::Failed(why), _) => format!("that it failed ({why})"),
        (Outcome::Unknown(why), _) => format!("nothing certain ({why})"),
    }
}

/// What the key held after an operation, if its answer tells: `Some(None)` for nothing.
pub fn holder(operation: &Operation) -> Option<Option<&str>> {
    let Outcome::Ok { changed, held, .. } = &operation.outcome else { return None };
    match (&operation.call, changed) {
        (Call::Get, _) => Some(held.as_deref()),
        (Call::Delete, true) => Some(None),
        (Call::Put(value) | Call::TestAndSet(value), true) => Some(Some(value)),
        (Call::CompareAndSwap { value, .. }, true) => Some(Some(value)),
        (_, false) => held.as_deref().map(Some),
    }
}

/// Tells the story of the few operations that contradict each other.
pub fn explain(register: &Register<'_>, core: &[usize]) -> Counterexample {
    let core = &with_writers(register, core);
    stale(register, core)
        .or_else(|| shared(register, core))
        .unwrap_or_else(|| unordered(register, core))
}

/// The operations, and those that alone wrote what they saw: when that was may not matter to the
/// contradiction, but a reader asks where the values came from.
fn with_writers(register: &Register<'_>, core: &[usize]) -> Vec<usize> {
    let mut all: BTreeSet<usize> = core.iter().copied().collect();
    for state in core.iter().filter_map(|&operation| seen(register, operation)) {
        if let [writer] = writers(register, state)[..] {
            all.insert(writer);
        }
    }
    let mut all: Vec<usize> = all.into_iter().collect();
    all.sort_by_key(|&operation| register.operations[operation].invoked);
    all
}

/// All operations that may have written a state.
fn writers(register: &Register<'_>, state: State) -> Vec<usize> {
    let operations = 0..register.operations.len();
    operations.filter(|&operation| left(register, operation) == Some(state)).collect()
}

/// The states that an operation saw and left, as far as its answer tells.
fn seen(register: &Register<'_>, operation: usize) -> Option<State> {
    match register.meanings[operation].answered?.guard {
        Guard::Is(state) => Some(state),
        Guard::Any | Guard::Not(_) | Guard::Never => None,
    }
}

fn left(register: &Register<'_>, operation: usize) -> Option<State> {
    register.meanings[operation].change?.next
}

fn ended_before(register: &Register<'_>, first: usize, second: usize) -> bool {
    let start = register.operations[second].invoked;
    register.operations[first].completed.is_some_and(|end| end < start)
}

/// An answer from a state that everybody who wrote it had been overtaken in.
fn stale(register: &Register<'_>, core: &[usize]) -> Option<Counterexample> {
    core.iter().rev().find_map(|&last| {
        let state = seen(register, last)?;
        let acknowledged = |&&operation: &&usize| {
            let answered = register.meanings[operation].answered;
            let next = answered.and_then(|transition| transition.next);
            next.is_some_and(|next| next != state) && ended_before(register, operation, last)
        };
        let overtaking = core.iter().filter(acknowledged);
        let later =
            *overtaking.max_by_key(|&&operation| register.operations[operation].completed)?;
        let mut writers = writers(register, state);
        writers.retain(|&writer| writer != last);
        let overtaken = writers.iter().all(|&writer| ended_before(register, writer, later));
        let is_written = state == NOTHING || !writers.is_empty();
        (overtaken && is_written).then(|| quick::stale(register, later, last, core.iter().copied()))
    })
}

/// Two changes that both took the same state, which was there once: a lost update.
fn shared(register: &Register<'_>, core: &[usize]) -> Option<Counterexample> {
    let changed = |&operation: &usize| register.meanings[operation].answered?.next;
    let takers = |&operation: &usize| Some((seen(register, operation)?, operation));
    let mut taken: Vec<(State, usize)> =
        core.iter().filter(|operation| changed(operation).is_some()).filter_map(takers).collect();
    taken.sort_unstable();
    let pair = taken.windows(2).find(|pair| pair[0].0 == pair[1].0)?;
    let state = pair[0].0;
    let writers = writers(register, state).len();
    if writers + usize::from(state == NOTHING) != 1 {
        return None;
    }
    let [first, second] = [pair[0].1, pair[1].1].map(|operation| register.operations[operation]);
    let summary = format!(
        "the {} and the {} both found {}, which the key held only once",
        call(first),
        call(second),
        value(holder_before(first))
    );
    Some(Counterexample::new(summary).operations(core.iter().map(|&one| register.operations[one])))
}

/// What a change that took a state found there.
fn holder_before(operation: &Operation) -> Option<&str> {
    match (&operation.outcome, &operation.call) {
        (Outcome::Ok { held: Some(held), .. }, _) => Some(held),
        (_, Call::CompareAndSwap { expected, .. }) => expected.as_deref(),
        _ => None,
    }
}

/// Nothing simpler can be said than that there is no order.
fn unordered(register: &Register<'_>, core: &[usize]) -> Counterexample {
    // The last one to see something certain is the one whose answer surprises.
    let last = core.iter().copied().max_by_key(|&operation| {
        (seen(register, operation).is_some(), register.operations[operation].invoked)
    });
    let surprise = last.map(|last| {
        let verb = seen(register, last).map_or("was told", |_| "found");
        let last = register.operations[last];
        format!("the {} {verb} {}", call(last), answer(last))
    });
    let summary = match surprise {
        Some(surprise) if core.len() == 1 => format!("{surprise}, which nothing explains"),
        surprise => format!(
            "{}no order of the {} operations listed explains their answers",
            surprise.map(|surprise| surprise + ", and ").unwrap_or_default(),
            core.len()
        ),
    };
    Counterexample::new(summary).operations(core.iter().map(|&one| register.operations[one]))
}
