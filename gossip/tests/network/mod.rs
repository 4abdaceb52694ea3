//! A network in virtual time for whole groups of members: keyed delays and losses, cut links,
//! partitions, crashes and pauses.

// Each test file uses its part of it.
#![allow(dead_code)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::Range,
    time::Duration,
};

use bytes::Bytes;
use consensus_core::{Draw, NodeId, Time};
use gossip::{
    Config, Effect, Event, Gossip, Identity, MAX_DATAGRAM_BYTES, Metadata, Outbox, State,
};

/// Where node `number` is, unless it moves.
pub fn address(number: u64) -> SocketAddr {
    let [.., high, low] = number.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 7_000))
}

pub fn metadata(number: u64) -> Metadata {
    Metadata {
        peer_address: format!("10.0.0.{number}:8000"),
        client_address: format!("10.0.0.{number}:8080"),
        protocol: "raft".into(),
        ..Metadata::default()
    }
}

/// An event that some node told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    pub at: Time,
    pub by: NodeId,
    pub event: Event,
}

pub struct Network {
    pub now: Time,
    pub nodes: BTreeMap<NodeId, Gossip>,
    pub told: Vec<Told>,
    /// Every datagram ever sent, with its time, when asked for.
    pub trace: Option<Vec<(Time, SocketAddr, SocketAddr, Bytes)>>,
    /// The probability that a datagram is lost.
    pub loss: f64,
    pub delay: Range<Duration>,
    pub config: Config,
    draw: Draw,
    /// When each node's tick is due, and the same in order of time.
    due: BTreeMap<NodeId, Time>,
    ticks: BTreeSet<(Time, NodeId)>,
    places: BTreeMap<SocketAddr, NodeId>,
    sent: u64,
    under_way: BTreeMap<(Time, u64), (SocketAddr, SocketAddr, Bytes)>,
    cut: BTreeSet<(NodeId, NodeId)>,
    paused: BTreeSet<NodeId>,
    starts: BTreeMap<NodeId, u64>,
}

impl Network {
    pub fn new(seed: u64) -> Self {
        Self {
            now: Time::ZERO,
            nodes: BTreeMap::new(),
            told: Vec::new(),
            trace: None,
            loss: 0.0,
            delay: Duration::from_micros(200)..Duration::from_millis(2),
            config: Config::new("test"),
            draw: Draw::new(seed),
            due: BTreeMap::new(),
            ticks: BTreeSet::new(),
            places: BTreeMap::new(),
            sent: 0,
            under_way: BTreeMap::new(),
            cut: BTreeSet::new(),
            paused: BTreeSet::new(),
            starts: BTreeMap::new(),
        }
    }

    /// A group of this size that has found itself through node 1.
    pub fn of(seed: u64, size: u64) -> Self {
        let mut network = Self::new(seed);
        for number in 1..=size {
            network.start(number);
        }
        network.run_until(Duration::from_secs(30), Self::all_see_all_alive);
        network
    }

    pub fn start(&mut self, number: u64) {
        self.start_at(number, address(number), vec![address(1)]);
    }

    pub fn start_at(&mut self, number: u64, address: SocketAddr, seeds: Vec<SocketAddr>) {
        let node = NodeId(number);
        let start = self.starts.entry(node).and_modify(|start| *start += 1).or_insert(1);
        let identity = Identity { node, address, start: *start };
        let mut out = Outbox::new();
        let draw = self.draw.of("members");
        let member = Gossip::new(
            self.config.clone(),
            identity,
            metadata(number),
            seeds,
            draw,
            self.now,
            &mut out,
        )
        .unwrap();
        self.nodes.insert(node, member);
        self.places.retain(|_, &mut there| there != node);
        self.places.insert(address, node);
        self.carry_out(node, &mut out);
    }

    /// The node's next start will count from the beginning again.
    pub fn lose_start_counter(&mut self, number: u64) {
        self.starts.remove(&NodeId(number));
    }

    pub fn crash(&mut self, number: u64) {
        self.nodes.remove(&NodeId(number));
        self.places.retain(|_, node| node.0 != number);
        self.reschedule(NodeId(number));
    }

    /// Stops a process; what arrives meanwhile waits for it.
    pub fn pause(&mut self, number: u64) {
        self.paused.insert(NodeId(number));
        self.reschedule(NodeId(number));
    }

    pub fn resume(&mut self, number: u64) {
        self.paused.remove(&NodeId(number));
        self.reschedule(NodeId(number));
    }

    pub fn cut(&mut self, from: u64, to: u64) {
        self.cut.insert((NodeId(from), NodeId(to)));
    }

    pub fn mend(&mut self, from: u64, to: u64) {
        self.cut.remove(&(NodeId(from), NodeId(to)));
    }

    /// Takes the seeds from everybody.
    pub fn clear_seeds(&mut self) {
        self.nodes.values_mut().for_each(|node| node.set_seeds(Vec::new()));
    }

