//! What a sweep says at its end.

use std::time::Duration;

use faults::Kind;

use super::{SeedResult, counts::Counts};
use crate::cli::SweepArgs;

/// What a sweep cost.
pub struct Effort {
    /// By the clock on the wall.
    pub took: Duration,
    /// On all cores together.
    pub worked: Duration,
}

/// Tells what the seeds did.
pub fn tell(arguments: &SweepArgs, results: &[SeedResult], effort: &Effort) {
    let mut sum = Counts::default();
    results.iter().for_each(|result| sum += &result.counts);
    let seconds = effort.took.as_secs_f64().max(1e-9);
    let runs = if arguments.once { 1.0 } else { 2.0 };
    let simulated = sum.simulated.as_secs_f64() * runs;
    println!(
        "{}: {} seeds in {seconds:.1} s ({:.0} a minute{}), {simulated:.0} s simulated, {:.0} times as fast \
         as time; {:.0} s in each second of a core, judging included",
        arguments.protocol,
        results.len(),
        results.len() as f64 * 60.0 / seconds,
        if arguments.once { "" } else { ", each run twice and its traces compared" },
        simulated / seconds,
        simulated / effort.worked.as_secs_f64().max(1e-9),
    );
    let fired: Vec<_> = Kind::ALL
        .iter()
        .map(|kind| format!("{kind} {}", sum.fired.get(kind).copied().unwrap_or_default()))
        .collect();
    println!("faults that struck: {}", fired.join(", "));
    println!(
        "leader faults in {} seeds; another replica then led in {} of them ({:.0} %); {} elections",
        sum.leader_faults,
        sum.leader_changes,
        percent(sum.leader_changes, sum.leader_faults),
        sum.elections,
    );
    println!(
        "client operations: {}, of which {} ({:.0} %) overlapped a fault and {} stayed unknown; {} damaged messages noticed",
        sum.operations,
        sum.overlapping,
        percent(sum.overlapping, sum.operations),
        sum.unknown,
        sum.damaged,
    );
    sum.features.tell();
    let judged: Vec<_> = sum
        .unproved
        .iter()
        .map(|(rule, unproved)| format!("{rule} {}", results.len() as u64 - unproved))
        .collect();
    println!("seeds that could be judged: {}", judged.join(", "));
    match results.iter().filter(|result| result.failure.is_some()).count() {
        0 => println!("no violation"),
        count => println!("{count} of {} seeds do not hold:", results.len()),
    }
}

/// Tells of one failure, and how to see it again as it was drawn.
pub fn tell_failure(arguments: &SweepArgs, failed: &SeedResult) {
    let failure = failed.failure.as_ref().map(ToString::to_string).unwrap_or_default();
    println!("  seed {}: {failure}", failed.seed);
    let network =
        arguments.network.map(|network| format!(" --network {network}")).unwrap_or_default();
    println!(
        "    harness run --protocol {} --target sim --schedule {} --nodes {} --seed {}{network}",
        arguments.protocol, arguments.schedule, failed.nodes, failed.seed
    );
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}
