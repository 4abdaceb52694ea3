//! Colours and letters. The colours can be told apart without seeing red or green (Okabe and Ito,
//! "Color Universal Design", 2008).

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

/// The background.
pub(super) const PAPER: RGBColor = RGBColor(255, 255, 255);
/// Text and axes.
pub(super) const INK: RGBColor = RGBColor(31, 41, 51);
/// Text that steps back.
pub(super) const MUTED: RGBColor = RGBColor(98, 112, 126);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(228, 232, 237);
/// Faults, drawn translucent.
pub(super) const FAULT: RGBColor = RGBColor(178, 34, 52);
/// A replica that does not run.
pub(super) const DOWN: RGBColor = RGBColor(84, 91, 99);
/// A replica that follows.
pub(super) const FOLLOWER: RGBColor = RGBColor(214, 226, 236);
/// A replica that campaigns.
pub(super) const CANDIDATE: RGBColor = RGBColor(230, 159, 0);
/// A replica that leads.
pub(super) const LEADER: RGBColor = RGBColor(0, 125, 92);

const SIDES: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

const NODES: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(138, 120, 40),
    RGBColor(90, 90, 90),
];

/// Stages, from the long wait to the last answer.
const STAGES: [RGBColor; 6] = [
    RGBColor(160, 174, 190),
    RGBColor(230, 159, 0),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
];

/// The colour of the how-many-th value; none is that of a replica that is down.
pub(super) fn value(number: u64) -> RGBColor {
    nth(number % (NODES.len() as u64 - 1))
}

/// The colour of one side of a comparison.
pub(super) fn side(number: usize) -> RGBColor {
    SIDES[number % SIDES.len()]
}

/// The colour of the how-many-th node.
pub(super) fn nth(number: u64) -> RGBColor {
    NODES[(number % NODES.len() as u64) as usize]
}

/// The colour of a stage.
pub(super) fn stage(number: usize) -> RGBColor {
    STAGES[number % STAGES.len()]
}

/// The sides' colours, for a page's style sheet.
pub(crate) fn palette_css() -> String {
    SIDES
        .iter()
        .enumerate()
        .map(|(n, RGBColor(r, g, b))| format!(".side-{n}{{--side:rgb({r},{g},{b})}}"))
        .collect()
}

/// A text style: the height is in pixels of the drawing.
pub(super) fn text(height: f64, color: RGBColor, horizontal: HPos) -> TextStyle<'static> {
    // The SVG backend divides sizes by 1.24.
    ("system-ui, Helvetica, Arial, sans-serif", height * 1.24)
        .into_font()
        .color(&color)
        .pos(Pos::new(horizontal, VPos::Center))
}

/// The same, in bold.
pub(super) fn bold(height: f64, color: RGBColor, horizontal: HPos) -> TextStyle<'static> {
    ("system-ui, Helvetica, Arial, sans-serif", height * 1.24, FontStyle::Bold)
        .into_font()
        .color(&color)
        .pos(Pos::new(horizontal, VPos::Center))
}

/// About how wide a text is, in pixels.
pub(super) fn width(text: &str, height: f64) -> f64 {
    text.chars().count() as f64 * height * 0.54
}

/// White on dark colours, ink on light ones.
pub(super) fn on(RGBColor(r, g, b): RGBColor) -> RGBColor {
    let light = 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
    if light > 150.0 { INK } else { PAPER }
}

/// A text without what no XML may hold.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => '·',
            c => c,
        })
        .collect()
}
