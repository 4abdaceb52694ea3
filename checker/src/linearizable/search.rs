//! The search for a linearization: Wing & Gong's algorithm (1993) with Lowe's cache of visited
//! configurations (2017), over a linked list of calls and returns.
//!
//! A configuration is the set of the steps taken so far and the state they left. The steps that may
//! come next are those called before the first return of a step not yet taken. Three things keep
//! the search near linear on the histories that clusters make:
//!
//! - A step that fits the state and never changes any, a read above all, is taken at once and never
//!   reconsidered: in any linearization it can be moved to here. (Not so a write of the very value
//!   that the key holds: it may be needed later, after another value.)
//! - Changes are tried in the order in which they seem to stand in the log, if anything is known of
//!   it, and else by the time by which they had to happen; but where the first step in that order
//!   does not fit the state, those that make it fit come before it. A correct history is hardly ever
//!   searched at all.
//! - Sets of steps are stored as the number of the first step missing and the few bits behind it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    model::{Guard, NOTHING, State, Transition},
    register::{Register, Step, Steps},
};

/// How far one search may go.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// How many candidates it may look at.
    pub candidates: u64,
    /// How many configurations it may remember.
    pub configurations: u64,
}

/// What a search found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// There is a linearization.
    Order,
    /// There is none, not even of what happened up to this time, in nanoseconds.
    Contradiction {
        /// The end of the operation that no order got past.
        until: u64,
    },
    /// The budget was spent.
    GaveUp,
}

/// Searches for an order of the steps. Also says how many candidates it looked at.
pub fn search(register: &Register<'_>, steps: &Steps, budget: Budget) -> (Found, u64) {
    let mut search = Search::new(register, steps);
    let found = search.run(budget);
    (found, search.looked_at)
}

/// The list's first node, before every event.
const HEAD: usize = 0;

/// What a node of the list stands for.
#[derive(Clone, Copy)]
enum Event {
    /// The list's ends.
    Edge,
    /// A step may be taken from here on.
    Call(usize),
    /// A step must have been taken by this time.
    Return(u64),
}

/// A step that was taken, and what was so before it.
struct Taken {
    step: usize,
    /// How it was chosen; `None` if there was no choice.
    choice: Option<Preference>,
    state: State,
    first_missing: usize,
    last_taken: usize,
}

/// In which order writes are tried: first those that make the most urgent step possible, if it is
/// not, and else by their rank.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    does_not_help: bool,
    rank: usize,
}

/// What there is before the first return.
enum Around {
    /// A step that can be taken at once.
    AtOnce(usize),
    /// Nothing of that kind.
    Else {
        /// What the step with the first rank demands, if the state does not fit.
        urgent: Option<Guard>,
        /// When the first return was.
        end: u64,
    },
}

/// What to do in a configuration.
enum Choice {
    /// Take a step that fits and never changes anything; no other choice needs to be tried.
    AtOnce(usize),
    /// Take a step that writes.
    Branch(usize, Preference),
    /// No step that was not tried yet gets past the return at this time.
    Stuck(u64),
}

/// The state of the search. Steps are numbered: first the closed ones, then the open ones.
struct Search {
    transitions: Vec<Transition>,
    /// In which order changes are tried.
    ranks: Vec<usize>,
    /// What has to be taken before a step though the clock does not say so: the step that its client
    /// ended at the very instant at which it began this one.
    after: Vec<Option<usize>>,
    /// The previous open step with the same effect. Of several such, the first may as well go first.
    twins: Vec<Option<usize>>,
    closed: usize,
    events: Vec<Event>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// The list's nodes of each step: its call and, if it is closed, its return.
    nodes: Vec<(usize, Option<usize>)>,
    state: State,
    closed_bits: Vec<u64>,
    open_bits: Vec<u64>,
    first_missing: usize,
    last_taken: usize,
    remaining: usize,
    path: Vec<Taken>,
    /// The configurations that were entered, by the first step that they miss.
    visited: Vec<BTreeSet<Box<[u64]>>>,
    remembered: u64,
    looked_at: u64,
}

impl Search {
    fn new(register: &Register<'_>, steps: &Steps) -> Self {
        let all: Vec<Step> = steps.closed.iter().chain(&steps.open).copied().collect();
        let closed = steps.closed.len();
        let (events, nodes) = events(&all);
        Self {
            transitions: all.iter().map(|step| step.transition).collect(),
            ranks: ranks(register, &all),
            after: after(register, &all),
            twins: twins(&all, closed),
            closed,
            next: (1..=events.len()).collect(),
            previous: (0..events.len()).map(|node| node.saturating_sub(1)).collect(),
            events,
            nodes,
            state: NOTHING,
            closed_bits: vec![0; closed.div_ceil(64)],
            open_bits: vec![0; steps.open.len().div_ceil(64)],
            first_missing: 0,
            last_taken: 0,
            remaining: closed,
            path: Vec::with_capacity(all.len()),
            visited: vec![BTreeSet::new(); closed + 1],
            remembered: 0,
            looked_at: 0,
        }
    }

