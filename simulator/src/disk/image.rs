//! A log as bytes: what a crash cuts in the middle of a record, and a bad sector damages.
//!
//! ```text
//! head │ record │ record │ …
//!        └── length u32 │ CRC-32C of length and content u32 │ content: the writes of one batch
//! ```
//!
//! A record that is not whole is either the torn end that a crash explains, which is cut, or damage,
//! which is refused: the replica may have promised what stood there. They are told apart by what
//! follows. Where another whole record follows, the first one had been written completely; so damage of
//! the very last record alone passes for a torn end (Alagappan et al., "Protocol-Aware Recovery for
//! Consensus-Based Storage", FAST 2018, §3.3).

use bytes::{Buf, Bytes};
use consensus_core::{Draw, Record, SnapshotMeta, Wire, Write, storage::StorageError};

/// What every log begins with, from when it was made.
const HEAD: &[u8] = b"a log, 1";

/// The bytes of a record before its content.
const HEADER: usize = 8;

/// What stands in front of each write.
const PUT: u8 = 1;
const TRUNCATE: u8 = 2;
const BASE: u8 = 3;

/// What recovery reads.
#[derive(Debug)]
pub(super) struct Read<R> {
    /// The batches, in order.
    pub(super) batches: Vec<Vec<Write<R>>>,
    /// Whether a torn record stood at the end.
    pub(super) torn: bool,
}

/// A batch as a record.
pub(super) fn record<R: Record>(batch: &[Write<R>]) -> Vec<u8> {
    let mut content = Vec::new();
    for write in batch {
        let (tag, body) = match write {
            Write::Put(record) => (PUT, record.to_bytes()),
            Write::TruncateFrom(from) => (TRUNCATE, from.to_le_bytes().to_vec().into()),
            Write::Base(base) => (BASE, base.to_bytes()),
        };
        content.push(tag);
        content.extend((body.len() as u32).to_le_bytes());
        content.extend_from_slice(&body);
    }
    let length = (content.len() as u32).to_le_bytes();
    [&length[..], &checksum(length, &content).to_le_bytes(), &content].concat()
}

/// Cuts a record somewhere in its middle, as a crash does: the rest was never written, or is what
/// stood on the drive before, which are zeros.
pub(super) fn tear(mut record: Vec<u8>, draw: Draw) -> Vec<u8> {
    let whole = record.clone();
    record.truncate(1 + draw.of("cut").below(whole.len() as u64 - 1) as usize);
    let mut padded = record.clone();
    padded.resize(whole.len(), 0);
    if padded != whole && draw.of("zeros").chance(0.5) { padded } else { record }
}

/// The log of these records.
pub(super) fn log(records: &[Vec<u8>]) -> Vec<u8> {
    [HEAD, &records.concat()].concat()
}

/// The log of these records in which one bit has flipped: somewhere before the last record, which
/// alone cannot be told from a torn one.
pub(super) fn rot(records: &[Vec<u8>], draw: Draw) -> Vec<u8> {
    let followed = &records[..records.len().saturating_sub(1)];
    let hit = draw.of("record").below(1 + followed.len() as u64) as usize;
    let before: usize = records[..hit.saturating_sub(1)].iter().map(Vec::len).sum();
    let (from, length) = match hit.checked_sub(1) {
        None => (0, HEAD.len()),
        Some(record) => (HEAD.len() + before, records[record].len()),
    };
    let bit = draw.of("bit").below(8 * length as u64) as usize;
    let mut log = log(records);
    log[from + bit / 8] ^= 1 << (bit % 8);
    log
}

