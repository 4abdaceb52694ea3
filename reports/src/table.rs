//! The short table with which a command ends.

use crate::{summary::Summary, verdicts::Standing};

/// The most runs that get a column each.
const COLUMNS: usize = 4;

/// One line for each number, plain text, with a column for each run; of many runs, with a column
/// for each protocol on each target, which holds the medians of its runs.
pub fn summary_table(summaries: &[Summary]) -> String {
    match summaries.len() {
        0..=COLUMNS => of_columns(&summaries.iter().map(|run| vec![run]).collect::<Vec<_>>()),
        _ => of_columns(&by_side(summaries)),
    }
}

fn by_side(summaries: &[Summary]) -> Vec<Vec<&Summary>> {
    let mut columns: Vec<Vec<&Summary>> = Vec::new();
    for run in summaries {
        let is_its = |column: &&mut Vec<&Summary>| {
            column[0].protocol == run.protocol && column[0].target == run.target
        };
        match columns.iter_mut().find(is_its) {
            Some(column) => column.push(run),
            None => columns.push(vec![run]),
        }
    }
    columns
}

fn of_columns(columns: &[Vec<&Summary>]) -> String {
    let rows: Vec<(&str, Vec<String>)> = ROWS
        .iter()
        .filter(|&&(name, _)| match name {
            RUNS => columns.iter().any(|column| column.len() > 1),
            TARGET => columns.iter().any(|column| column[0].target != columns[0][0].target),
            _ => true,
        })
        .map(|(name, of)| (*name, columns.iter().map(|column| of.cell(column)).collect()))
        .collect();
    let names = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len())
        .map(|run| rows.iter().map(|(_, cells)| cells[run].chars().count()).max().unwrap_or(0))
        .collect();
    let mut table = String::new();
    for (name, cells) in rows {
        let cells: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:>width$}")).collect();
        table.push_str(format!("  {name:<names$}   {}", cells.join("   ")).trim_end());
        table.push('\n');
    }
    table
}

/// The line that says how many runs a column stands for.
const RUNS: &str = "medians of";

/// The line that says where the runs of a column were.
const TARGET: &str = "target";

/// What a line says of the runs of one column.
enum Of {
    /// All of them together, in words.
    All(fn(&[&Summary]) -> String),
    /// The sum of a count.
    Sum(fn(&Summary) -> u64),
    /// The median of a number, with its unit.
    Median(&'static str, fn(&Summary) -> Option<f64>),
}

impl Of {
    fn cell(&self, runs: &[&Summary]) -> String {
        match self {
            Self::All(words) => words(runs),
            Self::Sum(count) => grouped(runs.iter().map(|run| count(run)).sum::<u64>() as f64),
            Self::Median(unit, of) => {
                let values: Vec<f64> = runs.iter().filter_map(|run| of(run)).collect();
                number(crate::statistics::median(&values), unit)
            }
        }
    }
}

const ROWS: [(&str, Of); 19] = [
    ("", Of::All(|runs| runs[0].title.clone())),
    (TARGET, Of::All(|runs| runs[0].target.clone())),
    (RUNS, Of::All(|runs| format!("{} runs", runs.len()))),
    ("verdict", Of::All(verdict)),
    ("expectations", Of::All(expectations)),
    ("operations ok", Of::Sum(|s| s.operations.ok)),
    ("operations failed", Of::Sum(|s| s.operations.failed)),
    ("operations unknown", Of::Sum(|s| s.operations.unknown)),
    ("throughput", Of::Median("/s", |s| s.throughput_per_s)),
    ("elections / trials", Of::All(elections)),
    ("election time p50", Of::Median("ms", |s| s.election_ms?.p50)),
    ("predicted p50", Of::Median("ms", predicted)),
    ("client-visible outage p50", Of::Median("ms", |s| s.outage_ms?.p50)),
    ("longest gap", Of::Median("ms", |s| s.availability?.longest_gap_ms)),
    ("commit latency p50", Of::Median("ms", |s| s.commit_latency_ms?.client.p50)),
    ("commit latency p99", Of::Median("ms", |s| s.commit_latency_ms?.client.p99)),
    ("inside the leader p50", Of::Median("ms", |s| s.commit_latency_ms?.leader.latency.p50)),
    ("messages per commit", Of::Median("", |s| s.cost?.messages_per_commit)),
    ("syncs per commit", Of::Median("", |s| s.cost?.syncs_per_commit)),
];

/// The worst verdict of the runs, and how many have it.
fn verdict(runs: &[&Summary]) -> String {
    let worst = runs.iter().map(|run| run.standing()).max().unwrap_or(Standing::Ok);
    let with = runs.iter().filter(|run| run.standing() == worst).count();
    match with == runs.len() {
        true => worst.to_string(),
        false => format!("{worst} in {with} of {}", runs.len()),
    }
}

/// The predicted median, if it speaks of the same elections as the measured one.
fn predicted(run: &Summary) -> Option<f64> {
    let prediction = run.election_prediction.as_ref()?;
    (prediction.n == run.election_ms?.n).then_some(prediction.predicted_p50_ms)
}

fn expectations(runs: &[&Summary]) -> String {
    let failed = runs.iter().filter(|run| !run.expectations_held).count();
    match (failed, runs.len()) {
        (0, _) => "held".to_owned(),
        (_, 1) => "NOT HELD".to_owned(),
        (failed, all) => format!("NOT HELD in {failed} of {all}"),
    }
}

fn elections(runs: &[&Summary]) -> String {
    let sum = |of: fn(&Summary) -> u64| runs.iter().map(|run| of(run)).sum::<u64>();
    format!("{} / {}", sum(|s| s.trials.elected), sum(|s| s.trials.all))
}

/// A number with three significant digits and its unit; a dash for none.
pub(crate) fn number(value: Option<f64>, unit: &str) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) => format!("{} {unit}", significant(value)).trim_end().to_owned(),
    }
}

/// A number with about three significant digits, thousands set apart.
pub(crate) fn significant(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => grouped(value),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.009_995 || size == 0.0 => format!("{value:.2}"),
        size if size >= 1e-6 => {
            let digits = (1.0 - size.log10().floor()) as usize;
            format!("{value:.digits$}")
        }
        _ => "0.00".to_owned(),
    }
    .replace('-', "−")
}

/// A number with its sign and this many decimals.
pub(crate) fn signed(value: f64, digits: usize) -> String {
    format!("{value:+.digits$}").replace('-', "−")
}

/// A whole number with its thousands set apart by commas.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value < 0.0 { format!("−{grouped}") } else { grouped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        let shown = [0.0, 0.1234, 12.345, 99.97, 999.4, 1_234.5, 1_234_567.0, -1_234.0, 0.001];
        assert_eq!(
            shown.map(significant),
            ["0.00", "0.12", "12.3", "100", "999", "1,234", "1,234,567", "−1,234", "0.0010"]
        );
        assert_eq!((number(None, "ms"), number(Some(2.0), "ms")), ("–".into(), "2.00 ms".into()));
    }
}
