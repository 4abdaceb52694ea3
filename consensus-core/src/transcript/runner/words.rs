//! What the words of a transcript mean.

use std::{ops::Range, str::FromStr, time::Duration};

use goldenscript::ArgumentConsumer;

use super::Result;
use crate::{
    id::{Epoch, NodeId},
    protocol::{Protocol, Status},
    record::SnapshotMeta,
    settings::Settings,
};

/// `n1` or `1`.
pub(super) fn node(name: &str) -> Result<NodeId> {
    Ok(NodeId(name.trim_start_matches('n').parse()?))
}

/// `n1-n2`, or `1,2` in quotes.
pub(super) fn nodes(names: &str) -> Result<Vec<NodeId>> {
    names.split(['-', ',']).map(node).collect()
}

/// `INDEX@ROUND` or `INDEX@ROUND.NODE`.
pub(super) fn snapshot(text: &str) -> Result<SnapshotMeta> {
    let (index, epoch) = text.split_once('@').ok_or("a base is INDEX@EPOCH")?;
    let (round, owner) = epoch.split_once('.').unwrap_or((epoch, "0"));
    let epoch = Epoch { round: round.parse()?, node: node(owner)? };
    Ok(SnapshotMeta { index: index.parse()?, epoch, ..SnapshotMeta::default() })
}

/// How much faster a clock runs; a word cannot begin with a minus sign, so `slow500` is -500.
pub(super) fn drift(text: &str) -> Result<i32> {
    Ok(match text.strip_prefix("slow") {
        Some(slower) => -slower.parse::<i32>()?,
        None => text.parse()?,
    })
}

/// `ms=50`.
pub(super) fn time(args: &mut ArgumentConsumer<'_>) -> Result<Duration> {
    Ok(Duration::from_millis(args.take_key("ms").ok_or("for how many ms?")?.parse()?))
}

/// Who is a member, if those are not the first ones.
pub(super) fn members(status: &Status, first: &[NodeId]) -> String {
    let list = |nodes: &[NodeId]| match nodes {
        [] => "none".to_owned(),
        _ => nodes.iter().map(|node| format!("n{node}")).collect::<Vec<_>>().join(","),
    };
    let mut text = String::new();
    if status.members != first {
        text += &format!(" members={}", list(&status.members));
    }
    if !status.learners.is_empty() {
        text += &format!(" learners={}", list(&status.learners));
    }
    if status.changing {
        text += " changing";
    }
    text
}

/// Changes one of the settings; whatever the core does not know may be an option of the protocol.
pub(super) fn change<P: Protocol>(settings: &mut Settings, key: &str, value: &str) -> Result<()> {
    match key {
        "pre_vote" => parse(&mut settings.pre_vote, value),
        "check_quorum" => parse(&mut settings.check_quorum, value),
        "max_batch_entries" => parse(&mut settings.max_batch_entries, value),
        "max_batch_bytes" => parse(&mut settings.max_batch_bytes, value),
        "max_inflight_batches" => parse(&mut settings.max_inflight_batches, value),
        "max_inflight_bytes" => parse(&mut settings.max_inflight_bytes, value),
        "max_uncommitted_entries" => parse(&mut settings.max_uncommitted_entries, value),
        "max_uncommitted_bytes" => parse(&mut settings.max_uncommitted_bytes, value),
        "snapshot_after_bytes" => parse(&mut settings.snapshot_after_bytes, value),
        "retained_bytes" => parse(&mut settings.retained_bytes, value),
        "leases" => parse(&mut settings.leases, value),
        "max_clock_drift_ppm" => parse(&mut settings.max_clock_drift_ppm, value),
        "heartbeat_interval_ms" => {
            settings.heartbeat_interval = Duration::from_millis(value.parse()?);
            Ok(())
        }
        "election_timeout_ms" => {
            let (start, end) = value.split_once('-').ok_or("a range of milliseconds is 150-300")?;
            let Range { start, end } = start.parse()?..end.parse()?;
            settings.election_timeout = Duration::from_millis(start)..Duration::from_millis(end);
            Ok(())
        }
        "priority" => {
            let (who, priority) = value.split_once('@').ok_or("a priority is n2@10")?;
            settings.priorities.insert(node(who)?, priority.parse()?);
            Ok(())
        }
        option if P::OPTIONS.iter().any(|&(known, _)| known == option) => {
            settings.options.insert(option.to_owned(), value.to_owned());
            Ok(())
        }
        _ => Err(format!("there is no setting {key}").into()),
    }
}

fn parse<T: FromStr<Err: std::error::Error + 'static>>(setting: &mut T, value: &str) -> Result<()> {
    *setting = value.parse()?;
    Ok(())
}
