//! What a replica's log drives: the state machine behind its sessions.

use std::io;

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

    /// The whole state, sessions included, as a snapshot holds it.
    fn save(&self) -> Bytes;

    /// The state that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// If nobody wrote it.
    fn load(bytes: &Bytes) -> io::Result<Self>;
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

    fn save(&self) -> Bytes {
        let mut bytes = Vec::new();
        Self::save(self, &mut bytes).expect("a Vec takes every write");
        bytes.into()
    }

    fn load(bytes: &Bytes) -> io::Result<Self> {
        Self::load(&mut &bytes[..])
    }
}
