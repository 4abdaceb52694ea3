//! The world's rules, on the toy protocol.

use std::time::Duration;

use consensus_core::{
    history::{Call, Outcome},
    kv::KeyValue,
    session::Sessions,
};
use faults::{Director, LinkRule, LinkRules, Schedule};

use super::*;
use crate::{ClockModel, DiskModel, Latency, WireMode, run, toy::Toy};

type ToyWorld = World<Toy, Sessions<KeyValue>>;

const MS: Duration = Duration::from_millis(1);
const LEADER: NodeId = NodeId(1);

fn config(seed: u64) -> SimulationConfig {
    let schedule = Schedule::parse("calm", "name = 'calm'\nnodes = 3").unwrap();
    SimulationConfig::new(schedule, seed)
}

fn started(config: &SimulationConfig) -> ToyWorld {
    let mut world = ToyWorld::new(config);
    world.begin();
    world
}

fn pass(world: &mut ToyWorld, time: Duration) {
    let until = world.now() + time;
    while world.advance(until) != Progress::Quiet {}
}

fn submit(world: &mut ToyWorld, key: &str, call: Call) {
    let now = world.now();
    let deadline = now + MS * 1_000;
    let task = Task { key: key.into(), call, consistency: None, intended: now, deadline };
    world.submit(task);
}

fn put(world: &mut ToyWorld, key: &str, value: &str) {
    submit(world, key, Call::Put(value.into()));
}

fn cut(world: &mut ToyWorld, links: &[(u64, u64)]) {
    let rules = links.iter().map(|&(from, to)| LinkRule::cut(NodeId(from), NodeId(to))).collect();
    let rules = LinkRules { seed: 1, expires_in: MS * 1_000_000, rules };
    world.install(&rules);
}

fn finish(world: ToyWorld) -> Recording {
    let schedule = Schedule::parse("calm", "name = 'calm'\nnodes = 3").unwrap();
    let resolved = Director::new(&schedule, 0, &[LEADER]).resolved();
    world.finish(Story {
        resolved,
        struck: Vec::new(),
        ready: None,
        healed: None,
        caught_up: None,
        converged: None,
    })
}

fn outcomes(recording: &Recording) -> Vec<&Outcome> {
    recording.operations.iter().map(|operation| &operation.outcome).collect()
}

fn ok(changed: bool, held: Option<&str>, revision: u64) -> Outcome {
    Outcome::Ok { changed, held: held.map(str::to_owned), revision }
}

#[test]
fn a_write_is_replicated_and_read_back() {
    let mut world = started(&config(1));
    put(&mut world, "x", "1");
    pass(&mut world, MS * 100);
    submit(&mut world, "x", Call::Get);
    pass(&mut world, MS * 100);
    assert!(world.agrees(None));
    let recording = finish(world);
    assert_eq!(outcomes(&recording), [&ok(true, None, 2), &ok(false, Some("1"), 2)]);
    let applied: Vec<_> = recording.applied.iter().filter(|applied| applied.index == 2).collect();
    assert_eq!(applied.len(), 3);
    assert!(applied.iter().all(|other| other.digest == applied[0].digest && other.fresh));
    assert!(recording.counters.iter().all(|counters| counters.syncs > 0));
}

#[test]
fn the_same_seed_gives_the_same_recording_and_another_seed_another() {
    let run = |seed, wire| {
        let mut world = started(&SimulationConfig { wire, ..config(seed) });
        for number in 0..50 {
            put(&mut world, "x", &format!("v{number}"));
            pass(&mut world, MS * 7);
            if number == 20 {
                world.crash(NodeId(2));
            }
            if number == 30 {
                world.start(NodeId(2));
            }
        }
        finish(world)
    };
    let first = run(7, WireMode::WhenFaulty);
    assert_eq!(first, run(7, WireMode::WhenFaulty));
    assert_ne!(first.trace_digest, run(8, WireMode::WhenFaulty).trace_digest);
    // What travels as bytes is what was sent.
    let (as_sent, as_bytes) = (&first.operations, run(7, WireMode::Always).operations);
    assert_eq!(*as_sent, as_bytes);
}

