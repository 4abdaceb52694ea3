//! The report of several runs on one target, side by side.

use super::{
    counterexample, definitions, escape, likeness, numbers,
    page::{figures, folded, folded_part, page, paragraph, section},
    tables,
};
use crate::{
    analysis::{self, Group},
    error::ReportError,
    latency::{self, Kind},
    plots,
    record::RunRecord,
    statistics::{Comparison, Equivalence, Interval, Unit, compare},
    summary::{election_times_ms, outages_ms},
    table::{number, signed, significant},
    verdicts::Standing,
};

/// The most runs that are shown one by one.
const FEW: usize = 4;

pub(super) fn render(records: &[&RunRecord]) -> Result<String, ReportError> {
    let [first, .., _] = records else { return Err(ReportError::TooFewRuns(records.len())) };
    let (sound, broken): (Vec<&RunRecord>, Vec<&RunRecord>) =
        records.iter().partition(|record| record.may_be_measured());
    let all = analysis::grouped(records);
    let plots = plots::of_comparison(records)?;
    let names: Vec<String> = all.iter().map(|group| group.label.clone()).collect();
    let title = names.join(" and ");

    let mut body =
        header(&title, first, records) + &likeness::warnings(records, &all) + &verdicts(&all);
    for record in broken {
        body.push_str(&contradictions(record)?);
    }
    if !sound.is_empty() {
        let measured: Vec<Group<'_>> = all.into_iter().filter_map(measurable).collect();
        body.push_str(&section("Differences", &differences(&measured)));
        body.push_str(&section("Plots, on the same axes", &figures(&plots)));
        body.push_str(&section("Numbers", &numbers::of_sides(&measured)));
        body.push_str(&section("Trials", &measured.iter().map(trials).collect::<String>()));
    }
    body.push_str(&section("Parity of the parameters", &parity(&analysis::grouped(records))));
    body.push_str(&section("What was measured, and how", &definitions::definitions()));
    let environments: String = records
        .iter()
        .map(|record| {
            let heading = format!("{}, seed {}", record.metadata.name(), record.metadata.seed);
            let environment =
                tables::environment(record) + &folded("Resolved schedule", &record.schedule_text);
            match records.len() {
                0..=FEW => tables::under(&escape(&heading), &environment),
                _ => folded_part(&heading, &environment),
            }
        })
        .collect();
    body.push_str(&section("Environment, and how to run this again", &environments));
    Ok(page(&format!("{title} compared"), &body))
}

/// What contradicts what in a run whose verdict is violated.
pub(super) fn contradictions(record: &RunRecord) -> Result<String, ReportError> {
    let meta = &record.metadata;
    let heading = format!("{}, seed {}: what contradicts what", meta.name(), meta.seed);
    let timeline = figures(&plots::of_run(record)?);
    Ok(section(&heading, &(counterexample::all(record) + &timeline)))
}

/// A group without the runs whose verdict is violated; nothing if none is left.
pub(super) fn measurable(mut group: Group<'_>) -> Option<Group<'_>> {
    group.runs.retain(|run| run.record.may_be_measured());
    (!group.runs.is_empty()).then_some(group)
}

/// The trials of each run of a side; of many runs, folded away.
fn trials(group: &Group<'_>) -> String {
    let of_run = |run: &analysis::Analysis<'_>| {
        let heading = format!("{}, seed {}", group.label, run.record.metadata.seed);
        let trials =
            tables::trials_left_out(&run.trials) + &tables::trials(run.record, &run.trials);
        match group.runs.len() {
            1 => tables::under(&escape(&heading), &trials),
            _ => folded_part(&heading, &trials),
        }
    };
    group.runs.iter().map(of_run).collect()
}

fn header(title: &str, first: &RunRecord, records: &[&RunRecord]) -> String {
    let meta = &first.metadata;
    format!(
        "<header>\n<p class=\"kicker\">Comparison</p>\n<h1>{}, under {}</h1>\n\
         <p class=\"facts\">{} runs of {} replicas on {} ({}), {}</p>\n</header>\n",
        escape(title),
        escape(&meta.schedule),
        records.len(),
        meta.nodes,
        escape(&meta.target),
        meta.clock,
        escape(&meta.started_at),
    )
}

/// A side's name with its colour, as HTML.
pub(super) fn name(group: &Group<'_>) -> String {
    let (number, label) = (group.number % 6, escape(&group.label));
    format!("<span class=\"name\"><span class=\"side side-{number}\"></span>{label}</span>")
}

