//! Many seeds of random and bundled schedules, judged by the checker.

mod common;

use std::num::NonZeroUsize;

use common::{assert_good, judge, tally};
use consensus_core::Protocol;
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use faults::Schedule;
use simulator::{DiskModel, Latency, SimulationConfig, run};

fn swarm(seed: u64, nodes: usize) -> SimulationConfig {
    let nodes = NonZeroUsize::new(nodes).unwrap();
    let mut config = SimulationConfig::new(Schedule::swarm(seed, nodes), seed);
    // Every other seed has a slow disk: what is not yet synced is what a crash loses.
    if seed.is_multiple_of(2) {
        let sync =
            Latency::Uniform(std::time::Duration::ZERO..std::time::Duration::from_millis(20));
        config.disk = DiskModel { sync, ..DiskModel::default() };
    }
    config
}

fn sweep<P: Protocol>(seeds: std::ops::Range<u64>) {
    let mut operations = [0; 3];
    for seed in seeds {
        let nodes = [3, 5, 5, 7][seed as usize % 4];
        let recording = run::<P>(&swarm(seed, nodes));
        assert_good(&recording, &format!("{} seed {seed}", P::NAME));
        for (sum, count) in operations.iter_mut().zip(tally(&recording)) {
            *sum += count;
        }
    }
    assert!(operations[0] > 1_000, "{}: {operations:?}", P::NAME);
}

#[test]
fn raft_survives_swarms() {
    sweep::<Raft>(0..24);
}

#[test]
fn multipaxos_survives_swarms() {
    sweep::<MultiPaxos>(0..24);
}

fn every_bundled_schedule<P: Protocol>() {
    for named in Schedule::names() {
        let mut schedule = Schedule::bundled(named.name).unwrap();
        // Less load than on a real machine: what matters here is the faults.
        schedule.load.rate = schedule.load.rate.min(200.0);
        let recording = run::<P>(&SimulationConfig::new(schedule, 1));
        assert_good(&recording, &format!("{} {}", P::NAME, named.name));
        assert!(recording.resolved.trials.iter().all(|trial| trial.missed.is_none()));
        assert!(judge(&recording).coverage.clients > 0);
    }
}

#[test]
fn raft_survives_the_bundled_schedules() {
    every_bundled_schedule::<Raft>();
}

#[test]
fn multipaxos_survives_the_bundled_schedules() {
    every_bundled_schedule::<MultiPaxos>();
}
