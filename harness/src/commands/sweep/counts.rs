//! What the seeds were worth, added up.

use std::{collections::BTreeMap, ops::AddAssign, time::Duration};

use checker::{Verdict, Verdicts};
use consensus_core::{Event, NodeId, Time, history::Outcome};
use faults::{Kind, director::Trial};

use super::features::{self, Features};
use crate::{experiment::Raw, failure::Judged, plan::Plan};

/// How long after a leader-fault's end another leader still counts as its consequence.
const CONSEQUENCE: Duration = Duration::from_secs(2);

/// What the seeds were worth, added up.
#[derive(Clone, Default)]
pub struct Counts {
    /// How often each kind of fault struck.
    pub fired: BTreeMap<Kind, u64>,
    /// Seeds in which a fault struck the leader.
    pub leader_faults: u64,
    /// Those of them in which another replica then led.
    pub leader_changes: u64,
    /// Client operations.
    pub operations: u64,
    /// Those of them under way while a fault was in force.
    pub overlapping: u64,
    /// Those of them whose outcome stayed unknown.
    pub unknown: u64,
    /// Elections that were won.
    pub elections: u64,
    /// Damaged messages that were noticed.
    pub damaged: u64,
    /// Seeds that prove nothing of a rule.
    pub unproved: BTreeMap<&'static str, u64>,
    /// What was drawn beside the faults.
    pub features: Features,
    /// Virtual time.
    pub simulated: Duration,
}

impl AddAssign<&Self> for Counts {
    fn add_assign(&mut self, other: &Self) {
        for (&kind, &times) in &other.fired {
            *self.fired.entry(kind).or_default() += times;
        }
        self.leader_faults += other.leader_faults;
        self.leader_changes += other.leader_changes;
        self.operations += other.operations;
        self.overlapping += other.overlapping;
        self.unknown += other.unknown;
        self.elections += other.elections;
        self.damaged += other.damaged;
        for (&rule, &seeds) in &other.unproved {
            *self.unproved.entry(rule).or_default() += seeds;
        }
        self.features += &other.features;
        self.simulated += other.simulated;
    }
}

impl Counts {
    /// What one seed was worth.
    pub fn of(plan: &Plan, judged: &Judged) -> Self {
        let raw = &judged.raw;
        let struck: Vec<_> =
            raw.resolved.trials.iter().filter_map(|trial| Strike::of(trial, raw)).collect();
        let mut counts = Self {
            simulated: judged.simulated,
            features: Features::of(plan, raw),
            damaged: raw.damaged,
            unproved: unproved(&judged.verdicts),
            ..Self::default()
        };
        counts.features.happened(features::mishaps(judged));
        for strike in &struck {
            *counts.fired.entry(strike.kind).or_default() += 1;
        }
        counts.leader_faults = u64::from(struck.iter().any(|strike| strike.hits_leader));
        counts.leader_changes = u64::from(struck.iter().any(|strike| strike.deposes(raw)));
        let is_election = |event: &Event| matches!(event, Event::Elected { .. });
        let elections = raw.observed.iter().filter(|seen| is_election(&seen.event));
        counts.elections = elections.count() as u64;
        counts.operations = raw.operations.len() as u64;
        for operation in &raw.operations {
            let until = operation.completed.unwrap_or(raw.end);
            let overlaps =
                |strike: &Strike| strike.from <= until && operation.invoked <= strike.until;
            counts.overlapping += u64::from(struck.iter().any(overlaps));
            let unknown = matches!(operation.outcome, Outcome::Unknown(_));
            counts.unknown += u64::from(unknown);
        }
        counts
    }
}

/// Which rules this seed proves nothing of.
fn unproved(verdicts: &Verdicts) -> BTreeMap<&'static str, u64> {
    let is_unproved = |verdict: &Verdict| match verdict {
        Verdict::NotJudged(_) | Verdict::Undecided(_) => 1,
        Verdict::Ok | Verdict::Violated(_) => 0,
    };
    verdicts.named().map(|(rule, verdict)| (rule, is_unproved(verdict))).into()
}

/// A fault that struck.
struct Strike {
    kind: Kind,
    hits_leader: bool,
    from: Time,
    until: Time,
    leader: Option<NodeId>,
}

impl Strike {
    fn of(trial: &Trial, raw: &Raw) -> Option<Self> {
        let from = raw.ready + trial.began?;
        let silences =
            matches!(trial.kind, Kind::Crash | Kind::Restart | Kind::Pause | Kind::Partition)
                || trial.kind.loses_disk()
                || trial.kind.fails_disk();
        let hit = trial.leader.is_some_and(|leader| trial.nodes.contains(&leader));
        Some(Self {
            kind: trial.kind,
            hits_leader: silences && hit,
            from,
            until: trial.ended.map_or(raw.end, |ended| raw.ready + ended),
            leader: trial.leader,
        })
    }

    /// Whether the leader was struck and another replica led then.
    fn deposes(&self, raw: &Raw) -> bool {
        let window = self.from..=self.until + CONSEQUENCE;
        self.hits_leader
            && raw.observed.iter().any(|seen| {
                matches!(seen.event, Event::Elected { .. })
                    && Some(seen.node) != self.leader
                    && window.contains(&seen.at)
            })
    }
}
