//! What the seeds drew beside the faults, and what came of it.

use std::{collections::BTreeMap, ops::AddAssign};

use consensus_core::{Event, NodeId, Settings};
use faults::{
    Answer, Kind,
    schedule::{Feature, Heal, Target},
};
use simulator::Counters;

use crate::{experiment::Raw, failure::Judged, plan::Plan};

/// How often each thing was drawn, or happened.
#[derive(Clone, Default)]
pub struct Features {
    drawn: BTreeMap<String, u64>,
    /// How often each shape and each word for whom a fault hits was carried out.
    struck: BTreeMap<Feature, u64>,
    happened: BTreeMap<&'static str, u64>,
}

impl AddAssign<&Self> for Features {
    fn add_assign(&mut self, other: &Self) {
        for (what, times) in &other.drawn {
            *self.drawn.entry(what.clone()).or_default() += times;
        }
        for (what, times) in &other.struck {
            *self.struck.entry(*what).or_default() += times;
        }
        for (what, times) in &other.happened {
            *self.happened.entry(what).or_default() += times;
        }
    }
}

/// Everything that is counted, so that what never happened shows.
const HAPPENINGS: [&str; 15] = [
    "snapshots taken",
    "snapshots installed",
    "changes of members done",
    "changes refused",
    "changes unanswered",
    "transfers done",
    "transfers refused",
    "transfers unanswered",
    "disks lost",
    "disks replaced",
    "replicas ended by their disks",
    "torn records cut",
    "damaged disks refused",
    "cores healed",
    "faults that went on for ever",
];

/// Which features count as one: any replica that is named by its number.
fn alike(feature: Feature) -> Feature {
    match feature {
        Feature::Target(Target::Node(_)) => Feature::Target(Target::Node(NodeId(3))),
        feature => feature,
    }
}

/// What went wrong with disks, and was noticed.
pub fn mishaps(judged: &Judged) -> [(&'static str, u64); 3] {
    let sum = |of: fn(&Counters) -> u64| judged.counters.iter().map(of).sum();
    [
        ("replicas ended by their disks", sum(|counters| counters.failed_disks)),
        ("torn records cut", sum(|counters| counters.torn_records)),
        ("damaged disks refused", judged.refused as u64),
    ]
}

impl Features {
    /// What one seed drew, and what came of it.
    pub fn of(plan: &Plan, raw: &Raw) -> Self {
        let mut features = Self::default();
        let tuning = &plan.tuning;
        let defaults = Settings::new(NodeId(1), Vec::new());
        let snapshots = tuning.snapshot_after_bytes < defaults.snapshot_after_bytes;
        let known = [
            ("snapshots soon", snapshots),
            ("leases", tuning.leases),
            ("drifting clocks", plan.is_drawn() && tuning.max_clock_drift_ppm > 0),
            ("priorities", !tuning.priorities.is_empty()),
            ("no pre-vote", !tuning.pre_vote),
            ("no check-quorum", !tuning.check_quorum),
            ("a core to be healed", plan.schedule.heal == Heal::Core),
        ];
        for (what, drawn) in known {
            features.drawn.insert(what.to_owned(), u64::from(drawn));
        }
        features.drawn.extend(plan.network.map(|network| (format!("network {network}"), 1)));
        for (name, value) in &tuning.options {
            features.drawn.insert(format!("{name}={value}"), 1);
        }
        for seen in &raw.observed {
            match &seen.event {
                Event::Compacted { .. } => features.count("snapshots taken"),
                Event::Installed { .. } => features.count("snapshots installed"),
                _ => {}
            }
        }
        if raw.resolved.core.is_some() {
            features.count("cores healed");
        }
        for trial in raw.resolved.trials.iter().filter(|trial| trial.began.is_some()) {
            let step = plan.schedule.steps.iter().find(|step| step.id == trial.step);
            for feature in step.into_iter().flat_map(Feature::of) {
                *features.struck.entry(alike(feature)).or_default() += 1;
            }
            if trial.ended.is_none() && raw.resolved.core.is_some() {
                features.count("faults that went on for ever");
            }
            if trial.kind.loses_disk() {
                features.count("disks lost");
            }
            match (trial.kind, &trial.answer) {
                (kind, Some(Answer::Done)) if kind.loses_disk() => features.count("disks replaced"),
                (Kind::Reconfigure, Some(Answer::Done)) => {
                    features.count("changes of members done")
                }
                (Kind::Reconfigure, Some(Answer::Refused(_))) => features.count("changes refused"),
                (Kind::Reconfigure, _) => features.count("changes unanswered"),
                (Kind::Transfer, Some(Answer::Done)) => features.count("transfers done"),
                (Kind::Transfer, Some(Answer::Refused(_))) => features.count("transfers refused"),
                (Kind::Transfer, _) => features.count("transfers unanswered"),
                _ => {}
            }
        }
        features
    }

    /// Adds what happened beside the schedule.
    pub fn happened(&mut self, times: impl IntoIterator<Item = (&'static str, u64)>) {
        for (what, times) in times {
            *self.happened.entry(what).or_default() += times;
        }
    }

    /// Prints both.
    pub fn tell(&self) {
        let drawn: Vec<_> = self.drawn.iter().map(|(what, n)| format!("{what} {n}")).collect();
        println!("seeds that drew: {}", drawn.join(", "));
        let counted = |features: fn(&Feature) -> bool| {
            let count = |feature: Feature| {
                let times = self.struck.get(&feature).copied().unwrap_or_default();
                format!("{feature} {times}")
            };
            let words = Feature::all().filter(features).map(count);
            words.collect::<Vec<_>>().join(", ")
        };
        println!("shapes: {}", counted(|feature| matches!(feature, Feature::Shape(_))));
        println!("whom they hit: {}", counted(|feature| matches!(feature, Feature::Target(_))));
        let times = |what: &&str| self.happened.get(what).copied().unwrap_or_default();
        let happened = HAPPENINGS.iter().map(|what| format!("{what} {}", times(what)));
        println!("what happened: {}", happened.collect::<Vec<_>>().join(", "));
    }

    fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }
}
