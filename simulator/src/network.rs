//! The network in virtual time: how long each message is under way, and what faults do to it.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use consensus_core::{Draw, NodeId, Protocol, Time, Wire};
use faults::{Channel, Latency, LinkRules, LinkShim, links::Delivery};

use crate::{
    digest,
    event::{Event, Frame, Way},
    queue::Queue,
    recording::place,
    snapshots::{Parcel, SnapshotModel},
};

/// How long messages are under way.
#[derive(Clone, PartialEq, Debug)]
pub struct NetworkModel {
    /// One way, between two replicas.
    pub replicas: Latency,
    /// One way, from this replica to that one, where it differs.
    pub links: BTreeMap<(NodeId, NodeId), Latency>,
    /// One way, between a client and a replica.
    pub clients: Latency,
}

impl NetworkModel {
    /// Everything on one machine: about 40 µs one way, with a long tail, as a loaded loopback shows.
    pub fn loopback() -> Self {
        let latency = Latency::LogNormal { median: Duration::from_micros(40), sigma: 0.4 };
        Self { replicas: latency.clone(), links: BTreeMap::new(), clients: latency }
    }

    /// One switched local network: about 250 µs one way.
    pub fn lan() -> Self {
        let latency = Latency::LogNormal { median: Duration::from_micros(250), sigma: 0.3 };
        Self { replicas: latency.clone(), links: BTreeMap::new(), clients: latency }
    }

    fn between(&self, way: Way) -> &Latency {
        self.links.get(&(way.from, way.to)).unwrap_or(&self.replicas)
    }
}

impl Default for NetworkModel {
    fn default() -> Self {
        Self::lan()
    }
}

/// When bytes are really decoded at the receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WireMode {
    /// On links whose faults touch bytes. Elsewhere a message arrives as it was sent; its encoding
    /// is still made, for its length and for the trace.
    #[default]
    WhenFaulty,
    /// Always.
    Always,
}

/// What an envelope adds to a message: its checksum.
const CHECKSUM_BYTES: usize = 4;

/// The links between the replicas, and those to the clients.
pub(crate) struct Network {
    model: NetworkModel,
    nodes: u64,
    links: Vec<Link>,
    shims: Vec<LinkShim>,
    rules: LinkRules,
    clients: Draw,
    to_clients: u64,
    wire: WireMode,
    scratch: Vec<u8>,
}

/// One direction between two replicas.
struct Link {
    stream: Draw,
    /// How many messages were handed to the stream: the key of the next one's draw.
    streamed: u64,
    /// The previous message's arrival. The stream keeps its order, so none overtakes another unless
    /// a fault holds it back before it is handed over.
    last_arrival: Time,
    datagrams: Draw,
    /// How many datagrams were sent.
    flown: u64,
    parcels: Draw,
    /// How many parcels were sent.
    posted: u64,
}

impl Network {
    pub(crate) fn new(model: NetworkModel, nodes: u64, seed: Draw, wire: WireMode) -> Self {
        let link = |number: u64| {
            let draw = seed.of("link").at(1 + number / nodes).at(1 + number % nodes);
            Link {
                stream: draw.of("stream"),
                streamed: 0,
                last_arrival: Time::ZERO,
                datagrams: draw.of("datagrams"),
                flown: 0,
                parcels: draw.of("parcels"),
                posted: 0,
            }
        };
        Self {
            model,
            nodes,
            links: (0..nodes * nodes).map(link).collect(),
            shims: (1..=nodes).map(|node| LinkShim::new(NodeId(node))).collect(),
            rules: LinkRules::default(),
            clients: seed.of("clients"),
            to_clients: 0,
            wire,
            scratch: Vec::new(),
        }
    }

    /// Puts these rules in force at every replica, in the place of all earlier ones.
    pub(crate) fn install(&mut self, now: Time, rules: &LinkRules) {
        for shim in &mut self.shims {
            shim.install(rules, now);
        }
        self.rules = rules.clone();
    }

    /// Somebody else comes into a place: with the rules in force, as whoever starts gets them.
    pub(crate) fn move_in(&mut self, now: Time, node: NodeId) {
        let mut shim = LinkShim::new(node);
        shim.install(&self.rules, now);
        self.shims[place(node)] = shim;
    }

    /// What a replica's shim did so far.
    pub(crate) fn shim_counters(&self, node: NodeId) -> faults::links::Counters {
        *self.shims[place(node)].counters()
    }

    /// Whether what comes from there may come in here.
    pub(crate) fn admits(&mut self, now: Time, way: Way, channel: Channel) -> bool {
        self.shims[place(way.to)].admits(now, way.from, channel)
    }