    fn run(&mut self, budget: Budget) -> Found {
        let mut tried = None;
        let mut farthest = 0;
        while self.remaining > 0 {
            if self.looked_at > budget.candidates || self.remembered > budget.configurations {
                return Found::GaveUp;
            }
            match self.choose(tried) {
                Choice::AtOnce(step) => {
                    self.take(step, None);
                    tried = None;
                }
                Choice::Branch(step, preference) => {
                    self.take(step, Some(preference));
                    tried = None;
                    if !self.remember() {
                        tried = self.back_to_branch();
                    }
                }
                Choice::Stuck(until) => {
                    farthest = farthest.max(until);
                    tried = self.back_to_branch();
                    if tried.is_none() {
                        return Found::Contradiction { until: farthest };
                    }
                }
            }
        }
        Found::Order
    }

    /// The first untried step, in the order of preference, that fits the state before the first
    /// return.
    fn choose(&mut self, tried: Option<Preference>) -> Choice {
        let (urgent, end) = match self.look_around() {
            Around::AtOnce(step) => return Choice::AtOnce(step),
            Around::Else { urgent, end } => (urgent, end),
        };
        let mut best: Option<(Preference, usize)> = None;
        let mut node = self.next[HEAD];
        while let Event::Call(step) = self.events[node] {
            node = self.next[node];
            let Some(preference) = self.preference(step, urgent) else { continue };
            let is_better = best.is_none_or(|(best, _)| preference < best);
            if is_better && tried.is_none_or(|tried| preference > tried) {
                best = Some((preference, step));
            }
        }
        best.map_or(Choice::Stuck(end), |(preference, step)| Choice::Branch(step, preference))
    }

    /// Looks at all steps before the first return, for one that can be taken at once, and for the
    /// one that is the most urgent by rank, if that does not fit the state.
    fn look_around(&mut self) -> Around {
        let mut first: Option<usize> = None;
        let mut node = self.next[HEAD];
        while let Event::Call(step) = self.events[node] {
            node = self.next[node];
            self.looked_at += 1;
            let transition = self.transitions[step];
            let fits = transition.guard.admits(self.state);
            if fits && transition.next.is_none() && self.may_go(step) {
                return Around::AtOnce(step);
            }
            if step < self.closed && first.is_none_or(|first| self.ranks[step] < self.ranks[first])
            {
                first = Some(step);
            }
        }
        let Event::Return(end) = self.events[node] else {
            unreachable!("a closed step that remains has its return in the list")
        };
        let guard = first.map(|first| self.transitions[first].guard);
        Around::Else { urgent: guard.filter(|guard| !guard.admits(self.state)), end }
    }

    /// How a step stands among those that may be taken now; `None` if it may not.
    fn preference(&self, step: usize, urgent: Option<Guard>) -> Option<Preference> {
        let Transition { guard, next } = self.transitions[step];
        // What need not happen and would change nothing here had better not happen here.
        let next = next.filter(|&next| step < self.closed || next != self.state)?;
        if !guard.admits(self.state) || !self.may_go(step) {
            return None;
        }
        let helps = urgent.is_some_and(|urgent| urgent.admits(next));
        Some(Preference { does_not_help: !helps, rank: self.ranks[step] })
    }

    fn may_go(&self, step: usize) -> bool {
        let preferred = self.twins[step].filter(|&twin| self.is_in_turn(twin));
        self.is_in_turn(step) && preferred.is_none_or(|twin| self.is_taken(twin))
    }

    fn is_in_turn(&self, step: usize) -> bool {
        self.after[step].is_none_or(|before| self.is_taken(before))
    }

    fn is_taken(&self, step: usize) -> bool {
        match step.checked_sub(self.closed) {
            None => self.closed_bits[step / 64] >> (step % 64) & 1 == 1,
            Some(open) => self.open_bits[open / 64] >> (open % 64) & 1 == 1,
        }
    }

    fn flip(&mut self, step: usize) {
        match step.checked_sub(self.closed) {
            None => self.closed_bits[step / 64] ^= 1 << (step % 64),
            Some(open) => self.open_bits[open / 64] ^= 1 << (open % 64),
        }
    }

