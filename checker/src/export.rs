//! Histories in the words of other people's checkers, so that they can judge our runs.
//!
//! [`jepsen`] writes Jepsen's history, which Knossos and Elle read, [`porcupine`] what a Go program
//! hands to Porcupine. The room's README defines every field. Both leave out stale reads, which
//! promise nothing that such a checker could judge, and both give a client whose operation never got
//! an answer another name from there on: what it left behind is under way for ever.

pub mod jepsen;
pub mod porcupine;

use std::collections::BTreeMap;

use consensus_core::{
    Time,
    history::{Operation, Outcome},
};

/// An operation as it is told to others.
#[derive(Clone, Copy, Debug)]
struct Told<'a> {
    operation: &'a Operation,
    /// The process that runs it: a client, until an operation's outcome stays unknown.
    process: u64,
    /// When it was sent, in nanoseconds since the first operation was.
    call: u64,
    /// When it was answered, refused or given up. An unknown outcome of which nobody says when it was
    /// given up ends with the history.
    end: u64,
}

/// The operations that others can judge, by their start.
fn told(operations: &[Operation]) -> Vec<Told<'_>> {
    let mut judged: Vec<&Operation> =
        operations.iter().filter(|operation| !operation.is_stale_read()).collect();
    // At one instant, in the order of the record: a client's operations stand there in turn.
    judged.sort_by_key(|operation| operation.invoked);
    let start = judged.first().map_or(Time::ZERO, |first| first.invoked);
    let end = |operation: &Operation| operation.completed.unwrap_or(operation.invoked);
    let last = judged.iter().map(|operation| end(operation)).max().unwrap_or(start);
    let mut processes = Processes::of(&judged);
    let nanos = |time: Time| time.0 - start.0;
    let told = judged.into_iter().map(|operation| Told {
        operation,
        process: processes.run(operation),
        call: nanos(operation.invoked),
        end: nanos(match (&operation.outcome, operation.completed) {
            (Outcome::Unknown(_), None) => last,
            _ => end(operation),
        }),
    });
    told.collect()
}

/// Which process a client is: numbered from zero, and a new one after each that was lost.
struct Processes {
    of_client: BTreeMap<u64, u64>,
    clients: u64,
}

impl Processes {
    fn of(operations: &[&Operation]) -> Self {
        let mut of_client: BTreeMap<u64, u64> =
            operations.iter().map(|operation| (operation.client, 0)).collect();
        of_client.values_mut().zip(0..).for_each(|(process, number)| *process = number);
        let clients = of_client.len() as u64;
        Self { of_client, clients }
    }

    /// The process that runs a client's next operation.
    fn run(&mut self, operation: &Operation) -> u64 {
        let current = self.of_client.entry(operation.client).or_default();
        let process = *current;
        if matches!(operation.outcome, Outcome::Unknown(_)) {
            // As in Jepsen, the thread stays the same modulo the number of threads.
            *current += self.clients;
        }
        process
    }
}
