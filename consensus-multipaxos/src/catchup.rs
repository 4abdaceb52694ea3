//! Bringing a laggard up: learning the chosen slots it lacks, from whoever knows them.
//!
//! A follower lacks a chosen slot when its Accept was lost, when the value it holds is of an older
//! ballot and may have lost, or when it was away. Messages may overtake each other, so a gap is taken
//! for a loss only when a whole heartbeat interval did not close it. Then the follower asks, the
//! leader first, the others in turn if no answer comes; and as long as answers come, it asks on.

use consensus_core::{Index, NodeId, Write};

use crate::{
    message::{Learn, Learned, Message},
    record::{PValue, PaxosRecord},
    replica::{MultiPaxos, Out, Part},
};

/// What is known of chosen slots that this replica lacks.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Catchup {
    /// The present leader said that everything up to here is chosen.
    pub told: Index,
    /// Where the first missing slot was at the last heartbeat; zero if none was missing.
    gap: Index,
    /// How often the gap did not close.
    attempts: usize,
}

impl Catchup {
    /// Another leader, or none: what the old one said proves nothing about values of its successor.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

impl MultiPaxos {
    /// At each heartbeat: asks for the first missing slot if it was missing at the last one already.
    pub(crate) fn catch_up(&mut self, leader: NodeId, out: &mut Out) {
        let missing = self.chosen_to + 1;
        if self.chosen_to >= self.catchup.told {
            (self.catchup.gap, self.catchup.attempts) = (0, 0);
        } else if self.catchup.gap == missing {
            let others = self.peers().filter(|&peer| peer != leader);
            let knowing: Vec<_> = std::iter::once(leader).chain(others).collect();
            let ask = knowing[self.catchup.attempts % knowing.len()];
            self.catchup.attempts += 1;
            out.send_now(ask, Message::Learn(Learn { from: missing }));
        } else {
            (self.catchup.gap, self.catchup.attempts) = (missing, 0);
        }
    }

    /// Tells what is chosen, leader or not: what is chosen stays chosen.
    pub(crate) fn receive_learn(
        &mut self,
        from: NodeId,
        Learn { from: first }: Learn,
        out: &mut Out,
    ) {
        if first <= self.log.base().index {
            return; // only the snapshot holds it
        }
        let (values, _) = self.log.batch(first..=self.chosen_to, self.batch_limit());
        if !values.is_empty() {
            let learned = Learned { values, chosen_to: self.chosen_to };
            out.send_now(from, Message::Learned(learned));
        }
    }

    pub(crate) fn receive_learned(&mut self, from: NodeId, learned: Learned, out: &mut Out) {
        if matches!(self.part, Part::Leader(_)) {
            return; // it knew, or recovered, every choice when it won
        }
        let before = self.chosen_to;
        self.learn(learned.values, out);
        self.follow_choices(self.catchup.told, out);
        let lacks = self.chosen_to < learned.chosen_to.min(self.catchup.told);
        if lacks && self.chosen_to > before {
            out.send_now(from, Message::Learn(Learn { from: self.chosen_to + 1 }));
        }
    }

    /// Takes chosen values over, as far as they continue what is known.
    pub(crate) fn learn(&mut self, values: Vec<PValue>, out: &mut Out) {
        let mut to = self.chosen_to;
        let mut writes = Vec::new();
        for value in values {
            if value.slot <= to {
                continue;
            }
            if value.slot > to + 1 {
                break;
            }
            to = value.slot;
            let held = self.log.get(to);
            if let Some(held) = held.filter(|held| held.ballot >= value.ballot) {
                // Every ballot above the one that chose proposes the chosen value.
                assert!(held.value == value.value, "slot {to} is chosen twice");
                continue;
            }
            self.log.put(to, value.ballot, value.value.clone());
            writes.push(Write::Put(PaxosRecord::Accepted(value)));
        }
        self.advance_commit(to, out);
        // After the advance: the hard state that says they are chosen goes with the values.
        self.persist(writes, out);
    }
}
