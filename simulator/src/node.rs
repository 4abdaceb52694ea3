//! One simulated replica: a protocol, its state machine, its disk and its timers, driven as the
//! contract in [`consensus_core`]'s documentation says.

mod effects;
mod hardware;
mod snapshots;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use consensus_core::{Input, NodeId, Outbox, Protocol, Refusal, RequestId, Status, Time};
use faults::Clock;

use self::snapshots::Chore;
use crate::{
    disk::Barrier,
    event::{Answer, Attempt, Event, Local, Request},
    machine::Machine,
    membership::{Membership, Suspicion},
    recording::{Cause, RefusedDisk},
    snapshots::{Parcel, Sendings, Shelf},
    surroundings::Surroundings,
    timers::{Look, Timers},
};

/// The most inputs that are handled before a flush.
const DRAIN: usize = 256;

/// The most inputs that wait at a replica, as socket buffers are bounded too. What comes on top is
/// dropped.
const INBOX: usize = 16_384;

/// A replica: what outlives its incarnations, and the one that runs.
pub(crate) struct Node<P: Protocol, M> {
    id: NodeId,
    config: P::Config,
    clock: Clock,
    incarnation: u64,
    barrier: Barrier<P>,
    shelf: Shelf,
    timers: Timers<P::Timer>,
    /// When the event comes that looks after batches that no message waits for.
    age_at: Option<Time>,
    running: Option<Running<P, M>>,
    activity: Activity,
    /// How many requests it was asked, in all incarnations: names the next.
    requests: u64,
    outbox: Outbox<P>,
}

/// One incarnation.
struct Running<P: Protocol, M> {
    protocol: P,
    machine: M,
    inbox: VecDeque<Incoming<P>>,
    pending: BTreeMap<RequestId, Pending>,
    /// The protocol took a step since its last flush, or has only just started.
    stepped: bool,
    /// The replica is at work until then, and handles nothing new.
    busy_until: Time,
    /// Whether an event will come when the work ends.
    called_back: bool,
    /// Clients' requests keep the front end busy until then.
    front_end_until: Time,
    membership: Option<Membership>,
    /// What the disk does beside the log, the oldest first, and until when.
    chores: VecDeque<Chore>,
    chores_until: Time,
    sendings: Sendings,
    /// When an event comes that looks after what is being sent.
    resend_at: Option<Time>,
    /// What the disk would be done with by now, if it were not stalled.
    held_back: Vec<Local<P::Timer>>,
}

/// Whether a replica that is up gets to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Activity {
    Awake,
    Paused,
}

/// Whether there was an incarnation to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    /// It was running.
    Running,
    /// None was running.
    Already,
}

/// Something that waits in the inbox.
enum Incoming<P: Protocol> {
    Message {
        from: NodeId,
        message: P::Message,
        waited_ns: u64,
    },
    Request(Box<Request>),
    /// Something about a snapshot, for the driver.
    Parcel {
        from: NodeId,
        parcel: Parcel,
    },
    /// What the driver tells the protocol of its own accord.
    Driver(Input<P>),
}

/// A request that was handed to the protocol.
struct Pending {
    attempt: Attempt,
    query: Bytes,
}

impl<P: Protocol, M: Machine> Node<P, M> {
    /// A replica that was never started.
    pub(crate) fn new(
        id: NodeId,
        config: P::Config,
        clock: Clock,
        barrier: Barrier<P>,
        timers: Timers<P::Timer>,
    ) -> Self {
        Self {
            id,
            config,
            clock,
            incarnation: 0,
            barrier,
            shelf: Shelf::default(),
            timers,
            age_at: None,
            running: None,
            activity: Activity::Awake,
            requests: 0,
            outbox: Outbox::new(),
        }
    }

    /// Which replica it is.
    pub(crate) const fn id(&self) -> NodeId {
        self.id
    }

    /// Whether it was ever started.
    pub(crate) const fn is_deployed(&self) -> bool {
        self.incarnation > 0
    }

    /// Whether it runs, paused or not.
    pub(crate) const fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Whether it runs and is not paused.
    pub(crate) fn is_awake(&self) -> bool {
        self.is_up() && self.activity == Activity::Awake
    }

    /// What its protocol believes, if it runs.
    pub(crate) fn status(&self) -> Option<Status> {
        self.running.as_ref().map(|running| running.protocol.status())
    }

    /// Its state machine, if it runs.
    pub(crate) fn machine(&self) -> Option<&M> {
        self.running.as_ref().map(|running| &running.machine)
    }

