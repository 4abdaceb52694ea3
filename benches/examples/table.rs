//! Prints what a committed entry costs in processor time, per contestant and window, and how that
//! compares with the fastest of other people's protocols.
//!
//! The contestants take turns, many short runs each, and the median of a contestant's runs counts:
//! whatever else the machine does meanwhile touches all alike.

use std::time::Duration;

use benches::{Contestant, Ours, WINDOWS, Work, keep_memory, run};
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;

/// How often each contestant runs at each window.
const ROUNDS: usize = 31;

struct Row {
    name: &'static str,
    ours: bool,
    configuration: fn(Work) -> String,
    run: fn(Work) -> Duration,
}

fn row<C: Contestant>(ours: bool) -> Row {
    Row { name: C::NAME, ours, configuration: C::configuration, run: run::<C> }
}

fn main() {
    keep_memory();
    let rows = [
        row::<Ours<Raft>>(true),
        row::<Ours<MultiPaxos>>(true),
        #[cfg(feature = "peers")]
        row::<benches::RaftRsCluster>(false),
        #[cfg(feature = "peers")]
        row::<benches::OmniPaxosCluster>(false),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let takes_part = |row: &Row| wanted.is_empty() || wanted.iter().any(|name| name == row.name);
    let rows: Vec<Row> = rows.into_iter().filter(takes_part).collect();

    let Work { command_bytes, entries, .. } = Work::new(1);
    println!("three replicas in one process, nothing encoded, writes durable at once in memory;");
    println!("closed loop, {command_bytes} B a command, {entries} commands a run, {ROUNDS} runs\n");
    for row in &rows {
        println!("{:<12}{}", row.name, (row.configuration)(Work::new(256)));
    }
    println!("\nprocessor time per committed entry, in µs (and over the fastest peer's)\n");
    println!("{:<12}{}", "window", rows.iter().map(|row| cell(row.name)).collect::<String>());
    for window in WINDOWS {
        let costs = measure(&rows, Work::new(window));
        let peers = rows.iter().zip(&costs).filter(|(row, _)| !row.ours);
        let fastest = peers.map(|(_, &cost)| cost).reduce(f64::min);
        let cells = costs.iter().map(|&cost| match fastest {
            Some(fastest) => cell(&format!("{cost:.3} ({:.2})", cost / fastest)),
            None => cell(&format!("{cost:.3}")),
        });
        println!("{window:<12}{}", cells.collect::<String>());
    }
}

fn cell(text: &str) -> String {
    format!("{text:>18}")
}

/// The median cost of an entry for each contestant, in µs.
fn measure(rows: &[Row], work: Work) -> Vec<f64> {
    let mut samples = vec![Vec::new(); rows.len()];
    for _ in 0..ROUNDS {
        for (row, samples) in rows.iter().zip(&mut samples) {
            // The first run after another contestant's finds the caches and the heap in disorder.
            (row.run)(work);
            samples.push((row.run)(work).as_secs_f64() * 1e6 / work.entries as f64);
        }
    }
    let median = |mut samples: Vec<f64>| {
        samples.sort_by(f64::total_cmp);
        samples[samples.len() / 2]
    };
    samples.into_iter().map(median).collect()
}
