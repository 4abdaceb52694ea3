//! Writes the reports of made-up runs into a directory, to look at: one run, a comparison, and a
//! run whose verdict failed.
//!
//!     cargo run -p reports --example synthetic -- DIRECTORY

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

use std::path::PathBuf;

use checker::{Counterexample, Verdict};
use consensus_core::history::Outcome;
use synthetic::Story;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let raft = Story::new("raft", 1).record();
    let slower = Story { commit_ms: 1.5, votes_ms: 9.0, ..Story::new("multipaxos", 1) };
    let multipaxos = slower.record();

    let summary = reports::save(&raft, &directory.join("run"))?;
    print!("{}", reports::summary_table(&[summary]));
    let records = [raft, multipaxos];
    let summaries = reports::save_comparison(&records, &directory.join("comparison"))?;
    print!("{}", reports::summary_table(&summaries));

    let [mut broken, _] = records;
    let mut operations = broken.operations[100..108].to_vec();
    operations[3].outcome = Outcome::Unknown("deadline".into());
    broken.verdicts.linearizable = Verdict::Violated(Counterexample {
        summary: "the read of 'key-7' returned a value that an acknowledged write had replaced"
            .into(),
        key: Some("key-7".into()),
        operations,
        entries: Vec::new(),
        observations: broken.observed[..3].to_vec(),
    });
    let summary = reports::save(&broken, &directory.join("broken"))?;
    print!("{}", reports::summary_table(&[summary]));
    Ok(())
}