    /// How many syncs its disk was asked for.
    pub(crate) const fn syncs(&self) -> u64 {
        self.barrier.syncs()
    }

    /// Starts the next incarnation from what the disk holds; nothing, if one runs, or if a record on
    /// the disk is damaged.
    pub(crate) fn start(&mut self, now: Time, around: &mut Surroundings<P>) {
        if self.is_up() {
            return;
        }
        let disk = match self.barrier.recover() {
            Ok(disk) => disk,
            Err(error) => {
                let (node, why) = (self.id, error.to_string());
                return around.recorder.refused(RefusedDisk { at: now, node, why });
            }
        };
        self.incarnation += 1;
        self.activity = Activity::Awake;
        self.reclaim();
        self.age_at = None;
        let config = self.config.clone();
        let shown = self.clock.shows(now);
        let protocol = P::recover(config, self.incarnation, shown, disk, &mut self.outbox);
        protocol.check();
        self.running = Some(Running {
            protocol,
            machine: M::default(),
            inbox: VecDeque::new(),
            pending: BTreeMap::new(),
            stepped: true,
            busy_until: now,
            called_back: false,
            front_end_until: now,
            membership: None,
            chores: VecDeque::new(),
            chores_until: now,
            sendings: Sendings::default(),
            resend_at: None,
            held_back: Vec::new(),
        });
        self.carry_out(now, Cause::NONE, around);
        self.join(now, around);
        self.wake(now, around);
    }

    /// Ends the incarnation that runs, as SIGKILL and a power cut together do: unsynced batches are
    /// lost from a drawn one on. Says how many batches were lost.
    pub(crate) fn crash(&mut self, now: Time, around: &mut Surroundings<P>) -> u64 {
        match self.end(now, around) {
            Ended::Running => self.barrier.crash(),
            Ended::Already => 0,
        }
    }

    /// Ends the incarnation that runs, after a last sync, if the disk does that much.
    pub(crate) fn stop(&mut self, now: Time, around: &mut Surroundings<P>) {
        if self.end(now, around) == Ended::Already {
            return;
        }
        if self.barrier.is_stalled() || self.barrier.failure().is_some() {
            around.recorder.counters(self.id).lost_batches += self.barrier.crash();
        } else {
            self.barrier.stop();
        }
    }

    /// Ends the incarnation: whoever waits for an answer loses the connection.
    fn end(&mut self, now: Time, around: &mut Surroundings<P>) -> Ended {
        let Some(running) = self.running.take() else { return Ended::Already };
        self.timers.clear();
        let queued = running.inbox.iter().filter_map(|incoming| match incoming {
            Incoming::Request(request) => Some(request.attempt),
            Incoming::Message { .. } | Incoming::Parcel { .. } | Incoming::Driver(_) => None,
        });
        let asked = running.pending.values().map(|pending| pending.attempt);
        for attempt in asked.chain(queued) {
            around.answer(now, self.id, attempt, Answer::Reset);
        }
        Ended::Running
    }

    /// Stops handling anything; everything piles up.
    pub(crate) fn pause(&mut self) {
        self.activity = Activity::Paused;
    }

    /// Handles what piled up, and goes on.
    pub(crate) fn resume(&mut self, now: Time, around: &mut Surroundings<P>) {
        self.activity = Activity::Awake;
        self.wake(now, around);
        self.gossip(now, around);
    }

    /// A message from a peer arrives.
    pub(crate) fn receive(
        &mut self,
        now: Time,
        from: NodeId,
        message: P::Message,
        waited_ns: u64,
        around: &mut Surroundings<P>,
    ) {
        let Some(running) = &mut self.running else { return };
        if running.inbox.len() >= INBOX {
            around.recorder.counters(self.id).overflowed += 1;
            return;
        }
        running.inbox.push_back(Incoming::Message { from, message, waited_ns });
        self.wake(now, around);
    }

    /// A part of a snapshot arrives, or an answer to one.
    pub(crate) fn unpack(
        &mut self,
        now: Time,
        from: NodeId,
        parcel: Parcel,
        around: &mut Surroundings<P>,
    ) {
        let Some(running) = &mut self.running else { return };
        if running.inbox.len() < INBOX {
            running.inbox.push_back(Incoming::Parcel { from, parcel });
            self.wake(now, around);
        }
    }

    /// A gossip datagram arrives.
    pub(crate) fn hear(
        &mut self,
        now: Time,
        from: NodeId,
        bytes: Bytes,
        around: &mut Surroundings<P>,
    ) {
        let Some(running) = &mut self.running else { return };
        if let Some(membership) = &mut running.membership {
            membership.receive(from, bytes);
            self.gossip(now, around);
        }
    }

