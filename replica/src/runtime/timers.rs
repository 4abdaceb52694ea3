//! A protocol's timers: what is armed, and what the draws make of a range.

use std::{collections::BTreeMap, fmt::Debug, ops::Range, time::Duration};

use consensus_core::{Draw, Time};
use faults::Clock;

/// The armed timers, each with its deadline. Arming again replaces; nothing is ever queued, so an
/// expiry that was not yet handled is cancelled with its timer.
#[derive(Debug)]
pub struct Timers<T> {
    draw: Draw,
    armed: BTreeMap<T, Time>,
    drawn: BTreeMap<T, u64>,
}

impl<T: Copy + Ord + Debug> Timers<T> {
    /// No timers; times will be drawn below this key.
    pub const fn new(draw: Draw) -> Self {
        Self { draw, armed: BTreeMap::new(), drawn: BTreeMap::new() }
    }

    /// Arms a timer to run out after a time drawn from the range, as it passes on this clock.
    pub fn set(&mut self, now: Time, clock: Clock, timer: T, within: &Range<Duration>) {
        let count = self.drawn.entry(timer).or_default();
        *count += 1;
        // A fixed time needs no draw, and heartbeats are the most frequent of all.
        let delay = match within.start == within.end {
            true => within.start,
            false => self.draw.of(&format!("{timer:?}")).at(*count).duration(within),
        };
        self.armed.insert(timer, now + clock.really(delay));
    }

    /// Has what is left of each timer take another time.
    pub fn stretch(&mut self, now: Time, left: impl Fn(Duration) -> Duration) {
        for at in self.armed.values_mut().filter(|at| **at > now) {
            *at = now + left(at.since(now));
        }
    }

    /// Disarms a timer.
    pub fn cancel(&mut self, timer: T) {
        self.armed.remove(&timer);
    }

    /// When the next timer runs out.
    pub fn next(&self) -> Option<Time> {
        self.armed.values().min().copied()
    }

    /// How many timers are armed.
    pub fn armed(&self) -> usize {
        self.armed.len()
    }

    /// Disarms and returns the timer that ran out first, if one did.
    pub fn pop_due(&mut self, now: Time) -> Option<T> {
        let first = self.armed.iter().min_by_key(|&(timer, at)| (at, timer));
        let (&timer, _) = first.filter(|&(_, &at)| at <= now)?;
        self.armed.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    const RIGHT: Clock = Clock::new(Time::ZERO, Time::ZERO, 0);

    fn timers() -> Timers<u8> {
        Timers::new(Draw::new(1))
    }

    #[test]
    fn the_first_to_run_out_comes_first() {
        let mut timers = timers();
        timers.set(Time::ZERO, RIGHT, 1, &(3 * MS..3 * MS));
        timers.set(Time::ZERO, RIGHT, 2, &(2 * MS..2 * MS));
        assert_eq!(timers.next(), Some(Time::ZERO + 2 * MS));
        let late = Time::ZERO + 5 * MS;
        assert_eq!(timers.pop_due(Time::ZERO + MS), None);
        assert_eq!([timers.pop_due(late), timers.pop_due(late)], [Some(2), Some(1)]);
        assert_eq!(timers.pop_due(late), None);
    }

    #[test]
    fn arming_again_cancels_an_expiry_that_waits() {
        let mut timers = timers();
        timers.set(Time::ZERO, RIGHT, 1, &(MS..MS));
        let late = Time::ZERO + 5 * MS;
        timers.set(late, RIGHT, 1, &(MS..MS));
        assert_eq!(timers.pop_due(late), None);
        timers.cancel(1);
        assert_eq!((timers.pop_due(late + 9 * MS), timers.armed()), (None, 0));
    }

    #[test]
    fn draws_differ_by_timer_and_count_and_stay_in_the_range() {
        let mut timers = timers();
        let range = 150 * MS..300 * MS;
        let mut drawn = std::collections::BTreeSet::new();
        for _ in 0..50 {
            for timer in [1, 2] {
                timers.set(Time::ZERO, RIGHT, timer, &range);
                let delay = timers.next().unwrap().since(Time::ZERO);
                assert!(range.contains(&delay));
                drawn.insert(delay);
                timers.cancel(timer);
            }
        }
        assert!(drawn.len() > 95, "{} of 100 draws differ", drawn.len());
    }

    #[test]
    fn on_a_clock_that_is_too_fast_timers_run_out_too_soon() {
        let mut timers = timers();
        let mut fast = RIGHT;
        fast.set_rate(Time::ZERO, Some(1_000_000));
        timers.set(Time::ZERO, fast, 1, &(8 * MS..8 * MS));
        assert_eq!(timers.next(), Some(Time::ZERO + 4 * MS));
        timers.stretch(Time::ZERO + MS, |left| fast.remains(left, RIGHT));
        assert_eq!(timers.next(), Some(Time::ZERO + 7 * MS));
    }
}
