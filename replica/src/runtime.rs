//! What drives a protocol on a real machine.
//!
//! Three threads, each with one job, keep the contract of [`consensus_core`]:
//!
//! - the *consensus loop* ([`consensus`]) owns the protocol and the state machine. It drains its
//!   [`inbox`], steps the protocol, fires the [`timers`], and hands the effects on;
//! - the *disk thread* ([`disk`]) owns the storage. It appends whatever is queued, syncs once when a
//!   durable message waits for it, and then lets those messages go;
//! - the *journal thread* ([`journal`]) writes down what was observed and applied.
//!
//! A fourth, the [`saver`], writes out snapshots of the state machine.
//!
//! Sockets live on the caller's tokio runtime and touch the loop only through the inbox.

pub mod consensus;
pub mod disk;
pub mod inbox;
pub mod journal;
pub mod saver;
pub mod timers;

use bytes::Bytes;
use consensus_core::{Change, Consistency, NodeId, Refusal, SnapshotMeta, Status, session};
use faults::ClockOrder;
use tokio::sync::oneshot;

/// Where messages to other replicas go. Never blocks: what cannot be sent is lost, as on any link.
pub trait Network: Send + Sync {
    /// Sends encoded protocol messages.
    fn send(&self, messages: &mut dyn Iterator<Item = Departure>);
}

/// An encoded message on its way to a peer.
#[derive(Debug)]
pub struct Departure {
    /// To whom.
    pub to: NodeId,
    /// The encoded message.
    pub payload: Bytes,
    /// How long it waited for the disk, in nanoseconds.
    pub sync_ns: u64,
}

/// The consensus loop as the sockets see it, whatever its protocol.
pub trait Loop: Send + Sync {
    /// Hands over a message from a peer.
    fn receive(&self, from: NodeId, payload: Bytes, sync_ns: u64) -> Result<(), NotTaken>;
    /// Hands over a client's request.
    fn request(&self, request: Request) -> Result<(), NotTaken>;
    /// Hands over that the failure detector changed its mind about a node.
    fn suspect(&self, node: NodeId, suspected: bool) -> Result<(), NotTaken>;
    /// Asks what the loop believes.
    fn inspect(&self, inspect: Inspect) -> Result<(), NotTaken>;
    /// Has the clock go wrong by which the protocol tells the time, or right again.
    fn set_clock(&self, order: ClockOrder) -> Result<(), NotTaken>;
    /// Tells that a snapshot came from a peer, whole, and is durable.
    fn staged(&self, from: NodeId, snapshot: SnapshotMeta) -> Result<(), NotTaken>;
}

/// Why the consensus loop did not take something. It was certainly not done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotTaken {
    /// Too much is waiting already.
    #[error("the replica's inbox is full")]
    Full,
    /// The replica is stopping.
    #[error("the replica is stopping")]
    Stopping,
    /// The message does not decode.
    #[error(transparent)]
    Malformed(#[from] consensus_core::DecodeError),
}

/// What a client wants, and where the answer goes.
#[derive(Debug)]
pub struct Request {
    /// What it wants.
    pub wanted: Wanted,
    /// Where the answer goes; nobody may be waiting for it any more.
    pub answer: oneshot::Sender<Answer>,
}

/// What a client wants of the replicated state machine, or an administrator of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Commit and apply an encoded [`session::ClientCommand`].
    Propose(Bytes),
    /// Answer an encoded query.
    Read {
        /// The query.
        query: Bytes,
        /// What the answer promises.
        consistency: Consistency,
    },
    /// Change the members.
    Reconfigure(Change),
    /// Hand leadership over, to this node or to whichever is best.
    Transfer(Option<NodeId>),
}

/// What a client hears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The command was applied, with this reply.
    Applied(session::Reply),
    /// The state machine's answer to the query.
    Read(Bytes),
    /// The members are changed, or leadership is handed over.
    Done,
    /// Certainly not done.
    Refused(Refusal),
    /// Perhaps done, perhaps not.
    Unknown,
}

/// A question to the loop itself.
#[derive(Debug)]
pub struct Inspect {
    /// A key whose value to look up in the state machine as it is.
    pub key: Option<Bytes>,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Inspection>,
}

/// What the loop believes at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// The protocol's view.
    pub status: Status,
    /// The last position applied.
    pub applied: u64,
    /// How many client sessions are remembered.
    pub sessions: usize,
    /// What the key holds, if one was asked for.
    pub value: Option<Bytes>,
}
