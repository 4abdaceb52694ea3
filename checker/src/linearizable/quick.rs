//! Contradictions that need no search, found in near-linear time: they decide most broken histories
//! even where a search would give up, and name just the operations that matter.

use consensus_core::history::{Call, Operation, Outcome};

use super::{
    explain::{answer, call, holder},
    model::{Guard, Meaning, NOTHING, State},
    register::Register,
};
use crate::Counterexample;

/// An answered operation that saw one certain state.
struct Sight {
    operation: usize,
    state: State,
    invoked: u64,
    completed: u64,
}

/// Looks for an answer that no order can explain.
pub fn contradiction(register: &Register<'_>) -> Option<Counterexample> {
    let sights = sights(register);
    impossible_answer(register)
        .or_else(|| out_of_nowhere(register, &sights))
        .or_else(|| overwritten(register, &sights))
        .or_else(|| revision_went_back(register))
        .or_else(|| revision_taken_twice(register))
}

fn sights(register: &Register<'_>) -> Vec<Sight> {
    let answered = register.meanings.iter().zip(&register.operations).enumerate();
    let sight = |(operation, (meaning, recorded)): (usize, (&Meaning, &&Operation))| {
        let Guard::Is(state) = meaning.answered?.guard else { return None };
        let completed = recorded.completed?.0;
        Some(Sight { operation, state, invoked: recorded.invoked.0, completed })
    };
    answered.filter_map(sight).collect()
}

fn impossible_answer(register: &Register<'_>) -> Option<Counterexample> {
    let never = |meaning: &Meaning| {
        meaning.answered.is_some_and(|transition| transition.guard == Guard::Never)
    };
    let operation = register.operations[register.meanings.iter().position(never)?];
    let summary =
        format!("the {} answered {}, which it never can", call(operation), answer(operation));
    Some(Counterexample::new(summary).operations([operation]))
}

/// Somebody saw a value that nothing had written yet.
fn out_of_nowhere(register: &Register<'_>, sights: &[Sight]) -> Option<Counterexample> {
    let mut written: Vec<Option<u64>> = vec![None; register.states];
    for (operation, meaning) in register.meanings.iter().enumerate() {
        let Some(next) = meaning.change.and_then(|change| change.next) else { continue };
        let from = register.operations[operation].invoked.0;
        let first = &mut written[next as usize];
        *first = Some(first.map_or(from, |first| first.min(from)));
    }
    sights.iter().filter(|sight| sight.state != NOTHING).find_map(|sight| {
        let seen = register.operations[sight.operation];
        match written[sight.state as usize] {
            None => {
                let summary =
                    format!("the {} found {}, which nobody wrote", call(seen), answer(seen));
                Some(Counterexample::new(summary).operations([seen]))
            }
            Some(from) if from > sight.completed => {
                let writers = writers_of(register, sight.state);
                let summary =
                    format!("the {} found {} before anybody sent it", call(seen), answer(seen));
                Some(Counterexample::new(summary).operations(writers.chain([seen])))
            }
            Some(_) => None,
        }
    })
}

/// Everything that may have written a state.
fn writers_of<'r, 'a>(
    register: &'r Register<'a>,
    state: State,
) -> impl Iterator<Item = &'a Operation> + use<'r, 'a> {
    let operations = register.meanings.iter().zip(&register.operations);
    operations.filter_map(move |(meaning, &operation)| {
        meaning.change.filter(|change| change.next == Some(state)).map(|_| operation)
    })
}

/// An acknowledged change, by its span of time.
struct Change {
    operation: usize,
    next: State,
    invoked: u64,
    completed: u64,
}

/// Somebody saw a value after an acknowledged change that followed everything that may have written
/// it: the forward zones of Gibbons & Korach ("Testing Shared Memories", 1997), for values that may
/// be written more than once.
fn overwritten(register: &Register<'_>, sights: &[Sight]) -> Option<Counterexample> {
    let writers = writers(register);
    let mut changes = changes(register);
    changes.sort_unstable_by_key(|change| change.completed);
    let latest = latest_start(&changes);
    sights.iter().find_map(|sight| {
        // Of the changes that ended before, the one that began last is followed by the fewest
        // writers; if it is a writer itself, no other change can have followed it.
        let before = changes.partition_point(|change| change.completed < sight.invoked);
        let later = &changes[latest[..before].last().copied()?];
        if later.next == sight.state {
            return None;
        }
        let writers = &writers[sight.state as usize];
        let in_time = writers.partition_point(|writer| writer.invoked <= sight.completed);
        let last = writers[..in_time].last();
        // A key holds nothing from the start; no other state comes without a writer.
        let overtaken = last.is_none_or(|last| last.end < later.invoked);
        (overtaken && (last.is_some() || sight.state == NOTHING)).then(|| {
            let all = [later.operation, sight.operation].into_iter();
            let all = all.chain(last.map(|last| last.operation));
            stale(register, later.operation, sight.operation, all)
        })
    })
}

/// A possible writer of a state: of all those that were sent no later, the one that ended last.
struct Writer {
    operation: usize,
    invoked: u64,
    end: u64,
}