    /// Cuts every link between the two sides, both ways.
    pub fn partition(&mut self, side: &[u64]) {
        let nodes: Vec<_> = self.nodes.keys().map(|node| node.0).collect();
        for &a in &nodes {
            for &b in &nodes {
                if side.contains(&a) != side.contains(&b) {
                    self.cut(a, b);
                }
            }
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    pub fn leave(&mut self, number: u64) {
        let mut out = Outbox::new();
        self.nodes.get_mut(&NodeId(number)).unwrap().leave(&mut out);
        self.carry_out(NodeId(number), &mut out);
    }

    pub fn node(&self, number: u64) -> &Gossip {
        &self.nodes[&NodeId(number)]
    }

    pub fn set_metadata(&mut self, number: u64, metadata: Metadata) {
        self.nodes.get_mut(&NodeId(number)).unwrap().set_metadata(metadata).unwrap();
        self.reschedule(NodeId(number));
    }

    /// What `observer` thinks of `subject`.
    pub fn view(&self, observer: u64, subject: u64) -> Option<State> {
        self.node(observer).member(NodeId(subject)).map(|member| member.state)
    }

    /// Whether every running node sees every running node alive, and nobody else.
    pub fn all_see_all_alive(&self) -> bool {
        let running: Vec<_> = self.nodes.keys().copied().collect();
        self.nodes
            .values()
            .all(|node| node.alive().map(|member| member.node).eq(running.iter().copied()))
    }

    pub fn all_others_think(&self, subject: u64, state: State) -> bool {
        self.nodes
            .keys()
            .filter(|node| node.0 != subject)
            .all(|node| self.view(node.0, subject) == Some(state))
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until the condition holds, and says how long that took; panics if it does not in time.
    pub fn run_until(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) -> Duration {
        let (began, end) = (self.now, self.now + limit);
        while !condition(self) {
            // The condition may be costly, so it is looked at every few milliseconds only.
            let pause = self.now + Duration::from_millis(5);
            assert!(pause < end, "not within {limit:?}");
            while self.step(pause) {}
            self.now = pause;
        }
        self.now.since(began)
    }

    /// The next thing that happens before `end`.
    fn step(&mut self, end: Time) -> bool {
        let tick = self.ticks.first().map(|&(at, node)| (at.max(self.now), node));
        let arrival = self.under_way.keys().next().copied();
        match (tick, arrival) {
            (Some((at, node)), arrival)
                if at < end && arrival.is_none_or(|(time, _)| at < time) =>
            {
                self.now = at;
                self.tick(node);
                true
            }
            (_, Some(key)) if key.0 < end => {
                self.now = self.now.max(key.0);
                let (from, to, datagram) = self.under_way.remove(&key).unwrap();
                self.arrive(from, to, datagram);
                true
            }
            _ => false,
        }
    }

    fn tick(&mut self, node: NodeId) {
        let mut out = Outbox::new();
        let member = self.nodes.get_mut(&node).unwrap();
        member.tick(self.now, &mut out);
        assert!(member.next_tick() > self.now, "a tick must move the next one into the future");
        self.carry_out(node, &mut out);
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, datagram: Bytes) {
        let Some(&node) = self.places.get(&to) else { return };
        if self.paused.contains(&node) {
            let later = self.now + Duration::from_millis(1);
            self.sent += 1;
            self.under_way.insert((later, self.sent), (from, to, datagram));
            return;
        }
        let mut out = Outbox::new();
        self.nodes.get_mut(&node).unwrap().receive(self.now, from, &datagram, &mut out);
        self.carry_out(node, &mut out);
    }

    fn reschedule(&mut self, node: NodeId) {
        if let Some(at) = self.due.remove(&node) {
            self.ticks.remove(&(at, node));
        }
        if let Some(member) = self.nodes.get(&node).filter(|_| !self.paused.contains(&node)) {
            self.due.insert(node, member.next_tick());
            self.ticks.insert((member.next_tick(), node));
        }
    }

    fn carry_out(&mut self, by: NodeId, out: &mut Outbox) {
        self.reschedule(by);
        for effect in out.drain() {
            match effect {
                Effect::Event(event) => self.told.push(Told { at: self.now, by, event }),
                Effect::Send { to, datagram } => self.send(by, to, datagram),
            }
        }
    }

    fn send(&mut self, by: NodeId, to: SocketAddr, datagram: Bytes) {
        assert!(datagram.len() <= MAX_DATAGRAM_BYTES);
        let from = self.nodes[&by].me().address;
        if let Some(trace) = &mut self.trace {
            trace.push((self.now, from, to, datagram.clone()));
        }
        self.sent += 1;
        let draw = self.draw.of("datagram").at(self.sent);
        let cut = self.places.get(&to).is_some_and(|&node| self.cut.contains(&(by, node)));
        if cut || draw.of("loss").chance(self.loss) {
            return;
        }
        let at = self.now + draw.of("delay").duration(&self.delay);
        self.under_way.insert((at, self.sent), (from, to, datagram));
    }
}
