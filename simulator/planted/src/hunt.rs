//! Hunting for a mistake: run after run, until something shows.

use std::{
    any::Any,
    fmt,
    ops::Range,
    panic::{self, AssertUnwindSafe},
};

use checker::{Evidence, StateDigest, Verdicts};
use simulator::{Recording, SimulationConfig};

use crate::{conditions::Conditions, plant::Simulate};

/// What shows that a run went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// These verdicts were broken, by the names of [`Verdicts::named`].
    Violated(Vec<&'static str>),
    /// A replica's own invariant no longer held, and it stopped with these words.
    Panicked(String),
}

impl Finding {
    /// Whether this verdict was broken.
    pub fn breaks(&self, verdict: &str) -> bool {
        matches!(self, Self::Violated(broken) if broken.contains(&verdict))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violated(broken) => f.write_str(&broken.join(", ")),
            Self::Panicked(words) => write!(f, "invariant: {words}"),
        }
    }
}

/// A run that went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Catch {
    /// Its seed.
    pub seed: u64,
    /// What shows it.
    pub finding: Finding,
}

/// Runs seed after seed; the first whose finding is wanted.
pub fn hunt(
    simulate: Simulate,
    conditions: Conditions,
    seeds: Range<u64>,
    wanted: impl Fn(&Finding) -> bool,
) -> Option<Catch> {
    let mut catches = seeds.filter_map(|seed| {
        let finding = examine(simulate, &conditions.config(seed))?;
        Some(Catch { seed, finding })
    });
    catches.find(|catch| wanted(&catch.finding))
}

/// Simulates a run and judges it; `None` if nothing is wrong with it.
pub fn examine(simulate: Simulate, config: &SimulationConfig) -> Option<Finding> {
    match panic::catch_unwind(AssertUnwindSafe(|| simulate(config))) {
        Ok(recording) => violated(&judge(&recording)),
        Err(words) => Some(Finding::Panicked(text(&*words))),
    }
}

/// What the checker says of a run.
pub fn judge(recording: &Recording) -> Verdicts {
    let up = recording.finals.iter().filter(|end| end.up);
    let states: Vec<_> = up
        .map(|end| StateDigest { node: end.node, applied: end.applied, digest: end.digest })
        .collect();
    checker::check(&Evidence {
        operations: &recording.operations,
        applied: &recording.applied,
        observed: &recording.observed,
        states: &states,
    })
}

fn violated(verdicts: &Verdicts) -> Option<Finding> {
    let broken = verdicts.named().into_iter().filter(|(_, verdict)| verdict.counterexample().is_some());
    let names: Vec<_> = broken.map(|(name, _)| name).collect();
    (!names.is_empty()).then_some(Finding::Violated(names))
}

fn text(words: &(dyn Any + Send)) -> String {
    let text = words.downcast_ref::<String>().cloned();
    let text = text.or_else(|| words.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "it did not say why".to_owned())
}