/// A row of verdicts for each run; of many runs, for each side.
pub(super) fn verdicts(groups: &[Group<'_>]) -> String {
    let runs: usize = groups.iter().map(|group| group.runs.len()).sum();
    let mut rows = Vec::new();
    for group in groups {
        match runs {
            0..=FEW => rows.extend(group.runs.iter().map(|run| verdict_row(group, &[run]))),
            _ => rows.push(verdict_row(group, &group.runs.iter().collect::<Vec<_>>())),
        }
    }
    let named = groups.iter().flat_map(|group| &group.runs).next();
    let rules =
        named.map(|run| run.record.verdicts.named().map(|(name, _)| name.replace('-', " ")));
    let rules = rules.into_iter().flatten();
    let ends = ["", "seeds", "expectations held"].map(str::to_owned);
    let [empty, seeds, held] = ends;
    let head: Vec<String> = [empty, seeds].into_iter().chain(rules).chain([held]).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let worst = groups.iter().flat_map(|group| &group.runs).map(|run| run.record.standing()).max();
    let words = match worst {
        Some(Standing::Violated) => {
            "A rule was broken: that run gives no figures and enters no plot."
        }
        Some(Standing::Undecided) => "Not every rule could be decided.",
        _ => "All rules held in all runs.",
    };
    let class = worst.unwrap_or(Standing::Ok).class();
    format!("<div class=\"banner {class}\"><strong>{words}</strong></div>\n")
        + &tables::table(&head, &rows)
}

/// How each rule stands at worst over these runs of a side.
fn verdict_row(group: &Group<'_>, runs: &[&analysis::Analysis<'_>]) -> Vec<String> {
    let mut seeds: Vec<u64> = runs.iter().map(|run| run.record.metadata.seed).collect();
    seeds.sort_unstable();
    let seeds = match seeds.as_slice() {
        few if few.len() <= FEW => likeness::listed(few),
        [first, .., last] if last - first + 1 == seeds.len() as u64 => format!("{first} to {last}"),
        [first, .., last] => format!("{} between {first} and {last}", seeds.len()),
        _ => String::new(),
    };
    let mut row = vec![name(group), seeds];
    let rules = runs[0].record.verdicts.named().len();
    row.extend((0..rules).map(|rule| {
        let standing =
            |run: &&analysis::Analysis<'_>| Standing::from(run.record.verdicts.named()[rule].1);
        let word = runs.iter().map(standing).max().unwrap_or(Standing::Ok);
        let count = runs.iter().filter(|run| standing(run) == word).count();
        let share = match count == runs.len() {
            true => String::new(),
            false => format!(" <small>in {count} of {}</small>", runs.len()),
        };
        format!("<span class=\"{}-word\">{word}</span>{share}", word.class())
    }));
    row.push(expectations_held(runs.iter().copied()));
    row
}

/// How many of the expectations of these runs held.
pub(super) fn expectations_held<'a>(
    runs: impl IntoIterator<Item = &'a analysis::Analysis<'a>>,
) -> String {
    let all: Vec<_> = runs.into_iter().flat_map(|run| &run.record.expectations).collect();
    let held = all.iter().filter(|expectation| expectation.held).count();
    format!("{held} of {}", all.len())
}

/// The metrics that are compared, each with the samples of one run in ascending order.
type Metric = (&'static str, f64, fn(&analysis::Analysis<'_>) -> Vec<f64>);

const METRICS: [Metric; 7] = [
    ("client-visible outage, p50", 0.5, |run| outages_ms(&run.trials)),
    ("election time, p50", 0.5, |run| election_times_ms(&run.trials)),
    ("election time, p95", 0.95, |run| election_times_ms(&run.trials)),
    ("commit latency at the client, p50", 0.5, client_latency),
    ("commit latency at the client, p95", 0.95, client_latency),
    ("commit latency at the client, p99", 0.99, client_latency),
    ("commit latency in the leader, p50", 0.5, |run| {
        crate::statistics::sorted(run.commits.iter().map(latency::Commit::latency_ms))
    }),
];

fn client_latency(run: &analysis::Analysis<'_>) -> Vec<f64> {
    latency::latencies_ms(&run.answered, Kind::Write)
}