/// Under trouble and load, with every kind of draw: log-normal latencies, arrivals at random, damage,
/// clocks that drift, and gossip.
///
/// Whoever changes what is simulated on purpose writes here what the failure prints.
#[test]
fn the_same_seed_gives_the_same_trace_on_every_machine() {
    let text = "name = 'trouble'\nnodes = 3\nload = { rate = 100 }\n
        [[step]]\nat = { after = 'start', plus = '1s', jitter = '1s' }\nfor = '1s'
        fault = { kind = 'crash', target = 'one-follower' }\n
        [[step]]\nat = { after = 'start', plus = '1s' }\nfor = '2s'
        fault = { kind = 'link', from = 'all', to = 'all', drop = 0.05, reorder = 0.05, corrupt = 0.02, delay = '1ms~1ms' }";
    let schedule = Schedule::parse("trouble", text).unwrap();
    let trace = |seed| {
        let clocks = ClockModel { drift_ppm: 100, offset: MS * 3 };
        let recording = run::<Toy>(&SimulationConfig {
            clocks,
            ..SimulationConfig::new(schedule.clone(), seed)
        });
        assert!(recording.converged.is_some() && recording.struck.len() > 3, "{seed}");
        format!("{:016x}", recording.trace_digest)
    };
    let expected = ["9200a93c40ff6e34", "13bd77bad9929e5f", "d3007c4e183a3d85"];
    assert_eq!([1, 2, 3].map(trace), expected);
}

#[test]
fn an_acknowledged_write_survives_the_crash_of_everybody() {
    for seed in 0..20 {
        let mut world = started(&config(seed));
        put(&mut world, "x", "1");
        while !world.clients_are_idle() {
            pass(&mut world, Duration::from_micros(10));
        }
        (1..=3).for_each(|node| world.crash(NodeId(node)));
        (1..=3).for_each(|node| world.start(NodeId(node)));
        pass(&mut world, MS * 200);
        submit(&mut world, "x", Call::Get);
        pass(&mut world, MS * 200);
        let recording = finish(world);
        assert_eq!(outcomes(&recording), [&ok(true, None, 2), &ok(false, Some("1"), 2)]);
        assert!(recording.finals.iter().all(|end| end.up && end.applied == 2));
    }
}

#[test]
fn a_crash_before_the_sync_loses_batches_and_the_messages_behind_them() {
    let mut lost = 0;
    for seed in 0..20 {
        let slow = DiskModel { sync: Latency::Constant(MS * 50), ..DiskModel::default() };
        let mut world = started(&SimulationConfig { disk: slow, ..config(seed) });
        put(&mut world, "x", "1");
        pass(&mut world, MS * 30);
        assert!(world.around.recorder.highest_applied() == 0, "nothing is on any disk yet");
        (1..=3).for_each(|node| world.crash(NodeId(node)));
        pass(&mut world, MS * 30);
        let recording = finish(world);
        assert!(recording.applied.is_empty(), "what waited for the disk never left");
        lost += recording.counters.iter().map(|counters| counters.lost_batches).sum::<u64>();
    }
    assert!((15..60).contains(&lost), "{lost} of 60 batches lost");
}

#[test]
fn a_leader_without_a_majority_acknowledges_nothing_and_goes_on_when_healed() {
    let mut world = started(&config(3));
    cut(&mut world, &[(1, 2), (1, 3)]);
    put(&mut world, "x", "1");
    pass(&mut world, MS * 1_100);
    assert_eq!(world.around.recorder.highest_applied(), 0);
    cut(&mut world, &[]);
    pass(&mut world, MS * 600);
    assert!(world.agrees(None));
    let recording = finish(world);
    // The session could not be opened in time, so the write was never sent.
    assert!(matches!(outcomes(&recording)[..], [Outcome::Failed(_)]), "{recording:#?}");
}

