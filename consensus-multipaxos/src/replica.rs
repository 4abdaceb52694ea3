//! One replica: its state, and the dispatch of what happens to it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use consensus_core::{
    Ask, Configuration, Disk, Epoch, Index, Input, Lease, NodeId, Outbox, Payload, Protocol,
    ReadQuestions, ReadRounds, RequestId, Role, Settings, SettingsError, Status, Time, Write,
    event::Event, quorum::Tally,
};

use crate::{
    catchup::Catchup,
    change::Changing,
    log::{BatchLimit, Log},
    membership::{Membership, Rules},
    message::{MAX_VALUES, MAX_VALUES_BYTES, Message},
    record::{Ballot, Hard, PValue, Record, recover},
    replication::{Acknowledgement, Progress},
    snapshot::Snapshots,
    transfer::Transfer,
    triggers::{Cause, Rounds, Trigger},
};

/// Where this protocol puts its effects.
pub(crate) type Out = Outbox<MultiPaxos>;

/// The parameters of one replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// What every protocol shares.
    pub settings: Settings,
    /// How configurations govern. All replicas must agree about it.
    pub rules: Rules,
    /// What makes a replica campaign.
    pub trigger: Trigger,
}

/// What a replica waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// Everyone but the leader: no leader was heard of for long enough to campaign. Where ballots
    /// elect, every acceptor: a round of heartbeats is over.
    Election,
    /// The leader: it is time to be heard.
    Heartbeat,
    /// The leader: has a quorum been heard of since the last time?
    Quorum,
    /// The leader: whoever it hands over to should lead by now.
    Transfer,
    /// A follower: no leader was heard of for the shortest election timeout, so it is no longer
    /// bound to refuse others its promise.
    Loyalty,
}

/// A replica: proposer, acceptor and learner in one.
///
/// Invariants, beside those that `check` asserts: no value is accepted under a ballot below
/// `promised`; every slot up to `chosen_to` holds the chosen value, and what the disk says is chosen
/// it holds too; two values for one slot are never proposed under one ballot, for only its owner
/// proposes under it, it is on disk before its Prepare leaves, and a leader proposes a slot once.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MultiPaxos {
    /// The parameters; they never change.
    pub(crate) config: Config,
    /// Who accepts; `me` is among them.
    pub(crate) membership: Membership,

    /// The highest ballot promised; never falls. A candidate's or leader's own ballot *is* this one:
    /// promising a higher one ends either.
    pub(crate) promised: Ballot,
    /// The highest ballot heard of in any way; at least `promised`. The next campaign goes above it.
    pub(crate) highest_seen: Ballot,
    /// How many ballots of its own in a row a higher one ended, before anybody led; the more, the
    /// longer it may wait until it makes the next.
    pub(crate) defeats: u32,
    /// What the rounds of heartbeats told, where ballots elect.
    pub(crate) rounds: Rounds,
    /// The hard state as last persisted; behind `promised` only until the next `save`, which comes
    /// before any durable message.
    pub(crate) saved: Hard,
    /// Accepted values that are not yet persisted, oldest first; none between a flush and the next
    /// input.
    pub(crate) unsaved: Vec<Write<Record>>,

    /// What it does under this ballot.
    pub(crate) standing: Standing,

    /// The accepted values since the base, holes allowed.
    pub(crate) log: Log,
    /// Every slot up to here is chosen, and holds its value; never falls.
    pub(crate) chosen_to: Index,
    /// The last slot handed to the state machine; equal to `chosen_to` after each flush.
    pub(crate) applied: Index,
    /// Who asked for a hand-over that ended this replica's reign, until another leads.
    pub(crate) handed_over: Option<RequestId>,
    /// When the next snapshot is due.
    pub(crate) snapshots: Snapshots,
    /// Until when it promises nobody anything, for it may have acknowledged a leader's round before it
    /// started; if leases are in use, and the time is not over.
    pub(crate) waits_until: Option<Time>,
    /// The reads that clients asked it for as a follower.
    pub(crate) questions: ReadQuestions,
}

/// What a replica does under the ballot it promised.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Standing {
    /// It answers leaders and candidates.
    Follower(Follower),
    /// It asks whether a campaign could succeed. It made no ballot.
    PreCandidate(PreCandidate),
    /// It campaigns: it promised a ballot of its own, and collects promises.
    Candidate(Candidate),
    /// It leads. Boxed, for it is many times the size of the others.
    Leader(Box<Leader>),
}

