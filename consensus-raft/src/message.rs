//! What replicas send each other, named as in the paper (§ figure 2).
//!
//! The sender's identity travels in the envelope, so no message repeats it (the paper's candidateId
//! and leaderId). Every message carries its sender's term.

use bytes::Bytes;
use consensus_core::{DecodeError, Index, Validate, Wire, wire::from_frame};

use crate::record::{Entry, validate_entries, validate_position};

/// The most entries that one message may carry.
pub const MAX_ENTRIES: usize = 1 << 16;

/// The most command bytes that one message may carry, one command excepted. It leaves room for what
/// the encoding adds.
pub const MAX_ENTRIES_BYTES: usize = 8 << 20;

/// Asks whether a RequestVote of this term could succeed (D§9.6). Nobody's term changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct PreVote {
    /// The term that the sender would campaign for: its own, plus one.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The index of the sender's last entry.
    #[prost(uint64, tag = "2")]
    pub last_log_index: Index,
    /// The term of the sender's last entry.
    #[prost(uint64, tag = "3")]
    pub last_log_term: u64,
}

/// Answers a [`PreVote`]. It promises nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct PreVoteReply {
    /// The answering replica's term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The term that was asked about.
    #[prost(uint64, tag = "2")]
    pub asked: u64,
    /// Whether the replica would vote for the sender.
    #[prost(bool, tag = "3")]
    pub granted: bool,
}

/// Asks for a vote (§5.2, §5.4.1). Leaves when the candidate's own term and vote are on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct RequestVote {
    /// The candidate's term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The index of the candidate's last entry.
    #[prost(uint64, tag = "2")]
    pub last_log_index: Index,
    /// The term of the candidate's last entry.
    #[prost(uint64, tag = "3")]
    pub last_log_term: u64,
    /// Whether the leader told the candidate to campaign ([`TimeoutNow`]): then whoever hears of
    /// that leader may vote all the same (D§4.2.3).
    #[prost(bool, tag = "4")]
    pub transfer: bool,
}

/// Answers a [`RequestVote`]. Leaves when the voter's term and vote are on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct RequestVoteReply {
    /// The voter's term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// Whether the candidate has the vote of this term.
    #[prost(bool, tag = "2")]
    pub granted: bool,
}

/// Replicates entries, and says how far they are committed (§5.3). Without entries it asks only
/// whether the logs agree up to `prev_log_index`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct AppendEntries {
    /// The leader's term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The index of the entry before the new ones.
    #[prost(uint64, tag = "2")]
    pub prev_log_index: Index,
    /// The term of that entry.
    #[prost(uint64, tag = "3")]
    pub prev_log_term: u64,
    /// The new entries, from `prev_log_index + 1` without gaps.
    #[prost(message, repeated, tag = "4")]
    pub entries: Vec<Entry>,
    /// The leader's commit index.
    #[prost(uint64, tag = "5")]
    pub leader_commit: Index,
}

/// Accepts an [`AppendEntries`]. Leaves when the entries are on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct AppendEntriesReply {
    /// The follower's term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The follower's log is the leader's, up to this index.
    #[prost(uint64, tag = "2")]
    pub matched: Index,
}

/// Refuses an [`AppendEntries`]: its term is old, or the log holds no such previous entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct AppendEntriesRefusal {
    /// The follower's term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The `prev_log_index` that was refused.
    #[prost(uint64, tag = "2")]
    pub prev_log_index: Index,
    /// The last index at which the two logs may still agree.
    #[prost(uint64, tag = "3")]
    pub agree_index: Index,
    /// The term of the follower's entry there.
    #[prost(uint64, tag = "4")]
    pub agree_term: u64,
}

/// A heartbeat, with a number: a round of them confirms that the sender still leads (D§6.4). Its
/// own message rather than an empty AppendEntries, for its answer says nothing about the log and so
/// need not wait for the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct ReadRound {
    /// The leader's term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The round's number, never used twice in a term for different reads.
    #[prost(uint64, tag = "2")]
    pub round: u64,
    /// The leader's commit index, as far as the receiver's log is known to match.
    #[prost(uint64, tag = "3")]
    pub commit: Index,
}

