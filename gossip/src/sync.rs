//! Joining, and anti-entropy: now and then two members compare their whole views, by summaries
//! first, and exchange what the other lacks.
//!
//! ```text
//!   A ── digest: my members are … ──▶ B
//!   A ◀── delta: these are newer, and I want those ── B
//!   A ── delta: those ──▶ B
//! ```
//!
//! No datagram needs another one to make sense, and merging is a maximum, so losses and repetitions
//! only cost time. A newcomer's first digest holds itself alone, and the answer is everybody.

use std::{collections::BTreeSet, net::SocketAddr};

use consensus_core::{NodeId, Time};
use prost::Message as _;

use crate::{
    effect::Outbox,
    gossip::Gossip,
    member::{Member, State},
    message::{Body, Delta, Digest, Ping, Summary},
};

/// How many bytes of summaries one digest holds; the rest is for the sender and an accusation.
const DIGEST_BYTES: usize = 500;

/// How many names of wanted members one delta holds: at most 11 bytes each.
const WANTED_PER_DELTA: usize = 50;

/// Whom to turn to for an exchange, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Contacts {
    pub(crate) seeds: Vec<SocketAddr>,
    pub(crate) next_sync: Time,
    pub(crate) next_reconnect: Time,
}

impl Contacts {
    pub(crate) fn next_deadline(&self) -> Time {
        self.next_sync.min(self.next_reconnect)
    }
}

/// Somebody to try again.
#[derive(Clone, Copy, Debug)]
enum Lost {
    Dead(NodeId),
    Seed(SocketAddr),
}

impl Gossip {
    /// Exchanges views with a random member, and tries the lost, when it is time.
    pub(crate) fn synchronize(&mut self, now: Time, out: &mut Outbox) {
        if now >= self.contacts.next_sync {
            self.contacts.next_sync = now + self.config.sync_interval;
            for node in self.some_others(1, |_| true) {
                self.send_digest(node, out);
            }
        }
        if now >= self.contacts.next_reconnect {
            self.reconnect(now, out);
        }
    }

    /// Tries one of the dead and of the seeds that are nobody's now; all of the seeds, if there is
    /// nobody else at all.
    pub(crate) fn reconnect(&mut self, now: Time, out: &mut Outbox) {
        let alone = self.present().nth(1).is_none();
        let dead = self.members().filter(|member| member.state == State::Dead);
        let dead = dead.map(|member| Lost::Dead(member.node));
        let seeds = self.contacts.seeds.iter().filter(|&&seed| !self.is_present_at(seed));
        let lost: Vec<_> = dead.chain(seeds.map(|&seed| Lost::Seed(seed))).collect();
        let (tries, interval) = if alone {
            (self.config.max_sync_datagrams, self.config.join_interval)
        } else {
            (1, self.config.reconnect_interval)
        };
        self.contacts.next_reconnect = now + interval;
        for lost in self.chance.sample(lost, tries) {
            match lost {
                Lost::Dead(node) => {
                    // It learns from the ping that it is held dead, refutes, and is synchronized.
                    let sequence = self.prober.next_sequence();
                    self.post_to(node, Body::Ping(Ping { sequence, target: node.0 }), &[], out);
                }
                Lost::Seed(address) => self.send_digest_to(address, None, out),
            }
        }
    }

    fn is_present_at(&self, address: SocketAddr) -> bool {
        self.present().any(|member| member.address == address)
    }

    /// Begins an exchange with a member.
    pub(crate) fn send_digest(&mut self, node: NodeId, out: &mut Outbox) {
        if let Some(member) = self.members.get(&node) {
            self.send_digest_to(member.address, Some(node), out);
        }
    }

    fn send_digest_to(&mut self, to: SocketAddr, recipient: Option<NodeId>, out: &mut Outbox) {
        let digests = digests(self.members.values());
        let accused = recipient.and_then(|node| self.accusation_of(node));
        for digest in digests.into_iter().take(self.config.max_sync_datagrams) {
            self.post_records(to, Body::Digest(digest), accused, out);
        }
    }

