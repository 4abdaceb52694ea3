//! Learners on their way to a vote.
//!
//! A newcomer without the log would count for quorums it cannot take part in, and the cluster would
//! wait for it. So whoever is to vote learns first, and a leader catches it up in rounds: each
//! replicates what the log held when the round began. While the log grows, each round is shorter
//! than the one before; a newcomer is ready once a round took less than an election timeout, for
//! then the gap that its promotion may cause is no longer than an election's (Raft dissertation
//! §4.2.1).
//!
//! ```text
//! log      |---------------|-------|---|-|
//!            round 1        2       3   4   less than an election timeout: ready
//! ```
//!
//! No clock is read here. The leader's own timer that runs out once per election timeout is the
//! measure: a round that began and ended between two ticks of it took less.

use crate::id::{Index, NodeId};

/// How many rounds a newcomer has; one that is not ready after these is too slow, or the log grows
/// too fast for it.
const ROUNDS: u32 = 10;

/// For how many ticks a newcomer may be silent.
const SILENT_TICKS: u32 = 10;

/// For how many ticks a newcomer that is heard of may get no further. Long, for while it receives a
/// snapshot nobody sees how far it is.
const STUCK_TICKS: u32 = 200;

/// The newcomers of one change.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Promotion {
    newcomers: Vec<Newcomer>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Newcomer {
    node: NodeId,
    /// How far it holds the log.
    position: Index,
    /// What the log held when the round began.
    goal: Index,
    /// How many rounds began.
    rounds: u32,
    /// How many ticks there were since the round began.
    ticks: u32,
    /// How many ticks in a row it was not heard of.
    silent: u32,
    /// How many ticks in a row it got no further.
    stuck: u32,
    /// A round was short enough.
    ready: bool,
}

/// How a promotion stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Readiness {
    /// Somebody is still catching up.
    Waits,
    /// Everybody may vote.
    Ready,
    /// This newcomer does not catch up.
    Hopeless(NodeId),
}

impl Promotion {
    /// Begins the first round of each, in a log that holds so much.
    pub fn new(newcomers: impl IntoIterator<Item = NodeId>, last: Index) -> Self {
        let newcomer = |node| Newcomer {
            node,
            position: 0,
            goal: last,
            rounds: 1,
            ticks: 0,
            silent: 0,
            stuck: 0,
            ready: false,
        };
        Self { newcomers: newcomers.into_iter().map(newcomer).collect() }
    }

    /// The newcomers.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.newcomers.iter().map(|newcomer| newcomer.node)
    }

    /// Sees how far each newcomer holds the log, which holds so much. A round that is complete was
    /// the last of its newcomer, or begins the next.
    pub fn observe(&mut self, position: impl Fn(NodeId) -> Index, last: Index) {
        for newcomer in &mut self.newcomers {
            newcomer.observe(position(newcomer.node), last);
        }
    }

    /// An election timeout has passed, in which these were heard of.
    pub fn tick(&mut self, heard: impl Fn(NodeId) -> bool) {
        for newcomer in &mut self.newcomers {
            newcomer.ticks += 1;
            newcomer.stuck += 1;
            newcomer.silent = if heard(newcomer.node) { 0 } else { newcomer.silent + 1 };
        }
    }

    /// How it stands.
    pub fn readiness(&self) -> Readiness {
        let hopeless = self.newcomers.iter().find(|newcomer| newcomer.is_hopeless());
        match hopeless {
            Some(newcomer) => Readiness::Hopeless(newcomer.node),
            None if self.newcomers.iter().all(|newcomer| newcomer.ready) => Readiness::Ready,
            None => Readiness::Waits,
        }
    }
}

impl Newcomer {
    fn observe(&mut self, position: Index, last: Index) {
        if position > self.position {
            self.position = position;
            self.stuck = 0;
        }
        if self.ready || self.position < self.goal {
            return;
        }
        if self.ticks == 0 {
            self.ready = true;
            return;
        }
        self.goal = last;
        self.rounds += 1;
        self.ticks = 0;
        self.stuck = 0;
    }

    fn is_hopeless(&self) -> bool {
        let slow = self.rounds > ROUNDS || self.stuck >= STUCK_TICKS;
        self.silent >= SILENT_TICKS || !self.ready && slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(4);

    #[test]
    fn a_round_between_two_ticks_is_short_enough() {
        let mut promotion = Promotion::new([NODE], 100);
        promotion.observe(|_| 60, 110);
        assert_eq!(promotion.readiness(), Readiness::Waits);
        promotion.tick(|_| true);
        promotion.observe(|_| 100, 120);
        assert_eq!(promotion.readiness(), Readiness::Waits, "that round was long: up to 120 now");
        promotion.observe(|_| 119, 130);
        assert_eq!(promotion.readiness(), Readiness::Waits);
        promotion.observe(|_| 120, 130);
        assert_eq!(promotion.readiness(), Readiness::Ready);
    }

    #[test]
    fn all_must_be_ready() {
        let mut promotion = Promotion::new([NODE, NodeId(5)], 10);
        promotion.observe(|node| if node == NODE { 10 } else { 9 }, 10);
        assert_eq!(promotion.readiness(), Readiness::Waits);
        promotion.observe(|_| 10, 10);
        assert_eq!(promotion.readiness(), Readiness::Ready);
    }

    #[test]
    fn whoever_is_silent_is_given_up_even_if_it_was_ready() {
        let mut promotion = Promotion::new([NODE], 10);
        promotion.observe(|_| 10, 10);
        (1..SILENT_TICKS).for_each(|_| promotion.tick(|_| false));
        assert_eq!(promotion.readiness(), Readiness::Ready);
        promotion.tick(|_| false);
        assert_eq!(promotion.readiness(), Readiness::Hopeless(NODE));
    }

    #[test]
    fn whoever_falls_behind_for_ever_is_given_up() {
        let mut promotion = Promotion::new([NODE], 1);
        for last in 1..=u64::from(ROUNDS) {
            assert_eq!(promotion.readiness(), Readiness::Waits);
            promotion.tick(|_| true);
            promotion.observe(|_| last, last + 1);
        }
        assert_eq!(promotion.readiness(), Readiness::Hopeless(NODE));
    }

    #[test]
    fn whoever_gets_no_further_is_given_up_after_long() {
        let mut promotion = Promotion::new([NODE], 10);
        (1..STUCK_TICKS).for_each(|_| promotion.tick(|_| true));
        assert_eq!(promotion.readiness(), Readiness::Waits);
        promotion.tick(|_| true);
        assert_eq!(promotion.readiness(), Readiness::Hopeless(NODE));
    }
}