/// Acknowledges a [`ReadRound`]: the sender was in that term when it was asked. It promises nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct ReadAck {
    /// The follower's term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The round's number.
    #[prost(uint64, tag = "2")]
    pub round: u64,
}

/// A follower's question for clients of its own: up to where must it have applied, so that it may
/// serve their reads (D§6.4)? The only thing that a follower asks of its leader.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct ReadIndex {
    /// The follower's term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The question's number, never used twice in the follower's life.
    #[prost(uint64, tag = "2")]
    pub question: u64,
}

/// Answers a [`ReadIndex`], once a quorum confirmed that the sender led after the question came. It
/// answers every earlier question as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct ReadIndexReply {
    /// The leader's term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The question's number.
    #[prost(uint64, tag = "2")]
    pub question: u64,
    /// The leader's commit index when the question came, or later.
    #[prost(uint64, tag = "3")]
    pub index: Index,
}

/// Tells a follower to campaign at once: the leader hands over to it (D§3.10).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct TimeoutNow {
    /// The leader's term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
}

/// Any of the messages.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Oneof)]
pub enum Message {
    /// See [`PreVote`].
    #[prost(message, tag = "1")]
    PreVote(PreVote),
    /// See [`PreVoteReply`].
    #[prost(message, tag = "2")]
    PreVoteReply(PreVoteReply),
    /// See [`RequestVote`].
    #[prost(message, tag = "3")]
    RequestVote(RequestVote),
    /// See [`RequestVoteReply`].
    #[prost(message, tag = "4")]
    RequestVoteReply(RequestVoteReply),
    /// See [`AppendEntries`].
    #[prost(message, tag = "5")]
    AppendEntries(AppendEntries),
    /// See [`AppendEntriesReply`].
    #[prost(message, tag = "6")]
    AppendEntriesReply(AppendEntriesReply),
    /// See [`AppendEntriesRefusal`].
    #[prost(message, tag = "7")]
    AppendEntriesRefusal(AppendEntriesRefusal),
    /// See [`ReadRound`].
    #[prost(message, tag = "8")]
    ReadRound(ReadRound),
    /// See [`ReadAck`].
    #[prost(message, tag = "9")]
    ReadAck(ReadAck),
    /// See [`ReadIndex`].
    #[prost(message, tag = "11")]
    ReadIndex(ReadIndex),
    /// See [`ReadIndexReply`].
    #[prost(message, tag = "12")]
    ReadIndexReply(ReadIndexReply),
    /// See [`TimeoutNow`].
    #[prost(message, tag = "10")]
    TimeoutNow(TimeoutNow),
}

/// The frame of a message on the wire.
#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(oneof = "Message", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12")]
    message: Option<Message>,
}

impl Wire for Message {
    fn encode_to(&self, buffer: &mut Vec<u8>) {
        buffer.reserve(self.encoded_len());
        self.encode(buffer);
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        from_frame(bytes, |frame: Frame| frame.message)
    }
}

impl Validate for Message {
    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::PreVote(PreVote { term, last_log_index, last_log_term })
            | Self::RequestVote(RequestVote { term, last_log_index, last_log_term, .. }) => {
                validate_term(*term)?;
                validate_position(*last_log_index, *last_log_term)?;
                require(last_log_term < term, "a campaign's term is above its log's")
            }
            Self::PreVoteReply(PreVoteReply { term, asked, .. }) => {
                validate_term(*asked)?;
                require(*term <= MAX_TERM, "no term is that high")
            }
            Self::RequestVoteReply(RequestVoteReply { term, .. }) => validate_term(*term),
            Self::AppendEntries(append) => append.validate_content(),
            Self::AppendEntriesReply(AppendEntriesReply { term, matched }) => {
                validate_term(*term)?;
                require(*matched <= MAX_INDEX, "no index is that high")
            }
            Self::AppendEntriesRefusal(refusal) => {
                validate_term(refusal.term)?;
                require(refusal.prev_log_index <= MAX_INDEX, "no index is that high")?;
                validate_position(refusal.agree_index, refusal.agree_term)?;
                require(refusal.agree_term <= refusal.term, "an entry of a later term")
            }
            Self::ReadRound(ReadRound { term, commit: index, .. })
            | Self::ReadIndexReply(ReadIndexReply { term, index, .. }) => {
                validate_term(*term)?;
                require(*index <= MAX_INDEX, "no index is that high")
            }
            Self::ReadIndex(ReadIndex { term, .. })
            | Self::ReadAck(ReadAck { term, .. })
            | Self::TimeoutNow(TimeoutNow { term }) => validate_term(*term),
        }
    }
}

