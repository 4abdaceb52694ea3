//! Plots, as SVG text that needs no font and no library to draw.
//!
//! A single run and a comparison go through the same functions: a run is a comparison with one
//! side. What runs over time is drawn in panels of common scales, one below the other, because the
//! faults of two runs strike at different instants.

mod distributions;
mod elections;
mod frame;
mod lanes;
mod recovery;
mod series;
mod style;
mod views;

pub(crate) use recovery::strips as recovery_strips;
pub(crate) use style::palette_css;

use crate::{
    analysis::{self, Group},
    error::ReportError,
    record::RunRecord,
};

/// One plot.
#[derive(Clone, PartialEq, Debug)]
pub struct Plot {
    /// The stem of its file name.
    pub name: &'static str,
    /// What it shows and how to read it.
    pub caption: String,
    /// The drawing.
    pub svg: String,
}

/// The plots of one run; what the replicas held comes first if a key is watched. A violated verdict
/// leaves out all that shows performance.
///
/// # Errors
///
/// If one cannot be drawn.
pub fn of_run(record: &RunRecord) -> Result<Vec<Plot>, ReportError> {
    let group = [Group::single(record)];
    let performance = match record.may_be_measured() {
        true => of_groups(&group)?,
        false => Vec::new(),
    };
    let timeline = lanes::timeline(&group[0])?;
    let states = [lanes::values(&group[0])?, lanes::roles(&group[0])?, views::gossip(&group[0])?];
    let states = states.into_iter().flatten();
    // Who watches a key wants to see what became of it; after a violation, who led comes first.
    Ok(match record.metadata.watched_key {
        Some(_) if record.may_be_measured() => states.chain(timeline).chain(performance).collect(),
        _ => performance.into_iter().chain(timeline).chain(states).collect(),
    })
}

/// The plots of a comparison on one target, on common axes. Runs whose verdict is violated are left out.
///
/// # Errors
///
/// If a plot cannot be drawn.
pub fn of_comparison(records: &[&RunRecord]) -> Result<Vec<Plot>, ReportError> {
    let mut groups = analysis::grouped(records);
    for group in &mut groups {
        group.runs.retain(|run| run.record.may_be_measured());
    }
    groups.retain(|group| !group.runs.is_empty());
    of_groups(&groups)
}

/// The plots in which a real run and its simulations share their axes.
pub(crate) fn of_forecast(groups: &[Group<'_>]) -> Result<Vec<Plot>, ReportError> {
    let plots = [
        distributions::election_times(groups)?,
        elections::stages(groups)?,
        distributions::commit_latencies(groups)?,
    ];
    Ok(plots.into_iter().flatten().collect())
}

pub(crate) fn of_groups(groups: &[Group<'_>]) -> Result<Vec<Plot>, ReportError> {
    let plots = [
        distributions::election_times(groups)?,
        elections::stages(groups)?,
        distributions::commit_latencies(groups)?,
        series::latency_over_time(groups)?,
        series::goodput_over_time(groups)?,
    ];
    Ok(plots.into_iter().flatten().collect())
}
