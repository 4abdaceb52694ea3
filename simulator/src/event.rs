//! What can happen in the simulated world.

use bytes::Bytes;
use consensus_core::{Ask, NodeId, Protocol, Refusal, session::Reply};

/// Something that happens at an instant.
#[derive(Debug)]
pub(crate) enum Event<P: Protocol> {
    /// A message between replicas arrives as it was sent.
    Message { way: Way, message: P::Message, waited_ns: u64, digest: u64 },
    /// A message between replicas, held back by a fault, is handed to the network.
    HandOver(Frame),
    /// A message between replicas arrives as bytes, perhaps damaged.
    Frame(Frame),
    /// A part of a snapshot arrives, or an answer to one, perhaps damaged.
    Parcel { way: Way, bytes: Bytes },
    /// A gossip datagram arrives, perhaps damaged.
    Datagram { way: Way, bytes: Bytes },
    /// Something ends inside one incarnation of a replica.
    Local { node: NodeId, incarnation: u64, what: Local<P::Timer> },
    /// A client's request arrives at a replica. Boxed, for it is the largest of all, and the others are
    /// many.
    Request { to: NodeId, request: Box<Request> },
    /// A replica's front end is done with a request.
    Admitted { node: NodeId, incarnation: u64, request: Box<Request> },
    /// Something happens at a client.
    Client(ClientEvent),
    /// The workload's next operation is due.
    Arrival,
    /// The director of the faults wants to be asked.
    Director,
    /// The state of every replica is noted.
    Sample,
}

/// From one replica to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
}

/// An encoded message with its checksum.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) way: Way,
    pub(crate) bytes: Bytes,
    /// How long the message had waited for its sender's disk, in nanoseconds.
    pub(crate) waited_ns: u64,
}

/// What ends inside a replica. It is void once the incarnation is over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Local<T> {
    /// The sync that runs.
    Sync,
    /// The patience with batches that no message waits for.
    Age,
    /// Perhaps this timer.
    Timer(T),
    /// The work that kept the replica busy.
    Work,
    /// Gossip's tick.
    Gossip,
    /// What the disk does beside the log.
    Chore,
    /// The patience with a peer that does not acknowledge a snapshot.
    Resend,
}

/// A client's request on its way to a replica.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Which try of which client this is.
    pub(crate) attempt: Attempt,
    /// What is asked of the protocol.
    pub(crate) ask: Ask,
    /// The query that a read puts to the state machine, encoded; empty for a command.
    pub(crate) query: Bytes,
}

/// One try of a client's operation, or of an administrator's errand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Attempt {
    /// Who tries.
    pub(crate) by: Asker,
    /// The how-many-th try this is, over all that it was asked to do.
    pub(crate) number: u64,
}

/// Somebody outside the cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Asker {
    /// The client in this place of the pool.
    Client(usize),
    /// This administrator.
    Administrator(usize),
}

impl Asker {
    /// A number of its own, for the trace.
    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::Client(client) => client as u64,
            Self::Administrator(number) => u64::MAX - number as u64,
        }
    }
}

/// What happens at a client.
#[derive(Debug)]
pub(crate) enum ClientEvent {
    /// A replica's answer arrives.
    Answer(Attempt, Answer),
    /// A client has waited long enough for the answer to a try.
    Impatient(Attempt),
    /// A client has backed off long enough.
    Retry(Attempt),
}

/// What a client hears about one try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// The command was applied.
    Applied(Reply),
    /// The read was served.
    Read(Bytes),
    /// The change of the members, or of the leader, is done.
    Done,
    /// The try was certainly not done.
    Refused(Refusal),
    /// Nobody listened: certainly not done.
    Unreachable,
    /// The replica does not know what will become of it.
    Unknown,
    /// The connection broke before an answer.
    Reset,
}