    /// Whom its gossip believes alive; nobody if it is down or has none.
    pub(crate) fn alive(&self) -> Vec<NodeId> {
        let running = self.running.as_ref();
        running
            .and_then(|running| running.membership.as_ref())
            .map_or(Vec::new(), Membership::alive)
    }

    /// A client's request arrives at the front end, which handles one after the other.
    pub(crate) fn ask(&mut self, now: Time, request: Box<Request>, around: &mut Surroundings<P>) {
        let Some(running) = &mut self.running else {
            return around.answer(now, self.id, request.attempt, Answer::Unreachable);
        };
        let begins = running.front_end_until.max(now);
        if begins.since(now) > around.processor.longest_queue {
            around.recorder.counters(self.id).turned_away += 1;
            return around.answer(
                now,
                self.id,
                request.attempt,
                Answer::Refused(Refusal::Overloaded),
            );
        }
        running.front_end_until = begins + around.processor.request;
        let (at, node, incarnation) = (running.front_end_until, self.id, self.incarnation);
        around.queue.push(at, Event::Admitted { node, incarnation, request });
    }

    /// The front end hands a request to the consensus loop, unless the process died meanwhile.
    pub(crate) fn admitted(
        &mut self,
        now: Time,
        incarnation: u64,
        request: Box<Request>,
        around: &mut Surroundings<P>,
    ) {
        match &mut self.running {
            Some(running) if incarnation == self.incarnation => {
                running.inbox.push_back(Incoming::Request(request));
                self.wake(now, around);
            }
            _ => around.answer(now, self.id, request.attempt, Answer::Reset),
        }
    }

    /// Something ends inside an incarnation, perhaps one that is over.
    pub(crate) fn local(
        &mut self,
        now: Time,
        incarnation: u64,
        what: Local<P::Timer>,
        around: &mut Surroundings<P>,
    ) {
        if incarnation != self.incarnation {
            return;
        }
        let Some(running) = &mut self.running else { return };
        if matches!(what, Local::Sync | Local::Chore) {
            if let Some(failure) = self.barrier.failure() {
                return self.fail(now, failure, around);
            }
            if self.barrier.is_stalled() {
                return running.held_back.push(what);
            }
        }
        match what {
            Local::Sync => self.barrier.finish_sync(),
            Local::Work => running.called_back = false,
            Local::Age => {
                self.age_at = None;
                match self.barrier.ages_at(&around.disk) {
                    Some(at) if at <= now => {}
                    Some(at) => return self.look_at_age(at, around),
                    None => return,
                }
            }
            Local::Chore => self.finish_chore(now, around),
            Local::Resend => return self.resend(now, around),
            Local::Gossip => return self.gossip(now, around),
            Local::Timer(timer) => match self.timers.look(now, timer) {
                Look::Idle => return,
                Look::Again(at) => return self.later(at, what, around),
                Look::Expired => {}
            },
        }
        self.wake(now, around);
    }

    /// Starts gossip, if there is to be any.
    fn join(&mut self, now: Time, around: &mut Surroundings<P>) {
        let Some(config) = around.gossip.clone() else { return };
        let (id, incarnation, draw) = (self.id, self.incarnation, around.gossip_draw);
        let membership = Membership::start(now, id, incarnation, config, draw, around);
        let running = self.running.as_mut().expect("only a running replica joins");
        running.membership = Some(membership);
    }

    /// Gossip has a thread of its own: it does not wait for the replica's work, only for a pause.
    fn gossip(&mut self, now: Time, around: &mut Surroundings<P>) {
        let Some(running) = &mut self.running else { return };
        let (Some(membership), protocol) = (&mut running.membership, &running.protocol) else {
            return;
        };
        if self.activity == Activity::Paused {
            return;
        }
        let suspicions = membership.run(now, || protocol.status(), around);
        if suspicions.is_empty() {
            return;
        }
        let told = suspicions.into_iter().map(|Suspicion { node, suspected }| {
            Incoming::Driver(Input::Suspected { node, suspected })
        });
        running.inbox.extend(told);
        self.wake(now, around);
    }

