//! Members, and the one order by which two views of a member are merged.

use std::{fmt, net::SocketAddr};

use consensus_core::NodeId;

use crate::metadata::{Kind, Metadata};

/// The largest counter that is accepted from the wire, so that counting on never overflows.
pub const MAX_COUNTER: u64 = 1 << 62;

/// Which life of a node a claim is about. Only the node itself raises it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Incarnation {
    /// The how-many-th start of the process; the runtime persists it.
    pub start: u64,
    /// How often the process refuted its suspicion or death since: SWIM's incarnation number.
    pub refutation: u64,
}

impl Incarnation {
    /// A process that was just started.
    pub const fn of_start(start: u64) -> Self {
        Self { start, refutation: 0 }
    }

    /// The one that refutes every claim about this one. It never counts beyond what others accept.
    pub(crate) const fn next(self) -> Self {
        if self.refutation < MAX_COUNTER {
            return Self { refutation: self.refutation + 1, ..self };
        }
        let start = if self.start < MAX_COUNTER { self.start + 1 } else { MAX_COUNTER };
        Self::of_start(start)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.start, self.refutation)
    }
}

/// What is thought of a member. Within one incarnation the later state here overrides the earlier:
/// nobody but the member itself can take back an accusation (SWIM §4.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// It answers.
    Alive,
    /// It did not answer somebody; it may still refute.
    Suspect,
    /// It did not refute in time.
    Dead,
    /// It said goodbye.
    Left,
}

impl State {
    /// Whether it counts as a member of the group: suspects do (SWIM §4.2).
    pub const fn is_present(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Left => "left",
        })
    }
}

/// The order of claims about one member's life: the greater one holds.
pub(crate) type Life = (Incarnation, State);

/// The order of versions of one member's metadata, by start and number: the greater one holds.
pub(crate) type Version = (u64, u64);

/// What is known of one member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Which node.
    pub node: NodeId,
    /// Where its gossip is received.
    pub address: SocketAddr,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// What is thought of it.
    pub state: State,
    /// The how-many-th version of its metadata in this start.
    pub metadata_version: u64,
    /// What it says of itself.
    pub metadata: Metadata,
}

impl Member {
    /// Replica or gateway.
    pub const fn kind(&self) -> Kind {
        Kind::of(self.node)
    }

    pub(crate) const fn life(&self) -> Life {
        (self.incarnation, self.state)
    }

    pub(crate) const fn version(&self) -> Version {
        (self.incarnation.start, self.metadata_version)
    }
}

/// What one node says of a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Claim {
    /// What it knows of it.
    pub(crate) member: Member,
    /// Who could not reach it, if it is suspect: each one confirms the others (Lifeguard §IV-B).
    pub(crate) accusers: Vec<NodeId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_outranks_every_refutation_and_states_only_rise() {
        let refuted = Incarnation { start: 1, refutation: 99 };
        assert!(Incarnation::of_start(2) > refuted);
        assert!(refuted.next() > refuted);
        let states = [State::Alive, State::Suspect, State::Dead, State::Left];
        assert!(states.is_sorted());
    }

    #[test]
    fn counting_never_leaves_what_others_accept() {
        let last = Incarnation { start: 3, refutation: MAX_COUNTER };
        assert_eq!(last.next(), Incarnation::of_start(4));
        let end = Incarnation { start: MAX_COUNTER, refutation: MAX_COUNTER }.next();
        assert!(end.start <= MAX_COUNTER && end.refutation <= MAX_COUNTER);
    }
}
