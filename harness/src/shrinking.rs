//! From a seed that fails to a small schedule that fails in the same way, in a file.

use std::{fmt, fs, path::Path};

use anyhow::{Context as _, Result};
use faults::{Schedule, Shrunk, shrink};
use rayon::prelude::*;
use simulator::Preset;

use crate::{
    bars, experiment,
    failure::{self, Failure, Often},
    plan::{Plan, typed},
    registry::Entry,
    tuning::Tuning,
};

/// A simulated run with everything that it was made from.
#[derive(Clone)]
pub struct Case<'a> {
    /// Of which protocol.
    pub protocol: &'a Entry,
    /// The schedule as it was written: not made longer for a slow network.
    schedule: Schedule,
    seed: u64,
    /// The simulated network, if one was named.
    network: Option<Preset>,
    /// The parameters as they were given: the schedule's own settings come on top.
    tuning: Tuning,
    /// The run that all this makes.
    pub plan: Plan,
}

impl<'a> Case<'a> {
    /// The run of this schedule under this seed.
    pub fn new(
        protocol: &'a Entry,
        schedule: Schedule,
        seed: u64,
        network: Option<Preset>,
        tuning: &Tuning,
    ) -> Result<Self> {
        let plan = Plan::simulated(schedule.clone(), seed, network.unwrap_or_default(), tuning)?;
        let plan = plan.of(protocol);
        Ok(Self { protocol, schedule, seed, network, tuning: tuning.clone(), plan })
    }

    /// The same run, with what its seed draws beside the schedule written down in it.
    fn written_out(&self) -> Result<Self> {
        let name = self.schedule.name.trim_end_matches("-shrunk");
        let schedule = Schedule {
            name: format!("{name}-shrunk"),
            description: format!("what it takes of {name} to fail"),
            simulation: experiment::simulation(&self.plan).simulation(),
            ..self.schedule.clone()
        };
        let Tuning { options, pre_vote, check_quorum, .. } = self.plan.tuning.clone();
        let tuning = Tuning { options, pre_vote, check_quorum, ..self.tuning.clone() };
        Self::new(self.protocol, schedule, self.seed, self.network, &tuning)
    }

    fn with(&self, schedule: &Schedule) -> Result<Self> {
        Self::new(self.protocol, schedule.clone(), self.seed, self.network, &self.tuning)
    }

    fn fails(&self, failure: &Failure) -> bool {
        let often = if *failure == Failure::OtherTrace { Often::Twice } else { Often::Once };
        self.plan.check(self.protocol).is_ok()
            && match failure::simulate(&self.plan, self.protocol, often) {
                Err(found) => found.is_like(failure),
                Ok(judged) => judged.failures.iter().any(|found| found.is_like(failure)),
            }
    }

    /// The command that repeats this run from a file.
    fn command(&self, failure: &Failure, file: &Path) -> String {
        let Self { protocol, schedule, seed, network, .. } = self;
        let mut words: Vec<String> = match failure.is_verdict() {
            true => vec!["run".into(), "--target".into(), "sim".into()],
            false => vec!["sweep".into(), "--shrink".into(), "no".into()],
        };
        let mut say = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
        say("--protocol", protocol.name.to_owned());
        say("--schedule", file.display().to_string());
        match failure.is_verdict() {
            true => say("--seed", seed.to_string()),
            false => say("--seeds", format!("{seed}..{}", seed.wrapping_add(1))),
        }
        if let Some(network) = network {
            say("--network", network.to_string());
        }
        let usual = Tuning::default().under(&schedule.settings);
        words.extend(self.tuning.under(&schedule.settings).arguments_beside(&usual));
        typed(words)
    }

    /// How large the run is.
    fn size(&self) -> Size {
        let judged = failure::simulate(&self.plan, self.protocol, Often::Once);
        Size {
            steps: self.schedule.steps.len(),
            trials: self.schedule.trial_count(),
            nodes: self.schedule.nodes.get(),
            operations: judged.ok().map(|judged| judged.raw.operations.len()),
        }
    }
}