/// What a follower knows; all of it ends with the ballot.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Follower {
    /// Who leads under this ballot, once heard of: its owner.
    pub leader: Option<NodeId>,
    /// Whether the leader was heard of so recently that others are refused.
    pub loyal: bool,
    /// The leader was heard of since the last flush: timers are due to be rearmed.
    pub contact: bool,
    /// What was accepted since the last flush: an acknowledgement is due.
    pub acknowledgement: Option<Acknowledgement>,
    /// The latest read round that was received since the last flush: an acknowledgement is due.
    pub round: Option<u64>,
    /// The leader wants to hear when every choice up to here is on disk.
    pub secure: Option<Index>,
    /// What it knows of chosen slots that it lacks.
    pub catchup: Catchup,
}

/// What a pre-candidate knows.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct PreCandidate {
    /// The ballot that it asked about, as things were when it asked.
    pub asked: Ballot,
    /// Who would follow.
    pub tally: Tally,
}

/// What a candidate knows; all of it ends with the ballot.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Candidate {
    /// Why it campaigns.
    pub cause: Cause,
    /// Up to which slot each promise was told; [`Index::MAX`] once it was told completely. Its own
    /// counts only once that is on disk.
    pub promises: BTreeMap<NodeId, Index>,
    /// Whom else it asked.
    pub asked: BTreeSet<NodeId>,
    /// Per slot that is not known chosen, the value of the highest ballot among the promises.
    pub recovered: BTreeMap<Index, PValue>,
    /// Up to where a promise told that everything is chosen, without telling what; and whose it was.
    pub compacted: Option<(Index, NodeId)>,
}

/// What a winner knows that lacks slots of which only a snapshot tells what was chosen. It proposes
/// nothing before it has them: it cannot tell what is free.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Lagging {
    /// Everything up to here is chosen.
    pub compacted_to: Index,
    /// Whose promises it has.
    pub promises: BTreeSet<NodeId>,
    /// What the promises told of later slots.
    pub recovered: BTreeMap<Index, PValue>,
    /// How it gets what it lacks.
    pub catchup: Catchup,
    /// For how many heartbeats nobody helped it.
    pub unhelped: u32,
}

/// What a leader knows; all of it ends with the ballot.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Leader {
    /// What it must get before it takes over; none once it has.
    pub lagging: Option<Box<Lagging>>,
    /// The last slot that the promises told of, or the first after those known chosen;
    /// [`Index::MAX`] before it takes over. Whatever earlier leaders chose lies at or before it: once
    /// everything up to it is chosen, the leader knows of every earlier choice, and never before.
    pub inherited_to: Index,
    /// What the promises told of the slots after the window, whose acceptors are not known yet.
    pub inherited: BTreeMap<Index, PValue>,
    /// One proposal per slot, from `applied` + 1 to the last that was proposed; none before it takes
    /// over.
    pub window: VecDeque<Proposal>,
    /// The last slot that it has asked its own disk for.
    pub offered: Index,
    /// What it knows of each peer, in ascending.
    pub progress: Vec<Progress>,
    /// The change of the members that it was asked for.
    pub changing: Option<Changing>,
    /// The configuration that it will propose as soon as the window has room.
    pub next_configuration: Option<Configuration>,
    /// The first slot of the configuration decided last, until a quorum of that knows everything
    /// before it.
    pub coming: Option<Index>,
    /// Up to where it holds every choice on its own disk, as far as it was of interest.
    pub secured: Index,
    /// Up to where it was of interest.
    pub asked: Index,
    /// To whom it hands over.
    pub transfer: Option<Transfer>,
    /// The command bytes of the proposals in the window.
    pub uncommitted_bytes: usize,
    /// The reads that wait.
    pub reads: ReadRounds,
    /// Until when nobody else can lead, if leases are in use.
    pub lease: Lease,
}

/// A slot of the leader's window.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Proposal {
    /// The client's request that waits for it; none for what was inherited.
    pub request: Option<RequestId>,
    /// Who accepted it under the leader's ballot, on disk: one bit per acceptor.
    pub accepted_by: u64,
}

impl Leader {
    /// Whether it proposes: it knows what is chosen, as far as the promises told.
    pub const fn has_taken_over(&self) -> bool {
        self.lagging.is_none()
    }
}

