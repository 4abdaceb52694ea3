//! The state of one replica, and who handles what.

use std::collections::{BTreeMap, VecDeque};

use consensus_core::{
    Ask, Disk, Event, Index, Input, NodeId, Outbox, Payload, Protocol, RequestId, Role, Settings,
    Status, Time, Write, quorum::Tally,
};

use crate::{
    catchup::Catchup,
    log::{BatchLimit, Log},
    membership::Acceptors,
    message::{MAX_VALUES, Message},
    reads::Reads,
    record::{Ballot, Hard, PValue, PaxosRecord, Recovered},
};

/// Where this protocol puts its effects.
pub(crate) type Out = Outbox<MultiPaxos>;

/// The parameters of one replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// What every protocol shares.
    pub settings: Settings,
}

impl From<Settings> for Config {
    fn from(settings: Settings) -> Self {
        Self { settings }
    }
}

/// What a replica waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// At all but the leader: nobody was heard leading for a time drawn from the election timeout.
    Election,
    /// At the leader: time to be heard.
    Heartbeat,
    /// At the leader: time to ask whether a quorum was heard of (check-quorum). At a follower: the
    /// shortest election timeout has passed since a leader was heard of, so that it may help others
    /// again (pre-vote).
    Quorum,
}

/// One Multi-Paxos replica: proposer, acceptor and learner in one.
///
/// # Invariants
///
/// - `promised` never falls, and no value is accepted under a lower ballot.
/// - `applied_to` = `chosen_to` ≤ the log's last slot, between inputs.
/// - Every slot up to `chosen_to` holds the chosen value, here and, once written, on the disk.
/// - A candidate's or leader's own ballot *is* `promised`: promising a higher one ends both.
/// - Two values for one slot are never proposed under one ballot: only its owner proposes under it,
///   a ballot is on disk before its Prepare leaves, and a leader never proposes a slot twice.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MultiPaxos {
    /// The parameters.
    pub(crate) config: Config,
    /// The static set of acceptors, this replica among them.
    pub(crate) acceptors: Acceptors,
    /// The highest ballot promised.
    pub(crate) promised: Ballot,
    /// The highest ballot heard of in any way; never below `promised`. The next campaign goes above.
    pub(crate) highest_seen: Ballot,
    /// The accepted values.
    pub(crate) log: Log,
    /// Every slot up to here is chosen, and its value is in the log.
    pub(crate) chosen_to: Index,
    /// The last slot handed to the state machine.
    pub(crate) applied_to: Index,
    /// The hard state as last written; never ahead of `promised` and `chosen_to`.
    pub(crate) written: Hard,
    /// This replica's part.
    pub(crate) part: Part,
    /// Who leads under `promised`, as far as known.
    pub(crate) leader: Option<NodeId>,
    /// Whether `leader` was heard of within the shortest election timeout: while it was, nobody else
    /// is helped to campaign.
    pub(crate) leader_is_fresh: bool,
    /// Whether the election timer was reset since the last flush: once per drain is enough.
    pub(crate) timer_is_reset: bool,
    /// An acknowledgement under way: it leaves at the flush, merged with what follows on.
    pub(crate) acknowledgement: Option<Acknowledgement>,
    /// What is known of chosen slots that this replica lacks.
    pub(crate) catchup: Catchup,
}

/// A replica's part, with what belongs to it alone.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Part {
    Follower,
    PreCandidate(PreCandidate),
    Candidate(Candidate),
    Leader(Leader),
}

/// Asks whether a campaign could succeed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct PreCandidate {
    /// Names the question.
    pub ballot: Ballot,
    /// Who would follow.
    pub answers: Tally,
}

/// Campaigns: collects promises for the ballot `promised`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Candidate {
    /// Up to which slot each promise has been told completely; [`Index::MAX`] once it is complete.
    pub promises: BTreeMap<NodeId, Index>,
    /// Per slot not known chosen, the value of the highest ballot among the promises.
    pub recovered: BTreeMap<Index, PValue>,
}

/// Leads under the ballot `promised`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Leader {
    /// The last slot proposed on winning. Whatever an earlier leader had chosen lies at or below it:
    /// once it is chosen, and all before, this leader knows every earlier choice.
    pub inherited_to: Index,
    /// Whether everything up to `inherited_to` is chosen and applied.
    pub is_caught_up: bool,
    /// The window: one proposal per slot, from `chosen_to` + 1 to the log's last.
    pub window: VecDeque<Proposal>,
    /// The command bytes in the window.
    pub window_bytes: usize,
    /// Proposals up to this slot were handed to the disk; those above leave at the next flush.
    pub written_to: Index,
    /// What is known of each other acceptor.
    pub peers: BTreeMap<NodeId, Peer>,
    /// The number of the last heartbeat.
    pub heartbeats: u64,
    /// Linearizable reads under way.
    pub reads: Reads,
}

/// A slot of the leader's window.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Proposal {
    /// The client's request, unless the value was inherited.
    pub request: Option<RequestId>,
    /// Who accepted it under the leader's ballot: one bit per acceptor.
    pub accepted_by: u64,
}

