//! What an entry of the log carries.

use bytes::Bytes;

use crate::wire::{DecodeError, Validate};

/// The largest command that a log accepts, in bytes.
pub const MAX_COMMAND_BYTES: usize = 1 << 20;

/// A replicated state machine's command, opaque to the protocols.
pub type Command = Bytes;

/// The content of a log entry: a client's command, or nothing.
///
/// The empty payload is the no-op with which a Raft leader opens its term (Raft §8) and with which
/// a Multi-Paxos leader fills holes ("Paxos Made Simple" §3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Payload {
    /// The command; `None` for a no-op.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub command: Option<Command>,
}

impl Payload {
    /// The entry that does nothing.
    pub const fn noop() -> Self {
        Self { command: None }
    }

    /// A client's command.
    pub const fn of(command: Command) -> Self {
        Self { command: Some(command) }
    }

    /// Whether this is a no-op.
    #[inline]
    pub const fn is_noop(&self) -> bool {
        self.command.is_none()
    }

    /// What the payload counts towards limits, in bytes.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.command.as_ref().map_or(0, Bytes::len)
    }
}

impl Validate for Payload {
    fn validate(&self) -> Result<(), DecodeError> {
        if self.bytes() > MAX_COMMAND_BYTES {
            return Err(DecodeError::Invalid("a command is larger than any log accepts"));
        }
        Ok(())
    }
}
