//! The network in virtual time: how long each message is under way, and what faults do to it.

mod preset;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use consensus_core::{Draw, NodeId, Protocol, Time, Wire};
use faults::{Channel, Latency, LinkRules, LinkShim, links::Delivery};

pub use preset::{Preset, REGIONS, ROUND_TRIPS_MS, UnknownNetwork};

use crate::{
    digest,
    event::{Asker, Event, Frame, Way},
    queue::Queue,
    recording::place,
    snapshots::Parcel,
};

/// The network: who is where, and how the links between them behave when no fault disturbs them.
///
/// Replicas stand at *sites*: zones, regions, or all at one. The replica in place n is at site
/// (n − 1) mod the number of sites, whoever lives in that place. Clients are spread over the sites
/// evenly, and the schedule's own clients and administrators are at the first.
#[derive(Clone, PartialEq, Debug)]
pub struct NetworkModel {
    /// What reports call it.
    pub name: String,
    /// How many sites there are; at least one.
    pub sites: usize,
    /// The links within a site, and between sites that `between` does not name.
    pub within: LinkModel,
    /// The links between two sites, counted from 0, the smaller first; alike in both directions.
    pub between: BTreeMap<(usize, usize), LinkModel>,
    /// The link from this replica to that one, where it differs.
    pub links: BTreeMap<(NodeId, NodeId), LinkModel>,
}

/// How one link behaves, one way.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkModel {
    /// How long a message is under way once the line is free for it.
    pub latency: Latency,
    /// The bytes per second that pass. A message occupies the line for its length, and what comes
    /// meanwhile waits; without a number, nothing ever waits.
    pub bytes_per_s: Option<u64>,
    /// The probability that a message is lost: to the protocol it looks like a connection that broke.
    pub loss: f64,
    /// The probability that it arrives twice.
    pub duplication: f64,
    /// The probability that later messages overtake it.
    pub reordering: f64,
}

impl LinkModel {
    /// A link that takes its time and does nothing else to messages.
    pub const fn of(latency: Latency) -> Self {
        Self { latency, bytes_per_s: None, loss: 0.0, duplication: 0.0, reordering: 0.0 }
    }

    /// The same link, with a line of this width.
    #[must_use]
    pub fn with_bandwidth(self, bytes_per_s: u64) -> Self {
        Self { bytes_per_s: Some(bytes_per_s), ..self }
    }

    /// Whether every message arrives once.
    fn is_faithful(&self) -> bool {
        self.loss <= 0.0 && self.duplication <= 0.0 && self.reordering <= 0.0
    }

