//! What replicas say to each other: one struct per message, in the order in which a reign unfolds.
//!
//! Names and phases are those of "Paxos Made Simple" §2.2–§3; what the papers leave to the reader (a
//! round before the campaign, learning what was missed, heartbeats and reads without a log write) has
//! messages of its own, so that none means two things.

use bytes::Bytes;
use consensus_core::{DecodeError, Index, Payload, Validate, Wire, wire::from_frame};

use crate::record::{Ballot, MAX_NUMBER, PValue};

/// The most values that any message carries.
pub const MAX_VALUES: usize = 1 << 16;

/// The most command bytes that any message carries, one command excepted. It leaves room for what
/// the encoding adds.
pub const MAX_VALUES_BYTES: usize = 8 << 20;

/// "Would you follow me, if I campaigned?" The counterpart of Raft's pre-vote (Raft dissertation
/// §9.6): it makes no ballot and disturbs nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct PreCampaign {
    /// The ballot that the sender would use; it names the question, for the answer.
    #[prost(message, required, tag = "1")]
    pub ballot: Ballot,
}

/// The answer to [`PreCampaign`]. It promises nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct PreCampaignReply {
    /// The ballot that the question named.
    #[prost(message, required, tag = "1")]
    pub ballot: Ballot,
    /// Whether the sender hears of no leader and would follow.
    #[prost(bool, tag = "2")]
    pub granted: bool,
    /// The highest ballot that the sender promised, so that the campaign starts above it; nobody's
    /// if it never promised any.
    #[prost(message, required, tag = "3")]
    pub promised: Ballot,
    /// How much the sender knows chosen, if the members ever changed: whoever asks may not know who
    /// decides by now. Zero otherwise.
    #[prost(uint64, tag = "4")]
    pub chosen_to: Index,
}

/// Phase 1a: "promise me this ballot, for every slot at once, and tell me what you accepted."
///
/// One Prepare serves all slots ("Paxos Made Simple" §3). It is sent again, with a later slot, only
/// to fetch the rest of a [`Promise`] too large for one message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Prepare {
    /// The sender's ballot.
    #[prost(message, required, tag = "1")]
    pub ballot: Ballot,
    /// The first slot whose accepted value the sender needs: it knows what is chosen before.
    #[prost(uint64, tag = "2")]
    pub from: Index,
    /// The ballot of the leader that told the candidate to campaign ([`TimeoutNow`]), if one did: then
    /// whoever is loyal to that leader may promise all the same, and nobody who is loyal to a later
    /// one: the message may be late.
    #[prost(message, optional, tag = "3")]
    pub handed_over: Option<Ballot>,
}

/// Phase 1b: "I accept nothing under a lower ballot any more; this I accepted so far."
///
/// It names every accepted value from the asked slot on, the chosen ones too: a leader that is not
/// told of a chosen slot takes it for free, and chooses twice. Where an acceptor's log is compacted, it
/// can name no values; then it says up to where, and nothing is free there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Promise {
    /// The ballot promised.
    #[prost(message, required, tag = "1")]
    pub ballot: Ballot,
    /// The first slot this message answers for, as it was asked.
    #[prost(uint64, tag = "2")]
    pub from: Index,
    /// What was accepted from that slot on, ascending; a slot not named was not accepted.
    #[prost(message, repeated, tag = "3")]
    pub values: Vec<PValue>,
    /// Where to ask on; `None` if this was all.
    #[prost(uint64, optional, tag = "4")]
    pub next: Option<Index>,
    /// Among the values, those up to this slot are chosen.
    #[prost(uint64, tag = "5")]
    pub chosen_to: Index,
    /// Every slot up to here is chosen, and only a snapshot holds what; zero if the sender holds every
    /// value that was asked for.
    #[prost(uint64, tag = "6")]
    pub compacted_to: Index,
}

/// Phase 2a: "accept these values for these consecutive slots."
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Accept {
    /// The leader's ballot.
    #[prost(message, required, tag = "1")]
    pub ballot: Ballot,
    /// The slot of the first value.
    #[prost(uint64, tag = "2")]
    pub slot: Index,
    /// The values, at least one.
    #[prost(message, repeated, tag = "3")]
    pub values: Vec<Payload>,
    /// Every slot up to here is chosen. It tells an acceptor that *its* value is the chosen one only
    /// where it accepted that value under this very ballot.
    #[prost(uint64, tag = "4")]
    pub chosen_to: Index,
}

