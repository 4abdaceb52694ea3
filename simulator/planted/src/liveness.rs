//! What a cluster must do, beside all that it must not: come to the schedule's end, serve, and agree.
//!
//! Some rules guard nothing but that. Without them no answer is ever wrong; there is none.

use std::{fmt, time::Duration};

use consensus_core::{Event, Time};
use simulator::Recording;

/// How well a cluster without a mistake lives through a schedule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expects {
    /// The longest time for which no client is told that its operation is done, while the faults
    /// strike.
    pub longest_outage: Option<Duration>,
    /// The most leaders elected while the faults strike.
    pub most_elections: Option<usize>,
}

impl Expects {
    /// That the schedule comes to its end and the replicas agree afterwards, as everywhere.
    pub const AGREEMENT: Self = Self { longest_outage: None, most_elections: None };
}

/// What a cluster failed to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// It never served, or the schedule did not come to its end.
    Unfinished,
    /// The replicas did not come to hold one state after everything was healed.
    NoAgreement,
    /// Nobody was served for longer than this.
    Outage(Duration),
    /// So many leaders were elected.
    Disruption(usize),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => f.write_str("the schedule does not come to its end"),
            Self::NoAgreement => f.write_str("the replicas never agree again"),
            Self::Outage(lasts) => write!(f, "nobody is served for {lasts:.1?}"),
            Self::Disruption(elections) => write!(f, "{elections} leaders are elected"),
        }
    }
}

/// The first thing in which a run failed, if there is any.
pub fn failure(recording: &Recording, expects: &Expects) -> Option<Failure> {
    let (Some(ready), Some(healed)) = (recording.ready, recording.healed) else {
        return Some(Failure::Unfinished);
    };
    if recording.converged.is_none() {
        return Some(Failure::NoAgreement);
    }
    let outage = longest_outage(recording, ready, healed);
    if expects.longest_outage.is_some_and(|longest| outage > longest) {
        return Some(Failure::Outage(outage));
    }
    let elected = recording.observed.iter().filter(|seen| {
        matches!(seen.event, Event::Elected { .. }) && (ready..healed).contains(&seen.at)
    });
    let elections = elected.count();
    let too_many = expects.most_elections.is_some_and(|most| elections > most);
    too_many.then_some(Failure::Disruption(elections))
}

/// The longest time between two answers to clients.
fn longest_outage(recording: &Recording, from: Time, to: Time) -> Duration {
    let done = recording.operations.iter().filter(|operation| operation.outcome.is_ok());
    let mut answers: Vec<_> = done.filter_map(|operation| operation.completed).collect();
    answers.retain(|at| (from..to).contains(at));
    answers.extend([from, to]);
    answers.sort_unstable();
    answers.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default()
}
