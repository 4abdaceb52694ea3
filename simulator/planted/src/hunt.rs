//! Hunting for a mistake: run after run, until something shows.

use std::{
    fmt,
    ops::Range,
    panic::{self, AssertUnwindSafe},
};

use checker::{Evidence, StateDigest, Verdicts};
use consensus_core::Event;
use simulator::{Recording, SimulationConfig};

use crate::{
    conditions::Conditions,
    plant::Simulate,
    rewritten::{BROKEN, text},
};

/// What shows that a run went wrong.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Finding {
    /// These verdicts were broken, by the names of [`Verdicts::named`].
    pub violated: Vec<&'static str>,
    /// A replica's own invariant no longer held, and these were its last words.
    pub invariant: Option<String>,
}

impl Finding {
    /// Whether this verdict was broken.
    pub fn breaks(&self, verdict: &str) -> bool {
        self.violated.contains(&verdict)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let invariant = self.invariant.as_ref().map(|words| format!("invariant: {words}"));
        let violated = self.violated.iter().map(|name| (*name).to_owned());
        f.write_str(&violated.chain(invariant).collect::<Vec<_>>().join(", "))
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

/// What a number of runs showed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hunted {
    /// The first run that went wrong.
    pub first: Option<Catch>,
    /// How many went wrong.
    pub caught: usize,
    /// The first run that broke the verdict in question.
    pub telling: Option<Catch>,
    /// How many broke it.
    pub told: usize,
}

impl Hunted {
    fn add(&mut self, catch: Catch, verdict: &str) {
        self.caught += 1;
        if catch.finding.breaks(verdict) {
            self.told += 1;
            self.telling.get_or_insert_with(|| catch.clone());
        }
        self.first.get_or_insert(catch);
    }
}

/// Runs all these seeds, and says which of them went wrong, and which broke this verdict.
pub fn hunt(
    simulate: Simulate,
    conditions: Conditions,
    seeds: Range<u64>,
    verdict: &str,
) -> Hunted {
    let mut hunted = Hunted::default();
    catches(simulate, conditions, seeds).for_each(|catch| hunted.add(catch, verdict));
    hunted
}

/// Runs these seeds until one breaks this verdict.
pub fn hunt_until(
    simulate: Simulate,
    conditions: Conditions,
    seeds: Range<u64>,
    verdict: &str,
) -> Option<Catch> {
    catches(simulate, conditions, seeds).find(|catch| catch.finding.breaks(verdict))
}

/// The runs that went wrong, as they are found.
pub fn catches(
    simulate: Simulate,
    conditions: Conditions,
    seeds: Range<u64>,
) -> impl Iterator<Item = Catch> {
    seeds.filter_map(move |seed| {
        let finding = examine(simulate, &conditions.config(seed))?;
        Some(Catch { seed, finding })
    })
}

/// Simulates a run and judges it; `None` if nothing is wrong with it.
pub fn examine(simulate: Simulate, config: &SimulationConfig) -> Option<Finding> {
    let finding = match panic::catch_unwind(AssertUnwindSafe(|| simulate(config))) {
        Ok(recording) => {
            Finding { violated: violated(&judge(&recording)), invariant: broken(&recording) }
        }
        // What breaks outside the rewritten protocol: the simulator meets a message that no honest
        // sender sends, or the protocol as it is breaks an invariant.
        Err(words) => Finding { violated: Vec::new(), invariant: Some(text(&*words)) },
    };
    (finding != Finding::default()).then_some(finding)
}

/// What the checker says of a run.
pub fn judge(recording: &Recording) -> Verdicts {
    let up = recording.known_states();
    let states: Vec<_> = up
        .map(|end| StateDigest { node: end.node, applied: end.applied, digest: end.digest })
        .collect();
    checker::check(&Evidence {
        operations: &recording.operations,
        applied: &recording.applied,
        observed: &recording.observed,
        states: &states,
        ..Evidence::default()
    })
}

fn violated(verdicts: &Verdicts) -> Vec<&'static str> {
    let named = verdicts.named().into_iter();
    named.filter(|(_, verdict)| verdict.counterexample().is_some()).map(|(name, _)| name).collect()
}

/// The first invariant that a rewritten protocol broke.
fn broken(recording: &Recording) -> Option<String> {
    recording.observed.iter().find_map(|seen| match &seen.event {
        Event::Refused { why } => Some(why.strip_prefix(BROKEN)?.to_owned()),
        _ => None,
    })
}
