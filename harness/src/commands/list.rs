//! `harness schedules` and `harness protocols`: what is bundled.

use anyhow::Result;
use clap::ValueEnum as _;
use faults::{Schedule, schedule};

use crate::{
    cli::{SchedulesArgs, Target},
    plan, registry,
};

/// Lists the bundled schedules, or prints one, or what any of them may ask for.
pub fn schedules(arguments: &SchedulesArgs) -> Result<bool> {
    if arguments.faults {
        print!("{}", faults());
        return Ok(true);
    }
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

/// What a schedule may ask for, and what each target makes of it, as Markdown.
fn faults() -> String {
    let named = Target::value_variants().iter().map(|target| (target.to_string(), *target));
    let named: Vec<_> = named.collect();
    let targets: Vec<_> =
        named.iter().map(|(name, target)| (name.as_str(), plan::capabilities(*target))).collect();
    format!(
        "# Faults and targets\n\n\
         What a step of a schedule may ask for, and what each target makes of it. A target refuses a \
         schedule\nof which it cannot do a step, before the run: nothing is skipped. Printed by \
         `harness schedules --faults`.\n{}",
        schedule::table(&targets)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_table_of_faults_is_what_the_code_says() {
        let committed = include_str!("../../../faults/FAULTS.md");
        assert!(
            committed == faults(),
            "write it anew: harness schedules --faults > faults/FAULTS.md"
        );
    }
}
