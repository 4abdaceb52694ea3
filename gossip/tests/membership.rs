//! What a group of members sees of itself, under every kind of trouble.

mod network;

use std::{net::SocketAddr, time::Duration};

use consensus_core::{Epoch, NodeId, Time};
use gossip::{Config, Event, LeaderHint, Metadata, State, gateway_id};
use network::{Network, Told, address, metadata};

const SECOND: Duration = Duration::from_secs(1);

fn died(told: &[Told], node: u64) -> Vec<Told> {
    told.iter().filter(|told| told.event == Event::Died { node: NodeId(node) }).copied().collect()
}

#[test]
fn five_nodes_find_each_other_from_one_seed() {
    for seed in 0..20 {
        let mut network = Network::new(seed);
        for number in 1..=5 {
            network.start(number);
        }
        network.run_until(SECOND, Network::all_see_all_alive);
        let expected = metadata(3);
        assert!(
            network.nodes.values().all(|node| node.member(NodeId(3)).unwrap().metadata == expected)
        );
        network.run(60 * SECOND);
        assert_eq!(
            network.told.iter().filter(|told| !matches!(told.event, Event::Joined { .. })).count(),
            0
        );
        assert_eq!(network.told.len(), 20, "each hears of each other once");
    }
}

#[test]
fn a_node_whose_seed_starts_late_joins_all_the_same() {
    let mut network = Network::new(1);
    network.start(2);
    network.start(3);
    network.run(5 * SECOND);
    assert_eq!(network.node(2).alive().count(), 1);
    network.start(1);
    network.run_until(SECOND, Network::all_see_all_alive);
}

#[test]
fn a_crashed_node_is_known_dead_within_the_bound() {
    let mut times = Vec::new();
    for seed in 0..100 {
        let mut network = Network::of(seed, 5);
        network.run(Duration::from_millis(700 + 13 * seed));
        network.crash(4);
        // SWIM §4.3: everybody is probed once in 2n − 1 periods; then the probe's own period,
        // stretched once at most; then the longest suspicion; then the news.
        let bound = Duration::from_millis(7 * 200 + 400 + 1_800 + 300);
        times.push(network.run_until(bound, |network| network.all_others_think(4, State::Dead)));
        let suspects =
            network.told.iter().filter(|told| matches!(told.event, Event::Suspected { .. }));
        assert!(suspects.into_iter().all(|told| told.event.node() == NodeId(4)), "only the dead");
        assert_eq!(died(&network.told, 4).len(), 4, "each survivor tells of it once");
    }
    times.sort_unstable();
    assert!(times[50] < 2 * SECOND, "median {:?}, worst {:?}", times[50], times[99]);
    assert!(times[0] > Duration::from_millis(600), "never before a suspicion may end");
}

#[test]
fn helpers_save_a_node_behind_one_bad_link() {
    let mut network = Network::of(3, 5);
    network.cut(1, 4);
    network.cut(4, 1);
    network.run(60 * SECOND);
    assert!(network.told.iter().all(|told| matches!(told.event, Event::Joined { .. })));
    assert!(network.node(1).counters().indirect_probes > 20);
    assert_eq!(network.node(1).counters().failed_probes, 0);
}

#[test]
fn without_helpers_the_bad_link_is_an_accusation() {
    // The counterpart: it is indeed the helpers that the test above owes its quiet to.
    let mut network = Network::new(3);
    network.config.indirect_probes = 0;
    for number in 1..=5 {
        network.start(number);
    }
    network.run(SECOND);
    network.cut(1, 4);
    network.cut(4, 1);
    network.run(60 * SECOND);
    assert!(network.told.iter().any(|told| told.event == Event::Suspected { node: NodeId(4) }));
}

#[test]
fn a_false_suspicion_is_refuted() {
    let mut network = Network::of(5, 5);
    let before = network.node(2).me().incarnation;
    network.pause(2);
    network.run_until(3 * SECOND, |network| network.view(1, 2) == Some(State::Suspect));
    network.resume(2);
    network.run_until(SECOND, Network::all_see_all_alive);
    assert!(network.node(2).me().incarnation > before);
    assert!(network.node(2).counters().refutations > 0);
    assert!(
        network
            .told
            .iter()
            .any(|t| t.by == NodeId(1) && t.event == Event::Refuted { node: NodeId(2) })
    );
    assert_eq!(died(&network.told, 2), []);
}

