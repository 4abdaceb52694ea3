//! A consensus protocol as a pure state machine, and the contract between it and what drives it.

use std::{fmt::Debug, hash::Hash, ops::Range, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    configuration::{Change, ChangeError},
    event::Event,
    id::{Epoch, Index, NodeId, RequestId},
    payload::{Command, Payload},
    record::{Disk, Record, SnapshotMeta, Write},
    settings::{Settings, SettingsError},
    time::Time,
    wire::Wire,
};

/// A consensus protocol: one thing in, a list of effects out.
///
/// An implementation does no I/O, reads no clock and draws no random number, so the very same code
/// runs in virtual time, in a model checker, on loopback and in pods. What drives it keeps the
/// contract that the [crate's documentation](crate) states.
pub trait Protocol: Clone + Eq + Hash + Debug + Sized + Send + 'static {
    /// The protocol's name on the command line, on the wire and in reports.
    const NAME: &'static str;

    /// What replicas send each other.
    type Message: Wire;
    /// What a replica persists.
    type Record: Record;
    /// What a replica waits for.
    type Timer: Copy + Ord + Hash + Debug + Send + 'static;
    /// The parameters of one replica.
    type Config: Clone + Eq + Hash + Debug + Send + 'static;

    /// The protocol's own options, which [`Settings::options`] may set, each with what it is for.
    const OPTIONS: &'static [(&'static str, &'static str)] = &[];

    /// The parameters of one replica, from what all protocols share and the protocol's own options.
    ///
    /// # Errors
    ///
    /// If the protocol cannot work with them.
    fn configure(settings: Settings) -> Result<Self::Config, SettingsError>;

    /// Starts a replica from what its disk holds; an empty disk starts a new one. Every replica
    /// starts as a follower, and one that no configuration names only learns.
    ///
    /// `incarnation` grows with every start of this replica.
    fn recover(
        config: Self::Config,
        incarnation: u64,
        now: Time,
        disk: Disk<Self::Record>,
        out: &mut Outbox<Self>,
    ) -> Self;

    /// Takes one input.
    fn step(&mut self, now: Time, input: Input<Self>, out: &mut Outbox<Self>);

    /// Ends a bounded drain of the inbox: what may be batched (one append per peer, one
    /// acknowledgement, one read round) is sent here.
    fn flush(&mut self, now: Time, out: &mut Outbox<Self>);

    /// The entries from one position to another, both included, with the epochs under which they
    /// were proposed: what the last [`Effect::Apply`] named.
    fn committed(&self, from: Index, to: Index) -> impl Iterator<Item = (Epoch, &Payload)>;

    /// What the replica believes at this moment.
    fn status(&self) -> Status;

    /// Asserts the local invariants, in O(1).
    ///
    /// # Panics
    ///
    /// If one does not hold.
    fn check(&self);
}

/// What may happen to a replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input<P: Protocol> {
    /// A message arrived, from a peer or from the replica itself.
    Receive {
        /// Who sent it.
        from: NodeId,
        /// The message.
        message: P::Message,
    },
    /// A timer ran out.
    Timeout(P::Timer),
    /// A client asks for something.
    Ask {
        /// The request's name, for the answer.
        request: RequestId,
        /// What it asks for.
        ask: Ask,
    },
    /// The snapshot that [`Effect::TakeSnapshot`] asked for is durable.
    Compacted(SnapshotMeta),
    /// A snapshot came from a peer, whole, and is durable. It is not in use before the protocol
    /// makes it the base ([`Write::Base`]) and restores it.
    Staged {
        /// Who sent it.
        from: NodeId,
        /// Its name.
        snapshot: SnapshotMeta,
    },
    /// The failure detector changed its mind about a node. A hint for when to campaign, and never
    /// evidence for a quorum.
    Suspected {
        /// Which node.
        node: NodeId,
        /// Whether it seems dead.
        suspected: bool,
    },
}

/// What a client may ask of a replica.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ask {
    /// Commit this command and apply it.
    Propose(Command),
    /// Say when the state machine may be read.
    Read(Consistency),
    /// Change the members. Answered once the whole change is committed, and refused while another
    /// is under way.
    Reconfigure(Change),
    /// Hand leadership over to this node; to whichever is best, if none is named. Answered once
    /// another leads.
    Transfer(Option<NodeId>),
}

/// What a read promises.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// The read sees every write that was acknowledged before the read was asked for. It costs one
    /// round to a quorum and writes no log (Raft §6.4 of the dissertation).
    Linearizable,
    /// As [`Linearizable`](Self::Linearizable), if no clock drifts beyond
    /// [`Settings::max_clock_drift_ppm`]: the leader answers at once while it holds a lease (Raft
    /// §6.4.1 of the dissertation), and by a round otherwise.
    Lease,
    /// As [`Linearizable`](Self::Linearizable), and served by the replica that was asked, whoever
    /// leads: it asks the leader up to where it must have applied (Raft §6.4 of the dissertation).
    Follower,
    /// The read sees whatever this replica has applied.
    Stale,
}

