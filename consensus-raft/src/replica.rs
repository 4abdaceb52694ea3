//! One replica: its state (§ figure 2), and the dispatch of what happens to it.

use std::time::Duration;

use consensus_core::{
    Ask, Disk, Epoch, Index, Input, Lease, NodeId, Outbox, Payload, Protocol, ReadQuestions,
    ReadRounds, RequestId, Role, Settings, SettingsError, Status, Time, Write, event::Event,
    quorum::Tally,
};

use crate::{
    change::Changing,
    log::Log,
    membership::Membership,
    message::Message,
    record::{Entry, Hard, Record, recover, voted_for},
    replication::Progress,
    snapshot::Snapshots,
    transfer::Transfer,
};

/// The parameters of one replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// What every protocol shares. Raft needs no more.
    pub settings: Settings,
}

/// What a replica waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// Everyone but the leader: no leader was heard of for long enough to campaign (§5.2).
    Election,
    /// The leader: it is time to be heard (§5.2).
    Heartbeat,
    /// The leader, once per election timeout: has a quorum been heard of since the last time (D§6.2)?
    /// Also the tick by which newcomers are measured (D§4.2.1), and a time to think of priorities.
    Quorum,
    /// A follower: no leader was heard of for the shortest election timeout, so it is no longer
    /// bound to refuse others its vote (D§4.2.3).
    Loyalty,
    /// The leader: whoever it hands over to should lead by now (D§3.10).
    Transfer,
}

/// A replica.
///
/// Invariants, beside those that `check` asserts: what was promised in a message that waits for the
/// disk was persisted before it was sent; and nothing at or before `commit` is ever replaced.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Raft {
    /// The parameters; they never change.
    pub(crate) config: Config,
    /// Who votes, by the latest configuration in the log.
    pub(crate) membership: Membership,

    /// The latest term seen; never falls. At least the term of every entry in the log.
    pub(crate) term: u64,
    /// The candidate that has this replica's vote in `term`; once given, kept for the whole term.
    pub(crate) vote: Option<NodeId>,
    /// The hard state as last persisted; behind `term` and `vote` only until the next `save`, which
    /// comes before any durable message.
    pub(crate) saved: Hard,
    /// Changes of the log that are not yet persisted, oldest first; none between a flush and the
    /// next input.
    pub(crate) unsaved: Vec<Write<Record>>,

    /// What it does in this term.
    pub(crate) standing: Standing,

    /// The log since the base, and a margin before. On a leader, only ever appended to (§5.3, Leader Append-Only).
    pub(crate) log: Log,
    /// The last entry known to be committed; never falls, never beyond the log.
    pub(crate) commit: Index,
    /// The last entry handed to the state machine; equal to `commit` after each flush.
    pub(crate) applied: Index,
    /// What leads to the next snapshot.
    pub(crate) snapshots: Snapshots,

    /// The reads that it is to serve as a follower.
    pub(crate) questions: ReadQuestions,
    /// With leases only: a leader was heard of, or this replica was started, so recently that it
    /// helps nobody else to lead, whatever becomes of its term.
    pub(crate) bound: bool,
    /// That begins anew with this flush.
    pub(crate) binding: bool,

    /// Who asked for a hand-over that ended this replica's reign, until another leads.
    pub(crate) handed_over: Option<RequestId>,
}

/// What a replica does in its term.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Standing {
    /// It answers leaders and candidates.
    Follower(Follower),
    /// It asks whether a campaign could succeed. Its term is unchanged.
    PreCandidate(Tally),
    /// It campaigns: it voted for itself in this term. The tally counts its own vote only once that
    /// is on disk.
    Candidate(Tally),
    /// It leads. Boxed, for it is many times the size of the others.
    Leader(Box<Leader>),
}

/// What a follower knows; all of it ends with the term.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Follower {
    /// Who leads this term, once heard of.
    pub leader: Option<NodeId>,
    /// Whether the leader was heard of so recently that others are refused (D§4.2.3).
    pub loyal: bool,
    /// The leader was heard of since the last flush: timers are due to be rearmed.
    pub contact: bool,
    /// How far the log was found to match the leader's since the last flush: an acknowledgement is
    /// due.
    pub matched: Option<Index>,
    /// The latest read round that was received since the last flush: an acknowledgement is due.
    pub round: Option<u64>,
}

