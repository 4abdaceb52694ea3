//! Frames that notice damage: a CRC-32C (Castagnoli) in front of the content.

use bytes::{Buf, Bytes};

/// How many bytes the checksum takes.
pub const CHECKSUM_BYTES: usize = 4;

/// The content was changed on its way, or cut short.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the checksum does not fit the content")]
pub struct Damaged;

/// Builds a frame: room for the checksum, whatever `write` appends, then the checksum filled in.
pub fn seal(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = vec![0; CHECKSUM_BYTES];
    write(&mut frame);
    let checksum = crc32c::crc32c(&frame[CHECKSUM_BYTES..]);
    frame[..CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
    frame
}

/// Checks a frame and returns its content, without a copy.
pub fn open(mut frame: Bytes) -> Result<Bytes, Damaged> {
    if frame.len() < CHECKSUM_BYTES {
        return Err(Damaged);
    }
    let expected = frame.get_u32_le();
    if crc32c::crc32c(&frame) == expected { Ok(frame) } else { Err(Damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens() {
        for content in [&b""[..], b"a", b"something longer"] {
            let frame = seal(|frame| frame.extend_from_slice(content));
            assert_eq!(open(frame.into()).unwrap(), content);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let frame = seal(|frame| frame.extend_from_slice(b"what was said"));
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(damaged.into()), Err(Damaged), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let frame = seal(|frame| frame.extend_from_slice(b"what was said"));
        for length in 0..frame.len() {
            assert_eq!(open(frame[..length].to_vec().into()), Err(Damaged), "{length} bytes");
        }
    }
}
