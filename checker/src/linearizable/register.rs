//! One key's history, and the steps that a linearization of it has to put in order.

use consensus_core::history::Operation;

use super::model::{Guard, Meaning, NOTHING, State, Transition, Values};

/// The place of an operation of which nobody knows where in the log it stands.
pub const NO_HINT: u64 = u64::MAX;

/// One key's operations, and what they mean.
pub struct Register<'a> {
    /// The operations, as they were recorded.
    pub operations: Vec<&'a Operation>,
    /// What each means.
    pub meanings: Vec<Meaning>,
    /// Where each seems to stand in the log. The search tries the changes in this order first; it
    /// is never believed without trying.
    pub hints: Vec<u64>,
    /// How many states the key can be in.
    pub states: usize,
}

/// How much of an operation is taken into account. Each one demands less than the one before it, so
/// what contradicts itself under a weaker belief does so under a stronger one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Belief {
    /// All that is recorded.
    Whole,
    /// That it was sent when it was, but no answer.
    Sent,
    /// That it may take effect at any time, or never.
    Free,
    /// Nothing: it cannot have changed anything.
    Ignored,
}

/// One step of a linearization.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Which operation of the register it is.
    pub operation: usize,
    /// What it does.
    pub transition: Transition,
    /// It takes effect no earlier, in nanoseconds.
    pub invoked: u64,
    /// It takes effect no later; `None`: at any later time, or never.
    pub deadline: Option<u64>,
}

/// All steps that a linearization may or must hold.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    /// Those that must take effect, by their start.
    pub closed: Vec<Step>,
    /// Those that may, by their start.
    pub open: Vec<Step>,
}

impl<'a> Register<'a> {
    /// One key's register. `hint` tells where an operation seems to stand in the log.
    pub fn new(operations: Vec<&'a Operation>, hint: impl Fn(&Operation) -> u64) -> Self {
        let mut values = Values::default();
        let meanings = operations.iter().map(|operation| values.meaning(operation)).collect();
        let hints = operations.iter().map(|operation| hint(operation)).collect();
        Self { meanings, hints, states: values.states(), operations }
    }

    /// The belief in everything.
    pub fn everything(&self) -> Vec<Belief> {
        vec![Belief::Whole; self.operations.len()]
    }

    /// The least that may be believed about an operation: its change, if it made one, may stand
    /// anywhere.
    pub fn least(&self, operation: usize) -> Belief {
        self.meanings[operation].change.map_or(Belief::Ignored, |_| Belief::Free)
    }

    /// The steps that remain under these beliefs.
    pub fn steps(&self, beliefs: &[Belief]) -> Steps {
        let mut steps = Steps::default();
        for (operation, &belief) in beliefs.iter().enumerate() {
            self.add(&mut steps, operation, belief);
        }
        steps.close_what_was_seen(self.states);
        steps.drop_what_nobody_saw(self.states);
        steps.closed.sort_unstable_by_key(|step| (step.invoked, step.deadline, step.operation));
        steps.open.sort_unstable_by_key(|step| (step.invoked, step.operation));
        steps
    }

    fn add(&self, steps: &mut Steps, operation: usize, belief: Belief) {
        let Meaning { answered, change } = self.meanings[operation];
        let recorded = self.operations[operation];
        let completed = recorded.completed.map(|completed| completed.0);
        let sent = recorded.invoked.0;
        match (belief, answered, change) {
            (Belief::Ignored, _, _) => {}
            (Belief::Whole, Some(transition), _) => {
                let step = Step { operation, transition, invoked: sent, deadline: completed };
                steps.closed.push(step);
            }
            (_, _, None) => {}
            (_, _, Some(transition)) => {
                let invoked = if belief == Belief::Free { 0 } else { sent };
                steps.open.push(Step { operation, transition, invoked, deadline: None });
            }
        }
    }
}

impl Steps {
    /// An open change that alone can have written what somebody saw did take effect, and did so
    /// before the first sight of it ended. This turns nearly all unknown outcomes into known ones
    /// wherever values are unique.
    fn close_what_was_seen(&mut self, states: usize) {
        let mut writers = vec![0u32; states];
        for step in self.closed.iter().chain(&self.open) {
            if let Some(next) = step.transition.next {
                writers[next as usize] += 1;
            }
        }
        loop {
            let seen = self.first_seen(states);
            let before = self.closed.len();
            let closed = &mut self.closed;
            self.open.retain(|step| {
                let next = step.transition.next.unwrap_or(NOTHING);
                let alone = next != NOTHING && writers[next as usize] == 1;
                let Some(seen) = seen[next as usize].filter(|_| alone) else { return true };
                closed.push(Step { deadline: Some(seen.max(step.invoked)), ..*step });
                false
            });
            if self.closed.len() == before {
                return;
            }
        }
    }

    /// When the first step that saw each state ended.
    fn first_seen(&self, states: usize) -> Vec<Option<u64>> {
        let mut seen: Vec<Option<u64>> = vec![None; states];
        for step in &self.closed {
            if let (Guard::Is(state), Some(deadline)) = (step.transition.guard, step.deadline) {
                let first = &mut seen[state as usize];
                *first = Some(first.map_or(deadline, |first| first.min(deadline)));
            }
        }
        seen
    }

    /// An open change to a state that no step demands can be left out of any linearization: what
    /// follows it either takes no notice of the state or demands another one. Only steps that
    /// demand "any state but that one" could need it.
    fn drop_what_nobody_saw(&mut self, states: usize) {
        let vague = |step: &Step| matches!(step.transition.guard, Guard::Not(_));
        if self.open.is_empty() || self.closed.iter().any(vague) {
            return;
        }
        let mut demanded = vec![false; states];
        for step in self.closed.iter().chain(&self.open) {
            if let Guard::Is(state) = step.transition.guard {
                demanded[state as usize] = true;
            }
        }
        let wanted = |state: State| demanded[state as usize];
        self.open.retain(|step| step.transition.next.is_some_and(wanted));
    }
}
