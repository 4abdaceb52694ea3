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
    use crate::{
        Effect, Incarnation, MAX_DATAGRAM_BYTES, Metadata,
        merge::{Source, fixture},
    };

    /// A member that knows these others, at these refutations.
    fn knowing(node: u64, others: impl Iterator<Item = (u64, u64)>) -> Gossip {
        let mut gossip = fixture::member(node);
        for (other, refutation) in others {
            let mut claim = fixture::alive(other);
            claim.member.incarnation.refutation = refutation;
            gossip.merge(Time::ZERO, claim, Source::Rumour, &mut Outbox::new());
        }
        gossip
    }

    /// Hands over what the two send each other until both are silent.
    fn converse(one: &mut Gossip, other: &mut Gossip, out: &mut Outbox) -> usize {
        let mut datagrams = 0;
        loop {
            let effects: Vec<_> = out.drain().collect();
            let mut silent = true;
            for effect in effects {
                let Effect::Send { to, datagram } = effect else { continue };
                let (from, receiver) = if to == other.me().address {
                    (one.me().address, &mut *other)
                } else if to == one.me().address {
                    (other.me().address, &mut *one)
                } else {
                    continue;
                };
                receiver.receive(Time::ZERO, from, &datagram, out);
                (datagrams, silent) = (datagrams + 1, false);
            }
            if silent {
                return datagrams;
            }
        }
    }

    #[test]
    fn one_exchange_makes_two_large_views_one() {
        // Each knows members whom the other does not, and newer things of those whom both know.
        let mut one = knowing(1, (100..700).map(|node| (node, node % 3)));
        let mut other = knowing(2, (400..900).map(|node| (node, node % 2)));
        let out = &mut Outbox::new();
        one.send_digest_to(other.me().address, None, out);
        let datagrams = converse(&mut one, &mut other, out);
        assert_eq!(one.members().count(), 802);
        assert!(one.members().eq(other.members()));
        assert!(datagrams < 100, "{datagrams} datagrams");

        // The second time there is nothing to say.
        one.send_digest(NodeId(2), out);
        let parts = out.effects().len();
        assert_eq!(converse(&mut one, &mut other, out), parts);
    }

    #[test]
    fn a_newcomer_learns_everybody_and_becomes_known() {
        let mut newcomer = fixture::member(1);
        let mut seed = knowing(2, (100..150).map(|node| (node, 0)));
        let out = &mut Outbox::new();
        newcomer.send_digest_to(seed.me().address, None, out);
        converse(&mut newcomer, &mut seed, out);
        assert!(newcomer.members().eq(seed.members()));
        assert_eq!(newcomer.members().count(), 52);
    }

    #[test]
    fn a_view_too_large_for_one_answer_arrives_in_several() {
        let mut newcomer = fixture::member(1);
        let mut seed = knowing(2, (100..1_000).map(|node| (node, 0)));
        seed.config.max_sync_datagrams = 10;
        let (out, mut known) = (&mut Outbox::new(), vec![1]);
        while known[known.len() - 1] < 902 {
            newcomer.send_digest_to(seed.me().address, None, out);
            converse(&mut newcomer, &mut seed, out);
            known.push(newcomer.members().count());
            assert!(known.is_sorted_by(|a, b| a < b), "each answer brings more: {known:?}");
        }
        assert!(known.len() > 2 && seed.counters.refused > 0);
    }

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
