//! The report of several runs, side by side.

use std::collections::BTreeMap;

use super::{
    counterexample, definitions, escape,
    page::{figures, folded, page, paragraph, section},
    tables,
};
use crate::{
    analysis::{self, Group},
    error::ReportError,
    latency::{self, Kind},
    plots,
    record::RunRecord,
    statistics::{Comparison, Equivalence, Interval, Unit, compare},
    summary::{Summary, election_times_ms, outages_ms},
    table::{number, significant},
    verdicts::Standing,
};

pub(super) fn render(records: &[RunRecord]) -> Result<String, ReportError> {
    let [first, .., _] = records else { return Err(ReportError::TooFewRuns(records.len())) };
    let clock = first.metadata.clock;
    let other = records.iter().zip(1..).find(|(record, _)| record.metadata.clock != clock);
    if let Some((record, number)) = other {
        let other = record.metadata.clock;
        return Err(ReportError::MixedClocks { first: clock, number, other });
    }

    let (sound, broken): (Vec<&RunRecord>, Vec<&RunRecord>) =
        records.iter().partition(|record| record.may_be_measured());
    let all = analysis::grouped(records);
    let plots = plots::of_comparison(records)?;
    let names: Vec<String> = all.iter().map(|group| group.label.clone()).collect();
    let title = names.join(" and ");

    let mut body = header(&title, first, records) + &warnings(records) + &verdicts(&all);
    for record in broken {
        let heading = format!("{}: what contradicts what", record.metadata.protocol);
        let timeline = figures(&plots::of_run(record)?);
        body.push_str(&section(&heading, &(counterexample::all(record) + &timeline)));
    }
    if !sound.is_empty() {
        let measured: Vec<Group<'_>> = all.into_iter().filter_map(measurable).collect();
        body.push_str(&section("Differences", &differences(&measured)));
        body.push_str(&section("Plots, on the same axes", &figures(&plots)));
        body.push_str(&section("Numbers", &numbers(&measured)));
        for group in &measured {
            for run in &group.runs {
                let seed = run.record.metadata.seed;
                let heading = format!("Trials of {}, seed {seed}", group.label);
                let trials =
                    tables::trials_left_out(&run.trials) + &tables::trials(run.record, &run.trials);
                body.push_str(&section(&heading, &trials));
            }
        }
    }
    body.push_str(&section("Parity of the parameters", &parity(&analysis::grouped(records))));
    body.push_str(&section("What was measured, and how", &definitions::definitions()));
    let environments: String = records
        .iter()
        .map(|record| {
            format!("<h3>{}</h3>\n", escape(&record.metadata.protocol))
                + &tables::environment(record)
                + &folded("Resolved schedule", &record.schedule_text)
        })
        .collect();
    body.push_str(&section("Environment, and how to run this again", &environments));
    Ok(page(&format!("{title} compared"), &body))
}

