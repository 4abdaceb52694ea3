//! A lane for each replica: what it was, whom it followed, what it held.

use std::collections::BTreeMap;

use consensus_core::{Event, NodeId, Role, Time, history::Sample};
use plotters::{prelude::*, style::text_anchor::HPos};

use super::{
    Plot,
    frame::{self, Axis, Chart, Failure, Legend, Mark, row_middle},
    series::time_axis,
    style::{self, CANDIDATE, DOWN, FAULT, FOLLOWER, LEADER},
};
use crate::{analysis::Group, error::ReportError, record::RunRecord};

/// A stretch of a lane, in seconds.
struct Stretch {
    start: f64,
    end: f64,
    color: RGBColor,
    label: String,
    /// From and to which height of the lane, from −0.5 to 0.5.
    within: (f64, f64),
}

/// Who led when, who timed out, who campaigned, and whom the faults struck; from the events alone.
pub(super) fn timeline(group: &Group<'_>) -> Result<Option<Plot>, ReportError> {
    let record = group.shown().record;
    let nodes = nodes(record);
    if record.observed.is_empty() || nodes.is_empty() {
        return Ok(None);
    }
    let legend = [
        Legend::new("leads (epoch)", LEADER, Mark::Box),
        Legend::new("timed out", CANDIDATE, Mark::Dot),
        Legend::new("campaigns", style::side(1), Mark::Dot),
        Legend::new("struck by a fault", FAULT, Mark::Faint),
    ];
    let title = "Leadership: who led which epoch, and whom the faults struck";
    let svg = lanes("timeline", title, &legend, group, &nodes, |chart| {
        frame::fault_bands(chart, &record.faults, |at| record.seconds(at))?;
        for fault in &record.faults {
            let end = fault.end.unwrap_or(record.metadata.end);
            for (node, middle) in with_middles(&nodes) {
                if fault.nodes.contains(&node) {
                    let corners = [
                        (record.seconds(fault.start), middle - 0.42),
                        (record.seconds(end), middle + 0.42),
                    ];
                    chart.draw_series([Rectangle::new(corners, FAULT.mix(0.2).filled())])?;
                }
            }
        }
        for (node, middle) in with_middles(&nodes) {
            for stretch in reigns(record, node) {
                draw_stretch(chart, middle, &stretch)?;
            }
            for (at, event) in
                record.observed.iter().filter(|s| s.node == node).map(|s| (s.at, &s.event))
            {
                let mark = match event {
                    Event::TimedOut { .. } => Some((CANDIDATE, 0.24)),
                    Event::Campaigning { .. } => Some((style::side(1), -0.24)),
                    _ => None,
                };
                if let Some((color, height)) = mark {
                    let at = (record.seconds(at), middle + height);
                    chart.draw_series([Circle::new(at, 3, color.filled())])?;
                }
            }
        }
        Ok(())
    })?;
    let caption = "Made from the events that the replicas noted.".to_owned();
    Ok(Some(Plot { name: "timeline", caption, svg }))
}

/// When a node led, from its events: it stops when it steps down, starts anew, is struck by what
/// stops its process, or another is elected in a later epoch.
fn reigns(record: &RunRecord, node: NodeId) -> Vec<Stretch> {
    let observed = crate::latency::in_order(&record.observed);
    let mut reigns = Vec::new();
    for (at, seen) in observed.iter().enumerate() {
        let Event::Elected { epoch } = seen.event else { continue };
        if seen.node != node {
            continue;
        }
        let ends = observed[at + 1..].iter().find(|later| match later.event {
            Event::Elected { epoch: other } => other > epoch,
            Event::SteppedDown { .. } => later.node == node,
            _ => later.node == node && later.incarnation != seen.incarnation,
        });
        let stopped = record
            .faults
            .iter()
            .filter(|fault| fault.ends_processes())
            .filter(|fault| fault.nodes.contains(&node) && fault.start >= seen.at)
            .map(|fault| fault.start)
            .min();
        let end = [ends.map(|end| end.at), stopped, Some(record.metadata.end)];
        let end = end.into_iter().flatten().min().unwrap_or(seen.at);
        reigns.push(Stretch {
            start: record.seconds(seen.at),
            end: record.seconds(end),
            color: LEADER,
            label: format!("{epoch}"),
            within: (-0.36, 0.36),
        });
    }
    reigns
}

