//! Histories in a few words, and histories of real executions.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;

use checker::{Evidence, Verdict, check};
use consensus_core::{
    Draw, Epoch, Event, NodeId, SessionId, Time,
    history::{Applied, Call, Observed, Operation, Outcome},
};

/// An operation on `x` that was sent at one time and answered at another.
pub fn operation(client: u64, call: Call, span: (u64, u64), outcome: Outcome) -> Operation {
    Operation {
        client,
        session: SessionId(0),
        sequence: 0,
        key: "x".to_owned(),
        call,
        consistency: None,
        intended: Time(span.0),
        invoked: Time(span.0),
        completed: Some(Time(span.1)),
        outcome,
    }
}

/// The answer to a change, or to an attempt at one; it does not tell what the key held.
pub fn done(changed: bool) -> Outcome {
    Outcome::Ok { changed, held: None, revision: 0 }
}

/// A get that found this; `""` for nothing.
pub fn get(client: u64, span: (u64, u64), held: &str) -> Operation {
    let held = (!held.is_empty()).then(|| held.to_owned());
    operation(client, Call::Get, span, Outcome::Ok { changed: false, held, revision: 0 })
}

/// An acknowledged put.
pub fn put(client: u64, span: (u64, u64), value: &str) -> Operation {
    operation(client, Call::Put(value.to_owned()), span, done(true))
}

/// An answered delete.
pub fn delete(client: u64, span: (u64, u64), changed: bool) -> Operation {
    operation(client, Call::Delete, span, done(changed))
}

/// An answered compare-and-swap; `""` expects nothing.
pub fn cas(client: u64, span: (u64, u64), from: &str, to: &str, changed: bool) -> Operation {
    let expected = (!from.is_empty()).then(|| from.to_owned());
    let call = Call::CompareAndSwap { expected, value: to.to_owned() };
    operation(client, call, span, done(changed))
}

/// An answered test-and-set.
pub fn test_and_set(client: u64, span: (u64, u64), value: &str, changed: bool) -> Operation {
    operation(client, Call::TestAndSet(value.to_owned()), span, done(changed))
}

/// The same operation, but its outcome is unknown.
pub fn unknown(operation: Operation) -> Operation {
    Operation { completed: None, outcome: Outcome::Unknown("timeout".into()), ..operation }
}

/// The same operation, but refused.
pub fn failed(operation: Operation) -> Operation {
    Operation { outcome: Outcome::Failed("overloaded".into()), ..operation }
}

/// The same operation, with what its answer tells of the log.
pub fn at_revision(mut operation: Operation, at: u64) -> Operation {
    if let Outcome::Ok { revision, .. } = &mut operation.outcome {
        *revision = at;
    }
    operation
}

/// The same operation, with the value that its answer tells.
pub fn told(mut operation: Operation, value: &str) -> Operation {
    if let Outcome::Ok { held, .. } = &mut operation.outcome {
        *held = Some(value.to_owned());
    }
    operation
}

/// The same operation, numbered in a session.
pub fn in_session(operation: Operation, session: u64, sequence: u64) -> Operation {
    Operation { session: SessionId(session), sequence, ..operation }
}

/// The verdict on linearizability, with a log to hint at an order.
pub fn linearizable_by(operations: &[Operation], applied: &[Applied]) -> Verdict {
    check(&Evidence { operations, applied, ..Evidence::default() }).linearizable
}

/// The verdict on linearizability.
pub fn linearizable(operations: &[Operation]) -> Verdict {
    check(&Evidence { operations, ..Evidence::default() }).linearizable
}

/// An entry that a node applied in its first incarnation; its content is told by its digest.
pub fn applied(node: u64, index: u64, digest: u64) -> Applied {
    let epoch = Epoch::term(1);
    Applied { node: NodeId(node), incarnation: 1, index, epoch, digest, request: None, fresh: true }
}

/// The same entry, as a command of a session.
pub fn commanded(entry: Applied, session: u64, sequence: u64) -> Applied {
    Applied { request: Some((SessionId(session), sequence)), ..entry }
}

/// An election that a node won.
pub fn elected(node: u64, incarnation: u64, epoch: Epoch) -> Observed {
    let (at, event) = (Time(0), Event::Elected { epoch });
    Observed { at, node: NodeId(node), incarnation, from: None, sync_ns: 0, event }
}

