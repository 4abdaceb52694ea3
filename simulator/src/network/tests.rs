//! How links queue, and what the presets are.

use super::*;

const MS: Duration = Duration::from_millis(1);

fn link(model: LinkModel) -> Link {
    Link::new(model, Draw::new(1).of("link"))
}

/// One way in 10 ms, always.
fn steady() -> LinkModel {
    LinkModel::of(Latency::Constant(MS * 10))
}

fn at(arrivals: Arrivals) -> Option<Time> {
    assert_eq!(arrivals.second, None);
    arrivals.first
}

#[test]
fn a_message_occupies_the_line_for_its_length_and_the_next_waits() {
    // A thousand bytes take a millisecond.
    let mut link = link(steady().with_bandwidth(1_000_000));
    let now = Time::ZERO;
    assert_eq!(at(link.stream(now, 1_000)), Some(now + MS * 11));
    assert_eq!(at(link.stream(now, 2_000)), Some(now + MS * 13));
    // Datagrams and snapshots share the line.
    assert_eq!(at(link.fly(now, 1_000)), Some(now + MS * 14));
    assert_eq!(at(link.post(now, 1_000)), Some(now + MS * 15));
    // Once it is idle, nobody waits.
    assert_eq!(at(link.stream(now + MS * 50, 1_000)), Some(now + MS * 61));
}

#[test]
fn without_a_bandwidth_nothing_waits() {
    let mut link = link(steady());
    for _ in 0..100 {
        assert_eq!(at(link.stream(Time::ZERO, 1 << 20)), Some(Time::ZERO + MS * 10));
    }
}

#[test]
fn a_stream_keeps_its_order_however_the_latency_strays_and_datagrams_do_not() {
    let model = LinkModel::of(Latency::Uniform(MS..MS * 20));
    let sent = |n: u64| Time::ZERO + MS * n as u32;
    let mut one = link(model.clone());
    let stream: Vec<_> = (0..200).map(|n| at(one.stream(sent(n), 100))).collect();
    assert!(stream.is_sorted(), "{stream:?}");
    let mut other = link(model);
    let datagrams: Vec<_> = (0..200).map(|n| at(other.fly(sent(n), 100))).collect();
    assert!(!datagrams.is_sorted());
}

#[test]
fn links_lose_double_and_reorder_as_often_as_they_say() {
    let model = LinkModel { loss: 0.1, duplication: 0.2, reordering: 0.3, ..steady() };
    let mut link = link(model);
    let count = 10_000;
    let sent = |n: u64| Time::ZERO + Duration::from_micros(n * 500);
    let arrivals: Vec<_> = (0..count).map(|n| link.stream(sent(n), 100)).collect();
    let share = |count: usize| count as f64 / arrivals.len() as f64;
    let lost = share(arrivals.iter().filter(|arrival| arrival.first.is_none()).count());
    assert!((0.09..0.11).contains(&lost), "{lost}");
    let doubled = share(arrivals.iter().filter(|arrival| arrival.second.is_some()).count());
    assert!((0.16..0.20).contains(&doubled), "of nine tenths, a fifth: {doubled}");
    let late =
        |(n, arrival): (u64, &Arrivals)| arrival.first.is_some_and(|at| at > sent(n) + MS * 10);
    let held = share((0..).zip(&arrivals).filter(|&pair| late(pair)).count());
    assert!((0.24..0.30).contains(&held), "of nine tenths, three tenths: {held}");
    // Whoever is not held back overtakes those who are.
    let firsts: Vec<_> = arrivals.iter().filter_map(|arrival| arrival.first).collect();
    assert!(!firsts.is_sorted());
}

#[test]
fn replicas_take_the_sites_in_turn_whoever_lives_there() {
    let model = Preset::FiveRegions.model();
    let between = |a, b| model.link(NodeId(a), NodeId(b)).latency.median();
    assert_eq!(between(1, 2), Duration::from_micros(44_500));
    assert_eq!(between(4, 5), between(5, 4));
    assert_eq!(between(1, 6), model.within.latency.median(), "the sixth is where the first is");
    assert_eq!(between(101, 2), between(1, 2), "a newcomer is where it came to");
    assert_eq!(model.longest_round_trip(), MS * 298);
}

#[test]
fn every_pair_of_regions_has_a_round_trip_and_names_find_their_networks() {
    for one in 0..REGIONS.len() {
        for other in one + 1..REGIONS.len() {
            assert!(ROUND_TRIPS_MS.iter().any(|(pair, _)| *pair == (one, other)));
        }
    }
    for preset in Preset::ALL {
        assert_eq!(preset.name().parse(), Ok(preset));
        let why = "a campaign asks a quorum twice before the first rival wakes";
        assert!(preset.timing().0.start >= preset.model().longest_round_trip() * 2, "{why}");
    }
    assert!("moon".parse::<Preset>().unwrap_err().to_string().contains("three-zones"));
    let drawn: std::collections::BTreeSet<_> = (0..50).map(Preset::drawn).collect();
    assert_eq!(drawn.len(), Preset::ALL.len());
}
