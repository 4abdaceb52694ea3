//! A state machine whose sessions remember nothing.

use std::io;

use bytes::Bytes;
use consensus_core::{
    Index, SessionId, Wire,
    kv::KeyValue,
    session::{Applied, ClientCommand, Sessions},
};
use simulator::Machine;

/// Applies every try of a command as if it were the first. It still says whose command it was, as
/// the record of what was applied must.
#[derive(Default)]
pub struct AppliesRetriesAgain(Sessions<KeyValue>);

impl Machine for AppliesRetriesAgain {
    fn apply(&mut self, index: Index, command: &Bytes) -> Applied {
        let decoded = ClientCommand::from_bytes(command.clone());
        let Ok(ClientCommand {
            session: session @ 1.., sequence, operation: Some(operation), ..
        }) = decoded
        else {
            return Sessions::apply(&mut self.0, index, command);
        };
        let again = Sessions::apply(&mut self.0, index, &ClientCommand::once(operation).to_bytes());
        Applied { request: Some((SessionId(session), sequence)), ..again }
    }

    fn skip(&mut self, index: Index) {
        Sessions::skip(&mut self.0, index);
    }

    fn query(&self, query: &Bytes) -> Bytes {
        Machine::query(&self.0, query)
    }

    fn value(&self, key: &str) -> Option<String> {
        Machine::value(&self.0, key)
    }

    fn applied(&self) -> Index {
        Sessions::applied(&self.0)
    }

    fn digest(&self) -> u64 {
        Sessions::digest(&self.0)
    }

    fn save(&self) -> Bytes {
        Machine::save(&self.0)
    }

    fn load(bytes: &Bytes) -> io::Result<Self> {
        Machine::load(bytes).map(Self)
    }
}
