//! The command line of the laboratory.
//!
//! One executable holds everything: it runs experiments, and it starts itself again as the replicas
//! and the gateway that an experiment is made of.

mod cli;
mod commands;
mod experiment;
mod plan;
mod registry;
mod usage;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{cli::Cli, usage::is_usage};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::dispatch(cli.command) {
        Ok(held) if held => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("harness: {error:#}");
            ExitCode::from(if is_usage(&error) { 2 } else { 1 })
        }
    }
}
