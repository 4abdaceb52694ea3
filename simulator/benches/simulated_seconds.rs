//! How fast virtual time passes: one simulated second of a five-replica cluster under light load.

use std::time::Duration;

use consensus_core::Protocol;
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use faults::Schedule;
use simulator::{SimulationConfig, run};

/// Two minutes of ten operations a second: mostly heartbeats, as in a cluster at rest.
fn at_rest() -> SimulationConfig {
    let text = "name = 'at-rest'\nnodes = 5\nwarmup = '2m'\nsettle = '0s'\nload = { rate = 10 }";
    let schedule = Schedule::parse("at-rest", text).expect("the schedule is well formed");
    SimulationConfig::new(schedule, 1)
}

fn simulate<P: Protocol>(criterion: &mut Criterion) {
    let config = at_rest();
    let seconds = run::<P>(&config).simulated.as_secs();
    let mut group = criterion.benchmark_group("simulated_seconds");
    group.throughput(Throughput::Elements(seconds));
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    group.bench_function(P::NAME, |bencher| bencher.iter(|| run::<P>(&config)));
    group.finish();
}

criterion_group!(benches, simulate::<Raft>, simulate::<MultiPaxos>);
criterion_main!(benches);
