//! The frame that all plots share: heading, legend, axes, fault bands.

use std::ops::Range;

use plotters::{
    chart::ChartContext,
    coord::{
        Shift,
        ranged1d::{DefaultFormatting, KeyPointHint, Ranged},
    },
    prelude::*,
    style::text_anchor::HPos,
};

use super::style::{self, FAULT, GRID, INK, MUTED, PAPER};
use crate::{error::ReportError, record::FaultBand};

/// A part of a drawing.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// A pair of axes to draw on.
pub(super) type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Scale, Scale>>;
/// What drawing may fail with: nothing, for a string.
pub(super) type Failure = Box<dyn std::error::Error>;

/// The width of every plot, in pixels.
pub(super) const WIDTH: u32 = 960;
/// What the heading takes, in pixels, with one line of legend.
const HEADING: u32 = 62;
/// What each further line of legend takes.
const LEGEND_LINE: u32 = 20;
/// How many lines of fault labels a plot over time has, of 12 pixels each.
pub(super) const LABEL_LINES: usize = 3;
/// The most letters of a fault label.
const LABEL_LETTERS: usize = 26;
/// The room left of the axes, in pixels: the same everywhere, so that plots over time line up.
pub(super) const LEFT: u32 = 84;

/// One entry of a legend.
pub(super) struct Legend {
    /// What it says.
    pub text: String,
    /// The colour that it explains.
    pub color: RGBColor,
    /// How that colour is used.
    pub mark: Mark,
}

/// How a colour is used in a plot.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    Line,
    Dashed,
    Box,
    Faint,
    Dot,
}

impl Legend {
    pub(super) fn new(text: impl Into<String>, color: RGBColor, mark: Mark) -> Self {
        Self { text: text.into(), color, mark }
    }
}

/// Draws one plot: its heading, its legend, and what `body` draws below.
pub(super) fn draw(
    plot: &'static str,
    title: &str,
    legend: &[Legend],
    body_height: u32,
    body: impl FnOnce(&Area<'_>) -> Result<(), Failure>,
) -> Result<String, ReportError> {
    let mut svg = String::new();
    let drawn = (|| {
        let lines = legend_places(legend).last().map_or(0, |(_, y)| (y - 47) as u32 / LEGEND_LINE);
        let heading = HEADING + lines * LEGEND_LINE;
        let size = (WIDTH, heading + body_height);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&PAPER)?;
        let (head, below) = root.split_vertically(heading);
        head.draw_text(&style::printable(title), &style::bold(16.0, INK, HPos::Left), (20, 22))?;
        draw_legend(&head, legend)?;
        body(&below)?;
        root.present()?;
        Ok::<(), Failure>(())
    })();
    drawn.map_err(|why| ReportError::Plot { plot, why: why.to_string() })?;
    Ok(accessible(&svg, title))
}

/// Gives a drawing its name for those who do not see it.
fn accessible(svg: &str, title: &str) -> String {
    let title = crate::html::escape(&style::printable(title));
    svg.replacen("<svg ", "<svg role=\"img\" ", 1).replacen(
        ">\n",
        &format!(">\n<title>{title}</title>\n"),
        1,
    )
}

/// Where each entry of a legend begins: a new line where one would not fit.
fn legend_places(legend: &[Legend]) -> Vec<(i32, i32)> {
    let (mut x, mut line) = (20, 0);
    let place = |entry: &Legend| {
        let width = 26 + style::width(&entry.text, 12.5) as i32 + 18;
        if x > 20 && x + width > WIDTH as i32 {
            (x, line) = (20, line + 1);
        }
        let at = (x, 47 + line * LEGEND_LINE as i32);
        x += width;
        at
    };
    legend.iter().map(place).collect()
}

