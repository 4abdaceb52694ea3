//! `harness compare`: several protocols under the same schedule, one report.

use anyhow::{Result, anyhow};
use consensus_core::Draw;

use super::run::{Carried, execute, holds, tell};
use crate::{
    cli::CompareArgs,
    experiment,
    interrupt::Interrupts,
    plan::{self, Plan},
    registry::{self, Entry},
    usage::usage,
};

/// Runs every protocol under the same plan, and compares.
///
/// Runs are paired by seed: the same seed draws the same schedule, arrivals and keys for each
/// protocol. Which protocol goes first is drawn for each seed, so that what changes on the machine
/// meanwhile favours neither.
pub fn compare(arguments: &CompareArgs) -> Result<bool> {
    let protocols = protocols(&arguments.protocols)?;
    let plan = Plan::new(&arguments.experiment)?;
    protocols.iter().try_for_each(|protocol| plan.check(protocol))?;
    if arguments.runs == 0 {
        return Err(usage("a comparison has at least one run of each protocol"));
    }
    let name = format!("compare-{}-{}", plan.schedule.name, plan.target);
    let asked = arguments.experiment.out.as_deref();
    let directory = plan::directory(asked, &name, &experiment::stamp())?;
    let mut records = Vec::new();
    let mut held = true;
    let interrupts = Interrupts::of(plan.target)?;
    'runs: for run in 0..arguments.runs {
        let plan = plan.with_seed(plan.seed.wrapping_add(run));
        for protocol in in_drawn_order(&protocols, plan.seed) {
            eprintln!("{} under {}, seed {}", protocol.name, plan.schedule.name, plan.seed);
            let own = directory.join(format!("{}-{}", protocol.name, plan.seed));
            let Carried { record, summary, failure } = execute(&plan, protocol, &own, &interrupts)?;
            if let Some(failure) = failure {
                let kept = own.join("report.html");
                return Err(anyhow!("{failure}\n  what was measured: {}", kept.display()));
            }
            held &= holds(&record, &summary);
            records.push(record);
            if interrupts.came() {
                held = false;
                break 'runs;
            }
        }
    }
    if let [record] = &records[..] {
        let own = directory.join(format!("{}-{}", record.metadata.protocol, record.metadata.seed));
        tell(&records, &[reports::Summary::of(record)], &own);
        return Ok(false);
    }
    let place = |name: &str| protocols.iter().position(|protocol| protocol.name == name);
    records.sort_by_key(|record| (record.metadata.seed, place(&record.metadata.protocol)));
    let summaries = reports::save_comparison(&records, &directory)?;
    tell(&records, &summaries, &directory);
    Ok(held)
}

/// The protocols of these names, at least two of them, each once.
pub fn protocols(names: &[String]) -> Result<Vec<Entry>> {
    let mut protocols: Vec<Entry> = Vec::new();
    for name in names {
        let entry = registry::find(name)?;
        if protocols.iter().any(|known| known.name == entry.name) {
            return Err(usage(format!(
                "'{name}' is named twice: a comparison needs two protocols"
            )));
        }
        protocols.push(entry);
    }
    match protocols.len() {
        0 | 1 => Err(usage("a comparison needs at least two protocols, as in raft,multipaxos")),
        _ => Ok(protocols),
    }
}

fn in_drawn_order(protocols: &[Entry], seed: u64) -> Vec<&Entry> {
    let mut order: Vec<_> = protocols.iter().collect();
    let draw = Draw::new(seed).of("order of the protocols");
    order.sort_by_key(|protocol| draw.of(protocol.name).bits());
    order
}
