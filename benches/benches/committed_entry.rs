//! The processor time of one committed entry, per contestant and window.

use benches::{Contestant, Ours, WINDOWS, Work, keep_memory, run};
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn bench<C: Contestant>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("committed entry");
    group.sample_size(10).throughput(Throughput::Elements(1));
    for window in WINDOWS {
        let work = Work::new(window);
        eprintln!("{}, {work:?}: {}", C::NAME, C::configuration(work));
        group.bench_function(BenchmarkId::new(C::NAME, window), |bencher| {
            // A cluster serves a fixed number of entries, whatever the number asked for.
            bencher.iter_custom(|entries| {
                let clusters = entries.div_ceil(work.entries);
                let spent: std::time::Duration = (0..clusters).map(|_| run::<C>(work)).sum();
                spent.mul_f64(entries as f64 / (clusters * work.entries) as f64)
            });
        });
    }
    group.finish();
}

fn committed_entry(criterion: &mut Criterion) {
    keep_memory();
    bench::<Ours<Raft>>(criterion);
    bench::<Ours<MultiPaxos>>(criterion);
    #[cfg(feature = "peers")]
    {
        bench::<benches::RaftRsCluster>(criterion);
        bench::<benches::OmniPaxosCluster>(criterion);
    }
}

criterion_group!(benches, committed_entry);
criterion_main!(benches);