/// Reads a log back: cuts a torn end, and refuses damage before it.
///
/// # Errors
///
/// [`StorageError::Corrupt`], which names the record.
pub(super) fn read<R: Record>(log: &[u8]) -> Result<Read<R>, StorageError> {
    if !log.starts_with(HEAD) {
        let (record, why) = ("the head of the log".to_owned(), "it is another".to_owned());
        return Err(StorageError::Corrupt { record, why });
    }
    let (mut batches, mut at) = (Vec::new(), HEAD.len());
    while at < log.len() {
        let Some(content) = whole(&log[at..]) else {
            let follows = (at + 1..log.len()).any(|later| whole(&log[later..]).is_some());
            return match follows {
                true => Err(corrupt(batches.len(), at, "its checksum does not match")),
                false => Ok(Read { batches, torn: true }),
            };
        };
        let batch = decode(content);
        batches.push(batch.ok_or_else(|| corrupt(batches.len(), at, "it makes no sense"))?);
        at += HEADER + content.len();
    }
    Ok(Read { batches, torn: false })
}

fn corrupt(number: usize, at: usize, why: &str) -> StorageError {
    let record = format!("record {} of the log, at byte {at},", number + 1);
    StorageError::Corrupt { record, why: why.to_owned() }
}

/// The content of the record that begins here, if it is whole.
fn whole(log: &[u8]) -> Option<&[u8]> {
    let (length, rest) = log.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    // No batch is empty; zeros are no record.
    let content = rest.get(..u32::from_le_bytes(*length) as usize)?;
    let matches = checksum(*length, content) == u32::from_le_bytes(*sum);
    (matches && !content.is_empty()).then_some(content)
}

fn checksum(length: [u8; 4], content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length), content)
}

/// The writes of a batch; `None` if they are none.
fn decode<R: Record>(content: &[u8]) -> Option<Vec<Write<R>>> {
    let mut content = Bytes::copy_from_slice(content);
    let mut batch = Vec::new();
    while content.has_remaining() {
        let tag = content.try_get_u8().ok()?;
        let length = content.try_get_u32_le().ok()? as usize;
        if content.len() < length {
            return None;
        }
        let mut body = content.split_to(length);
        batch.push(match tag {
            PUT => Write::Put(R::from_bytes(body).ok()?),
            TRUNCATE => Write::TruncateFrom(body.try_get_u64_le().ok()?),
            BASE => Write::Base(SnapshotMeta::from_bytes(body).ok()?),
            _ => return None,
        });
    }
    Some(batch)
}

#[cfg(test)]
mod tests {
    use consensus_core::storage::conformance::TestRecord;

    use super::*;

    fn batches() -> Vec<Vec<Write<TestRecord>>> {
        let put = |slot| Write::Put(TestRecord::entry(slot, "a value"));
        vec![vec![put(1), put(2)], vec![Write::TruncateFrom(2), put(2)], vec![put(3)]]
    }

    fn records() -> Vec<Vec<u8>> {
        batches().iter().map(|batch| record(batch)).collect()
    }

    #[test]
    fn what_is_whole_is_read_back() {
        let read = read::<TestRecord>(&log(&records())).unwrap();
        assert_eq!((read.batches, read.torn), (batches(), false));
    }

    #[test]
    fn a_torn_end_is_cut_wherever_it_is_torn() {
        for seed in 0..500 {
            let mut records = records();
            let last = records.pop().unwrap();
            records.push(tear(last, Draw::new(seed)));
            let read = read::<TestRecord>(&log(&records)).unwrap();
            assert_eq!((read.batches, read.torn), (batches()[..2].to_vec(), true));
        }
    }

    #[test]
    fn a_damaged_middle_is_refused_by_name_whichever_bit_flips() {
        let mut named = std::collections::BTreeSet::new();
        for seed in 0..500 {
            let error = read::<TestRecord>(&rot(&records(), Draw::new(seed))).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(" is damaged: "), "{error}");
            named.insert(error);
        }
        assert_eq!(named.len(), 3, "the head, and each record but the last: {named:?}");
    }

    #[test]
    fn a_log_without_a_record_that_another_follows_is_damaged_at_its_head() {
        for records in [&records()[..1], &[]] {
            let error = read::<TestRecord>(&rot(records, Draw::new(1))).unwrap_err();
            assert_eq!(error.to_string(), "the head of the log is damaged: it is another");
        }
    }
}
