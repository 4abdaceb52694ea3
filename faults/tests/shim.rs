//! The shim does to messages what the rules say, as often as they say, and nothing else.

use std::time::Duration;

use bytes::Bytes;
use consensus_core::{NodeId, Time};
use faults::{Channel, LinkRule, LinkRules, LinkShim, links::Delivery};
use proptest::prelude::*;

const ME: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);
const MESSAGES: u64 = 10_000;

fn rules(rules: Vec<LinkRule>) -> LinkRules {
    LinkRules { seed: 9, expires_in: Duration::from_secs(3_600), rules }
}

fn shim(list: Vec<LinkRule>) -> LinkShim {
    let mut shim = LinkShim::new(ME);
    shim.install(&rules(list), Time::ZERO);
    shim
}

fn message(number: u64) -> Bytes {
    Bytes::from(number.to_be_bytes().to_vec())
}

/// Sends many messages, a millisecond apart, and gives back what arrives, with its time.
fn arrivals(shim: &mut LinkShim, channel: Channel) -> Vec<(Time, Bytes)> {
    let mut arrived = Vec::new();
    for number in 0..MESSAGES {
        let now = Time(number * 1_000_000);
        for Delivery { after, bytes } in shim.send(now, PEER, channel, message(number)) {
            arrived.push((now + after, bytes));
        }
    }
    arrived.sort_by_key(|(at, _)| *at);
    arrived
}

fn about(count: u64, share: f64) -> bool {
    (count as f64 / MESSAGES as f64 - share).abs() < 0.02
}

#[test]
fn without_rules_everything_passes_untouched() {
    let mut shim = LinkShim::new(ME);
    let bytes = message(1);
    let deliveries: Vec<_> =
        shim.send(Time::ZERO, PEER, Channel::Consensus, bytes.clone()).into_iter().collect();
    assert_eq!(deliveries, [Delivery { after: Duration::ZERO, bytes }]);
    assert!(shim.admits(Time::ZERO, PEER, Channel::Gossip));
    assert_eq!((shim.counters().passed, shim.counters().bytes), (1, 8));
}

#[test]
fn rules_for_other_links_change_nothing() {
    let mut shim = shim(vec![LinkRule::cut(PEER, NodeId(3)), LinkRule::cut(ME, NodeId(3))]);
    assert_eq!(shim.send(Time::ZERO, PEER, Channel::Consensus, message(1)).len(), 1);
    assert!(shim.admits(Time::ZERO, PEER, Channel::Consensus));
    assert!(shim.send(Time::ZERO, NodeId(3), Channel::Consensus, message(1)).is_empty());
}

#[test]
fn messages_to_oneself_are_never_touched() {
    let mut shim =
        shim(vec![LinkRule::cut(ME, ME), LinkRule::cut(ME, PEER), LinkRule::cut(PEER, ME)]);
    assert_eq!(shim.send(Time::ZERO, ME, Channel::Consensus, message(1)).len(), 1);
    assert!(shim.admits(Time::ZERO, ME, Channel::Consensus));
}

#[test]
fn a_cut_is_kept_up_at_both_ends() {
    let mut sender = shim(vec![LinkRule::cut(ME, PEER)]);
    assert!(sender.send(Time::ZERO, PEER, Channel::Gossip, message(1)).is_empty());
    // One way only.
    assert!(sender.admits(Time::ZERO, PEER, Channel::Gossip));
    let mut receiver = shim(vec![LinkRule::cut(PEER, ME)]);
    assert!(!receiver.admits(Time::ZERO, PEER, Channel::Consensus));
    assert_eq!(receiver.send(Time::ZERO, PEER, Channel::Consensus, message(1)).len(), 1);
    // A lossy link is none that the receiver could keep up.
    let mut lossy = shim(vec![LinkRule { drop: 0.99, ..LinkRule::clean(PEER, ME) }]);
    assert!(lossy.admits(Time::ZERO, PEER, Channel::Consensus));
}

#[test]
fn a_rule_may_concern_one_channel() {
    let gossip = Some(Channel::Gossip);
    let mut shim = shim(vec![
        LinkRule { channel: gossip, ..LinkRule::cut(ME, PEER) },
        LinkRule { channel: gossip, ..LinkRule::cut(PEER, ME) },
    ]);
    assert_eq!(shim.send(Time::ZERO, PEER, Channel::Consensus, message(1)).len(), 1);
    assert!(shim.send(Time::ZERO, PEER, Channel::Gossip, message(1)).is_empty());
    assert!(shim.admits(Time::ZERO, PEER, Channel::Consensus));
    assert!(!shim.admits(Time::ZERO, PEER, Channel::Gossip));
}

#[test]
fn rules_expire_and_are_replaced() {
    let mut shim = LinkShim::new(ME);
    let cut = vec![LinkRule::cut(ME, PEER), LinkRule::cut(PEER, ME)];
    let soon = LinkRules { expires_in: Duration::from_secs(1), ..rules(cut.clone()) };
    shim.install(&soon, Time(5));
    assert!(!shim.admits(Time(1_000_000_004), PEER, Channel::Consensus));
    assert!(shim.admits(Time(1_000_000_005), PEER, Channel::Consensus));
    assert!(shim.is_clean());
    shim.install(&rules(cut), Time(0));
    shim.install(&rules(Vec::new()), Time(1));
    assert_eq!(shim.send(Time(2), PEER, Channel::Consensus, message(1)).len(), 1);
}

