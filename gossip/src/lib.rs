//! Membership and failure detection as a pure state machine: who is there, where, who seems dead,
//! and who is said to lead.
//!
//! The protocol is SWIM (Das, Gupta, Motivala: "SWIM: Scalable Weakly-consistent Infection-style
//! Process Group Membership Protocol", 2002) with the three extensions of Lifeguard (Dadgar,
//! Phillips, Currey: "Lifeguard: Local Health Awareness for More Accurate Failure Detection", 2018).
//! Time, chance and datagrams are inputs, so a thousand members run in virtual time with the very
//! code that runs over UDP.
//!
//! Gossip is a hint, **never evidence for a quorum**: consensus membership changes only through the
//! log, and a leader named here may long be deposed.
//!
//! # How it works
//!
//! Everything that is known of a member is one [`Member`]. What two nodes know of it is merged by
//! taking the greater of the two, where the order is first by [`Incarnation`], then by [`State`]:
//! `Alive < Suspect < Dead < Left`. That one rule is SWIM's whole table of precedence (§4.2), and
//! because it is a maximum, any order, repetition or loss of messages ends in the same view. Only
//! the member itself raises its incarnation: that is how it refutes.
//!
//! ```text
//!             ping                      no ack: ask k helpers       still none: suspect, gossip it
//!   A ─────────────────▶ B      A ──▶ C ──▶ B ──▶ C ──▶ A           A ──▶ everybody: "B is suspect"
//!   A ◀───────────────── B            ping-request                  B ──▶ "alive, incarnation + 1"
//!             ack                                                   or, after a time, B is dead
//! ```
//!
//! Every datagram carries the sender's own record and as much news as fits in.
//!
//! # The map
//!
//! | file | idea | source |
//! |---|---|---|
//! | [`gossip`](Gossip) | the state; `receive` and `tick` dispatch | |
//! | `member` | incarnations, states and their order | SWIM §4.2 |
//! | `metadata` | what a member says of itself | |
//! | `merge` | what becomes of a claim about a member; refutation | SWIM §4.2 |
//! | `probe` | direct and indirect probes, round robin, nacks | SWIM §3.1, §4.3; Lifeguard §IV-A |
//! | `health` | the local health multiplier | Lifeguard §IV-A |
//! | `suspicion` | timeouts that shrink with confirmations | Lifeguard §IV-B |
//! | `dissemination` | rumours with a retransmit bound; the buddy system | SWIM §4.1; Lifeguard §IV-C |
//! | `sync` | joining, anti-entropy, contact with the dead | |
//! | `post` | what rides on every datagram | |
//! | `message`, `datagram` | the wire: protobuf inside version, CRC-32C and cluster hash | |
//!
//! # Driving it
//!
//! Hand every datagram to [`Gossip::receive`], call [`Gossip::tick`] at [`Gossip::next_tick`] (which
//! moves with every call), and carry out the [`Effect`]s. `start` in [`Identity`] must grow with every start of the
//! node: persist a counter.

mod chance;
mod config;
mod counters;
mod datagram;
mod dissemination;
mod effect;
mod gossip;
mod health;
mod member;
mod merge;
mod message;
mod metadata;
mod post;
mod probe;
mod suspicion;
mod sync;

pub use config::{Config, ConfigError};
pub use counters::Counters;
pub use datagram::MAX_DATAGRAM_BYTES;
pub use effect::{Effect, Event, Outbox};
pub use gossip::{Error, Gossip, Identity, LeaderHint};
pub use member::{Incarnation, MAX_COUNTER, Member, State};
pub use metadata::{
    FIRST_GATEWAY, Kind, MAX_ADDRESS_BYTES, MAX_PROTOCOL_BYTES, Metadata, MetadataError, gateway_id,
};