/// A group without the runs whose verdict is violated; nothing if none is left.
fn measurable(mut group: Group<'_>) -> Option<Group<'_>> {
    group.runs.retain(|run| run.record.may_be_measured());
    (!group.runs.is_empty()).then_some(group)
}

fn header(title: &str, first: &RunRecord, records: &[RunRecord]) -> String {
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

/// A fact of a run that should be alike in all.
type Fact = fn(&RunRecord) -> String;

/// What keeps these runs from being comparable, if anything does.
fn warnings(records: &[RunRecord]) -> String {
    let differs = |of: Fact| records.iter().skip(1).any(|record| of(record) != of(&records[0]));
    let checks: [(&str, Fact); 5] = [
        ("schedules", |record| record.metadata.schedule_digest.clone()),
        ("targets", |record| record.metadata.target.clone()),
        ("cluster sizes", |record| record.metadata.nodes.to_string()),
        ("durability levels", |record| record.metadata.durability.clone()),
        ("machines", |record| format!("{:?}", record.metadata.host)),
    ];
    let differing: Vec<&str> =
        checks.iter().filter(|check| differs(check.1)).map(|check| check.0).collect();
    let mut html = String::new();
    if !differing.is_empty() {
        html.push_str(&format!(
            "<div class=\"banner note\"><strong>Not alike: the {} of these runs differ.</strong>\
             <p>A difference in the numbers need not be the protocols' own.</p></div>\n",
            differing.join(", ")
        ));
    }
    if records.iter().any(|record| record.metadata.partial) {
        html.push_str(
            "<div class=\"banner note\"><strong>At least one run is partial.</strong></div>\n",
        );
    }
    html
}

fn name(group: &Group<'_>) -> String {
    format!("<span class=\"side side-{}\"></span>{}", group.number % 6, escape(&group.label))
}

/// A row of verdicts for each run.
fn verdicts(groups: &[Group<'_>]) -> String {
    let mut rows = Vec::new();
    for group in groups {
        for run in &group.runs {
            let record = run.record;
            let mut row = vec![name(group), record.metadata.seed.to_string()];
            row.extend(record.verdicts.named().iter().map(|(_, verdict)| {
                let word = Standing::from(*verdict);
                format!("<span class=\"{word}-word\">{word}</span>")
            }));
            let held = record.expectations.iter().filter(|expectation| expectation.held).count();
            row.push(format!("{held} of {}", record.expectations.len()));
            rows.push(row);
        }
    }
    let head = [
        "",
        "seed",
        "linearizable",
        "log agreement",
        "no lost acks",
        "exactly once",
        "election safety",
        "expectations held",
    ];
    let worst = groups.iter().flat_map(|group| &group.runs).map(|run| run.record.standing()).max();
    let words = match worst {
        Some(Standing::Violated) => {
            "A rule was broken: that run gives no figures and enters no plot."
        }
        Some(Standing::Undecided) => "Not every rule could be decided.",
        _ => "All rules held in all runs.",
    };
    let class = worst.unwrap_or(Standing::Ok);
    format!("<div class=\"banner {class}\"><strong>{words}</strong></div>\n")
        + &tables::table(&head, &rows)
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
fn differences(groups: &[Group<'_>]) -> String {
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
            "p-value",
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
        Equivalence::Different => "different",
        Equivalence::Inconclusive => "inconclusive",
    };
    let (p_value, delta) = comparison.test.map_or(("–".into(), "–".into()), |test| {
        let p_value = match test.p_value {
            p if p < 0.001 => "&lt; 0.001".to_owned(),
            p => format!("{p:.3}"),
        };
        (p_value, format!("{:+.2} <small>{}</small>", test.cliffs_delta, test.effect()))
    });
    vec![
        metric.to_owned(),
        number(Some(comparison.first), ""),
        number(Some(comparison.second), ""),
        significant(comparison.difference) + &interval(comparison.difference_interval),
        tables::cell(comparison.ratio) + &interval(comparison.ratio_interval),
        p_value,
        delta,
        claim.to_owned(),
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

/// The distributions, predictions and costs of all sides.
fn numbers(groups: &[Group<'_>]) -> String {
    let mut distributions: BTreeMap<usize, Vec<Vec<String>>> = BTreeMap::new();
    let (mut predictions, mut costs) = (Vec::new(), Vec::new());
    for group in groups {
        for run in &group.runs {
            let summary = Summary::of(run.record);
            let name = match group.runs.len() {
                1 => name(group),
                _ => format!("{}, seed {}", name(group), run.record.metadata.seed),
            };
            for (at, (metric, quantiles)) in tables::distributions(&summary).iter().enumerate() {
                let row =
                    tables::quantile_row(&format!("{metric}<br><small>{name}</small>"), quantiles);
                distributions.entry(at).or_default().push(row);
            }
            predictions.extend(summary.election_prediction.map(|p| (name.clone(), p)));
            costs.extend(summary.cost.map(|cost| (name, cost)));
        }
    }
    let rows: Vec<Vec<String>> = distributions.into_values().flatten().collect();
    tables::table(&tables::QUANTILES, &rows)
        + &tables::under(
            "Election time, predicted and measured",
            &tables::predictions(&predictions),
        )
        + &tables::under("Cost: the fairness ledger", &tables::costs(&costs))
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