/// What a leader knows; all of it ends with the term.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Leader {
    /// The index of the no-op that opened this term (§8): once it is committed, the leader knows
    /// of every earlier commit, and never before.
    pub term_start: Index,
    /// How far its own log is known to be on its own disk; told by its messages to itself, never
    /// assumed.
    pub matched: Index,
    /// How far it has asked its own disk for that.
    pub offered: Index,
    /// What it knows of each peer, in the order of the members.
    pub progress: Vec<Progress>,
    /// The command bytes of its uncommitted entries.
    pub uncommitted_bytes: usize,
    /// The reads that wait.
    pub reads: ReadRounds,
    /// Until when nobody else leads; empty without leases.
    pub lease: Lease,
    /// The position of the latest configuration whose commitment this leader has dealt with.
    pub settled: Option<Index>,
    /// The change of the members that it was asked for.
    pub changing: Option<Changing>,
    /// To whom it hands over.
    pub transfer: Option<Transfer>,
}

impl Protocol for Raft {
    const NAME: &'static str = "raft";

    type Message = Message;
    type Record = Record;
    type Timer = Timer;
    type Config = Config;

    fn configure(settings: Settings) -> Result<Config, SettingsError> {
        settings.validate()?;
        settings.known_options(Self::OPTIONS)?;
        Ok(Config { settings })
    }

    fn recover(
        config: Config,
        incarnation: u64,
        _now: Time,
        disk: Disk<Record>,
        out: &mut Outbox<Self>,
    ) -> Self {
        let recovered = recover(disk);
        let settings = &config.settings;
        let mut replica = Self {
            membership: Membership::new(settings.node, settings.members.clone()),
            config,
            term: recovered.hard.term,
            vote: voted_for(&recovered.hard),
            saved: recovered.hard,
            unsaved: Vec::new(),
            standing: Standing::Follower(Follower::default()),
            log: recovered.log,
            commit: recovered.hard.commit,
            applied: 0,
            snapshots: Snapshots::default(),
            questions: ReadQuestions::new(incarnation),
            bound: false,
            binding: false,
            handed_over: None,
        };
        replica.restore_base(recovered.base, out);
        replica.recover_membership(out);
        replica.apply_committed(out);
        replica.arm_election(out);
        replica.bind_at_start(out);
        replica
    }

    fn step(&mut self, now: Time, input: Input<Self>, out: &mut Outbox<Self>) {
        match input {
            // Whoever it is from: this replica's own configuration may be the one that is behind, and
            // what is counted is only counted of voters (D§4.1).
            Input::Receive { from, message } => self.receive(from, message, out),
            Input::Timeout(Timer::Election) => self.election_timeout(out),
            Input::Timeout(Timer::Heartbeat) => self.heartbeat_timeout(now, out),
            Input::Timeout(Timer::Quorum) => self.quorum_timeout(out),
            Input::Timeout(Timer::Loyalty) => self.loyalty_timeout(),
            Input::Timeout(Timer::Transfer) => self.transfer_timeout(out),
            Input::Ask { request, ask: Ask::Propose(command) } => {
                self.propose(request, command, out);
            }
            Input::Ask { request, ask: Ask::Read(consistency) } => {
                self.read(request, consistency, out);
            }
            Input::Ask { request, ask: Ask::Reconfigure(change) } => {
                self.reconfigure(request, &change, out);
            }
            Input::Ask { request, ask: Ask::Transfer(to) } => self.transfer(request, to, out),
            Input::Compacted(snapshot) => self.compacted(snapshot, out),
            Input::Staged { from, snapshot } => self.staged(from, snapshot, out),
            Input::Suspected { .. } => {}
        }
    }

    fn flush(&mut self, now: Time, out: &mut Outbox<Self>) {
        self.trim();
        self.advance_commit(out);
        self.advance_change(out);
        self.save(out);
        self.acknowledge(out);
        self.acknowledge_reads(out);
        self.replicate(out);
        self.apply_committed(out);
        self.serve_reads(now, out);
        self.ask_leader(out);
        self.serve_followers_reads(out);
        self.conclude_change(out);
        self.advance_transfer(out);
        self.rearm_on_contact(out);
    }