impl Protocol for MultiPaxos {
    const NAME: &'static str = "multipaxos";

    type Message = Message;
    type Record = Record;
    type Timer = Timer;
    type Config = Config;

    const OPTIONS: &'static [(&'static str, &'static str)] = &[
        (
            "alpha",
            "a configuration chosen for slot i governs from slot i + alpha on (default 4096)",
        ),
        (
            "election",
            "what makes a replica campaign: timeout (default); detector: it suspects the leader; or \
             ballot: in rounds of heartbeats, no leader is quorum-connected",
        ),
        ("phase-1-quorum", "how many acceptors must promise (default: a majority)"),
        ("phase-2-quorum", "how many acceptors must accept (default: a majority)"),
    ];

    fn configure(settings: Settings) -> Result<Config, SettingsError> {
        settings.validate()?;
        settings.known_options(Self::OPTIONS)?;
        let rules = Rules::of(&settings)?;
        let trigger = Trigger::of(&settings)?;
        Ok(Config { settings, rules, trigger })
    }

    fn recover(
        config: Config,
        incarnation: u64,
        now: Time,
        disk: Disk<Record>,
        out: &mut Out,
    ) -> Self {
        let recovered = recover(disk);
        let settings = &config.settings;
        let mut replica = Self {
            membership: Membership::new(settings.node, config.rules, settings.members.clone()),
            rounds: Rounds::of(config.trigger, incarnation),
            config,
            promised: recovered.hard.promised,
            highest_seen: recovered.hard.promised,
            defeats: 0,
            saved: recovered.hard,
            unsaved: Vec::new(),
            standing: Standing::Follower(Follower::default()),
            log: recovered.log,
            chosen_to: recovered.hard.chosen_to,
            applied: 0,
            handed_over: None,
            snapshots: Snapshots::default(),
            waits_until: None,
            questions: ReadQuestions::new(incarnation),
        };
        replica.restore_base(recovered.base, out);
        replica.recover_membership(out);
        replica.apply_committed(out);
        replica.arm_election(out);
        replica.wait_out_leases(now);
        replica
    }

    fn step(&mut self, now: Time, input: Input<Self>, out: &mut Out) {
        self.end_wait(now);
        match input {
            // Whoever asks is answered, member or not: a newcomer knows of nobody, and whoever was
            // removed must learn of it. Only members count.
            Input::Receive { from, message } => self.receive(from, message, out),
            Input::Timeout(Timer::Election) => self.election_timeout(out),
            Input::Timeout(Timer::Heartbeat) => self.heartbeat_timeout(now, out),
            Input::Timeout(Timer::Quorum) => self.quorum_timeout(out),
            Input::Timeout(Timer::Transfer) => self.transfer_timeout(out),
            Input::Timeout(Timer::Loyalty) => self.loyalty_timeout(),
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
            Input::Suspected { node, suspected } => self.suspected(node, suspected, out),
        }
    }

    fn flush(&mut self, now: Time, out: &mut Out) {
        self.advance_commit(out);
        self.advance_change(out);
        self.advance_transfer(out);
        self.save(out);
        self.acknowledge(out);
        self.acknowledge_reads(out);
        self.acknowledge_secure(out);
        self.replicate(out);
        self.apply_committed(out);
        self.serve_reads(now, out);
        self.ask_leader(out);
        self.rearm_on_contact(out);
        self.trim();
    }

    fn committed(&self, from: Index, to: Index) -> impl Iterator<Item = (Epoch, &Payload)> {
        self.log.range(from..=to).map(|slot| (slot.ballot.epoch(), &slot.value))
    }

    fn status(&self) -> Status {
        Status {
            node: self.membership.me(),
            role: self.role(),
            epoch: self.promised.epoch(),
            leader: self.leader(),
            commit: self.chosen_to,
            last: self.log.last(),
            first: self.log.dropped_to() + 1,
            members: self.membership.voters(),
            learners: self.membership.learners(),
            changing: self.is_changing(),
        }
    }

    fn check(&self) {
        self.check_invariants();
    }
}