fn draw_legend(area: &Area<'_>, legend: &[Legend]) -> Result<(), Failure> {
    for ((x, y), Legend { text, color, mark }) in legend_places(legend).into_iter().zip(legend) {
        let boxed = [(x + 4, y - 6), (x + 18, y + 6)];
        match mark {
            Mark::Line => {
                area.draw(&PathElement::new([(x, y), (x + 20, y)], color.stroke_width(3)))?;
            }
            Mark::Dashed => {
                for dash in [0, 8, 16] {
                    let ends = [(x + dash, y), (x + dash + 5, y)];
                    area.draw(&PathElement::new(ends, color.stroke_width(2)))?;
                }
            }
            Mark::Box => area.draw(&Rectangle::new(boxed, color.filled()))?,
            Mark::Faint => area.draw(&Rectangle::new(boxed, color.mix(0.22).filled()))?,
            Mark::Dot => area.draw(&Circle::new((x + 11, y), 4, color.filled()))?,
        }
        let text = style::printable(text);
        area.draw_text(&text, &style::text(12.5, INK, HPos::Left), (x + 26, y))?;
    }
    Ok(())
}

/// One axis.
pub(super) struct Axis<'a> {
    /// From where to where.
    pub range: Range<f64>,
    /// Where its lines and labels are.
    pub ticks: Vec<f64>,
    /// What a label says.
    pub label: Box<dyn Fn(&f64) -> String + 'a>,
    /// What the axis shows, with its unit.
    pub title: String,
}

impl<'a> Axis<'a> {
    /// A linear axis.
    pub(super) fn linear(range: Range<f64>, title: impl Into<String>) -> Self {
        let range = if range.end > range.start { range } else { range.start..range.start + 1.0 };
        let step = step(range.end - range.start);
        let first = (range.start / step - 1e-9).ceil() as i64;
        let last = (range.end / step + 1e-9).floor() as i64;
        let digits = if step < 1.0 { (-step.log10()).ceil() as usize } else { 0 };
        Self {
            range,
            ticks: (first..=last).map(|n| n as f64 * step).collect(),
            label: Box::new(move |value| label(*value, digits)),
            title: title.into(),
        }
    }

    /// A logarithmic axis over these positive numbers. Coordinates on it are decimal logarithms.
    pub(super) fn logarithmic(range: Range<f64>, title: impl Into<String>) -> Self {
        let (low, high) = (range.start.max(1e-6).log10(), range.end.max(2e-6).log10());
        let decades = (low.floor() as i32)..=(high.ceil() as i32);
        let dense = high - low < 3.2;
        let ticks = decades
            .flat_map(|decade| {
                let steps: &[f64] = if dense { &[1.0, 2.0, 5.0] } else { &[1.0] };
                steps.iter().map(move |step| step.log10() + f64::from(decade))
            })
            .filter(|tick| (low - 1e-9..=high + 1e-9).contains(tick))
            .collect();
        Self {
            range: low..high,
            ticks,
            label: Box::new(|value| {
                let value = 10f64.powf(*value);
                let digits =
                    if value < 0.9999 { (-value.log10() - 1e-9).ceil() as usize } else { 0 };
                label(value, digits)
            }),
            title: title.into(),
        }
    }

    /// An axis with a row for each of these names, the first on top, below some room for labels.
    pub(super) fn rows(names: &'a [String], room: f64) -> Self {
        Self {
            range: 0.0..names.len() as f64 + room,
            ticks: (0..names.len()).map(|row| row_middle(names.len(), row)).collect(),
            label: Box::new(|middle| {
                let row = (names.len() as f64 - middle).floor() as usize;
                names.get(row).map(|name| style::printable(name)).unwrap_or_default()
            }),
            title: String::new(),
        }
    }
}

/// The middle of a row, counted from the top.
pub(super) fn row_middle(rows: usize, row: usize) -> f64 {
    (rows - row) as f64 - 0.5
}

/// A step of 1, 2 or 5 times a power of ten that divides the span into about seven.
fn step(span: f64) -> f64 {
    let rough = span / 7.0;
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|&step| step >= rough)
        .unwrap_or(10.0 * power)
}