#[test]
fn a_retry_of_a_write_whose_answer_was_lost_is_applied_once() {
    let mut world = started(&config(4));
    put(&mut world, "x", "1");
    pass(&mut world, MS * 100);
    // The second write reaches the leader's log, but no follower: its client tries again.
    cut(&mut world, &[(1, 2), (1, 3)]);
    put(&mut world, "x", "2");
    pass(&mut world, MS * 500);
    cut(&mut world, &[]);
    pass(&mut world, MS * 500);
    let recording = finish(world);
    assert_eq!(outcomes(&recording), [&ok(true, None, 2), &ok(true, Some("1"), 3)]);
    let second: Vec<_> =
        recording.applied.iter().filter(|applied| applied.node == LEADER).collect();
    let tries = second.iter().filter(|applied| applied.request.is_some_and(|(_, n)| n == 2));
    let fresh = tries.clone().filter(|applied| applied.fresh).count();
    assert!(tries.count() > 1 && fresh == 1, "{second:#?}");
}

#[test]
fn damaged_messages_are_counted_and_dropped() {
    let mut world = started(&config(5));
    let rule = |from, to| LinkRule { corrupt: 0.5, ..LinkRule::clean(NodeId(from), NodeId(to)) };
    let rules = vec![rule(1, 2), rule(2, 1), rule(1, 3), rule(3, 1)];
    world.install(&LinkRules { seed: 9, expires_in: MS * 1_000_000, rules });
    for number in 0..20 {
        put(&mut world, "x", &format!("v{number}"));
        pass(&mut world, MS * 50);
    }
    pass(&mut world, MS * 500);
    assert!(world.agrees(None));
    let recording = finish(world);
    assert!(recording.counters.iter().all(|counters| counters.corrupt > 5), "{recording:#?}");
    assert!(outcomes(&recording).iter().all(|outcome| outcome.is_ok()));
}

#[test]
fn a_paused_replica_handles_nothing_until_it_goes_on() {
    let mut world = started(&config(6));
    world.pause(NodeId(2));
    put(&mut world, "x", "1");
    pass(&mut world, MS * 200);
    let applied =
        |world: &ToyWorld, node| world.nodes[place(NodeId(node))].machine().unwrap().applied();
    assert_eq!([applied(&world, 1), applied(&world, 2), applied(&world, 3)], [2, 0, 2]);
    assert!(!world.agrees(None));
    world.resume(NodeId(2));
    pass(&mut world, MS * 100);
    assert!(world.agrees(None));
}

#[test]
fn a_dead_leader_refuses_connections_and_a_write_fails_honestly() {
    let mut world = started(&config(7));
    world.crash(LEADER);
    put(&mut world, "x", "1");
    pass(&mut world, MS * 1_100);
    let recording = finish(world);
    assert!(matches!(outcomes(&recording)[..], [Outcome::Failed(_)]), "{recording:#?}");
}

#[test]
fn gossip_sees_a_death_a_partition_and_their_end() {
    let mut world = started(&config(8));
    let alive = |world: &ToyWorld, node: u64| world.nodes[place(NodeId(node))].alive();
    let all = vec![NodeId(1), NodeId(2), NodeId(3)];
    pass(&mut world, MS * 2_000);
    assert!((1..=3).all(|node| alive(&world, node) == all));
    world.crash(NodeId(3));
    pass(&mut world, MS * 5_000);
    assert_eq!(alive(&world, 1), [NodeId(1), NodeId(2)]);
    cut(&mut world, &[(1, 2), (2, 1)]);
    pass(&mut world, MS * 5_000);
    assert_eq!((alive(&world, 1), alive(&world, 2)), (vec![NodeId(1)], vec![NodeId(2)]));
    cut(&mut world, &[]);
    world.start(NodeId(3));
    pass(&mut world, MS * 10_000);
    assert!((1..=3).all(|node| alive(&world, node) == all));
}