/// The first side against each other side.
pub(super) fn differences(groups: &[Group<'_>]) -> String {
    let Some((first, others)) = groups.split_first() else { return String::new() };
    let mut html = String::new();
    for other in others {
        let compared: Vec<(&str, Comparison)> = METRICS
            .iter()
            .filter_map(|&(metric, p, of)| Some((metric, compared(first, other, p, of)?)))
            .collect();
        if compared.is_empty() {
            continue;
        }
        let (a, b) = (name(first), name(other));
        let head = [
            "milliseconds",
            &a,
            &b,
            "difference <small>(95 %)</small>",
            "ratio <small>(95 %)</small>",
            "p\u{2011}value",
            "Cliff's δ",
            "claim",
        ];
        let rows: Vec<Vec<String>> =
            compared.iter().map(|(metric, comparison)| row(metric, comparison)).collect();
        html.push_str(&tables::table(&head, &rows));
        html.push_str(&unit(compared[0].1));
    }
    html
}

fn compared(
    first: &Group<'_>,
    second: &Group<'_>,
    p: f64,
    of: fn(&analysis::Analysis<'_>) -> Vec<f64>,
) -> Option<Comparison> {
    let samples = |group: &Group<'_>| -> Vec<(u64, Vec<f64>)> {
        group.runs.iter().map(|run| (run.record.metadata.seed, of(run))).collect()
    };
    let (first, second) = (samples(first), samples(second));
    fn borrowed(runs: &[(u64, Vec<f64>)]) -> Vec<(u64, &[f64])> {
        runs.iter().map(|(seed, samples)| (*seed, samples.as_slice())).collect()
    }
    compare(&borrowed(&first), &borrowed(&second), p)
}

fn row(metric: &str, comparison: &Comparison) -> Vec<String> {
    let interval = |interval: Option<Interval>| {
        interval.map_or_else(String::new, |Interval { low, high }| {
            format!(" <small>({} to {})</small>", significant(low), significant(high))
        })
    };
    let claim = match comparison.equivalence {
        Equivalence::Equivalent => "equivalent within 10 %",
        Equivalence::SlightlyDifferent => "differs, by less than 10 %",
        Equivalence::Different => "differs",
        Equivalence::Inconclusive => "inconclusive",
    };
    let (p_value, delta) = comparison.test.map_or(("–".into(), "–".into()), |test| {
        let p_value = match test.p_value {
            p if p < 0.001 => "&lt; 0.001".to_owned(),
            p => format!("{p:.3}"),
        };
        (p_value, format!("{} <small>{}</small>", signed(test.cliffs_delta, 2), test.effect()))
    });
    vec![
        metric.to_owned(),
        number(Some(comparison.first), ""),
        number(Some(comparison.second), ""),
        significant(comparison.difference) + &interval(comparison.difference_interval),
        tables::cell(comparison.ratio) + &interval(comparison.ratio_interval),
        p_value,
        delta,
        format!("<span class=\"claim\">{claim}</span>"),
    ]
}

/// What the intervals describe, plainly.
fn unit(comparison: Comparison) -> String {
    paragraph(&match comparison.unit {
        Unit::WithinOneRun => "One run on each side: intervals and p-values describe the trials and \
            operations within these two runs. They do not say how other runs would turn out, and \
            operations of one run depend on each other. For a claim about the protocols, repeat the \
            runs."
            .to_owned(),
        unit => format!(
            "The unit is the run: each gives one number, and a side is the median of its runs \
             ({} and {} {unit}). Intervals are given from five runs on each side.",
            comparison.n[0], comparison.n[1]
        ),
    })
}

/// The parameters side by side; rows that differ are marked.
fn parity(groups: &[Group<'_>]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for group in groups {
        for setting in &group.shown().record.settings {
            if !names.contains(&setting.name.as_str()) {
                names.push(&setting.name);
            }
        }
    }
    if names.is_empty() {
        return String::new();
    }
    let value = |group: &Group<'_>, name: &str| {
        let settings = &group.shown().record.settings;
        settings.iter().find(|s| s.name == name).map_or("–".to_owned(), |s| escape(&s.value))
    };
    let mut alike = true;
    let rows: String = names
        .iter()
        .map(|parameter| {
            let values: Vec<String> = groups.iter().map(|group| value(group, parameter)).collect();
            let same = values.windows(2).all(|pair| pair[0] == pair[1]);
            alike &= same;
            let cells: String = values.iter().map(|value| format!("<td>{value}</td>")).collect();
            let class = if same { "" } else { " class=\"differs\"" };
            format!("<tr{class}><td>{}</td>{cells}</tr>\n", escape(parameter))
        })
        .collect();
    let heads: String = groups.iter().map(|group| format!("<th>{}</th>", name(group))).collect();
    let words = match alike {
        true => "All parameters are equal.",
        false => "Marked rows differ: what they cause is not the protocols' own.",
    };
    paragraph(words)
        + &format!(
            "<div class=\"scroll\"><table>\n<thead><tr><th>parameter</th>{heads}</tr></thead>\n\
             <tbody>\n{rows}</tbody>\n</table></div>\n"
        )
}
