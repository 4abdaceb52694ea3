//! Whatever arrives, a member counts or takes it, and lives on.

mod network;

use std::{collections::BTreeSet, sync::LazyLock, time::Duration};

use bytes::Bytes;
use consensus_core::{Draw, Epoch, NodeId, Time};
use gossip::{
    Config, Effect, Gossip, Identity, MAX_ADDRESS_BYTES, MAX_DATAGRAM_BYTES, Metadata, Outbox,
    State,
};
use network::{Network, address, metadata};
use proptest::prelude::*;

/// Real datagrams of every kind, all sent to node 2.
fn datagrams() -> &'static [Bytes] {
    static DATAGRAMS: LazyLock<Vec<Bytes>> = LazyLock::new(record_datagrams);
    &DATAGRAMS
}

fn record_datagrams() -> Vec<Bytes> {
    let mut network = Network::new(1);
    network.trace = Some(Vec::new());
    for number in 1..=6 {
        network.start(number);
    }
    network.run(Duration::from_secs(3));
    network.cut(3, 2);
    network.cut(2, 3);
    network.crash(5);
    network.run(Duration::from_secs(4));
    network.leave(6);
    network.run(Duration::from_secs(1));
    let sent = network.trace.unwrap().into_iter();
    sent.filter(|(_, _, to, _)| *to == address(2)).map(|(_, _, _, datagram)| datagram).collect()
}

fn member(cluster: &str) -> Gossip {
    let identity = Identity { node: NodeId(2), address: address(2), start: 1 };
    let (config, seeds) = (Config::new(cluster), vec![address(1)]);
    let out = &mut Outbox::new();
    Gossip::new(config, identity, metadata(2), seeds, Draw::new(1), Time::ZERO, out).unwrap()
}

fn dropped(member: &Gossip) -> u64 {
    let counters = member.counters();
    counters.damaged + counters.foreign_version + counters.foreign_cluster + counters.malformed
}

/// Puts a valid checksum on whatever the rest is.
fn sealed(mut datagram: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&datagram[..1]), &datagram[5..]);
    datagram[1..5].copy_from_slice(&checksum.to_le_bytes());
    datagram
}

#[test]
fn whole_datagrams_are_taken() {
    let mut member = member("test");
    let datagrams = datagrams();
    for datagram in datagrams {
        member.receive(Time::ZERO, address(1), datagram, &mut Outbox::new());
    }
    assert_eq!(dropped(&member), 0);
    assert_eq!(member.counters().received, datagrams.len() as u64);
    assert_eq!(member.member(NodeId(6)).unwrap().state, State::Left);
}

#[test]
fn datagrams_of_other_clusters_and_versions_are_counted_apart() {
    let datagram = datagrams()[0].clone();
    let mut stranger = member("another");
    stranger.receive(Time::ZERO, address(1), &datagram, &mut Outbox::new());
    assert_eq!(stranger.counters().foreign_cluster, 1);
    let mut other_version = datagram.to_vec();
    other_version[0] = 2;
    stranger.receive(Time::ZERO, address(1), &sealed(other_version), &mut Outbox::new());
    assert_eq!(stranger.counters().foreign_version, 1);
    assert_eq!(stranger.members().count(), 1);
}

#[test]
fn an_empty_message_is_malformed() {
    // Protobuf decodes no bytes at all to all defaults: node zero, at no address.
    let mut member = member("test");
    let empty = sealed(datagrams()[0][..13].to_vec());
    member.receive(Time::ZERO, address(1), &empty, &mut Outbox::new());
    assert_eq!((member.counters().malformed, member.members().count()), (1, 1));
}

