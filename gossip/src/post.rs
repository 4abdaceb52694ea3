//! What goes into a datagram besides its message: the sender's own record, accusations, rumours.

use std::net::SocketAddr;

use consensus_core::NodeId;

use crate::{
    datagram::Packet,
    effect::Outbox,
    gossip::Gossip,
    member::{Claim, Member, State},
    message::{Body, Delta, Record},
};

impl Gossip {
    /// What this node says of a member.
    pub(crate) fn record(&self, node: NodeId) -> Option<Record> {
        let member = self.members.get(&node)?.clone();
        Some(Claim { member, accusers: self.suspicions.accusers(node) }.into())
    }

    fn packet(&self, body: Body) -> Packet {
        Packet::new(self.record(self.me).expect("this node is a member"), body)
    }

    /// Sends a message to a member, with these members' records, if they are known, and as many
    /// rumours as fit in.
    pub(crate) fn post_to(
        &mut self,
        recipient: NodeId,
        body: Body,
        records: &[NodeId],
        out: &mut Outbox,
    ) {
        if let Some(member) = self.members.get(&recipient) {
            self.post(member.address, recipient, body, records, out);
        }
    }

    /// The same, to where the member was just heard from.
    pub(crate) fn post(
        &mut self,
        to: SocketAddr,
        recipient: NodeId,
        body: Body,
        records: &[NodeId],
        out: &mut Outbox,
    ) {
        let limit = self.config.retransmit_limit(self.present().count());
        let mut packet = self.packet(body);
        let mut enclosed = Vec::from_iter(self.accusation_of(recipient));
        enclosed.extend(records);
        enclosed.retain(|&node| self.record(node).is_some_and(|record| packet.try_enclose(record)));
        // The packet's own sender field tells the news of this node.
        self.rumours.told(self.me, limit);
        for node in self.rumours.urgent_first() {
            if node == recipient || node == self.me || enclosed.contains(&node) {
                continue;
            }
            if !self.record(node).is_some_and(|record| packet.try_enclose(record)) {
                break;
            }
            self.rumours.told(node, limit);
        }
        self.send(to, packet, out);
    }

    /// Sends a message with the records of these members and no rumours. What does not fit follows
    /// in deltas, as many as the limit allows; the next exchange brings the rest.
    pub(crate) fn post_records(
        &mut self,
        to: SocketAddr,
        body: Body,
        nodes: impl IntoIterator<Item = NodeId>,
        out: &mut Outbox,
    ) {
        let mut nodes = nodes.into_iter().peekable();
        let following = std::iter::repeat_with(|| Body::Delta(Delta::default()));
        for body in std::iter::once(body).chain(following).take(self.config.max_sync_datagrams) {
            let mut packet = self.packet(body);
            while let Some(&node) = nodes.peek() {
                let fits = self.record(node).is_none_or(|record| packet.try_enclose(record));
                if !fits {
                    break;
                }
                nodes.next();
            }
            self.send(to, packet, out);
            if nodes.peek().is_none() {
                return;
            }
        }
        self.counters.refused += 1;
    }

    /// Lifeguard's buddy system (§IV-C): whoever is suspected is told first, to refute soon.
    pub(crate) fn accusation_of(&self, recipient: NodeId) -> Option<NodeId> {
        let accused =
            self.members.get(&recipient).is_some_and(|member| member.state != State::Alive);
        accused.then_some(recipient)
    }

    pub(crate) fn send(&mut self, to: SocketAddr, packet: Packet, out: &mut Outbox) {
        let datagram = packet.seal(self.cluster);
        self.counters.sent += 1;
        self.counters.sent_bytes += datagram.len() as u64;
        out.send(to, datagram);
    }

    /// Up to `count` other members of the group that qualify, in random order.
    pub(crate) fn some_others(
        &mut self,
        count: usize,
        qualifies: impl Fn(&Member) -> bool,
    ) -> Vec<NodeId> {
        let others: Vec<_> = self
            .present()
            .filter(|member| member.node != self.me && qualifies(member))
            .map(|member| member.node)
            .collect();
        self.chance.sample(others, count)
    }
}
