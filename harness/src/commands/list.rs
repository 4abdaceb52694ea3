//! `harness schedules` and `harness protocols`: what is bundled.

use anyhow::Result;
use faults::Schedule;

use crate::{cli::SchedulesArgs, plan, registry};

/// Lists the bundled schedules, or prints one.
pub fn schedules(arguments: &SchedulesArgs) -> Result<bool> {
    match &arguments.name {
        Some(name) => {
            let named = Schedule::names().iter().find(|named| named.name == name);
            match named {
                Some(named) => print!("{}", named.text),
                None => print!("{}", plan::named(name, None)?.to_toml()),
            }
        }
        None => {
            for named in Schedule::names() {
                println!("{:<20} {}", named.name, named.description);
            }
            println!("\n`harness schedules NAME` prints one, as a start for your own.");
        }
    }
    Ok(true)
}

/// Lists the protocols, with their options.
pub fn protocols() -> Result<bool> {
    for entry in registry::protocols() {
        println!("{:<12} {}", entry.name, entry.summary);
        for (name, purpose) in entry.options {
            println!("    --option {name}=…  {purpose}");
        }
    }
    Ok(true)
}
