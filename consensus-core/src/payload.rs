//! What an entry of the log carries.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{self, DecodeContext, WireType};

use crate::wire::{DecodeError, Validate};

/// The largest command that a log accepts, in bytes.
pub const MAX_COMMAND_BYTES: usize = 1 << 20;

/// A replicated state machine's command, opaque to the protocols.
pub type Command = Bytes;

/// The content of a log entry: a client's command, or nothing.
///
/// The empty payload is the no-op with which a Raft leader opens its term (Raft §8) and with which
/// a Multi-Paxos leader fills holes ("Paxos Made Simple" §3).
///
/// A payload is copied often: into the log, to the disk, into a message to every peer, to the state
/// machine. So it is one word, and a copy costs one count. On the wire and on disk it is a protobuf
/// message whose field 1, optional bytes, is the command.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Payload {
    /// The command; `None` for a no-op.
    pub command: Option<Arc<Command>>,
}

/// The command's field number in the encoding.
const COMMAND: u32 = 1;

impl Payload {
    /// The entry that does nothing.
    pub const fn noop() -> Self {
        Self { command: None }
    }

    /// A client's command.
    pub fn of(command: Command) -> Self {
        Self { command: Some(Arc::new(command)) }
    }

    /// Whether this is a no-op.
    #[inline]
    pub const fn is_noop(&self) -> bool {
        self.command.is_none()
    }

    /// What the payload counts towards limits, in bytes.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.command.as_ref().map_or(0, |command| command.len())
    }
}

impl prost::Message for Payload {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        if let Some(command) = &self.command {
            encoding::bytes::encode(COMMAND, &**command, buffer);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        if tag != COMMAND {
            return encoding::skip_field(wire_type, tag, buffer, context);
        }
        let mut command = Command::new();
        encoding::bytes::merge(wire_type, &mut command, buffer, context)?;
        self.command = Some(Arc::new(command));
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        let length = |command: &Arc<Command>| encoding::bytes::encoded_len(COMMAND, &**command);
        self.command.as_ref().map_or(0, length)
    }

    fn clear(&mut self) {
        self.command = None;
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

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// The encoding that prost derives for the same content.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Derived {
        #[prost(bytes = "bytes", optional, tag = "1")]
        command: Option<Bytes>,
    }

    #[test]
    fn the_encoding_is_the_derived_one() {
        for command in [None, Some(""), Some("x"), Some("a longer command")] {
            let command = command.map(Bytes::from);
            let payload = command.clone().map_or(Payload::noop(), Payload::of);
            let bytes = payload.encode_to_vec();
            assert_eq!(bytes, Derived { command }.encode_to_vec());
            assert_eq!(bytes.len(), payload.encoded_len());
            assert_eq!(Payload::decode(Bytes::from(bytes)), Ok(payload));
        }
    }

    #[test]
    fn unknown_fields_are_skipped_and_the_last_command_counts() {
        let mut bytes = vec![0x10, 7];
        bytes.extend(Payload::of(Bytes::from_static(b"first")).encode_to_vec());
        bytes.extend(Payload::of(Bytes::from_static(b"last")).encode_to_vec());
        let last = Payload::of(Bytes::from_static(b"last"));
        assert_eq!(Payload::decode(Bytes::from(bytes)), Ok(last));
        assert!(Payload::decode(Bytes::from_static(&[0x0a, 9, 1])).is_err(), "cut off");
    }
}
