//! Whether a run held what its schedule expects.

use std::{collections::BTreeSet, time::Duration};

use consensus_core::{Event, history::Outcome};
use deploy::Crossings;
use faults::{
    Schedule,
    schedule::{Always, Sometimes},
};
use reports::{Expectation, RunRecord, Summary, statistics::Quantiles};

use super::Recovery;

/// A gap between answers that a client would call an outage, in milliseconds.
const OUTAGE_MS: f64 = 100.0;

/// Judges every expectation of a schedule.
pub fn expectations(
    schedule: &Schedule,
    record: &RunRecord,
    recovery: Recovery,
    damaged: u64,
) -> Vec<Expectation> {
    let expect = &schedule.expect;
    let summary = Summary::of(record);
    let mut judged = Vec::new();
    judged.extend(expect.always.iter().map(|&rule| always(rule, record)));
    judged
        .extend(expect.sometimes.iter().map(|&event| sometimes(event, record, &summary, damaged)));
    let bounds = [
        ("a leader stands after the last fault", expect.after_heal.leader, recovery.leader),
        (
            "all replicas agree after the last fault",
            expect.after_heal.converged,
            recovery.converged,
        ),
    ];
    // What was ended before it healed says nothing about how long healing takes.
    let healed = bounds.into_iter().filter(|_| !record.metadata.partial);
    judged.extend(healed.filter_map(|(name, limit, took)| within(name, limit?, took)));
    judged.extend(expect.slo.iter().map(|(name, &limit)| objective(name, limit, &summary)));
    judged
}

/// What a cut that loses packets is expected to do.
pub fn sealed(crossings: Crossings) -> Expectation {
    let Crossings { dropped, crossed } = crossings;
    let detail = format!(
        "over links that were cut, {} bytes in {} packets came through; {} bytes in {} packets were \
         dropped",
        crossed.bytes, crossed.packets, dropped.bytes, dropped.packets
    );
    let held = crossed.packets == 0 && dropped.packets > 0;
    Expectation { name: "nothing crosses a cut".to_owned(), held, detail }
}

/// What every run is expected not to do.
pub fn broken(failure: &str) -> Expectation {
    let detail = failure.lines().next().unwrap_or_default().trim_end_matches(':').to_owned();
    Expectation { name: "nothing breaks but what is broken".to_owned(), held: false, detail }
}

fn always(rule: Always, record: &RunRecord) -> Expectation {
    let name = match rule {
        Always::Linearizable => "linearizable",
        Always::LeaseReads => "lease-reads",
        Always::LogAgreement => "log-agreement",
        Always::NoLostAcks => "no-lost-acks",
        Always::ExactlyOnce => "exactly-once",
    };
    let named = record.verdicts.named();
    let verdict = named.iter().find(|(known, _)| *known == name).map(|(_, verdict)| *verdict);
    let verdict = verdict.expect("the checker judges every rule that a schedule can name");
    Expectation { name: name.to_owned(), held: verdict.is_ok(), detail: verdict.to_string() }
}

