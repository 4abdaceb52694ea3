//! The table and the traces as text: Markdown to read, CSV to compute with.

use std::fmt::Write as _;

use super::{Cell, Class, Hold, Recovery};
use crate::table::significant;

/// How many lines of a trace are shown.
const TRACE_LINES: usize = 18;

/// The tables, one for each scenario: a row for each variant, a column for each election timeout.
pub fn markdown(recovery: &Recovery) -> String {
    let mut text = String::new();
    for scenario in &recovery.scenarios {
        let _ = writeln!(text, "### {}\n\n{}\n", scenario.name, scenario.description);
        let timeouts = recovery.election_timeouts.join(" | ");
        let rule = "---|".repeat(recovery.election_timeouts.len());
        let _ = writeln!(text, "| protocol | variant | {timeouts} |\n|---|---|{rule}");
        for row in recovery.rows(&scenario.name) {
            let cells: Vec<_> = row.iter().map(|cell| brief(cell)).collect();
            let Cell { protocol, variant, .. } = row[0];
            let _ = writeln!(text, "| {protocol} | {variant} | {} |", cells.join(" | "));
        }
        text.push('\n');
    }
    text
}

/// A cell in one line: what came of it, the outage, and what was used up on the way.
fn brief(cell: &Cell) -> String {
    let word = match cell.class() {
        Class::Recovers => cell.classes(),
        _ => format!("**{}**", cell.classes()),
    };
    format!("{word}; {}; {}", outage(cell), used_up(cell))
}

/// The outage of a cell: the middle and the worst of its runs.
pub(crate) fn outage(cell: &Cell) -> String {
    let (Some(typical), Some(worst)) = (cell.typical(), cell.worst()) else { return String::new() };
    if typical.outage_to_the_end && cell.runs.iter().all(|run| run.outage_to_the_end) {
        return "no service to the end".to_owned();
    }
    let median = cell.median(|run| run.outage_ms) / 1e3;
    let worst = match worst.outage_to_the_end {
        true => "to the end".to_owned(),
        false => format!("{} s", significant(worst.outage_ms / 1e3)),
    };
    format!("{} s (worst {worst})", significant(median))
}

/// What was used up: elections and epochs, each the middle of the runs; and the share of the time that
/// was served, if that is not nearly all or nothing.
pub(crate) fn used_up(cell: &Cell) -> String {
    let median = |of: fn(&Hold) -> usize| cell.median(|run| of(run) as f64).round();
    let counted = |count: f64, one: &str, more: &str| match count {
        1.0 => format!("1 {one}"),
        _ => format!("{count} {more}"),
    };
    let elections = counted(median(|run| run.elections), "election", "elections");
    let epochs = counted(median(|run| run.epochs), "epoch", "epochs");
    match cell.class() {
        Class::Flaps | Class::Livelocks => {
            let served = cell.median(|run| run.served) * 100.0;
            format!("{elections}, {epochs}, served {served:.0} %")
        }
        Class::Recovers | Class::Deadlocks => format!("{elections}, {epochs}"),
    }
}

/// One line for each run.
pub fn csv(recovery: &Recovery) -> String {
    let mut text = String::from(
        "scenario,protocol,variant,election_timeout,seed,leader,other,class,outage_ms,\
         outage_to_the_end,served,elections,epochs,hold_ms,verdict\n",
    );
    for cell in &recovery.cells {
        for run in &cell.runs {
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{},{:.3},{},{:.4},{},{},{:.3},{}",
                quoted(&cell.scenario),
                quoted(&cell.protocol),
                quoted(&cell.variant),
                quoted(&cell.election_timeout),
                run.seed,
                run.leader,
                run.other,
                run.class.name(),
                run.outage_ms,
                run.outage_to_the_end,
                run.served,
                run.elections,
                run.epochs,
                run.length_ms,
                run.standing,
            );
        }
    }
    text
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// The beginning of the typical run of every cell that does not simply recover, under the election
/// timeout in the middle: the others differ in their scale.
pub fn traces(recovery: &Recovery) -> String {
    let mut text = String::new();
    let timeouts = &recovery.election_timeouts;
    let Some(timeout) = timeouts.get(timeouts.len() / 2) else { return text };
    let failing = recovery
        .cells
        .iter()
        .filter(|cell| cell.election_timeout == *timeout && cell.class() != Class::Recovers);
    for cell in failing {
        let Some(run) = cell.typical() else { continue };
        let Cell { scenario, protocol, variant, .. } = cell;
        let _ = writeln!(
            text,
            "### {scenario}: {protocol}, {variant}\n\n{}. Node {} led, the {} is node {}.\n\n```\nharness run {} --seed {}\n\n{}```\n",
            brief(cell),
            run.leader,
            cell.other_is(),
            run.other,
            cell.arguments,
            run.seed,
            trace(cell, run),
        );
    }
    text
}

impl Cell {
    /// What the other is called around whom the links were cut.
    fn other_is(&self) -> &'static str {
        if self.scenario.starts_with("chained") { "far end" } else { "hub" }
    }
}

/// The first lines of a run's trace, and how it went on.
pub(crate) fn trace(cell: &Cell, run: &Hold) -> String {
    let mut text = String::new();
    for line in run.trace.iter().take(TRACE_LINES) {
        let who = match line.node {
            None => "the clients".to_owned(),
            Some(node) if node == run.leader => format!("node {node}, old leader"),
            Some(node) if node == run.other => format!("node {node}, {}", cell.other_is()),
            Some(node) => format!("node {node}"),
        };
        let _ = writeln!(text, "{:>9.1} ms  {who:<19} {}", line.at_ms, line.what);
    }
    if run.trace.len() > TRACE_LINES {
        let (elections, epochs) = (run.elections, run.epochs);
        let _ = writeln!(text, "        …     {elections} elections and {epochs} epochs in all");
    }
    let end = match run.outage_to_the_end {
        true => format!("; no write was acknowledged for {:.0} ms", run.outage_ms),
        false => String::new(),
    };
    let _ = writeln!(text, "{:>9.1} ms  the links are mended{end}", run.length_ms);
    text
}
