//! `harness replay`: what a run's schedule turned out to be, played again.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use consensus_core::history::Passage;
use deploy::Cut;
use faults::{Resolved, director::Cast};
use reports::{Clock, FaultBand, RunRecord, Setting, Summary};
use simulator::{Measured, Preset};

use super::run::{Carried, execute, holds, tell};
use crate::{
    bars,
    cli::{Peers, ReplayArgs, Route, StorageKind, Target},
    experiment,
    interrupt::Interrupts,
    plan::{self, Plan, Replay},
    registry::{self, Entry},
    tuning::Tuning,
    usage::usage,
};

/// How often a real run is simulated.
const SIMULATIONS: u64 = 10;

/// Plays a recorded run again, reports, and says whether everything held.
pub fn replay(arguments: &ReplayArgs) -> Result<bool> {
    let original = reports::load(&arguments.run).map_err(|error| usage(error.to_string()))?;
    let name = arguments.protocol.as_deref().unwrap_or(&original.metadata.protocol);
    let protocol = registry::find(name)?;
    let plan = plan(arguments, &original, &protocol)?;
    let foretells = foretells(arguments.target, &original, &protocol);
    let runs = arguments.runs.unwrap_or(if foretells { SIMULATIONS } else { 1 });
    if runs == 0 {
        return Err(usage("a run is played again at least once: --runs is at least one"));
    }
    let name = format!("replay-{}-{}-{}", protocol.name, plan.schedule.name, plan.target);
    let directory = plan::directory(arguments.out.as_deref(), &name, &experiment::stamp())?;
    let records = play(&plan, &protocol, runs, &directory)?;
    let held = records.iter().all(|record| holds(record, &Summary::of(record)));
    if foretells {
        let forecast = reports::save_forecast(&original, &records, fitted(&plan), &directory)?;
        print!("{}", reports::forecast::text(&forecast));
        println!("report: {}", directory.join("report.html").display());
        return Ok(held);
    }
    let records: Vec<_> = std::iter::once(original).chain(records).collect();
    let summaries = reports::save_comparison(&records, &directory)?;
    tell(&records, &summaries, &directory);
    Ok(held)
}

/// Whether simulations of a real run are to be held against it.
fn foretells(target: Target, original: &RunRecord, protocol: &Entry) -> bool {
    let was_real = original.metadata.clock == Clock::Wall;
    target == Target::Sim && was_real && protocol.name == original.metadata.protocol
}

fn plan(arguments: &ReplayArgs, original: &RunRecord, protocol: &Entry) -> Result<Plan> {
    let target = arguments.target;
    let file = arguments.run.join("schedule.resolved.toml");
    let resolved = Resolved::parse(&file.display().to_string(), &original.schedule_text)
        .map_err(|error| usage(error.to_string()))?;
    plan::check_capabilities(&resolved.schedule, target)?;
    let was_real = original.metadata.clock == Clock::Wall;
    let usual = if was_real { Preset::Loopback } else { simulated_network(original) };
    let simulates_it = was_real && target == Target::Sim && arguments.network.is_none();
    let literal = if foretells(target, original, protocol) { Cast::Roles } else { Cast::Literal };
    let plan = Plan {
        target,
        // It is already as long as its network wanted.
        schedule: resolved.schedule.clone(),
        seed: resolved.seed,
        storage: StorageKind::Sled,
        peers: Peers::Plain,
        via: Route::Direct,
        network: plan::network(target, arguments.network, usual)?,
        tuning: tuning(original, protocol)?,
        cut: Cut::Shim,
        keep_data: false,
        kubernetes: arguments.kubernetes.clone(),
        replay: Some(Replay {
            resolved,
            cast: arguments.cast.map_or(literal, Cast::from),
            was_real,
            measured: simulates_it.then(|| measured(original)).flatten(),
        }),
    };
    plan.check(protocol)?;
    Ok(plan)
}

/// The network of a simulated run, as its record names it.
fn simulated_network(original: &RunRecord) -> Preset {
    let name = original.metadata.network.trim_end_matches(" (simulated)");
    name.parse().unwrap_or_default()
}

/// The run's own parameters. Options that the protocol does not have are another protocol's.
fn tuning(original: &RunRecord, protocol: &Entry) -> Result<Tuning> {
    let recorded = &original.arguments;
    let tuning = Tuning::from_arguments(recorded).filter(|_| !recorded.is_empty());
    let mut tuning = tuning.ok_or_else(|| {
        usage(
            "the run's record does not tell its parameters as arguments: it is older than replays",
        )
    })?;
    let is_known = |name: &str| protocol.options.iter().any(|(known, _)| *known == name);
    tuning.options.retain(|(name, _)| is_known(name));
    Ok(tuning)
}

/// The run's network and disks, as far as its messages tell; not of those that a fault held up.
fn measured(original: &RunRecord) -> Option<Measured> {
    let holds_up = |band: &&FaultBand| band.strikes() && !band.ends_processes();
    let bands: Vec<_> = original.faults.iter().filter(holds_up).collect();
    let undisturbed = |passage: &&Passage| {
        let during = |band: &&FaultBand| {
            band.start <= passage.at && band.end.is_none_or(|end| passage.at <= end)
        };
        !bands.iter().any(during)
    };
    Measured::of(original.passages.iter().filter(undisturbed))
}

/// What a simulation takes from the run, in words.
fn fitted(plan: &Plan) -> Vec<Setting> {
    let row = |name: &str, value: String| Setting { name: name.to_owned(), value };
    let Some(measured) = plan.measured() else {
        let network = plan.network.map(|network| network.to_string()).unwrap_or_default();
        return vec![row("network", network)];
    };
    let Measured { network, sync, passages, clock_error } = measured;
    let medians = network.links.values().map(|link| link.latency.median());
    let (links, all) = (network.links.len(), &network.within.latency);
    let range = medians.clone().min().zip(medians.max()).map(|(least, most)| {
        format!("; {links} links of their own, medians {least:?} to {most:?}")
    });
    let network = format!("as {passages} messages measured it: {all}{}", range.unwrap_or_default());
    let sync = sync.as_ref().map(|sync| row("wait for the disk, as measured", sync.to_string()));
    let error =
        clock_error.map(|error| row("the hosts' clocks", format!("one but for {error:?} at most")));
    [row("network", network)].into_iter().chain(sync).chain(error).collect()
}

fn play(plan: &Plan, protocol: &Entry, runs: u64, directory: &Path) -> Result<Vec<RunRecord>> {
    let interrupts = Interrupts::of(plan.target)?;
    let bar = bars::counted(runs, "runs, {eta} left")?;
    let mut records = Vec::new();
    for run in 0..runs {
        let plan = plan.with_seed(plan.seed.wrapping_add(run));
        let own = directory.join(format!("{}-{}", protocol.name, plan.seed));
        let Carried { record, failure, .. } = execute(&plan, protocol, &own, &interrupts)?;
        if let Some(failure) = failure {
            let kept = own.join("report.html");
            return Err(anyhow!("{failure}\n  what was measured: {}", kept.display()));
        }
        records.push(record);
        bar.inc(1);
        if interrupts.came() {
            break;
        }
    }
    bar.finish_and_clear();
    records.first().context("nothing was played")?;
    Ok(records)
}
