//! The replicated key-value store: put, get, delete, compare-and-swap, test-and-set.

use std::{collections::BTreeMap, io};

use bytes::Bytes;
use prost::Message as _;

use crate::{
    id::Index,
    machine::StateMachine,
    wire::{DecodeError, Validate, Wire},
};

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1 << 10;

/// The longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 512 << 10;

/// A change of one key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Operation {
    /// The key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// What to do with it; always present in a validated operation.
    #[prost(oneof = "Change", tags = "2, 3, 4, 5")]
    pub change: Option<Change>,
}

/// What to do with a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Oneof)]
pub enum Change {
    /// Write this value.
    #[prost(bytes = "bytes", tag = "2")]
    Put(Bytes),
    /// Remove the key.
    #[prost(message, tag = "3")]
    Delete(()),
    /// Write one value if the key holds another.
    #[prost(message, tag = "4")]
    CompareAndSwap(CompareAndSwap),
    /// Write this value if the key holds none, and say what it held: the first to come takes it.
    #[prost(bytes = "bytes", tag = "5")]
    TestAndSet(Bytes),
}

/// A conditional write.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct CompareAndSwap {
    /// What the key must hold; `None`: nothing.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub expected: Option<Bytes>,
    /// What it holds afterwards.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

impl Operation {
    /// Write `value` to `key`.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), change: Some(Change::Put(value.into())) }
    }

    /// Remove `key`.
    pub fn delete(key: impl Into<Bytes>) -> Self {
        Self { key: key.into(), change: Some(Change::Delete(())) }
    }

    /// Write `value` to `key` if it holds `expected`.
    pub fn compare_and_swap(
        key: impl Into<Bytes>,
        expected: Option<Bytes>,
        value: impl Into<Bytes>,
    ) -> Self {
        let change = CompareAndSwap { expected, value: value.into() };
        Self { key: key.into(), change: Some(Change::CompareAndSwap(change)) }
    }

    /// Write `value` to `key` if it holds nothing.
    pub fn test_and_set(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), change: Some(Change::TestAndSet(value.into())) }
    }
}

impl Validate for Operation {
    fn validate(&self) -> Result<(), DecodeError> {
        validate_key(&self.key)?;
        let values = match &self.change {
            None => return Err(DecodeError::Invalid("an operation must say what to do")),
            Some(Change::Put(value) | Change::TestAndSet(value)) => [Some(value), None],
            Some(Change::Delete(())) => [None, None],
            Some(Change::CompareAndSwap(swap)) => [Some(&swap.value), swap.expected.as_ref()],
        };
        if values.into_iter().flatten().any(|value| value.len() > MAX_VALUE_BYTES) {
            return Err(DecodeError::Invalid("a value has at most 524288 bytes"));
        }
        Ok(())
    }
}

/// A question about one key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Query {
    /// The key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
}

impl Validate for Query {
    fn validate(&self) -> Result<(), DecodeError> {
        validate_key(&self.key)
    }
}

/// The answer to an operation or a query.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Answer {
    /// Whether the operation took effect. A put always does, a delete if the key held something, a
    /// compare-and-swap if the key held what was expected, a test-and-set if it held nothing, and a
    /// query never.
    #[prost(bool, tag = "1")]
    pub changed: bool,
    /// What the key held before the operation; `None`: nothing.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub held: Option<Bytes>,
    /// The position of the last change of the key, this operation included; zero if it never was.
    #[prost(uint64, tag = "3")]
    pub revision: Index,
    /// Why the operation was malformed; empty if it was not.
    #[prost(string, tag = "4")]
    pub malformed: String,
}

impl Validate for Answer {
    fn validate(&self) -> Result<(), DecodeError> {
        Ok(())
    }
}

fn validate_key(key: &Bytes) -> Result<(), DecodeError> {
    match key.len() {
        1..=MAX_KEY_BYTES => Ok(()),
        _ => Err(DecodeError::Invalid("a key has 1 to 1024 bytes")),
    }
}

/// The state machine.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct KeyValue {
    entries: BTreeMap<Bytes, Held>,
}

/// What a key holds, or that it was deleted, and since when.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Held {
    value: Bytes,
    revision: Index,
}

/// One key of a saved state.
#[derive(Clone, PartialEq, prost::Message)]
struct Saved {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
    #[prost(uint64, tag = "3")]
    revision: Index,
}

impl KeyValue {
    /// What a key holds.
    pub fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.entries.get(key).map(|held| &held.value)
    }

    fn perform(&mut self, index: Index, operation: Operation) -> Answer {
        let Operation { key, change } = operation;
        let before = self.entries.get(&key);
        let held = before.map(|held| held.value.clone());
        let revision = before.map_or(0, |held| held.revision);
        let after = match change.expect("a validated operation says what to do") {
            Change::Put(value) => Some(Some(value)),
            Change::Delete(()) => held.is_some().then_some(None),
            Change::CompareAndSwap(CompareAndSwap { expected, value }) => {
                (held == expected).then_some(Some(value))
            }
            Change::TestAndSet(value) => held.is_none().then_some(Some(value)),
        };
        let changed = after.is_some();
        match after {
            None => {}
            Some(None) => {
                self.entries.remove(&key);
            }
            Some(Some(value)) => {
                self.entries.insert(key, Held { value, revision: index });
            }
        }
        let revision = if changed { index } else { revision };
        Answer { changed, held, revision, malformed: String::new() }
    }
}

