//! One run, analysed once, for everything that is shown of it.

use crate::{
    availability::Goodput,
    elections::{self, Trial},
    latency::{self, Answered, Commit},
    prediction::{self, Prediction},
    record::RunRecord,
};

/// A run with what plots and pages need of it.
pub(crate) struct Analysis<'a> {
    /// The record.
    pub record: &'a RunRecord,
    /// Its trials.
    pub trials: Vec<Trial>,
    /// Its answered operations.
    pub answered: Vec<Answered>,
    /// What its leaders committed.
    pub commits: Vec<Commit>,
    /// Its goodput.
    pub goodput: Goodput,
}

impl<'a> Analysis<'a> {
    pub(crate) fn of(record: &'a RunRecord) -> Self {
        let trials = elections::trials(record);
        let answered = latency::answered(&record.operations);
        Self {
            record,
            commits: latency::commits(&record.observed),
            goodput: Goodput::of(record, &answered),
            trials,
            answered,
        }
    }

    /// How long the load ran, in seconds; a little more than nothing at least.
    pub(crate) fn seconds(&self) -> f64 {
        self.record.seconds(self.record.metadata.end).max(0.1)
    }
}

/// Runs of one protocol under one configuration: one side of a comparison.
pub(crate) struct Group<'a> {
    /// What the side is called.
    pub label: String,
    /// Which of the sides it is, from 0; its colour.
    pub number: usize,
    /// Its runs.
    pub runs: Vec<Analysis<'a>>,
}

impl<'a> Group<'a> {
    /// A group of one run.
    pub(crate) fn single(record: &'a RunRecord) -> Self {
        Self {
            label: record.metadata.name().to_owned(),
            number: 0,
            runs: vec![Analysis::of(record)],
        }
    }

    /// The run whose course over time is drawn: the first.
    pub(crate) fn shown(&self) -> &Analysis<'a> {
        &self.runs[0]
    }

    /// The trials of all its runs.
    pub(crate) fn trials(&self) -> impl Iterator<Item = &Trial> {
        self.runs.iter().flat_map(|run| &run.trials)
    }

    /// What the timeouts predict of all its elections.
    pub(crate) fn prediction(&self) -> Option<Prediction> {
        let runs = self.runs.iter().map(|run| (run.record, run.trials.as_slice()));
        prediction::predict_all(runs)
    }
}

/// Groups runs by protocol, target, settings, storage and network, in the order of their first appearance.
pub(crate) fn grouped<'a>(records: &[&'a RunRecord]) -> Vec<Group<'a>> {
    let same = |a: &RunRecord, b: &RunRecord| {
        a.metadata.protocol == b.metadata.protocol
            && a.metadata.target == b.metadata.target
            && a.metadata.durability == b.metadata.durability
            && a.metadata.network == b.metadata.network
            && a.settings == b.settings
    };
    let mut groups: Vec<Group<'_>> = Vec::new();
    for &record in records {
        let held = groups.iter_mut().find(|group| same(group.shown().record, record));
        if let Some(group) = held {
            group.runs.push(Analysis::of(record));
            continue;
        }
        let protocol = &record.metadata.protocol;
        let name = record.metadata.name();
        let earlier = groups.iter().filter(|g| &g.shown().record.metadata.protocol == protocol);
        let label = match earlier.count() {
            0 => name.to_owned(),
            variants => format!("{name} ({})", variants + 1),
        };
        groups.push(Group { label, number: groups.len(), runs: vec![Analysis::of(record)] });
    }
    groups
}

/// The runs on each target, in the order of their first appearance: what was measured on one shares no
/// chart and no median with what was measured on another, least of all virtual with wall-clock time.
pub(crate) fn by_target(records: &[RunRecord]) -> Vec<Vec<&RunRecord>> {
    let mut targets: Vec<Vec<&RunRecord>> = Vec::new();
    for record in records {
        let target = &record.metadata.target;
        match targets.iter_mut().find(|runs| runs[0].metadata.target == *target) {
            Some(runs) => runs.push(record),
            None => targets.push(vec![record]),
        }
    }
    targets
}
