//! A leader's lease: until when nobody else can lead, if no clock drifts too far.
//!
//! Whoever acknowledges a leader's round helps nobody else to lead for the shortest election timeout
//! after the round reached it. It reached it after it was sent; so, once a quorum acknowledged a
//! round, nobody else is elected for that long from when the *leader sent* it, less what the clocks
//! may drift apart meanwhile (Raft's dissertation, §6.4.1).
//!
//! ```text
//! leader   sent n ─────────────── a quorum acknowledged n ── lease ends ·
//! voter          n arrives ─┬───────────────────────────────────────────┴─ may vote again
//!                           └── helps nobody else for the shortest election timeout
//! ```
//!
//! Here is the book-keeping. That the voters keep their part is a rule of each protocol, and stands in
//! its own crate: they refuse whatever else they learn meanwhile, and after a restart, for a voter
//! that starts does not know what it acknowledged before.

use std::{collections::VecDeque, time::Duration};

use crate::time::Time;

/// What a leader knows of its lease; it ends with its term or ballot.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Lease {
    /// The rounds that no quorum is known to have acknowledged and that may still extend the lease,
    /// each with when it was first sent; ascending.
    sent: VecDeque<(u64, Time)>,
    /// When the latest round was sent that a quorum acknowledged.
    from: Option<Time>,
    /// Whether it was given up for good.
    ended: bool,
}

impl Lease {
    /// A round of this number is sent for the first time. `length` is how long a lease lasts:
    /// [`Settings::lease`](crate::Settings::lease).
    pub fn sent(&mut self, round: u64, now: Time, length: Duration) {
        if self.ended {
            return;
        }
        // What would have run out by now is not worth remembering: this bounds the memory.
        while self.sent.front().is_some_and(|&(_, at)| at + length <= now) {
            self.sent.pop_front();
        }
        self.sent.push_back((round, now));
    }

    /// A quorum acknowledged this round or a later one.
    pub fn confirmed(&mut self, round: u64) {
        while let Some(&(number, at)) = self.sent.front()
            && number <= round
        {
            self.sent.pop_front();
            self.from = self.from.max(Some(at));
        }
    }

    /// Whether nobody else leads at this moment.
    pub fn holds(&self, now: Time, length: Duration) -> bool {
        self.from.is_some_and(|from| now < from + length)
    }

    /// Others must confirm it from now on: only rounds that are yet to be sent extend it.
    pub fn restart(&mut self) {
        *self = Self { ended: self.ended, ..Self::default() };
    }

    /// Gives the lease up for the rest of the reign: somebody is about to be told to campaign whom
    /// the voters help although they acknowledged this leader's rounds. When it does so is unknown,
    /// even if leadership stays here meanwhile.
    pub fn end(&mut self) {
        *self = Self { ended: true, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_nanos(100);

    fn lease(rounds: impl IntoIterator<Item = (u64, u64)>) -> Lease {
        let mut lease = Lease::default();
        rounds.into_iter().for_each(|(round, at)| lease.sent(round, Time(at), LENGTH));
        lease
    }

    #[test]
    fn it_counts_from_when_the_round_was_sent() {
        let mut lease = lease([(1, 10)]);
        assert!(!lease.holds(Time(10), LENGTH), "nobody acknowledged it");
        lease.confirmed(1);
        assert!(lease.holds(Time(109), LENGTH));
        assert!(!lease.holds(Time(110), LENGTH));
    }

    #[test]
    fn an_acknowledgement_extends_it_to_its_own_round_and_no_further() {
        let mut lease = lease([(1, 10), (2, 50), (5, 90)]);
        lease.confirmed(4);
        assert!(lease.holds(Time(149), LENGTH) && !lease.holds(Time(150), LENGTH));
        lease.confirmed(3);
        assert!(!lease.holds(Time(150), LENGTH), "a late acknowledgement takes nothing back");
        lease.confirmed(5);
        assert!(lease.holds(Time(189), LENGTH) && !lease.holds(Time(190), LENGTH));
    }

    #[test]
    fn rounds_that_nobody_answers_are_forgotten() {
        let lease = lease((1..1_000).map(|round| (round, round * 10)));
        assert_eq!(lease.sent.len(), 10);
    }

    #[test]
    fn restarted_it_needs_a_round_that_is_sent_later() {
        let mut lease = lease([(1, 10), (2, 20)]);
        lease.confirmed(1);
        lease.restart();
        lease.confirmed(2);
        assert!(!lease.holds(Time(21), LENGTH));
        lease.sent(3, Time(30), LENGTH);
        lease.confirmed(3);
        assert!(lease.holds(Time(31), LENGTH));
    }

    #[test]
    fn once_ended_it_never_holds_again() {
        let mut lease = lease([(1, 10)]);
        lease.confirmed(1);
        lease.end();
        assert!(!lease.holds(Time(11), LENGTH));
        lease.sent(2, Time(20), LENGTH);
        lease.confirmed(2);
        assert!(!lease.holds(Time(21), LENGTH));
    }
}
