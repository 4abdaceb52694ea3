//! The command line of the laboratory.
//!
//! One executable holds everything: it runs experiments, and it starts itself again as the replicas
//! and the gateway that an experiment is made of.

mod bars;
mod cli;
mod commands;
mod draws;
mod experiment;
mod failure;
mod interrupt;
mod panics;
mod plan;
mod registry;
mod shrinking;
mod tuning;
mod usage;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    cli::Cli,
    usage::{explain, is_usage},
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    match commands::dispatch(cli.command) {
        Ok(held) if held => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("harness: {error:#}");
            ExitCode::from(if is_usage(&error) { 2 } else { 1 })
        }
    }
}

fn refuse(error: &clap::Error) -> ExitCode {
    match explain(error, std::env::args().nth(1).as_deref()) {
        Some(sentence) => {
            eprintln!("harness: {sentence}");
            ExitCode::from(2)
        }
        // What was asked for is printed, and that is no mistake.
        None => error.exit(),
    }
}
