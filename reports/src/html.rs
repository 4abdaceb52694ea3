//! One page for a run, one for a comparison: everything inside, nothing loaded, opens offline.

mod comparison;
mod counterexample;
mod definitions;
mod figures;
mod forecast;
mod likeness;
mod numbers;
mod page;
mod recovery;
mod run;
mod tables;
mod targets;

use crate::{
    analysis, error::ReportError, forecast::Forecast, record::RunRecord, recovery::Recovery,
};

/// The report of one run. If a verdict is violated, it shows what contradicts what, and the
/// timeline, in place of all performance.
///
/// # Errors
///
/// If a plot cannot be drawn.
pub fn render_run(record: &RunRecord) -> Result<String, ReportError> {
    run::render(record)
}

/// The report of several runs: on common axes, those of each target by themselves.
///
/// # Errors
///
/// If there are fewer than two runs, or if a plot cannot be drawn.
pub fn render_comparison(records: &[RunRecord]) -> Result<String, ReportError> {
    match analysis::by_target(records).as_slice() {
        [] => Err(ReportError::TooFewRuns(0)),
        [runs] => comparison::render(runs),
        targets => targets::render(targets),
    }
}

/// The page that holds a real run against its simulations.
///
/// # Errors
///
/// If a plot cannot be drawn.
pub fn render_forecast(
    measured: &RunRecord,
    simulated: &[RunRecord],
    forecast: &Forecast,
) -> Result<String, ReportError> {
    forecast::render(measured, simulated, forecast)
}

/// The page of a recovery table.
///
/// # Errors
///
/// If a plot cannot be drawn.
pub fn render_recovery(recovery: &Recovery) -> Result<String, ReportError> {
    recovery::render(recovery)
}

/// Text as it may stand in HTML or XML, in attributes too.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
