//! What a protocol adds so that it can be explored.

use consensus_core::{Epoch, Index, Payload, Protocol, Status};

/// How replicas may be renamed without anybody noticing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renaming {
    /// Any way: the protocol never compares names.
    Any,
    /// As long as the names of those who campaign keep their order: names break ties between
    /// epochs, and only those who campaign ever own one.
    KeepsOrder,
}

/// A protocol that can be explored.
pub trait Explored: Protocol<Message: Sync, Record: Sync, Config: Sync> + Sync {
    /// How replicas may be renamed. It must hold for everything that happens in an exploration without
    /// heartbeats; with heartbeats, nothing is renamed.
    const RENAMING: Renaming;

    /// What the protocol promises about two logs.
    const LOGS: LogPromise;

    /// The timer that ends in a campaign.
    fn election_timer() -> Self::Timer;

    /// The timer with which a leader makes itself heard.
    fn heartbeat_timer() -> Self::Timer;

    /// The hard state's epoch; `None` for any other record.
    fn epoch(hard: &Self::Record) -> Option<Epoch>;

    /// An entry's position, the epoch under which it was written, and what it carries; `None` for the
    /// hard state.
    fn entry(record: &Self::Record) -> Option<Entry<'_>>;

    /// Whether this message can never again have an effect at a replica of this status, whatever
    /// happens, whose epoch will never fall below `settled`, not even by a crash.
    fn is_spent(message: &Self::Message, receiver: &Status, settled: Epoch) -> bool;
}

/// What a protocol promises about two logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogPromise {
    /// Entries of one index and epoch carry the same, and so does everything before them (Raft § figure 3,
    /// Log Matching).
    Matching,
    /// Entries of one index and epoch carry the same (Multi-Paxos: one value per ballot and slot).
    Agreement,
}

impl LogPromise {
    /// The name of the property.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Matching => "log matching",
            Self::Agreement => "agreement",
        }
    }
}

/// An entry on a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// Its position.
    pub index: Index,
    /// The epoch under which it was written.
    pub epoch: Epoch,
    /// What it carries.
    pub payload: &'a Payload,
}
