//! Many seeds of random and bundled schedules, judged by the checker.

mod common;

use std::{collections::BTreeMap, num::NonZeroUsize, ops::Range};

use common::{assert_good, judge, tally};
use consensus_core::{Event, Protocol};
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use faults::{Answer, Kind, Schedule, schedule::Sometimes};
use simulator::{Preset, Recording, SimulationConfig, run};

fn swarm(seed: u64, nodes: usize) -> SimulationConfig {
    let nodes = NonZeroUsize::new(nodes).unwrap();
    let schedule = Schedule::swarm(seed, nodes);
    SimulationConfig::new(schedule, seed).on(Preset::drawn(seed)).varied().untidy()
}

/// Adds up how often each thing happened without which a sweep would prove little.
fn count(recording: &Recording, happened: &mut BTreeMap<&'static str, u64>) {
    let mut add = |what, times: u64| *happened.entry(what).or_default() += times;
    for seen in &recording.observed {
        match seen.event {
            Event::Compacted { .. } => add("snapshots taken", 1),
            Event::Installed { .. } => add("snapshots installed", 1),
            _ => {}
        }
    }
    let done = recording.resolved.trials.iter().filter(|t| t.answer == Some(Answer::Done));
    for trial in done {
        match trial.kind {
            Kind::Reconfigure => add("changes of the members", 1),
            Kind::Transfer => add("hand-overs", 1),
            Kind::LostDisk => add("replacements of lost disks", 1),
            _ => {}
        }
    }
    add("loads from a snapshot", recording.counters.iter().map(|c| c.restored).sum());
    add("transfers resumed", recording.counters.iter().map(|c| c.resumed).sum());
}

const EXPECTED: [(&str, u64); 7] = [
    ("snapshots taken", 200),
    ("snapshots installed", 5),
    ("loads from a snapshot", 10),
    ("transfers resumed", 1),
    ("changes of the members", 5),
    ("hand-overs", 5),
    ("replacements of lost disks", 5),
];

fn sweep<P: Protocol>(seeds: Range<u64>) {
    let (mut operations, mut happened) = ([0; 3], BTreeMap::new());
    for seed in seeds {
        let nodes = [3, 5, 5, 7][seed as usize % 4];
        let recording = run::<P>(&swarm(seed, nodes));
        assert_good(&recording, &format!("{} seed {seed}", P::NAME));
        for (sum, count) in operations.iter_mut().zip(tally(&recording)) {
            *sum += count;
        }
        count(&recording, &mut happened);
    }
    assert!(operations[0] > 1_000, "{}: {operations:?}", P::NAME);
    for (what, least) in EXPECTED {
        let times = happened.get(what).copied().unwrap_or_default();
        assert!(times >= least, "{}: {what} only {times} times: {happened:?}", P::NAME);
    }
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
        let breaks_leases = schedule.expect.sometimes.contains(&Sometimes::LeaseBroken);
        let recording = run::<P>(&SimulationConfig::new(schedule, 1));
        if !breaks_leases {
            assert_good(&recording, &format!("{} {}", P::NAME, named.name));
        }
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