/// What the leader knows of another acceptor.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Peer {
    /// The next slot to propose to it.
    pub next: Index,
    /// The Accepts on their way, as first and last slot, in the order sent.
    pub inflight: VecDeque<(Index, Index)>,
    /// The heartbeat whose answer is waited for, and `next` when it left.
    pub probe: Option<(u64, Index)>,
    /// `next` when the probe before left: what was sent below and is not acknowledged when the
    /// present probe is answered, is lost.
    pub settled: Index,
    /// Whether it was heard of since the last check of the quorum.
    pub is_heard: bool,
}

/// Acceptances under one ballot, of consecutive slots.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Acknowledgement {
    /// The ballot under which they were accepted, and so whom to tell.
    pub ballot: Ballot,
    pub from: Index,
    pub to: Index,
}

impl MultiPaxos {
    pub(crate) const fn node(&self) -> NodeId {
        self.config.settings.node
    }

    /// The other acceptors.
    pub(crate) fn peers(&self) -> impl Iterator<Item = NodeId> + use<> {
        let node = self.node();
        self.acceptors.nodes().to_vec().into_iter().filter(move |&peer| peer != node)
    }

    pub(crate) fn batch_limit(&self) -> BatchLimit {
        let Settings { max_batch_entries, max_batch_bytes, .. } = self.config.settings;
        BatchLimit { entries: max_batch_entries.min(MAX_VALUES), bytes: max_batch_bytes }
    }

    /// Writes accepted values, and along with them the hard state if it changed.
    pub(crate) fn persist(&mut self, mut writes: Vec<Write<PaxosRecord>>, out: &mut Out) {
        let hard = Hard { promised: self.promised, chosen_to: self.chosen_to };
        if hard != self.written {
            writes.push(Write::Put(PaxosRecord::Hard(hard)));
            self.written = hard;
        }
        out.persist(writes);
    }

    fn receive(&mut self, from: NodeId, message: Message, out: &mut Out) {
        if !self.acceptors.contains(from) {
            return out.note(Event::Refused { why: format!("node {from} is no acceptor") });
        }
        match message {
            Message::PreCampaign(question) => self.receive_pre_campaign(from, question, out),
            Message::PreCampaignAnswer(answer) => {
                self.receive_pre_campaign_answer(from, answer, out);
            }
            Message::Prepare(prepare) => self.receive_prepare(from, prepare, out),
            Message::Promise(promise) => self.receive_promise(from, promise, out),
            Message::Accept(accept) => self.receive_accept(from, accept, out),
            Message::Accepted(accepted) => self.receive_accepted(from, accepted, out),
            Message::Nack(nack) => self.receive_nack(nack, out),
            Message::Heartbeat(heartbeat) => self.receive_heartbeat(from, heartbeat, out),
            Message::HeartbeatAck(ack) => self.receive_heartbeat_ack(from, ack, out),
            Message::Learn(learn) => self.receive_learn(from, learn, out),
            Message::Learned(learned) => self.receive_learned(from, learned, out),
            Message::ReadRound(round) => self.receive_read_round(from, round, out),
            Message::ReadAck(ack) => self.receive_read_ack(from, ack, out),
        }
    }
}

impl Protocol for MultiPaxos {
    const NAME: &'static str = "multipaxos";

    type Message = Message;
    type Record = PaxosRecord;
    type Timer = Timer;
    type Config = Config;

    fn recover(
        config: Config,
        _incarnation: u64,
        _now: Time,
        disk: Disk<PaxosRecord>,
        out: &mut Out,
    ) -> Self {
        let Recovered { hard, log } = disk.into();
        let mut replica = Self {
            acceptors: Acceptors::new(&config.settings),
            config,
            promised: hard.promised,
            highest_seen: hard.promised,
            chosen_to: hard.chosen_to,
            applied_to: log.base().index,
            log,
            written: hard,
            part: Part::Follower,
            leader: None,
            leader_is_fresh: false,
            timer_is_reset: false,
            acknowledgement: None,
            catchup: Catchup::default(),
        };
        replica.restore(out);
        replica.apply_committed(out);
        replica.reset_election_timer(out);
        replica
    }

    fn step(&mut self, _now: Time, input: Input<Self>, out: &mut Out) {
        match input {
            Input::Receive { from, message } => self.receive(from, message, out),
            Input::Timeout(Timer::Election) => self.election_timeout(out),
            Input::Timeout(Timer::Heartbeat) => self.heartbeat(out),
            Input::Timeout(Timer::Quorum) => self.quorum_timeout(out),
            Input::Ask { request, ask: Ask::Propose(command) } => {
                self.propose(request, Payload::of(command), out);
            }
            Input::Ask { request, ask: Ask::Read(consistency) } => {
                self.read(request, consistency, out);
            }
        }
    }

    fn flush(&mut self, _now: Time, out: &mut Out) {
        self.timer_is_reset = false;
        self.acknowledge(out);
        self.replicate(out);
        self.serve_reads(out);
    }

    fn status(&self) -> Status {
        Status {
            node: self.node(),
            role: match self.part {
                Part::Follower => Role::Follower,
                Part::PreCandidate(_) => Role::PreCandidate,
                Part::Candidate(_) => Role::Candidate,
                Part::Leader(_) => Role::Leader,
            },
            epoch: self.promised.epoch(),
            leader: self.leader,
            commit: self.chosen_to,
            last: self.log.last(),
            members: self.acceptors.nodes().to_vec(),
        }
    }

    fn check(&self) {
        self.check_invariants();
    }
}
