//! What a replica's log drives: the state machine behind its sessions.

use bytes::Bytes;
use consensus_core::{
    Index, StateMachine,
    kv::KeyValue,
    session::{Applied, Sessions},
};

/// What the simulated replicas apply their log to. [`Sessions`] over the key-value store is the
/// real one; a test that plants a fault puts another in its place.
pub trait Machine: Default + Send + 'static {
    /// Applies the command at a position.
    fn apply(&mut self, index: Index, command: &Bytes) -> Applied;

    /// Notes that the entry at this position holds nothing.
    fn skip(&mut self, index: Index);

    /// Answers an encoded [`consensus_core::kv::Query`] without changing anything.
    fn query(&self, query: &Bytes) -> Bytes;

    /// What a key holds.
    fn value(&self, key: &str) -> Option<String>;

    /// The position of the last entry applied.
    fn applied(&self) -> Index;

    /// A digest of the whole state: equal states give equal digests.
    fn digest(&self) -> u64;
}

impl Machine for Sessions<KeyValue> {
    fn apply(&mut self, index: Index, command: &Bytes) -> Applied {
        Self::apply(self, index, command)
    }

    fn skip(&mut self, index: Index) {
        Self::skip(self, index);
    }

    fn query(&self, query: &Bytes) -> Bytes {
        self.machine().query(query)
    }

    fn value(&self, key: &str) -> Option<String> {
        let value = self.machine().get(key.as_bytes())?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    fn applied(&self) -> Index {
        Self::applied(self)
    }

    fn digest(&self) -> u64 {
        Self::digest(self)
    }
}
