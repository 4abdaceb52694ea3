//! The replicated state machine: what the log is for.

use std::{fmt::Debug, io};

use bytes::Bytes;

use crate::id::Index;

/// A deterministic state machine: the same commands in the same order give the same state and the
/// same replies on every replica (Schneider, "Implementing Fault-Tolerant Services", 1990).
///
/// The runtime owns it; the protocols never see it. The key-value store is the first.
pub trait StateMachine: Default + Debug + Send + 'static {
    /// Applies the command at a position and answers it. A command that does not decode changes
    /// nothing, and the reply says so.
    fn apply(&mut self, index: Index, command: &Bytes) -> Bytes;

    /// Answers a query without changing anything.
    fn query(&self, query: &Bytes) -> Bytes;

    /// A digest of the whole state: equal states give equal digests.
    fn digest(&self) -> u64;

    /// Writes the whole state.
    fn save(&self, to: &mut dyn io::Write) -> io::Result<()>;

    /// Reads what [`save`](Self::save) wrote.
    fn load(from: &mut dyn io::Read) -> io::Result<Self>;
}
