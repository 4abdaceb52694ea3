//! How the laboratory sees inside a replica, in words common to all protocols.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    configuration::Configuration,
    id::{Epoch, Index, NodeId, RequestId},
};

/// Something that happened inside a protocol. Tracing, metrics, the timeline, the stages of an
/// election and the aim of event-driven faults all come from these.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The election timer ran out: no leader was heard of for long enough.
    TimedOut {
        /// The epoch in which the leader went missing.
        epoch: Epoch,
    },
    /// The replica asks for votes (RequestVote) or promises (Prepare) under a new epoch. Pre-vote
    /// rounds are not campaigns.
    Campaigning {
        /// The epoch it campaigns for.
        epoch: Epoch,
    },
    /// The replica gave its vote or promise away; the message that says so waits for the disk.
    Voted {
        /// The epoch it voted in.
        epoch: Epoch,
        /// For whom; possibly itself.
        candidate: NodeId,
    },
    /// The replica knows that it is the leader.
    Elected {
        /// The epoch it leads.
        epoch: Epoch,
    },
    /// An entry of the new leader's own epoch is committed: it knows every earlier commit.
    CaughtUp {
        /// The epoch it leads.
        epoch: Epoch,
    },
    /// The replica gave up leading, or campaigning.
    SteppedDown {
        /// The epoch it gave up.
        epoch: Epoch,
    },
    /// The leader put a client's command into its log.
    Proposed {
        /// The client's request at this replica.
        request: RequestId,
        /// Where in the log.
        index: Index,
        /// Under which epoch.
        epoch: Epoch,
    },
    /// The replica learned that entries are committed.
    Committed {
        /// The epoch in which it learned so.
        epoch: Epoch,
        /// The first of them.
        from: Index,
        /// The last of them.
        to: Index,
        /// Whether at least one holds a client's command rather than a no-op.
        has_command: bool,
    },
    /// A configuration is in force at this replica: it was appended (Raft) or decided
    /// (Multi-Paxos), or came with a snapshot.
    Reconfigured {
        /// The first position that it governs, in its protocol's own way of counting.
        from: Index,
        /// Who decides from there on. Boxed, for this event is rare, and events are many.
        configuration: Box<Configuration>,
    },
    /// A snapshot of the state machine is durable, and the log before it may go.
    Compacted {
        /// The last position that the snapshot includes.
        index: Index,
    },
    /// A snapshot from a peer replaced the state machine and the log before its end.
    Installed {
        /// The last position that the snapshot includes.
        index: Index,
        /// Who sent it.
        from: NodeId,
    },
    /// The leader begins to hand over leadership.
    Transferring {
        /// The epoch it leads.
        epoch: Epoch,
        /// To whom.
        to: NodeId,
    },
    /// A message or request was refused.
    Refused {
        /// Why, in words.
        why: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { epoch } => write!(f, "timed out in epoch {epoch}"),
            Self::Campaigning { epoch } => write!(f, "campaigns for epoch {epoch}"),
            Self::Voted { epoch, candidate } => write!(f, "votes for {candidate} in epoch {epoch}"),
            Self::Elected { epoch } => write!(f, "leads epoch {epoch}"),
            Self::CaughtUp { epoch } => write!(f, "caught up in epoch {epoch}"),
            Self::SteppedDown { epoch } => write!(f, "steps down from epoch {epoch}"),
            Self::Proposed { request, index, epoch } => {
                write!(f, "proposes request {} at {index} in epoch {epoch}", request.0)
            }
            Self::Committed { epoch, from, to, .. } => {
                write!(f, "knows {from}..={to} committed in epoch {epoch}")
            }
            Self::Reconfigured { from, configuration } => {
                write!(f, "from {from} on these decide: {configuration}")
            }
            Self::Compacted { index } => write!(f, "has a snapshot up to {index}"),
            Self::Installed { index, from } => {
                write!(f, "installs the snapshot up to {index} from {from}")
            }
            Self::Transferring { epoch, to } => write!(f, "hands epoch {epoch} over to {to}"),
            Self::Refused { why } => write!(f, "refused: {why}"),
        }
    }
}
