//! From what a search found to schedules that a person reads: seen again under other seeds, shrunk, and
//! written with what was seen.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};
use faults::{Schedule, shrink};
use indicatif::ProgressBar;
use rayon::prelude::*;

use super::{
    outage::{Outages, Pair},
    search::Member,
    start,
};
use crate::plan::typed;

/// How many schedules are seen again for each that is written.
const CANDIDATES: usize = 3;

/// What a smaller schedule must keep of the difference.
const KEEPS: f64 = 0.8;

/// A smaller difference than this is none, in milliseconds: it is less than an election.
const NOTHING_MS: f64 = 50.0;

/// What is made of the schedules that a search found.
pub struct Choice {
    /// How many schedules of each direction are written, at most.
    pub best: usize,
    /// How many smaller schedules are tried for each of them.
    pub tries: usize,
    /// Seeds that the search never used, by which schedules are chosen and shrunk.
    pub choosing: Vec<u64>,
    /// Seeds that neither used, under which they are told.
    pub telling: Vec<u64>,
}

/// A schedule under which one protocol is worse than the other.
pub struct Finding {
    /// Which one is worse.
    pub worse: usize,
    /// Its file's stem.
    pub name: String,
    /// The schedule.
    pub schedule: Schedule,
    /// What clients saw under the seeds that are told.
    pub outages: Outages,
}

/// The best few of one direction. Two that do the same things in another order count as one.
pub fn choose(
    pair: &Pair<'_>,
    worse: usize,
    members: &[Member],
    choice: &Choice,
    bar: &ProgressBar,
) -> Vec<Finding> {
    let candidates = &members[..members.len().min(CANDIDATES * choice.best)];
    let mut seen: Vec<(f64, &Schedule)> = candidates
        .par_iter()
        .filter_map(|Member { schedule, .. }| {
            let outages = pair.outages(schedule, &choice.choosing).ok()?;
            Some((outages.difference_ms(worse), schedule))
        })
        .collect();
    seen.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut ideas = BTreeSet::new();
    seen.retain(|(difference, schedule)| *difference > NOTHING_MS && ideas.insert(idea(schedule)));
    seen.truncate(choice.best);
    let findings: Vec<_> = seen
        .par_iter()
        .filter_map(|&(difference, schedule)| {
            let small = shrunk(pair, worse, schedule, difference, choice, bar);
            let outages = pair.outages(&small, &choice.telling).ok()?;
            Some((small, outages))
        })
        .collect();
    let name = pair.protocols[worse].name;
    // Shrinking may have made one of two.
    let mut ideas = BTreeSet::new();
    let kept = findings.into_iter().filter(|(schedule, outages)| {
        outages.difference_ms(worse) > NOTHING_MS && ideas.insert(idea(schedule))
    });
    kept.zip(1..)
        .map(|((schedule, outages), number)| Finding {
            worse,
            name: format!("{name}-worse-{number}"),
            schedule: Schedule { name: format!("{name}-worse-{number}"), ..schedule },
            outages,
        })
        .collect()
}

/// What a schedule is about: which kinds of steps it has.
fn idea(schedule: &Schedule) -> Vec<String> {
    let mut kinds: Vec<_> =
        schedule.steps.iter().map(|step| step.fault.kind().to_string()).collect();
    kinds.sort_unstable();
    kinds
}

fn shrunk(
    pair: &Pair<'_>,
    worse: usize,
    schedule: &Schedule,
    difference_ms: f64,
    choice: &Choice,
    bar: &ProgressBar,
) -> Schedule {
    let differs = |smaller: &Schedule| {
        bar.inc(1);
        // A load that thins out makes gaps of its own.
        smaller.load == schedule.load
            && smaller.nodes == schedule.nodes
            && start::fits(smaller)
            && pair
                .outages(smaller, &choice.choosing)
                .is_ok_and(|outages| outages.difference_ms(worse) >= KEEPS * difference_ms)
    };
    let shrunk = shrink(schedule, choice.tries, differs);
    shrunk.map_or_else(|| schedule.clone(), |shrunk| shrunk.schedule)
}

/// Writes each finding as a schedule, and all of them as a table.
pub fn write(
    pair: &Pair<'_>,
    findings: &[Finding],
    telling: &[u64],
    origin: &str,
    directory: &Path,
) -> Result<String> {
    for finding in findings {
        let path = directory.join(format!("{}.toml", finding.name));
        let text = format!(
            "{}\n{}",
            header(pair, finding, telling, &path),
            finding.schedule.to_short_toml()
        );
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let table = table(pair, findings, telling, origin, directory);
    let path = directory.join("hunt.md");
    fs::write(&path, &table).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(table)
}

/// The command that compares both under a schedule, as it was told.
fn compare(pair: &Pair<'_>, telling: &[u64], file: &Path) -> String {
    let names = pair.protocols.map(|protocol| protocol.name).join(",");
    let first = telling.first().copied().unwrap_or_default();
    let words = [
        "compare",
        "--protocols",
        &names,
        "--target",
        "sim",
        "--network",
        pair.network.name(),
        "--seed",
        &first.to_string(),
        "--runs",
        &telling.len().to_string(),
        "--schedule",
        &file.display().to_string(),
    ]
    .map(str::to_owned);
    let more = pair.tuning.arguments_beside(&crate::tuning::Tuning::default());
    typed(words.into_iter().chain(more))
}

fn header(pair: &Pair<'_>, finding: &Finding, telling: &[u64], file: &Path) -> String {
    let Finding { worse, outages, .. } = finding;
    let [one, other] = [*worse, 1 - *worse].map(|side| pair.protocols[side].title);
    format!(
        "# The longest outage that clients saw, median of {} seeds: {one} {:.0} ms, {other} {:.0} ms.\n# {one} \
         was worse under {} of them, in the median by {:.0} ms. Found by `harness hunt`.\n# To compare \
         them:\n#   {}\n",
        outages.0.len(),
        outages.median_ms(*worse),
        outages.median_ms(1 - *worse),
        outages.times_worse(*worse),
        outages.difference_ms(*worse),
        compare(pair, telling, file),
    )
}

fn table(
    pair: &Pair<'_>,
    findings: &[Finding],
    telling: &[u64],
    origin: &str,
    directory: &Path,
) -> String {
    let [one, other] = pair.protocols.map(|protocol| protocol.title);
    let mut text = format!(
        "| schedule | its steps | longest outage, {one}, ms | {other}, ms | difference, ms | worse under |\n\
         |---|---|---|---|---|---|\n"
    );
    for Finding { worse, name, schedule, outages } in findings {
        let steps: Vec<_> =
            schedule.steps.iter().map(|step| step.fault.kind().to_string()).collect();
        text.push_str(&format!(
            "| [{name}]({name}.toml) | {} | {:.0} | {:.0} | {:.0} | {} of {} seeds |\n",
            steps.join(", "),
            outages.median_ms(0),
            outages.median_ms(1),
            outages.difference_ms(*worse),
            outages.times_worse(*worse),
            outages.0.len(),
        ));
    }
    text.push_str(&format!(
        "\nMedians over {} seeds that the search never used; the difference is the median of the paired \
         ones. Found by\n\n    {origin}\n\nTo compare both under one of them:\n\n    {}\n",
        telling.len(),
        compare(pair, telling, &directory.join("NAME.toml")),
    ));
    text
}