/// How large a run is.
struct Size {
    steps: usize,
    trials: u32,
    nodes: usize,
    /// `None` if it left nothing to count.
    operations: Option<usize>,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, trials, nodes, operations } = self;
        write!(f, "{steps} steps, {trials} trials, {nodes} replicas")?;
        operations.map_or(Ok(()), |operations| write!(f, ", {operations} operations"))
    }
}

/// Shrinks each of these runs, which fail in these ways, with so many tries at most; writes what is
/// left into a folder, and tells.
pub fn shrink_all(
    failures: &[(&Case<'_>, &Failure)],
    tries: usize,
    directory: &Path,
) -> Result<()> {
    let bar = bars::counted((failures.len() * tries) as u64, "smaller schedules tried, {msg}")?;
    let told: Vec<String> = failures
        .par_iter()
        .map(|(case, failure)| {
            let progress = |tried: &Schedule, fails: bool| {
                bar.inc(1);
                let (seed, steps, trials) = (case.seed, tried.steps.len(), tried.trial_count());
                if fails {
                    bar.set_message(format!("seed {seed}: {steps} steps, {trials} trials left"));
                }
            };
            shrink_one(case, failure, tries, directory, progress)
        })
        .collect::<Result<_>>()?;
    bar.finish_and_clear();
    told.iter().for_each(|told| println!("{told}"));
    Ok(())
}

fn shrink_one(
    case: &Case<'_>,
    failure: &Failure,
    tries: usize,
    directory: &Path,
    progress: impl Fn(&Schedule, bool),
) -> Result<String> {
    let whole = case.written_out()?;
    let fails = |schedule: &Schedule| {
        let fails = whole.with(schedule).is_ok_and(|smaller| smaller.fails(failure));
        progress(schedule, fails);
        fails
    };
    let shrunk = shrink(&whole.schedule, tries, fails)
        .context("what failed does not fail a second time: the run depends on something else")?;
    let left = whole.with(&shrunk.schedule)?;
    let file = directory.join(format!("seed-{}.toml", case.seed));
    let command = left.command(failure, &file);
    let text = format!(
        "{}\n{}",
        header(case, failure, &shrunk, &command),
        shrunk.schedule.to_short_toml()
    );
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(format!(
        "seed {}, shrunk in {} tries{}\n  from {}\n  to   {}\n  it is in {}; to see it fail:\n    {command}",
        case.seed,
        shrunk.tries,
        if shrunk.complete { "" } else { ", which is all it was given" },
        case.size(),
        left.size(),
        file.display(),
    ))
}

/// What stands above a shrunk schedule.
fn header(case: &Case<'_>, failure: &Failure, shrunk: &Shrunk, command: &str) -> String {
    let end = match shrunk.complete {
        true => "nothing of it can be left out or made smaller",
        false => "it may become smaller still, with more tries",
    };
    let (protocol, seed) = (case.protocol.title, case.seed);
    let failure = failure.to_string().replace('\n', " ");
    format!(
        "# Under this schedule {protocol} fails with seed {seed}:\n#   {failure}\n# Cut down from {} in {} \
         tries: {end}.\n# To see it fail:\n#   {command}\n",
        case.schedule.name, shrunk.tries
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plan, registry};

    #[test]
    fn what_a_seed_draws_beside_its_schedule_is_written_out_and_gives_the_same_run() {
        let protocol = registry::find("multipaxos").unwrap();
        let given =
            Tuning { election_timeout: None, heartbeat_interval: None, ..Tuning::default() };
        let mut told = Vec::new();
        for seed in 0..5 {
            let schedule = plan::schedule("swarm", seed, None).unwrap();
            let case = Case::new(&protocol, schedule, seed, None, &given).unwrap();
            let written = case.written_out().unwrap();
            let run = |case: &Case<'_>| (protocol.simulate)(&experiment::simulation(&case.plan));
            assert_eq!(run(&case).trace_digest, run(&written).trace_digest, "seed {seed}");
            told.push(written.command(&Failure::Disagreement, Path::new("seed.toml")));
        }
        let swept =
            "harness sweep --shrink no --protocol multipaxos --schedule seed.toml --seeds 0..1";
        assert!(told[0].starts_with(swept), "{}", told[0]);
        assert!(told.iter().any(|command| command.contains("--option ")), "{told:?}");
    }
}
