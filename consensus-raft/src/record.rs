//! What is persisted, and what recovery makes of it (§ figure 2, "persistent state").

use bytes::Bytes;
use consensus_core::{
    DecodeError, Disk, Index, NodeId, Payload, SnapshotMeta, Validate, Wire, wire::from_frame,
};

use crate::{
    log::Log,
    message::{MAX_INDEX, MAX_TERM, require, validate_term},
};

/// The hard state. Term and vote stand in one record, for a vote without its term, or a term with
/// another term's vote, would let a replica vote twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Hard {
    /// The latest term this replica has seen.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The candidate that has this replica's vote in that term; zero for none.
    #[prost(uint64, tag = "2")]
    pub vote: u64,
    /// A lower bound of what is committed. The paper keeps it in memory only; on disk it spares a
    /// restarted replica from waiting for a leader before it can apply what it knew.
    #[prost(uint64, tag = "3")]
    pub commit: Index,
}

/// An entry of the log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Entry {
    /// Its position.
    #[prost(uint64, tag = "1")]
    pub index: Index,
    /// The term of the leader that created it.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// What it carries; always there, by validation.
    #[prost(message, optional, tag = "3")]
    pub payload: Option<Payload>,
}

impl Entry {
    /// What the entry counts towards limits, in bytes.
    pub fn bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, Payload::bytes)
    }
}

/// Either of the records.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Oneof)]
pub enum Record {
    /// See [`Hard`].
    #[prost(message, tag = "1")]
    Hard(Hard),
    /// See [`Entry`].
    #[prost(message, tag = "2")]
    Entry(Entry),
}

/// The frame of a record on disk.
#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(oneof = "Record", tags = "1, 2")]
    record: Option<Record>,
}

impl Wire for Record {
    fn encode_to(&self, buffer: &mut Vec<u8>) {
        buffer.reserve(self.encoded_len());
        self.encode(buffer);
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        from_frame(bytes, |frame: Frame| frame.record)
    }
}

impl consensus_core::Record for Record {
    fn slot(&self) -> Option<Index> {
        match self {
            Self::Hard(_) => None,
            Self::Entry(entry) => Some(entry.index),
        }
    }
}

impl Validate for Record {
    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::Hard(Hard { term, vote, commit }) => {
                require(*term <= MAX_TERM, "no term is that high")?;
                require(*vote == 0 || *term > 0, "nobody votes in term 0")?;
                require(*commit <= MAX_INDEX, "no index is that high")
            }
            Self::Entry(entry) => {
                require((1..=MAX_INDEX).contains(&entry.index), "an impossible index")?;
                validate_term(entry.term)?;
                validate_payload(entry)
            }
        }
    }
}

/// Entries follow each other without gaps from the one before them, and terms never fall.
pub(crate) fn validate_entries(before: (Index, u64), entries: &[Entry]) -> Result<(), DecodeError> {
    let (mut index, mut term) = before;
    for entry in entries {
        require(entry.index == index + 1, "entries with a gap")?;
        require(entry.term >= term, "terms that fall along the log")?;
        validate_term(entry.term)?;
        validate_payload(entry)?;
        (index, term) = (entry.index, entry.term);
    }
    Ok(())
}

/// A position in a log: index 0, before the first entry, is the only one of term 0.
pub(crate) fn validate_position(index: Index, term: u64) -> Result<(), DecodeError> {
    require((index == 0) == (term == 0), "an entry without a term")?;
    require(index <= MAX_INDEX && term <= MAX_TERM, "no log is that long")
}

fn validate_payload(entry: &Entry) -> Result<(), DecodeError> {
    entry.payload.as_ref().ok_or(DecodeError::Invalid("an entry without a payload"))?.validate()
}

/// What a replica makes of its disk.
pub(crate) struct Recovered {
    pub hard: Hard,
    pub base: Option<SnapshotMeta>,
    pub log: Log,
}

/// Reads a disk.
///
/// # Panics
///
/// If the disk contradicts itself. A crash keeps a prefix of the batches, and each batch keeps the
/// disk sound; so this is a damaged disk, and a replica must not vote on what it half remembers.
pub(crate) fn recover(disk: Disk<Record>) -> Recovered {
    let hard = match disk.state {
        Some(Record::Hard(hard)) => hard,
        None => Hard::default(),
        Some(Record::Entry(_)) => panic!("an entry stands where the hard state belongs"),
    };
    let mut log = Log::new(disk.base.clone().unwrap_or_default());
    for record in disk.entries {
        let Record::Entry(entry) = record else { panic!("the hard state stands in the log") };
        assert_eq!(entry.index, log.last_index() + 1, "the log on disk has a hole");
        assert!(entry.term >= log.last_term(), "terms fall along the log on disk");
        log.push(entry, None);
    }
    assert!(hard.commit <= log.last_index(), "a committed entry is missing from the disk");
    assert!(hard.term >= log.last_term(), "the log on disk knows a later term than the hard state");
    Recovered { hard, base: disk.base, log }
}

/// The zero of the wire is nobody.
pub(crate) fn voted_for(hard: &Hard) -> Option<NodeId> {
    (hard.vote != 0).then_some(NodeId(hard.vote))
}

#[cfg(test)]
mod tests {
    use consensus_core::Write;

    use super::*;

    fn entry(index: Index, term: u64) -> Record {
        Record::Entry(Entry { index, term, payload: Some(Payload::noop()) })
    }

    fn disk(writes: impl IntoIterator<Item = Record>) -> Disk<Record> {
        let mut disk = Disk::empty();
        writes.into_iter().for_each(|record| disk.write(&Write::Put(record)));
        disk
    }

    #[test]
    fn records_come_back_as_they_were() {
        for record in [entry(3, 2), Record::Hard(Hard { term: 4, vote: 2, commit: 3 })] {
            assert_eq!(Record::from_bytes(record.to_bytes()), Ok(record));
        }
        let hollow = Record::Entry(Entry { index: 1, term: 1, payload: None });
        assert!(Record::from_bytes(hollow.to_bytes()).is_err());
    }

    #[test]
    fn a_new_disk_is_term_zero() {
        let recovered = recover(Disk::empty());
        assert_eq!(recovered.hard, Hard::default());
        assert_eq!(recovered.log.last_index(), 0);
    }

    #[test]
    #[should_panic(expected = "a committed entry is missing")]
    fn a_disk_that_lost_a_committed_entry_is_not_used() {
        recover(disk([entry(1, 1), Record::Hard(Hard { term: 1, vote: 0, commit: 2 })]));
    }

    #[test]
    #[should_panic(expected = "has a hole")]
    fn a_disk_with_a_hole_is_not_used() {
        recover(disk([Record::Hard(Hard { term: 1, vote: 0, commit: 0 }), entry(2, 1)]));
    }
}
