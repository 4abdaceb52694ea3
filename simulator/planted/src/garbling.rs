//! A state machine that answers queries with what nobody wrote.

use std::io;

use bytes::Bytes;
use consensus_core::{
    Index, Wire as _,
    kv::{Answer, KeyValue},
    session::{Applied, Sessions},
};
use simulator::Machine;

/// Holds what it should, and answers every query with a byte too many.
#[derive(Default)]
pub struct GarblesAnswers(Sessions<KeyValue>);

impl Machine for GarblesAnswers {
    fn apply(&mut self, index: Index, command: &Bytes) -> Applied {
        Machine::apply(&mut self.0, index, command)
    }

    fn skip(&mut self, index: Index) {
        Machine::skip(&mut self.0, index);
    }

    fn query(&self, query: &Bytes) -> Bytes {
        let right = Machine::query(&self.0, query);
        let Ok(answer) = Answer::from_bytes(right.clone()) else { return right };
        let held = answer.held.map(|held| Bytes::from([&held[..], b"?"].concat()));
        Answer { held, ..answer }.to_bytes()
    }

    fn value(&self, key: &str) -> Option<String> {
        Machine::value(&self.0, key)
    }

    fn applied(&self) -> Index {
        Machine::applied(&self.0)
    }

    fn digest(&self) -> u64 {
        Machine::digest(&self.0)
    }

    fn save(&self) -> Bytes {
        Machine::save(&self.0)
    }

    fn load(bytes: &Bytes) -> io::Result<Self> {
        Machine::load(bytes).map(Self)
    }
}