impl Consistency {
    /// Every kind of read, from the strongest promise on.
    pub const ALL: [Self; 4] = [Self::Linearizable, Self::Lease, Self::Follower, Self::Stale];

    /// Its name on the command line, in queries, schedules and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linearizable => "linearizable",
            Self::Lease => "lease",
            Self::Follower => "follower",
            Self::Stale => "stale",
        }
    }

    /// Whether the replica that is asked serves the read, whoever leads.
    pub const fn is_served_anywhere(self) -> bool {
        matches!(self, Self::Follower | Self::Stale)
    }
}

impl std::fmt::Display for Consistency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What a protocol wants done.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Effect<P: Protocol> {
    /// Write these, atomically and after every earlier batch.
    Persist(Vec<Write<P::Record>>),
    /// Send a message, possibly to oneself. It is frozen now and never rebuilt.
    Send {
        /// To whom.
        to: NodeId,
        /// The message.
        message: P::Message,
        /// Whether it waits for the disk.
        when: When,
    },
    /// Hand committed entries to the state machine: in order, without gaps, each once per
    /// incarnation. They stay where they are, in the log: [`Applies::entries`] reads them.
    Apply(Applies),
    /// Save the state machine, as of the `Apply` effects so far, under this name; once that is
    /// durable, [`Input::Compacted`] says so. One that was asked for earlier and is not yet saved
    /// may be skipped.
    TakeSnapshot(SnapshotMeta),
    /// Replace the state machine by this snapshot, which is durable: at recovery, before every
    /// `Apply` of the incarnation, and when one that came from a peer is installed.
    Restore(SnapshotMeta),
    /// See to it that a peer gets this snapshot, the base of the log: in chunks, again after a
    /// failure, and going on where a broken transfer stopped. Nothing happens if it is on its way
    /// there already; a transfer of an earlier one to the same peer ends.
    SendSnapshot {
        /// To whom.
        to: NodeId,
        /// Which.
        snapshot: SnapshotMeta,
    },
    /// Answer a request that no `Apply` answers.
    Reply {
        /// Which request.
        request: RequestId,
        /// What became of it.
        outcome: Outcome,
    },
    /// (Re)arm a timer, to run out after a time drawn from this range. An earlier arming of it, and
    /// an expiry already queued, are cancelled.
    SetTimer {
        /// Which timer.
        timer: P::Timer,
        /// The range of the draw; empty (start = end) for a fixed time.
        within: Range<Duration>,
    },
    /// Disarm a timer, and cancel an expiry already queued.
    CancelTimer(P::Timer),
    /// Something worth knowing happened.
    Note(Event),
}

/// A run of committed entries, and the requests that their results answer.
///
/// The entries are read from the protocol's log, before the replica takes its next step: copying
/// each of them into an effect would cost more than all else that the protocol does for it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Applies {
    /// The first position.
    pub from: Index,
    /// The last position.
    pub to: Index,
    /// The requests that were proposed here, with their positions, ascending: the state machine's
    /// results answer them.
    pub requests: Vec<(Index, RequestId)>,
}

/// A committed entry on its way to the state machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed<'a> {
    /// Its position.
    pub index: Index,
    /// The epoch under which it was proposed.
    pub epoch: Epoch,
    /// What it carries.
    pub payload: &'a Payload,
    /// The request that its result answers.
    pub request: Option<RequestId>,
}

impl Applies {
    /// The entries, in order.
    pub fn entries<P: Protocol>(self, protocol: &P) -> impl Iterator<Item = Committed<'_>> {
        let mut requests = self.requests.into_iter().peekable();
        (self.from..).zip(protocol.committed(self.from, self.to)).map(
            move |(index, (epoch, payload))| {
                let request = requests.next_if(|&(at, _)| at == index).map(|(_, request)| request);
                Committed { index, epoch, payload, request }
            },
        )
    }
}

/// When a message may leave.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum When {
    /// After every earlier [`Effect::Persist`] is on disk: the message promises something.
    #[default]
    Durable,
    /// At once: the message promises nothing that a crash could break.
    Now,
}

/// What became of a request.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    /// The read may be served from the state machine as of the `Apply` effects emitted so far.
    Readable,
    /// The members are changed, or leadership is handed over.
    Done,
    /// Certainly not done.
    Refused(Refusal),
    /// Perhaps done, perhaps not: leadership was lost while the command was in the log.
    Unknown,
}

