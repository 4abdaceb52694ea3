//! A cluster in which nothing happens by itself.

mod clock;
mod snapshots;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    time::Duration,
};

use super::{Happening, Judge, Writes};
use crate::{
    draw::Draw,
    id::{Index, NodeId, RequestId},
    protocol::{Ask, Committed, Effect, Input, Outbox, Protocol, When},
    record::{SnapshotMeta, Write},
    storage::MemoryDisk,
    time::Time,
};
pub use clock::Clock;
pub use snapshots::Transfer;

/// Replicas with their disks, links and timers, moved by hand.
#[derive(Debug)]
pub struct Cluster<P: Protocol> {
    nodes: BTreeMap<NodeId, Node<P>>,
    flights: Vec<Flight<P>>,
    flights_so_far: u64,
    transfers: Vec<Transfer>,
    cuts: BTreeSet<(NodeId, NodeId)>,
    requests_so_far: u64,
    now: Time,
    /// Whether a timer that is told to run out takes its time.
    in_time: bool,
    /// Where the timers' deadlines are drawn from.
    draw: Draw,
    draws_so_far: u64,
    judge: Judge,
    happened: Vec<Happening<P>>,
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Flight<P: Protocol> {
    /// Its number: the how-many-th message of the cluster's life it is, from 1. A duplicate has a
    /// number of its own.
    pub number: u64,
    /// Its sender.
    pub from: NodeId,
    /// Its receiver.
    pub to: NodeId,
    /// The message.
    pub message: P::Message,
}

#[derive(Debug)]
struct Node<P: Protocol> {
    config: P::Config,
    incarnation: u64,
    /// `None` while it is down.
    replica: Option<P>,
    disk: MemoryDisk<P::Record>,
    /// How many batches this incarnation's disk has synced.
    synced: usize,
    /// Messages that wait until so many batches are synced, in order.
    waiting: VecDeque<(usize, NodeId, P::Message)>,
    /// Messages to itself that passed the barrier, in order.
    to_itself: VecDeque<P::Message>,
    /// When each armed timer runs out, if virtual time passes.
    timers: BTreeMap<P::Timer, Time>,
    /// What this incarnation applied last.
    applied: Index,
    /// The snapshots that are durable here, its own and those of others.
    snapshots: BTreeSet<SnapshotMeta>,
    /// The snapshots of the present state machine that are asked for and not yet saved, in order.
    asked: VecDeque<SnapshotMeta>,
    clock: Clock,
}

impl<P: Protocol> Cluster<P> {
    /// Starts replicas of these configurations on empty disks.
    pub fn start(seed: u64, configs: impl IntoIterator<Item = (NodeId, P::Config)>) -> Self {
        let node = |(id, config)| (id, Node::new(config));
        let mut cluster = Self {
            nodes: configs.into_iter().map(node).collect(),
            flights: Vec::new(),
            flights_so_far: 0,
            transfers: Vec::new(),
            cuts: BTreeSet::new(),
            requests_so_far: 0,
            now: Time::ZERO,
            in_time: false,
            draw: Draw::new(seed).of("timers"),
            draws_so_far: 0,
            judge: Judge::default(),
            happened: Vec::new(),
        };
        cluster.ids().into_iter().for_each(|id| cluster.restart(id));
        cluster
    }

    /// From now on, a timer that is told to run out takes the time that is left of it: it may run out
    /// late and never early. Where leases are in use, nothing else is honest.
    pub const fn keep_time(&mut self) {
        self.in_time = true;
    }

    /// Starts another node on an empty disk, with this clock.
    pub fn join(&mut self, id: NodeId, config: P::Config, clock: Clock) {
        let earlier = self.nodes.insert(id, Node { clock, ..Node::new(config) });
        assert!(earlier.is_none(), "n{id} is there already");
        self.restart(id);
    }

