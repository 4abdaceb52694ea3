//! Linearizability: every operation seems to take effect at one instant between its first send and
//! its answer (Herlihy & Wing 1990).
//!
//! The property is local (ibid., §3.3): a history is linearizable if each key's is, so keys are
//! judged one by one (P-compositionality, Horn & Kroening 2015). For each key, contradictions that
//! need no search are looked for first (`quick`); then the order in which the log holds the changes
//! is tried (`witness`), and verified like anybody's: the log is a suggestion, never evidence; only
//! if that does not work out is an order searched for (`search`). A history without one is reduced
//! to the operations to blame (`reduce`) and put into words (`explain`).
//!
//! Stale reads promise nothing of the kind; they are judged by a rule of their own
//! ([`stale_reads`](crate::stale_reads)).
//!
//! Outcomes are taken for what they are. An unknown one may have taken effect at any time from its
//! first send to the end of time, or never; a failed one never; an unknown read tells nothing. A
//! write's answer that names no value held is taken to tell none. Answers' revisions are no part of
//! the search, but they may not contradict the order of time.

mod explain;
mod model;
mod quick;
mod reduce;
mod register;
mod search;
mod witness;

use std::collections::{BTreeMap, BTreeSet};

use consensus_core::{
    history::{Applied, Call, Operation, Outcome},
    id::{Index, SessionId},
};

use crate::{Counterexample, Evidence, Verdict};
use register::{NO_HINT, Register};
use search::{Budget, Found, search};

/// How far the search goes before it gives up and says so. The problem is NP-complete (Gibbons &
/// Korach 1997), so there must be an end to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// How many candidates for the next step are looked at, for one key. A hundred million take
    /// about a second.
    pub candidates_per_key: u64,
    /// How many configurations are remembered, for one key. A million take about 100 MB.
    pub configurations_per_key: u64,
    /// How many candidates are looked at for all keys together.
    pub candidates: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            candidates_per_key: 50_000_000,
            configurations_per_key: 500_000,
            candidates: 500_000_000,
        }
    }
}

/// Judges the operations. The applied entries only hint at an order to try first: whatever they
/// say, the verdict is that of the operations alone, or none.
pub fn check(evidence: &Evidence<'_>, limits: &Limits) -> Verdict {
    if let Some(reason) = nonsense(evidence.operations) {
        return Verdict::Undecided(reason);
    }
    let places = places(evidence);
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in evidence.operations.iter().filter(|operation| !operation.is_stale_read()) {
        keys.entry(&operation.key).or_default().push(operation);
    }
    let mut left = limits.candidates;
    let mut undecided = Vec::new();
    for (key, operations) in keys {
        let register = Register::new(operations, |operation| hint(operation, &places));
        let budget = Budget {
            candidates: limits.candidates_per_key.min(left),
            configurations: limits.configurations_per_key,
        };
        let (judgement, looked_at) = judge(&register, budget);
        left = left.saturating_sub(looked_at);
        match judgement {
            Judgement::Linearizable => {}
            Judgement::Contradictory(counterexample) => return counterexample.into(),
            Judgement::Undecided => undecided.push(key),
        }
    }
    match undecided.first() {
        None => Verdict::Ok,
        Some(key) => Verdict::Undecided(format!(
            "the search for an order of the operations on {} of the keys was given up, {} the \
             first of them",
            undecided.len(),
            explain::quote(key)
        )),
    }
}

/// The answer for one key.
enum Judgement {
    Linearizable,
    Contradictory(Counterexample),
    Undecided,
}

fn judge(register: &Register<'_>, budget: Budget) -> (Judgement, u64) {
    if let Some(counterexample) = quick::contradiction(register) {
        return (Judgement::Contradictory(counterexample), 0);
    }
    if witness::convinces(register) {
        return (Judgement::Linearizable, 0);
    }
    let (found, looked_at) = search(register, &register.steps(&register.everything()), budget);
    let judgement = match found {
        Found::Order => Judgement::Linearizable,
        Found::GaveUp => Judgement::Undecided,
        Found::Contradiction { until } => {
            let core = reduce::reduce(register, until);
            Judgement::Contradictory(explain::explain(register, &core))
        }
    };
    (judgement, looked_at)
}

/// A record that cannot be true of any run; judging it would prove nothing about the store.
fn nonsense(operations: &[Operation]) -> Option<String> {
    operations.iter().find_map(|operation| {
        let what = match (operation.completed, &operation.outcome) {
            (Some(completed), _) if completed < operation.invoked => {
                "is recorded as answered before it was sent"
            }
            (None, Outcome::Ok { .. }) => "is recorded as done but without the time of its answer",
            _ => return None,
        };
        Some(format!("the {} {what}", explain::call(operation)))
    })
}

/// A command's name: its session and its number in it.
type Request = (SessionId, u64);

fn request(operation: &Operation) -> Request {
    (operation.session, operation.sequence)
}

/// Whether an operation's place in the log cannot be read off its answer.
fn is_unplaced(operation: &Operation) -> bool {
    let told = matches!(operation.outcome, Outcome::Ok { revision: 1.., .. });
    operation.call != Call::Get && !told
}

/// Where the commands whose answers tell no position took effect, by what replicas applied.
fn places(evidence: &Evidence<'_>) -> BTreeMap<Request, Index> {
    let unplaced: BTreeSet<Request> = evidence
        .operations
        .iter()
        .filter(|operation| is_unplaced(operation))
        .map(request)
        .collect();
    let place = |entry: &Applied| {
        let request = entry.request.filter(|_| entry.fresh)?;
        unplaced.contains(&request).then_some((request, entry.index))
    };
    evidence.applied.iter().filter_map(place).collect()
}

fn hint(operation: &Operation, places: &BTreeMap<Request, Index>) -> u64 {
    match operation.outcome {
        Outcome::Ok { revision, .. } if revision > 0 => revision,
        _ => places.get(&request(operation)).copied().unwrap_or(NO_HINT),
    }
}
