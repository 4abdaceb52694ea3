//! What runs over time: latency and goodput, one panel for each side, on common scales.

use plotters::{prelude::*, style::text_anchor::HPos};

use super::{
    Plot,
    frame::{self, Area, Axis, Failure, Legend, Mark},
    style::{self, FAULT, INK, MUTED},
};
use crate::{
    analysis::{Analysis, Group},
    availability::{BIN_S, Goodput},
    error::ReportError,
    latency::{self, LatencyBin},
    table::number,
};

/// The height of one panel, in pixels.
const PANEL: u32 = 250;
/// About how many points a line has at most.
const POINTS: f64 = 400.0;

/// The client's latency over time: the median, a band up to the 95 % quantile, and the worst.
pub(super) fn latency_over_time(groups: &[Group<'_>]) -> Result<Option<Plot>, ReportError> {
    let seconds = longest(groups);
    let width = (seconds / POINTS).max(BIN_S);
    let panels: Vec<(&Group<'_>, Vec<LatencyBin>)> = groups
        .iter()
        .map(|group| {
            let run = group.shown();
            (group, latency::latency_over_time(run.record, &run.answered, width))
        })
        .filter(|(_, bins)| !bins.is_empty())
        .collect();
    let all = || panels.iter().flat_map(|(_, bins)| bins);
    let Some(high) = all().map(|bin| bin.max).reduce(f64::max).filter(|&high| high > 0.0) else {
        return Ok(None);
    };
    let low = all().map(|bin| bin.p50).filter(|&ms| ms > 0.0).fold(high, f64::min);
    let floor = (low * 0.7).max(1e-3);
    let y = Axis::logarithmic(floor..high.max(floor * 2.0) * 1.6, "latency (ms, logarithmic)");
    let x = time_axis(seconds);

    let mut legend = sides(groups, "median");
    legend.push(Legend::new("median to p95", MUTED, Mark::Faint));
    legend.push(Legend::new("slowest", MUTED, Mark::Dot));
    legend.push(Legend::new("fault", FAULT, Mark::Faint));
    let title = "Latency over time, reads and writes, by the time they were meant to be sent";
    let svg = panels_below(("latency-over-time", title), &legend, panels.len(), |at, area| {
        let (group, bins) = &panels[at];
        let mut chart = frame::chart(area, &x, &y)?;
        let run = group.shown();
        frame::fault_bands(&mut chart, &run.record.faults, |at| run.record.seconds(at))?;
        let color = style::side(group.number);
        let place = |ms: f64| ms.max(floor).log10();
        let upper = bins.iter().map(|bin| (bin.at_s, place(bin.p95)));
        let lower = bins.iter().rev().map(|bin| (bin.at_s, place(bin.p50)));
        let band: Vec<(f64, f64)> = upper.chain(lower).collect();
        chart.draw_series([Polygon::new(band, color.mix(0.22))])?;
        let median = bins.iter().map(|bin| (bin.at_s, place(bin.p50)));
        chart.draw_series(LineSeries::new(median, color.stroke_width(2)))?;
        let worst = bins.iter().map(|bin| (bin.at_s, place(bin.max)));
        chart.draw_series(worst.map(|at| Circle::new(at, 1, color.mix(0.55).filled())))?;
        name_panel(area, panels.len(), group)
    })?;
    let caption = format!(
        "In steps of {}. Requests that were meant to be sent while nobody led wait for the next \
         leader; an open-loop client keeps sending, so they all count.",
        number(Some(width), "s")
    );
    Ok(Some(Plot { name: "latency-over-time", caption, svg }))
}

/// Successful answers per second over time.
pub(super) fn goodput_over_time(groups: &[Group<'_>]) -> Result<Option<Plot>, ReportError> {
    let panels: Vec<&Group<'_>> =
        groups.iter().filter(|group| !group.shown().answered.is_empty()).collect();
    let rates = panels.iter().flat_map(|group| &group.shown().goodput.per_s);
    let Some(high) = rates.copied().reduce(f64::max).filter(|&high| high > 0.0) else {
        return Ok(None);
    };
    let seconds = longest(groups);
    let x = time_axis(seconds);
    let y = Axis::linear(0.0..high * 1.12, "answers per second");
    let mut legend = sides(groups, "goodput");
    legend.push(Legend::new("baseline before the first fault", INK, Mark::Dashed));
    legend.push(Legend::new("fault", FAULT, Mark::Faint));
    let merged = (seconds / BIN_S / (2.0 * POINTS)).ceil().max(1.0) as usize;
    let title = "Goodput over time: operations answered with success";
    let svg = panels_below(("goodput-over-time", title), &legend, panels.len(), |at, area| {
        let group = panels[at];
        let run = group.shown();
        let mut chart = frame::chart(area, &x, &y)?;
        frame::fault_bands(&mut chart, &run.record.faults, |at| run.record.seconds(at))?;
        let color = style::side(group.number);
        let points = goodput_points(run, merged);
        chart.draw_series(AreaSeries::new(points.clone(), 0.0, color.mix(0.15)))?;
        chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
        if let Some(baseline) = run.goodput.baseline_per_s {
            let ends = [(0.0, baseline), (run.seconds(), baseline)];
            chart.draw_series(DashedLineSeries::new(ends, 6, 4, INK.mix(0.55).stroke_width(1)))?;
        }
        name_panel(area, panels.len(), group)
    })?;
    let caption = format!(
        "In steps of {}. Above the baseline after an outage: the requests that had waited are \
         answered at once.",
        number(Some(merged as f64 * BIN_S), "s")
    );
    Ok(Some(Plot { name: "goodput-over-time", caption, svg }))
}

/// The goodput, with `merged` bins drawn as one.
fn goodput_points(run: &Analysis<'_>, merged: usize) -> Vec<(f64, f64)> {
    let bins = run.goodput.per_s.chunks(merged).enumerate();
    bins.map(|(at, rates)| {
        let middle = Goodput::at_s(at * merged) + (rates.len() - 1) as f64 * BIN_S / 2.0;
        (middle, rates.iter().sum::<f64>() / rates.len() as f64)
    })
    .collect()
}

/// The longest load of the shown runs, in seconds.
fn longest(groups: &[Group<'_>]) -> f64 {
    groups.iter().map(|group| group.shown().seconds()).fold(0.1, f64::max)
}

/// The axis of all plots over time.
pub(super) fn time_axis(seconds: f64) -> Axis<'static> {
    Axis::linear(0.0..seconds, "time since the load began (s)")
}

fn sides(groups: &[Group<'_>], what: &str) -> Vec<Legend> {
    let entry = |group: &Group<'_>| {
        let name = match group.runs.len() {
            1 => format!("{} ({what})", group.label),
            _ => format!("{} ({what}, seed {})", group.label, group.shown().record.metadata.seed),
        };
        Legend::new(name, style::side(group.number), Mark::Line)
    };
    groups.iter().map(entry).collect()
}

/// Draws panels of equal height one below the other.
fn panels_below(
    (plot, title): (&'static str, &str),
    legend: &[Legend],
    panels: usize,
    panel: impl Fn(usize, &Area<'_>) -> Result<(), Failure>,
) -> Result<String, ReportError> {
    let height = if panels == 1 { 330 } else { PANEL };
    let count = u32::try_from(panels.max(1)).unwrap_or(1);
    frame::draw(plot, title, legend, height * count, |area| {
        let areas = area.split_evenly((panels, 1));
        areas.iter().enumerate().try_for_each(|(at, area)| panel(at, area))
    })
}

/// Names a panel at its right end, where there are several.
fn name_panel(area: &Area<'_>, panels: usize, group: &Group<'_>) -> Result<(), Failure> {
    if panels > 1 {
        let at = (frame::WIDTH as i32 - 26, 10);
        let name = style::printable(&group.label);
        area.draw_text(&name, &style::bold(13.0, style::side(group.number), HPos::Right), at)?;
    }
    Ok(())
}
