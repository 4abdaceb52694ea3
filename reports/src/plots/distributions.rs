//! Cumulative distributions: of election times, and of commit latencies.

use plotters::prelude::*;

use super::{
    Plot,
    frame::{self, Axis, Failure, Legend, Mark},
    style::{self, INK},
};
use crate::{
    analysis::Group,
    error::ReportError,
    latency::{self, Kind},
    prediction::Prediction,
    statistics::{quantile, sorted},
    summary::election_times_ms,
    table::{number, signed},
};

/// The most steps that a curve is drawn with.
const STEPS: usize = 400;

/// One curve: a name, its colour, its samples in ascending order.
struct Curve {
    name: String,
    color: RGBColor,
    samples: Vec<f64>,
}

/// The cumulative distribution of election times, with what the timeouts predict.
pub(super) fn election_times(groups: &[Group<'_>]) -> Result<Option<Plot>, ReportError> {
    let curves = curves(groups, |group| {
        sorted(group.runs.iter().flat_map(|run| election_times_ms(&run.trials)))
    });
    let predictions: Vec<(&Group<'_>, Prediction)> =
        groups.iter().filter_map(|group| Some((group, group.prediction()?))).collect();
    let measured = curves.iter().flat_map(|curve| &curve.samples);
    let predicted = predictions.iter().flat_map(|(_, prediction)| &prediction.quantiles_ms);
    let all = sorted(measured.chain(predicted).copied());
    let (false, Some(&low), Some(&high)) = (curves.is_empty(), all.first(), all.last()) else {
        return Ok(None);
    };
    let room = ((high - low) * 0.08).max(5.0);
    let x = Axis::linear((low - room).max(0.0)..high + room, "election time (ms)");

    let color_of = |group: &Group<'_>| match groups.len() {
        1 => INK.mix(0.8),
        _ => style::side(group.number).mix(0.8),
    };
    let mut legend = legend(&curves, "elections");
    if !predictions.is_empty() {
        legend.push(Legend::new("predicted from the timeouts", INK, Mark::Dashed));
    }
    let title = "Election time: from the fault until a new leader knows it leads";
    let svg = frame::draw("election-time-cdf", title, &legend, 360, |area| {
        let mut chart = frame::chart(area, &x, &shares("share of elections"))?;
        for (group, prediction) in &predictions {
            let quantiles = prediction.quantiles_ms.iter().zip(0u32..);
            let points = quantiles.map(|(&ms, percent)| (ms, f64::from(percent) / 100.0));
            let style = color_of(group).stroke_width(2);
            let points: Vec<(f64, f64)> = points.collect();
            chart.draw_series(DashedLineSeries::new(points, 6, 4, style))?;
        }
        for curve in &curves {
            draw_curve(&mut chart, curve, |ms| ms)?;
        }
        Ok(())
    })?;
    let mut caption = "Each step is one election.".to_owned();
    let waited = groups.iter().flat_map(Group::trials).filter(|trial| trial.waited_for_quorum());
    match waited.count() {
        0 => {}
        count => caption.push_str(&format!(
            " {count} had to wait until the faults left a quorum again, and count from then."
        )),
    }
    if !predictions.is_empty() {
        caption.push_str(
            " Dashed: the smallest of the survivors' timeouts, less the time since the leader was \
             last heard, plus the measured vote rounds.",
        );
    }
    for (group, prediction) in &predictions {
        caption.push_str(&format!(
            " {}, median of the {} that it speaks of: predicted {}, measured {} ({} %).",
            group.label,
            prediction.n,
            number(Some(prediction.predicted_p50_ms), "ms"),
            number(Some(prediction.measured_p50_ms), "ms"),
            signed(prediction.relative_difference * 100.0, 1)
        ));
    }
    Ok(Some(Plot { name: "election-time-cdf", caption, svg }))
}

/// The cumulative distribution of commit latencies: at the client, and inside the leader.
pub(super) fn commit_latencies(groups: &[Group<'_>]) -> Result<Option<Plot>, ReportError> {
    let at_clients = curves(groups, |group| {
        let runs = group.runs.iter();
        sorted(runs.flat_map(|run| latency::latencies_ms(&run.answered, Kind::Write)))
    });
    let in_leaders = curves(groups, |group| {
        sorted(group.runs.iter().flat_map(|run| run.commits.iter().map(|c| c.latency_ms())))
    });
    let all = || at_clients.iter().chain(&in_leaders);
    // The floor keeps a zero, which virtual time allows, on the axis.
    let low = all().filter_map(|c| c.samples.iter().find(|&&ms| ms > 0.0)).copied();
    let (Some(low), Some(high)) =
        (low.reduce(f64::min), all().filter_map(|c| c.samples.last()).copied().reduce(f64::max))
    else {
        return Ok(None);
    };
    let low = low.max(1e-3);
    let x = Axis::logarithmic(low * 0.8..high * 1.25, "latency (ms, logarithmic)");
    let mut legend: Vec<Legend> = Vec::new();
    for (curves, place, mark) in [
        (&at_clients, "at the client", Mark::Line),
        (&in_leaders, "inside the leader", Mark::Dashed),
    ] {
        legend.extend(curves.iter().map(|curve| {
            let n = crate::table::grouped(curve.samples.len() as f64);
            Legend::new(format!("{}, {place} ({n})", curve.name), curve.color, mark)
        }));
    }
    let title = "Commit latency of writes, faults included";
    let svg = frame::draw("commit-latency-cdf", title, &legend, 360, |area| {
        let mut chart = frame::chart(area, &x, &shares("share of writes"))?;
        let place = |ms: f64| ms.max(low).log10();
        for curve in &at_clients {
            draw_curve(&mut chart, curve, place)?;
        }
        for curve in &in_leaders {
            let style = curve.color.stroke_width(2);
            chart.draw_series(DashedLineSeries::new(steps(curve, place), 5, 3, style))?;
        }
        Ok(())
    })?;
    let caption =
        "At the client: from the time a write was meant to be sent to its acknowledgement. \
                   Inside the leader: from proposed to committed."
            .to_owned();
    Ok(Some(Plot { name: "commit-latency-cdf", caption, svg }))
}

fn curves(groups: &[Group<'_>], of: impl Fn(&Group<'_>) -> Vec<f64>) -> Vec<Curve> {
    let curve = |group: &Group<'_>| Curve {
        name: group.label.clone(),
        color: style::side(group.number),
        samples: of(group),
    };
    groups.iter().map(curve).filter(|curve| !curve.samples.is_empty()).collect()
}

fn legend(curves: &[Curve], what: &str) -> Vec<Legend> {
    let entry = |curve: &Curve| {
        let text = format!("{} ({} {what})", curve.name, curve.samples.len());
        Legend::new(text, curve.color, Mark::Line)
    };
    curves.iter().map(entry).collect()
}

fn shares(title: &str) -> Axis<'static> {
    Axis {
        range: 0.0..1.0,
        ticks: vec![0.0, 0.25, 0.5, 0.75, 0.9, 1.0],
        label: Box::new(|share| format!("{:.0} %", share * 100.0)),
        title: title.to_owned(),
    }
}

/// The corners of the staircase of a distribution, thinned out where there are many.
fn steps(curve: &Curve, place: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let samples = &curve.samples;
    let n = samples.len();
    if n > STEPS {
        let at = |step: usize| {
            let share = step as f64 / STEPS as f64;
            quantile(samples, share).map(|ms| (place(ms), share))
        };
        return (0..=STEPS).filter_map(at).collect();
    }
    let mut corners = Vec::with_capacity(2 * n);
    for (at, &ms) in samples.iter().enumerate() {
        corners.push((place(ms), at as f64 / n as f64));
        corners.push((place(ms), (at + 1) as f64 / n as f64));
    }
    corners
}

fn draw_curve(
    chart: &mut frame::Chart<'_>,
    curve: &Curve,
    place: impl Fn(f64) -> f64,
) -> Result<(), Failure> {
    chart.draw_series(LineSeries::new(steps(curve, place), curve.color.stroke_width(2)))?;
    Ok(())
}
