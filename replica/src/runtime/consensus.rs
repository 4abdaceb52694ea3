//! The consensus loop: one thread that owns the protocol and the state machine.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, mpsc},
};

use bytes::Bytes;
use consensus_core::{
    Applies, Ask, Committed, Draw, Effect, Event, Input, NodeId, Outbox, Outcome, Protocol,
    Refusal, RequestId, SnapshotMeta, StateMachine as _, Status, When, Wire as _,
    history::{Applied, Observed, StateDigest},
    kv::KeyValue,
    session::Sessions,
    storage::StorageError,
};
use faults::{Clock, ClockOrder};
use tokio::sync::{mpsc::Sender, oneshot, watch};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Answer, Departure, Inspect, Inspection, Loop, Network, NotTaken, Request, Wanted,
    disk::{DiskQueue, Job, Waiting},
    inbox::{Drained, Inbox},
    journal::{Journal, Page},
    saver::Order,
    timers::Timers,
};
use crate::{clock, counters::Counters, storage::SnapshotFiles};

mod state;

/// How many items one turn takes from the inbox: enough to batch well, few enough that timers and
/// replies do not wait long.
const MAX_DRAIN: usize = 512;
/// How many requests may wait for their answers.
const MAX_REQUESTS: usize = 65_536;

/// Something for the loop.
#[derive(Debug)]
pub enum Item<P: Protocol> {
    /// A message from a peer.
    Peer {
        /// Who sent it.
        from: NodeId,
        /// The message.
        message: P::Message,
        /// How long it had waited for its sender's disk, in nanoseconds.
        sync_ns: u64,
    },
    /// A message of the replica to itself.
    Own {
        /// The message.
        message: P::Message,
        /// How long it had waited for the disk, in nanoseconds.
        sync_ns: u64,
    },
    /// A client's request.
    Client(Request),
    /// The failure detector changed its mind about a node.
    Suspected {
        /// Which.
        node: NodeId,
        /// Whether it seems dead.
        suspected: bool,
    },
    /// A question to the loop itself.
    Inspect(Inspect),
    /// The clock is at fault, or no more.
    Clock(ClockOrder),
    /// The state was saved.
    Compacted {
        /// Under which name.
        meta: SnapshotMeta,
        /// What was saved.
        digest: StateDigest,
    },
    /// A snapshot came from a peer, and is durable.
    Staged {
        /// Who sent it.
        from: NodeId,
        /// Its name.
        snapshot: SnapshotMeta,
    },
}

/// What made the protocol do something: what an [`Observed`] event names as its source.
#[derive(Clone, Copy, Default)]
struct Cause {
    from: Option<NodeId>,
    sync_ns: u64,
}

/// What the loop works with.
pub struct Surroundings<P: Protocol> {
    /// This replica.
    pub node: NodeId,
    /// Which of its lives this is.
    pub incarnation: u64,
    /// Where items come from.
    pub inbox: Arc<Inbox<Item<P>>>,
    /// Where persists and the messages behind them go.
    pub disk: Arc<DiskQueue<P>>,
    /// Where messages go that wait for nothing.
    pub network: Arc<dyn Network>,
    /// The snapshots that are here.
    pub snapshots: Arc<SnapshotFiles>,
    /// Where states go to be saved.
    pub orders: mpsc::Sender<Order>,
    /// Where snapshots are asked to be sent.
    pub shipments: Sender<Shipment>,
    /// Where observations go.
    pub journal: Journal,
    /// Where the status is published.
    pub status: watch::Sender<Status>,
    /// What is counted.
    pub counters: Arc<Counters>,
}

/// A snapshot that a peer needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shipment {
    /// Who needs it.
    pub to: NodeId,
    /// Which.
    pub snapshot: SnapshotMeta,
}

/// The loop's state.
pub struct Consensus<P: Protocol> {
    around: Surroundings<P>,
    protocol: P,
    machine: Sessions<KeyValue>,
    timers: Timers<P::Timer>,
    /// The time as the protocol is told it.
    clock: Clock,
    /// A timer that ran out fires when this many more items are handled: those that had arrived.
    backlog: Option<usize>,
    outbox: Outbox<P>,
    /// Messages to itself that need not wait for the disk.
    own: Vec<Item<P>>,
    /// Batches handed to the disk so far.
    persisted: u64,
    requests: BTreeMap<RequestId, Pending>,
    last_request: RequestId,
    departures: Vec<Departure>,
    jobs: Vec<Job<P>>,
    page: Page,
    /// What ends the replica.
    failure: Option<StorageError>,
}