#[test]
fn a_process_that_slept_does_not_bury_the_others() {
    let mut network = Network::of(6, 5);
    network.crash(5);
    network.run_until(3 * SECOND, |network| network.view(2, 5) == Some(State::Suspect));
    network.pause(2);
    network.run(20 * SECOND);
    assert!(network.view(1, 2) == Some(State::Dead));
    network.resume(2);
    let woke = network.now;
    network.run_until(2 * SECOND, Network::all_see_all_alive);
    network.run(10 * SECOND);
    assert_eq!(network.node(2).counters().pauses, 1);
    let accused =
        |told: &&Told| told.at >= woke && told.by == NodeId(2) && told.event.node() != NodeId(5);
    let wrong: Vec<_> = network
        .told
        .iter()
        .filter(accused)
        .filter(|t| matches!(t.event, Event::Suspected { .. } | Event::Died { .. }))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_partition_is_seen_and_heals() {
    for seed in 0..10 {
        let mut network = Network::of(seed, 5);
        if seed % 2 == 1 {
            // With no seed to ask, they find each other because they do not forget the dead.
            network.clear_seeds();
        }
        network.partition(&[1, 2]);
        let dead = |network: &Network, observer, subject| {
            network.view(observer, subject) == Some(State::Dead)
        };
        network.run_until(10 * SECOND, |network| {
            [3, 4, 5].iter().all(|&other| dead(network, 1, other) && dead(network, 2, other))
                && [3, 4, 5].iter().all(|&other| dead(network, other, 1) && dead(network, other, 2))
        });
        assert_eq!((network.node(1).alive().count(), network.node(3).alive().count()), (2, 3));
        network.run(30 * SECOND);
        network.heal();
        network.run_until(5 * SECOND, Network::all_see_all_alive);
        network.run(10 * SECOND);
        assert!(network.all_see_all_alive(), "and stays healed");
    }
}

#[test]
fn a_node_that_nobody_hears_is_dead_to_the_others_and_comes_back() {
    let mut network = Network::of(8, 5);
    for other in [1, 2, 4, 5] {
        network.cut(3, other);
    }
    network.run_until(10 * SECOND, |network| network.all_others_think(3, State::Dead));
    network.heal();
    network.run_until(3 * SECOND, Network::all_see_all_alive);
}

#[test]
fn metadata_spreads() {
    let mut network = Network::of(9, 5);
    let led =
        Metadata { leader: Some(NodeId(3)), epoch: Epoch::term(7), commit: 41, ..metadata(3) };
    network.set_metadata(3, led.clone());
    network.run_until(SECOND, |network| {
        network.nodes.values().all(|node| node.member(NodeId(3)).unwrap().metadata == led)
    });
    let hint = LeaderHint { leader: NodeId(3), epoch: Epoch::term(7) };
    assert!(network.nodes.values().all(|node| node.leader() == Some(hint)));
    let updates = |network: &Network| {
        network.told.iter().filter(|t| matches!(t.event, Event::Updated { .. })).count()
    };
    assert_eq!(updates(&network), 4);

    // Progress is no news, but is known everywhere soon: each node hears from each.
    let further = Metadata { commit: 99, ..led };
    network.set_metadata(3, further);
    network.run_until(3 * SECOND, |network| {
        network.nodes.values().all(|node| node.member(NodeId(3)).unwrap().metadata.commit == 99)
    });
    assert_eq!(updates(&network), 4);
}

#[test]
fn the_leader_hint_is_the_latest_epochs_and_never_the_dead() {
    let mut network = Network::of(10, 5);
    let claim = |leader, round, number| Metadata {
        leader: Some(NodeId(leader)),
        epoch: Epoch::term(round),
        ..metadata(number)
    };
    network.set_metadata(2, claim(2, 4, 2));
    network.set_metadata(5, claim(4, 6, 5));
    network.run(2 * SECOND);
    assert_eq!(network.node(1).leader().map(|hint| hint.leader), Some(NodeId(4)));
    network.crash(4);
    network.run(6 * SECOND);
    assert_eq!(network.node(1).leader().map(|hint| hint.leader), Some(NodeId(2)));
    network.crash(2);
    network.run(6 * SECOND);
    assert_eq!(network.node(1).leader(), None);
}

#[test]
fn goodbye_is_believed_at_once_and_is_no_death() {
    let mut network = Network::of(11, 5);
    network.leave(3);
    network
        .run_until(Duration::from_millis(300), |network| network.all_others_think(3, State::Left));
    assert_eq!(network.node(3).next_tick(), Time(u64::MAX));
    network.crash(3);
    network.run(20 * SECOND);
    assert!(network.all_others_think(3, State::Left));
    assert!(
        network
            .told
            .iter()
            .all(|told| matches!(told.event, Event::Joined { .. } | Event::Left { .. }))
    );

    network.start(3);
    network.run_until(SECOND, Network::all_see_all_alive);
}

#[test]
fn a_restarted_node_replaces_its_old_self_wherever_it_is() {
    let moved: SocketAddr = "10.0.9.9:7123".parse().unwrap();
    for dead_time in [Duration::ZERO, Duration::from_millis(900), 10 * SECOND] {
        let mut network = Network::of(12, 5);
        network.crash(3);
        network.run(dead_time);
        network.start_at(3, moved, vec![address(1)]);
        network.run_until(2 * SECOND, |network| {
            network.all_see_all_alive()
                && network
                    .nodes
                    .values()
                    .all(|node| node.member(NodeId(3)).unwrap().address == moved)
        });
        assert_eq!(network.node(1).node_at(moved), Some(NodeId(3)));
        assert_eq!(network.node(1).member(NodeId(3)).unwrap().incarnation.start, 2);
        network.run(20 * SECOND);
        assert!(network.all_see_all_alive());
    }
}

#[test]
fn a_node_that_lost_its_start_counter_is_taken_back_all_the_same() {
    let moved: SocketAddr = "10.0.9.9:7123".parse().unwrap();
    for dead_time in [Duration::ZERO, 10 * SECOND] {
        let mut network = Network::of(12, 5);
        for round in 0..3 {
            network.crash(3);
            network.start(3);
            network.set_metadata(3, Metadata { epoch: Epoch::term(round), ..metadata(3) });
            network.set_metadata(3, Metadata { epoch: Epoch::term(round + 1), ..metadata(3) });
            network.run_until(3 * SECOND, Network::all_see_all_alive);
        }
        network.crash(3);
        network.lose_start_counter(3);
        network.run(dead_time);
        network.start_at(3, moved, vec![address(1)]);
        network.run_until(10 * SECOND, |network| {
            network.all_see_all_alive()
                && network
                    .nodes
                    .values()
                    .all(|node| node.member(NodeId(3)).unwrap().address == moved)
        });
        network.run(5 * SECOND);
        let latest = metadata(3);
        let seen = |node: &gossip::Gossip| node.member(NodeId(3)).unwrap().metadata == latest;
        assert!(network.nodes.values().all(seen));
    }
}

#[test]
fn a_newcomer_at_the_address_of_the_dead_does_not_keep_them_alive() {
    let mut network = Network::of(20, 5);
    network.crash(3);
    network.start_at(6, address(3), vec![address(1)]);
    network.run_until(5 * SECOND, |network| {
        network.all_see_all_alive() && network.all_others_think(3, State::Dead)
    });
    assert_eq!(network.node(1).node_at(address(3)), Some(NodeId(6)));
}

#[test]
fn anti_entropy_tells_what_every_rumour_missed() {
    let mut network = Network::of(21, 3);
    // Node 3 hears nobody while node 4 joins, and node 4 never; later nobody talks of it any more.
    let away = [(3, 1), (3, 2), (1, 3), (2, 3)];
    away.iter().for_each(|&(from, to)| network.cut(from, to));
    network.cut(3, 4);
    network.cut(4, 3);
    network.start(4);
    network.run(Duration::from_millis(500));
    away.iter().for_each(|&(from, to)| network.mend(from, to));
    assert_eq!(network.view(3, 4), None);
    network.run_until(10 * SECOND, |network| network.view(3, 4) == Some(State::Alive));
}

#[test]
fn a_death_costs_nobody_elses_health() {
    for seed in 0..20 {
        let mut network = Network::of(seed, 7);
        network.crash(4);
        for _ in 0..100 {
            network.run(Duration::from_millis(50));
            let healthy = network.nodes.values().all(|node| node.local_health() == 0);
            assert!(healthy, "the helpers' nacks say that the fault is not here");
        }
        assert!(network.all_others_think(4, State::Dead));
    }
}

#[test]
fn a_deaf_member_doubts_itself_and_the_hearing_do_not() {
    let mut network = Network::of(19, 5);
    for other in [1, 2, 4, 5] {
        network.cut(other, 3);
    }
    let healthy =
        |network: &Network| [1, 2, 4, 5].iter().all(|&n| network.node(n).local_health() <= 1);
    for _ in 0..50 {
        network.run(Duration::from_millis(100));
        assert!(healthy(&network), "those whose helpers answer know that the fault is not theirs");
    }
    assert!(network.node(3).local_health() >= 2);
    network.heal();
    network.run(20 * SECOND);
    assert_eq!(network.node(3).local_health(), 0);
}

#[test]
fn a_seed_that_comes_back_finds_everybody_though_it_knows_nobody() {
    let mut network = Network::of(13, 4);
    network.crash(1);
    network.run(20 * SECOND);
    // The seed's own list of seeds names only itself: the others must come to it.
    network.start_at(1, address(1), vec![address(1)]);
    network.run_until(5 * SECOND, Network::all_see_all_alive);
}

#[test]
fn gateways_watch_like_everybody_else() {
    let mut network = Network::of(14, 3);
    let gateway = gateway_id(1).0;
    network.start_at(gateway, "10.1.0.1:7000".parse().unwrap(), vec![address(2)]);
    network.run_until(SECOND, Network::all_see_all_alive);
    let seen = network.node(3).member(NodeId(gateway)).unwrap();
    assert_eq!(seen.kind(), gossip::Kind::Gateway);
}

#[test]
fn the_gone_are_forgotten_in_the_end() {
    let mut network = Network::new(15);
    network.config.forget_after = 20 * SECOND;
    for number in 1..=5 {
        network.start(number);
    }
    network.run(SECOND);
    network.crash(5);
    network.run(10 * SECOND);
    assert!(network.all_others_think(5, State::Dead));
    network.run(60 * SECOND);
    assert!(network.nodes.values().all(|node| node.member(NodeId(5)).is_none()));
    network.start(5);
    network.run_until(2 * SECOND, Network::all_see_all_alive);
}

#[test]
fn a_fifth_of_all_datagrams_lost_costs_no_life() {
    for seed in 0..10 {
        let mut network = Network::new(seed);
        network.loss = 0.2;
        for number in 1..=5 {
            network.start(number);
        }
        network.run_until(5 * SECOND, Network::all_see_all_alive);
        network.run(120 * SECOND);
        let deaths =
            network.told.iter().filter(|told| matches!(told.event, Event::Died { .. })).count();
        assert_eq!(deaths, 0, "seed {seed}");
        network.crash(2);
        network.run_until(10 * SECOND, |network| network.all_others_think(2, State::Dead));
    }
}

#[test]
fn two_hundred_and_fifty_members_converge() {
    let mut network = Network::new(16);
    for number in 1..=250 {
        network.start(number);
    }
    let joined = network.run_until(10 * SECOND, Network::all_see_all_alive);
    assert!(joined < 5 * SECOND, "{joined:?}");
    for number in [17, 99, 250] {
        network.crash(number);
    }
    network.run_until(15 * SECOND, |network| {
        [17, 99, 250].iter().all(|&n| network.all_others_think(n, State::Dead))
    });
    assert!(network.all_see_all_alive());
}

#[test]
fn a_large_partition_heals_under_loss() {
    let mut network = Network::of(17, 60);
    network.loss = 0.05;
    let side: Vec<_> = (1..=20).collect();
    network.partition(&side);
    network.run_until(60 * SECOND, |network| {
        network.node(1).present().count() == 20 && network.node(60).present().count() == 40
    });
    network.run(20 * SECOND);
    network.heal();
    network.run_until(30 * SECOND, Network::all_see_all_alive);
}

#[test]
fn slow_members_far_apart_keep_quiet() {
    let mut network = Network::new(18);
    network.config = Config::wan("test");
    network.delay = Duration::from_millis(40)..Duration::from_millis(150);
    network.loss = 0.01;
    for number in 1..=9 {
        network.start(number);
    }
    network.run_until(20 * SECOND, Network::all_see_all_alive);
    network.run(600 * SECOND);
    let deaths =
        network.told.iter().filter(|told| matches!(told.event, Event::Died { .. })).count();
    assert_eq!(deaths, 0);
}

#[test]
fn the_same_seed_sends_the_same_bytes() {
    let trace = |seed| {
        let mut network = Network::new(seed);
        network.trace = Some(Vec::new());
        network.loss = 0.1;
        for number in 1..=7 {
            network.start(number);
        }
        network.run(5 * SECOND);
        network.crash(3);
        network.run(10 * SECOND);
        (network.trace.unwrap(), network.told)
    };
    let (once, again, other) = (trace(1), trace(1), trace(2));
    assert!(once == again);
    assert!(once.0 != other.0);
}