impl MultiPaxos {
    fn receive(&mut self, from: NodeId, message: Message, out: &mut Out) {
        match message {
            Message::PreCampaign(ask) => self.receive_pre_campaign(from, ask, out),
            Message::PreCampaignReply(reply) => self.receive_pre_campaign_reply(from, reply, out),
            Message::Prepare(prepare) => self.receive_prepare(from, prepare, out),
            Message::Promise(promise) => self.receive_promise(from, *promise, out),
            Message::Accept(accept) => self.receive_accept(from, accept, out),
            Message::Accepted(accepted) => self.receive_accepted(from, accepted, out),
            Message::Nack(nack) => self.receive_nack(nack, out),
            Message::Learn(learn) => self.receive_learn(from, learn, out),
            Message::Learned(learned) => self.receive_learned(from, learned, out),
            Message::Secure(ask) => self.receive_secure(from, ask, out),
            Message::Secured(secured) => self.receive_secured(from, secured),
            Message::TimeoutNow(told) => self.receive_timeout_now(from, told, out),
            Message::ReadRound(round) => self.receive_read_round(from, round, out),
            Message::ReadAck(ack) => self.receive_read_ack(from, ack, out),
            Message::ReadIndex(ask) => self.receive_read_index(from, ask),
            Message::ReadIndexReply(reply) => self.receive_read_index_reply(from, reply, out),
            Message::HeartbeatRequest(ask) => self.receive_heartbeat_request(from, ask, out),
            Message::HeartbeatReply(reply) => self.receive_heartbeat_reply(from, reply),
        }
    }

    /// Persists what changed since the last time, as one atomic batch. Comes before every durable
    /// message. The chosen watermark alone is not worth a write: it rides along with the next.
    pub(crate) fn save(&mut self, out: &mut Out) {
        let hard = Hard { promised: self.promised, chosen_to: self.chosen_to };
        if hard.promised != self.saved.promised || !self.unsaved.is_empty() {
            self.write(hard, out);
        }
    }

    /// Persists that everything up to here is chosen, and whatever else changed. Whoever only holds the
    /// values must ask those who accepted them whether they are chosen, and may find them gone.
    pub(crate) fn save_choices(&mut self, to: Index, out: &mut Out) {
        let hard = Hard { promised: self.promised, chosen_to: self.chosen_to };
        if self.saved.chosen_to < to {
            self.write(hard, out);
        } else {
            self.save(out);
        }
    }

    fn write(&mut self, hard: Hard, out: &mut Out) {
        // The next batch is likely to be as large as this one.
        let room = Vec::with_capacity(self.unsaved.len() + 1);
        let mut writes = std::mem::replace(&mut self.unsaved, room);
        if hard != self.saved {
            // Built in its place, and not copied there: a batch of one entry feels it.
            writes.extend(std::iter::once_with(|| Write::Put(Record::Hard(hard))));
            self.saved = hard;
        }
        out.persist(writes);
    }

    /// Accepts a value, to be persisted by the next `save`.
    pub(crate) fn put(&mut self, pvalue: PValue) {
        self.membership.accepted(pvalue.slot, &pvalue.value);
        self.log.put(pvalue.slot, pvalue.ballot, pvalue.value.clone());
        self.unsaved.push(Write::Put(Record::Accepted(pvalue)));
    }

    /// Accepts values for consecutive slots after all that are held.
    pub(crate) fn put_all(&mut self, first: Index, ballot: Ballot, values: Vec<Payload>) {
        let accepted = |(slot, value): (Index, &Payload)| {
            self.membership.accepted(slot, value);
            Write::Put(Record::Accepted(PValue { slot, ballot, value: value.clone() }))
        };
        self.unsaved.extend((first..).zip(&values).map(accepted));
        self.log.extend(first, ballot, values);
    }

    pub(crate) const fn leading(&mut self) -> Option<&mut Leader> {
        match &mut self.standing {
            Standing::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    pub(crate) const fn leads(&self) -> bool {
        matches!(self.standing, Standing::Leader(_))
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

    /// What one message may carry.
    pub(crate) fn batch_limit(&self) -> BatchLimit {
        let settings = &self.config.settings;
        BatchLimit {
            entries: settings.max_batch_entries.min(MAX_VALUES),
            bytes: settings.max_batch_bytes.min(MAX_VALUES_BYTES),
        }
    }

    /// Arms a timer that runs out after exactly this time.
    pub(crate) fn arm(timer: Timer, after: Duration, out: &mut Out) {
        out.set_timer(timer, after..after);
    }

    /// Notes that something was refused that no honest, timely sender sends.
    pub(crate) fn refuse(&self, why: String, out: &mut Out) {
        out.note(Event::Refused { why });
    }
}
