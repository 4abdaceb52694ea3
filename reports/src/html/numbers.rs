//! The numbers of compared sides: medians over the runs of each, and each run's own.

use std::collections::BTreeMap;

use super::{comparison::name, page::folded_part, tables};
use crate::{
    analysis::Group,
    statistics::{Quantiles, median, sorted},
    summary::{Cost, Summary},
    table::significant,
};

/// The distributions, predictions and costs of all sides.
pub(super) fn of_sides(groups: &[Group<'_>]) -> String {
    let summaries: Vec<Vec<Summary>> = groups
        .iter()
        .map(|group| group.runs.iter().map(|run| Summary::of(run.record)).collect())
        .collect();
    let each = each_run(groups, &summaries);
    let distributions = match groups.iter().all(|group| group.runs.len() == 1) {
        true => each,
        false => medians(groups, &summaries) + &folded_part("The numbers of each run", &each),
    };
    let predictions: Vec<_> =
        groups.iter().filter_map(|group| Some((name(group), group.prediction()?))).collect();
    let predicted = tables::predictions(&predictions)
        + &tables::unpredicted(groups.iter().flat_map(Group::trials));
    let costs: Vec<(String, Cost)> = groups
        .iter()
        .zip(&summaries)
        .map(|(group, runs)| {
            let costs: Vec<Cost> = runs.iter().filter_map(|run| run.cost).collect();
            (name(group), Cost::sum(&costs))
        })
        .collect();
    distributions
        + &tables::under("Election time, predicted and measured", &predicted)
        + &tables::under("Cost: the fairness ledger, all runs together", &tables::costs(&costs))
}

/// One row for each distribution of each run, those of one kind together.
fn each_run(groups: &[Group<'_>], summaries: &[Vec<Summary>]) -> String {
    let mut rows: BTreeMap<usize, Vec<Vec<String>>> = BTreeMap::new();
    for (group, runs) in groups.iter().zip(summaries) {
        for summary in runs {
            let side = match runs.len() {
                1 => name(group),
                _ => format!("{}, seed {}", name(group), summary.seed),
            };
            for (at, metric, quantiles) in tables::distributions(summary) {
                let row =
                    tables::quantile_row(&format!("{metric}<br><small>{side}</small>"), &quantiles);
                rows.entry(at).or_default().push(row);
            }
        }
    }
    tables::table(&tables::QUANTILES, &rows.into_values().flatten().collect::<Vec<_>>())
}

/// One row for each distribution of each side: the medians over its runs, with the range.
fn medians(groups: &[Group<'_>], summaries: &[Vec<Summary>]) -> String {
    let mut rows: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    for (number, (group, runs)) in groups.iter().zip(summaries).enumerate() {
        let mut metrics: BTreeMap<usize, (&str, Vec<Quantiles>)> = BTreeMap::new();
        for (at, metric, quantiles) in runs.iter().flat_map(tables::distributions) {
            metrics.entry(at).or_insert((metric, Vec::new())).1.push(quantiles);
        }
        for (at, (metric, quantiles)) in metrics {
            let over_runs = |of: fn(&Quantiles) -> Option<f64>| {
                let values = sorted(quantiles.iter().filter_map(of));
                let range = match (values.first(), values.last()) {
                    (Some(low), Some(high)) if values.len() > 1 => {
                        format!(" <small>({} to {})</small>", significant(*low), significant(*high))
                    }
                    _ => String::new(),
                };
                tables::cell(median(&values)) + &range
            };
            let row = vec![
                format!("{metric}<br><small>{}</small>", name(group)),
                quantiles.len().to_string(),
                over_runs(|q| q.p50),
                over_runs(|q| q.mean),
                over_runs(|q| q.p95),
                over_runs(|q| q.p99),
                over_runs(|q| q.max),
            ];
            rows.insert((at, number), row);
        }
    }
    let head = [
        "milliseconds, median of the runs <small>(lowest to highest)</small>",
        "runs",
        "p50",
        "mean",
        "p95",
        "p99",
        "max",
    ];
    tables::table(&head, &rows.into_values().collect::<Vec<_>>())
}
