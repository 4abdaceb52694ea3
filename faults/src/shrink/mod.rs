//! Cutting a schedule under which something fails down to what it takes.
//!
//! A seed that fails has a dozen faults, of which one or two matter, at times and for durations of
//! which most do not. [`shrink`] looks for a smaller schedule that still fails, by trying: whoever
//! calls it says what failing is, and should hold it to one thing ("the same verdict"), or the search
//! slips from one mistake to another.
//!
//! 1. Steps are left out by [delta debugging](ddmin): what remains is 1-minimal. Whoever waited for a
//!    step that is left out waits for what that one waited for.
//! 2. Each field is left out, so that it is as usual, or becomes smaller: trials, durations, replicas,
//!    clients' rate and keys, settings.
//! 3. Both again, until neither finds anything.
//!
//! Each change leaves a field out for good or makes a number, a time or a list smaller, so the search
//! ends. Nothing here knows a kind of fault: a schedule is shrunk as the table that it is in TOML, and what
//! makes no sense is refused as it would be in a file. The search is deterministic, tries no schedule
//! twice, and ends with its budget.

mod ddmin;
mod values;

use std::collections::BTreeMap;

pub use ddmin::ddmin;

use crate::schedule::{
    Anchor, Schedule,
    paths::{self, Part},
};
use values::Role;

/// What came of shrinking.
#[derive(Clone, PartialEq, Debug)]
pub struct Shrunk {
    /// The smallest schedule found that still fails.
    pub schedule: Schedule,
    /// How many schedules were tried.
    pub tries: usize,
    /// Whether the search came to its end: no step can be left out, and no field is smaller. Otherwise
    /// its budget did.
    pub complete: bool,
}

/// Looks for a smaller schedule that still fails, with so many tries at most. `None` if the schedule
/// itself does not.
pub fn shrink(
    schedule: &Schedule,
    budget: usize,
    fails: impl FnMut(&Schedule) -> bool,
) -> Option<Shrunk> {
    let mut search = Search {
        best: schedule.clone(),
        fails,
        known: BTreeMap::new(),
        tries: 0,
        budget: budget.max(1),
        exhausted: false,
    };
    if !search.fails(schedule) {
        return None;
    }
    loop {
        let before = search.best.clone();
        search.leave_out_steps();
        search.simplify_fields();
        if search.best == before || search.exhausted {
            break;
        }
    }
    let Search { best, tries, exhausted, .. } = search;
    Some(Shrunk { schedule: best, tries, complete: !exhausted })
}

/// A search under way.
struct Search<F> {
    /// The smallest schedule so far that fails.
    best: Schedule,
    fails: F,
    /// What came of each schedule that was tried.
    known: BTreeMap<String, bool>,
    tries: usize,
    budget: usize,
    /// Something was left untried because the budget was spent.
    exhausted: bool,
}

impl<F: FnMut(&Schedule) -> bool> Search<F> {
    fn fails(&mut self, schedule: &Schedule) -> bool {
        let text = schedule.to_toml();
        if let Some(&known) = self.known.get(&text) {
            return known;
        }
        if self.tries == self.budget {
            self.exhausted = true;
            return false;
        }
        self.tries += 1;
        let fails = (self.fails)(schedule);
        self.known.insert(text, fails);
        fails
    }

    fn leave_out_steps(&mut self) {
        let whole = self.best.clone();
        let all: Vec<_> = (0..whole.steps.len()).collect();
        let kept =
            ddmin(&all, |kept| only(&whole, kept).is_some_and(|candidate| self.fails(&candidate)));
        if let Some(smaller) = only(&whole, &kept).filter(|smaller| self.fails(smaller)) {
            self.best = smaller;
        }
    }

    fn simplify_fields(&mut self) {
        for part in paths::parts_of(&self.best.to_table()) {
            self.simplify(&mut vec![part]);
        }
    }

    /// Simplifies what stands at a path, and then what stands below it.
    fn simplify(&mut self, path: &mut Vec<Part>) {
        let field = path.iter().rev().find_map(|part| match part {
            Part::Field(name) => Some(name.clone()),
            Part::Item(_) => None,
        });
        let field = field.unwrap_or_default();
        // Steps are left out by delta debugging, with those that wait for them.
        if *path != [Part::Field("step".into())] {
            match self.leave_out(path, &field) {
                LeftOut::Gone | LeftOut::SaysNothing => return,
                LeftOut::Needed => while self.take_simpler(path) {},
                LeftOut::Kept => {}
            }
        }
        for part in paths::parts(paths::get(&self.best.to_table(), path)) {
            path.push(part);
            self.simplify(path);
            path.pop();
        }
    }

    /// Leaves a field out, so that it is as usual.
    fn leave_out(&mut self, path: &[Part], field: &str) -> LeftOut {
        let mut without = self.best.to_table();
        match values::role(field) {
            Role::Name => return LeftOut::Kept,
            Role::Amount => return LeftOut::Needed,
            Role::Detail if !paths::remove(&mut without, path) => return LeftOut::Needed,
            Role::Detail => {}
        }
        if Schedule::from_table(&without).as_ref() == Some(&self.best) {
            LeftOut::SaysNothing
        } else if self.take(&without) {
            LeftOut::Gone
        } else {
            LeftOut::Needed
        }
    }

    /// Puts the first simpler value in its place with which it still fails.
    fn take_simpler(&mut self, path: &[Part]) -> bool {
        let table = self.best.to_table();
        let simpler = paths::get(&table, path).map(values::simpler).unwrap_or_default();
        simpler.into_iter().any(|value| {
            let mut candidate = table.clone();
            if let Some(place) = paths::get_mut(&mut candidate, path) {
                *place = value;
            }
            self.take(&candidate)
        })
    }

    /// Goes on from this schedule, if it is a sound one, another one, and fails.
    fn take(&mut self, table: &toml::Table) -> bool {
        let candidate = Schedule::from_table(table);
        let Some(candidate) = candidate.filter(|candidate| *candidate != self.best) else {
            return false;
        };
        let fails = self.fails(&candidate);
        if fails {
            self.best = candidate;
        }
        fails
    }
}

/// What came of leaving a field out.
enum LeftOut {
    /// It is left out.
    Gone,
    /// It says what is so anyway: a smaller value would be one thing more to read.
    SaysNothing,
    /// It cannot be left out, but its value may become smaller.
    Needed,
    /// It stays as it is; what is below it may change.
    Kept,
}

/// The schedule with these steps alone, if it is a sound one.
pub(crate) fn only(schedule: &Schedule, kept: &[usize]) -> Option<Schedule> {
    let mut fewer = schedule.clone();
    for place in (0..schedule.steps.len()).rev().filter(|place| !kept.contains(place)) {
        let gone = fewer.steps.remove(place);
        for step in &mut fewer.steps {
            if step.at.after.step() != Some(gone.id.as_str()) {
                continue;
            }
            // It would have waited for the other's beginning, or for its end.
            if let Anchor::StepDone(_) = step.at.after {
                let last = gone.every() * (gone.times() - 1);
                step.at.plus += last + gone.lasts.unwrap_or_default();
            }
            step.at.plus += gone.at.plus;
            step.at.after = gone.at.after.clone();
            step.at.count = gone.at.count;
        }
    }
    Schedule::from_table(&fewer.to_table())
}