    /// Takes a node away for ever, with its disk.
    pub fn destroy(&mut self, id: NodeId) {
        self.crash(id, 0);
        self.nodes.remove(&id);
        self.happened.push(Happening::Destroyed(id));
    }

    /// The nodes, up or down.
    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// A node's replica; `None` while it is down.
    pub fn replica(&self, node: NodeId) -> Option<&P> {
        self.nodes[&node].replica.as_ref()
    }

    /// A node's disk.
    pub fn disk(&self, node: NodeId) -> &MemoryDisk<P::Record> {
        &self.nodes[&node].disk
    }

    /// The last position that a node's present incarnation applied.
    pub fn applied(&self, node: NodeId) -> Index {
        self.nodes[&node].applied
    }

    /// The timers that are armed at a node.
    pub fn armed(&self, node: NodeId) -> impl Iterator<Item = P::Timer> + '_ {
        self.nodes[&node].timers.keys().copied()
    }

    /// The messages on their way.
    pub fn flights(&self) -> &[Flight<P>] {
        &self.flights
    }

    /// What the judge saw so far.
    pub const fn judge(&self) -> &Judge {
        &self.judge
    }

    /// Takes out what happened since the last time.
    pub fn take_happened(&mut self) -> Vec<Happening<P>> {
        std::mem::take(&mut self.happened)
    }

    /// Starts a node from its disk; does nothing if it is up.
    pub fn restart(&mut self, id: NodeId) {
        let now = self.now;
        let node = self.node(id);
        if node.replica.is_some() {
            return;
        }
        node.incarnation += 1;
        node.synced = 0;
        node.applied = 0;
        let mut out = Outbox::new();
        let disk = node.disk.durable().clone();
        let base = disk.base.clone();
        let local = node.clock.read(now);
        let replica = P::recover(node.config.clone(), node.incarnation, local, disk, &mut out);
        node.replica = Some(replica);
        self.happened.push(Happening::Started(id));
        let starts_from = out.effects().iter().find_map(|effect| match effect {
            Effect::Restore(meta) => Some(meta.clone()),
            _ => None,
        });
        assert_eq!(starts_from, base, "n{id} starts from the base of its log");
        self.perform(id, out);
        self.drain(id, []);
    }

    /// Crashes a node: it keeps the oldest `kept` of the unsynced batches; what waited for the
    /// others never leaves. Does nothing if it is down.
    pub fn crash(&mut self, id: NodeId, kept: usize) {
        let node = self.node(id);
        if node.replica.take().is_none() {
            return;
        }
        let batches = node.disk.unsynced().saturating_sub(kept);
        let messages = node.waiting.len();
        node.disk.crash(kept);
        node.waiting.clear();
        node.to_itself.clear();
        node.timers.clear();
        node.asked.clear();
        self.transfers.retain(|transfer| transfer.from != id);
        self.judge.crash(id);
        self.happened.push(Happening::Crashed(id, batches, messages));
    }

    /// Gives a node a new disk that holds these writes, and starts it from that.
    pub fn seed(&mut self, id: NodeId, writes: Writes<P>) {
        self.crash(id, 0);
        let node = self.node(id);
        node.disk = MemoryDisk::new();
        node.snapshots = writes.iter().filter_map(base_of).cloned().collect();
        node.disk.write(writes);
        node.disk.sync(usize::MAX);
        self.restart(id);
    }

    /// Makes the oldest `batches` of a node durable. What waited for them leaves.
    pub fn sync(&mut self, id: NodeId, batches: usize) {
        let node = self.node(id);
        let batches = batches.min(node.disk.unsynced());
        if batches == 0 {
            return;
        }
        node.disk.sync(batches);
        node.synced += batches;
        node.reclaim();
        self.happened.push(Happening::Synced(id, batches));
        self.release(id);
        self.drain_own(id);
    }

    /// Lets a timer run out; says whether it was armed.
    pub fn timeout(&mut self, id: NodeId, timer: P::Timer) -> bool {
        let Some(at) = self.node(id).timers.remove(&timer) else { return false };
        if self.in_time {
            self.now = self.now.max(at);
        }
        self.happened.push(Happening::TimedOut(id, timer));
        self.drain(id, [Input::Timeout(timer)]);
        true
    }

