//! A circuit breaker: a server that does not answer is left alone for a while, then tried by one
//! request before the others follow (Nygard, "Release It!", 2007).

use std::time::{Duration, Instant};

/// So many silences in a row open the breaker.
const TOLERATED: u32 = 3;
/// How long it stays open at first; twice as long after each failed probe.
const SHORTEST: Duration = Duration::from_millis(100);
/// How long it stays open at most.
const LONGEST: Duration = Duration::from_secs(2);

/// The breaker of one server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Breaker {
    silences: u32,
    state: State,
    /// For how long it was opened last.
    open_for: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// Everybody may ask.
    #[default]
    Closed,
    /// Nobody may ask until then.
    Open(Instant),
    /// One asks; the others wait for what becomes of it, but not longer than until then.
    HalfOpen(Instant),
}

impl Breaker {
    /// Whether the server may be asked. A `true` from a breaker that was open is the one probe.
    pub fn admit(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open(until) | State::HalfOpen(until) if now < until => false,
            State::Open(_) | State::HalfOpen(_) => {
                self.state = State::HalfOpen(now + LONGEST);
                true
            }
        }
    }

    /// Whether the server would be admitted now, without a probe being taken.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// The server answered, whatever it said.
    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// The server did not answer.
    pub fn silent(&mut self, now: Instant) {
        self.silences += 1;
        let probed = matches!(self.state, State::HalfOpen(_));
        if probed || self.silences >= TOLERATED {
            self.open_for = (self.open_for * 2).clamp(SHORTEST, LONGEST);
            self.state = State::Open(now + self.open_for);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..TOLERATED {
            assert!(breaker.admit(now));
            breaker.silent(now);
        }
        breaker
    }

    #[test]
    fn silences_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let now = Instant::now();
        assert!(!opened(now).admit(now));
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            breaker.silent(now);
            breaker.silent(now);
            breaker.answered();
            assert!(breaker.admit(now));
        }
    }

    #[test]
    fn one_probe_goes_first() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + SHORTEST;
        assert!(breaker.admit(later));
        assert!(!breaker.admit(later));
        breaker.answered();
        assert!(breaker.admit(later) && breaker.admit(later));
    }

    #[test]
    fn each_failed_probe_doubles_the_wait_up_to_a_limit() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for expected in [SHORTEST * 2, SHORTEST * 4, SHORTEST * 8, SHORTEST * 16, LONGEST, LONGEST]
        {
            now += LONGEST;
            assert!(breaker.admit(now));
            breaker.silent(now);
            assert!(!breaker.admit(now + expected - Duration::from_millis(1)), "{expected:?}");
        }
    }

    #[test]
    fn a_probe_that_is_never_heard_of_does_not_close_the_door_for_ever() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(breaker.admit(now + SHORTEST));
        assert!(breaker.admit(now + SHORTEST + LONGEST));
    }
}
