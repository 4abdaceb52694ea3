//! One replica's gossip: who it believes is there. It dies with the incarnation.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
};

use bytes::Bytes;
use consensus_core::{Draw, NodeId, Protocol, Status, Time};
use gossip::{Config, Effect, Gossip, Identity, Metadata, Outbox};

use crate::{
    event::{Event, Local, Way},
    recording::place,
    surroundings::Surroundings,
};

/// The most datagrams that wait at a paused replica; a socket buffer drops what comes on top.
const SOCKET_BUFFER: usize = 128;

/// Gossip's port.
const PORT: u16 = 7_946;

/// What gossip makes of another replica, for the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Suspicion {
    pub(crate) node: NodeId,
    /// Whether it seems dead.
    pub(crate) suspected: bool,
}

/// A replica's gossip and what it waits for.
pub(crate) struct Membership {
    me: NodeId,
    incarnation: u64,
    gossip: Gossip,
    /// What it says of itself.
    metadata: Metadata,
    outbox: Outbox,
    unread: VecDeque<(NodeId, Bytes)>,
    /// When the event comes that lets it tick.
    looked_after: Option<Time>,
}

impl Membership {
    /// The gossip of a replica that starts. It knows the address of the first place alone; if it came
    /// in the place of another, perhaps of that one, it knows a few.
    pub(crate) fn start<P: Protocol>(
        now: Time,
        me: NodeId,
        incarnation: u64,
        config: Config,
        draw: Draw,
        around: &mut Surroundings<P>,
    ) -> Self {
        let identity = Identity { node: me, address: address(me), start: incarnation };
        let metadata = metadata::<P>(&Status { node: me, ..Status::default() });
        let few = if me == me.place() { 1 } else { around.lives.len().min(3) as u64 };
        let seeds = (1..=few).map(|node| address(NodeId(node))).collect();
        let mut outbox = Outbox::new();
        let said = metadata.clone();
        let gossip = Gossip::new(config, identity, said, seeds, draw, now, &mut outbox)
            .expect("the configuration was checked before the run");
        let unread = VecDeque::new();
        let mut this =
            Self { me, incarnation, gossip, metadata, outbox, unread, looked_after: None };
        this.carry_out(now, around);
        this
    }

    /// Takes a datagram out of the network.
    pub(crate) fn receive(&mut self, from: NodeId, bytes: Bytes) {
        if self.unread.len() < SOCKET_BUFFER {
            self.unread.push_back((from, bytes));
        }
    }

    /// Reads what has arrived and does what is due.
    pub(crate) fn run<P: Protocol>(
        &mut self,
        now: Time,
        status: impl FnOnce() -> Status,
        around: &mut Surroundings<P>,
    ) -> Vec<Suspicion> {
        while let Some((from, bytes)) = self.unread.pop_front() {
            self.gossip.receive(now, address(from), &bytes, &mut self.outbox);
        }
        if self.looked_after.is_some_and(|at| at <= now) {
            self.looked_after = None;
        }
        if self.gossip.next_tick() <= now {
            let Status { leader, epoch, commit, .. } = status();
            self.metadata =
                Metadata { leader, epoch, commit, ..std::mem::take(&mut self.metadata) };
            self.gossip
                .set_metadata(self.metadata.clone())
                .expect("a replica says nothing of itself that gossip refuses");
            self.gossip.tick(now, &mut self.outbox);
        }
        self.carry_out(now, around)
    }

    /// Whom this replica believes alive, itself included.
    pub(crate) fn alive(&self) -> Vec<NodeId> {
        self.gossip.alive().map(|member| member.node).collect()
    }

    fn carry_out<P: Protocol>(
        &mut self,
        now: Time,
        around: &mut Surroundings<P>,
    ) -> Vec<Suspicion> {
        let mut suspicions = Vec::new();
        for effect in self.outbox.drain() {
            let (to, datagram) = match effect {
                Effect::Send { to, datagram } => (to, datagram),
                Effect::Event(event) => {
                    suspicions.extend(suspicion(event).filter(|about| about.node != self.me));
                    continue;
                }
            };
            let Some(to) = node_at(to, &around.lives).filter(|&to| to != self.me) else {
                continue;
            };
            around.recorder.counters(self.me).datagrams += 1;
            let way = Way { from: self.me, to };
            around.network.fly(now, way, datagram, &mut around.queue);
        }
        let next = self.gossip.next_tick().max(now);
        if self.looked_after.is_none_or(|at| at > next) {
            self.looked_after = Some(next);
            let (node, incarnation) = (self.me, self.incarnation);
            around.queue.push(next, Event::Local { node, incarnation, what: Local::Gossip });
        }
        suspicions
    }
}

/// What a change of gossip's view says of a replica's life.
const fn suspicion(event: gossip::Event) -> Option<Suspicion> {
    let node = event.node();
    match event {
        gossip::Event::Suspected { .. }
        | gossip::Event::Died { .. }
        | gossip::Event::Left { .. } => Some(Suspicion { node, suspected: true }),
        gossip::Event::Joined { .. } | gossip::Event::Refuted { .. } => {
            Some(Suspicion { node, suspected: false })
        }
        gossip::Event::Updated { .. } => None,
    }
}

fn metadata<P: Protocol>(status: &Status) -> Metadata {
    Metadata {
        peer_address: format!("node-{}:7000", status.node),
        client_address: format!("node-{}:8000", status.node),
        protocol: P::NAME.to_owned(),
        leader: status.leader,
        epoch: status.epoch,
        commit: status.commit,
    }
}

/// Where a replica's gossip is reached: in 10.0.0.0/8, by its place.
fn address(node: NodeId) -> SocketAddr {
    let [.., high, middle, low] = node.place().0.to_be_bytes();
    (Ipv4Addr::new(10, high, middle, low), PORT).into()
}

/// Which replica is reached there, if these are in their places.
fn node_at(address: SocketAddr, lives: &[NodeId]) -> Option<NodeId> {
    let SocketAddr::V4(address) = address else { return None };
    let [10, high, middle, low] = address.ip().octets() else { return None };
    let number = u64::from(u32::from_be_bytes([0, high, middle, low]));
    let found = lives.get(place(NodeId(number.max(1))));
    found.copied().filter(|_| number > 0)
}
