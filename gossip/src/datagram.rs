//! The envelope of a message, and how much fits in.
//!
//! ```text
//! byte 0     version
//! bytes 1–4  CRC-32C of everything else, little-endian
//! bytes 5–12 hash of the cluster's name, little-endian
//! the rest   the message, protobuf
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use xxhash_rust::xxh3::xxh3_64;

use crate::message::{Body, Message, Record};

/// The most bytes in one datagram: no fragments on an Ethernet with room for tunnel headers.
pub const MAX_DATAGRAM_BYTES: usize = 1_400;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 13;

/// The cluster that a datagram belongs to, by the hash of its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClusterHash(u64);

impl ClusterHash {
    pub(crate) fn of(name: &str) -> Self {
        Self(xxh3_64(name.as_bytes()))
    }
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dropped {
    Damaged,
    ForeignVersion,
    ForeignCluster,
    Malformed,
}

/// A message that grows until its datagram is full.
#[derive(Debug)]
pub(crate) struct Packet {
    message: Message,
    bytes: usize,
}

impl Packet {
    pub(crate) fn new(sender: Record, body: Body) -> Self {
        let message = Message { sender, body: Some(body), records: Vec::new() };
        let bytes = HEADER_BYTES + message.encoded_len();
        Self { message, bytes }
    }

    /// Puts a record in, if there is room for it.
    pub(crate) fn try_enclose(&mut self, record: Record) -> bool {
        // One byte of tag, and two of length at most, for a record is shorter than 16 KiB.
        let bytes = self.bytes + record.encoded_len() + 3;
        if bytes > MAX_DATAGRAM_BYTES {
            return false;
        }
        self.bytes = bytes;
        self.message.records.push(record);
        true
    }

    /// Encodes the message in its envelope.
    pub(crate) fn seal(self, cluster: ClusterHash) -> Bytes {
        let mut datagram = BytesMut::with_capacity(self.bytes);
        datagram.put_u8(VERSION);
        datagram.put_u32_le(0);
        datagram.put_u64_le(cluster.0);
        self.message.encode(&mut datagram).expect("BytesMut grows as needed");
        let checksum = checksum(&datagram);
        datagram[1..5].copy_from_slice(&checksum.to_le_bytes());
        debug_assert!(datagram.len() <= MAX_DATAGRAM_BYTES, "{} bytes", datagram.len());
        datagram.freeze()
    }
}

/// Opens the envelope and decodes the message.
pub(crate) fn open(datagram: &[u8], cluster: ClusterHash) -> Result<Message, Dropped> {
    if !(HEADER_BYTES..=MAX_DATAGRAM_BYTES).contains(&datagram.len()) {
        return Err(Dropped::Damaged);
    }
    // The version comes first: another one may have another checksum.
    if datagram[0] != VERSION {
        return Err(Dropped::ForeignVersion);
    }
    if datagram[1..5] != checksum(datagram).to_le_bytes() {
        return Err(Dropped::Damaged);
    }
    if datagram[5..HEADER_BYTES] != cluster.0.to_le_bytes() {
        return Err(Dropped::ForeignCluster);
    }
    let message = Message::decode(&datagram[HEADER_BYTES..]).map_err(|_| Dropped::Malformed)?;
    message.validate().map_err(|_| Dropped::Malformed)?;
    Ok(message)
}

fn checksum(datagram: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&datagram[..1]), &datagram[5..])
}
