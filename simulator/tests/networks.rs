//! Whole runs on other networks.

mod common;

use std::time::Duration;

use common::{assert_good, config, elections};
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use simulator::{LinkModel, NetworkModel, Preset, Recording, SimulationConfig, run};

const CALM: &str = "name = 'calm'\nnodes = 5\nwarmup = '5s'\nsettle = '1s'
    load = { rate = 100, keys = 20, timeout = '5s' }";

/// How long clients waited, sorted.
fn latencies(recording: &Recording) -> Vec<Duration> {
    let done = recording.operations.iter().filter(|operation| operation.outcome.is_ok());
    let took = done.filter_map(|o| o.completed.map(|at| at.since(o.intended)));
    let mut latencies: Vec<_> = took.collect();
    latencies.sort();
    latencies
}

fn median(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 2]
}

fn on_every_network(name: &str, run: fn(&SimulationConfig) -> Recording) {
    let mut medians = Vec::new();
    for network in Preset::ALL {
        let recording = run(&config(CALM, 3).on(network));
        assert_good(&recording, &format!("{name} on {network}"));
        assert_eq!(elections(&recording).len(), 1, "{name} on {network}: the first leader stays");
        let latencies = latencies(&recording);
        assert_eq!(latencies.len(), recording.operations.len(), "{name} on {network}");
        medians.push(median(&latencies));
    }
    assert!(medians.is_sorted(), "{name}: {medians:?}");
    // Whoever leads, a quorum of five regions is two others away, the nearer of them 89 ms or more.
    let [.., zones, regions] = medians[..] else { panic!("{medians:?}") };
    assert!(zones < Duration::from_millis(10), "{name}: {medians:?}");
    assert!(regions > Duration::from_millis(119), "{name}: {medians:?}");
}

#[test]
fn raft_serves_on_every_network() {
    on_every_network("raft", run::<Raft>);
}

#[test]
fn multipaxos_serves_on_every_network() {
    on_every_network("multipaxos", run::<MultiPaxos>);
}

#[test]
fn clients_of_all_regions_take_turns() {
    let recording = run::<Raft>(&config(CALM, 3).on(Preset::FiveRegions));
    let latencies = latencies(&recording);
    // A fifth of the clients are in the leader's own region, a fifth in the remotest.
    let (near, far) = (latencies[latencies.len() / 20], latencies[latencies.len() * 19 / 20]);
    assert!(far - near > Duration::from_millis(150), "{near:?} to {far:?}");
}

#[test]
fn a_narrow_line_holds_a_cluster_up() {
    let text = "name = 'load'\nnodes = 3\nwarmup = '3s'\nsettle = '1s'
        load = { rate = 500, keys = 20, reads = 0.0, value_bytes = 200, timeout = '5s' }";
    let taking = |bytes_per_s| {
        let link = LinkModel::of(simulator::Latency::Constant(Duration::from_millis(1)));
        let network = NetworkModel::flat("narrow", link.with_bandwidth(bytes_per_s));
        let recording = run::<Raft>(&SimulationConfig { network, ..config(text, 1) });
        let latencies = latencies(&recording);
        (latencies.len(), median(&latencies))
    };
    // About 150 kB a second go to each follower.
    let (wide, narrow, choked) = (taking(10_000_000), taking(400_000), taking(50_000));
    assert!(wide.1 < narrow.1 && narrow.1 < choked.1, "{wide:?} {narrow:?} {choked:?}");
    assert!(choked.0 < wide.0 / 2, "{wide:?} {choked:?}");
}
