//! How fast virtual time passes: the simulated seconds of a five-replica cluster, gossip included, in a
//! second of processor time. Criterion calls them elements.

use std::{hint::black_box, time::Duration};

use consensus_core::Protocol;
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use faults::Schedule;
use nix::time::{ClockId, clock_gettime};
use simulator::{SimulationConfig, run};

/// Operations a second: mostly heartbeats, as in a cluster at rest; and the light load of random
/// trouble.
const RATES: [u32; 3] = [10, 100, 200];

/// Two minutes without trouble at this rate.
fn calm(rate: u32) -> SimulationConfig {
    let text = format!(
        "name = 'calm'\nnodes = 5\nwarmup = '2m'\nsettle = '0s'\nload = {{ rate = {rate} }}"
    );
    let schedule = Schedule::parse("calm", &text).expect("the schedule is well formed");
    SimulationConfig::new(schedule, 1)
}

fn simulate<P: Protocol>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("simulated_seconds");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    for rate in RATES {
        let config = calm(rate);
        group.throughput(Throughput::Elements(run::<P>(&config).simulated.as_secs()));
        group.bench_function(BenchmarkId::new(P::NAME, rate), |bencher| {
            bencher.iter_custom(|times| {
                let before = processor_time();
                (0..times).for_each(|_| drop(black_box(run::<P>(&config))));
                processor_time() - before
            });
        });
    }
    group.finish();
}

/// The processor time that this process has used: on a busy machine the only clock worth reading.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("every Linux has this clock").into()
}

criterion_group!(benches, simulate::<Raft>, simulate::<MultiPaxos>);
criterion_main!(benches);