#[test]
fn messages_are_lost_doubled_and_damaged_as_often_as_asked() {
    let mut shim = shim(vec![LinkRule {
        drop: 0.2,
        duplicate: 0.25,
        corrupt: 0.125,
        ..LinkRule::clean(ME, PEER)
    }]);
    let arrived = arrivals(&mut shim, Channel::Consensus);
    let counters = *shim.counters();
    assert!(about(counters.dropped, 0.2), "{counters:?}");
    assert!(about(counters.duplicated, 0.8 * 0.25), "{counters:?}");
    assert!(about(counters.corrupted, 0.8 * 0.125), "{counters:?}");
    assert_eq!(arrived.len() as u64, MESSAGES - counters.dropped + counters.duplicated);
    assert_eq!(counters.bytes, arrived.len() as u64 * 8);
}

#[test]
fn a_damaged_message_differs_in_a_few_bits_and_keeps_its_length() {
    let mut shim = shim(vec![LinkRule { corrupt: 1.0, ..LinkRule::clean(ME, PEER) }]);
    for number in 0..1_000 {
        for delivery in shim.send(Time::ZERO, PEER, Channel::Consensus, message(number)) {
            let original = message(number);
            let flipped: u32 =
                delivery.bytes.iter().zip(&original).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert!((1..=4).contains(&flipped) && delivery.bytes.len() == original.len());
        }
    }
    assert_eq!(shim.send(Time::ZERO, PEER, Channel::Consensus, Bytes::new()).len(), 1);
}

#[test]
fn a_stream_keeps_its_order_however_the_delay_strays_and_datagrams_do_not() {
    let delayed = || {
        let (delay, jitter) = (Duration::from_millis(20), Duration::from_millis(10));
        shim(vec![LinkRule { delay, jitter, ..LinkRule::clean(ME, PEER) }])
    };
    let in_order = |arrived: &[(Time, Bytes)]| arrived.windows(2).all(|pair| pair[0].1 < pair[1].1);
    assert!(in_order(&arrivals(&mut delayed(), Channel::Consensus)));
    assert!(!in_order(&arrivals(&mut delayed(), Channel::Gossip)));
    let mut gossip = delayed();
    let mean = (0..MESSAGES)
        .flat_map(|n| gossip.send(Time(n), PEER, Channel::Gossip, message(n)))
        .map(|delivery| delivery.after.as_secs_f64() * 1e3 / MESSAGES as f64)
        .sum::<f64>();
    assert!((mean - 20.0).abs() < 0.5, "{mean} ms");
}

#[test]
fn a_reordered_message_is_overtaken() {
    let mut shim = shim(vec![LinkRule { reorder: 0.1, ..LinkRule::clean(ME, PEER) }]);
    let arrived = arrivals(&mut shim, Channel::Consensus);
    let overtaken = arrived.windows(2).filter(|pair| pair[0].1 > pair[1].1).count();
    assert_eq!(arrived.len() as u64, MESSAGES);
    assert!(overtaken > 300, "{overtaken}");
    assert!(about(shim.counters().reordered, 0.1));
}

#[test]
fn a_throttled_link_passes_so_many_bytes_per_second_and_holds_no_endless_queue() {
    // A thousand messages of eight bytes come in each second; half of them fit.
    let bandwidth_bytes_per_s = Some(4_000);
    let mut shim = shim(vec![LinkRule { bandwidth_bytes_per_s, ..LinkRule::clean(ME, PEER) }]);
    let arrived = arrivals(&mut shim, Channel::Consensus);
    let last = arrived.last().unwrap().0.0 as f64 / 1e9;
    let rate = arrived.len() as f64 * 8.0 / last;
    assert!((rate - 4_000.0).abs() < 100.0, "{rate} B/s");
    assert!(last < MESSAGES as f64 / 1_000.0 + 2.1, "{last} s");
    assert!(shim.counters().dropped > 0);
}

#[test]
fn cuts_and_other_faults_on_one_link_all_apply() {
    let delay = Duration::from_millis(5);
    let slow = LinkRule { delay, ..LinkRule::clean(ME, PEER) };
    let mut twice = shim(vec![slow.clone(), slow.clone()]);
    let deliveries: Vec<_> =
        twice.send(Time::ZERO, PEER, Channel::Consensus, message(1)).into_iter().collect();
    assert_eq!(deliveries[0].after, delay * 2);
    let mut cut = shim(vec![slow, LinkRule::cut(ME, PEER)]);
    assert!(cut.send(Time::ZERO, PEER, Channel::Consensus, message(1)).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// What happens to a message depends on the seed, the link, the channel and its number there:
    /// neither on its content nor on what went elsewhere.
    #[test]
    fn a_messages_fate_is_its_own(seed: u64, others in proptest::collection::vec(0u64..3, 0..50)) {
        let rule = LinkRule { drop: 0.3, duplicate: 0.3, ..LinkRule::clean(ME, PEER) };
        let list = LinkRules { seed, ..rules(vec![rule, LinkRule { drop: 0.5, ..LinkRule::clean(ME, NodeId(3)) }]) };
        let mut quiet = LinkShim::new(ME);
        quiet.install(&list, Time::ZERO);
        let mut busy = quiet.clone();
        for number in 0..50 {
            for _ in 0..others.get(number as usize).copied().unwrap_or_default() {
                busy.send(Time(number), NodeId(3), Channel::Consensus, message(7));
                busy.send(Time(number), PEER, Channel::Gossip, message(7));
            }
            let one = quiet.send(Time(number), PEER, Channel::Consensus, message(number)).len();
            let other = busy.send(Time(number), PEER, Channel::Consensus, message(number + 1)).len();
            prop_assert_eq!(one, other);
        }
    }
}
