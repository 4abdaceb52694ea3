//! What shows that a run went wrong.

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
};

use checker::{Evidence, StateDigest, Verdicts};
use consensus_core::Event;
use faults::Schedule;
use simulator::{Recording, SimulationConfig};

use crate::{
    conditions::Conditions,
    liveness::{Expects, Failure, failure},
    plant::Simulate,
    rewritten::{BROKEN, text},
};

/// By which name a broken invariant of a replica's own goes, beside those of the verdicts.
pub const INVARIANT: &str = "invariant";

/// By which name it goes that a cluster did not do what it must.
pub const LIVENESS: &str = "liveness";

/// What shows that a run went wrong.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Finding {
    /// These verdicts were broken, by the names of [`Verdicts::named`].
    pub violated: Vec<&'static str>,
    /// A replica's own invariant no longer held, and these were its last words.
    pub invariant: Option<String>,
    /// The cluster did not do what it must.
    pub failure: Option<Failure>,
}

impl Finding {
    /// Whether this broke: a verdict, an [`INVARIANT`], or [`LIVENESS`].
    pub fn breaks(&self, what: &str) -> bool {
        self.names().any(|name| name == what)
    }

    /// What tells the most: a broken verdict is somebody's loss, a broken invariant is noticed before
    /// it is, and a failure may follow from either.
    pub fn foremost(&self) -> Option<&'static str> {
        self.names().next()
    }

    fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        let invariant = self.invariant.as_ref().map(|_| INVARIANT);
        let failure = self.failure.as_ref().map(|_| LIVENESS);
        self.violated.iter().copied().chain(invariant).chain(failure)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let invariant = self.invariant.as_ref().map(|words| format!("{INVARIANT}: {words}"));
        let failure = self.failure.as_ref().map(|failure| format!("{LIVENESS}: {failure}"));
        let violated = self.violated.iter().map(|name| (*name).to_owned());
        f.write_str(&violated.chain(invariant).chain(failure).collect::<Vec<_>>().join(", "))
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

/// The first of these seeds whose run shows something that satisfies.
pub fn first_catch(
    simulate: Simulate,
    conditions: &Conditions,
    mut seeds: impl Iterator<Item = u64>,
    satisfies: impl Fn(&Finding) -> bool,
) -> Option<Catch> {
    seeds.find_map(|seed| {
        let finding = examine(simulate, conditions, conditions.schedule(seed), seed)?;
        satisfies(&finding).then_some(Catch { seed, finding })
    })
}

/// Simulates a schedule under these conditions and judges the run; `None` if nothing is wrong with it.
pub fn examine(
    simulate: Simulate,
    conditions: &Conditions,
    schedule: Schedule,
    seed: u64,
) -> Option<Finding> {
    let config = conditions.config_of(schedule, seed);
    judged(simulate, &config, &conditions.expects)
}

fn judged(simulate: Simulate, config: &SimulationConfig, expects: &Expects) -> Option<Finding> {
    let finding = match panic::catch_unwind(AssertUnwindSafe(|| simulate(config))) {
        Ok(recording) => Finding {
            violated: violated(&judge(&recording)),
            invariant: broken(&recording),
            failure: failure(&recording, expects),
        },
        // What breaks outside the rewritten protocol: the simulator meets a message that no honest
        // sender sends, or the protocol as it is breaks an invariant.
        Err(words) => Finding { invariant: Some(text(&*words)), ..Finding::default() },
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
