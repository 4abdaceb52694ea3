//! What an entry of the log carries.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{self, DecodeContext, WireType};

use crate::{
    configuration::Configuration,
    wire::{DecodeError, Validate},
};

/// The largest command that a log accepts, in bytes.
pub const MAX_COMMAND_BYTES: usize = 1 << 20;

/// A replicated state machine's command, opaque to the protocols.
pub type Command = Bytes;

/// The content of a log entry: a client's command, a configuration of the cluster, or nothing.
///
/// The empty payload is the no-op with which a Raft leader opens its term (Raft §8) and with which
/// a Multi-Paxos leader fills holes ("Paxos Made Simple" §3).
///
/// A payload is copied often: into the log, to the disk, into a message to every peer, to the state
/// machine. So it is one word, and a copy costs one count. On the wire and on disk it is a protobuf
/// message whose field 1, optional bytes, is the command, and whose field 2 the configuration.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Payload {
    /// `None` for a no-op.
    content: Option<Arc<Content>>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Content {
    Command(Command),
    /// Boxed, for commands are many and configurations few.
    Configuration(Box<Configuration>),
}

/// The field numbers in the encoding.
const COMMAND: u32 = 1;
const CONFIGURATION: u32 = 2;

impl Payload {
    /// The entry that does nothing.
    pub const fn noop() -> Self {
        Self { content: None }
    }

    /// A client's command.
    pub fn of(command: Command) -> Self {
        Self { content: Some(Arc::new(Content::Command(command))) }
    }

    /// A configuration of the cluster.
    pub fn configure(configuration: Configuration) -> Self {
        Self { content: Some(Arc::new(Content::Configuration(Box::new(configuration)))) }
    }

    /// Whether this is a no-op.
    #[inline]
    pub const fn is_noop(&self) -> bool {
        self.content.is_none()
    }

    /// The client's command, if it is one.
    #[inline]
    pub fn command(&self) -> Option<&Command> {
        match self.content.as_deref() {
            Some(Content::Command(command)) => Some(command),
            _ => None,
        }
    }

    /// The configuration, if it is one.
    #[inline]
    pub fn configuration(&self) -> Option<&Configuration> {
        match self.content.as_deref() {
            Some(Content::Configuration(configuration)) => Some(configuration),
            _ => None,
        }
    }

    /// What the payload counts towards limits, in bytes.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.command().map_or(0, Command::len)
    }
}

impl prost::Message for Payload {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        match self.content.as_deref() {
            None => {}
            Some(Content::Command(command)) => encoding::bytes::encode(COMMAND, command, buffer),
            Some(Content::Configuration(configuration)) => {
                encoding::message::encode(CONFIGURATION, &**configuration, buffer);
            }
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        *self = match tag {
            COMMAND => {
                let mut command = Command::new();
                encoding::bytes::merge(wire_type, &mut command, buffer, context)?;
                Self::of(command)
            }
            CONFIGURATION => {
                let mut configuration = Configuration::default();
                encoding::message::merge(wire_type, &mut configuration, buffer, context)?;
                Self::configure(configuration)
            }
            _ => return encoding::skip_field(wire_type, tag, buffer, context),
        };
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        match self.content.as_deref() {
            None => 0,
            Some(Content::Command(command)) => encoding::bytes::encoded_len(COMMAND, command),
            Some(Content::Configuration(configuration)) => {
                encoding::message::encoded_len(CONFIGURATION, &**configuration)
            }
        }
    }

    fn clear(&mut self) {
        *self = Self::noop();
    }
}

impl Validate for Payload {
    fn validate(&self) -> Result<(), DecodeError> {
        if self.bytes() > MAX_COMMAND_BYTES {
            return Err(DecodeError::Invalid("a command is larger than any log accepts"));
        }
        self.configuration().map_or(Ok(()), Validate::validate)
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
        let mut bytes = vec![0x18, 7];
        bytes.extend(Payload::of(Bytes::from_static(b"first")).encode_to_vec());
        bytes.extend(Payload::of(Bytes::from_static(b"last")).encode_to_vec());
        let last = Payload::of(Bytes::from_static(b"last"));
        assert_eq!(Payload::decode(Bytes::from(bytes)), Ok(last));
        assert!(Payload::decode(Bytes::from_static(&[0x0a, 9, 1])).is_err(), "cut off");
    }

    #[test]
    fn a_configuration_travels_and_is_validated() {
        let payload = Payload::configure(Configuration::of([1, 2, 3].map(crate::NodeId)));
        let bytes = payload.encode_to_vec();
        assert_eq!(bytes.len(), payload.encoded_len());
        assert_eq!(Payload::decode(Bytes::from(bytes)), Ok(payload.clone()));
        assert_eq!((payload.validate(), payload.bytes()), (Ok(()), 0));
        assert!(Payload::configure(Configuration::default()).validate().is_err());
    }
}
