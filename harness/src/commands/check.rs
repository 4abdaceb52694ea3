//! `harness check`: the verdicts on what was recorded.

use std::{fs::File, io::BufReader, path::Path};

use anyhow::Result;
use checker::{Evidence, Limits, linearizable};
use consensus_core::history::Operation;

use crate::{cli::CheckArgs, usage::usage};

/// Judges a run directory by everything in it, or a history by its answers alone.
pub fn check(arguments: &CheckArgs) -> Result<bool> {
    if arguments.path.is_dir() {
        check_run(&arguments.path)
    } else {
        check_history(&arguments.path)
    }
}

fn check_run(directory: &Path) -> Result<bool> {
    let record = reports::load(directory).map_err(|error| usage(error.to_string()))?;
    let verdicts = record.judge();
    println!("{verdicts}");
    Ok(verdicts.holds())
}

fn check_history(path: &Path) -> Result<bool> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| usage(format!("cannot read {shown}: {error}")))?;
    let operations: Vec<Operation> = checker::jsonl::read(&mut BufReader::new(file))
        .map_err(|error| usage(format!("{shown}: {error}")))?;
    let evidence = Evidence { operations: &operations, ..Evidence::default() };
    let verdict = linearizable::check(&evidence, &Limits::default());
    println!("linearizable     {verdict}");
    println!("{} operations; the other verdicts need a run directory", operations.len());
    Ok(verdict.is_ok())
}
