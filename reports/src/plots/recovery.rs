//! What clients were served while links stayed cut: a strip for each variant.

use plotters::prelude::*;

use super::{
    Plot,
    frame::{self, Axis, Failure, Legend, Mark, row_middle},
    style::{FAULT, INK, LEADER},
};
use crate::{
    error::ReportError,
    recovery::{Cell, Hold, Recovery, SLICE},
};

/// The plot of one scenario under one election timeout; nothing if no cell is of these.
pub(crate) fn strips(
    recovery: &Recovery,
    scenario: &str,
    election_timeout: &str,
) -> Result<Option<Plot>, ReportError> {
    let cells: Vec<(&Cell, &Hold)> = recovery
        .cells
        .iter()
        .filter(|cell| cell.scenario == scenario && cell.election_timeout == election_timeout)
        .filter_map(|cell| Some((cell, cell.typical()?)))
        .collect();
    if cells.is_empty() {
        return Ok(None);
    }
    let names: Vec<String> = cells.iter().map(|(cell, _)| shortly(cell)).collect();
    let longest = cells.iter().map(|(_, run)| run.length_ms).fold(0.0, f64::max) / 1e3;
    let x = Axis::linear(0.0..longest, "time since the links were cut (s)");
    let legend = [
        Legend::new("writes are acknowledged", LEADER, Mark::Box),
        Legend::new("none for a quarter of a second", FAULT, Mark::Faint),
        Legend::new("somebody is elected", INK, Mark::Line),
    ];
    let title = format!("{scenario}, election timeout {election_timeout}");
    let height = 70 + 21 * u32::try_from(names.len()).unwrap_or(u32::MAX / 64);
    let svg = frame::draw("recovery", &title, &legend, height, |area| {
        let (room, below) = area.split_horizontally(NAMES);
        drop(room);
        let mut chart = frame::chart(&below, &x, &Axis::rows(&names, 0.0))?;
        for (row, (_, run)) in cells.iter().enumerate() {
            strip(&mut chart, run, row_middle(names.len(), row))?;
        }
        Ok(())
    })?;
    let caption = "One run of each variant: of those with the most frequent outcome, the one in the \
                   middle by its outage.";
    Ok(Some(Plot { name: "recovery", caption: caption.to_owned(), svg }))
}

/// The room that the names take left of what the axes leave them, in pixels.
const NAMES: u32 = 250;

fn strip(chart: &mut frame::Chart<'_>, run: &Hold, middle: f64) -> Result<(), Failure> {
    let slice = SLICE.as_secs_f64();
    let mut from = 0;
    while from < run.slices.len() {
        let served = run.slices[from];
        let alike = run.slices[from..].iter().take_while(|&&other| other == served).count();
        let (left, right) = (from as f64 * slice, (from + alike) as f64 * slice);
        let color = if served { LEADER.mix(0.75) } else { FAULT.mix(0.22) };
        let corners = [(left, middle - 0.36), (right, middle + 0.36)];
        chart.draw_series([Rectangle::new(corners, color.filled())])?;
        from += alike;
    }
    for at in &run.elected_at_ms {
        let ends = [(at / 1e3, middle - 0.44), (at / 1e3, middle + 0.44)];
        chart.draw_series([PathElement::new(ends, INK.stroke_width(1))])?;
    }
    Ok(())
}

fn shortly(cell: &Cell) -> String {
    format!("{}, {}", cell.protocol, cell.variant)
}