impl AppendEntries {
    fn validate_content(&self) -> Result<(), DecodeError> {
        validate_term(self.term)?;
        validate_position(self.prev_log_index, self.prev_log_term)?;
        require(self.leader_commit <= MAX_INDEX, "no index is that high")?;
        require(self.entries.len() <= MAX_ENTRIES, "more entries than a message carries")?;
        validate_entries((self.prev_log_index, self.prev_log_term), &self.entries)?;
        let last_term = self.entries.last().map_or(self.prev_log_term, |entry| entry.term);
        require(last_term <= self.term, "an entry of a later term than its leader's")
    }
}

/// No honest cluster counts this far, and nothing overflows on the way.
pub(crate) const MAX_TERM: u64 = 1 << 62;

/// No honest log grows this long.
pub(crate) const MAX_INDEX: Index = 1 << 62;

/// Terms of messages start at 1: nobody campaigns for, votes in or leads term 0.
pub(crate) fn validate_term(term: u64) -> Result<(), DecodeError> {
    require((1..=MAX_TERM).contains(&term), "a term outside the possible ones")
}

pub(crate) fn require(holds: bool, otherwise: &'static str) -> Result<(), DecodeError> {
    if holds { Ok(()) } else { Err(DecodeError::Invalid(otherwise)) }
}

#[cfg(test)]
mod tests {
    use consensus_core::Payload;
    use proptest::prelude::*;

    use super::*;

    fn append(prev: (Index, u64), terms: &[u64]) -> Message {
        let entry = |(offset, &term)| Entry {
            index: prev.0 + 1 + offset as u64,
            term,
            payload: Some(Payload::of(Bytes::from_static(b"x"))),
        };
        Message::AppendEntries(AppendEntries {
            term: 5,
            prev_log_index: prev.0,
            prev_log_term: prev.1,
            entries: terms.iter().enumerate().map(entry).collect(),
            leader_commit: 0,
        })
    }

    #[test]
    fn messages_come_back_as_they_were() {
        let messages = [
            append((0, 0), &[1, 1, 4, 5]),
            Message::PreVote(PreVote { term: 3, last_log_index: 7, last_log_term: 2 }),
            Message::PreVoteReply(PreVoteReply { term: 0, asked: 1, granted: true }),
            Message::ReadAck(ReadAck { term: 1, round: 0 }),
            Message::ReadIndex(ReadIndex { term: 3, question: 1 << 40 }),
            Message::ReadIndexReply(ReadIndexReply { term: 3, question: 1 << 40, index: 0 }),
            Message::TimeoutNow(TimeoutNow { term: 4 }),
        ];
        for message in messages {
            assert_eq!(Message::from_bytes(message.to_bytes()), Ok(message));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let nonsense = [
            append((0, 0), &[2, 1]),
            append((4, 3), &[2]),
            append((0, 3), &[]),
            append((0, 0), &[6]),
            Message::RequestVote(RequestVote {
                term: 2,
                last_log_index: 3,
                last_log_term: 2,
                transfer: false,
            }),
            Message::TimeoutNow(TimeoutNow { term: 0 }),
            Message::RequestVoteReply(RequestVoteReply { term: 0, granted: true }),
            Message::AppendEntriesReply(AppendEntriesReply { term: 1, matched: u64::MAX }),
            Message::ReadIndex(ReadIndex { term: 0, question: 1 }),
            Message::ReadIndexReply(ReadIndexReply { term: 1, question: 1, index: u64::MAX }),
        ];
        for message in nonsense {
            let refused = Message::from_bytes(message.to_bytes());
            assert!(matches!(refused, Err(DecodeError::Invalid(_))), "{message:?}: {refused:?}");
        }
        assert!(Message::from_bytes(Bytes::new()).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_nor_pass_unchecked(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Ok(message) = Message::from_bytes(bytes.into()) {
                prop_assert_eq!(message.validate(), Ok(()));
            }
        }
    }
}
