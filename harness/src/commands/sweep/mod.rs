//! `harness sweep`: many seeded simulations, each judged, and proof that they were worth it.

mod counts;
mod features;
mod telling;

use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::ProgressBar;
use nix::time::{ClockId, clock_gettime};
use rayon::prelude::*;

use self::{
    counts::Counts,
    telling::{Effort, tell, tell_failure},
};
use crate::{
    bars,
    cli::SweepArgs,
    experiment,
    failure::{self, Failure, Often},
    plan::{self, Plan},
    registry::{self, Entry},
    shrinking::{self, Case},
};

/// How many failures are told in full, and shrunk.
const TOLD: usize = 10;

/// Sweeps, tells what the seeds did, shrinks what failed, and says whether all of them held.
pub fn sweep(arguments: &SweepArgs) -> Result<bool> {
    let protocol = registry::find(&arguments.protocol)?;
    let seeds = arguments.seeds.clone();
    let cases: Vec<Case<'_>> =
        seeds.map(|seed| case(arguments, &protocol, seed)).collect::<Result<_>>()?;
    cases.iter().try_for_each(|case| case.plan.check(&protocol))?;
    let jobs = arguments.jobs.unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build()?;
    let (began, worked_before) = (Instant::now(), processor_time()?);
    let bar = bars::counted(cases.len() as u64, "seeds, {msg}")?;
    bar.set_message("none failed");
    let results: Vec<SeedResult> = pool.install(|| {
        cases.par_iter().map(|case| try_seed(&case.plan, &protocol, arguments.once, &bar)).collect()
    });
    bar.finish_and_clear();
    let effort = Effort { took: began.elapsed(), worked: processor_time()? - worked_before };
    tell(arguments, &results, &effort);
    let failed: Vec<_> = results.iter().filter(|result| result.failure.is_some()).collect();
    failed.iter().take(TOLD).for_each(|failed| tell_failure(arguments, failed));
    if arguments.shrink.0 > 0 && !failed.is_empty() {
        let failures: Vec<(&Case<'_>, &Failure)> = cases
            .iter()
            .zip(&results)
            .filter_map(|(case, result)| Some((case, result.failure.as_ref()?)))
            .take(TOLD)
            .collect();
        let name = format!("sweep-{}", protocol.name);
        let directory = plan::directory(arguments.out.as_deref(), &name, &experiment::stamp())?;
        pool.install(|| shrinking::shrink_all(&failures, arguments.shrink.0, &directory))?;
    }
    Ok(failed.is_empty())
}

fn case<'a>(arguments: &SweepArgs, protocol: &'a Entry, seed: u64) -> Result<Case<'a>> {
    let schedule = plan::schedule(&arguments.schedule, seed, arguments.nodes)?;
    Case::new(protocol, schedule, seed, arguments.network, &arguments.tuning)
}

/// The processor time that this process has used, on all cores.
fn processor_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// What one seed showed.
struct SeedResult {
    seed: u64,
    nodes: usize,
    /// Why it does not hold.
    failure: Option<Failure>,
    counts: Counts,
}

fn try_seed(plan: &Plan, protocol: &Entry, once: bool, bar: &ProgressBar) -> SeedResult {
    let often = if once { Often::Once } else { Often::Twice };
    let (failure, counts) = match failure::simulate(plan, protocol, often) {
        Err(failure) => (Some(failure), Counts::default()),
        Ok(judged) => {
            let counts = Counts::of(plan, &judged);
            (failure::unexpected(plan, judged.failures), counts)
        }
    };
    bar.inc(1);
    if let Some(failure) = &failure {
        bar.set_message("some failed");
        bar.println(format!("seed {}: {failure}", plan.seed));
    }
    SeedResult { seed: plan.seed, nodes: plan.schedule.nodes.get(), failure, counts }
}
