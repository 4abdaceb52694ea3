//! A witness: the order in which the log holds the changes, tried before any search.
//!
//! A search without a guide drowns in the changes of unknown outcome, each of which may stand
//! anywhere or nowhere. The replicas know which of them took effect, and when. They are not believed:
//! what they suggest is verified, answer by answer, against what the clients saw.
//!
//! *Sound*: whoever suggested it, an order of all answered operations and some unanswered changes is
//! a linearization if every answer fits the state that it meets and nobody comes before somebody who
//! had ended before he began (Herlihy & Wing 1990, §2). [`is_linearization`] checks just that
//! definition, and nothing else decides. *Complete*: a suggestion that fails proves nothing, and the
//! search follows.
//!
//! The suggestion takes `O(n log n)`. The changes stand as in the log; an unanswered one that is not
//! there is left out, and so is one that finds there what it cannot change. They cut the history into
//! *eras*, each with one state. What only looked, be it a read or a refused change, is put into the
//! earliest era that has a state such as it saw, and is no earlier than that of anybody who had ended
//! before it began. Earliest is best: if they are placed by their start, each comes after all those
//! that it has to follow, and the earlier these stand, the more eras are open to it; by induction
//! nobody can stand earlier than here. Whom this places too late, behind a change that began after
//! its end, no placement saves. So if the changes have the right order, the rest finds its own.

use std::collections::BTreeMap;

use super::{
    model::{Guard, NOTHING, State},
    register::{NO_HINT, Register},
};

/// Whether the log's order of the changes explains every answer.
pub fn convinces(register: &Register<'_>) -> bool {
    suggestion(register).is_some_and(|order| is_linearization(register, &order))
}

/// When an operation began and ended, and which one it is. Its client began its operations in this
/// order, even those that took no time.
type Span = (u64, u64, usize);

/// What was never answered never ends.
fn span(register: &Register<'_>, operation: usize) -> Span {
    let recorded = register.operations[operation];
    let ended = recorded.completed.filter(|_| recorded.outcome.is_ok());
    (recorded.invoked.0, ended.map_or(u64::MAX, |ended| ended.0), operation)
}

/// Whether this order explains every answer and contradicts no clock. Operations that touch overlap,
/// except that a client ends one before it begins the next.
fn is_linearization(register: &Register<'_>, order: &[usize]) -> bool {
    let mut taken = vec![false; register.operations.len()];
    let mut state = NOTHING;
    let mut last_begun = 0;
    let mut last_of_client: BTreeMap<u64, Span> = BTreeMap::new();
    for &operation in order {
        let meaning = register.meanings[operation];
        let Some(transition) = meaning.answered.or(meaning.change) else { return false };
        let span @ (begun, ended, _) = span(register, operation);
        let own = last_of_client.entry(register.operations[operation].client).or_insert(span);
        let out_of_turn = ended == own.0 && span < *own;
        let too_late = ended < last_begun || out_of_turn;
        if taken[operation] || too_late || !transition.guard.admits(state) {
            return false;
        }
        taken[operation] = true;
        state = transition.next.unwrap_or(state);
        last_begun = last_begun.max(begun);
        *own = span.max(*own);
    }
    let mut all = register.meanings.iter().zip(taken);
    all.all(|(meaning, taken)| taken || meaning.answered.is_none())
}

/// The order that the log suggests; `None` if it lacks an acknowledged change, or if some answer has
/// no place between the changes.
fn suggestion(register: &Register<'_>) -> Option<Vec<usize>> {
    let (changes, eras) = changes(register)?;
    let mut era_of: Vec<Option<usize>> = vec![None; register.operations.len()];
    for (position, &change) in changes.iter().enumerate() {
        era_of[change] = Some(position + 1);
    }
    place_sights(register, &eras, &mut era_of)?;
    let placed = |&operation: &usize| era_of[operation].is_some();
    let mut order: Vec<usize> = (0..era_of.len()).filter(placed).collect();
    order.sort_by_key(|&operation| {
        let looks = register.meanings[operation].change.is_none();
        (era_of[operation], looks, span(register, operation))
    });
    Some(order)
}

/// The changes in the order of the log, and the states between them.
fn changes(register: &Register<'_>) -> Option<(Vec<usize>, Eras)> {
    let mut changes = logged(register)?;
    let mut states = vec![NOTHING];
    changes.retain(|&operation| {
        let meaning = register.meanings[operation];
        let Some(change) = meaning.change else { return false };
        let state = states[states.len() - 1];
        let happens = meaning.answered.is_some() || change.guard.admits(state);
        states.extend(change.next.filter(|_| happens));
        happens
    });
    Some((changes, Eras::new(states, register.states)))
}

/// The operations that may have changed something and stand in the log, in its order; `None` if an
/// acknowledged change does not.
fn logged(register: &Register<'_>) -> Option<Vec<usize>> {
    let changes = |&operation: &usize| register.meanings[operation].change.is_some();
    let (mut logged, lacking): (Vec<usize>, Vec<usize>) = (0..register.operations.len())
        .filter(changes)
        .partition(|&operation| register.hints[operation] != NO_HINT);
    if lacking.into_iter().any(|operation| register.meanings[operation].answered.is_some()) {
        return None;
    }
    logged.sort_by_key(|&operation| (register.hints[operation], span(register, operation)));
    Some(logged)
}

