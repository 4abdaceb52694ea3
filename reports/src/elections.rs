//! Elections, stage by stage, from the faults that provoked them and the events that replicas noted.
//!
//! # Definitions
//!
//! A *trial* is one fault of the schedule with its recovery: every [`FaultBand`] that shares a step
//! and a trial number and can strike a replica. It ends where the next fault strikes a leader, or
//! with the run. Whether it strikes the leader, and what it leaves of a quorum, is judged together
//! with all other faults in force at that instant.
//!
//! The *election time* runs from the instant the fault takes effect until a replica knows that it
//! leads a newer epoch. While the faults leave no quorum, nobody can be elected; there it runs from
//! the instant a quorum is back. The *stages*, alike for every protocol:
//!
//! | stage | from | to |
//! |---|---|---|
//! | detect | the fault | the winner's last `TimedOut` before it won |
//! | campaign | … | the winner's `Campaigning` for the epoch it won; holds the pre-vote round |
//! | win | … | the winner's `Elected`: the votes or promises of a quorum, synced |
//! | catch up | … | the winner's `CaughtUp`: an entry of its own epoch is committed |
//! | first commit | … | the first client command *proposed in the new epoch* is committed there |
//! | first answer | the latest of the above | the first client operation answered with success at or after `Elected` |
//!
//! The time from the fault to that first answer is the **client-visible outage**, the headline
//! number. Campaigns that other epochs lost meanwhile are counted beside it.

use consensus_core::{
    Epoch, Event, NodeId, Time,
    history::{Observed, Operation},
};
use serde::{Deserialize, Serialize};

use crate::{
    quorum::{self, Condition},
    record::{FaultBand, RunRecord},
};

/// One fault of a schedule, with its recovery.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// Its number in the run, from 1.
    pub number: u32,
    /// The schedule's step.
    pub step: String,
    /// The kind of fault.
    pub kind: String,
    /// The nodes that were struck.
    pub nodes: Vec<NodeId>,
    /// When the fault took effect.
    pub start: Time,
    /// When it was taken back, if it was.
    pub end: Option<Time>,
    /// How many replicas missed the leader at once and could be elected; `None` if the faults in
    /// force left no quorum, or let a replica that could be elected still hear the leader.
    pub survivors: Option<u32>,
    /// Who led when it struck, and in which epoch.
    pub leader: Option<(NodeId, Epoch)>,
    /// What came of it.
    pub outcome: TrialOutcome,
}

/// What came of a trial.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialOutcome {
    /// The fault did not touch the leader, so no election was due.
    LeaderNotStruck,
    /// Nobody led when the fault struck.
    NobodyLed,
    /// Nobody was elected before the trial ended.
    NobodyElected,
    /// A leader was elected.
    Elected(Election),
}

/// One election that followed a fault.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Election {
    /// Who won.
    pub winner: NodeId,
    /// The epoch it leads.
    pub epoch: Epoch,
    /// From when the election time counts: the fault, or the return of the quorum.
    pub counted_from: Time,
    /// The winner's last timeout before it won.
    pub timed_out: Option<Time>,
    /// When the winner campaigned for the epoch it won.
    pub campaigned: Option<Time>,
    /// When it knew that it led.
    pub elected: Time,
    /// When an entry of its own epoch was committed.
    pub caught_up: Option<Time>,
    /// When the first client command proposed in its epoch was committed.
    pub committed: Option<Time>,
    /// When the first client got a successful answer again.
    pub answered: Option<Time>,
    /// Campaigns that began in this trial, until `elected`, and were not the winning one.
    pub lost_campaigns: u32,
}

/// The stages between a fault and the first answer after it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// From the fault until the winner's timeout.
    Detect,
    /// Until it campaigns; the pre-vote round.
    Campaign,
    /// Until it is elected; the vote or promise round.
    Win,
    /// Until an entry of its own epoch is committed.
    CatchUp,
    /// Until a client's command of the new epoch is committed.
    FirstCommit,
    /// Until a client is answered.
    FirstAnswer,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 6] = [
        Self::Detect,
        Self::Campaign,
        Self::Win,
        Self::CatchUp,
        Self::FirstCommit,
        Self::FirstAnswer,
    ];

    /// The stage's name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Detect => "detect",
            Self::Campaign => "campaign",
            Self::Win => "win",
            Self::CatchUp => "catch up",
            Self::FirstCommit => "first commit",
            Self::FirstAnswer => "first answer",
        }
    }
}

fn millis(from: Time, to: Time) -> f64 {
    to.since(from).as_nanos() as f64 / 1e6
}

impl Election {
    /// The election time, in milliseconds.
    pub fn election_ms(&self) -> f64 {
        millis(self.counted_from, self.elected)
    }

    /// From the winner's timeout until it led, in milliseconds: all rounds of asking.
    pub fn vote_rounds_ms(&self) -> Option<f64> {
        self.timed_out.map(|timed_out| millis(timed_out, self.elected))
    }

