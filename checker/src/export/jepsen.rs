//! Jepsen's history: EDN, one operation map to a line, in the order in which things happened.
//!
//! Every operation is two lines, its invocation and its completion. Values are `[key value]`, as
//! `jepsen.independent` splits a history into one for each key; what is left then is the register of
//! Knossos' `cas-register` model, which holds `nil` at first.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
};

use consensus_core::history::{Call, Operation, Outcome};

use super::{Told, told};

/// Writes a history.
///
/// # Errors
///
/// If it cannot be written.
pub fn write(to: &mut dyn Write, operations: &[Operation]) -> io::Result<()> {
    let told = told(operations);
    for (index, event) in order(&told).into_iter().enumerate() {
        let line = match event {
            Event::Invocation(n) => map(index, "invoke", told[n].call, &told[n], invoked(&told[n])),
            Event::Completion(n) => completion(index, &told[n]),
        };
        writeln!(to, "{line}")?;
    }
    Ok(())
}

/// One end of an operation.
#[derive(Clone, Copy, Debug)]
enum Event {
    Invocation(usize),
    Completion(usize),
}

/// What happens at one time.
#[derive(Default)]
struct Instant {
    begun: Vec<usize>,
    ended: Vec<usize>,
}

/// The events in the order of time. What touches at one instant overlaps, so that invocations come
/// first; but a process ends an operation before it begins the next.
fn order(told: &[Told<'_>]) -> Vec<Event> {
    let mut instants: BTreeMap<u64, Instant> = BTreeMap::new();
    for (n, one) in told.iter().enumerate() {
        instants.entry(one.call).or_default().begun.push(n);
        instants.entry(one.end).or_default().ended.push(n);
    }
    let mut events = Vec::with_capacity(2 * told.len());
    let mut under_way: BTreeMap<u64, usize> = BTreeMap::new();
    let mut is_over = vec![false; told.len()];
    for Instant { begun, ended } in instants.into_values() {
        for n in begun {
            if let Some(before) = under_way.insert(told[n].process, n) {
                is_over[before] = true;
                events.push(Event::Completion(before));
            }
            events.push(Event::Invocation(n));
        }
        for n in ended.into_iter().filter(|&n| !is_over[n]) {
            under_way.remove(&told[n].process);
            events.push(Event::Completion(n));
        }
    }
    events
}

/// The function and the value of an invocation, both as EDN.
fn invoked(told: &Told<'_>) -> (&'static str, String) {
    match &told.operation.call {
        Call::Get => ("read", "nil".to_owned()),
        Call::Put(value) => ("write", text(value)),
        Call::Delete => ("write", "nil".to_owned()),
        Call::CompareAndSwap { expected, value } => {
            ("cas", format!("[{} {}]", text_or_nil(expected.as_deref()), text(value)))
        }
        Call::TestAndSet(value) => ("cas", format!("[nil {}]", text(value))),
    }
}

fn completion(index: usize, told: &Told<'_>) -> String {
    let (f, value) = invoked(told);
    let (kind, value, error) = match (&told.operation.outcome, &told.operation.call) {
        (Outcome::Ok { held, .. }, Call::Get) => ("ok", text_or_nil(held.as_deref()), None),
        (Outcome::Ok { changed: false, .. }, Call::CompareAndSwap { .. } | Call::TestAndSet(_)) => {
            ("fail", value, Some(":precondition".to_owned()))
        }
        (Outcome::Ok { .. }, _) => ("ok", value, None),
        (Outcome::Failed(why), _) => ("fail", value, Some(text(why))),
        (Outcome::Unknown(why), _) => ("info", value, Some(text(why))),
    };
    let mut line = map(index, kind, told.end, told, (f, value));
    if let Some(error) = error {
        line.truncate(line.len() - 1);
        line.push_str(&format!(", :error {error}}}"));
    }
    line
}

fn map(index: usize, kind: &str, time: u64, told: &Told<'_>, (f, value): (&str, String)) -> String {
    format!(
        "{{:index {index}, :time {time}, :process {}, :type :{kind}, :f :{f}, :value [{} {value}]}}",
        told.process,
        text(&told.operation.key),
    )
}

fn text_or_nil(value: Option<&str>) -> String {
    value.map_or_else(|| "nil".to_owned(), text)
}

/// A string as EDN has it.
fn text(value: &str) -> String {
    let mut edn = String::with_capacity(value.len() + 2);
    edn.push('"');
    for c in value.chars() {
        match c {
            '"' => edn.push_str("\\\""),
            '\\' => edn.push_str("\\\\"),
            '\n' => edn.push_str("\\n"),
            '\r' => edn.push_str("\\r"),
            '\t' => edn.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a String does not fail. No control character is beyond four digits.
                let _ = write!(edn, "\\u{:04x}", u32::from(c));
            }
            c => edn.push(c),
        }
    }
    edn.push('"');
    edn
}