/// A request that waits for its answer.
struct Pending {
    answer: oneshot::Sender<Answer>,
    /// What to ask the state machine, if it is a read.
    query: Option<Bytes>,
}

impl<P: Protocol> Consensus<P> {
    /// Starts the protocol from what the disk holds.
    pub fn recover(
        around: Surroundings<P>,
        config: P::Config,
        seed: u64,
        disk: consensus_core::Disk<P::Record>,
    ) -> Self {
        let Surroundings { node, incarnation, .. } = around;
        let draw = Draw::new(seed).of("timer").at(node.0).at(incarnation);
        let mut outbox = Outbox::new();
        let now = clock::now();
        let protocol = P::recover(config, incarnation, now, disk, &mut outbox);
        let mut consensus = Self {
            around,
            protocol,
            machine: Sessions::default(),
            timers: Timers::new(draw),
            clock: Clock::new(now, now, 0),
            backlog: None,
            outbox,
            own: Vec::new(),
            persisted: 0,
            requests: BTreeMap::new(),
            last_request: RequestId(0),
            departures: Vec::new(),
            jobs: Vec::new(),
            page: Page::default(),
            failure: None,
        };
        consensus.perform(Cause::default());
        consensus
    }

    /// Turns until the inbox is closed.
    pub fn run(mut self) -> Result<(), StorageError> {
        let mut items = Vec::new();
        self.hand_over()?;
        while let Some(drained) = self.around.inbox.drain(&mut items, MAX_DRAIN, self.timers.next())
        {
            let mut cause = Cause::default();
            for item in items.drain(..) {
                self.take(item, &mut cause);
            }
            self.fire_timers(drained);
            self.protocol.flush(self.clock.shows(clock::now()), &mut self.outbox);
            self.perform(cause);
            self.protocol.check();
            self.publish(drained);
            self.hand_over()?;
        }
        self.around.journal.close()
    }

    fn take(&mut self, item: Item<P>, cause: &mut Cause) {
        let (from, message, sync_ns) = match item {
            Item::Peer { from, message, sync_ns } => (from, message, sync_ns),
            Item::Own { message, sync_ns } => (self.around.node, message, sync_ns),
            Item::Client(request) => return self.ask(request),
            Item::Suspected { node, suspected } => {
                return self.step(Input::Suspected { node, suspected }, Cause::default());
            }
            Item::Inspect(inspect) => return self.inspect(inspect),
            Item::Clock(order) => return self.set_clock(order),
            Item::Compacted { meta, digest } => {
                self.page.states.push(digest);
                return self.step(Input::Compacted(meta), Cause::default());
            }
            Item::Staged { from, snapshot } => {
                let cause = Cause { from: Some(from), sync_ns: 0 };
                return self.step(Input::Staged { from, snapshot }, cause);
            }
        };
        *cause = Cause { from: Some(from), sync_ns };
        self.step(Input::Receive { from, message }, *cause);
    }

    fn step(&mut self, input: Input<P>, cause: Cause) {
        self.protocol.step(self.clock.shows(clock::now()), input, &mut self.outbox);
        self.perform(cause);
    }

    fn ask(&mut self, request: Request) {
        let Request { wanted, answer } = request;
        self.forget_abandoned();
        if self.requests.len() >= MAX_REQUESTS {
            let _ = answer.send(Answer::Refused(Refusal::Overloaded));
            return;
        }
        self.last_request.0 += 1;
        let request = self.last_request;
        let (ask, query) = match wanted {
            Wanted::Propose(command) => (Ask::Propose(command), None),
            Wanted::Read { query, consistency } => (Ask::Read(consistency), Some(query)),
            Wanted::Reconfigure(change) => (Ask::Reconfigure(change), None),
            Wanted::Transfer(to) => (Ask::Transfer(to), None),
        };
        self.requests.insert(request, Pending { answer, query });
        self.step(Input::Ask { request, ask }, Cause::default());
    }

