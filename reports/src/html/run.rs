//! The report of one run.

use super::{
    counterexample, definitions, escape, figures,
    page::{figures as plot_figures, folded, page, paragraph, section},
    tables,
};
use crate::{
    analysis::Analysis,
    error::ReportError,
    plots,
    record::RunRecord,
    summary::Summary,
    table::{grouped, number},
};

pub(super) fn render(record: &RunRecord) -> Result<String, ReportError> {
    let summary = Summary::of(record);
    let plots = plots::of_run(record)?;
    let mut body = header(record) + &figures::banner(record);
    if record.may_be_measured() {
        body.push_str(&figures::cards(&summary));
        body.push_str(&section("Plots", &plot_figures(&plots)));
        body.push_str(&numbers(record, &summary));
    } else {
        body.push_str(&section("What contradicts what", &counterexample::all(record)));
        body.push_str(&section("Timeline", &plot_figures(&plots)));
    }
    body.push_str(&section("Expectations", &tables::expectations(record)));
    body.push_str(&section("Parameters", &parameters(record)));
    if record.may_be_measured() {
        body.push_str(&section("What was measured, and how", &definitions::definitions()));
    }
    let texts = folded("Resolved schedule", &record.schedule_text)
        + &folded("Configuration", &record.config_text);
    body.push_str(&section(
        "Environment, and how to run this again",
        &(tables::environment(record) + &texts),
    ));
    let meta = &record.metadata;
    Ok(page(&format!("{} · {} on {}", meta.name(), meta.schedule, meta.target), &body))
}

fn header(record: &RunRecord) -> String {
    let meta = &record.metadata;
    let seconds = number(Some(record.seconds(meta.end).max(0.0)), "s");
    format!(
        "<header>\n<p class=\"kicker\">Run report</p>\n<h1>{} under {}</h1>\n\
         <p class=\"facts\">{} replicas on {} ({}), {seconds} of load, seed {}, {}</p>\n</header>\n",
        escape(meta.name()),
        escape(&meta.schedule),
        meta.nodes,
        escape(&meta.target),
        meta.clock,
        meta.seed,
        escape(&meta.started_at),
    )
}

/// All tables of numbers.
fn numbers(record: &RunRecord, summary: &Summary) -> String {
    let analysis = Analysis::of(record);
    let rows: Vec<Vec<String>> = tables::distributions(summary)
        .iter()
        .map(|(_, name, quantiles)| tables::quantile_row(name, quantiles))
        .collect();
    let mut html = section(
        "Numbers",
        &(tables::table(&tables::QUANTILES, &rows)
            + &paragraph(
                "One run: intervals describe the samples within it. Another run of the same \
                 schedule may differ by more; comparing protocols takes several runs.",
            )
            + &attribution(summary)),
    );
    let stages: Vec<Vec<String>> = summary
        .election_stages_ms
        .iter()
        .flatten()
        .filter(|(_, quantiles)| quantiles.n > 0)
        .map(|(stage, quantiles)| tables::quantile_row(stage.name(), quantiles))
        .collect();
    let prediction: Vec<_> = summary
        .election_prediction
        .iter()
        .map(|prediction| (escape(record.metadata.name()), prediction.clone()))
        .collect();
    html.push_str(&section(
        "Elections",
        &(tables::trials_left_out(&analysis.trials)
            + &tables::trials(record, &analysis.trials)
            + &tables::under("Stages", &tables::table(&tables::QUANTILES, &stages))
            + &tables::under(
                "Predicted and measured",
                &(tables::predictions(&prediction) + &tables::unpredicted(analysis.trials.iter())),
            )),
    ));
    html.push_str(&section("Availability", &availability(summary)));
    let cost = summary.cost.map(|cost| (escape(record.metadata.name()), cost));
    html.push_str(&section("Cost", &tables::costs(&cost.into_iter().collect::<Vec<_>>())));
    html
}

/// What completed the leaders' quorums, in a sentence.
fn attribution(summary: &Summary) -> String {
    let Some(leader) = summary.commit_latency_ms.map(|latency| latency.leader) else {
        return String::new();
    };
    let (Some(own), Some(peer)) = (leader.completed_by_own_disk, leader.completed_by_peer) else {
        return String::new();
    };
    let mut text = format!(
        "Inside the leader, a peer's acknowledgement completed the quorum of {:.0} % of the \
         commands, and the leader's own disk that of {:.0} %.",
        peer * 100.0,
        own * 100.0
    );
    if let (Some(sync), Some(network)) = (leader.peer_sync_p50_ms, leader.peer_network_p50_ms) {
        text.push_str(&format!(
            " Where it was a peer, its message had waited {} for that peer's disk (median), and {} \
             went by otherwise: the network and the queues at both ends.",
            number(Some(sync), "ms"),
            number(Some(network), "ms")
        ));
    }
    paragraph(&text)
}

fn availability(summary: &Summary) -> String {
    let Some(availability) = summary.availability else { return String::new() };
    let ms = |value| number(value, "ms");
    let recovery = match (availability.baseline_per_s, availability.longest_recovery_ms) {
        (Some(_), None) => "not before the end of the run".to_owned(),
        (_, recovery) => ms(recovery),
    };
    let baseline = availability.baseline_per_s.map_or("–".into(), |rate| grouped(rate) + " /s");
    let rows = [
        ("baseline goodput, before the first fault", baseline),
        ("longest gap between successful answers", ms(availability.longest_gap_ms)),
        ("total time below half of the baseline", ms(availability.below_half_ms)),
        ("longest time from a fault back to 90 % of the baseline", recovery),
    ];
    tables::table(&["", ""], &rows.map(|(name, value)| vec![name.to_owned(), value]))
}

fn parameters(record: &RunRecord) -> String {
    let rows: Vec<Vec<String>> = record
        .settings
        .iter()
        .map(|setting| vec![escape(&setting.name), escape(&setting.value)])
        .collect();
    tables::table(&["parameter", "value"], &rows)
}
