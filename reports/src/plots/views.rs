//! How many replicas each replica's gossip believes alive, over time.

use plotters::prelude::*;

use super::{
    Plot,
    frame::{self, Axis, Legend, Mark},
    lanes::{node_color, nodes, samples_of},
    series::time_axis,
    style::FAULT,
};
use crate::{analysis::Group, error::ReportError};

/// A line for each replica: the size of its gossip view. A replica that is down has none.
pub(super) fn gossip(group: &Group<'_>) -> Result<Option<Plot>, ReportError> {
    let record = group.shown().record;
    if !record.samples.iter().any(|sample| sample.up && !sample.alive.is_empty()) {
        return Ok(None);
    }
    let nodes = nodes(record);
    let largest = record.samples.iter().map(|s| s.alive.len()).max().unwrap_or(0);
    let high = largest.max(record.metadata.nodes);
    let y = Axis {
        range: 0.0..high as f64 + 1.0,
        ticks: (0..=high).map(|size| size as f64).collect(),
        label: Box::new(|size| format!("{size:.0}")),
        title: "replicas believed alive".to_owned(),
    };
    let last = record.samples.iter().map(|s| s.at).max().unwrap_or(record.metadata.end);
    let seconds = record.seconds(last.max(record.metadata.end)).max(0.1);
    let mut legend: Vec<Legend> = nodes
        .iter()
        .map(|&node| Legend::new(format!("node {node}"), node_color(&nodes, node), Mark::Line))
        .collect();
    legend.push(Legend::new("fault", FAULT, Mark::Faint));
    let title = "Gossip: how many replicas each replica believes alive";
    let svg = frame::draw("gossip-over-time", title, &legend, 330, |area| {
        let mut chart = frame::chart(area, &time_axis(seconds), &y)?;
        frame::fault_bands(&mut chart, &record.faults, |at| record.seconds(at))?;
        for (row, &node) in nodes.iter().enumerate() {
            // Lines of equal height would hide each other.
            let apart = (row as f64 - (nodes.len() as f64 - 1.0) / 2.0) * 0.07;
            for line in lines(record, node, apart) {
                let style = node_color(&nodes, node).stroke_width(2);
                chart.draw_series(LineSeries::new(line, style))?;
            }
        }
        Ok(())
    })?;
    let caption =
        "Each replica counts itself. Lines are set a little apart; a line breaks off where \
                   its replica is down."
            .to_owned();
    Ok(Some(Plot { name: "gossip-over-time", caption, svg }))
}

/// The staircases of one replica's view, one for each stretch of being up.
fn lines(
    record: &crate::RunRecord,
    node: consensus_core::NodeId,
    apart: f64,
) -> Vec<Vec<(f64, f64)>> {
    let mut lines: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    for sample in samples_of(record, node) {
        let at = record.seconds(sample.at);
        let line = lines.last_mut().expect("there is always a line to extend");
        if let Some(&(_, height)) = line.last() {
            line.push((at, height));
        }
        if sample.up {
            line.push((at, sample.alive.len() as f64 + apart));
        } else if !line.is_empty() {
            lines.push(Vec::new());
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}