/// Phase 2b: "I accepted these slots under this ballot." Sent once they are on disk, and frozen when
/// they were accepted: never under a later ballot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Accepted {
    /// The ballot under which they were accepted.
    #[prost(message, required, tag = "1")]
    pub ballot: Ballot,
    /// The first slot.
    #[prost(uint64, tag = "2")]
    pub from: Index,
    /// The last slot.
    #[prost(uint64, tag = "3")]
    pub to: Index,
}

/// "I promised a higher ballot": the refusal that "Paxos Made Simple" §2.5 suggests, so that a
/// deposed proposer learns of it at once and next campaigns above what stopped it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Nack {
    /// The ballot that is refused.
    #[prost(message, required, tag = "1")]
    pub ballot: Ballot,
    /// The ballot that the sender promised.
    #[prost(message, required, tag = "2")]
    pub promised: Ballot,
}

/// "Which values are chosen from this slot on?" Any replica that knows may answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Learn {
    /// The first slot that the sender does not know.
    #[prost(uint64, tag = "1")]
    pub from: Index,
}

/// The answer to [`Learn`]: chosen values of consecutive slots, from the asked one on. What is chosen
/// never changes, so this is true no matter when it arrives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Learned {
    /// Chosen values, ascending; none if the sender knows none, or holds them no more.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<PValue>,
    /// The sender knows every chosen value up to here; at least up to the last one sent.
    #[prost(uint64, tag = "2")]
    pub chosen_to: Index,
    /// Only a snapshot holds what is chosen up to here, and the sender sees to it that it comes; zero
    /// if the sender holds the asked slot.
    #[prost(uint64, tag = "3")]
    pub compacted_to: Index,
}

/// "I still lead, and this far everything is chosen": a heartbeat, with a number. A round of them
/// that a quorum acknowledges confirms that the ballot stands, for reads that write no log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct ReadRound {
    /// The leader's ballot.
    #[prost(message, required, tag = "1")]
    pub ballot: Ballot,
    /// The round's number, from 1, never used twice under one ballot.
    #[prost(uint64, tag = "2")]
    pub round: u64,
    /// As in [`Accept::chosen_to`]; told at every heartbeat, and not by the rounds between, which are
    /// sent for reads.
    #[prost(uint64, optional, tag = "3")]
    pub chosen_to: Option<Index>,
}

/// "No higher ballot was promised here when that round arrived." It promises nothing for later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct ReadAck {
    /// The ballot of the round.
    #[prost(message, required, tag = "1")]
    pub ballot: Ballot,
    /// The round's number.
    #[prost(uint64, tag = "2")]
    pub round: u64,
}

/// "Up to where must I have applied, so that my state machine sees everything acknowledged by now?"
/// What a follower asks its leader for all the reads that it was asked for at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct ReadIndex {
    /// The ballot of the leader that is asked.
    #[prost(message, required, tag = "1")]
    pub ballot: Ballot,
    /// The question's number, never used twice in the life of its sender.
    #[prost(uint64, tag = "2")]
    pub question: u64,
}

/// The answer to [`ReadIndex`], once a read round is confirmed that began after the question came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct ReadIndexReply {
    /// The leader's ballot.
    #[prost(message, required, tag = "1")]
    pub ballot: Ballot,
    /// The question's number.
    #[prost(uint64, tag = "2")]
    pub question: u64,
    /// What was chosen when the round began: as [`Accept::chosen_to`].
    #[prost(uint64, tag = "3")]
    pub chosen_to: Index,
}

/// "Every slot up to here is chosen. Say so, once you hold all of it on disk." A leader asks newcomers,
/// to see how they catch up; the acceptors of a new configuration, before those they replace may go;
/// and whom it hands over to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Secure {
    /// The leader's ballot.
    #[prost(message, required, tag = "1")]
    pub ballot: Ballot,
    /// The slot.
    #[prost(uint64, tag = "2")]
    pub to: Index,
}

/// "I hold every choice up to here on disk, and promised your ballot." Sent once it is so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Secured {
    /// The leader's ballot.
    #[prost(message, required, tag = "1")]
    pub ballot: Ballot,
    /// The slot.
    #[prost(uint64, tag = "2")]
    pub to: Index,
}

/// Tells a follower to campaign at once: the leader hands over to it (Raft dissertation §3.10; the
/// name is from there).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct TimeoutNow {
    /// The leader's ballot.
    #[prost(message, required, tag = "1")]
    pub ballot: Ballot,
}