fn label(value: f64, digits: usize) -> String {
    if digits == 0 && value.abs() >= 1_000.0 {
        crate::table::grouped(value)
    } else {
        // A zero must not be shown as −0.
        format!("{:.digits$}", if value.abs() < 1e-12 { 0.0 } else { value })
    }
}

/// A linear scale whose ticks were chosen.
pub(super) struct Scale {
    range: Range<f64>,
    ticks: Vec<f64>,
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        start + (f64::from(end - start) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Light lines would double the chosen ones.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// Draws axes and grid.
pub(super) fn chart<'a>(area: &Area<'a>, x: &Axis<'_>, y: &Axis<'_>) -> Result<Chart<'a>, Failure> {
    let scale = |axis: &Axis<'_>| Scale { range: axis.range.clone(), ticks: axis.ticks.clone() };
    let mut chart = ChartBuilder::on(area)
        .margin_top(if y.title.is_empty() { 6 } else { 24 })
        .margin_right(24)
        .margin_bottom(6)
        .x_label_area_size(if x.title.is_empty() { 26 } else { 46 })
        .y_label_area_size(LEFT)
        .build_cartesian_2d(scale(x), scale(y))?;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(MUTED.mix(0.6))
        .label_style(style::text(12.0, MUTED, HPos::Center))
        .axis_desc_style(style::text(12.5, INK, HPos::Center))
        .x_label_formatter(&*x.label)
        .y_label_formatter(&*y.label)
        .x_desc(x.title.as_str())
        .draw()?;
    if !y.title.is_empty() {
        let at = (LEFT as i32 - 64, 10);
        area.draw_text(&style::printable(&y.title), &style::text(12.5, INK, HPos::Left), at)?;
    }
    Ok(chart)
}

/// Draws faults as bands over the whole height, in seconds, with their labels where they fit.
pub(super) fn fault_bands(
    chart: &mut Chart<'_>,
    faults: &[FaultBand],
    seconds: impl Fn(consensus_core::Time) -> f64,
) -> Result<(), Failure> {
    let (x, y) = (chart.x_range(), chart.y_range());
    let pixel = |chart: &Chart<'_>, at: f64| f64::from(chart.backend_coord(&(at, y.end)).0);
    let line = (y.end - y.start) * 12.0 / f64::from(chart.plotting_area().dim_in_pixel().1);
    // Up to where each line of labels is taken.
    let mut taken = [f64::MIN; LABEL_LINES];
    for fault in faults {
        let start = seconds(fault.start);
        let end = fault.end.map_or(x.end, &seconds).min(x.end);
        if end < x.start || start > x.end {
            continue;
        }
        let start = start.max(x.start);
        // A write is no fault, but what it meets is the point of watching it.
        let color = if fault.disturbs() { FAULT } else { INK };
        let band = Rectangle::new([(start, y.start), (end, y.end)], color.mix(0.09).filled());
        let edge = PathElement::new([(start, y.start), (start, y.end)], color.mix(0.45));
        chart.draw_series([band])?;
        chart.draw_series([edge])?;
        let left = pixel(chart, start) + 4.0;
        let edge = pixel(chart, x.end) + 10.0;
        // Where the label has no room, its first word may.
        for label in [shortened(&fault.label), fault.kind.clone()] {
            let label = style::printable(&label);
            let right = left + style::width(&label, 10.5);
            let free = taken.iter().position(|&taken| left > taken);
            let Some(free) = free.filter(|_| right < edge) else { continue };
            let at = (start, y.end - line * (free as f64 + 0.7));
            let text = Text::new(label, (4, 0), style::text(10.5, color, HPos::Left));
            chart.draw_series([EmptyElement::at(at) + text])?;
            taken[free] = right + 6.0;
            break;
        }
    }
    Ok(())
}

/// A label that leaves room for others.
fn shortened(label: &str) -> String {
    match label.chars().count() {
        0..=LABEL_LETTERS => label.to_owned(),
        _ => label.chars().take(LABEL_LETTERS - 1).chain(['…']).collect(),
    }
}