/// Every replica's role and epoch over time, and whom it believed to lead.
pub(super) fn roles(group: &Group<'_>) -> Result<Option<Plot>, ReportError> {
    let record = group.shown().record;
    let nodes = nodes(record);
    if record.samples.is_empty() {
        return Ok(None);
    }
    let legend = [
        Legend::new("leader (epoch)", LEADER, Mark::Box),
        Legend::new("candidate", CANDIDATE, Mark::Box),
        Legend::new("follower", FOLLOWER, Mark::Box),
        Legend::new("down", DOWN, Mark::Box),
        Legend::new("fault", FAULT, Mark::Faint),
    ];
    let title = "Roles over time; the strip below each lane has the colour of the believed leader";
    let svg = lanes("roles-over-time", title, &legend, group, &nodes, |chart| {
        frame::fault_bands(chart, &record.faults, |at| record.seconds(at))?;
        for (node, middle) in with_middles(&nodes) {
            let role = |sample: &Sample| match (sample.up, sample.role) {
                (false, _) => (DOWN, String::new()),
                (_, Role::Leader) => (LEADER, sample.epoch.to_string()),
                (_, Role::Candidate | Role::PreCandidate) => (CANDIDATE, String::new()),
                (_, Role::Follower) => (FOLLOWER, sample.epoch.to_string()),
            };
            let leader = |sample: &Sample| match sample.leader.filter(|_| sample.up) {
                Some(leader) => (node_color(&nodes, leader), String::new()),
                None => (style::PAPER, String::new()),
            };
            for stretch in stretches(record, node, role, (-0.16, 0.38)) {
                draw_stretch(chart, middle, &stretch)?;
            }
            for stretch in stretches(record, node, leader, (-0.34, -0.2)) {
                draw_stretch(chart, middle, &stretch)?;
            }
            name_with_color(chart, middle, node_color(&nodes, node))?;
        }
        Ok(())
    })?;
    let caption = "Numbers are epochs: terms, or ballots as round.owner.".to_owned();
    Ok(Some(Plot { name: "roles-over-time", caption, svg }))
}

/// What each replica held for the watched key, over time.
pub(super) fn values(group: &Group<'_>) -> Result<Option<Plot>, ReportError> {
    let record = group.shown().record;
    let nodes = nodes(record);
    let Some(key) = &record.metadata.watched_key else { return Ok(None) };
    if record.samples.is_empty() {
        return Ok(None);
    }
    let mut by_time: Vec<&Sample> = record.samples.iter().filter(|sample| sample.up).collect();
    by_time.sort_by_key(|sample| sample.at);
    let mut seen: BTreeMap<Option<&str>, u64> = BTreeMap::from([(None, u64::MAX)]);
    for sample in by_time {
        let next = seen.len() as u64 - 1;
        seen.entry(sample.value.as_deref()).or_insert(next);
    }
    let legend = [
        Legend::new("no value", FOLLOWER, Mark::Box),
        Legend::new("down", DOWN, Mark::Box),
        Legend::new("fault", FAULT, Mark::Faint),
        Legend::new("every other colour is one value", style::value(0), Mark::Box),
    ];
    let title = format!("What each replica held for '{key}'");
    let svg = lanes("value-over-time", &title, &legend, group, &nodes, |chart| {
        frame::fault_bands(chart, &record.faults, |at| record.seconds(at))?;
        for (node, middle) in with_middles(&nodes) {
            let value = |sample: &Sample| match (sample.up, sample.value.as_deref()) {
                (false, _) => (DOWN, String::new()),
                (_, None) => (FOLLOWER, String::new()),
                (_, Some(value)) => (style::value(seen[&Some(value)]), value.to_owned()),
            };
            for stretch in stretches(record, node, value, (-0.34, 0.34)) {
                draw_stretch(chart, middle, &stretch)?;
            }
        }
        Ok(())
    })?;
    let caption = "Read from each replica's own state machine, not through consensus: what lags \
                   behind shows. Where all lanes have one colour, all replicas agree."
        .to_owned();
    Ok(Some(Plot { name: "value-over-time", caption, svg }))
}