    pub(crate) fn on_digest(
        &mut self,
        from: SocketAddr,
        sender: NodeId,
        digest: &Digest,
        out: &mut Outbox,
    ) {
        let Comparison { newer, wanted } = self.differences(sender, digest);
        let newer: Vec<_> = self.accusation_of(sender).into_iter().chain(newer).collect();
        if newer.is_empty() && wanted.is_empty() {
            return;
        }
        let mut requests =
            wanted.chunks(WANTED_PER_DELTA).map(|wanted| Delta { wanted: wanted.to_vec() });
        let first = requests.next().unwrap_or_default();
        self.post_records(from, Body::Delta(first), newer, out);
        for request in requests {
            self.post_records(from, Body::Delta(request), [], out);
        }
    }

    /// What the two sides know better of each member in the digest's range.
    fn differences(&self, sender: NodeId, digest: &Digest) -> Comparison {
        let mut comparison = Comparison::default();
        for summary in &digest.summaries {
            let node = NodeId(summary.node);
            // The sender's own record came with the digest.
            let Ok((life, version)) = summary.decode() else { continue };
            if node == sender {
                continue;
            }
            match self.members.get(&node) {
                Some(known) => {
                    if known.life() > life || known.version() > version {
                        comparison.newer.push(node);
                    }
                    if life > known.life() || version > known.version() {
                        comparison.wanted.push(node.0);
                    }
                }
                None if life.1.is_present() => comparison.wanted.push(node.0),
                None => {}
            }
        }
        let mentioned =
            |node: NodeId| digest.summaries.binary_search_by_key(&node.0, |s| s.node).is_ok();
        let range = NodeId(digest.first)..=NodeId(digest.last);
        let unknown = self.members.range(range).filter(|&(&node, member)| {
            node != sender && member.state.is_present() && !mentioned(node)
        });
        let unknown = unknown.map(|(&node, _)| node);
        comparison.newer.extend(unknown);
        comparison
    }

    pub(crate) fn on_delta(&mut self, from: SocketAddr, delta: &Delta, out: &mut Outbox) {
        let wanted: BTreeSet<_> = delta.wanted.iter().map(|&node| NodeId(node)).collect();
        let known: Vec<_> =
            wanted.into_iter().filter(|node| self.members.contains_key(node)).collect();
        if !known.is_empty() {
            self.post_records(from, Body::Delta(Delta::default()), known, out);
        }
    }
}

/// What came of reading a digest.
#[derive(Debug, Default)]
struct Comparison {
    /// Of whom this node knows something newer.
    newer: Vec<NodeId>,
    /// Of whom the other side does.
    wanted: Vec<u64>,
}

/// Cuts a view into digests that together speak for all identities.
fn digests<'a>(members: impl Iterator<Item = &'a Member>) -> Vec<Digest> {
    let mut digests = vec![Digest { first: 0, last: u64::MAX, summaries: Vec::new() }];
    let mut bytes = 0;
    for member in members {
        let summary = Summary::from(member);
        bytes += summary.encoded_len() + 2;
        if bytes > DIGEST_BYTES {
            bytes = summary.encoded_len() + 2;
            let full = digests.last_mut().expect("there is always one");
            full.last = summary.node - 1;
            digests.push(Digest { first: summary.node, last: u64::MAX, summaries: Vec::new() });
        }
        digests.last_mut().expect("there is always one").summaries.push(summary);
    }
    digests
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::{Incarnation, MAX_DATAGRAM_BYTES, Metadata};

    proptest! {
        /// Together the parts name everybody once, and no identity falls between two of them.
        #[test]
        fn digests_speak_for_all_identities(
            nodes in prop::collection::btree_set(1..=u64::MAX, 0..200),
            start in 0..1u64 << 62,
        ) {
            let members: Vec<_> = nodes.iter().map(|&node| Member {
                node: NodeId(node),
                address: SocketAddr::from(([10, 0, 0, 1], 7_000)),
                incarnation: Incarnation { start, refutation: start },
                state: State::Alive,
                metadata_version: start,
                metadata: Metadata::default(),
            }).collect();
            let digests = digests(members.iter());
            prop_assert_eq!((digests[0].first, digests[digests.len() - 1].last), (0, u64::MAX));
            for pair in digests.windows(2) {
                prop_assert_eq!(pair[0].last + 1, pair[1].first);
            }
            for digest in &digests {
                prop_assert!(digest.is_sorted() && digest.encoded_len() < MAX_DATAGRAM_BYTES / 2);
            }
            let named = digests.iter().flat_map(|digest| &digest.summaries).map(|summary| summary.node);
            prop_assert!(named.eq(nodes));
        }
    }
}