    /// Makes room when many wait: those whose client went away need no answer.
    fn forget_abandoned(&mut self) {
        if self.requests.len() >= MAX_REQUESTS {
            self.requests.retain(|_, pending| !pending.answer.is_closed());
        }
    }

    fn inspect(&self, Inspect { key, answer }: Inspect) {
        let value = key.and_then(|key| self.machine.machine().get(&key).cloned());
        let inspection = Inspection {
            status: self.protocol.status(),
            applied: self.machine.applied(),
            sessions: self.machine.len(),
            value,
        };
        let _ = answer.send(inspection);
    }

    fn set_clock(&mut self, order: ClockOrder) {
        let (now, before) = (clock::now(), self.clock);
        self.clock.obey(now, order);
        let after = self.clock;
        self.timers.stretch(now, |left| before.remains(left, after));
    }

    /// Fires what ran out, once everything is handled that had arrived by then.
    fn fire_timers(&mut self, drained: Drained) {
        let now = clock::now();
        if self.timers.next().is_none_or(|next| next > now) {
            self.backlog = None;
            return;
        }
        let backlog = self.backlog.map_or(drained.left, |left| left.saturating_sub(drained.taken));
        if backlog > 0 {
            self.backlog = Some(backlog);
            return;
        }
        self.backlog = None;
        for _ in 0..self.timers.armed() {
            let Some(timer) = self.timers.pop_due(now) else { break };
            self.step(Input::Timeout(timer), Cause::default());
        }
    }

    fn perform(&mut self, cause: Cause) {
        let mut outbox = mem::take(&mut self.outbox);
        for effect in outbox.drain() {
            // After a failure the state is not what the effects go on from.
            if self.failure.is_none() {
                self.effect(effect, cause);
            }
        }
        self.outbox = outbox;
    }

    fn effect(&mut self, effect: Effect<P>, cause: Cause) {
        match effect {
            Effect::Persist(writes) => {
                self.persisted += 1;
                self.jobs.push(Job::Write(writes));
            }
            Effect::Send { to, message, when } => self.send(to, message, when),
            Effect::Apply(applies) => self.apply(applies),
            Effect::TakeSnapshot(meta) => self.take_snapshot(meta),
            Effect::Restore(base) => self.failure = self.restore(&base).err(),
            Effect::SendSnapshot { to, snapshot } => {
                // The protocol asks again as long as the peer is in need.
                let _ = self.around.shipments.try_send(Shipment { to, snapshot });
            }
            Effect::Reply { request, outcome } => self.reply(request, outcome),
            Effect::SetTimer { timer, within } => {
                self.timers.set(clock::now(), self.clock, timer, &within);
            }
            Effect::CancelTimer(timer) => self.timers.cancel(timer),
            Effect::Note(event) => self.note(event, cause),
        }
    }

    /// A durable message leaves at once if nothing before it waits for the disk.
    fn send(&mut self, to: NodeId, message: P::Message, when: When) {
        let ready = when == When::Now || self.around.disk.durable() == self.persisted;
        match (to == self.around.node, ready) {
            (true, true) => self.own.push(Item::Own { message, sync_ns: 0 }),
            (false, true) => {
                let payload = message.to_bytes();
                self.departures.push(Departure { to, payload, sync_ns: 0 });
            }
            (own, false) => {
                let message = match own {
                    true => Waiting::Own(message),
                    false => Waiting::Peer(to, message.to_bytes()),
                };
                self.jobs.push(Job::Release { message, since: clock::now() });
            }
        }
    }

    fn apply(&mut self, applies: Applies) {
        let Surroundings { node, incarnation, counters, .. } = &self.around;
        for Committed { index, epoch, payload, request } in applies.entries(&self.protocol) {
            let mut record = Applied {
                node: *node,
                incarnation: *incarnation,
                index,
                epoch,
                digest: 0,
                request: None,
                fresh: false,
            };
            match payload.command() {
                None => self.machine.skip(index),
                Some(command) => {
                    record.digest = xxh3_64(command);
                    let applied = self.machine.apply(index, command);
                    record.request = applied.request;
                    record.fresh = applied.fresh;
                    let waits = request.and_then(|request| self.requests.remove(&request));
                    if let Some(pending) = waits {
                        let _ = pending.answer.send(Answer::Applied(applied.reply));
                    }
                }
            }
            counters.applied_total.add(1);
            self.page.applied.push(record);
        }
    }