/// "Do you hear me, and is there a leader?" What every acceptor asks every other in rounds, where
/// ballots elect ("Omni-Paxos" §5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct HeartbeatRequest {
    /// The sender's round, never used twice.
    #[prost(uint64, tag = "1")]
    pub round: u64,
}

/// The answer to [`HeartbeatRequest`], at once. It promises nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct HeartbeatReply {
    /// The round that was asked in.
    #[prost(uint64, tag = "1")]
    pub round: u64,
    /// The highest ballot that the sender promised; nobody's if it never promised any.
    #[prost(message, required, tag = "2")]
    pub ballot: Ballot,
    /// Whether the sender's own last round reached a quorum.
    #[prost(bool, tag = "3")]
    pub quorum_connected: bool,
    /// Whether a quorum-connected leader has that ballot, as the sender heard from it, or is it; or a
    /// campaign under that ballot is so young that it may yet succeed.
    #[prost(bool, tag = "4")]
    pub led: bool,
}

/// Any message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Oneof)]
pub enum Message {
    /// See [`PreCampaign`].
    #[prost(message, tag = "1")]
    PreCampaign(PreCampaign),
    /// See [`PreCampaignReply`].
    #[prost(message, tag = "2")]
    PreCampaignReply(PreCampaignReply),
    /// See [`Prepare`].
    #[prost(message, tag = "3")]
    Prepare(Prepare),
    /// See [`Promise`]. Boxed, for promises are few, and would make every message larger.
    #[prost(message, boxed, tag = "4")]
    Promise(Box<Promise>),
    /// See [`Accept`].
    #[prost(message, tag = "5")]
    Accept(Accept),
    /// See [`Accepted`].
    #[prost(message, tag = "6")]
    Accepted(Accepted),
    /// See [`Nack`].
    #[prost(message, tag = "7")]
    Nack(Nack),
    /// See [`Learn`].
    #[prost(message, tag = "8")]
    Learn(Learn),
    /// See [`Learned`].
    #[prost(message, tag = "9")]
    Learned(Learned),
    /// See [`ReadRound`].
    #[prost(message, tag = "10")]
    ReadRound(ReadRound),
    /// See [`ReadAck`].
    #[prost(message, tag = "11")]
    ReadAck(ReadAck),
    /// See [`ReadIndex`].
    #[prost(message, tag = "12")]
    ReadIndex(ReadIndex),
    /// See [`ReadIndexReply`].
    #[prost(message, tag = "13")]
    ReadIndexReply(ReadIndexReply),
    /// See [`Secure`].
    #[prost(message, tag = "14")]
    Secure(Secure),
    /// See [`Secured`].
    #[prost(message, tag = "15")]
    Secured(Secured),
    /// See [`TimeoutNow`].
    #[prost(message, tag = "16")]
    TimeoutNow(TimeoutNow),
    /// See [`HeartbeatRequest`].
    #[prost(message, tag = "17")]
    HeartbeatRequest(HeartbeatRequest),
    /// See [`HeartbeatReply`].
    #[prost(message, tag = "18")]
    HeartbeatReply(HeartbeatReply),
}

/// The frame of a message on the wire.
#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(
        oneof = "Message",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18"
    )]
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
            Self::PreCampaign(PreCampaign { ballot }) => ballot.validate(),
            Self::PreCampaignReply(answer) => answer.validate(),
            Self::Prepare(Prepare { ballot, from, handed_over }) => {
                ballot.validate()?;
                handed_over.map_or(Ok(()), |by| by.validate())?;
                validate_slot(*from)
            }
            Self::Promise(promise) => promise.validate(),
            Self::Accept(accept) => accept.validate(),
            Self::Accepted(accepted) => accepted.validate(),
            Self::Nack(nack) => nack.validate(),
            Self::ReadRound(ReadRound { ballot, round, chosen_to }) => {
                ballot.validate()?;
                validate_numbers(&[*round, chosen_to.unwrap_or(0)])
            }
            Self::ReadAck(ReadAck { ballot, round }) => {
                ballot.validate()?;
                validate_numbers(&[*round])
            }
            Self::ReadIndex(ReadIndex { ballot, question }) => {
                ballot.validate()?;
                validate_numbers(&[*question])
            }
            Self::ReadIndexReply(ReadIndexReply { ballot, question, chosen_to }) => {
                ballot.validate()?;
                validate_numbers(&[*question, *chosen_to])
            }
            Self::Secure(Secure { ballot, to }) | Self::Secured(Secured { ballot, to }) => {
                ballot.validate()?;
                validate_numbers(&[*to])
            }
            Self::TimeoutNow(TimeoutNow { ballot }) => ballot.validate(),
            Self::HeartbeatRequest(HeartbeatRequest { round }) => validate_numbers(&[*round]),
            Self::HeartbeatReply(HeartbeatReply { round, ballot, .. }) => {
                validate_numbers(&[*round])?;
                if ballot.is_nobodys() { Ok(()) } else { ballot.validate() }
            }
            Self::Learn(Learn { from }) => validate_slot(*from),
            Self::Learned(learned) => learned.validate(),
        }
    }
}

