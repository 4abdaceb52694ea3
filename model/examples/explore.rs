//! Explores both protocols within the same bounds, and prints what it took as the table of `model/README.md`.
//!
//! ```sh
//! cargo run --release -p model --example explore            # about ten minutes on one core
//! cargo run --release -p model --example explore -- short   # seconds
//! ```

use std::{env, process::ExitCode, time::Instant};

use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use model::{Bounds, Exploration, Explored, Findings, Search};

/// The seed of the random walks, and how many states they meet.
const WALKS: Search = Search::Random { seed: 1, states: 2_000_000 };

fn main() -> ExitCode {
    let is_short = env::args().any(|argument| argument == "short");
    let searches = if is_short { short() } else { [short(), long()].concat() };
    println!(
        "| bounds | search | Raft: states | steps | depth | seconds | Multi-Paxos: states | steps | depth | seconds |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    let mut complaints = Vec::new();
    for (bounds, search) in searches {
        let raft = explore::<Raft>(bounds, search, &mut complaints);
        let multipaxos = explore::<MultiPaxos>(bounds, search, &mut complaints);
        println!("| {bounds} | {} | {raft} | {multipaxos} |", name(search));
    }
    complaints.iter().for_each(|complaint| eprintln!("{complaint}"));
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn short() -> Vec<(Bounds, Search)> {
    let one = Bounds::three().timeouts(1);
    let two = Bounds::three().timeouts(2);
    let bounds = [
        one,
        one.crashes(1),
        one.commands(1),
        one.commands(1).crashes(1),
        one.commands(2),
        one.commands(1).repeats(1),
        two,
        two.crashes(1),
        two.commands(1),
    ];
    bounds.map(|bounds| (bounds, Search::Exhaustive)).to_vec()
}

fn long() -> Vec<(Bounds, Search)> {
    let one = Bounds::three().timeouts(1);
    let two = Bounds::three().timeouts(2);
    let three = Bounds::three().timeouts(3);
    vec![
        (one.commands(2).crashes(1), Search::Exhaustive),
        (three, Search::Exhaustive),
        (two.commands(2).crashes(1), WALKS),
        (three.commands(3).crashes(2).heartbeats(2).repeats(1), WALKS),
        (two.commands(1).crashes(1), Search::Exhaustive),
        (two.commands(2), Search::Exhaustive),
        (one.commands(1).heartbeats(1), Search::Exhaustive),
    ]
}

const fn name(search: Search) -> &'static str {
    match search {
        Search::Exhaustive => "exhaustive",
        Search::Shortest | Search::Quickest => "until a failure",
        Search::Random { .. } => "random walks",
    }
}

/// Searches, complains of what fails and of what is never seen, and tells what it took.
fn explore<P: Explored>(bounds: Bounds, search: Search, complaints: &mut Vec<String>) -> String {
    let start = Instant::now();
    let Findings { states, steps, depth, failures, unseen } =
        Exploration::<P>::new(bounds).search(search);
    for failure in failures {
        complaints.push(format!(
            "{}, {bounds}: {} fails\n{}",
            P::NAME,
            failure.property,
            failure.story
        ));
    }
    complaints
        .extend(unseen.iter().map(|what| format!("{}, {bounds}: never seen: {what}", P::NAME)));
    let seconds = start.elapsed().as_secs_f64();
    format!("{} | {} | {depth} | {seconds:.1}", grouped(states), grouped(steps))
}

/// A number with its digits in groups of three.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let place = |at: usize| digits.len() - at;
    let separated = digits.char_indices().map(|(at, digit)| match at {
        1.. if place(at) % 3 == 0 => format!(" {digit}"),
        _ => digit.to_string(),
    });
    separated.collect()
}
