//! One replica with its disk: what it does when something happens to it.

use std::{
    any::Any,
    collections::VecDeque,
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::Bytes;
use consensus_core::{
    Ask, Disk, Effect, Epoch, Event, Index, Input, NodeId, Outbox, Payload, RequestId, Status,
    Time, When, Write,
};

use crate::{explored::Explored, plant::Plant, shared::Shared};

/// A message between two replicas.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Flight<P: Explored> {
    /// Who sent it.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    /// The message.
    pub message: P::Message,
}

/// Something that waits until so many of the unsynced batches are on disk.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Waiting<T> {
    /// What waits.
    pub what: T,
    /// For how many batches, from the oldest unsynced one on.
    pub behind: usize,
}

/// A replica, its disk, and what has not left it yet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Node<P: Explored> {
    /// Its name.
    pub id: NodeId,
    /// How often it was started.
    pub incarnation: u64,
    /// What it believes; `None` before its first start, and once it broke.
    pub replica: Option<P>,
    /// What would survive any crash.
    pub disk: Disk<P::Record>,
    /// Batches that are written and not synced, oldest first.
    pub unsynced: VecDeque<Vec<Write<P::Record>>>,
    /// The disk as it will be with all of them.
    pub latest: Disk<P::Record>,
    /// Messages to others that wait for the disk.
    pub waiting: Vec<Waiting<Shared<Flight<P>>>>,
    /// Messages to itself, which arrive in order.
    pub own: VecDeque<Waiting<P::Message>>,
    /// The last position that this incarnation applied.
    pub applied: Index,
}

/// What may happen to a node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Stimulus<P: Explored> {
    /// It starts, from its disk.
    Start,
    /// A message arrives.
    Receive(Shared<Flight<P>>),
    /// The oldest message to itself arrives, once the disk allows.
    Own,
    /// A timer runs out.
    Timeout(P::Timer),
    /// A client proposes a command, named by its number.
    Propose(u8),
    /// The oldest batches reach the disk.
    Sync {
        /// How many.
        batches: usize,
    },
    /// It crashes, and starts again.
    Crash {
        /// How many of the unsynced batches the disk kept, from the oldest on.
        keep: usize,
    },
}

/// What was seen of a node while it reacted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Seen {
    /// It leads.
    Elected(Epoch),
    /// It applied an entry.
    Applied {
        /// Where.
        index: Index,
        /// Written under which epoch.
        epoch: Epoch,
        /// What.
        payload: Payload,
        /// In which incarnation.
        incarnation: u64,
    },
    /// It broke its contract, or an assertion of its own.
    Broke(String),
}

/// What a node did.
#[derive(Clone, Debug)]
pub struct Reaction<P: Explored> {
    /// The node afterwards.
    pub node: Shared<Node<P>>,
    /// What it believes afterwards.
    pub status: Status,
    /// What left it.
    pub sent: Vec<Shared<Flight<P>>>,
    /// What was seen.
    pub seen: Vec<Seen>,
}

/// A node that reacts.
struct Reacting<P: Explored> {
    node: Node<P>,
    sent: Vec<Shared<Flight<P>>>,
    seen: Vec<Seen>,
}

impl<P: Explored> Node<P> {
    /// A node that was never started, with an empty disk.
    pub const fn new(id: NodeId) -> Self {
        Self {
            id,
            incarnation: 0,
            replica: None,
            disk: Disk::empty(),
            unsynced: VecDeque::new(),
            latest: Disk::empty(),
            waiting: Vec::new(),
            own: VecDeque::new(),
            applied: 0,
        }
    }

    /// What the node does when something happens to it. It depends on nothing else.
    pub fn react(
        &self,
        stimulus: &Stimulus<P>,
        config: &P::Config,
        plant: Plant<P>,
    ) -> Reaction<P> {
        let mut reacting = Reacting { node: self.clone(), sent: Vec::new(), seen: Vec::new() };
        let result = catch_unwind(AssertUnwindSafe(|| reacting.take(stimulus, config, plant)));
        if let Err(panic) = result {
            reacting.node.replica = None;
            reacting.seen.push(Seen::Broke(reason(panic.as_ref())));
        }
        reacting.finish()
    }

    /// The epoch below which no crash takes it.
    pub fn settled(&self) -> Epoch {
        self.disk.state.as_ref().and_then(P::epoch).unwrap_or_default()
    }

    /// What it believes.
    pub fn status(&self) -> Status {
        self.replica.as_ref().map_or_else(Status::default, P::status)
    }
}