    /// How long each stage took, in milliseconds. A stage whose end was not seen is `None`, and the
    /// next counts from the last instant that was; a stage that ended early counts zero.
    pub fn stages_ms(&self) -> [(Stage, Option<f64>); 6] {
        let instants = [
            self.timed_out,
            self.campaigned,
            Some(self.elected),
            self.caught_up,
            self.committed,
            self.answered,
        ];
        let mut last = self.counted_from;
        let mut stages = Stage::ALL.map(|stage| (stage, None));
        for (stage, instant) in stages.iter_mut().zip(instants) {
            let Some(instant) = instant else { continue };
            stage.1 = Some(millis(last, instant));
            last = last.max(instant);
        }
        stages
    }
}

impl Trial {
    /// The election, if there was one.
    pub fn election(&self) -> Option<&Election> {
        match &self.outcome {
            TrialOutcome::Elected(election) => Some(election),
            _ => None,
        }
    }

    /// From the fault until the first answer after the election, in milliseconds.
    pub fn outage_ms(&self) -> Option<f64> {
        self.election()?.answered.map(|answered| millis(self.start, answered))
    }

    /// Whether its election waited for the faults to leave a quorum again.
    pub fn waited_for_quorum(&self) -> bool {
        self.election().is_some_and(|election| election.counted_from > self.start)
    }

    /// How many replicas waited for their timeouts alone, from the fault to the election: what a
    /// prediction can be made of.
    pub fn predictable_survivors(&self) -> Option<u32> {
        self.election()?;
        self.survivors.filter(|_| !self.waited_for_quorum())
    }

    /// What came of it, in words.
    pub fn outcome_in_words(&self) -> String {
        match (&self.outcome, self.leader) {
            (TrialOutcome::LeaderNotStruck, Some((leader, epoch))) => {
                format!("not struck: node {leader} led epoch {epoch}")
            }
            (TrialOutcome::LeaderNotStruck, None) => "the leader was not struck".to_owned(),
            (TrialOutcome::NobodyLed, _) => "nobody led when it struck".to_owned(),
            (TrialOutcome::NobodyElected, _) => "nobody was elected in this trial".to_owned(),
            (TrialOutcome::Elected(election), _) => {
                format!("node {} leads epoch {}", election.winner, election.epoch)
            }
        }
    }
}

/// The trials of a run, in order.
pub fn trials(record: &RunRecord) -> Vec<Trial> {
    let observed = crate::latency::in_order(&record.observed);
    let answers = answers(&record.operations);
    let reigns =
        |seen: &&&Observed| matches!(seen.event, Event::Elected { .. } | Event::SteppedDown { .. });
    let reigns: Vec<&Observed> = observed.iter().filter(reigns).copied().collect();
    let mut trials: Vec<Trial> = grouped(&record.faults)
        .into_iter()
        .zip(1..)
        .map(|(bands, number)| unresolved(record, &bands, number, &reigns))
        .collect();

    let struck: Vec<bool> =
        trials.iter().map(|trial| trial.outcome == TrialOutcome::NobodyElected).collect();
    for at in 0..trials.len() {
        let Some((_, epoch)) = trials[at].leader.filter(|_| struck[at]) else { continue };
        let next = (at + 1..trials.len()).find(|&later| struck[later]);
        let until = next.map_or(Time(u64::MAX), |next| trials[next].start);
        let search = Search { record, trial: &trials[at], epoch, until };
        if let Some(election) = search.election(&observed, &answers) {
            trials[at].outcome = TrialOutcome::Elected(election);
        }
    }
    trials
}

/// The bands of one step's one trial belong together.
fn grouped(faults: &[FaultBand]) -> Vec<Vec<&FaultBand>> {
    let mut groups: Vec<Vec<&FaultBand>> = Vec::new();
    for band in faults.iter().filter(|band| band.strikes()) {
        let same = |group: &&mut Vec<&FaultBand>| {
            group[0].step == band.step && group[0].trial == band.trial
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(band),
            None => groups.push(vec![band]),
        }
    }
    groups.sort_by_key(|group| group.iter().map(|band| band.start).min());
    groups
}

