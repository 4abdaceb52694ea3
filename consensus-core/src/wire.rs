//! Bytes in and out: everything that crosses a link or reaches a disk is protobuf, and validated.

use std::{fmt::Debug, hash::Hash};

use bytes::Bytes;

/// The largest encoding that [`Wire::from_bytes`] accepts, in bytes.
pub const MAX_ENCODED_BYTES: usize = 16 << 20;

/// Something that can be sent or stored.
pub trait Wire: Clone + Ord + Hash + Debug + Send + 'static {
    /// Appends the encoding to `buffer`.
    fn encode_to(&self, buffer: &mut Vec<u8>);

    /// Decodes and validates. What comes back makes sense: an empty protobuf message, say, decodes
    /// to all zeroes, and ballot zero is nobody's.
    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError>;

    /// The encoding by itself.
    fn to_bytes(&self) -> Bytes {
        let mut buffer = Vec::new();
        self.encode_to(&mut buffer);
        buffer.into()
    }
}

/// Why bytes were refused.
#[derive(Clone, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf, or not of the expected shape.
    #[error("malformed bytes: {0}")]
    Malformed(String),
    /// Protobuf of the right shape that says something impossible.
    #[error("invalid content: {0}")]
    Invalid(&'static str),
    /// More bytes than any honest sender produces.
    #[error("{0} bytes are more than the limit of {MAX_ENCODED_BYTES}")]
    TooLarge(usize),
}

impl From<prost::DecodeError> for DecodeError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Says whether decoded content makes sense.
pub trait Validate {
    /// Refuses what no honest sender would have sent.
    fn validate(&self) -> Result<(), DecodeError>;
}

/// Every prost message that can validate itself travels.
impl<T> Wire for T
where
    T: prost::Message + Default + Validate + Clone + Ord + Hash + Debug + Send + 'static,
{
    fn encode_to(&self, buffer: &mut Vec<u8>) {
        prost::Message::encode(self, buffer).expect("a Vec grows as needed");
    }

    fn to_bytes(&self) -> Bytes {
        // Measured first, so that the buffer never grows.
        self.encode_to_vec().into()
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        let decoded: Self = decode_bounded(bytes)?;
        decoded.validate()?;
        Ok(decoded)
    }
}

/// Decodes and validates what a frame holds. Protobuf has no bare oneof, so an enum of messages or
/// records crosses the wire in a message `F` of its own, which `content` opens.
///
/// # Errors
///
/// If the bytes are too many or malformed, the frame is empty, or its content makes no sense.
pub fn from_frame<F, T>(
    bytes: Bytes,
    content: impl FnOnce(F) -> Option<T>,
) -> Result<T, DecodeError>
where
    F: prost::Message + Default,
    T: Validate,
{
    let content = content(decode_bounded(bytes)?).ok_or(DecodeError::Invalid("an empty frame"))?;
    content.validate()?;
    Ok(content)
}

fn decode_bounded<T: prost::Message + Default>(bytes: Bytes) -> Result<T, DecodeError> {
    if bytes.len() > MAX_ENCODED_BYTES {
        return Err(DecodeError::TooLarge(bytes.len()));
    }
    Ok(T::decode(bytes)?)
}
