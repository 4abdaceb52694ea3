//! What happened in a cluster, one line each.

use super::Script;
use crate::{
    event::Event,
    id::{Epoch, Index, NodeId, RequestId},
    payload::Payload,
    protocol::{Outcome, Protocol},
    record::{SnapshotMeta, Write},
};

/// Something that happened in a cluster.
#[derive(Clone, Debug)]
pub enum Happening<P: Protocol> {
    /// A timer ran out.
    TimedOut(NodeId, P::Timer),
    /// A message was delivered.
    Delivered {
        /// Its number; `None` from a node to itself.
        number: Option<u64>,
        /// Its sender.
        from: NodeId,
        /// Its receiver.
        to: NodeId,
        /// The message.
        message: P::Message,
    },
    /// A message left its sender, and is on its way.
    Sent {
        /// Its number.
        number: u64,
        /// Its sender.
        from: NodeId,
        /// Its receiver.
        to: NodeId,
        /// The message.
        message: P::Message,
    },
    /// A message waits for its sender's disk.
    Waits {
        /// Its sender.
        from: NodeId,
        /// Its receiver.
        to: NodeId,
        /// The message.
        message: P::Message,
    },
    /// A message was lost: on a cut link, at a dead receiver, or by command.
    Lost {
        /// Its number.
        number: u64,
        /// Its sender.
        from: NodeId,
        /// Its receiver.
        to: NodeId,
        /// The message.
        message: P::Message,
    },
    /// A batch was written, not yet durable.
    Persisted(NodeId, Vec<Write<P::Record>>),
    /// So many batches became durable.
    Synced(NodeId, usize),
    /// A committed entry reached the state machine.
    Applied {
        /// At which replica.
        node: NodeId,
        /// Its position.
        index: Index,
        /// Under which epoch it was committed.
        epoch: Epoch,
        /// What it carries.
        payload: Payload,
        /// The request that this answers.
        request: Option<RequestId>,
    },
    /// The state machine started from a snapshot.
    Restored(NodeId, SnapshotMeta),
    /// A replica asks for a snapshot of its state machine, as it is now.
    Asked(NodeId, SnapshotMeta),
    /// A snapshot that was asked for became durable.
    Saved(NodeId, SnapshotMeta),
    /// A snapshot is on its way.
    SnapshotSent {
        /// Who sends it.
        from: NodeId,
        /// To whom.
        to: NodeId,
        /// Which.
        snapshot: SnapshotMeta,
    },
    /// A snapshot came, whole, and is durable.
    SnapshotStaged {
        /// Who sent it.
        from: NodeId,
        /// To whom.
        to: NodeId,
        /// Which.
        snapshot: SnapshotMeta,
    },
    /// A transfer of a snapshot ended before its time.
    SnapshotLost {
        /// Who sent it.
        from: NodeId,
        /// To whom.
        to: NodeId,
        /// Which.
        snapshot: SnapshotMeta,
    },
    /// A failure detector changed its mind.
    Suspected {
        /// Whose.
        by: NodeId,
        /// About whom.
        node: NodeId,
        /// Whether it seems dead.
        suspected: bool,
    },
    /// A request was answered; the last applied position says what a read sees.
    Replied(NodeId, RequestId, Outcome, Index),
    /// A timer was armed that was not.
    Armed(NodeId, P::Timer),
    /// A timer that was armed was armed anew.
    Rearmed(NodeId, P::Timer),
    /// A timer was disarmed that was armed.
    Disarmed(NodeId, P::Timer),
    /// The replica noted something.
    Noted(NodeId, Event),
    /// A replica crashed, and lost so many batches and so many waiting messages.
    Crashed(NodeId, usize, usize),
    /// A replica started.
    Started(NodeId),
    /// A node is gone for ever, and its disk with it.
    Destroyed(NodeId),
}

