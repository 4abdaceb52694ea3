//! What breaks a rule, drawn: the operations that contradict each other, on a line of time each.

use checker::Counterexample;
use consensus_core::{
    Time,
    history::{Call, Operation, Outcome},
};

use super::{escape, page::paragraph, tables};
use crate::{record::RunRecord, table::number};

/// The most operations that are drawn.
const DRAWN: usize = 40;
/// The width of the drawing, in pixels.
const WIDTH: f64 = 960.0;
/// Where time begins in it.
const LEFT: f64 = 110.0;
/// The height of a row.
const ROW: f64 = 34.0;

/// All counterexamples of a run.
pub(super) fn all(record: &RunRecord) -> String {
    record
        .verdicts
        .named()
        .iter()
        .filter_map(|(name, verdict)| Some(one(record, name, verdict.counterexample()?)))
        .collect()
}

fn one(record: &RunRecord, rule: &str, counterexample: &Counterexample) -> String {
    let mut html = format!("<h3>{}</h3>\n", escape(rule));
    html.push_str(&paragraph(&counterexample.summary));
    if !counterexample.operations.is_empty() {
        html.push_str(&drawing(&counterexample.operations));
        let shown = counterexample.operations.len().min(DRAWN);
        if shown < counterexample.operations.len() {
            html.push_str(&paragraph(&format!(
                "The first {shown} of {} operations are drawn.",
                counterexample.operations.len()
            )));
        }
    }
    html.push_str(&entries(counterexample));
    html.push_str(&observations(record, counterexample));
    html
}

fn entries(counterexample: &Counterexample) -> String {
    let head = ["replica", "incarnation", "index", "epoch", "digest", "session", "number", "fresh"];
    let rows: Vec<Vec<String>> = counterexample
        .entries
        .iter()
        .take(2 * DRAWN)
        .map(|entry| {
            let (session, sequence) = entry
                .request
                .map_or(("–".into(), "–".into()), |(s, n)| (s.0.to_string(), n.to_string()));
            vec![
                entry.node.to_string(),
                entry.incarnation.to_string(),
                entry.index.to_string(),
                entry.epoch.to_string(),
                format!("{:016x}", entry.digest),
                session,
                sequence,
                if entry.fresh { "yes" } else { "no" }.to_owned(),
            ]
        })
        .collect();
    tables::table(&head, &rows)
}

fn observations(record: &RunRecord, counterexample: &Counterexample) -> String {
    let rows: Vec<Vec<String>> = counterexample
        .observations
        .iter()
        .take(2 * DRAWN)
        .map(|seen| {
            vec![
                format!("{:.6}", record.seconds(seen.at)),
                seen.node.to_string(),
                seen.incarnation.to_string(),
                format!("<span class=\"wrap\">{}</span>", escape(&seen.event.to_string())),
            ]
        })
        .collect();
    tables::table(
        &["at (s)", "replica", "incarnation", "<span class=\"left\">what it noted</span>"],
        &rows,
    )
}

/// The operations as bars from their first sending to their answer.
fn drawing(operations: &[Operation]) -> String {
    let shown = &operations[..operations.len().min(DRAWN)];
    let start = shown.iter().map(|op| op.invoked).min().unwrap_or(Time::ZERO);
    let end = shown.iter().map(|op| op.completed.unwrap_or(op.invoked)).max().unwrap_or(start);
    // An operation without an answer reaches beyond the last instant that is known.
    let span = (end.since(start).as_secs_f64() * 1e3 * 1.06).max(1e-6);
    let x = |at: Time| {
        LEFT + (WIDTH - LEFT - 20.0) * (at.since(start).as_secs_f64() * 1e3 / span).min(1.0)
    };
    let height = ROW * shown.len() as f64 + 46.0;
    let rows: String = shown.iter().enumerate().map(|(row, op)| bar(row, op, &x)).collect();
    let scale = number(Some(end.since(start).as_secs_f64() * 1e3), "ms");
    let below = height - 14.0;
    format!(
        "<figure>\n<svg role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui,Helvetica,Arial,sans-serif\" font-size=\"12\">\n\
         <title>The operations that contradict each other, over time</title>\n{rows}\
         <line x1=\"{LEFT}\" y1=\"{axis}\" x2=\"{right}\" y2=\"{axis}\" stroke=\"#9aa7b4\"/>\n\
         <text x=\"{LEFT}\" y=\"{below}\" fill=\"#62707e\">0</text>\n\
         <text x=\"{end_x}\" y=\"{below}\" fill=\"#62707e\" text-anchor=\"end\">{scale}</text>\n</svg>\n\
         <figcaption>Each bar runs from the first sending to the answer; a dashed one got no answer, \
         or one that does not tell, and may take effect at any later time.</figcaption>\n</figure>\n",
        axis = height - 32.0,
        right = WIDTH - 20.0,
        end_x = x(end).max(LEFT + 90.0),
    )
}