    /// Tells a replica what its failure detector thinks of a node. Does nothing if it is down.
    pub fn suspect(&mut self, id: NodeId, node: NodeId, suspected: bool) {
        if self.is_up(id) {
            self.happened.push(Happening::Suspected { by: id, node, suspected });
            self.drain(id, [Input::Suspected { node, suspected }]);
        }
    }

    /// Asks a replica for things, in one drain of its inbox, and says how the requests are named.
    /// Does nothing if it is down.
    pub fn ask(&mut self, id: NodeId, asks: impl IntoIterator<Item = Ask>) -> Vec<RequestId> {
        if !self.is_up(id) {
            return Vec::new();
        }
        let (mut inputs, mut requests) = (Vec::new(), Vec::new());
        for ask in asks {
            self.requests_so_far += 1;
            let request = RequestId(self.requests_so_far);
            self.judge.ask(id, request, ask.clone());
            inputs.push(Input::Ask { request, ask });
            requests.push(request);
        }
        self.drain(id, inputs);
        requests
    }

    /// Delivers the messages on their way that are chosen, in order: one drain of the inbox for each
    /// receiver.
    pub fn deliver(&mut self, chosen: impl Fn(&Flight<P>) -> bool) -> usize {
        let flights = self.take_flights(chosen);
        let count = flights.len();
        let mut inboxes: Vec<(NodeId, Vec<Flight<P>>)> = Vec::new();
        for flight in flights {
            match inboxes.iter_mut().find(|(to, _)| *to == flight.to) {
                Some((_, inbox)) => inbox.push(flight),
                None => inboxes.push((flight.to, vec![flight])),
            }
        }
        for (to, inbox) in inboxes {
            let mut inputs = Vec::new();
            for Flight { number, from, message, .. } in inbox {
                if self.cuts.contains(&(from, to)) || !self.is_up(to) {
                    self.happened.push(Happening::Lost { number, from, to, message });
                    continue;
                }
                let number = Some(number);
                let copy = message.clone();
                self.happened.push(Happening::Delivered { number, from, to, message: copy });
                inputs.push(Input::Receive { from, message });
            }
            if !inputs.is_empty() {
                self.drain(to, inputs);
            }
        }
        count
    }

    /// Loses the messages on their way that are chosen.
    pub fn lose(&mut self, chosen: impl Fn(&Flight<P>) -> bool) -> usize {
        let flights = self.take_flights(chosen);
        let count = flights.len();
        for Flight { number, from, to, message } in flights {
            self.happened.push(Happening::Lost { number, from, to, message });
        }
        count
    }

    /// Puts the messages on their way that are chosen there once more, behind the others.
    pub fn duplicate(&mut self, chosen: impl Fn(&Flight<P>) -> bool) -> usize {
        let copies: Vec<_> = self.flights.iter().filter(|flight| chosen(flight)).cloned().collect();
        let count = copies.len();
        for Flight { from, to, message, .. } in copies {
            self.fly(from, to, message);
        }
        count
    }

    /// Turns the order of the messages on their way that are chosen around.
    pub fn reverse(&mut self, chosen: impl Fn(&Flight<P>) -> bool) -> usize {
        let mut flights = self.take_flights(chosen);
        flights.reverse();
        let count = flights.len();
        self.flights.extend(flights);
        count
    }