/// The nodes that a record speaks of.
pub(super) fn nodes(record: &RunRecord) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = record
        .samples
        .iter()
        .map(|sample| sample.node)
        .chain(record.observed.iter().map(|seen| seen.node))
        .chain(record.faults.iter().flat_map(|fault| fault.nodes.iter().copied()))
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// The colour of a node, by its place among the others.
pub(super) fn node_color(nodes: &[NodeId], node: NodeId) -> RGBColor {
    style::nth(nodes.iter().position(|&other| other == node).unwrap_or(nodes.len()) as u64)
}

/// The samples of one node, by time.
pub(super) fn samples_of(record: &RunRecord, node: NodeId) -> Vec<&Sample> {
    let mut samples: Vec<&Sample> = record.samples.iter().filter(|s| s.node == node).collect();
    samples.sort_by_key(|sample| sample.at);
    samples
}

fn with_middles(nodes: &[NodeId]) -> impl Iterator<Item = (NodeId, f64)> {
    nodes.iter().enumerate().map(|(row, &node)| (node, row_middle(nodes.len(), row)))
}

/// Joins the samples of a node that look alike.
fn stretches(
    record: &RunRecord,
    node: NodeId,
    look: impl Fn(&Sample) -> (RGBColor, String),
    within: (f64, f64),
) -> Vec<Stretch> {
    let samples = samples_of(record, node);
    let end_of = |at: usize| samples.get(at + 1).map_or(record.metadata.end, |next| next.at);
    let mut stretches: Vec<Stretch> = Vec::new();
    for (at, sample) in samples.iter().enumerate() {
        let (color, label) = look(sample);
        let end = record.seconds(end_of(at).max(sample.at));
        match stretches.last_mut() {
            Some(last) if last.color == color && last.label == label => last.end = end,
            _ => stretches.push(Stretch {
                start: record.seconds(sample.at),
                end,
                color,
                label,
                within,
            }),
        }
    }
    stretches
}

/// Draws axes with a lane for each node.
fn lanes(
    plot: &'static str,
    title: &str,
    legend: &[Legend],
    group: &Group<'_>,
    nodes: &[NodeId],
    body: impl FnOnce(&mut Chart<'_>) -> Result<(), Failure>,
) -> Result<String, ReportError> {
    let names: Vec<String> = nodes.iter().map(|node| format!("node {node}")).collect();
    // The lines of fault labels stand above the lanes.
    let room = frame::LABEL_LINES as f64 * 12.0 / 40.0;
    let height = 106 + 40 * u32::try_from(nodes.len()).unwrap_or(1);
    let last = group.shown().record.samples.iter().map(|sample| sample.at).max();
    let end = last.unwrap_or(Time::ZERO).max(group.shown().record.metadata.end);
    let seconds = group.shown().record.seconds(end).max(0.1);
    frame::draw(plot, title, legend, height, |area| {
        let mut chart = frame::chart(area, &time_axis(seconds), &Axis::rows(&names, room))?;
        body(&mut chart)
    })
}

/// Draws a stretch of a lane, and its label where it fits.
fn draw_stretch(chart: &mut Chart<'_>, middle: f64, stretch: &Stretch) -> Result<(), Failure> {
    let x = chart.x_range();
    let (start, end) = (stretch.start.max(x.start), stretch.end.min(x.end));
    if end < start {
        return Ok(());
    }
    let (low, high) = (middle + stretch.within.0, middle + stretch.within.1);
    chart.draw_series([Rectangle::new([(start, low), (end, high)], stretch.color.filled())])?;
    let label = style::printable(&stretch.label);
    let pixels = chart.backend_coord(&(end, low)).0 - chart.backend_coord(&(start, low)).0;
    if !label.is_empty() && style::width(&label, 11.0) + 6.0 < f64::from(pixels) {
        let text = style::text(11.0, style::on(stretch.color), HPos::Left);
        let at = (start, (low + high) / 2.0);
        chart.draw_series([EmptyElement::at(at) + Text::new(label, (4, 0), text)])?;
    }
    Ok(())
}

/// Marks a lane's left end with its node's colour.
fn name_with_color(chart: &mut Chart<'_>, middle: f64, color: RGBColor) -> Result<(), Failure> {
    let at = (chart.x_range().start, middle);
    chart.draw_series([EmptyElement::at(at) + Circle::new((0, 0), 5, color.filled())])?;
    Ok(())
}
