//! Whole runs of both protocols: what each fault does to a cluster, and that it passes.

mod common;

use std::time::Duration;

use common::{assert_good, config, elections, served, tally};
use consensus_core::{NodeId, Protocol, Time};
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use faults::{Effect, Phase, Schedule};
use simulator::{Recording, SimulationConfig, WireMode, run};

const LOAD: &str = "load = { rate = 200, keys = 10, reads = 0.5, timeout = '1s' }";

fn with_both(test: impl Fn(&'static str, &dyn Fn(&SimulationConfig) -> Recording)) {
    test(Raft::NAME, &|config| run::<Raft>(config));
    test(MultiPaxos::NAME, &|config| run::<MultiPaxos>(config));
}

/// When the first action of this name and phase was carried out, and at whom.
fn struck(recording: &Recording, name: &str, phase: Phase) -> (Time, Vec<NodeId>) {
    let found = recording
        .struck
        .iter()
        .find(|struck| struck.action.effect.name() == name && struck.action.phase == phase)
        .unwrap_or_else(|| panic!("no {name}: {:#?}", recording.struck));
    let nodes = match &found.action.effect {
        Effect::Crash(nodes) | Effect::Start(nodes) | Effect::Pause(nodes) => nodes.clone(),
        _ => Vec::new(),
    };
    (found.at, nodes)
}

#[test]
fn a_calm_cluster_elects_once_and_serves_everything() {
    with_both(|name, run| {
        let recording = run(&config(&format!("name = 'calm'\nnodes = 5\n{LOAD}"), 1));
        assert_good(&recording, name);
        assert_eq!(elections(&recording).len(), 1, "{name}");
        let [done, failed, unknown] = tally(&recording);
        assert!(done > 1_000 && failed + unknown == 0, "{name}: {done} {failed} {unknown}");
    });
}

#[test]
fn the_same_seed_gives_the_same_recording_and_another_seed_another() {
    with_both(|name, run| {
        let schedule = "name = 'crash'\nload = { rate = 100 }\n
            [[step]]\nat = { after = 'start', plus = '1s', jitter = '1s' }\nfor = '1s'
            fault = { kind = 'crash', target = 'leader' }\n
            [[step]]\nat = { after = 'start', plus = '1s' }\nfor = '2s'
            fault = { kind = 'link', from = 'all', to = 'all', drop = 0.05, duplicate = 0.05, reorder = 0.05, corrupt = 0.02, delay = '1ms~1ms' }";
        let first = run(&config(schedule, 5));
        assert_eq!(first, run(&config(schedule, 5)), "{name}");
        assert_ne!(first.trace_digest, run(&config(schedule, 6)).trace_digest, "{name}");
        assert_good(&first, name);
    });
}

#[test]
fn messages_that_travel_as_bytes_change_nothing() {
    with_both(|name, run| {
        let values = config(&format!("name = 'calm'\nnodes = 5\n{LOAD}"), 2);
        let bytes = simulator::SimulationConfig { wire: WireMode::Always, ..values.clone() };
        let (values, bytes) = (run(&values), run(&bytes));
        assert_eq!(values.operations, bytes.operations, "{name}");
        assert_eq!(values.applied, bytes.applied, "{name}");
        assert_eq!(values.counters[0].bytes, bytes.counters[0].bytes, "{name}");
    });
}

#[test]
fn a_crashed_leader_is_replaced_and_what_it_acknowledged_survives() {
    with_both(|name, run| {
        let schedule = format!(
            "name = 'crash'\nnodes = 5\n{LOAD}\n
            [[step]]\nat = {{ after = 'start', plus = '1s' }}\nfor = '2s'
            fault = {{ kind = 'crash', target = 'leader' }}"
        );
        for seed in 0..5 {
            let recording = run(&config(&schedule, seed));
            assert_good(&recording, name);
            let (at, dead) = struck(&recording, "crash", Phase::Begin);
            let (_, next) = *elections(&recording).iter().find(|(when, _)| *when > at).unwrap();
            assert!(!dead.contains(&next), "{name}");
            assert!(served(&recording, at, at + Duration::from_secs(2)) > 250, "{name}");
            let starts: u64 = recording.counters.iter().map(|counters| counters.starts).sum();
            assert_eq!(starts, 6, "{name}: five starts, and one again");
        }
    });
}

#[test]
fn a_majority_goes_on_and_a_minority_does_not() {
    with_both(|name, run| {
        let schedule = |target| {
            format!(
                "name = 'crash'\nnodes = 5\n{LOAD}\n
                [[step]]\nat = {{ after = 'start', plus = '1s' }}\nfor = '4s'
                fault = {{ kind = 'crash', target = '{target}' }}"
            )
        };
        let count = |target| {
            let recording = run(&config(&schedule(target), 3));
            assert_good(&recording, name);
            let (at, _) = struck(&recording, "crash", Phase::Begin);
            served(&recording, at + Duration::from_secs(1), at + Duration::from_secs(3))
        };
        assert!(count("minority-with-leader") > 300, "{name}");
        assert_eq!(count("majority"), 0, "{name}");
    });
}

#[test]
fn a_partitioned_leader_is_deposed_and_gossip_sees_the_cut_and_its_end() {
    with_both(|name, run| {
        let schedule = format!(
            "name = 'cut'\nnodes = 5\n{LOAD}\nsettle = '10s'\n
            [[step]]\nat = {{ after = 'start', plus = '3s' }}\nfor = '6s'
            fault = {{ kind = 'partition', shape = 'minority', target = 'leader' }}"
        );
        let recording = run(&config(&schedule, 4));
        assert_good(&recording, name);
        let (cut, _) = struck(&recording, "links", Phase::Begin);
        let (mended, _) = struck(&recording, "links", Phase::End);
        let believed = |from: Time, to: Time| {
            let within = recording.samples.iter().filter(move |s| (from..to).contains(&s.at));
            within.map(|sample| sample.alive.len()).collect::<Vec<_>>()
        };
        let second = Duration::from_secs(1);
        let before = believed(cut - second, cut);
        assert!(before.iter().all(|&alive| alive == 5), "{name}: {before:?}");
        let during = believed(mended - second, mended);
        assert!(during.iter().all(|&alive| alive <= 3), "{name}: {during:?}");
        let after = believed(mended + second * 9, mended + second * 10);
        assert!(after.iter().all(|&alive| alive == 5), "{name}: {after:?}");
        assert!(elections(&recording).iter().any(|&(at, _)| at > cut), "{name}");
    });
}

#[test]
fn a_put_of_the_schedule_is_seen_by_every_replica() {
    with_both(|name, run| {
        let schedule = format!(
            "name = 'put'\nnodes = 3\nwatch = 'colour'\n{LOAD}\n
            [[step]]\nat = {{ after = 'start', plus = '1s' }}
            fault = {{ kind = 'put', key = 'colour', value = 'red' }}"
        );
        let recording = run(&config(&schedule, 6));
        assert_good(&recording, name);
        let last = recording.samples.iter().rev().take(3);
        assert!(last.clone().all(|sample| sample.value.as_deref() == Some("red")), "{name}");
        assert!(recording.samples[0].value.is_none(), "{name}");
    });
}

#[test]
fn an_overloaded_cluster_refuses_the_rest_keeps_its_leader_and_recovers() {
    with_both(|name, run| {
        let schedule = "name = 'surge'\nnodes = 3\nwarmup = '1s'\nsettle = '2s'
            load = { rate = 1000, keys = 1000, reads = 0.2, timeout = '500ms' }\n
            [[step]]\nat = { after = 'start' }\nfor = '1s'\nfault = { kind = 'load', factor = 40.0 }";
        let recording = run(&config(schedule, 1));
        assert_good(&recording, name);
        assert_eq!(elections(&recording).len(), 1, "{name}");
        let [done, failed, _] = tally(&recording);
        assert!(done > 10_000 && failed > 10_000, "{name}: {done} {failed}");
        let turned_away: u64 = recording.counters.iter().map(|counters| counters.turned_away).sum();
        assert!(turned_away > 10_000, "{name}: {turned_away}");
        let (end, _) = struck(&recording, "load", Phase::End);
        let after = end + Duration::from_secs(1);
        assert!(served(&recording, after, after + Duration::from_secs(1)) > 900, "{name}");
    });
}

#[test]
fn a_replayed_run_is_hit_at_the_same_instants_at_the_same_nodes_whatever_its_seed() {
    with_both(|name, run| {
        let schedule = format!(
            "name = 'crashes'\nnodes = 5\n{LOAD}\n
            [[step]]\nat = {{ after = 'leader-elected', plus = '500ms', jitter = '1s' }}\nfor = '1s'
            fault = {{ kind = 'crash', target = 'leader' }}\nrepeat = {{ times = 4, every = '3s' }}"
        );
        let first = run(&config(&schedule, 5));
        let replayed = Some(first.resolved.clone());
        let again = run(&SimulationConfig { replayed, ..config(&schedule, 99) });
        assert_good(&again, name);
        assert_ne!(first.trace_digest, again.trace_digest, "{name}: the seed changes nothing");
        let hits = |recording: &Recording| {
            let trials = recording.resolved.trials.iter();
            trials.map(|trial| (trial.began, trial.nodes.clone())).collect::<Vec<_>>()
        };
        assert_eq!(hits(&first), hits(&again), "{name}");
        assert!(hits(&again).len() == 4 && hits(&again).iter().all(|(began, _)| began.is_some()));
    });
}

#[test]
fn what_a_seed_draws_can_be_written_down_and_gives_the_same_run() {
    let mut drawn = 0;
    for seed in 0..4 {
        let schedule = Schedule::swarm(seed, 3.try_into().unwrap());
        let varied = SimulationConfig::new(schedule.clone(), seed).varied();
        let simulation = varied.simulation();
        drawn += u32::from(simulation.sync.is_some()) + u32::from(simulation.stall.is_some());
        let text = Schedule { simulation, ..schedule }.to_short_toml();
        let again = SimulationConfig::new(Schedule::parse("written", &text).unwrap(), seed);
        assert_eq!((&again.disk, again.clocks), (&varied.disk, varied.clocks), "{text}");
        assert_eq!(again.snapshots, varied.snapshots, "{text}");
        with_both(|name, run| {
            let (first, second) = (run(&varied), run(&again));
            assert_eq!(first.trace_digest, second.trace_digest, "{name}: {text}");
        });
    }
    assert!(drawn > 0, "the seeds drew usual disks only");
}
