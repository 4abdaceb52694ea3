//! Simulates random schedules and says what came of each: `cargo run --release -p simulator
//! --example swarm -- raft 0 100` for the seeds from 0 up to 100.

use std::num::NonZeroUsize;

use checker::Evidence;
use consensus_core::{Event, Protocol, history::Outcome};
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use faults::Schedule;
use simulator::{Preset, Recording, SimulationConfig, run};

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = |place: usize| arguments.get(place).and_then(|text| text.parse().ok());
    let (from, to) = (number(1).unwrap_or(0), number(2).unwrap_or(10));
    match arguments.first().map_or(Raft::NAME, String::as_str) {
        MultiPaxos::NAME => simulate::<MultiPaxos>(from, to),
        _ => simulate::<Raft>(from, to),
    }
}

fn simulate<P: Protocol>(from: u64, to: u64) {
    for seed in from..to {
        let nodes = NonZeroUsize::new([3, 5, 5, 7][seed as usize % 4]).expect("none of them is 0");
        let config = SimulationConfig::new(Schedule::swarm(seed, nodes), seed);
        let config = config.on(Preset::drawn(seed)).varied().untidy();
        let recording = run::<P>(&config);
        println!("{} seed {seed}: {}", P::NAME, summary(&recording));
    }
}

fn summary(recording: &Recording) -> String {
    let verdicts = checker::check(&Evidence {
        operations: &recording.operations,
        applied: &recording.applied,
        observed: &recording.observed,
        states: &[],
        ..Evidence::default()
    });
    let count = |wanted: fn(&Outcome) -> bool| {
        recording.operations.iter().filter(|operation| wanted(&operation.outcome)).count()
    };
    let elected = |event: &Event| matches!(event, Event::Elected { .. });
    format!(
        "{:.1} s, {} events, {} trials, {} elections; {} ok, {} failed, {} unknown; {}, {}",
        recording.simulated.as_secs_f64(),
        recording.events,
        recording.resolved.trials.len(),
        recording.observed.iter().filter(|observed| elected(&observed.event)).count(),
        count(Outcome::is_ok),
        count(|outcome| matches!(outcome, Outcome::Failed(_))),
        count(|outcome| matches!(outcome, Outcome::Unknown(_))),
        match verdicts.named().into_iter().find(|(_, verdict)| !verdict.passes()) {
            Some((rule, verdict)) => format!("{rule} {verdict}"),
            None => "all rules held".to_owned(),
        },
        match recording.converged {
            Some(at) => format!("agreed after {at}"),
            None => "did not agree".to_owned(),
        },
    )
}