impl<P: Explored> Reacting<P> {
    fn take(&mut self, stimulus: &Stimulus<P>, config: &P::Config, plant: Plant<P>) {
        match stimulus {
            Stimulus::Start => self.start(config, plant),
            Stimulus::Receive(flight) => {
                let (from, message) = (flight.from, flight.message.clone());
                self.input(Input::Receive { from, message }, plant);
            }
            Stimulus::Own => {
                let Some(own) = self.node.own.pop_front() else { return };
                self.sync(own.behind);
                self.input(Input::Receive { from: self.node.id, message: own.what }, plant);
            }
            Stimulus::Timeout(timer) => self.input(Input::Timeout(*timer), plant),
            Stimulus::Propose(number) => {
                let command = Bytes::from(format!("command {number}"));
                let request = RequestId(u64::from(*number));
                self.input(Input::Ask { request, ask: Ask::Propose(command) }, plant);
            }
            Stimulus::Sync { batches } => self.sync(*batches),
            Stimulus::Crash { keep } => {
                self.sync(*keep);
                self.lose_memory();
                self.start(config, plant);
            }
        }
    }

    fn start(&mut self, config: &P::Config, plant: Plant<P>) {
        self.node.incarnation += 1;
        let mut out = Outbox::new();
        let (incarnation, disk) = (self.node.incarnation, self.node.disk.clone());
        let replica = P::recover(config.clone(), incarnation, Time::ZERO, disk, &mut out);
        replica.check();
        self.node.replica = Some(replica);
        self.carry_out(&mut out, plant);
    }

    /// One input is one drain of the inbox.
    fn input(&mut self, input: Input<P>, plant: Plant<P>) {
        let Some(replica) = &mut self.node.replica else { return };
        let mut out = Outbox::new();
        replica.step(Time::ZERO, input, &mut out);
        replica.flush(Time::ZERO, &mut out);
        replica.check();
        self.carry_out(&mut out, plant);
    }

    fn carry_out(&mut self, out: &mut Outbox<P>, plant: Plant<P>) {
        for effect in out.drain().filter_map(plant) {
            match effect {
                Effect::Persist(batch) => {
                    batch.iter().for_each(|write| self.node.latest.write(write));
                    self.node.unsynced.push_back(batch);
                }
                Effect::Send { to, message, when } => self.send(to, message, when),
                Effect::Apply(applies) => {
                    let Some(replica) = self.node.replica.clone() else { continue };
                    for entry in applies.entries(&replica) {
                        self.apply(entry.index, entry.epoch, entry.payload.clone());
                    }
                }
                Effect::Restore(base) => self.node.applied = base.index,
                Effect::Note(Event::Elected { epoch }) => self.seen.push(Seen::Elected(epoch)),
                Effect::Note(_)
                | Effect::TakeSnapshot(_)
                | Effect::SendSnapshot { .. }
                | Effect::Reply { .. }
                | Effect::SetTimer { .. }
                | Effect::CancelTimer(_) => {}
            }
        }
    }

    fn send(&mut self, to: NodeId, message: P::Message, when: When) {
        let behind = match when {
            When::Durable => self.node.unsynced.len(),
            When::Now => 0,
        };
        if to == self.node.id {
            return self.node.own.push_back(Waiting { what: message, behind });
        }
        let flight = Shared::new(Flight { from: self.node.id, to, message });
        if behind == 0 {
            self.sent.push(flight);
        } else {
            self.node.waiting.push(Waiting { what: flight, behind });
        }
    }

    fn apply(&mut self, index: Index, epoch: Epoch, payload: Payload) {
        let expected = self.node.applied + 1;
        if index != expected {
            let why = format!("it applies entry {index} where {expected} is due");
            self.seen.push(Seen::Broke(why));
        }
        self.node.applied = index;
        let incarnation = self.node.incarnation;
        self.seen.push(Seen::Applied { index, epoch, payload, incarnation });
    }

    /// The oldest batches reach the disk; what waited for no more than that leaves.
    fn sync(&mut self, batches: usize) {
        let node = &mut self.node;
        for write in node.unsynced.drain(..batches).flatten() {
            node.disk.write(&write);
        }
        node.own.iter_mut().for_each(|own| own.behind = own.behind.saturating_sub(batches));
        node.waiting.retain_mut(|waiting| {
            waiting.behind = waiting.behind.saturating_sub(batches);
            if waiting.behind == 0 {
                self.sent.push(waiting.what.clone());
            }
            waiting.behind > 0
        });
    }

    fn lose_memory(&mut self) {
        let node = &mut self.node;
        node.replica = None;
        node.unsynced.clear();
        node.latest = node.disk.clone();
        node.waiting.clear();
        node.own.clear();
        node.applied = 0;
    }

    /// What is the same becomes equal: no order where none matters.
    fn finish(mut self) -> Reaction<P> {
        let (status, node) = (self.node.status(), &mut self.node);
        node.waiting.sort_by_key(|waiting| (waiting.behind, waiting.what.fingerprint()));
        Reaction { node: Shared::new(self.node), status, sent: self.sent, seen: self.seen }
    }
}

/// What a panic says.
fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}