    /// Sends a message; says how many bytes it has.
    pub(crate) fn send<P: Protocol>(
        &mut self,
        now: Time,
        way: Way,
        message: P::Message,
        waited_ns: u64,
        queue: &mut Queue<Event<P>>,
    ) -> u64 {
        self.scratch.clear();
        self.scratch.extend_from_slice(&[0; CHECKSUM_BYTES]);
        message.encode_to(&mut self.scratch);
        let length = self.scratch.len() as u64;
        let shim = &mut self.shims[place(way.from)];
        if self.wire == WireMode::WhenFaulty && shim.is_clean() {
            let digest = digest::of_bytes(&self.scratch);
            let at = self.stream(now, way);
            queue.push(at, Event::Message { way, message, waited_ns, digest });
            return length;
        }
        let frame = seal(&mut self.scratch);
        for Delivery { after, bytes } in shim.send(now, way.to, Channel::Consensus, frame) {
            let frame = Frame { way, bytes, waited_ns };
            if after.is_zero() {
                self.hand_over(now, frame, queue);
            } else {
                queue.push(now + after, Event::HandOver(frame));
            }
        }
        length
    }

    /// Hands a frame, which a fault may have held back, to the stream.
    pub(crate) fn hand_over<P: Protocol>(
        &mut self,
        now: Time,
        frame: Frame,
        queue: &mut Queue<Event<P>>,
    ) {
        let at = self.stream(now, frame.way);
        queue.push(at, Event::Frame(frame));
    }

    /// Sends a gossip datagram, which brings its own checksum.
    pub(crate) fn fly<P: Protocol>(
        &mut self,
        now: Time,
        way: Way,
        datagram: Bytes,
        queue: &mut Queue<Event<P>>,
    ) {
        let shim = &mut self.shims[place(way.from)];
        for Delivery { after, bytes } in shim.send(now, way.to, Channel::Gossip, datagram) {
            let latency = self.model.between(way);
            let link = &mut self.links[number(way, self.nodes)];
            link.flown += 1;
            let at = now + after + latency.draw(link.datagrams.at(link.flown));
            queue.push(at, Event::Datagram { way, bytes });
        }
    }

    /// Sends a part of a snapshot, on a stream of its own, so that a large one holds no message up;
    /// says how many bytes it has.
    pub(crate) fn post<P: Protocol>(
        &mut self,
        now: Time,
        way: Way,
        parcel: &Parcel,
        model: &SnapshotModel,
        queue: &mut Queue<Event<P>>,
    ) -> u64 {
        self.scratch.clear();
        self.scratch.extend_from_slice(&[0; CHECKSUM_BYTES]);
        parcel.encode_to(&mut self.scratch);
        let length = self.scratch.len();
        let frame = seal(&mut self.scratch);
        let shim = &mut self.shims[place(way.from)];
        for Delivery { after, bytes } in shim.send(now, way.to, Channel::Consensus, frame) {
            let latency = self.model.between(way);
            let link = &mut self.links[number(way, self.nodes)];
            link.posted += 1;
            let under_way = latency.draw(link.parcels.at(link.posted));
            let at = now + after + under_way + model.transmission(length);
            queue.push(at, Event::Parcel { way, bytes });
        }
        length as u64
    }

    /// How long the next message to or from a client is under way.
    pub(crate) fn client_delay(&mut self) -> Duration {
        self.to_clients += 1;
        self.model.clients.draw(self.clients.at(self.to_clients))
    }

    /// When what is handed to a stream now arrives.
    fn stream(&mut self, now: Time, way: Way) -> Time {
        let latency = self.model.between(way);
        let link = &mut self.links[number(way, self.nodes)];
        link.streamed += 1;
        let delay = latency.draw(link.stream.at(link.streamed));
        link.last_arrival = link.last_arrival.max(now + delay);
        link.last_arrival
    }
}

fn number(way: Way, nodes: u64) -> usize {
    place(way.from) * nodes as usize + place(way.to)
}

/// Writes the checksum of what follows it into the first bytes: a CRC-32C, then the content.
fn seal(buffer: &mut [u8]) -> Bytes {
    let checksum = crc32c::crc32c(&buffer[CHECKSUM_BYTES..]);
    buffer[..CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Bytes::copy_from_slice(buffer)
}

/// The content of what was sealed; `None` if it was damaged.
pub(crate) fn open(frame: &Bytes) -> Option<Bytes> {
    let checksum = frame.get(..CHECKSUM_BYTES)?;
    let content = frame.slice(CHECKSUM_BYTES..);
    (crc32c::crc32c(&content).to_le_bytes() == checksum).then_some(content)
}
