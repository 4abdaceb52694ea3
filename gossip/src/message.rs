//! What members send each other, as protobuf, and what of it is believed.

use std::net::{IpAddr, SocketAddr};

use consensus_core::{Epoch, NodeId};

use crate::{
    member::{Claim, Incarnation, Life, MAX_COUNTER, Member, State, Version},
    metadata::Metadata,
    suspicion::MAX_ACCUSERS,
};

/// The content of a datagram.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Message {
    /// The sender, as it knows itself: joins and refutations need no message of their own.
    #[prost(message, required, tag = "1")]
    pub(crate) sender: Record,
    /// What it is about.
    #[prost(oneof = "Body", tags = "2, 3, 4, 5, 6, 7, 8")]
    pub(crate) body: Option<Body>,
    /// What the sender knows of other members: rumours, or the answer to a [`Digest`].
    #[prost(message, repeated, tag = "15")]
    pub(crate) records: Vec<Record>,
}

/// The kinds of messages.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Body {
    /// SWIM §3.1: answer me.
    #[prost(message, tag = "2")]
    Ping(Ping),
    /// SWIM §3.1: the answer, directly or by way of a helper.
    #[prost(message, tag = "3")]
    Ack(Ack),
    /// SWIM §3.1: ping the target for me.
    #[prost(message, tag = "4")]
    PingRequest(PingRequest),
    /// Lifeguard §IV-A: the helper is well, but the target does not answer it either.
    #[prost(message, tag = "5")]
    Nack(Nack),
    /// Nothing but rumours.
    #[prost(message, tag = "6")]
    Rumours(Rumours),
    /// Anti-entropy: a summary of what the sender knows.
    #[prost(message, tag = "7")]
    Digest(Digest),
    /// Anti-entropy: the records that the other side lacks, and the names of those wanted.
    #[prost(message, tag = "8")]
    Delta(Delta),
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Ping {
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
    /// Whom it is for: another node may have moved to the address.
    #[prost(uint64, tag = "2")]
    pub(crate) target: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Ack {
    /// That of the ping or ping-request.
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
    /// Who answered.
    #[prost(uint64, tag = "2")]
    pub(crate) target: u64,
}

/// The target's record is among the message's records.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct PingRequest {
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) target: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Nack {
    /// That of the ping-request.
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Rumours {}

/// A part of a view. It speaks for all identities from `first` to `last`, so it can be answered by
/// itself, and a lost one costs nothing but its part.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Digest {
    #[prost(uint64, tag = "1")]
    pub(crate) first: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) last: u64,
    /// The members known in that range, by ascending identity.
    #[prost(message, repeated, tag = "3")]
    pub(crate) summaries: Vec<Summary>,
}

/// How recent one's knowledge of a member is.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Summary {
    #[prost(uint64, tag = "1")]
    pub(crate) node: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) start: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) refutation: u64,
    #[prost(uint32, tag = "4")]
    pub(crate) state: u32,
    #[prost(uint64, tag = "5")]
    pub(crate) metadata_version: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Delta {
    /// The identities of the members whose records the sender wants in turn.
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) wanted: Vec<u64>,
}

/// A [`Claim`] on the wire.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Record {
    #[prost(uint64, tag = "1")]
    pub(crate) node: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) start: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) refutation: u64,
    #[prost(uint32, tag = "4")]
    pub(crate) state: u32,
    /// 4 or 16 bytes.
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) ip: Vec<u8>,
    #[prost(uint32, tag = "6")]
    pub(crate) port: u32,
    #[prost(uint64, tag = "7")]
    pub(crate) metadata_version: u64,
    #[prost(string, tag = "8")]
    pub(crate) peer_address: String,
    #[prost(string, tag = "9")]
    pub(crate) client_address: String,
    #[prost(string, tag = "10")]
    pub(crate) protocol: String,
    /// Zero for none.
    #[prost(uint64, tag = "11")]
    pub(crate) leader: u64,
    #[prost(uint64, tag = "12")]
    pub(crate) epoch_round: u64,
    #[prost(uint64, tag = "13")]
    pub(crate) epoch_node: u64,
    #[prost(uint64, tag = "14")]
    pub(crate) commit: u64,
    #[prost(uint64, repeated, tag = "15")]
    pub(crate) accusers: Vec<u64>,
}

/// Why a record or summary was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Invalid(pub(crate) &'static str);

impl Message {
    /// Refuses what no member sends. The records are checked where they are turned into claims.
    pub(crate) fn validate(&self) -> Result<(), Invalid> {
        match &self.body {
            None => Err(Invalid("a message about nothing")),
            Some(Body::Digest(digest)) if !digest.is_sorted() => {
                Err(Invalid("a digest out of order or out of its range"))
            }
            Some(_) => Ok(()),
        }
    }
}