    /// Cuts one direction of a link.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.cuts.insert((from, to));
    }

    /// Mends every link.
    pub fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Delivers messages and snapshots, syncs and saves, at the chosen nodes, until nothing moves;
    /// says whether that came to pass within `rounds`.
    pub fn stabilize(&mut self, rounds: usize, chosen: impl Fn(NodeId) -> bool) -> bool {
        for _ in 0..rounds {
            let inside = |flight: &Flight<P>| chosen(flight.from) && chosen(flight.to);
            let mut moved = self.deliver(inside) > 0;
            for id in self.ids().into_iter().filter(|&id| chosen(id)) {
                moved |= self.nodes[&id].disk.unsynced() > 0;
                self.sync(id, usize::MAX);
                moved |= self.save(id);
            }
            moved |= self.install(|transfer| chosen(transfer.from) && chosen(transfer.to)) > 0;
            if !moved {
                return true;
            }
        }
        false
    }

    /// Lets virtual time pass: the timers run out when their draws say, and messages and disks take
    /// no time.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            assert!(self.stabilize(10_000, |_| true), "messages beget messages without end");
            let timers = |(&id, node): (&NodeId, &Node<P>)| {
                let due = |(&timer, &at): (&P::Timer, &Time)| (at, id, timer);
                node.timers.iter().map(due).min()
            };
            match self.nodes.iter().filter_map(timers).min() {
                Some((at, id, timer)) if at <= end => {
                    self.now = self.now.max(at);
                    self.timeout(id, timer);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// Lets virtual time pass, and nothing happen: a timer that is due runs out late.
    pub fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Gives a node another clock.
    pub fn set_clock(&mut self, id: NodeId, clock: Clock) {
        self.node(id).clock = clock;
    }

    fn is_up(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.replica.is_some())
    }

    fn node(&mut self, id: NodeId) -> &mut Node<P> {
        self.nodes.get_mut(&id).unwrap_or_else(|| panic!("there is no n{id}"))
    }

    fn take_flights(&mut self, chosen: impl Fn(&Flight<P>) -> bool) -> Vec<Flight<P>> {
        let (taken, left) = std::mem::take(&mut self.flights).into_iter().partition(chosen);
        self.flights = left;
        taken
    }

    /// One bounded drain of the inbox, ended by a flush; then what the node sent to itself.
    fn drain(&mut self, id: NodeId, inputs: impl IntoIterator<Item = Input<P>>) {
        for input in inputs {
            self.turn(id, |replica, now, out| replica.step(now, input, out));
        }
        self.turn(id, |replica, now, out| replica.flush(now, out));
        self.drain_own(id);
    }

    fn drain_own(&mut self, id: NodeId) {
        let own = std::mem::take(&mut self.node(id).to_itself);
        if own.is_empty() {
            return;
        }
        let mut inputs = Vec::new();
        for message in own {
            let copy = message.clone();
            self.happened.push(Happening::Delivered {
                number: None,
                from: id,
                to: id,
                message: copy,
            });
            inputs.push(Input::Receive { from: id, message });
        }
        self.drain(id, inputs);
    }

    fn turn(&mut self, id: NodeId, turn: impl FnOnce(&mut P, Time, &mut Outbox<P>)) {
        let now = self.now;
        let node = self.node(id);
        let now = node.clock.read(now);
        let Some(replica) = &mut node.replica else { return };
        let mut out = Outbox::new();
        turn(replica, now, &mut out);
        replica.check();
        self.perform(id, out);
        if let Some(replica) = &self.nodes[&id].replica {
            self.judge.after_turn(id, &replica.status());
        }
    }

    fn perform(&mut self, id: NodeId, mut out: Outbox<P>) {
        for effect in out.drain() {
            self.carry_out(id, effect);
        }
        self.release(id);
    }

    fn carry_out(&mut self, id: NodeId, effect: Effect<P>) {
        match effect {
            Effect::Persist(writes) => {
                for write in &writes {
                    if let Write::Put(record) = write {
                        self.judge.encode(record);
                    }
                }
                self.check_bases(id, &writes);
                self.node(id).disk.write(writes.clone());
                self.happened.push(Happening::Persisted(id, writes));
            }
            Effect::Send { to, message, when } => self.send(id, to, message, when),
            Effect::Apply(applies) => {
                let node = self.nodes.get_mut(&id).expect("it just did something");
                let replica = node.replica.as_ref().expect("only a running replica applies");
                for Committed { index, epoch, payload, request } in applies.entries(replica) {
                    assert_eq!(index, node.applied + 1, "n{id} applies out of order");
                    node.applied = index;
                    self.judge.apply(id, index, payload, request);
                    let payload = payload.clone();
                    let applied = Happening::Applied { node: id, index, epoch, payload, request };
                    self.happened.push(applied);
                }
            }
            Effect::TakeSnapshot(meta) => self.take_snapshot(id, meta),
            Effect::SendSnapshot { to, snapshot } => self.send_snapshot(id, to, snapshot),
            Effect::Restore(meta) => self.restore(id, meta),
            Effect::Reply { request, outcome } => {
                let applied = self.nodes[&id].applied;
                self.judge.reply(id, request, &outcome, applied);
                self.happened.push(Happening::Replied(id, request, outcome, applied));
            }
            Effect::SetTimer { timer, within } => self.arm(id, timer, &within),
            Effect::CancelTimer(timer) => {
                if self.node(id).timers.remove(&timer).is_some() {
                    self.happened.push(Happening::Disarmed(id, timer));
                }
            }
            Effect::Note(event) => {
                self.judge.note(id, &event);
                self.happened.push(Happening::Noted(id, event));
            }
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: P::Message, when: When) {
        self.judge.encode(&message);
        let node = self.node(from);
        let barrier = match when {
            When::Durable => node.synced + node.disk.unsynced(),
            When::Now => 0,
        };
        if barrier > node.synced {
            node.waiting.push_back((barrier, to, message.clone()));
            self.happened.push(Happening::Waits { from, to, message });
        } else if from == to {
            node.to_itself.push_back(message);
        } else {
            self.fly(from, to, message);
        }
    }

    /// Lets the messages leave that waited for no more than what is synced.
    fn release(&mut self, id: NodeId) {
        loop {
            let node = self.node(id);
            match node.waiting.pop_front() {
                Some((barrier, to, message)) if barrier <= node.synced && to == id => {
                    node.to_itself.push_back(message);
                }
                Some((barrier, to, message)) if barrier <= node.synced => self.fly(id, to, message),
                Some(waits) => return node.waiting.push_front(waits),
                None => return,
            }
        }
    }

    fn fly(&mut self, from: NodeId, to: NodeId, message: P::Message) {
        self.flights_so_far += 1;
        let number = self.flights_so_far;
        if self.cuts.contains(&(from, to)) {
            return self.happened.push(Happening::Lost { number, from, to, message });
        }
        self.flights.push(Flight { number, from, to, message: message.clone() });
        self.happened.push(Happening::Sent { number, from, to, message });
    }

    fn arm(&mut self, id: NodeId, timer: P::Timer, within: &Range<Duration>) {
        self.draws_so_far += 1;
        let draw = self.draw.at(id.0).of(&format!("{timer:?}")).at(self.draws_so_far);
        let now = self.now;
        let node = self.node(id);
        let at = now + node.clock.measure(draw.duration(within));
        let happening = match node.timers.insert(timer, at) {
            None => Happening::Armed(id, timer),
            Some(_) => Happening::Rearmed(id, timer),
        };
        self.happened.push(happening);
    }
}

impl<P: Protocol> Node<P> {
    fn new(config: P::Config) -> Self {
        Self {
            config,
            incarnation: 0,
            replica: None,
            disk: MemoryDisk::new(),
            synced: 0,
            waiting: VecDeque::new(),
            to_itself: VecDeque::new(),
            timers: BTreeMap::new(),
            applied: 0,
            snapshots: BTreeSet::new(),
            asked: VecDeque::new(),
            clock: Clock::default(),
        }
    }
}

const fn base_of<R>(write: &Write<R>) -> Option<&SnapshotMeta> {
    match write {
        Write::Base(meta) => Some(meta),
        _ => None,
    }
}
