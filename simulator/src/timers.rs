//! One replica's timers.

use std::{fmt::Debug, ops::Range, time::Duration};

use consensus_core::{Draw, Time};

/// A replica's timers: what is armed, until when.
///
/// A follower re-arms its election timer at every heartbeat. So arming does not push an event each
/// time: each timer keeps its deadline here, and at most one event of the queue looks after it,
/// which looks again later if the deadline has moved on meanwhile.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    draw: Draw,
    /// Each timer that was ever armed: so few that looking through them all is the fastest.
    slots: Vec<Slot<T>>,
}

#[derive(Debug)]
struct Slot<T> {
    timer: T,
    /// What this timer's times are drawn from.
    draw: Draw,
    /// How many times it was armed, in all incarnations: the key of the next draw.
    armed: u64,
    /// When it runs out, if it is armed.
    deadline: Option<Time>,
    /// When the event comes that looks after it.
    looked_after: Option<Time>,
}

impl<T: Copy + Ord + Debug> Timers<T> {
    /// A replica's timers, drawn below this key. A timer's draws are keyed by its name and by the
    /// how-many-th arming it is, so that two protocols meet the same election timeouts.
    pub(crate) const fn new(draw: Draw) -> Self {
        Self { draw, slots: Vec::new() }
    }

    /// Arms a timer, in place of an earlier arming; says when an event must look after it, unless
    /// one comes early enough already.
    pub(crate) fn set(&mut self, now: Time, timer: T, within: &Range<Duration>) -> Option<Time> {
        let known = self.slots.iter().position(|slot| slot.timer == timer);
        let place = known.unwrap_or_else(|| {
            let draw = self.draw.of(&format!("{timer:?}"));
            self.slots.push(Slot { timer, draw, armed: 0, deadline: None, looked_after: None });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[place];
        let deadline = now + slot.draw.at(slot.armed).duration(within);
        slot.armed += 1;
        slot.deadline = Some(deadline);
        if slot.looked_after.is_some_and(|at| at <= deadline) {
            return None;
        }
        slot.looked_after = Some(deadline);
        Some(deadline)
    }

    /// Disarms a timer.
    pub(crate) fn cancel(&mut self, timer: T) {
        if let Some(slot) = self.slot(timer) {
            slot.deadline = None;
        }
    }

    /// Handles the event that looks after a timer.
    pub(crate) fn look(&mut self, now: Time, timer: T) -> Look {
        let Some(slot) = self.slot(timer) else { return Look::Idle };
        if slot.looked_after != Some(now) {
            return Look::Idle;
        }
        slot.looked_after = None;
        match slot.deadline {
            None => Look::Idle,
            Some(deadline) if deadline <= now => Look::Expired,
            Some(deadline) => {
                slot.looked_after = Some(deadline);
                Look::Again(deadline)
            }
        }
    }

    /// Takes the timer that ran out first, if one did.
    pub(crate) fn pop_expired(&mut self, now: Time) -> Option<T> {
        let due = |slot: &Slot<T>| {
            slot.deadline.filter(|&deadline| deadline <= now).map(|deadline| (deadline, slot.timer))
        };
        let (_, timer) = self.slots.iter().filter_map(due).min()?;
        self.cancel(timer);
        Some(timer)
    }

    /// Whether a timer has run out and was not taken yet.
    pub(crate) fn any_expired(&self, now: Time) -> bool {
        self.slots.iter().any(|slot| slot.deadline.is_some_and(|deadline| deadline <= now))
    }

    /// Lets what is left of each time pass at another rate: `stretch` says how long it takes now. Says
    /// which timers an event must look after anew, and when.
    pub(crate) fn stretch(
        &mut self,
        now: Time,
        stretch: impl Fn(Duration) -> Duration,
    ) -> Vec<(T, Time)> {
        let mut sooner = Vec::new();
        for slot in &mut self.slots {
            let Some(deadline) = slot.deadline.filter(|&deadline| deadline > now) else { continue };
            let deadline = now + stretch(deadline.since(now));
            slot.deadline = Some(deadline);
            if slot.looked_after.is_none_or(|at| deadline < at) {
                slot.looked_after = Some(deadline);
                sooner.push((slot.timer, deadline));
            }
        }
        sooner
    }

    /// Forgets what is armed, as a crash does; the count of the draws goes on.
    pub(crate) fn clear(&mut self) {
        for slot in &mut self.slots {
            slot.deadline = None;
            slot.looked_after = None;
        }
    }

    fn slot(&mut self, timer: T) -> Option<&mut Slot<T>> {
        self.slots.iter_mut().find(|slot| slot.timer == timer)
    }
}

/// What became of a timer that was looked after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// It is not armed.
    Idle,
    /// It runs out later; look again then.
    Again(Time),
    /// It has run out.
    Expired,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u32) -> Time {
        Time::ZERO + MS * ms
    }

    fn fixed(ms: u32) -> Range<Duration> {
        MS * ms..MS * ms
    }

    #[test]
    fn setting_again_replaces_the_deadline_and_needs_no_second_look() {
        let mut timers = Timers::new(Draw::new(1));
        assert_eq!(timers.set(at(0), 'e', &fixed(10)), Some(at(10)));
        assert_eq!(timers.set(at(5), 'e', &fixed(10)), None);
        assert_eq!(timers.look(at(10), 'e'), Look::Again(at(15)));
        assert_eq!(timers.pop_expired(at(14)), None);
        assert_eq!(timers.look(at(15), 'e'), Look::Expired);
        assert_eq!(timers.pop_expired(at(15)), Some('e'));
        assert_eq!(timers.pop_expired(at(15)), None);
    }

    #[test]
    fn an_expiry_in_the_queue_is_cancelled_by_setting_or_cancelling() {
        let mut timers = Timers::new(Draw::new(1));
        timers.set(at(0), 'a', &fixed(1));
        timers.set(at(0), 'b', &fixed(1));
        assert!(timers.any_expired(at(1)));
        timers.set(at(1), 'a', &fixed(5));
        timers.cancel('b');
        assert_eq!(timers.pop_expired(at(1)), None);
    }

    #[test]
    fn an_earlier_deadline_is_looked_after_earlier() {
        let mut timers = Timers::new(Draw::new(1));
        timers.set(at(0), 'e', &fixed(10));
        assert_eq!(timers.set(at(0), 'e', &fixed(3)), Some(at(3)));
        assert_eq!(timers.look(at(3), 'e'), Look::Expired);
        assert_eq!(timers.pop_expired(at(3)), Some('e'));
        assert_eq!(timers.look(at(10), 'e'), Look::Idle, "the later event is stale");
    }

    #[test]
    fn what_is_left_of_a_time_is_stretched_or_shortened() {
        let mut timers = Timers::new(Draw::new(1));
        timers.set(at(0), 'e', &fixed(10));
        assert_eq!(timers.stretch(at(4), |left| left * 2), []);
        assert_eq!(timers.look(at(10), 'e'), Look::Again(at(16)));
        assert_eq!(timers.stretch(at(10), |left| left / 3), [('e', at(12))]);
        assert_eq!(timers.look(at(12), 'e'), Look::Expired);
        assert_eq!(timers.look(at(16), 'e'), Look::Idle, "the later event is stale");
    }

    #[test]
    fn draws_go_on_after_a_crash_and_differ() {
        let mut timers = Timers::new(Draw::new(1));
        let range = MS * 150..MS * 300;
        let first = timers.set(at(0), 'e', &range);
        timers.clear();
        let second = timers.set(at(0), 'e', &range);
        assert!(first.is_some() && second.is_some() && first != second);
    }
}
