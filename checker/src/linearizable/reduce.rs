//! From a history without a linearization to the few operations that are to blame.
//!
//! An operation cannot just be left out: without its writer every value seems to come out of
//! nowhere. But it can be *weakened* (see [`Belief`]): a change may be allowed to happen at any time
//! or never, and what changed nothing may be ignored. What stays contradictory under weaker beliefs
//! is contradictory, so whatever can be weakened does not matter.

use super::{
    register::{Belief, Register},
    search::{Budget, Found, search},
};

/// How many candidates one search may look at while it reduces.
const CANDIDATES_PER_SEARCH: u64 = 2_000_000;

/// How many candidates all these searches may look at together.
const CANDIDATES: u64 = 200_000_000;

/// How many of the last operations are first tried alone.
const FIRST_WINDOW: usize = 4;

/// The operations that matter, by their start.
pub fn reduce(register: &Register<'_>, until: u64) -> Vec<usize> {
    let mut reduction = Reduction { register, beliefs: cut(register, until), left: CANDIDATES };
    reduction.find_window();
    reduction.weaken_in_chunks(|least| least == Belief::Ignored);
    reduction.weaken_in_chunks(|_| true);
    // What was needed while something else was still believed may not be needed any more.
    reduction.weaken_one_by_one();
    reduction.core()
}

/// Nothing that happened after this time is believed: no prefix of a linearizable history is without
/// a linearization (Herlihy & Wing 1990, §3).
fn cut(register: &Register<'_>, until: u64) -> Vec<Belief> {
    let belief = |operation: usize| {
        let recorded = register.operations[operation];
        let meaning = register.meanings[operation];
        let in_time = recorded.completed.is_some_and(|completed| completed.0 <= until);
        match (meaning.answered, meaning.change) {
            _ if recorded.invoked.0 > until => Belief::Ignored,
            (Some(_), _) if in_time => Belief::Whole,
            (_, Some(_)) => Belief::Sent,
            (_, None) => Belief::Ignored,
        }
    };
    (0..register.operations.len()).map(belief).collect()
}

struct Reduction<'r, 'a> {
    register: &'r Register<'a>,
    beliefs: Vec<Belief>,
    left: u64,
}

impl Reduction<'_, '_> {
    /// Whether the history is still contradictory under these beliefs, as far as can be told.
    fn contradictory(&mut self, beliefs: &[Belief]) -> bool {
        let steps = self.register.steps(beliefs);
        let budget = Budget {
            candidates: CANDIDATES_PER_SEARCH.min(self.left),
            configurations: CANDIDATES_PER_SEARCH,
        };
        let (found, looked_at) = search(self.register, &steps, budget);
        // Setting a search up costs about as much as looking at every operation a few times.
        let cost = looked_at + 8 * beliefs.len() as u64;
        self.left = self.left.saturating_sub(cost);
        matches!(found, Found::Contradiction { .. })
    }

    /// Weakens these operations together, if the contradiction survives that.
    fn weaken(&mut self, operations: &[usize]) -> bool {
        let mut beliefs = self.beliefs.clone();
        for &operation in operations {
            beliefs[operation] = self.register.least(operation).max(beliefs[operation]);
        }
        let weakened = self.left > 0 && self.contradictory(&beliefs);
        if weakened {
            self.beliefs = beliefs;
        }
        weakened
    }

    /// The operations that are still believed, by their start.
    fn core(&self) -> Vec<usize> {
        let believed = |&operation: &usize| self.beliefs[operation] < Belief::Free;
        let mut core: Vec<usize> = (0..self.beliefs.len()).filter(believed).collect();
        core.sort_by_key(|&operation| {
            let recorded = self.register.operations[operation];
            (recorded.invoked, recorded.completed)
        });
        core
    }

    /// Keeps as many of the last operations as it takes, doubling.
    fn find_window(&mut self) {
        let mut core = self.core();
        core.sort_by_key(|&operation| self.register.operations[operation].completed);
        let mut window = FIRST_WINDOW;
        while window < core.len() && !self.weaken(&core[..core.len() - window]) {
            window *= 2;
        }
    }

    /// Weakens runs of operations, shorter and shorter ones (Zeller's delta debugging).
    fn weaken_in_chunks(&mut self, which: impl Fn(Belief) -> bool) {
        let mut length = self.core().len();
        while length > 0 {
            let mut core = self.core();
            core.retain(|&operation| which(self.register.least(operation)));
            for chunk in core.chunks(length) {
                self.weaken(chunk);
            }
            length /= 2;
        }
    }

    fn weaken_one_by_one(&mut self) {
        while self.core().into_iter().any(|operation| self.weaken(&[operation])) {}
    }
}