/// A trial of these bands. If they struck the leader, nobody is elected yet.
fn unresolved(
    record: &RunRecord,
    bands: &[&FaultBand],
    number: u32,
    reigns: &[&Observed],
) -> Trial {
    let start = bands.iter().map(|band| band.start).min().expect("a group holds a band");
    let mut nodes: Vec<NodeId> = bands.iter().flat_map(|band| band.nodes.clone()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let ends: Option<Vec<Time>> = bands.iter().map(|band| band.end).collect();

    let others = || quorum::in_force(record, start).filter(|band| !bands.contains(band));
    let before = Condition::under(record, others());
    let after = Condition::under(record, others().chain(bands.iter().copied()));
    let leader = leader_at(record, reigns, start);
    let deposes = |leader| {
        // A partition names the nodes of its first group, whichever side they end up on.
        let hurt = bands.iter().any(|band| !band.is_partition() && band.nodes.contains(&leader));
        hurt || before.has_quorum(leader) && !after.has_quorum(leader)
    };
    let survivors = leader.map_or(0, |(leader, _)| after.survivors(leader).len());
    Trial {
        number,
        step: bands[0].step.clone(),
        kind: bands[0].kind.clone(),
        nodes,
        start,
        end: ends.and_then(|ends| ends.into_iter().max()),
        survivors: u32::try_from(survivors).ok().filter(|&survivors| survivors > 0),
        leader,
        outcome: match leader {
            None => TrialOutcome::NobodyLed,
            Some((leader, _)) if deposes(leader) => TrialOutcome::NobodyElected,
            Some(_) => TrialOutcome::LeaderNotStruck,
        },
    }
}

/// Who led at an instant: whoever was elected last, unless it stepped down or was ended since.
fn leader_at(record: &RunRecord, reigns: &[&Observed], at: Time) -> Option<(NodeId, Epoch)> {
    let before = reigns.partition_point(|seen| seen.at < at);
    let mut leader: Option<(NodeId, Epoch, Time)> = None;
    for seen in &reigns[..before] {
        match (&seen.event, leader) {
            (Event::Elected { epoch }, held)
                if held.is_none_or(|(_, current, _)| *epoch >= current) =>
            {
                leader = Some((seen.node, *epoch, seen.at));
            }
            (Event::SteppedDown { epoch }, Some((node, current, _)))
                if node == seen.node && *epoch >= current =>
            {
                leader = None;
            }
            _ => {}
        }
    }
    let (node, epoch, since) = leader?;
    let ended = record.faults.iter().any(|band| {
        band.ends_processes()
            && band.nodes.contains(&node)
            && since <= band.start
            && band.start < at
    });
    (!ended).then_some((node, epoch))
}

/// When clients were answered with success, ascending.
pub(crate) fn answers(operations: &[Operation]) -> Vec<Time> {
    let mut answers: Vec<Time> = operations
        .iter()
        .filter(|operation| operation.outcome.is_ok())
        .filter_map(|operation| operation.completed)
        .collect();
    answers.sort_unstable();
    answers
}

/// The search for the election that a trial provoked.
struct Search<'a> {
    record: &'a RunRecord,
    trial: &'a Trial,
    /// The epoch that was led when the fault struck.
    epoch: Epoch,
    /// Where the trial ends.
    until: Time,
}

impl Search<'_> {
    fn election(&self, observed: &[&Observed], answers: &[Time]) -> Option<Election> {
        let first = observed.partition_point(|seen| seen.at < self.trial.start);
        let last = observed.partition_point(|seen| seen.at < self.until);
        let window = &observed[first..last.max(first)];

        let (at, won) = window.iter().enumerate().find_map(|(at, seen)| match seen.event {
            Event::Elected { epoch } if epoch > self.epoch => Some((at, epoch)),
            _ => None,
        })?;
        let (winner, elected) = (window[at].node, window[at].at);
        let (before, after) = (&window[..at], &window[at..]);
        let last_of = |wanted: &dyn Fn(&Event) -> bool| {
            before.iter().rev().find(|s| s.node == winner && wanted(&s.event)).map(|s| s.at)
        };
        let campaigns = |event: &Event| matches!(event, Event::Campaigning { .. });
        let winning =
            |event: &Event| matches!(event, Event::Campaigning { epoch } if *epoch == won);
        let lost = before
            .iter()
            .filter(|s| campaigns(&s.event) && !(s.node == winner && winning(&s.event)))
            .count();
        let own: Vec<&Observed> =
            after.iter().filter(|seen| seen.node == winner).copied().collect();
        Some(Election {
            winner,
            epoch: won,
            counted_from: quorum::returned(self.record, self.trial.start, elected)
                .unwrap_or(self.trial.start),
            timed_out: last_of(&|event| matches!(event, Event::TimedOut { .. })),
            campaigned: last_of(&winning),
            elected,
            caught_up: own
                .iter()
                .find(|s| matches!(s.event, Event::CaughtUp { epoch } if epoch == won))
                .map(|s| s.at),
            committed: first_command(&own, won),
            answered: answers
                .get(answers.partition_point(|&at| at < elected))
                .copied()
                .filter(|&at| at < self.until),
            lost_campaigns: u32::try_from(lost).unwrap_or(u32::MAX),
        })
    }
}

/// When the first command proposed in the epoch was known to be committed, at its leader.
fn first_command(own: &[&Observed], won: Epoch) -> Option<Time> {
    let proposed = own.iter().find_map(|seen| match seen.event {
        Event::Proposed { index, epoch, .. } if epoch == won => Some(index),
        _ => None,
    })?;
    own.iter()
        .find(|seen| {
            matches!(seen.event, Event::Committed { epoch, to, .. } if epoch == won && to >= proposed)
        })
        .map(|seen| seen.at)
}
