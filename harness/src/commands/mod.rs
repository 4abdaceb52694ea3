//! One file for each group of commands. Each says whether what was asked for held.

mod certificates;
mod check;
mod client;
mod compare;
mod export;
mod hunt;
mod list;
mod members;
mod recovery;
mod replay;
mod report;
mod run;
mod serve;
mod shrink;
mod standing;
mod sweep;

use anyhow::Result;

use crate::cli::Command;

/// Carries a command out. `Ok(false)`: it was carried out, and what it looked at does not hold.
pub fn dispatch(command: Command) -> Result<bool> {
    match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::Sweep(arguments) => sweep::sweep(&arguments),
        Command::Shrink(arguments) => shrink::shrink(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Hunt(arguments) => hunt::hunt(&arguments),
        Command::Recovery(arguments) => recovery::recovery(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Export(arguments) => export::export(&arguments),
        Command::Schedules(arguments) => list::schedules(&arguments),
        Command::Protocols => list::protocols(),
        Command::Get(arguments) => client::get(&arguments),
        Command::Put(arguments) => client::put(&arguments),
        Command::Cas(arguments) => client::cas(&arguments),
        Command::TestAndSet(arguments) => client::test_and_set(&arguments),
        Command::Members(arguments) => members::members(&arguments),
        Command::Transfer(arguments) => members::transfer(&arguments),
        Command::Replica(arguments) => serve::replica(*arguments),
        Command::Gateway(arguments) => serve::gateway(arguments),
        Command::Certificates(arguments) => certificates::certificates(&arguments),
        Command::Load => serve::load(),
        Command::Pod(arguments) => serve::pod(&arguments),
        Command::Image(arguments) => standing::image(&arguments),
        Command::Up(arguments) => standing::up(&arguments),
        Command::Status(arguments) => standing::status(&arguments),
        Command::Watch(arguments) => standing::follow(&arguments),
        Command::Logs(arguments) => standing::logs(&arguments),
        Command::Down(arguments) => standing::down(&arguments),
    }
}
