//! `harness run`: one protocol under one schedule.

use std::path::Path;

use anyhow::{Result, anyhow};
use reports::{RunRecord, Summary};

use crate::{
    cli::{RunArgs, Target},
    experiment::{self, Origin},
    interrupt::Interrupts,
    plan::{self, Plan},
    registry::{self, Entry},
};

/// Runs, reports, and says whether everything held.
pub fn run(arguments: &RunArgs) -> Result<bool> {
    let protocol = registry::find(&arguments.protocol)?;
    let plan = Plan::new(&arguments.experiment)?.of(&protocol);
    plan.check(&protocol)?;
    let name = format!("{}-{}-{}", protocol.name, plan.schedule.name, plan.target);
    let asked = arguments.experiment.out.as_deref();
    let directory = plan::directory(asked, &name, &experiment::stamp())?;
    let interrupts = Interrupts::of(plan.target)?;
    let Carried { record, summary, failure } = execute(&plan, &protocol, &directory, &interrupts)?;
    let held = holds(&record, &summary);
    tell(&[record], &[summary], &directory);
    match failure {
        None => Ok(held),
        Some(failure) => Err(anyhow!("{failure}")),
    }
}

/// A plan that was carried out.
pub struct Carried {
    /// What was seen.
    pub record: RunRecord,
    /// The same in numbers.
    pub summary: Summary,
    /// What broke, if that is why it ended.
    pub failure: Option<String>,
}

/// Carries a plan out with one protocol, and leaves a run directory.
pub fn execute(
    plan: &Plan,
    protocol: &Entry,
    directory: &Path,
    interrupts: &Interrupts,
) -> Result<Carried> {
    let origin = Origin::now(command_line());
    let raw = match plan.target {
        Target::Sim => experiment::raw((protocol.simulate)(&experiment::simulation(plan)))?,
        Target::Local => experiment::local(plan, protocol, directory, interrupts)?,
        Target::Docker => experiment::docker(plan, protocol, directory, interrupts)?,
        Target::Kubernetes => experiment::kubernetes(plan, protocol, directory, interrupts)?,
    };
    let failure = raw.failure.clone();
    let record = experiment::assemble(plan, protocol, origin, raw)?;
    let saved = reports::save(&record, directory);
    let summary = saved.map_err(|error| match plan::check_writable(directory) {
        Err(why) => anyhow!("{why}: the report could not be written"),
        Ok(()) => error.into(),
    })?;
    Ok(Carried { record, summary, failure })
}

/// Whether a run held everything that was expected of it.
pub fn holds(record: &RunRecord, summary: &Summary) -> bool {
    record.unexpected().next().is_none() && summary.expectations_held && !summary.partial
}

/// Ends a command: a short table, what did not hold, and where the report is.
pub fn tell(records: &[RunRecord], summaries: &[Summary], directory: &Path) {
    println!("\n{}", reports::summary_table(summaries));
    for record in records {
        let name = &record.metadata.protocol;
        for (rule, verdict) in record.verdicts.named().iter().filter(|(_, v)| !v.is_ok()) {
            println!("{name}: {rule}: {verdict}");
        }
        for remark in &record.remarks {
            println!("{name}: {remark}");
        }
        for expectation in record.expectations.iter().filter(|expectation| !expectation.held) {
            println!("{name}: expected '{}': {}", expectation.name, expectation.detail);
        }
        if record.metadata.partial {
            println!("{name}: the run was ended before its schedule: what is reported is partial");
        }
    }
    println!("report: {}", directory.join("report.html").display());
}

/// The command that repeats this process, as a person would type it.
pub fn command_line() -> String {
    plan::typed(std::env::args().skip(1))
}
