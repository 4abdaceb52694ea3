//! The page of a recovery table.

use super::{
    escape,
    page::{figures, folded, page, paragraph, section},
    tables,
};
use crate::{
    error::ReportError,
    plots,
    recovery::{self, Cell, Class, Recovery, Scenario},
    verdicts::Standing,
};

/// The whole page.
pub(super) fn render(recovery: &Recovery) -> Result<String, ReportError> {
    let mut body = header(recovery) + &banner(recovery);
    body.push_str(&section("What the words mean", &definitions(recovery)));
    for scenario in &recovery.scenarios {
        body.push_str(&section(&scenario.name, &part(recovery, scenario)?));
    }
    body.push_str(&section("How to run this again", &environment(recovery)));
    Ok(page("Partial connectivity: who recovers", &body))
}

fn header(recovery: &Recovery) -> String {
    format!(
        "<header>\n<p class=\"kicker\">Partial connectivity</p>\n<h1>Who recovers while links stay cut</h1>\n\
         <p class=\"facts\">{} runs in virtual time, {} for each variant and election timeout; links stay cut \
         for {:.0} s; {}</p>\n</header>\n",
        recovery.cells.iter().map(|cell| cell.runs.len()).sum::<usize>(),
        recovery.runs,
        recovery.hold_s,
        escape(&recovery.started_at),
    )
}

fn banner(recovery: &Recovery) -> String {
    let standing = recovery.standing();
    let words = match standing {
        Standing::Ok | Standing::NotJudged => {
            "All runs are safe: every verdict is ok. What differs is who serves."
        }
        Standing::Undecided => "Not every verdict could be decided.",
        Standing::Violated => {
            "A verdict is violated: partial connectivity must cost time, and never safety."
        }
    };
    format!("<div class=\"banner {}\"><strong>{words}</strong></div>\n", standing.class())
}

fn definitions(recovery: &Recovery) -> String {
    let half = recovery.hold_s / 2.0;
    let slice = recovery::SLICE.as_millis();
    let terms = [
        ("recovers", format!("in the second half of the {:.0} s, {half:.0} s long, a write is acknowledged in every slice of {slice} ms, and nobody is newly elected", recovery.hold_s)),
        ("flaps", "at least half of those slices are served, but some are not, or leaders go on changing".to_owned()),
        ("livelocks", "fewer than half are served, and epochs (terms, ballots) go on being used up; perhaps without anybody being elected".to_owned()),
        ("deadlocks", "fewer than half are served, and no epoch is used up any more".to_owned()),
        ("outage", "the longest time without an acknowledged write while the links are cut: the middle and the worst of the runs".to_owned()),
        ("elections, epochs", "how often a replica came to lead, and for how many different epochs somebody campaigned, in all of the time: the middle of the runs. Whoever reaches nobody is left out".to_owned()),
    ];
    let list: String = terms
        .iter()
        .map(|(term, meaning)| format!("<dt>{term}</dt><dd>{}</dd>\n", escape(meaning)))
        .collect();
    format!("<dl>\n{list}</dl>\n")
}

fn part(recovery: &Recovery, scenario: &Scenario) -> Result<String, ReportError> {
    let mut html = paragraph(&scenario.description);
    let mut head = vec!["protocol", "<span class=\"left\">variant</span>"];
    let timeouts: Vec<String> = recovery
        .election_timeouts
        .iter()
        .map(|timeout| format!("<span class=\"left\">{}</span>", escape(timeout)))
        .collect();
    head.extend(timeouts.iter().map(String::as_str));
    let rows: Vec<Vec<String>> =
        recovery.rows(&scenario.name).iter().map(|row| table_row(row)).collect();
    html.push_str(&tables::table(&head, &rows));
    for timeout in &recovery.election_timeouts {
        let plot = plots::recovery_strips(recovery, &scenario.name, timeout)?;
        html.push_str(&figures(&plot.into_iter().collect::<Vec<_>>()));
    }
    for cell in recovery.cells.iter().filter(|cell| cell.scenario == scenario.name) {
        html.push_str(&trace(cell));
    }
    Ok(html)
}

fn table_row(row: &[&Cell]) -> Vec<String> {
    let variant = format!("<span class=\"wrap\">{}</span>", escape(&row[0].variant));
    let mut cells = vec![escape(&row[0].protocol), variant];
    cells.extend(row.iter().map(|cell| {
        let class = match cell.class() {
            Class::Recovers => "ok-word",
            Class::Flaps => "undecided-word",
            Class::Livelocks | Class::Deadlocks => "violated-word",
        };
        format!(
            "<span class=\"wrap\"><span class=\"{class}\">{}</span><br><small>{}; {}</small></span>",
            escape(&cell.classes()),
            escape(&recovery::outage(cell)),
            escape(&recovery::used_up(cell)),
        )
    }));
    cells
}

/// The beginning of the typical run of a cell that does not simply recover.
fn trace(cell: &Cell) -> String {
    let Some(run) = cell.typical().filter(|run| run.class != Class::Recovers) else {
        return String::new();
    };
    let summary = format!(
        "Trace: {}, {}, election timeout {}, seed {}: node {} led, the other is node {}",
        cell.protocol, cell.variant, cell.election_timeout, run.seed, run.leader, run.other
    );
    folded(&summary, &recovery::trace(cell, run))
}

fn environment(recovery: &Recovery) -> String {
    format!(
        "<dl>\n<dt>command</dt><dd><code>{}</code></dd>\n<dt>commit</dt><dd>{}</dd>\n<dt>load</dt><dd>{}</dd>\n</dl>\n",
        escape(&recovery.command),
        escape(&recovery.commit),
        escape(&recovery.load)
    )
}