    /// Does whatever there is to do, in the contract's order: what the disk completed, the inbox,
    /// the timers, the flush, the next sync.
    fn wake(&mut self, now: Time, around: &mut Surroundings<P>) {
        let Some(running) = &self.running else { return };
        if self.activity == Activity::Paused {
            return;
        }
        if running.busy_until > now {
            return self.call_back(around);
        }
        let mut clock = now;
        self.release(clock, around);
        let mut cause = self.drain_inbox(&mut clock, around);
        if self.awaits_nothing() {
            cause = self.fire_timers(&mut clock, cause, around);
        }
        let running = self.running.as_mut().expect("nothing above ends the incarnation");
        running.busy_until = clock;
        if std::mem::take(&mut running.stepped) {
            running.protocol.flush(self.clock.shows(clock), &mut self.outbox);
            running.protocol.check();
            self.carry_out(clock, cause, around);
        }
        if let Some(failure) = self.barrier.failure().filter(|_| self.barrier.is_behind()) {
            return self.fail(clock, failure, around);
        }
        self.start_sync(clock, around);
        if !self.awaits_nothing() || self.timers.any_expired(clock) {
            self.call_back(around);
        }
    }

    fn awaits_nothing(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.inbox.is_empty())
    }

    /// Lets the messages go whose persists are on disk.
    fn release(&mut self, now: Time, around: &mut Surroundings<P>) {
        while let Some(waiting) = self.barrier.release() {
            let waited = now.since(waiting.since).as_nanos();
            let waited_ns = u64::try_from(waited).unwrap_or(u64::MAX);
            self.dispatch(now, waiting.to, waiting.message, waited_ns, around);
        }
    }

    fn drain_inbox(&mut self, clock: &mut Time, around: &mut Surroundings<P>) -> Cause {
        let mut cause = Cause::NONE;
        for _ in 0..DRAIN {
            let running = self.running.as_mut().expect("only a running replica drains");
            let Some(incoming) = running.inbox.pop_front() else { break };
            *clock = *clock + around.processor.input;
            let input = match incoming {
                Incoming::Message { from, message, waited_ns } => {
                    cause = Cause { from: Some(from), sync_ns: waited_ns };
                    Input::Receive { from, message }
                }
                Incoming::Parcel { from, parcel } => {
                    self.take_parcel(*clock, from, parcel, around);
                    continue;
                }
                Incoming::Driver(input) => {
                    cause = match &input {
                        Input::Staged { from, .. } => Cause { from: Some(*from), sync_ns: 0 },
                        _ => Cause::NONE,
                    };
                    input
                }
                Incoming::Request(request) => {
                    let Request { attempt, ask, query } = *request;
                    cause = Cause::NONE;
                    self.requests += 1;
                    let request = RequestId(self.requests);
                    running.pending.insert(request, Pending { attempt, query });
                    Input::Ask { request, ask }
                }
            };
            self.step(*clock, input, cause, around);
        }
        cause
    }

    fn fire_timers(
        &mut self,
        clock: &mut Time,
        cause: Cause,
        around: &mut Surroundings<P>,
    ) -> Cause {
        let mut cause = cause;
        while let Some(timer) = self.timers.pop_expired(*clock) {
            *clock = *clock + around.processor.input;
            cause = Cause::NONE;
            self.step(*clock, Input::Timeout(timer), cause, around);
            if !self.awaits_nothing() {
                break;
            }
        }
        cause
    }

    fn step(&mut self, now: Time, input: Input<P>, cause: Cause, around: &mut Surroundings<P>) {
        let running = self.running.as_mut().expect("only a running replica takes steps");
        running.stepped = true;
        running.protocol.step(self.clock.shows(now), input, &mut self.outbox);
        running.protocol.check();
        self.carry_out(now, cause, around);
    }

    /// Starts a sync if something waits for one, or sees to it that old batches get theirs.
    fn start_sync(&mut self, now: Time, around: &mut Surroundings<P>) {
        if let Some(end) = self.barrier.start_sync(now, &around.disk) {
            self.later(end, Local::Sync, around);
        }
    }

    /// Has an event look after old batches then. One is enough: it looks again if need be.
    fn look_at_age(&mut self, at: Time, around: &mut Surroundings<P>) {
        if self.age_at.is_none() {
            self.age_at = Some(at);
            self.later(at, Local::Age, around);
        }
    }

    fn later(&self, at: Time, what: Local<P::Timer>, around: &mut Surroundings<P>) {
        let event = Event::Local { node: self.id, incarnation: self.incarnation, what };
        around.queue.push(at, event);
    }

    fn call_back(&mut self, around: &mut Surroundings<P>) {
        let running = self.running.as_mut().expect("only a running replica works");
        if !running.called_back {
            running.called_back = true;
            let at = running.busy_until;
            self.later(at, Local::Work, around);
        }
    }
}
