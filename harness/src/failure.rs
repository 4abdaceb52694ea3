//! What it is for a simulated run to fail, and when two runs fail in the same way.

use std::{fmt, time::Duration};

use checker::{Verdict, Verdicts};
use simulator::Counters;

use crate::{
    experiment::{self, Raw},
    panics::{Panic, caught},
    plan::Plan,
    registry::Entry,
};

/// The verdict that says whether a run was worth anything. That one proved nothing is no failure.
const VACUITY: &str = "not-vacuous";

/// A way in which a simulated run does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// An invariant broke inside the cluster.
    Panicked(Panic),
    /// The same seed gave another trace.
    OtherTrace,
    /// The cluster never served, or what it left cannot be judged.
    NotJudged(String),
    /// A verdict does not pass.
    Rule {
        /// Which.
        name: &'static str,
        /// Whether it was violated; otherwise it could not be decided.
        violated: bool,
        /// The verdict, in words.
        verdict: String,
    },
    /// The schedule did not come to its end.
    Unfinished,
    /// The replicas did not agree after everything healed.
    Disagreement,
}

impl Failure {
    /// Whether both are failures of the same kind: of the same rule, at the same place in the code.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Panicked(one), Self::Panicked(two)) => one.place == two.place,
            (Self::Rule { name, violated, .. }, Self::Rule { name: other, violated: also, .. }) => {
                name == other && violated == also
            }
            (Self::NotJudged(_), Self::NotJudged(_)) => true,
            _ => self == other,
        }
    }

    /// Whether `harness run` judges the same; of the others only a sweep speaks.
    pub const fn is_verdict(&self) -> bool {
        matches!(self, Self::Rule { .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panic) => write!(f, "an invariant broke: {panic}"),
            Self::OtherTrace => f.write_str("the same seed gave another trace"),
            Self::NotJudged(why) => f.write_str(why),
            Self::Rule { name, verdict, .. } => write!(f, "{name}: {verdict}"),
            Self::Unfinished => f.write_str("the schedule did not come to its end"),
            Self::Disagreement => f.write_str("the replicas did not agree after everything healed"),
        }
    }
}

/// How often each run is simulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Often {
    /// Once.
    Once,
    /// Twice, and the traces are compared.
    Twice,
}

/// A run that was simulated and judged.
pub struct Judged {
    /// What was seen.
    pub raw: Raw,
    /// How long it took, in virtual time.
    pub simulated: Duration,
    /// What each replica cost, and what its disk did to it.
    pub counters: Vec<Counters>,
    /// How many starts a damaged disk forbade.
    pub refused: usize,
    /// The verdicts on it.
    pub verdicts: Verdicts,
    /// Everything that does not hold, expected or not.
    pub failures: Vec<Failure>,
}

/// Simulates and judges a run. An error: there is nothing to judge.
pub fn simulate(plan: &Plan, protocol: &Entry, often: Often) -> Result<Judged, Failure> {
    let config = experiment::simulation(plan);
    // A broken invariant panics inside the protocol: that is a finding like any other.
    let once = || caught(|| (protocol.simulate)(&config)).map_err(Failure::Panicked);
    let recording = once()?;
    if often == Often::Twice && once()? != recording {
        return Err(Failure::OtherTrace);
    }
    let (simulated, refused) = (recording.simulated, recording.refused.len());
    let (counters, converged) = (recording.counters.clone(), recording.converged.is_some());
    let raw = experiment::raw(recording).map_err(|error| Failure::NotJudged(error.to_string()))?;
    let verdicts = raw.judge();
    let failures = failures(&verdicts, &raw, converged);
    Ok(Judged { raw, simulated, counters, refused, verdicts, failures })
}

fn failures(verdicts: &Verdicts, raw: &Raw, converged: bool) -> Vec<Failure> {
    let broken = |(name, verdict): (&'static str, &Verdict)| {
        (name != VACUITY && !verdict.passes()).then(|| Failure::Rule {
            name,
            violated: verdict.counterexample().is_some(),
            verdict: verdict.to_string(),
        })
    };
    let mut failures: Vec<_> = verdicts.named().into_iter().filter_map(broken).collect();
    failures.extend(raw.partial.then_some(Failure::Unfinished));
    failures.extend((!converged).then_some(Failure::Disagreement));
    failures
}

/// The first of these failures that this plan's schedule does not expect.
pub fn unexpected(plan: &Plan, failures: Vec<Failure>) -> Option<Failure> {
    let meant = experiment::meant_to_break(&plan.schedule);
    let is_meant = |failure: &Failure| match failure {
        Failure::Rule { name, violated, .. } => {
            *violated && meant.iter().any(|meant| meant == name)
        }
        _ => false,
    };
    failures.into_iter().find(|failure| !is_meant(failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &'static str, violated: bool, verdict: &str) -> Failure {
        Failure::Rule { name, violated, verdict: verdict.to_owned() }
    }

    #[test]
    fn failures_are_alike_if_the_same_thing_breaks_whatever_is_said_of_it() {
        let panicked = |place: &str, message: &str| {
            Failure::Panicked(Panic { place: place.into(), message: message.into() })
        };
        let alike = [
            (rule("linearizable", true, "x"), rule("linearizable", true, "y")),
            (panicked("log.rs:3", "7 > 2"), panicked("log.rs:3", "9 > 2")),
            (Failure::Disagreement, Failure::Disagreement),
        ];
        assert!(alike.iter().all(|(one, other)| one.is_like(other)));
        let unlike = [
            (rule("linearizable", true, "x"), rule("lease-reads", true, "x")),
            (rule("linearizable", true, "x"), rule("linearizable", false, "x")),
            (panicked("log.rs:3", "7 > 2"), panicked("log.rs:4", "7 > 2")),
            (Failure::Disagreement, Failure::Unfinished),
        ];
        assert!(!unlike.iter().any(|(one, other)| one.is_like(other)));
    }
}