impl StateMachine for KeyValue {
    fn apply(&mut self, index: Index, command: &Bytes) -> Bytes {
        let answer = match Operation::from_bytes(command.clone()) {
            Ok(operation) => self.perform(index, operation),
            Err(error) => Answer { malformed: error.to_string(), ..Answer::default() },
        };
        answer.to_bytes()
    }

    fn query(&self, query: &Bytes) -> Bytes {
        let answer = match Query::from_bytes(query.clone()) {
            Ok(Query { key }) => {
                let held = self.entries.get(&key);
                Answer {
                    held: held.map(|held| held.value.clone()),
                    revision: held.map_or(0, |held| held.revision),
                    ..Answer::default()
                }
            }
            Err(error) => Answer { malformed: error.to_string(), ..Answer::default() },
        };
        answer.to_bytes()
    }

    fn digest(&self) -> u64 {
        let mut bytes = Vec::new();
        self.save(&mut bytes).expect("a Vec takes every write");
        xxhash_rust::xxh3::xxh3_64(&bytes)
    }

    fn save(&self, to: &mut dyn io::Write) -> io::Result<()> {
        for (key, held) in &self.entries {
            let Held { value, revision } = held.clone();
            let saved = Saved { key: key.clone(), value, revision };
            to.write_all(&saved.encode_length_delimited_to_vec())?;
        }
        Ok(())
    }

    fn load(from: &mut dyn io::Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        let mut bytes = Bytes::from(bytes);
        let mut entries = BTreeMap::new();
        while !bytes.is_empty() {
            let Saved { key, value, revision } = Saved::decode_length_delimited(&mut bytes)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            entries.insert(key, Held { value, revision });
        }
        Ok(Self { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(store: &mut KeyValue, index: Index, operation: &Operation) -> (bool, Option<Bytes>) {
        let reply = store.apply(index, &operation.to_bytes());
        let answer = Answer::from_bytes(reply).unwrap();
        assert_eq!(answer.malformed, "");
        (answer.changed, answer.held)
    }

    fn some(value: &'static str) -> Option<Bytes> {
        Some(Bytes::from_static(value.as_bytes()))
    }

    #[test]
    fn a_variable_lives() {
        let mut store = KeyValue::default();
        let store = &mut store;
        assert_eq!(apply(store, 1, &Operation::put("x", "1")), (true, None));
        assert_eq!(apply(store, 2, &Operation::put("x", "2")), (true, some("1")));
        let swap = |expected, value| Operation::compare_and_swap("x", expected, value);
        assert_eq!(apply(store, 3, &swap(some("1"), "3")), (false, some("2")));
        assert_eq!(apply(store, 4, &swap(some("2"), "3")), (true, some("2")));
        assert_eq!(apply(store, 5, &Operation::test_and_set("x", "4")), (false, some("3")));
        assert_eq!(apply(store, 6, &Operation::delete("x")), (true, some("3")));
        assert_eq!(apply(store, 7, &Operation::delete("x")), (false, None));
        assert_eq!(apply(store, 8, &swap(None, "5")), (true, None));
        assert_eq!(apply(store, 9, &Operation::delete("x")), (true, some("5")));
        assert_eq!(apply(store, 10, &Operation::test_and_set("x", "4")), (true, None));
        let answer = store.query(&Query { key: "x".into() }.to_bytes());
        let answer = Answer::from_bytes(answer).unwrap();
        assert_eq!((answer.held, answer.revision, answer.changed), (some("4"), 10, false));
    }

    #[test]
    fn a_malformed_command_changes_nothing_and_is_told_why() {
        let mut store = KeyValue::default();
        for bad in [&b"\xff\xff"[..], b"", &Operation::put("", "1").to_bytes()] {
            let reply = store.apply(1, &Bytes::copy_from_slice(bad));
            assert_ne!(Answer::from_bytes(reply).unwrap().malformed, "");
        }
        assert_eq!(store, KeyValue::default());
    }

    #[test]
    fn a_saved_state_loads_again() {
        let mut store = KeyValue::default();
        for n in 0..100u64 {
            apply(&mut store, n + 1, &Operation::put(n.to_string(), "value"));
        }
        let mut bytes = Vec::new();
        store.save(&mut bytes).unwrap();
        let loaded = KeyValue::load(&mut &bytes[..]).unwrap();
        assert_eq!((loaded.digest(), &loaded), (store.digest(), &store));
        assert!(KeyValue::load(&mut &bytes[..bytes.len() - 1]).is_err());
    }
}
