//! `harness recovery`: links stay cut for long; which variant of which protocol serves again?

mod scenarios;
mod variants;

use std::ops::Range;

use anyhow::{Result, anyhow};
use faults::Schedule;
use rayon::prelude::*;
use reports::{
    recovery::{Cell, Hold, Recovery, Scenario},
    verdicts::Standing,
};

use self::variants::Variant;
use super::run::command_line;
use deploy::Cut;

use crate::{
    bars,
    cli::{KubernetesArgs, Peers, RecoveryArgs, Route, StorageKind, Target},
    experiment::{self, Origin},
    plan::{self, Plan},
    registry::{self, Entry},
    usage::usage,
};

/// The links stay cut for so many of the longest election timeouts, or "never while they are cut" would
/// mean little.
const LEAST_TIMEOUTS: u32 = 6;

/// Simulates every cell, writes the table, and says whether every run was safe.
pub fn recovery(arguments: &RecoveryArgs) -> Result<bool> {
    let scenarios = scenarios(arguments)?;
    let protocols = protocols(&arguments.protocols)?;
    let too_long = arguments
        .election_timeouts
        .iter()
        .find(|range| range.end * LEAST_TIMEOUTS > arguments.hold);
    if let Some(range) = too_long {
        return Err(usage(format!(
            "links that stay cut for {:?} tell little of an election timeout of {range:?}: hold them for \
             {LEAST_TIMEOUTS} times the longest",
            arguments.hold
        )));
    }
    if arguments.runs == 0 {
        return Err(usage("a cell of the table has at least one run"));
    }
    let mut asked = Vec::new();
    for (scenario, schedule) in &scenarios {
        for protocol in &protocols {
            for timeout in &arguments.election_timeouts {
                for variant in variants::of(protocol, timeout) {
                    let asked_for = Asked { scenario, schedule, protocol, timeout, variant };
                    asked_for.plan(arguments.seed).check(protocol)?;
                    asked.push(asked_for);
                }
            }
        }
    }
    let directory = plan::directory(arguments.out.as_deref(), "recovery", &experiment::stamp())?;
    let origin = Origin::now(command_line());
    let cells = simulate(arguments, &asked)?;
    let described = |(scenario, schedule): &(&scenarios::Scenario, Schedule)| Scenario {
        name: scenario.name.to_owned(),
        description: scenario.description.to_owned(),
        schedule: schedule.to_toml(),
    };
    let load = &scenarios[0].1.load;
    let recovery = Recovery {
        command: origin.command,
        commit: env!("LABORATORY_COMMIT").to_owned(),
        started_at: origin.started_at,
        hold_s: arguments.hold.as_secs_f64(),
        runs: usize::try_from(arguments.runs)?,
        load: format!("{} writes a second, evenly, whether or not they are answered", load.rate),
        scenarios: scenarios.iter().map(described).collect(),
        election_timeouts: arguments.election_timeouts.iter().map(shown).collect(),
        cells,
    };
    reports::save_recovery(&recovery, &directory)?;
    print!("{}", reports::recovery::markdown(&recovery));
    println!("report: {}", directory.join("report.html").display());
    Ok(recovery.standing() == Standing::Ok)
}

/// A cell that is asked for.
struct Asked<'a> {
    scenario: &'a scenarios::Scenario,
    schedule: &'a Schedule,
    protocol: &'a Entry,
    timeout: &'a Range<std::time::Duration>,
    variant: Variant,
}

impl Asked<'_> {
    fn plan(&self, seed: u64) -> Plan {
        Plan {
            target: Target::Sim,
            schedule: self.schedule.clone(),
            seed,
            storage: StorageKind::Memory,
            peers: Peers::Plain,
            via: Route::Direct,
            network: Some(simulator::Preset::default()),
            tuning: self.variant.tuning.clone(),
            cut: Cut::Shim,
            keep_data: false,
            kubernetes: KubernetesArgs::default(),
            replay: None,
        }
    }

    /// One run, from the simulation to what is told of it.
    fn run(&self, seed: u64) -> Result<Hold> {
        let plan = self.plan(seed);
        let raw = experiment::raw((self.protocol.simulate)(&experiment::simulation(&plan)))?;
        let record = experiment::assemble(&plan, self.protocol, Origin::now(String::new()), raw)?;
        Hold::of(&record).ok_or_else(|| {
            let (protocol, name) = (self.protocol.name, self.scenario.name);
            anyhow!("{protocol}, {}, {name}, seed {seed}: no links were cut", self.variant.name)
        })
    }
}

fn simulate(arguments: &RecoveryArgs, asked: &[Asked<'_>]) -> Result<Vec<Cell>> {
    let jobs: Vec<(usize, u64)> = (0..asked.len())
        .flat_map(|cell| {
            (0..arguments.runs).map(move |run| (cell, arguments.seed.wrapping_add(run)))
        })
        .collect();
    let bar = bars::counted(jobs.len() as u64, "runs, {eta} left")?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.jobs.unwrap_or(0)).build()?;
    let holds: Vec<(usize, Hold)> = pool.install(|| {
        let one = |&(cell, seed): &(usize, u64)| {
            let hold = asked[cell].run(seed)?;
            bar.inc(1);
            Ok((cell, hold))
        };
        jobs.par_iter().map(one).collect::<Result<_>>()
    })?;
    bar.finish_and_clear();
    let mut cells: Vec<Cell> = asked
        .iter()
        .map(|asked| Cell {
            scenario: asked.scenario.name.to_owned(),
            protocol: asked.protocol.title.to_owned(),
            variant: asked.variant.name.clone(),
            election_timeout: shown(asked.timeout),
            arguments: format!(
                "--protocol {} --target sim --schedule schedules/{}.toml {}",
                asked.protocol.name, asked.scenario.name, asked.variant.arguments
            ),
            runs: Vec::new(),
        })
        .collect();
    for (cell, hold) in holds {
        cells[cell].runs.push(hold);
    }
    Ok(cells)
}

fn shown(range: &Range<std::time::Duration>) -> String {
    format!("{range:?}")
}

/// The scenarios asked for, or all of them, each with its schedule.
fn scenarios(arguments: &RecoveryArgs) -> Result<Vec<(&'static scenarios::Scenario, Schedule)>> {
    let known: Vec<_> = scenarios::ALL.iter().map(|scenario| scenario.name).collect();
    if let Some(unknown) = arguments.scenarios.iter().find(|name| !known.contains(&name.as_str())) {
        let known = known.join(", ");
        return Err(usage(format!("there is no scenario '{unknown}'; there are: {known}")));
    }
    let asked = |scenario: &&scenarios::Scenario| {
        arguments.scenarios.is_empty()
            || arguments.scenarios.iter().any(|name| name == scenario.name)
    };
    let chosen = scenarios::ALL.iter().filter(asked);
    chosen.map(|scenario| Ok((scenario, scenario.schedule(arguments.hold)?))).collect()
}

fn protocols(names: &[String]) -> Result<Vec<Entry>> {
    match names {
        [] => Ok(registry::protocols()),
        names => names.iter().map(|name| registry::find(name)).collect(),
    }
}