/// What a made-up run looks like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many operations.
    pub operations: u64,
    /// How many clients send them.
    pub clients: u64,
    /// How many keys there are.
    pub keys: u64,
    /// How many different values, so that some are written twice; `None`: each write its own.
    pub values: Option<u64>,
    /// How likely an outcome stays unknown.
    pub unknown: f64,
    /// Whether answers tell what the key held and its revision.
    pub telling: bool,
}

/// A run of a real register, one operation after the other, seen by concurrent clients.
///
/// Operation `n` takes effect at an instant of its own, and its send and answer are drawn around
/// that instant, no client having two under way. Unknown outcomes took effect or did not.
pub fn execution(shape: Shape, draw: Draw) -> Vec<Operation> {
    logged_execution(shape, draw).0
}

/// The same run, with the log that one replica applied: the writes that arrived, in their order.
pub fn logged_execution(shape: Shape, draw: Draw) -> (Vec<Operation>, Vec<Applied>) {
    let mut registers: BTreeMap<u64, (Option<String>, u64)> = BTreeMap::new();
    let mut free = vec![0u64; usize::try_from(shape.clients).unwrap()];
    let mut operations = Vec::new();
    let mut log = Vec::new();
    for n in 0..shape.operations {
        let draw = draw.at(n);
        let effect = 100 * (n + 1);
        let client = draw.of("client").below(shape.clients);
        let earliest = free[client as usize];
        let reach = 100 * shape.clients;
        let invoked = (effect - draw.of("before").below(reach).min(effect)).max(earliest);
        if invoked > effect {
            continue;
        }
        let completed = effect + draw.of("after").below(reach);
        free[client as usize] = completed;
        let key = draw.of("key").below(shape.keys);
        let call = some_call(shape, draw, n);
        let is_unknown = draw.of("unknown").chance(shape.unknown);
        let register = registers.entry(key).or_default();
        let vanished = is_unknown && draw.of("vanished").chance(0.5);
        let is_write = call != Call::Get;
        if is_write && !vanished {
            log.push(commanded(applied(1, n + 1, n), client + 1, n + 1));
        }
        let outcome = if vanished {
            Outcome::Unknown("never arrived".into())
        } else {
            perform(register, &call, n + 1, shape.telling)
        };
        let (outcome, completed) = if is_unknown {
            (Outcome::Unknown("timeout".into()), None)
        } else {
            (outcome, Some(completed))
        };
        let mut operation = operation(client, call, (invoked, 0), outcome);
        operation.completed = completed.map(Time);
        operation.key = format!("key-{key}");
        let numbered = in_session(operation.clone(), client + 1, n + 1);
        operations.push(if is_write { numbered } else { operation });
    }
    (operations, log)
}

fn some_call(shape: Shape, draw: Draw, n: u64) -> Call {
    let value = |purpose: &str| match shape.values {
        Some(values) => format!("v{}", draw.of(purpose).below(values)),
        None => format!("v{n}"),
    };
    match draw.of("call").below(10) {
        0..5 => Call::Get,
        5..7 => Call::Put(value("value")),
        7 => Call::Delete,
        8 => Call::TestAndSet(value("value")),
        _ => {
            let expected = draw.of("expect").chance(0.9).then(|| value("expected"));
            Call::CompareAndSwap { expected, value: value("value") }
        }
    }
}

/// The register itself, written down independently of the checker's model.
pub fn perform(
    register: &mut (Option<String>, u64),
    call: &Call,
    index: u64,
    telling: bool,
) -> Outcome {
    let before = register.0.clone();
    let after = match call {
        Call::Get => None,
        Call::Put(value) => Some(Some(value.clone())),
        Call::Delete => before.is_some().then_some(None),
        Call::CompareAndSwap { expected, value } => {
            (before == *expected).then(|| Some(value.clone()))
        }
        Call::TestAndSet(value) => before.is_none().then(|| Some(value.clone())),
    };
    let changed = after.is_some();
    if let Some(after) = after {
        *register = (after, index);
    }
    let revision = if changed || register.0.is_some() { register.1 } else { 0 };
    let tells = telling || *call == Call::Get;
    let revision = if telling { revision } else { 0 };
    Outcome::Ok { changed, held: before.filter(|_| tells), revision }
}
