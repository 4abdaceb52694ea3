//! The headline: verdict and key numbers.

use checker::Verdict;

use super::escape;
use crate::{
    record::RunRecord,
    summary::Summary,
    table::{number, significant},
    verdicts::{Standing, question},
};

fn all_judged(record: &RunRecord) -> bool {
    let judged = |(_, verdict): (&str, &Verdict)| !matches!(verdict, Verdict::NotJudged(_));
    record.verdicts.named().into_iter().all(judged)
}

/// The verdict in one line, with each rule's below it.
pub(super) fn banner(record: &RunRecord) -> String {
    let standing = record.standing();
    let headline = match standing {
        Standing::Ok | Standing::NotJudged => match all_judged(record) {
            true => "All rules held.",
            false => "All rules held that were judged.",
        },
        Standing::Undecided => "Not every rule could be decided.",
        Standing::Violated if record.unexpected().next().is_none() => {
            "A rule was broken, as the schedule means it to be. No performance is reported."
        }
        Standing::Violated => "A rule was broken. No performance is reported.",
    };
    let rules: String = record
        .verdicts
        .named()
        .iter()
        .map(|(name, verdict)| {
            let word = Standing::from(*verdict);
            format!(
                "<li title=\"{}\">{} <span class=\"{}-word\">{word}</span></li>",
                escape(question(name)),
                escape(name),
                word.class()
            )
        })
        .collect();
    let reasons: String = record
        .verdicts
        .named()
        .iter()
        .filter_map(|(name, verdict)| match verdict {
            Verdict::Undecided(reason) => {
                Some(format!("<p>{}: {}</p>", escape(name), escape(reason)))
            }
            Verdict::NotJudged(reason) => {
                Some(format!("<p>{} was not judged: {}</p>", escape(name), escape(reason)))
            }
            Verdict::Ok | Verdict::Violated(_) => None,
        })
        .collect();
    let judged = escape(&record.verdicts.coverage.to_string());
    let mut html = format!(
        "<div class=\"banner {}\"><strong>{headline}</strong>{reasons}\
         <ul class=\"chips\">{rules}</ul><p><small class=\"muted\">{judged}</small></p></div>\n",
        standing.class()
    );
    for remark in &record.remarks {
        let remark = escape(remark);
        html.push_str(&format!("<div class=\"banner note\"><strong>{remark}.</strong></div>\n"));
    }
    if record.metadata.partial {
        html.push_str(
            "<div class=\"banner note\"><strong>Partial run.</strong><p>It was ended before its \
             schedule was; what was measured until then is reported.</p></div>\n",
        );
    }
    let failed = record.expectations.iter().filter(|expectation| !expectation.held).count();
    if failed > 0 {
        html.push_str(&format!(
            "<div class=\"banner note\"><strong>{failed} of {} expectations did not hold.</strong></div>\n",
            record.expectations.len()
        ));
    }
    html
}

/// The key numbers of a run, as cards.
pub(super) fn cards(summary: &Summary) -> String {
    let interval = |q: &crate::statistics::Quantiles| match (q.p50_low, q.p50_high) {
        (Some(low), Some(high)) => {
            format!("median of {}; {} to {}", q.n, significant(low), significant(high))
        }
        _ => format!("median of {}", q.n),
    };
    let mut cards = Vec::new();
    if let Some(outage) = summary.outage_ms.filter(|q| q.n > 0) {
        cards.push(("client-visible outage", number(outage.p50, "ms"), interval(&outage)));
    }
    if let Some(election) = summary.election_ms.filter(|q| q.n > 0) {
        let note = match &summary.election_prediction {
            Some(p) if p.n == election.n => format!(
                "median of {}; predicted {}",
                election.n,
                number(Some(p.predicted_p50_ms), "ms")
            ),
            _ => interval(&election),
        };
        let note = match summary.trials.waited_for_quorum {
            0 => note,
            waited => format!("{note}; {waited} counted from a quorum's return"),
        };
        cards.push(("election time", number(election.p50, "ms"), note));
    }
    if let Some(latency) = summary.commit_latency_ms.filter(|latency| latency.client.n > 0) {
        let undisturbed = number(latency.client_undisturbed.p50, "ms");
        let note = format!(
            "median at the client; p99 {}; {undisturbed} without faults",
            number(latency.client.p99, "ms")
        );
        cards.push(("commit latency", number(latency.client.p50, "ms"), note));
    }
    if let Some(throughput) = summary.throughput_per_s {
        let counts = summary.operations;
        let note = format!(
            "{} ok, {} failed, {} unknown",
            crate::table::grouped(counts.ok as f64),
            crate::table::grouped(counts.failed as f64),
            crate::table::grouped(counts.unknown as f64)
        );
        cards.push(("throughput", number(Some(throughput), "/s"), note));
    }
    if let Some(availability) = summary.availability.filter(|a| a.longest_gap_ms.is_some()) {
        let note = match availability.below_half_ms {
            Some(below) => format!("{} below half of the baseline", number(Some(below), "ms")),
            None => "no baseline".to_owned(),
        };
        cards.push(("longest gap", number(availability.longest_gap_ms, "ms"), note));
    }
    let cards: String = cards
        .into_iter()
        .map(|(name, value, note)| {
            let note = escape(&note);
            format!(
                "<div class=\"card\"><span>{name}</span><b>{value}</b><small>{note}</small></div>\n"
            )
        })
        .collect();
    format!("<div class=\"cards\">\n{cards}</div>\n")
}
