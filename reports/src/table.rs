//! The short table with which a command ends.

use crate::{statistics::Quantiles, summary::Summary};

/// One column for each run, one line for each number, plain text.
pub fn summary_table(summaries: &[Summary]) -> String {
    let rows: Vec<(&str, Vec<String>)> = ROWS
        .iter()
        .map(|&(name, of)| (name, summaries.iter().map(of).collect::<Vec<String>>()))
        .collect();
    let names = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..summaries.len())
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

type Row = (&'static str, fn(&Summary) -> String);

const ROWS: [Row; 14] = [
    ("", |s| s.protocol.clone()),
    ("verdict", |s| s.standing().to_string()),
    ("expectations", |s| if s.expectations_held { "held" } else { "NOT HELD" }.to_owned()),
    ("operations ok", |s| s.operations.ok.to_string()),
    ("failed / unknown", |s| format!("{} / {}", s.operations.failed, s.operations.unknown)),
    ("throughput", |s| number(s.throughput_per_s, "/s")),
    ("elections / trials", |s| format!("{} / {}", s.trials.elected, s.trials.all)),
    ("election time p50", |s| median(s.election_ms)),
    ("predicted p50", |s| number(s.election_prediction.as_ref().map(|p| p.predicted_p50_ms), "ms")),
    ("client-visible outage p50", |s| median(s.outage_ms)),
    ("longest gap", |s| number(s.availability.and_then(|a| a.longest_gap_ms), "ms")),
    ("commit latency p50", |s| median(s.commit_latency_ms.map(|l| l.client))),
    ("commit latency p99", |s| number(s.commit_latency_ms.and_then(|l| l.client.p99), "ms")),
    ("inside the leader p50", |s| median(s.commit_latency_ms.map(|l| l.leader.latency))),
];

fn median(quantiles: Option<Quantiles>) -> String {
    number(quantiles.and_then(|quantiles| quantiles.p50), "ms")
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
        _ => format!("{value:.1e}"),
    }
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
            ["0.00", "0.12", "12.3", "100", "999", "1,234", "1,234,567", "−1,234", "1.0e-3"]
        );
        assert_eq!((number(None, "ms"), number(Some(2.0), "ms")), ("–".into(), "2.00 ms".into()));
    }
}