/// Why a request was certainly not done.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
pub enum Refusal {
    /// Another replica leads, or nobody does.
    #[error("this replica does not lead{}", leader.map_or(String::new(), |l| format!("; node {l} does")))]
    NotLeader {
        /// Who leads, as far as this replica knows.
        leader: Option<NodeId>,
    },
    /// Too much is waiting to be committed.
    #[error("the leader holds as many uncommitted commands as it may")]
    Overloaded,
    /// The command is larger than the log accepts.
    #[error("the command is larger than {} bytes", crate::payload::MAX_COMMAND_BYTES)]
    TooLarge,
    /// The protocol does not offer this.
    #[error("{0} is not offered by this protocol")]
    Unsupported(&'static str),
    /// Members change one change at a time.
    #[error("another change of the members is under way: {0}")]
    ChangeUnderWay(String),
    /// The change of the members makes no sense.
    #[error(transparent)]
    BadChange(#[from] ChangeError),
    /// The change was given up: whoever was to be added did not catch up.
    #[error("node {0} did not catch up; the members are as before")]
    NotCaughtUp(NodeId),
    /// Leadership is being handed over: whoever is next will take the request.
    #[error("leadership is being handed over to node {0}")]
    Transferring(NodeId),
    /// Leadership stays.
    #[error("leadership was not handed over: {0}")]
    NotTransferred(String),
}

/// A replica's part in its epoch.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Follows whoever leads.
    #[default]
    Follower,
    /// Asks whether a campaign could succeed (pre-vote), without a new epoch.
    PreCandidate,
    /// Campaigns for votes or promises.
    Candidate,
    /// Leads.
    Leader,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Follower => "follower",
            Self::PreCandidate => "pre-candidate",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
        })
    }
}

/// What a replica believes at a moment.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// The replica.
    pub node: NodeId,
    /// Its part.
    pub role: Role,
    /// The highest epoch it voted in or heard of.
    pub epoch: Epoch,
    /// Who leads that epoch, as far as it knows.
    pub leader: Option<NodeId>,
    /// The last position it knows to be committed.
    pub commit: Index,
    /// The last position in its log.
    pub last: Index,
    /// The first position that its log still holds; one past the last if it holds none.
    pub first: Index,
    /// The voting members: in a joint configuration, of both sets.
    pub members: Vec<NodeId>,
    /// The members that learn without a vote.
    pub learners: Vec<NodeId>,
    /// Whether a change of the members is under way.
    pub changing: bool,
}

/// Where a protocol puts its effects, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Outbox<P: Protocol> {
    effects: Vec<Effect<P>>,
}

impl<P: Protocol> Default for Outbox<P> {
    fn default() -> Self {
        Self { effects: Vec::new() }
    }
}

impl<P: Protocol> Outbox<P> {
    /// An empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Persists these writes as one atomic batch; nothing if there are none.
    pub fn persist(&mut self, writes: Vec<Write<P::Record>>) {
        if !writes.is_empty() {
            self.push(|| Effect::Persist(writes));
        }
    }

    /// Sends a message once every earlier persist is on disk.
    pub fn send(&mut self, to: NodeId, message: P::Message) {
        self.push(|| Effect::Send { to, message, when: When::Durable });
    }

    /// Sends a message that promises nothing, at once.
    pub fn send_now(&mut self, to: NodeId, message: P::Message) {
        self.push(|| Effect::Send { to, message, when: When::Now });
    }

    /// Hands committed entries to the state machine, with the requests that wait for some of them;
    /// nothing if there are none.
    pub fn apply(&mut self, from: Index, to: Index, requests: Vec<(Index, RequestId)>) {
        if from <= to {
            self.push(|| Effect::Apply(Applies { from, to, requests }));
        }
    }

    /// Has the state machine saved as of the applies so far.
    pub fn take_snapshot(&mut self, snapshot: SnapshotMeta) {
        self.push(|| Effect::TakeSnapshot(snapshot));
    }

    /// Has a snapshot sent to a peer.
    pub fn send_snapshot(&mut self, to: NodeId, snapshot: SnapshotMeta) {
        self.push(|| Effect::SendSnapshot { to, snapshot });
    }

    /// Starts the state machine from a snapshot.
    pub fn restore(&mut self, base: SnapshotMeta) {
        self.push(|| Effect::Restore(base));
    }

    /// Answers a request.
    pub fn reply(&mut self, request: RequestId, outcome: Outcome) {
        self.push(|| Effect::Reply { request, outcome });
    }

    /// Refuses a request: it is certainly not done.
    pub fn refuse(&mut self, request: RequestId, why: Refusal) {
        self.reply(request, Outcome::Refused(why));
    }

    /// Arms a timer with a time drawn from the range.
    pub fn set_timer(&mut self, timer: P::Timer, within: Range<Duration>) {
        self.push(|| Effect::SetTimer { timer, within });
    }

    /// Disarms a timer.
    pub fn cancel_timer(&mut self, timer: P::Timer) {
        self.push(|| Effect::CancelTimer(timer));
    }

    /// Notes that something happened.
    pub fn note(&mut self, event: Event) {
        self.push(|| Effect::Note(event));
    }

    /// Makes room first, so that the effect is built in its place. One that is built elsewhere and
    /// copied costs more than its bytes: the processor waits until what was just written in small
    /// pieces can be read in large ones.
    #[inline]
    fn push(&mut self, effect: impl FnOnce() -> Effect<P>) {
        self.effects.extend(std::iter::once_with(effect));
    }

    /// The effects so far, in order.
    pub fn effects(&self) -> &[Effect<P>] {
        &self.effects
    }

    /// Takes the effects out, in order, and leaves the outbox empty with its room kept.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect<P>> {
        self.effects.drain(..)
    }
}