    fn reply(&mut self, request: RequestId, outcome: Outcome) {
        let Some(Pending { answer, query }) = self.requests.remove(&request) else { return };
        let reply = match (outcome, query) {
            (Outcome::Readable, Some(query)) => Answer::Read(self.machine.machine().query(&query)),
            (Outcome::Done, _) => Answer::Done,
            (Outcome::Refused(why), _) => Answer::Refused(why),
            (Outcome::Unknown | Outcome::Readable, _) => Answer::Unknown,
        };
        let _ = answer.send(reply);
    }

    fn note(&mut self, event: Event, cause: Cause) {
        let Surroundings { node, incarnation, counters, .. } = &self.around;
        match &event {
            Event::Proposed { .. } | Event::Committed { .. } => tracing::trace!(%event),
            Event::Campaigning { .. } => {
                counters.campaigns_total.add(1);
                tracing::info!(%event);
            }
            Event::Elected { .. } => {
                counters.elections_total.add(1);
                tracing::info!(%event);
            }
            Event::Refused { .. } => tracing::debug!(%event),
            _ => tracing::info!(%event),
        }
        let (Cause { from, sync_ns }, at) = (cause, clock::now());
        let observed =
            Observed { at, node: *node, incarnation: *incarnation, from, sync_ns, event };
        self.page.observed.push(observed);
    }

    fn publish(&mut self, drained: Drained) {
        let Surroundings { counters, status, .. } = &self.around;
        let now = self.protocol.status();
        counters.turns_total.add(1);
        counters.inbox_depth.set(drained.left as u64);
        counters.commit_index.set(now.commit);
        counters.applied_index.set(self.machine.applied());
        counters.epoch_round.set(now.epoch.round);
        counters.leads.set(u64::from(now.role == consensus_core::Role::Leader));
        // Watchers care about who leads and who decides; how far the log is, they read when they want to know.
        status.send_if_modified(|before| {
            let changed = (before.role, before.epoch, before.leader)
                != (now.role, now.epoch, now.leader)
                || before.members != now.members
                || before.learners != now.learners;
            *before = now;
            changed
        });
    }

    /// Hands on what the turn produced: messages first, so that the followers' disks work while
    /// ours does.
    fn hand_over(&mut self) -> Result<(), StorageError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if !self.departures.is_empty() {
            self.around.network.send(&mut self.departures.drain(..));
        }
        if !self.own.is_empty() {
            // Through the inbox, behind those that the disk thread put there before.
            self.around.inbox.put(&mut self.own.drain(..));
        }
        if !self.jobs.is_empty() {
            self.around.disk.push(&mut self.jobs);
        }
        if !self.page.is_empty() && !self.around.journal.write(mem::take(&mut self.page)) {
            return self.around.journal.close();
        }
        Ok(())
    }
}

impl<P: Protocol> Loop for Inbox<Item<P>> {
    fn receive(&self, from: NodeId, payload: Bytes, sync_ns: u64) -> Result<(), NotTaken> {
        let message = P::Message::from_bytes(payload)?;
        self.offer(Item::Peer { from, message, sync_ns })
    }

    fn request(&self, request: Request) -> Result<(), NotTaken> {
        self.offer(Item::Client(request))
    }

    fn suspect(&self, node: NodeId, suspected: bool) -> Result<(), NotTaken> {
        self.offer(Item::Suspected { node, suspected })
    }

    fn inspect(&self, inspect: Inspect) -> Result<(), NotTaken> {
        self.offer(Item::Inspect(inspect))
    }

    fn set_clock(&self, order: ClockOrder) -> Result<(), NotTaken> {
        self.offer(Item::Clock(order))
    }

    fn staged(&self, from: NodeId, snapshot: SnapshotMeta) -> Result<(), NotTaken> {
        self.offer(Item::Staged { from, snapshot })
    }
}
