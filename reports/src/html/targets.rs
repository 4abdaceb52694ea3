//! The report of runs on several targets: all numbers in one table, the charts of each target apart.

use super::{
    comparison::{contradictions, differences, expectations_held, measurable, name, verdicts},
    definitions, escape, likeness, numbers,
    page::{figures, folded, folded_part, page, paragraph, section},
    tables,
};
use crate::{
    analysis::{self, Group},
    error::ReportError,
    plots,
    record::{Clock, RunRecord},
    statistics::median,
    summary::Summary,
    table::number,
};

/// A number of a run, in milliseconds.
type Metric = fn(&Summary) -> Option<f64>;

/// What is told of each side: what it is called, whether the simulator foretells it, and what it is.
const METRICS: [(&str, bool, Metric); 4] = [
    ("election time p50", true, |run| run.election_ms?.p50),
    ("client-visible outage p50", true, |run| run.outage_ms?.p50),
    ("longest gap", false, |run| run.availability?.longest_gap_ms),
    ("commit latency p50", true, |run| run.commit_latency_ms?.client.p50),
];

pub(super) fn render(targets: &[Vec<&RunRecord>]) -> Result<String, ReportError> {
    let all: Vec<&RunRecord> = targets.iter().flatten().copied().collect();
    let sides: Vec<Vec<Group<'_>>> = targets.iter().map(|runs| analysis::grouped(runs)).collect();
    let mut body = header(targets, &all) + &likeness::schedules(&all);
    body.push_str(&section("Side by side", &overview(&sides)));
    for (runs, groups) in targets.iter().zip(sides) {
        body.push_str(&on_target(runs, groups)?);
    }
    body.push_str(&section("What was measured, and how", &definitions::definitions()));
    let environments = all.iter().map(|record| {
        let heading = format!("{} on {}", record.metadata.name(), record.metadata.target);
        let schedule = folded("Resolved schedule", &record.schedule_text);
        folded_part(&heading, &(tables::environment(record) + &schedule))
    });
    let environments: String = environments.collect();
    body.push_str(&section("Environment, and how to run this again", &environments));
    let names: Vec<&str> = targets.iter().map(|runs| runs[0].metadata.target.as_str()).collect();
    Ok(page(&format!("{} on {}", all[0].metadata.schedule, names.join(", ")), &body))
}

fn header(targets: &[Vec<&RunRecord>], all: &[&RunRecord]) -> String {
    let meta = &all[0].metadata;
    format!(
        "<header>\n<p class=\"kicker\">One schedule on several targets</p>\n<h1>{}</h1>\n\
         <p class=\"facts\">{} runs of {} replicas on {} targets, {}</p>\n</header>\n",
        escape(&meta.schedule),
        all.len(),
        meta.nodes,
        targets.len(),
        escape(&meta.started_at),
    )
}

/// A row for each side of each target, with what the simulator foretold of it if there is a simulation.
fn overview(targets: &[Vec<Group<'_>>]) -> String {
    let summaries = |group: &Group<'_>| -> Vec<Summary> {
        let sound = group.runs.iter().filter(|run| run.record.may_be_measured());
        sound.map(|run| Summary::of(run.record)).collect()
    };
    let is_simulated = |group: &&Group<'_>| group.shown().record.metadata.clock == Clock::Virtual;
    let simulated: Vec<(&str, Vec<Summary>)> = targets
        .iter()
        .flatten()
        .filter(is_simulated)
        .map(|group| (group.shown().record.metadata.protocol.as_str(), summaries(group)))
        .collect();
    let mut head =
        vec!["target".to_owned(), String::new(), "runs".to_owned(), "verdict".to_owned()];
    head.push("expectations held".to_owned());
    for (metric, foretold, _) in METRICS {
        let foretold = foretold && !simulated.is_empty();
        let words = if foretold { " <small>(foretold)</small>" } else { "" };
        head.push(format!("{metric}{words}"));
    }
    let rows = targets.iter().flatten().map(|group| {
        let meta = &group.shown().record.metadata;
        let worst = group.runs.iter().map(|run| run.record.standing()).max().unwrap_or_default();
        let mut row = vec![
            format!("{} <small>({})</small>", escape(&meta.target), meta.clock),
            name(group),
            group.runs.len().to_string(),
            format!("<span class=\"{}-word\">{worst}</span>", worst.class()),
            expectations_held(&group.runs),
        ];
        let own = summaries(group);
        let forecast = simulated.iter().find(|(protocol, _)| *protocol == meta.protocol);
        let forecast = forecast.filter(|_| meta.clock == Clock::Wall);
        row.extend(METRICS.iter().map(|&(_, foretold, of)| {
            let middle = |runs: &[Summary]| median(&runs.iter().filter_map(of).collect::<Vec<_>>());
            let measured = number(middle(&own), "ms");
            match forecast.filter(|_| foretold) {
                Some((_, runs)) => {
                    format!("{measured} <small>({})</small>", number(middle(runs), "ms"))
                }
                None => measured,
            }
        }));
        row
    });
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let table = tables::table(&head, &rows.collect::<Vec<_>>());
    let words = "Each number is the median over a side's runs. What differs between targets is the targets' own \
        as well: disks, networks, and how much of the machine a replica gets.";
    let foretold = "In parentheses: what the simulator foretold for this schedule, with its own network \
        and disks as the environment of its runs says; harness replay simulates one run on links and disks \
        as slow as that run measured them.";
    table
        + &paragraph(words)
        + &if simulated.is_empty() { String::new() } else { paragraph(foretold) }
}

/// What was measured on one target.
fn on_target(runs: &[&RunRecord], groups: Vec<Group<'_>>) -> Result<String, ReportError> {
    let broken = runs.iter().filter(|record| !record.may_be_measured());
    let broken = broken.map(|record| contradictions(record)).collect::<Result<String, _>>()?;
    let mut body = verdicts(&groups) + &likeness::warnings(runs, &groups);
    let measured: Vec<Group<'_>> = groups.into_iter().filter_map(measurable).collect();
    if !measured.is_empty() {
        body.push_str(&differences(&measured));
        body.push_str(&figures(&plots::of_comparison(runs)?));
        body.push_str(&folded_part("Numbers", &numbers::of_sides(&measured)));
    }
    let meta = &runs[0].metadata;
    Ok(section(&format!("On {}, in {}", meta.target, meta.clock), &body) + &broken)
}
