//! What a run leaves behind for judgement: the clients' operations, and what each replica applied.
//!
//! Histories from every target have this one shape; the checker reads nothing else.

use serde::{Deserialize, Serialize};

use crate::{
    event::Event,
    id::{Epoch, Index, NodeId, SessionId},
    protocol::{Consistency, Role},
    time::Time,
};

/// One client operation: what was asked, when, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// The client process; it has one operation under way at a time.
    pub client: u64,
    /// The client's session; zero for none.
    pub session: SessionId,
    /// The operation's number in its session; zero for reads, which are not numbered.
    pub sequence: u64,
    /// The key.
    pub key: String,
    /// What was asked.
    pub call: Call,
    /// What a read was to promise; `None` for every change, and for a linearizable read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// When an open-loop client meant to send it. Latency counts from here.
    pub intended: Time,
    /// When it was first sent.
    pub invoked: Time,
    /// When the answer came; `None` if none ever did.
    pub completed: Option<Time>,
    /// What came of it.
    pub outcome: Outcome,
}

impl Operation {
    /// What was promised to a read; `None` for a change.
    pub fn promised(&self) -> Option<Consistency> {
        let promised = self.consistency.unwrap_or(Consistency::Linearizable);
        (self.call == Call::Get).then_some(promised)
    }

    /// Whether it is a read that may see old states: no part of what is linearizable.
    pub fn is_stale_read(&self) -> bool {
        self.promised() == Some(Consistency::Stale)
    }
}

/// What a client asks of a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Read it.
    Get,
    /// Write a value.
    Put(String),
    /// Remove it.
    Delete,
    /// Write `value` if it holds `expected`.
    CompareAndSwap {
        /// What it must hold; `None`: nothing.
        expected: Option<String>,
        /// What it holds afterwards.
        value: String,
    },
    /// Write a value if it holds nothing.
    TestAndSet(String),
}

/// What came of an operation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done, and answered.
    Ok {
        /// Whether a change took effect; false for reads.
        changed: bool,
        /// What the key held before, where the answer tells: always for reads.
        held: Option<String>,
        /// The log position of the key's last change, as far as the answer tells.
        revision: Index,
    },
    /// Certainly not done.
    Failed(String),
    /// Perhaps done, perhaps not, perhaps later.
    Unknown(String),
}

impl Outcome {
    /// Whether the operation was acknowledged.
    pub const fn is_ok(&self) -> bool {
        matches!(self, Self::Ok { .. })
    }
}

/// One entry that one replica applied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// The replica.
    pub node: NodeId,
    /// Which of its incarnations.
    pub incarnation: u64,
    /// The entry's position.
    pub index: Index,
    /// The epoch under which it was committed.
    pub epoch: Epoch,
    /// A digest of the entry's content.
    pub digest: u64,
    /// The command's session and number, if it has them.
    pub request: Option<(SessionId, u64)>,
    /// Whether the entry changed the state machine; a retry does not.
    pub fresh: bool,
}

/// A digest of a replica's whole state, sessions included, after it applied so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateDigest {
    /// The replica.
    pub node: NodeId,
    /// The position of the last entry it had applied.
    pub applied: Index,
    /// The digest.
    pub digest: u64,
}

/// Something that was seen inside a replica, and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Observed {
    /// When.
    pub at: Time,
    /// At which replica.
    pub node: NodeId,
    /// In which of its incarnations.
    pub incarnation: u64,
    /// Whose message the replica was handling; itself for what its own disk completed, `None` for a
    /// timer or a client. On paper it is the `sender`: the event, whose fields stand beside it, may
    /// have a `from` of its own.
    #[serde(rename = "sender")]
    pub from: Option<NodeId>,
    /// How long that message had waited for its sender's disk, in nanoseconds; zero if it did not.
    pub sync_ns: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What one message's way from a replica to another took. Of all messages a few are written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Passage {
    /// When it arrived, by the receiver's clock.
    pub at: Time,
    /// Who sent it.
    pub from: NodeId,
    /// Who received it.
    pub to: NodeId,
    /// From when it left to when it arrived, in nanoseconds: the receiver's clock less the sender's. On
    /// one host they are the same; between two they may differ, so that it may even be negative.
    pub way_ns: i64,
    /// How long it had waited for its sender's disk before, in nanoseconds; 0 if it needed none.
    pub sync_ns: u64,
}

/// A replica's state at a moment, for plots of the whole cluster over time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub at: Time,
    /// Of which replica.
    pub node: NodeId,
    /// Whether it runs; the rest is meaningless if it does not.
    pub up: bool,
    /// Its part.
    pub role: Role,
    /// Its epoch.
    pub epoch: Epoch,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// The last position it knows to be committed.
    pub commit: Index,
    /// What its state machine holds for the watched key, if one is watched.
    pub value: Option<String>,
    /// The replicas that its gossip believes alive, itself included.
    pub alive: Vec<NodeId>,
}
