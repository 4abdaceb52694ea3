//! What a member wants done.

use std::{fmt, net::SocketAddr};

use bytes::Bytes;
use consensus_core::NodeId;

/// What a member wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send a datagram. It may be lost.
    Send {
        /// Whereto.
        to: SocketAddr,
        /// At most [`MAX_DATAGRAM_BYTES`](crate::MAX_DATAGRAM_BYTES).
        datagram: Bytes,
    },
    /// The view changed.
    Event(Event),
}

/// A change of one member's view.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Event {
    /// A member was heard of for the first time, came back from the dead, or was started again.
    Joined {
        /// Which.
        node: NodeId,
    },
    /// A member does not answer, somebody says.
    Suspected {
        /// Which.
        node: NodeId,
    },
    /// A suspected member showed that it lives; for the member itself, that it was accused.
    Refuted {
        /// Which.
        node: NodeId,
    },
    /// A suspected member did not show itself in time.
    Died {
        /// Which.
        node: NodeId,
    },
    /// A member left of its own accord.
    Left {
        /// Which.
        node: NodeId,
    },
    /// A member's metadata changed. Mere progress of its commit index is no event.
    Updated {
        /// Which.
        node: NodeId,
    },
}

impl Event {
    /// The member that the event is about.
    pub const fn node(self) -> NodeId {
        match self {
            Self::Joined { node }
            | Self::Suspected { node }
            | Self::Refuted { node }
            | Self::Died { node }
            | Self::Left { node }
            | Self::Updated { node } => node,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Joined { .. } => "joined",
            Self::Suspected { .. } => "is suspected",
            Self::Refuted { .. } => "refuted its suspicion",
            Self::Died { .. } => "is dead",
            Self::Left { .. } => "left",
            Self::Updated { .. } => "changed its metadata",
        };
        write!(f, "node {} {what}", self.node())
    }
}

/// Where a member puts its effects, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outbox {
    effects: Vec<Effect>,
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a datagram.
    pub fn send(&mut self, to: SocketAddr, datagram: Bytes) {
        self.effects.push(Effect::Send { to, datagram });
    }

    /// Tells of a change.
    pub fn event(&mut self, event: Event) {
        self.effects.push(Effect::Event(event));
    }

    /// The effects so far, in order.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// Takes the effects out, in order, and leaves the outbox empty with its room kept.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }
}