fn sometimes(event: Sometimes, record: &RunRecord, summary: &Summary, damaged: u64) -> Expectation {
    let (name, held, detail) = match event {
        Sometimes::LeaderChanged => {
            let elected = |event: &Event| matches!(event, Event::Elected { .. });
            let leaders = record.observed.iter().filter(|seen| elected(&seen.event));
            let leaders: BTreeSet<_> = leaders.map(|seen| seen.node).collect();
            ("the leader changed", leaders.len() > 1, format!("{} nodes led", leaders.len()))
        }
        Sometimes::Unavailable => {
            let gap = summary.availability.as_ref().and_then(|found| found.longest_gap_ms);
            let gap = gap.unwrap_or_default();
            ("clients saw an outage", gap > OUTAGE_MS, format!("longest gap {gap:.0} ms"))
        }
        Sometimes::CorruptionNoticed => {
            ("damaged messages were noticed", damaged > 0, format!("{damaged} dropped"))
        }
        Sometimes::SnapshotInstalled => {
            let installed = |event: &Event| matches!(event, Event::Installed { .. });
            let count = record.observed.iter().filter(|seen| installed(&seen.event)).count();
            ("a peer's snapshot was installed", count > 0, format!("{count} installed"))
        }
        Sometimes::Reconfigured => {
            let decided = |event: &Event| match event {
                Event::Reconfigured { from, configuration } if !configuration.is_joint() => {
                    Some((*from, configuration.clone()))
                }
                _ => None,
            };
            let seen = record.observed.iter().filter_map(|seen| decided(&seen.event));
            let voters: BTreeSet<_> = seen.map(|(_, decided)| decided.voters).collect();
            let count = voters.len();
            ("the members were changed", count > 0, format!("{count} sets of voters decided"))
        }
        Sometimes::HandedOver => {
            let done = handovers(record);
            ("leadership was handed over", done > 0, format!("handed over {done} times"))
        }
        Sometimes::LeaseBroken => {
            let verdict = &record.verdicts.lease_reads;
            let broken = verdict.counterexample().is_some();
            ("a lease was seen to break", broken, verdict.to_string())
        }
        Sometimes::Overloaded => {
            let refused = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
            let refused = record.operations.iter().filter(|op| refused(&op.outcome)).count();
            ("requests were refused", refused > 0, format!("{refused} refused"))
        }
    };
    Expectation { name: name.to_owned(), held, detail }
}

/// How often a replica to which leadership was being handed over was the next one elected.
fn handovers(record: &RunRecord) -> usize {
    let mut heir = None;
    let mut count = 0;
    for seen in &record.observed {
        match &seen.event {
            Event::Transferring { to, .. } => heir = Some(*to),
            Event::Elected { .. } => count += usize::from(heir.take() == Some(seen.node)),
            _ => {}
        }
    }
    count
}

fn within(name: &str, limit: Duration, took: Option<Duration>) -> Option<Expectation> {
    let detail = match took {
        Some(took) => format!("{took:.1?}, at most {limit:?}"),
        None => format!("not within the run, at most {limit:?}"),
    };
    let held = took.is_some_and(|took| took <= limit);
    Some(Expectation { name: name.to_owned(), held, detail })
}

/// A bound on a measured time. Where the samples do not carry the quantile, the largest of them
/// stands for it: that is the stricter reading.
fn objective(name: &str, limit: Duration, summary: &Summary) -> Expectation {
    let limit_ms = limit.as_secs_f64() * 1e3;
    let (measured, note) = measured(name, summary);
    let (held, detail) = match measured {
        Some(ms) => (ms <= limit_ms, format!("{ms:.1} ms{note}, at most {limit_ms} ms")),
        None => (false, format!("nothing was measured, at most {limit_ms} ms")),
    };
    Expectation { name: name.to_owned(), held, detail }
}

fn measured(name: &str, summary: &Summary) -> (Option<f64>, &'static str) {
    let (measure, statistic) = name.split_once('.').unwrap_or((name, "max"));
    let quantiles: Option<Quantiles> = match measure {
        "election" => summary.election_ms,
        "outage" => summary.outage_ms,
        "commit" => summary.commit_latency_ms.as_ref().map(|latency| latency.client),
        _ => {
            let gap = summary.availability.as_ref().and_then(|found| found.longest_gap_ms);
            return (gap, " at the longest");
        }
    };
    let Some(quantiles) = quantiles else { return (None, "") };
    let exact = match statistic {
        "p50" => quantiles.p50,
        "p90" => quantiles.p90,
        "p95" => quantiles.p95,
        "p99" => quantiles.p99,
        "mean" => quantiles.mean,
        _ => quantiles.max,
    };
    match exact {
        Some(_) => (exact, ""),
        None => (quantiles.max, " (the largest of few)"),
    }
}