    /// How long a message of this length occupies the line.
    fn line_time(&self, length: usize) -> Duration {
        let nanos = self
            .bytes_per_s
            .map_or(0, |rate| length as u128 * 1_000_000_000 / u128::from(rate.max(1)));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl NetworkModel {
    /// All replicas and clients at one site, with links of this kind.
    pub fn flat(name: impl Into<String>, within: LinkModel) -> Self {
        Self {
            name: name.into(),
            sites: 1,
            within,
            between: BTreeMap::new(),
            links: BTreeMap::new(),
        }
    }

    /// The same network, with every link changed by this.
    #[must_use]
    pub fn with_links(mut self, change: impl Fn(&mut LinkModel)) -> Self {
        change(&mut self.within);
        self.between.values_mut().chain(self.links.values_mut()).for_each(change);
        self
    }

    /// The longest round trip between two sites, or within one, as half of all messages meet it.
    pub fn longest_round_trip(&self) -> Duration {
        let links = self.between.values().chain([&self.within]);
        links.map(|link| link.latency.median() * 2).max().unwrap_or_default()
    }

    /// The link from one replica to another.
    fn link(&self, from: NodeId, to: NodeId) -> &LinkModel {
        let named = self.links.get(&(from, to));
        named.unwrap_or_else(|| self.joining(self.site(from), self.site(to)))
    }

    /// The links that join two sites.
    fn joining(&self, one: usize, other: usize) -> &LinkModel {
        self.between.get(&(one.min(other), one.max(other))).unwrap_or(&self.within)
    }

    /// Where a replica is.
    fn site(&self, node: NodeId) -> usize {
        place(node) % self.sites.max(1)
    }
}

impl Default for NetworkModel {
    fn default() -> Self {
        Preset::Lan.model()
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

/// How long a message that others overtake is held back, at most.
const LONGEST_HOLD: Duration = Duration::from_millis(5);

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
    model: LinkModel,
    /// Until when the line is busy with what was sent before.
    busy_until: Time,
    stream: Draw,
    /// How many messages were handed to the stream: the key of the next one's draw.
    streamed: u64,
    /// The previous message's arrival. The stream keeps its order, so none overtakes another unless
    /// it is held back on purpose.
    last_arrival: Time,
    datagrams: Draw,
    /// How many datagrams were sent.
    flown: u64,
    parcels: Draw,
    /// How many parcels were sent.
    posted: u64,
}

/// When the copies of a message arrive: none if it was lost, at most two.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Arrivals {
    first: Option<Time>,
    second: Option<Time>,
}

impl Link {
    fn new(model: LinkModel, draw: Draw) -> Self {
        Self {
            model,
            busy_until: Time::ZERO,
            stream: draw.of("stream"),
            streamed: 0,
            last_arrival: Time::ZERO,
            datagrams: draw.of("datagrams"),
            flown: 0,
            parcels: draw.of("parcels"),
            posted: 0,
        }
    }

    /// A message goes onto the stream now.
    fn stream(&mut self, now: Time, length: usize) -> Arrivals {
        self.streamed += 1;
        let draw = self.stream.at(self.streamed);
        let left = self.occupy(now, length);
        let at = left + self.model.latency.draw(draw);
        if self.model.is_faithful() {
            self.last_arrival = self.last_arrival.max(at);
            return Arrivals { first: Some(self.last_arrival), second: None };
        }
        if draw.of("loss").chance(self.model.loss) {
            return Arrivals::default();
        }
        let first = if draw.of("reordering").chance(self.model.reordering) {
            at.max(self.last_arrival) + draw.of("hold").duration(&(Duration::ZERO..LONGEST_HOLD))
        } else {
            self.last_arrival = self.last_arrival.max(at);
            self.last_arrival
        };
        Arrivals { first: Some(first), second: self.copy(draw, first) }
    }

    /// A datagram leaves now. Others overtake it as it happens.
    fn fly(&mut self, now: Time, length: usize) -> Arrivals {
        self.flown += 1;
        let draw = self.datagrams.at(self.flown);
        let at = self.occupy(now, length) + self.model.latency.draw(draw);
        if draw.of("loss").chance(self.model.loss) {
            return Arrivals::default();
        }
        Arrivals { first: Some(at), second: self.copy(draw, at) }
    }

    /// A part of a snapshot leaves now, on a stream of its own.
    fn post(&mut self, now: Time, length: usize) -> Arrivals {
        self.posted += 1;
        let draw = self.parcels.at(self.posted);
        let at = self.occupy(now, length) + self.model.latency.draw(draw);
        if draw.of("loss").chance(self.model.loss) {
            return Arrivals::default();
        }
        Arrivals { first: Some(at), second: self.copy(draw, at) }
    }

    /// The line is busy with a message as soon as it is free; says when it has left.
    fn occupy(&mut self, now: Time, length: usize) -> Time {
        self.busy_until = self.busy_until.max(now) + self.model.line_time(length);
        self.busy_until
    }

    /// When a second copy of a message arrives, if there is one: some time after the first.
    fn copy(&self, draw: Draw, first: Time) -> Option<Time> {
        let doubled = draw.of("duplication").chance(self.model.duplication);
        doubled.then(|| first + self.model.latency.draw(draw.of("copy")))
    }
}

impl Network {
    pub(crate) fn new(model: NetworkModel, nodes: u64, seed: Draw, wire: WireMode) -> Self {
        let link = |number: u64| {
            let (from, to) = (NodeId(1 + number / nodes), NodeId(1 + number % nodes));
            Link::new(model.link(from, to).clone(), seed.of("link").at(from.0).at(to.0))
        };
        Self {
            nodes,
            links: (0..nodes * nodes).map(link).collect(),
            shims: (1..=nodes).map(|node| LinkShim::new(NodeId(node))).collect(),
            rules: LinkRules::default(),
            clients: seed.of("clients"),
            to_clients: 0,
            wire,
            scratch: Vec::new(),
            model,
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
            let Arrivals { first, second } = self.link(way).stream(now, length as usize);
            if let Some(at) = second {
                let message = message.clone();
                queue.push(at, Event::Message { way, message, waited_ns, digest });
            }
            if let Some(at) = first {
                queue.push(at, Event::Message { way, message, waited_ns, digest });
            }
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
        for at in self.link(frame.way).stream(now, frame.bytes.len()) {
            queue.push(at, Event::Frame(frame.clone()));
        }
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
            let link = &mut self.links[number(way, self.nodes)];
            for at in link.fly(now + after, bytes.len()) {
                queue.push(at, Event::Datagram { way, bytes: bytes.clone() });
            }
        }
    }

    /// Sends a part of a snapshot, on a stream of its own, so that a large one holds no message up;
    /// says how many bytes it has.
    pub(crate) fn post<P: Protocol>(
        &mut self,
        now: Time,
        way: Way,
        parcel: &Parcel,
        queue: &mut Queue<Event<P>>,
    ) -> u64 {
        self.scratch.clear();
        self.scratch.extend_from_slice(&[0; CHECKSUM_BYTES]);
        parcel.encode_to(&mut self.scratch);
        let length = self.scratch.len();
        let frame = seal(&mut self.scratch);
        let shim = &mut self.shims[place(way.from)];
        for Delivery { after, bytes } in shim.send(now, way.to, Channel::Consensus, frame) {
            let link = &mut self.links[number(way, self.nodes)];
            for at in link.post(now + after, bytes.len()) {
                queue.push(at, Event::Parcel { way, bytes: bytes.clone() });
            }
        }
        length as u64
    }

    /// How long the next message between somebody outside and a replica is under way.
    pub(crate) fn client_delay(&mut self, asker: Asker, node: NodeId) -> Duration {
        self.to_clients += 1;
        let site = match asker {
            Asker::Client(place) => place % self.model.sites.max(1),
            Asker::Administrator(_) => 0,
        };
        let link = self.model.joining(site, self.model.site(node));
        link.latency.draw(self.clients.at(self.to_clients))
    }

    fn link(&mut self, way: Way) -> &mut Link {
        &mut self.links[number(way, self.nodes)]
    }
}

impl IntoIterator for Arrivals {
    type Item = Time;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Time>, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        [self.first, self.second].into_iter().flatten()
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
