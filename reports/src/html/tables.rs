//! The tables of a report.

use consensus_core::Consistency;

use super::{escape, page::paragraph};
use crate::{
    elections::{Trial, TrialOutcome},
    record::RunRecord,
    statistics::Quantiles,
    summary::{Cost, Summary},
    table::{grouped, number, signed, significant},
};

/// A table from its head and its rows, all cells already HTML.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head: String = head.iter().map(|cell| format!("<th>{cell}</th>")).collect();
    let rows: String = rows
        .iter()
        .map(|row| {
            let cells: String = row.iter().map(|cell| format!("<td>{cell}</td>")).collect();
            format!("<tr>{cells}</tr>\n")
        })
        .collect();
    format!(
        "<div class=\"scroll\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

/// A number, or a dash.
pub(super) fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), significant)
}

/// The head above [`quantile_row`]s.
pub(super) const QUANTILES: [&str; 10] = [
    "milliseconds",
    "n",
    "min",
    "p50 <small>(95 % interval)</small>",
    "mean",
    "p90",
    "p95",
    "p99",
    "p99.9",
    "max",
];

/// One distribution as a row; `name` is HTML.
pub(super) fn quantile_row(name: &str, quantiles: &Quantiles) -> Vec<String> {
    let interval = match (quantiles.p50_low, quantiles.p50_high) {
        (Some(low), Some(high)) => {
            format!(" <small>({} to {})</small>", significant(low), significant(high))
        }
        _ => String::new(),
    };
    vec![
        name.to_owned(),
        grouped(quantiles.n as f64),
        cell(quantiles.min),
        format!("{}{interval}", cell(quantiles.p50)),
        cell(quantiles.mean),
        cell(quantiles.p90),
        cell(quantiles.p95),
        cell(quantiles.p99),
        cell(quantiles.p999),
        cell(quantiles.max),
    ]
}

/// The distributions of a run that have samples, each with its place among all.
pub(super) fn distributions(summary: &Summary) -> Vec<(usize, &'static str, Quantiles)> {
    let latency = summary.commit_latency_ms;
    // Where all reads are linearizable, the line above says it all.
    let by_kind = summary.read_latency_by_kind_ms.as_ref();
    let mixed = by_kind.filter(|kinds| !kinds.keys().eq(&[Consistency::Linearizable]));
    let reads = |kind| mixed.and_then(|kinds| kinds.get(&kind).copied());
    let all = [
        ("client-visible outage", summary.outage_ms),
        ("election time", summary.election_ms),
        ("commit latency, client", latency.map(|l| l.client)),
        ("… while no fault was under way", latency.map(|l| l.client_undisturbed)),
        ("commit latency, inside the leader", latency.map(|l| l.leader.latency)),
        ("read latency, client", summary.read_latency_ms),
        ("… of linearizable reads", reads(Consistency::Linearizable)),
        ("… of reads by lease", reads(Consistency::Lease)),
        ("… of reads that followers serve", reads(Consistency::Follower)),
        ("… of stale reads", reads(Consistency::Stale)),
    ];
    let sampled = |(at, (name, quantiles)): (usize, (_, Option<Quantiles>))| {
        Some((at, name, quantiles.filter(|quantiles| quantiles.n > 0)?))
    };
    all.into_iter().enumerate().filter_map(sampled).collect()
}

/// The trials of a run, one row each.
pub(super) fn trials(record: &RunRecord, trials: &[Trial]) -> String {
    let head = [
        "trial",
        "at (s)",
        "fault",
        "struck",
        "led before",
        "<span class=\"left\">outcome</span>",
        "election <small>(ms)</small>",
        "vote rounds <small>(ms)</small>",
        "outage <small>(ms)</small>",
        "lost campaigns",
    ];
    let nodes = |trial: &Trial| {
        let nodes: Vec<String> = trial.nodes.iter().map(ToString::to_string).collect();
        nodes.join(", ")
    };
    let rows: Vec<Vec<String>> = trials
        .iter()
        .map(|trial| {
            let election = trial.election();
            let mut outcome = trial.outcome_in_words();
            if trial.waited_for_quorum() {
                outcome.push_str("; counted from the return of the quorum");
            }
            vec![
                trial.number.to_string(),
                format!("{:.2}", record.seconds(trial.start)),
                escape(&trial.kind),
                escape(&nodes(trial)),
                trial.leader.map_or("–".into(), |(node, epoch)| {
                    format!("{node} <small>({epoch})</small>")
                }),
                format!("<span class=\"wrap\">{}</span>", escape(&outcome)),
                cell(election.map(crate::elections::Election::election_ms)),
                cell(election.and_then(crate::elections::Election::vote_rounds_ms)),
                cell(trial.outage_ms()),
                election.map_or("–".into(), |election| election.lost_campaigns.to_string()),
            ]
        })
        .collect();
    table(&head, &rows)
}

/// How many trials measured no election, and why; nothing if all did.
pub(super) fn trials_left_out(trials: &[Trial]) -> String {
    let count = |wanted: &TrialOutcome| trials.iter().filter(|t| t.outcome == *wanted).count();
    let reasons: Vec<String> = [
        (TrialOutcome::LeaderNotStruck, "did not strike the leader"),
        (TrialOutcome::NobodyLed, "struck while nobody led"),
        (TrialOutcome::NobodyElected, "ended with nobody elected"),
    ]
    .iter()
    .filter_map(|(outcome, words)| match count(outcome) {
        0 => None,
        n => Some(format!("{n} {words}")),
    })
    .collect();
    if reasons.is_empty() {
        return String::new();
    }
    paragraph(&format!(
        "Of {} trials {}: these give no election time.",
        trials.len(),
        reasons.join(", ")
    ))
}