#[test]
fn the_largest_records_fit() {
    let largest = Metadata {
        peer_address: "p".repeat(MAX_ADDRESS_BYTES),
        client_address: "c".repeat(MAX_ADDRESS_BYTES),
        protocol: "x".repeat(32),
        leader: Some(NodeId(u64::MAX)),
        epoch: Epoch::ballot(u64::MAX, NodeId(u64::MAX)),
        commit: u64::MAX,
    };
    let mut network = Network::of(3, 40);
    for number in 1..=40 {
        network.set_metadata(number, largest.clone());
    }
    // The network checks the size of every datagram.
    network.run_until(Duration::from_secs(10), |network| {
        let all = network.nodes.values().flat_map(Gossip::members);
        all.into_iter().all(|member| member.metadata == largest)
    });
    network.crash(7);
    network.run_until(Duration::from_secs(10), |network| network.all_others_think(7, State::Dead));
    let too_long = Metadata { protocol: "x".repeat(33), ..largest };
    let mut member = member("test");
    assert!(member.set_metadata(too_long).is_err());
    assert_eq!(member.me().metadata, metadata(2));
}

#[test]
fn a_node_with_an_identity_that_nobody_can_use_is_refused() {
    let identity = Identity { node: NodeId(2), address: address(2), start: 1 };
    let nowhere = Identity { address: "0.0.0.0:7000".parse().unwrap(), ..identity };
    let nobody = Identity { node: NodeId(0), ..identity };
    for bad in [nowhere, nobody] {
        let (config, draw) = (Config::new("test"), Draw::new(1));
        let out = &mut Outbox::new();
        let refused = Gossip::new(config, bad, metadata(2), vec![], draw, Time::ZERO, out);
        assert!(matches!(refused, Err(gossip::Error::Identity(_))));
    }
}

proptest! {
    #[test]
    fn noise_is_dropped(noise in prop::collection::vec(any::<u8>(), 0..1_600)) {
        let mut member = member("test");
        let mut out = Outbox::new();
        member.receive(Time::ZERO, address(1), &noise, &mut out);
        prop_assert_eq!((dropped(&member), member.members().count()), (1, 1));
        prop_assert!(out.effects().is_empty());
    }

    #[test]
    fn a_datagram_with_flipped_bits_is_dropped(
        which in any::<prop::sample::Index>(),
        flips in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        bit in 0..8u8,
    ) {
        let datagrams = datagrams();
        let mut datagram = datagrams[which.index(datagrams.len())].to_vec();
        let places: BTreeSet<_> = flips.iter().map(|flip| flip.index(datagram.len())).collect();
        for place in places {
            datagram[place] ^= 1 << bit;
        }
        let mut member = member("test");
        let mut out = Outbox::new();
        member.receive(Time::ZERO, address(1), &datagram, &mut out);
        prop_assert_eq!((dropped(&member), member.members().count()), (1, 1));
        prop_assert!(out.effects().is_empty());
    }

    #[test]
    fn a_torn_datagram_is_dropped(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        let datagrams = datagrams();
        let datagram = &datagrams[which.index(datagrams.len())];
        let mut member = member("test");
        member.receive(Time::ZERO, address(1), &datagram[..at.index(datagram.len())], &mut Outbox::new());
        prop_assert_eq!(dropped(&member), 1);
    }

    /// Behind a valid checksum may be anything at all: a member that trusts checksums alone fails.
    #[test]
    fn sealed_nonsense_neither_stops_nor_swells_a_member(
        which in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let datagrams = datagrams();
        let mut member = member("test");
        let mut now = Time::ZERO;
        for which in which {
            let mut datagram = datagrams[which.index(datagrams.len())].to_vec();
            for (place, byte) in &changes {
                let place = 13 + place.index(datagram.len() - 13);
                datagram[place] = *byte;
            }
            let mut out = Outbox::new();
            member.receive(now, address(1), &sealed(datagram), &mut out);
            now = now + Duration::from_millis(70);
            member.tick(now, &mut out);
            prop_assert!(member.next_tick() > now);
            for effect in out.effects() {
                if let Effect::Send { datagram, .. } = effect {
                    prop_assert!(datagram.len() <= MAX_DATAGRAM_BYTES);
                }
            }
        }
        prop_assert_eq!(member.me().state, State::Alive);
        prop_assert!(member.members().all(|member| member.metadata.validate().is_ok()));
    }
}