    fn committed(&self, from: Index, to: Index) -> impl Iterator<Item = (Epoch, &Payload)> {
        self.log.range(from..=to).map(|slot| (Epoch::term(slot.term), &slot.payload))
    }

    fn status(&self) -> Status {
        Status {
            node: self.membership.me(),
            role: self.role(),
            epoch: Epoch::term(self.term),
            leader: self.leader(),
            commit: self.commit,
            last: self.log.last_index(),
            first: self.log.before().0 + 1,
            members: self.membership.current().all_voters(),
            learners: self.membership.current().all_learners(),
            changing: self.is_changing(),
        }
    }

    fn check(&self) {
        self.check_invariants();
    }
}

impl Raft {
    fn receive(&mut self, from: NodeId, message: Message, out: &mut Outbox<Self>) {
        match message {
            Message::PreVote(ask) => self.receive_pre_vote(from, ask, out),
            Message::PreVoteReply(reply) => self.receive_pre_vote_reply(from, reply, out),
            Message::RequestVote(ask) => self.receive_request_vote(from, ask, out),
            Message::RequestVoteReply(reply) => self.receive_request_vote_reply(from, reply, out),
            Message::AppendEntries(append) => self.receive_append_entries(from, append, out),
            Message::AppendEntriesReply(reply) => {
                self.receive_append_entries_reply(from, reply, out);
            }
            Message::AppendEntriesRefusal(refusal) => {
                self.receive_append_entries_refusal(from, refusal, out);
            }
            Message::ReadRound(round) => self.receive_read_round(from, round, out),
            Message::ReadAck(ack) => self.receive_read_ack(from, ack, out),
            Message::ReadIndex(ask) => self.receive_read_index(from, ask, out),
            Message::ReadIndexReply(reply) => self.receive_read_index_reply(reply, out),
            Message::TimeoutNow(told) => self.receive_timeout_now(from, told, out),
        }
    }

    /// Persists what changed since the last time, as one atomic batch. Comes before every durable
    /// message. The commit index alone is not worth a write: it rides along with the next.
    pub(crate) fn save(&mut self, out: &mut Outbox<Self>) {
        let vote = self.vote.map_or(0, |candidate| candidate.0);
        let hard = Hard { term: self.term, vote, commit: self.commit };
        let promised = (hard.term, hard.vote) != (self.saved.term, self.saved.vote);
        if !promised && self.unsaved.is_empty() {
            return;
        }
        // The next batch is likely to be as large as this one.
        let room = Vec::with_capacity(self.unsaved.len() + 1);
        let mut writes = std::mem::replace(&mut self.unsaved, room);
        if hard != self.saved {
            writes.push(Write::Put(Record::Hard(hard)));
            self.saved = hard;
        }
        out.persist(writes);
    }

    /// Appends an entry to the log, to be persisted by the next `save`.
    pub(crate) fn append(&mut self, entry: Entry, request: Option<consensus_core::RequestId>) {
        self.log.push(entry.clone(), request);
        self.unsaved.push(Write::Put(Record::Entry(entry)));
    }

    pub(crate) const fn leading(&mut self) -> Option<&mut Leader> {
        match &mut self.standing {
            Standing::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        match &self.standing {
            Standing::Follower(follower) => follower.leader,
            Standing::PreCandidate(_) | Standing::Candidate(_) => None,
            Standing::Leader(_) => Some(self.membership.me()),
        }
    }

    const fn role(&self) -> Role {
        match self.standing {
            Standing::Follower(_) => Role::Follower,
            Standing::PreCandidate(_) => Role::PreCandidate,
            Standing::Candidate(_) => Role::Candidate,
            Standing::Leader(_) => Role::Leader,
        }
    }

    /// Arms a timer that runs out after exactly this time.
    pub(crate) fn arm(timer: Timer, after: Duration, out: &mut Outbox<Self>) {
        out.set_timer(timer, after..after);
    }

    /// Notes that something was refused that no honest, timely sender sends.
    pub(crate) fn refuse(&self, why: String, out: &mut Outbox<Self>) {
        out.note(Event::Refused { why });
    }
}