/// Which elections the prediction does not speak of, and why; nothing if it speaks of all.
pub(super) fn unpredicted<'a>(trials: impl Iterator<Item = &'a Trial>) -> String {
    let elected: Vec<&Trial> = trials.filter(|trial| trial.election().is_some()).collect();
    let count = |of: &dyn Fn(&Trial) -> bool| elected.iter().filter(|trial| of(trial)).count();
    let waited = count(&|trial| trial.waited_for_quorum());
    let heard = count(&|trial| !trial.waited_for_quorum() && trial.survivors.is_none());
    let reasons: Vec<String> = [
        (waited, "had to wait until the faults left a quorum again"),
        (heard, "followed no leader's silence: it was still heard"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, why)| format!("{count} {why}"))
    .collect();
    if reasons.is_empty() {
        return String::new();
    }
    paragraph(&format!(
        "Of {} elections {}: the timeouts alone predict nothing of these.",
        elected.len(),
        reasons.join(", ")
    ))
}

/// The fairness ledger, one row for each side; the first of each pair is HTML.
pub(super) fn costs(sides: &[(String, Cost)]) -> String {
    let head = [
        "",
        "commands committed",
        "messages each",
        "bytes each",
        "syncs each",
        "messages",
        "bytes",
        "syncs",
        "elections",
    ];
    let count =
        |value: Option<u64>| value.map_or_else(|| "–".into(), |value| grouped(value as f64));
    let rows: Vec<Vec<String>> = sides
        .iter()
        .map(|(name, cost)| {
            vec![
                name.clone(),
                grouped(cost.commits as f64),
                cell(cost.messages_per_commit),
                cell(cost.bytes_per_commit),
                cell(cost.syncs_per_commit),
                count(cost.messages),
                count(cost.bytes),
                count(cost.syncs),
                cost.elections.to_string(),
            ]
        })
        .collect();
    table(&head, &rows)
}

/// What the schedule expected.
pub(super) fn expectations(record: &RunRecord) -> String {
    let rows: Vec<Vec<String>> = record
        .expectations
        .iter()
        .map(|expectation| {
            let word = match expectation.held {
                true => "<span class=\"ok-word\">held</span>",
                false => "<span class=\"violated-word\">not held</span>",
            };
            vec![
                escape(&expectation.name),
                format!("<span class=\"left\">{word}</span>"),
                format!("<span class=\"wrap\">{}</span>", escape(&expectation.detail)),
            ]
        })
        .collect();
    table(&["expected", "", "<span class=\"left\">seen</span>"], &rows)
}

/// A table under a smaller heading; nothing if there is none.
pub(super) fn under(heading: &str, table: &str) -> String {
    if table.is_empty() { String::new() } else { format!("<h3>{heading}</h3>\n{table}") }
}

/// Where the run was made, and how to make it again.
pub(super) fn environment(record: &RunRecord) -> String {
    let meta = &record.metadata;
    let mut facts: Vec<(String, String)> = vec![
        ("command".into(), meta.command.clone()),
        ("commit".into(), meta.commit.clone()),
        ("started".into(), meta.started_at.clone()),
        ("target".into(), format!("{} ({})", meta.target, meta.clock)),
        ("durability".into(), meta.durability.clone()),
        ("network".into(), meta.network.clone()),
        ("schedule".into(), format!("{} ({})", meta.schedule, meta.schedule_digest)),
        ("seed".into(), meta.seed.to_string()),
    ];
    facts.extend(meta.host.iter().map(|(name, value)| (name.clone(), value.clone())));
    let facts: String = facts
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| match name.as_str() {
            "command" => format!("<dt>{name}</dt><dd><code>{}</code></dd>\n", escape(value)),
            _ => format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value)),
        })
        .collect();
    format!("<dl>\n{facts}</dl>\n")
}

/// The prediction, part by part; the first of each pair is HTML.
pub(super) fn predictions(sides: &[(String, crate::prediction::Prediction)]) -> String {
    let head = [
        "",
        "elections",
        "survivors",
        "smallest timeout p50",
        "less the phase",
        "plus vote rounds p50",
        "predicted p50",
        "measured p50",
        "difference",
    ];
    let ms = |value| number(Some(value), "ms");
    let rows: Vec<Vec<String>> = sides
        .iter()
        .map(|(name, p)| {
            vec![
                name.clone(),
                p.n.to_string(),
                p.survivors.to_string(),
                ms(p.smallest_timeout_p50_ms),
                ms(p.phase_mean_ms),
                ms(p.vote_rounds_p50_ms),
                format!(
                    "{} <small>({} to {})</small>",
                    ms(p.predicted_p50_ms),
                    significant(p.predicted_p50_low_ms),
                    significant(p.predicted_p50_high_ms)
                ),
                ms(p.measured_p50_ms),
                signed(p.relative_difference * 100.0, 1) + " %",
            ]
        })
        .collect();
    table(&head, &rows)
}
