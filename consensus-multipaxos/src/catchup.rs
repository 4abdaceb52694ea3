//! Bringing a laggard up: proposing again what was lost, and learning what was chosen meanwhile.
//!
//! A leader proposes again only what is not chosen yet. A follower that lacks a chosen slot, because
//! its Accept was lost, or it was away, or its value is of an older ballot and may not be the chosen
//! one, asks for it: the leader first, the others in turn while no answer helps. Messages may
//! overtake each other, so what is missing at one heartbeat is only asked for at the next:
//!
//! ```text
//! leader      6 7 8 9  "chosen to 9"            "chosen to 9"           [8 9]
//! follower    6 7 . 9  8 is missing             8 is still missing: Learn from 8
//! ```

use std::ops::Range;

use consensus_core::{Index, NodeId};

use crate::{
    message::{Accept, Learn, Learned, Message},
    record::PValue,
    replica::{Follower, MultiPaxos, Out, Standing},
};

/// What a follower knows of chosen slots that it lacks.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Catchup {
    /// Its leader said that everything up to here is chosen.
    told: Index,
    /// What was missing first at the last heartbeat; zero if nothing was.
    missing: Index,
    /// How often that was asked for.
    attempts: usize,
}

impl MultiPaxos {
    /// The leader's part: what a peer should have acknowledged by now is proposed to it again, gap by
    /// gap, as far as it is not chosen yet.
    pub(crate) fn resend(&mut self, to: NodeId, lost: Range<Index>, out: &mut Out) {
        let limit = self.batch_limit();
        let max_inflight = self.config.settings.max_inflight_batches;
        let (ballot, chosen_to, applied) = (self.promised, self.chosen_to, self.applied);
        let bit = self.membership.bit(to);
        let Standing::Leader(leader) = &mut self.standing else { return };
        let Some(peer) = leader.progress.iter_mut().find(|peer| peer.peer == to) else { return };
        let window = &leader.window;
        let lacks = |slot: &Index| window[(slot - applied - 1) as usize].accepted_by & bit == 0;
        let mut from = lost.start.max(chosen_to + 1);
        while peer.inflight.len() < max_inflight {
            let Some(slot) = (from..lost.end).find(lacks) else { return };
            let end = (slot..lost.end).find(|slot| !lacks(slot)).unwrap_or(lost.end);
            let values = self.log.run(slot..=end - 1, limit);
            from = slot + values.len() as u64;
            peer.sent(slot, from - 1);
            out.send_now(to, Message::Accept(Accept { ballot, slot, values, chosen_to }));
        }
    }

    /// The follower's part: what its leader says is chosen is chosen here too, as far as it was
    /// accepted under that leader's ballot, under which a slot has one value only. A value of an
    /// older ballot may have lost.
    pub(crate) fn follow_choices(&mut self, told: Index, out: &mut Out) {
        let Standing::Follower(follower) = &mut self.standing else { return };
        follower.catchup.told = follower.catchup.told.max(told);
        let told = follower.catchup.told;
        let certain = self.log.last_under(self.promised, self.chosen_to + 1..=told);
        self.commit_to(certain, out);
    }

    /// At each heartbeat: asks for the first missing slot if it was missing at the last one already.
    pub(crate) fn catch_up(&mut self, out: &mut Out) {
        let Standing::Follower(Follower { leader: Some(leader), catchup, .. }) = &mut self.standing
        else {
            return;
        };
        let missing = self.chosen_to + 1;
        if missing > catchup.told {
            (catchup.missing, catchup.attempts) = (0, 0);
        } else if missing != catchup.missing {
            (catchup.missing, catchup.attempts) = (missing, 0);
        } else {
            let others = self.membership.peers().filter(|peer| peer != leader);
            let turn = catchup.attempts % self.membership.peers().count();
            catchup.attempts += 1;
            let asked = std::iter::once(*leader).chain(others).nth(turn);
            out.send_now(asked.unwrap_or(*leader), Message::Learn(Learn { from: missing }));
        }
    }

    /// Tells what is chosen, leader or not: what is chosen stays chosen.
    pub(crate) fn receive_learn(&mut self, from: NodeId, learn: Learn, out: &mut Out) {
        if learn.from <= self.log.base().index {
            return; // only the snapshot holds it
        }
        let chosen = learn.from..=self.chosen_to;
        let (values, _) = self.log.batch(chosen, self.batch_limit());
        if !values.is_empty() {
            let learned = Learned { values, chosen_to: self.chosen_to };
            out.send_now(from, Message::Learned(learned));
        }
    }

    /// Takes over what it lacked, and asks on while that helps.
    pub(crate) fn receive_learned(&mut self, from: NodeId, learned: Learned, out: &mut Out) {
        if self.leading().is_some() {
            return; // a leader recovered every earlier choice when it won
        }
        let before = self.chosen_to;
        self.learn(&learned.values, out);
        self.follow_choices(0, out);
        if before < self.chosen_to && self.chosen_to < learned.chosen_to {
            out.send_now(from, Message::Learn(Learn { from: self.chosen_to + 1 }));
        }
    }

    /// Learns chosen values, as far as they continue what is known.
    pub(crate) fn learn<'a>(
        &mut self,
        values: impl IntoIterator<Item = &'a PValue>,
        out: &mut Out,
    ) {
        let mut to = self.chosen_to;
        for pvalue in values {
            if pvalue.slot <= to {
                continue;
            }
            if pvalue.slot > to + 1 {
                break;
            }
            to = pvalue.slot;
            match self.log.get(to) {
                // Above the ballot that chose it, every ballot has the same value (P2).
                Some(held) if held.ballot >= pvalue.ballot => {
                    assert!(held.value == pvalue.value, "two values are chosen for slot {to}");
                }
                _ => self.put(pvalue.clone()),
            }
        }
        self.commit_to(to, out);
    }
}