/// The possible writers of each state, by their start.
fn writers(register: &Register<'_>) -> Vec<Vec<Writer>> {
    let mut writers: Vec<Vec<Writer>> = Vec::new();
    writers.resize_with(register.states, Vec::new);
    for (operation, meaning) in register.meanings.iter().enumerate() {
        let Some(next) = meaning.change.and_then(|change| change.next) else { continue };
        let recorded = register.operations[operation];
        let ended = recorded.completed.filter(|_| recorded.outcome.is_ok());
        let end = ended.map_or(u64::MAX, |end| end.0);
        writers[next as usize].push(Writer { operation, invoked: recorded.invoked.0, end });
    }
    for writers in &mut writers {
        writers.sort_unstable_by_key(|writer| writer.invoked);
        let mut latest = (0, 0);
        for writer in writers {
            latest = latest.max((writer.end, writer.operation));
            (writer.end, writer.operation) = latest;
        }
    }
    writers
}

fn changes(register: &Register<'_>) -> Vec<Change> {
    let answered = register.meanings.iter().zip(&register.operations).enumerate();
    let change = answered.filter_map(|(operation, (meaning, recorded))| {
        let next = meaning.answered?.next?;
        let invoked = recorded.invoked.0;
        Some(Change { operation, next, invoked, completed: recorded.completed?.0 })
    });
    change.collect()
}

/// For each prefix of the changes, which of them started last.
fn latest_start(changes: &[Change]) -> Vec<usize> {
    let mut latest = Vec::with_capacity(changes.len());
    for (number, change) in changes.iter().enumerate() {
        let best =
            latest.last().copied().filter(|&best: &usize| changes[best].invoked >= change.invoked);
        latest.push(best.unwrap_or(number));
    }
    latest
}

/// The story of a stale answer, told in the same words wherever it is found.
pub fn stale<'a>(
    register: &Register<'a>,
    later: usize,
    seen: usize,
    all: impl IntoIterator<Item = usize>,
) -> Counterexample {
    let [later, seen] = [later, seen].map(|operation| register.operations[operation]);
    let summary = format!(
        "the {} found {} after the {} was acknowledged",
        call(seen),
        answer(seen),
        call(later)
    );
    let all = all.into_iter().map(|operation| register.operations[operation]);
    Counterexample::new(summary).operations(all)
}

/// What an answer tells about the log: its revision, unless it told none.
fn revision(operation: &Operation) -> Option<u64> {
    match operation.outcome {
        Outcome::Ok { revision, .. } if revision > 0 => Some(revision),
        _ => None,
    }
}

/// A later operation was answered from an older state, even if both states held the same value.
fn revision_went_back(register: &Register<'_>) -> Option<Counterexample> {
    let operations = register.operations.iter().copied();
    let told = operations.filter_map(|operation| Some((revision(operation)?, operation)));
    let mut by_end: Vec<(u64, &Operation)> = told.collect();
    let mut by_start = by_end.clone();
    by_end.sort_by_key(|(_, operation)| operation.completed);
    by_start.sort_by_key(|(_, operation)| operation.invoked);
    let mut ended = by_end.into_iter().peekable();
    let mut newest: Option<(u64, &Operation)> = None;
    for (revision, operation) in by_start {
        let over = |(_, earlier): &(u64, &Operation)| {
            earlier.completed.is_some_and(|end| end < operation.invoked)
        };
        while let Some(earlier) = ended.next_if(over) {
            if newest.is_none_or(|(newest, _)| newest < earlier.0) {
                newest = Some(earlier);
            }
        }
        if let Some((newest, earlier)) = newest
            && newest > revision
        {
            let summary = format!(
                "the {} was answered from revision {revision} after revision {newest} was told to \
                 client {}",
                call(operation),
                earlier.client
            );
            return Some(Counterexample::new(summary).operations([earlier, operation]));
        }
    }
    None
}

/// Two changes cannot have happened at one position, nor can a position hold two values.
fn revision_taken_twice(register: &Register<'_>) -> Option<Counterexample> {
    let mut told: Vec<(u64, &Operation, Option<&str>)> = Vec::new();
    for &operation in &register.operations {
        if let (Some(revision), Some(held)) = (revision(operation), holder(operation)) {
            told.push((revision, operation, held));
        }
    }
    told.sort_by_key(|&(revision, operation, _)| (revision, operation.invoked));
    let changed = |operation: &Operation| {
        matches!(operation.outcome, Outcome::Ok { changed: true, .. })
            && operation.call != Call::Get
    };
    told.windows(2).find_map(|pair| {
        let [(at, first, held), (also_at, second, also_held)] = pair else { return None };
        let twice = changed(first) && changed(second);
        if at != also_at || (held == also_held && !twice) {
            return None;
        }
        let summary = format!(
            "revision {at} of {} was told in two ways: by the {} and by the {}",
            first.key,
            call(first),
            call(second)
        );
        Some(Counterexample::new(summary).operations([*first, *second]))
    })
}