impl<P: Protocol> Happening<P> {
    /// The line that tells it.
    pub fn line<S: Script<Protocol = P>>(&self) -> String {
        match self {
            Self::TimedOut(node, timer) => format!("n{node} {timer:?} runs out"),
            Self::Delivered { number: None, to, message, .. } => {
                format!("n{to} <- itself: {}", S::message(message))
            }
            Self::Delivered { number: Some(number), from, to, .. } => {
                format!("n{to} <- n{from} #{number}")
            }
            Self::Sent { number, from, to, message } => {
                format!("n{from} -> n{to} #{number}: {}", S::message(message))
            }
            Self::Waits { from, to, message } if from == to => {
                format!("n{from} -> itself, after the sync: {}", S::message(message))
            }
            Self::Waits { from, to, message } => {
                format!("n{from} -> n{to}, after the sync: {}", S::message(message))
            }
            Self::Lost { number, from, to, message } => {
                format!("lost: n{from} -> n{to} #{number}: {}", S::message(message))
            }
            Self::Persisted(node, writes) => {
                let writes: Vec<_> = writes.iter().map(write_text::<S>).collect();
                format!("n{node} writes {}", writes.join("; "))
            }
            Self::Synced(node, batches) => format!("n{node} synced {batches} batch(es)"),
            Self::Applied { node, index, epoch, payload, request } => {
                let answers =
                    request.map_or(String::new(), |r| format!(", answers request {}", r.0));
                format!("n{node} applies {index}@{epoch} {}{answers}", payload_text(payload))
            }
            Self::Restored(node, meta) => {
                format!("n{node} restores the snapshot {}", name(meta))
            }
            Self::Asked(node, meta) => format!("n{node} asks for a snapshot {}", name(meta)),
            Self::Saved(node, meta) => format!("n{node} saved the snapshot {}", name(meta)),
            Self::SnapshotSent { from, to, snapshot } => {
                format!("n{from} sends n{to} the snapshot {}", name(snapshot))
            }
            Self::SnapshotStaged { from, to, snapshot } => {
                format!("n{to} stages the snapshot {} from n{from}", name(snapshot))
            }
            Self::SnapshotLost { from, to, snapshot } => {
                format!("lost: n{from} -> n{to} the snapshot {}", name(snapshot))
            }
            Self::Suspected { by, node, suspected: true } => format!("n{by} suspects n{node}"),
            Self::Suspected { by, node, suspected: false } => format!("n{by} trusts n{node}"),
            Self::Replied(node, request, outcome, applied) => {
                format!(
                    "n{node} answers request {}: {}",
                    request.0,
                    outcome_text(outcome, *applied)
                )
            }
            Self::Armed(node, timer) => format!("n{node} arms {timer:?}"),
            Self::Rearmed(node, timer) => format!("n{node} rearms {timer:?}"),
            Self::Disarmed(node, timer) => format!("n{node} disarms {timer:?}"),
            Self::Noted(node, event) => format!("n{node} notes: {event}"),
            Self::Crashed(node, batches, messages) => {
                format!(
                    "n{node} crashes: {batches} batch(es) and {messages} waiting message(s) lost"
                )
            }
            Self::Started(node) => format!("n{node} starts"),
            Self::Destroyed(node) => format!("n{node} is gone, and its disk with it"),
        }
    }
}

fn write_text<S: Script>(write: &Write<<S::Protocol as Protocol>::Record>) -> String {
    match write {
        Write::Put(record) => S::record(record),
        Write::TruncateFrom(index) => format!("truncate from {index}"),
        Write::Base(meta) => format!("base {}", name(meta)),
    }
}

/// `INDEX@EPOCH`, and the members if the log up to there changed them.
pub(super) fn name(meta: &SnapshotMeta) -> String {
    let of = |(from, configuration)| format!(" [{from}: {configuration}]");
    let configurations: String = meta.configurations.iter().map(of).collect();
    format!("{}@{}{configurations}", meta.index, meta.epoch)
}

fn outcome_text(outcome: &Outcome, applied: Index) -> String {
    match outcome {
        Outcome::Readable => format!("readable at {applied}"),
        Outcome::Refused(why) => format!("refused: {why}"),
        Outcome::Done => "done".into(),
        Outcome::Unknown => "unknown".into(),
    }
}

fn payload_text(payload: &Payload) -> String {
    match (payload.command(), payload.configuration()) {
        (Some(command), _) => String::from_utf8_lossy(command).into_owned(),
        (None, Some(configuration)) => format!("configuration {configuration}"),
        (None, None) => "no-op".into(),
    }
}