impl Digest {
    pub(crate) fn is_sorted(&self) -> bool {
        let nodes = self.summaries.iter().map(|summary| summary.node);
        let within = nodes.clone().all(|node| (self.first..=self.last).contains(&node));
        within && self.first <= self.last && nodes.is_sorted_by(|a, b| a < b)
    }
}

const fn encode_state(state: State) -> u32 {
    match state {
        State::Alive => 1,
        State::Suspect => 2,
        State::Dead => 3,
        State::Left => 4,
    }
}

const fn decode_state(state: u32) -> Result<State, Invalid> {
    match state {
        1 => Ok(State::Alive),
        2 => Ok(State::Suspect),
        3 => Ok(State::Dead),
        4 => Ok(State::Left),
        _ => Err(Invalid("an unknown state")),
    }
}

const fn decode_node(node: u64) -> Result<NodeId, Invalid> {
    if node == 0 { Err(Invalid("node zero is no node")) } else { Ok(NodeId(node)) }
}

const fn decode_incarnation(start: u64, refutation: u64) -> Result<Incarnation, Invalid> {
    if start > MAX_COUNTER || refutation > MAX_COUNTER {
        return Err(Invalid("an incarnation beyond all counting"));
    }
    Ok(Incarnation { start, refutation })
}

fn decode_address(ip: &[u8], port: u32) -> Result<SocketAddr, Invalid> {
    let ip = if let Ok(bytes) = <[u8; 4]>::try_from(ip) {
        IpAddr::from(bytes)
    } else if let Ok(bytes) = <[u8; 16]>::try_from(ip) {
        IpAddr::from(bytes)
    } else {
        return Err(Invalid("an address of an unknown family"));
    };
    match u16::try_from(port) {
        Ok(port) if port != 0 && !ip.is_unspecified() => Ok(SocketAddr::new(ip, port)),
        _ => Err(Invalid("an address that nobody has")),
    }
}

impl From<&Member> for Summary {
    fn from(member: &Member) -> Self {
        Self {
            node: member.node.0,
            start: member.incarnation.start,
            refutation: member.incarnation.refutation,
            state: encode_state(member.state),
            metadata_version: member.metadata_version,
        }
    }
}

impl Summary {
    /// The member's life and metadata version, as [`Member::life`] and [`Member::version`] give them.
    pub(crate) fn decode(&self) -> Result<(Life, Version), Invalid> {
        let incarnation = decode_incarnation(self.start, self.refutation)?;
        Ok(((incarnation, decode_state(self.state)?), (self.start, self.metadata_version)))
    }
}

impl From<Claim> for Record {
    fn from(Claim { member, accusers }: Claim) -> Self {
        let metadata = member.metadata;
        Self {
            node: member.node.0,
            start: member.incarnation.start,
            refutation: member.incarnation.refutation,
            state: encode_state(member.state),
            ip: match member.address.ip() {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            },
            port: u32::from(member.address.port()),
            metadata_version: member.metadata_version,
            peer_address: metadata.peer_address,
            client_address: metadata.client_address,
            protocol: metadata.protocol,
            leader: metadata.leader.map_or(0, |leader| leader.0),
            epoch_round: metadata.epoch.round,
            epoch_node: metadata.epoch.node.0,
            commit: metadata.commit,
            accusers: accusers.into_iter().map(|accuser| accuser.0).collect(),
        }
    }
}

impl TryFrom<Record> for Claim {
    type Error = Invalid;

    fn try_from(record: Record) -> Result<Self, Invalid> {
        let metadata = Metadata {
            peer_address: record.peer_address,
            client_address: record.client_address,
            protocol: record.protocol,
            leader: (record.leader != 0).then_some(NodeId(record.leader)),
            epoch: Epoch { round: record.epoch_round, node: NodeId(record.epoch_node) },
            commit: record.commit,
        };
        metadata.validate().map_err(|_| Invalid("metadata beyond its limits"))?;
        let member = Member {
            node: decode_node(record.node)?,
            address: decode_address(&record.ip, record.port)?,
            incarnation: decode_incarnation(record.start, record.refutation)?,
            state: decode_state(record.state)?,
            metadata_version: record.metadata_version,
            metadata,
        };
        if member.metadata_version > MAX_COUNTER {
            return Err(Invalid("a metadata version beyond all counting"));
        }
        let accusers: Vec<_> =
            record.accusers.into_iter().map(decode_node).collect::<Result<_, _>>()?;
        // A suspicion without an accuser, or an accusation without a suspicion, is nobody's claim.
        if accusers.len() > MAX_ACCUSERS || accusers.is_empty() == (member.state == State::Suspect)
        {
            return Err(Invalid("accusers do not fit the state"));
        }
        Ok(Self { member, accusers })
    }
}
