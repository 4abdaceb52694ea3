//! `harness shrink`: a schedule under which a simulated run fails, cut down to what it takes.

use anyhow::Result;
use checker::Evidence;

use crate::{
    cli::ShrinkArgs,
    experiment,
    failure::{self, Failure, Often},
    plan, registry,
    shrinking::{Case, shrink_all},
    usage::usage,
};

/// Shrinks one schedule, and says whether there was anything to shrink.
pub fn shrink(arguments: &ShrinkArgs) -> Result<bool> {
    let protocol = registry::find(&arguments.protocol)?;
    let schedule = plan::schedule(&arguments.schedule, arguments.seed, arguments.nodes)?;
    let case =
        Case::new(&protocol, schedule, arguments.seed, arguments.network, &arguments.tuning)?;
    case.plan.check(&protocol)?;
    if arguments.tries == 0 {
        return Err(usage("a schedule is shrunk by trying smaller ones: --tries is at least one"));
    }
    let known = checker::check(&Evidence::default()).named().map(|(name, _)| name);
    if let Some(unknown) = arguments.verdict.as_deref().filter(|asked| !known.contains(asked)) {
        let known = known.join(", ");
        return Err(usage(format!("there is no verdict '{unknown}'; there are: {known}")));
    }
    let failures = match failure::simulate(&case.plan, &protocol, Often::Twice) {
        Err(failure) => vec![failure],
        Ok(judged) => judged.failures,
    };
    let is_asked = |failure: &&Failure| match (&arguments.verdict, failure) {
        (None, _) => true,
        (Some(asked), Failure::Rule { name, .. }) => asked == name,
        (Some(_), _) => false,
    };
    let name = &case.plan.schedule.name;
    let Some(failure) = failures.iter().find(is_asked) else {
        let what = arguments.verdict.as_deref().unwrap_or("everything");
        println!("{}: {what} holds under {name} with seed {}", protocol.name, arguments.seed);
        return Ok(false);
    };
    eprintln!("{} under {name}, seed {}: {failure}", protocol.name, arguments.seed);
    let name = format!("shrink-{}-{name}", protocol.name);
    let directory = plan::directory(arguments.out.as_deref(), &name, &experiment::stamp())?;
    shrink_all(&[(&case, failure)], arguments.tries, &directory)?;
    Ok(true)
}
