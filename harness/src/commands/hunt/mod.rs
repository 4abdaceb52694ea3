//! `harness hunt`: schedules in which two protocols differ most, both ways.

mod findings;
mod outage;
mod search;
mod start;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use self::{
    findings::{Choice, Finding, choose, write},
    outage::{Pair, Unfit},
    search::{Bounds, Found, search},
};
use super::{compare::protocols, run::command_line};
use crate::{
    bars,
    cli::{HuntArgs, Quarry},
    experiment,
    plan::{self, typed},
    usage::usage,
};

/// Under how many seeds each schedule is tried in the search: one alone may be an accident.
const SEARCHED: u64 = 3;

/// The first of these seeds, far from those that people use.
const SEARCHED_FROM: u64 = 100_000;

/// Under how many seeds what was found is chosen and shrunk.
const CHOSEN: u64 = 5;

/// The first of these seeds.
const CHOSEN_FROM: u64 = 200_000;

/// Under how many seeds it is told, from 1.
const TOLD: u64 = 20;

/// Hunts, writes what was found, and says whether anything was.
pub fn hunt(arguments: &HuntArgs) -> Result<bool> {
    let protocols = protocols(&arguments.protocols)?;
    let [one, other] = &protocols[..] else {
        return Err(usage("a hunt holds two protocols against each other, as in raft,multipaxos"));
    };
    // There is one quarry so far.
    let Quarry::OutageDifference = arguments.maximize;
    let least = 2 * SEARCHED;
    if arguments.budget < least {
        return Err(usage(format!(
            "one schedule alone takes {least} simulations: a --budget of {} is too small",
            arguments.budget
        )));
    }
    let pair = Pair {
        protocols: [one, other],
        tuning: &arguments.tuning,
        network: arguments.network.unwrap_or_default(),
    };
    let directory = plan::directory(arguments.out.as_deref(), "hunt", &experiment::stamp())?;
    let minutes = arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let bounds =
        Bounds { runs: arguments.budget, until: minutes.map(|time| Instant::now() + time) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.jobs.unwrap_or(0)).build()?;
    let found = pool.install(|| {
        let bar = bars::counted(arguments.budget, "runs; {msg}")?;
        let searched: Vec<u64> = (SEARCHED_FROM..SEARCHED_FROM + SEARCHED).collect();
        let found = search(&pair, &searched, arguments.seed, &bounds, &bar);
        bar.finish_and_clear();
        anyhow::Ok(found)
    })?;
    let told: Vec<u64> = (1..=TOLD).collect();
    let choice = Choice {
        best: arguments.best,
        tries: arguments.shrink.0,
        choosing: (CHOSEN_FROM..CHOSEN_FROM + CHOSEN).collect(),
        telling: told.clone(),
    };
    let findings = pool.install(|| best_of(&pair, &found, &choice))?;
    let table = write(&pair, &findings, &told, &command_line(), &directory)?;
    println!("{} simulations searched", found.runs);
    print!("{table}");
    tell_broken(&found, &directory)?;
    println!("written to {}", directory.display());
    Ok(!findings.is_empty())
}

fn best_of(pair: &Pair<'_>, found: &Found, choice: &Choice) -> Result<Vec<Finding>> {
    let bar = bars::spinning("{pos} smaller schedules tried")?;
    let both = found.worst.iter().enumerate();
    let findings = both.flat_map(|(worse, members)| choose(pair, worse, members, choice, &bar));
    let findings = findings.collect();
    bar.finish_and_clear();
    Ok(findings)
}

/// Schedules under which an invariant broke are worth more than any difference.
fn tell_broken(found: &Found, directory: &Path) -> Result<()> {
    for ((schedule, unfit), number) in found.broken.iter().zip(1..) {
        let Unfit::Broken { protocol, seed, panic } = unfit else { continue };
        let file = directory.join(format!("broken-{number}.toml"));
        fs::write(&file, schedule.to_short_toml())
            .with_context(|| format!("cannot write {}", file.display()))?;
        let words = ["shrink", "--protocol", protocol, "--seed", &seed.to_string()];
        let words = words.map(str::to_owned).into_iter().chain([file.display().to_string()]);
        println!("{protocol}: an invariant broke: {panic}\n    {}", typed(words));
    }
    Ok(())
}
