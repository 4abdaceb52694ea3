//! The register: what each operation demands of the state it meets, and what it leaves behind.
//!
//! The semantics are those of [`consensus_core::kv`]. Values are numbered per key, so that the
//! search compares and copies numbers; zero stands for a key that holds nothing.

use std::collections::BTreeMap;

use consensus_core::history::{Call, Operation, Outcome};

/// What a key holds, by number.
pub type State = u32;

/// A key that holds nothing.
pub const NOTHING: State = 0;

/// In which states an operation can have given the answer that it gave.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Guard {
    /// In every one.
    Any,
    /// In this one alone.
    Is(State),
    /// In all but this one.
    Not(State),
    /// In none: the answer contradicts itself.
    Never,
}

impl Guard {
    /// Whether the answer fits the state.
    pub const fn admits(self, state: State) -> bool {
        match self {
            Self::Any => true,
            Self::Is(only) => state == only,
            Self::Not(other) => state != other,
            Self::Never => false,
        }
    }

    /// What fits both this and a state that the answer told, if it told one.
    const fn told(self, held: Option<State>) -> Self {
        match held {
            None => self,
            Some(held) if self.admits(held) => Self::Is(held),
            Some(_) => Self::Never,
        }
    }
}

/// A state transition: possible where the guard admits the state; leaves `next`, or the state as it
/// is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Transition {
    /// Where it is possible.
    pub guard: Guard,
    /// What it leaves behind; `None`: what it met.
    pub next: Option<State>,
}

impl Transition {
    /// A write; one of what was there already is none.
    fn sets(guard: Guard, next: State) -> Self {
        let changes = guard != Guard::Is(next);
        Self { guard, next: changes.then_some(next) }
    }

    const fn keeps(guard: Guard) -> Self {
        Self { guard, next: None }
    }
}

/// What one operation does to its key.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    /// What it did, judging by its answer; `None` if there was none, or nothing was done.
    pub answered: Option<Transition>,
    /// What it does if it changes anything at all; `None` if it cannot have changed anything.
    pub change: Option<Transition>,
}

/// The numbers of one key's values.
#[derive(Debug, Default)]
pub struct Values<'a>(BTreeMap<&'a str, State>);

impl<'a> Values<'a> {
    fn number(&mut self, value: &'a str) -> State {
        let next = self.0.len() + 1;
        let next = State::try_from(next).expect("a history has fewer than 2^32 values");
        *self.0.entry(value).or_insert(next)
    }

    /// How many states there are: the values, and nothing.
    pub fn states(&self) -> usize {
        self.0.len() + 1
    }

    /// What an operation means.
    pub fn meaning(&mut self, operation: &'a Operation) -> Meaning {
        let effect = self.effect(&operation.call);
        let change = effect.filter(|effect| effect.next.is_some());
        match &operation.outcome {
            Outcome::Failed(_) => Meaning { answered: None, change: None },
            Outcome::Unknown(_) => Meaning { answered: None, change },
            Outcome::Ok { changed, held, .. } => {
                let held = held.as_deref().map(|held| self.number(held));
                let answered = answered(&operation.call, effect, *changed, held);
                Meaning { answered: Some(answered), change: change.filter(|_| *changed) }
            }
        }
    }

    /// The transition of a call that takes effect; `None` for a read.
    fn effect(&mut self, call: &'a Call) -> Option<Transition> {
        match call {
            Call::Get => None,
            Call::Put(value) => Some(Transition::sets(Guard::Any, self.number(value))),
            Call::Delete => Some(Transition::sets(Guard::Not(NOTHING), NOTHING)),
            Call::CompareAndSwap { expected, value } => {
                let expected = expected.as_deref().map_or(NOTHING, |value| self.number(value));
                Some(Transition::sets(Guard::Is(expected), self.number(value)))
            }
            Call::TestAndSet(value) => {
                Some(Transition::sets(Guard::Is(NOTHING), self.number(value)))
            }
        }
    }
}

/// The transition that an answer admits. A read always tells what the key held; a change whose
/// answer names nothing may have met nothing, or not have told.
fn answered(
    call: &Call,
    effect: Option<Transition>,
    changed: bool,
    held: Option<State>,
) -> Transition {
    match (effect, changed) {
        (None, _) => Transition::keeps(Guard::Is(held.unwrap_or(NOTHING))),
        (Some(effect), true) => Transition { guard: effect.guard.told(held), ..effect },
        (Some(effect), false) => Transition::keeps(opposite(call, effect.guard).told(held)),
    }
}

/// Where a call has no effect.
fn opposite(call: &Call, guard: Guard) -> Guard {
    match guard {
        Guard::Is(state) => Guard::Not(state),
        Guard::Not(state) => Guard::Is(state),
        Guard::Any | Guard::Never => {
            debug_assert!(matches!(call, Call::Put(_)), "a put alone always takes effect");
            Guard::Never
        }
    }
}
