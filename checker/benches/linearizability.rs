//! How long a verdict on linearizability takes, with and without what answers tell of the log.

#[path = "../tests/common/mod.rs"]
mod common;

use checker::{Evidence, Verdict, check};
use common::{Shape, execution};
use consensus_core::{Draw, history::Operation};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn judge(operations: &[Operation]) {
    let evidence = Evidence { operations, ..Evidence::default() };
    assert_eq!(check(&evidence).linearizable, Verdict::Ok);
}

fn verdicts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("linearizability");
    group.sample_size(10);
    let shape = |operations, telling| {
        let unknown = 0.001;
        Shape { operations, clients: 100, keys: 100, values: None, unknown, telling }
    };
    for operations in [10_000, 100_000, 1_000_000] {
        for telling in [true, false] {
            // A third of the draws falls on clients that are busy.
            let mut history = execution(shape(operations * 3 / 2, telling), Draw::new(1));
            history.truncate(operations as usize);
            let name = if telling { "with revisions" } else { "without revisions" };
            group.throughput(Throughput::Elements(history.len() as u64));
            let id = BenchmarkId::new(name, operations);
            group
                .bench_with_input(id, &history, |bencher, history| bencher.iter(|| judge(history)));
        }
    }
    group.finish();
}

criterion_group!(benches, verdicts);
criterion_main!(benches);
