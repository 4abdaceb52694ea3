//! Porcupine's operations: JSON lines, each what `porcupine.Operation` holds.
//!
//! Porcupine takes both ends of an operation for part of it, so two operations that touch at one
//! nanosecond overlap, as they do here. A change whose outcome is unknown returns at the end of the
//! history with an answer that says so; a read of that kind, and whatever was refused, is left out.

use std::io::{self, Write};

use consensus_core::history::{Call, Operation, Outcome};
use serde::{Deserialize, Serialize};

use super::{Told, told};
use crate::{coverage::call_name, jsonl};

/// One line. `Input` and `Output` are whatever the judge's model makes of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Line {
    /// The process; another one after an operation without an answer.
    pub client_id: u64,
    /// What was asked.
    pub input: Input,
    /// What was answered.
    pub output: Output,
    /// When it was first sent, in nanoseconds since the first operation was.
    pub call: u64,
    /// When the answer came, or the end of the history.
    #[serde(rename = "Return")]
    pub returned: u64,
}

/// What was asked of a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Input {
    /// `get`, `put`, `delete`, `compare-and-swap` or `test-and-set`.
    pub op: String,
    /// The key.
    pub key: String,
    /// What is written; null for a get and a delete.
    pub value: Option<String>,
    /// What a compare-and-swap must find, null for nothing; null for all others.
    pub expected: Option<String>,
}

/// What was answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Output {
    /// Whether nobody knows what came of it; then the rest says nothing.
    pub unknown: bool,
    /// Whether it changed something; false for a get.
    pub changed: bool,
    /// Whether `Held` tells what the key held before: always for a get.
    pub told: bool,
    /// What the key held before; null for nothing, or if it is not told.
    pub held: Option<String>,
}

/// Writes a history.
///
/// # Errors
///
/// If it cannot be written.
pub fn write(to: &mut dyn Write, operations: &[Operation]) -> io::Result<()> {
    jsonl::write(to, &lines(operations))
}

/// A history's lines, by their start.
pub fn lines(operations: &[Operation]) -> Vec<Line> {
    let told = told(operations);
    let end = told.iter().map(|one| one.end).max().unwrap_or_default();
    told.iter().filter_map(|one| line(one, end)).collect()
}

fn line(told: &Told<'_>, end: u64) -> Option<Line> {
    let operation = told.operation;
    let is_read = operation.call == Call::Get;
    let (output, returned) = match &operation.outcome {
        Outcome::Ok { changed, held, .. } => {
            let told_held = is_read || held.is_some();
            let held = held.clone();
            (Output { unknown: false, changed: *changed, told: told_held, held }, told.end)
        }
        Outcome::Unknown(_) if !is_read => {
            (Output { unknown: true, changed: false, told: false, held: None }, end)
        }
        Outcome::Unknown(_) | Outcome::Failed(_) => return None,
    };
    let (value, expected) = match &operation.call {
        Call::Get | Call::Delete => (None, None),
        Call::Put(value) | Call::TestAndSet(value) => (Some(value), None),
        Call::CompareAndSwap { expected, value } => (Some(value), expected.as_ref()),
    };
    Some(Line {
        client_id: told.process,
        input: Input {
            op: call_name(&operation.call).to_owned(),
            key: operation.key.clone(),
            value: value.cloned(),
            expected: expected.cloned(),
        },
        output,
        call: told.call,
        returned,
    })
}