/// Puts what only looked into its era; the changes stand at the beginnings of theirs.
fn place_sights(register: &Register<'_>, eras: &Eras, era_of: &mut [Option<usize>]) -> Option<()> {
    let answered = |&operation: &usize| register.meanings[operation].answered.is_some();
    let all = (0..register.operations.len()).filter(answered);
    let mut by_start: Vec<Span> = all.map(|operation| span(register, operation)).collect();
    by_start.sort_unstable();
    let mut by_end = by_start.clone();
    by_end.sort_unstable_by_key(|&(_, ended, _)| ended);
    let mut by_end = by_end.into_iter().peekable();
    let mut floor = 0;
    // When each client's last operation ended, and in which era.
    let mut turns: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
    for (begun, ended, operation) in by_start {
        while let Some((_, _, earlier)) = by_end.next_if(|&(_, ended, _)| ended < begun) {
            // It began earlier as well, so that it has its era.
            floor = floor.max(era_of[earlier]?);
        }
        let turn = turns.entry(register.operations[operation].client).or_default();
        let own = if turn.0 == begun { turn.1 } else { 0 };
        if era_of[operation].is_none() {
            let guard = register.meanings[operation].answered?.guard;
            era_of[operation] = Some(eras.first(guard, floor.max(own))?);
        }
        *turn = (*turn).max((ended, era_of[operation]?));
    }
    Some(())
}

/// The times between two changes, from 0: before the first one.
struct Eras {
    /// The state of each.
    states: Vec<State>,
    /// The eras of each state, ascending.
    of_state: Vec<Vec<usize>>,
    /// The first later era with another state, for each; the number of all if there is none.
    next_other: Vec<usize>,
}

impl Eras {
    fn new(states: Vec<State>, kinds: usize) -> Self {
        let mut of_state = vec![Vec::new(); kinds];
        for (era, &state) in states.iter().enumerate() {
            of_state[state as usize].push(era);
        }
        let mut next_other = vec![states.len(); states.len()];
        for era in (1..states.len()).rev() {
            let same = states[era - 1] == states[era];
            next_other[era - 1] = if same { next_other[era] } else { era };
        }
        Self { states, of_state, next_other }
    }

    /// The first era from this one on whose state fits.
    fn first(&self, guard: Guard, from: usize) -> Option<usize> {
        match guard {
            Guard::Any => Some(from),
            Guard::Never => None,
            Guard::Is(state) => {
                let eras = &self.of_state[state as usize];
                eras.get(eras.partition_point(|&era| era < from)).copied()
            }
            Guard::Not(state) if self.states[from] != state => Some(from),
            Guard::Not(_) => Some(self.next_other[from]).filter(|&era| era < self.states.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use consensus_core::{
        SessionId, Time,
        history::{Call, Operation, Outcome},
    };

    use super::*;

    fn operation(client: u64, call: Call, span: (u64, u64), held: Option<&str>) -> Operation {
        let (changed, held) = (call != Call::Get, held.map(str::to_owned));
        Operation {
            client,
            session: SessionId(0),
            sequence: 0,
            key: "x".to_owned(),
            call,
            consistency: None,
            intended: Time(span.0),
            invoked: Time(span.0),
            completed: Some(Time(span.1)),
            outcome: Outcome::Ok { changed, held, revision: 0 },
        }
    }

    fn put(client: u64, span: (u64, u64), value: &str) -> Operation {
        operation(client, Call::Put(value.to_owned()), span, None)
    }

    fn get(client: u64, span: (u64, u64), held: &str) -> Operation {
        operation(client, Call::Get, span, Some(held))
    }

    fn accepts(operations: &[Operation], order: &[usize]) -> bool {
        let register = Register::new(operations.iter().collect(), |_| NO_HINT);
        is_linearization(&register, order)
    }

    #[test]
    fn every_answered_operation_is_taken_once_and_fits() {
        let history = [put(1, (0, 50), "a"), put(2, (0, 50), "b"), get(3, (0, 50), "a")];
        assert!(accepts(&history, &[0, 2, 1]));
        assert!(accepts(&history, &[1, 0, 2]));
        assert!(!accepts(&history, &[0, 1, 2]), "the answer does not fit");
        assert!(!accepts(&history, &[0, 2]), "an acknowledged write is missing");
        assert!(!accepts(&history, &[0, 1]), "a read is missing");
        assert!(!accepts(&history, &[0, 1, 0, 2]), "a write is taken twice");
    }

    #[test]
    fn only_what_may_have_happened_is_taken() {
        let mut lost = put(1, (0, 50), "a");
        lost.outcome = Outcome::Unknown("timeout".into());
        let refused = Operation { outcome: Outcome::Failed("no".into()), ..lost.clone() };
        let read = get(2, (60, 70), "a");
        assert!(accepts(&[lost.clone(), read.clone()], &[0, 1]), "it may be late");
        assert!(accepts(std::slice::from_ref(&lost), &[]), "it may have vanished");
        assert!(!accepts(&[lost, read.clone()], &[1]));
        assert!(!accepts(&[refused, read], &[0, 1]), "a refused write never happens");
    }

    #[test]
    fn the_order_follows_the_clock_and_each_client() {
        let apart = [put(1, (0, 10), "a"), put(2, (11, 20), "b")];
        assert!(accepts(&apart, &[0, 1]));
        assert!(!accepts(&apart, &[1, 0]));
        let touching = [put(1, (0, 10), "a"), put(2, (10, 20), "b")];
        assert!(accepts(&touching, &[1, 0]));
        let in_turn = [put(1, (0, 10), "a"), put(1, (10, 20), "b")];
        assert!(accepts(&in_turn, &[0, 1]));
        assert!(!accepts(&in_turn, &[1, 0]));
    }
}