    fn take(&mut self, step: usize, choice: Option<Preference>) {
        let Self { state, first_missing, last_taken, .. } = *self;
        self.path.push(Taken { step, choice, state, first_missing, last_taken });
        self.flip(step);
        let (call, end) = self.nodes[step];
        for node in [Some(call), end].into_iter().flatten() {
            self.next[self.previous[node]] = self.next[node];
            self.previous[self.next[node]] = self.previous[node];
        }
        if let Some(next) = self.transitions[step].next {
            self.state = next;
        }
        if step < self.closed {
            self.remaining -= 1;
            self.last_taken = self.last_taken.max(step);
            while self.first_missing < self.closed && self.is_taken(self.first_missing) {
                self.first_missing += 1;
            }
        }
    }

    /// Takes back everything up to the last branch, and says how it was chosen; `None` if there is
    /// none left.
    fn back_to_branch(&mut self) -> Option<Preference> {
        while let Some(taken) = self.path.pop() {
            self.take_back(&taken);
            if taken.choice.is_some() {
                return taken.choice;
            }
        }
        None
    }

    fn take_back(&mut self, taken: &Taken) {
        let (call, end) = self.nodes[taken.step];
        // The links are restored in the reverse of the order in which they were cut.
        for node in [end, Some(call)].into_iter().flatten() {
            self.next[self.previous[node]] = node;
            self.previous[self.next[node]] = node;
        }
        self.flip(taken.step);
        self.remaining += usize::from(taken.step < self.closed);
        self.state = taken.state;
        self.first_missing = taken.first_missing;
        self.last_taken = taken.last_taken;
    }

    /// Remembers the configuration; `false` if it was known.
    fn remember(&mut self) -> bool {
        let from = (self.first_missing / 64).min(self.closed_bits.len());
        let to = (self.last_taken / 64 + 1).min(self.closed_bits.len()).max(from);
        let behind = &self.closed_bits[from..to];
        let mut key = Vec::with_capacity(1 + self.open_bits.len() + behind.len());
        key.push(u64::from(self.state));
        key.extend_from_slice(&self.open_bits);
        key.extend_from_slice(behind);
        let new = self.visited[self.first_missing].insert(key.into_boxed_slice());
        self.remembered += u64::from(new);
        new
    }
}

/// The calls and returns in the order of time, between two edges, and the nodes of each step. At one
/// instant calls come before returns: operations that touch count as overlapping.
fn events(all: &[Step]) -> (Vec<Event>, Vec<(usize, Option<usize>)>) {
    let calls = all.iter().enumerate().map(|(step, at)| (at.invoked, false, step));
    let ends = all.iter().enumerate().filter_map(|(step, at)| Some((at.deadline?, true, step)));
    let mut order: Vec<(u64, bool, usize)> = calls.chain(ends).collect();
    order.sort_unstable();
    let mut events = vec![Event::Edge];
    let mut nodes = vec![(HEAD, None); all.len()];
    for (at, is_return, step) in order {
        if is_return {
            nodes[step].1 = Some(events.len());
            events.push(Event::Return(at));
        } else {
            nodes[step].0 = events.len();
            events.push(Event::Call(step));
        }
    }
    events.push(Event::Edge);
    (events, nodes)
}

/// Steps are tried by their place in the log, reads behind what they read, else by the time by which
/// they had to happen.
fn ranks(register: &Register<'_>, all: &[Step]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_unstable_by_key(|&step| {
        let Step { operation, deadline, invoked, transition } = all[step];
        let place = (register.hints[operation], transition.next.is_none());
        (place, deadline.unwrap_or(u64::MAX), invoked, step)
    });
    let mut ranks = vec![0; all.len()];
    for (rank, step) in order.into_iter().enumerate() {
        ranks[step] = rank;
    }
    ranks
}

/// What has to be taken before each step, beyond what the clock says.
fn after(register: &Register<'_>, all: &[Step]) -> Vec<Option<usize>> {
    let client = |step: usize| register.operations[all[step].operation].client;
    // Two operations of no duration at one instant: the one recorded first came first.
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|&step| (client(step), all[step].invoked, all[step].deadline));
    let mut after = vec![None; all.len()];
    let mut last: Option<(usize, u64)> = None;
    for step in order {
        let before = last.filter(|&(before, _)| client(before) == client(step));
        after[step] = before.filter(|&(_, end)| end == all[step].invoked).map(|(before, _)| before);
        // Any other deadline is somebody else's observation, not the client's turn.
        let recorded = register.operations[all[step].operation];
        let end = recorded.completed.filter(|_| recorded.outcome.is_ok()).map(|end| end.0);
        if end.is_some() && end == all[step].deadline {
            last = end.map(|end| (step, end));
        }
    }
    after
}

/// The previous open step with the same effect as each open one.
fn twins(all: &[Step], closed: usize) -> Vec<Option<usize>> {
    let mut last: BTreeMap<Transition, usize> = BTreeMap::new();
    let twin = |(number, step): (usize, &Step)| {
        (number >= closed).then(|| last.insert(step.transition, number)).flatten()
    };
    all.iter().enumerate().map(twin).collect()
}