impl Validate for PreCampaignReply {
    fn validate(&self) -> Result<(), DecodeError> {
        self.ballot.validate()?;
        validate_numbers(&[self.chosen_to])?;
        if self.promised.is_nobodys() { Ok(()) } else { self.promised.validate() }
    }
}

impl Validate for Promise {
    fn validate(&self) -> Result<(), DecodeError> {
        self.ballot.validate()?;
        validate_slot(self.from)?;
        validate_numbers(&[self.chosen_to, self.next.unwrap_or(0)])?;
        validate_values(&self.values)?;
        let last = self.values.last().map_or(0, |value| value.slot);
        let first = self.from.max(self.compacted_to.saturating_add(1));
        if self.compacted_to > self.chosen_to {
            return Err(DecodeError::Invalid("only what is chosen is compacted"));
        }
        if self.values.first().is_some_and(|value| value.slot < first)
            || self.next.is_some_and(|next| next <= last || self.values.is_empty())
        {
            return Err(DecodeError::Invalid("a promise answers from the asked slot on"));
        }
        if self.values.iter().any(|value| value.slot > self.chosen_to && value.ballot > self.ballot)
        {
            return Err(DecodeError::Invalid("a promise broken before it was made"));
        }
        Ok(())
    }
}

impl Validate for Accept {
    fn validate(&self) -> Result<(), DecodeError> {
        self.ballot.validate()?;
        validate_slot(self.slot)?;
        validate_numbers(&[self.chosen_to])?;
        if !(1..=MAX_VALUES).contains(&self.values.len()) {
            return Err(DecodeError::Invalid("an accept carries 1 to 65536 values"));
        }
        self.values.iter().try_for_each(Validate::validate)
    }
}

impl Validate for Accepted {
    fn validate(&self) -> Result<(), DecodeError> {
        self.ballot.validate()?;
        validate_slot(self.from)?;
        validate_slot(self.to)?;
        if self.from > self.to {
            return Err(DecodeError::Invalid("an acknowledgement names slots in order"));
        }
        Ok(())
    }
}

impl Validate for Nack {
    fn validate(&self) -> Result<(), DecodeError> {
        self.ballot.validate()?;
        self.promised.validate()?;
        if self.promised <= self.ballot {
            return Err(DecodeError::Invalid("only a higher promise refuses a ballot"));
        }
        Ok(())
    }
}

impl Validate for Learned {
    fn validate(&self) -> Result<(), DecodeError> {
        validate_numbers(&[self.chosen_to])?;
        validate_values(&self.values)?;
        if self.values.windows(2).any(|pair| pair[0].slot + 1 != pair[1].slot) {
            return Err(DecodeError::Invalid("chosen values are told without a gap"));
        }
        let last = self.values.last().map_or(0, |value| value.slot);
        if last.max(self.compacted_to) > self.chosen_to {
            return Err(DecodeError::Invalid("only chosen values are told, and compacted"));
        }
        if self.compacted_to > 0 && !self.values.is_empty() {
            return Err(DecodeError::Invalid("a snapshot comes in place of values"));
        }
        Ok(())
    }
}

fn validate_slot(slot: Index) -> Result<(), DecodeError> {
    match slot {
        1..=MAX_NUMBER => Ok(()),
        _ => Err(DecodeError::Invalid("slots count from 1")),
    }
}

fn validate_numbers(numbers: &[u64]) -> Result<(), DecodeError> {
    if numbers.iter().any(|&number| number > MAX_NUMBER) {
        return Err(DecodeError::Invalid("a number is too large"));
    }
    Ok(())
}

fn validate_values(values: &[PValue]) -> Result<(), DecodeError> {
    if values.len() > MAX_VALUES {
        return Err(DecodeError::Invalid("a message carries at most 65536 values"));
    }
    values.iter().try_for_each(Validate::validate)?;
    if values.windows(2).any(|pair| pair[0].slot >= pair[1].slot) {
        return Err(DecodeError::Invalid("values are told in the order of their slots"));
    }
    Ok(())
}