fn bar(row: usize, operation: &Operation, x: &dyn Fn(Time) -> f64) -> String {
    let top = 8.0 + ROW * row as f64;
    let left = x(operation.invoked);
    let open = operation.completed.is_none() || matches!(operation.outcome, Outcome::Unknown(_));
    let right = match operation.completed {
        Some(completed) if !open => x(completed),
        _ => WIDTH - 20.0,
    };
    let (fill, stroke) = match &operation.outcome {
        Outcome::Ok { .. } => ("#d6e6f2", "#0072b2"),
        Outcome::Failed(_) => ("#eceff2", "#62707e"),
        Outcome::Unknown(_) => ("#fdf3dc", "#b07400"),
    };
    let dash = if open { " stroke-dasharray=\"5 4\"" } else { "" };
    let width = (right - left).max(3.0);
    let middle = top + 17.0;
    // A label that does not fit into its bar stands right of it, or else left of it.
    let label = words(operation);
    let label_width = label.chars().count() as f64 * 6.6;
    let (label_x, anchor) = if label_width + 10.0 < width {
        (left + 6.0, "start")
    } else if left + width + 6.0 + label_width < WIDTH - 4.0 {
        (left + width + 6.0, "start")
    } else {
        (left - 6.0, "end")
    };
    format!(
        "<text x=\"12\" y=\"{middle}\" fill=\"#62707e\">client {}</text>\n\
         <rect x=\"{left:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"26\" rx=\"4\" fill=\"{fill}\" \
         stroke=\"{stroke}\"{dash}/>\n\
         <text x=\"{label_x:.1}\" y=\"{middle}\" text-anchor=\"{anchor}\" fill=\"#1f2933\">{}</text>\n",
        operation.client,
        escape(&label)
    )
}

/// An operation and its outcome, as a person would write them down.
fn words(operation: &Operation) -> String {
    let key = shortened(&operation.key);
    let held = |value: &Option<String>| value.as_deref().map_or("nothing".into(), shortened);
    let call = match &operation.call {
        Call::Get => format!("get {key}"),
        Call::Put(value) => format!("put {key} = {}", shortened(value)),
        Call::Delete => format!("delete {key}"),
        Call::CompareAndSwap { expected, value } => {
            format!("swap {key} from {} to {}", held(expected), shortened(value))
        }
        Call::TestAndSet(value) => format!("test-and-set {key} = {}", shortened(value)),
    };
    let outcome = match (&operation.outcome, &operation.call) {
        (Outcome::Ok { held: value, .. }, Call::Get) => held(value),
        (Outcome::Ok { changed: true, .. }, _) => "done".to_owned(),
        (Outcome::Ok { changed: false, .. }, _) => "not changed".to_owned(),
        (Outcome::Failed(_), _) => "refused".to_owned(),
        (Outcome::Unknown(_), _) => "unknown".to_owned(),
    };
    format!("{call} → {outcome}")
}

/// A text that fits into a bar, without what no page may hold.
fn shortened(text: &str) -> String {
    let printable = |c: char| if c.is_control() { '·' } else { c };
    match text.chars().count() {
        0..=24 => text.chars().map(printable).collect(),
        _ => text.chars().take(23).map(printable).chain(['…']).collect(),
    }
}
