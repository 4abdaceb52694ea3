//! What happened during a hold, a line for each event that matters to leadership, for people to read.

use std::time::Duration;

use consensus_core::{Event, NodeId, Time, history::Observed};

use super::{SLICE, Span};

/// One line of a trace.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// When, in milliseconds since the links were cut.
    pub at_ms: f64,
    /// At which replica; `None` for what the clients see.
    pub node: Option<NodeId>,
    /// What happened.
    pub what: String,
}

/// The most lines that a trace keeps.
const MOST_LINES: usize = 400;

/// The events of a hold that matter to leadership, and when clients were served.
pub(super) fn of(seen: &[&Observed], writes: &[Time], span: Span) -> Vec<Line> {
    let mut lines: Vec<(Time, Line)> = Vec::new();
    for seen in seen {
        let Some(what) = told(seen) else { continue };
        let line = Line { at_ms: span.since_ms(seen.at), node: Some(seen.node), what };
        lines.push((seen.at, line));
    }
    let mut last = span.from;
    for &at in writes {
        if at.since(last) >= SLICE {
            let what =
                format!("a write is acknowledged, the first for {} ms", millis(at.since(last)));
            lines.push((at, Line { at_ms: span.since_ms(at), node: None, what }));
        }
        last = at;
    }
    lines.sort_by_key(|(at, _)| *at);
    let mut lines: Vec<Line> = lines.into_iter().map(|(_, line)| line).collect();
    lines.truncate(MOST_LINES);
    lines
}

const fn millis(duration: Duration) -> u128 {
    duration.as_millis()
}

/// What is said of an event; nothing of what is no matter of leadership.
fn told(seen: &Observed) -> Option<String> {
    match &seen.event {
        // That a candidate is for itself goes without saying.
        Event::Voted { candidate, .. } if *candidate == seen.node => None,
        Event::TimedOut { .. }
        | Event::Campaigning { .. }
        | Event::Voted { .. }
        | Event::Elected { .. }
        | Event::CaughtUp { .. }
        | Event::SteppedDown { .. }
        | Event::Refused { .. } => Some(seen.event.to_string()),
        _ => None,
    }
}
