//! Bringing a laggard up: proposing again what was lost, and learning what was chosen meanwhile.
//!
//! A leader proposes again only what is not chosen yet. A follower that lacks a chosen slot, because
//! its Accept was lost, or it was away, or its value is of an older ballot and may not be the chosen
//! one, asks for it: the other followers in turn, and last the leader, who has work enough. So does a
//! leader that won and is told that only a snapshot holds what it lacks. Messages may overtake each
//! other, so what is missing at one heartbeat is only asked for at the next:
//!
//! ```text
//! leader      6 7 8 9  "chosen to 9"            "chosen to 9"
//! follower    6 7 . 9  8 is missing             8 is still missing: Learn from 8
//! another     6 7 8 9                                                            Learned [8 9]
//! ```
//!
//! Whoever dropped the slot that is asked for sends its snapshot and says so, and is asked again at
//! every heartbeat until the snapshot is here: a lost word does no harm, and one sender is enough.

use std::ops::Range;

use consensus_core::{Index, NodeId};

use crate::{
    message::{Accept, Learn, Learned, Message},
    record::PValue,
    replica::{Follower, MultiPaxos, Out, Standing},
};

/// What a replica knows of chosen slots that it lacks.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Catchup {
    /// Everything up to here is chosen: a follower has it from its leader, a leader from a promise.
    told: Index,
    /// What was missing first at the last heartbeat; zero if nothing was.
    missing: Index,
    /// Whose turn it is to be asked for that.
    turn: usize,
    /// Who sends its snapshot, and how many heartbeats it may yet be silent.
    sender: Option<(NodeId, u32)>,
}

/// How many heartbeats somebody who sends a snapshot may be silent before somebody else is asked.
const PATIENCE: u32 = 3;

impl Catchup {
    /// Whoever wins while it lacks what only a snapshot holds starts with this: what it lacks, and
    /// who said so.
    pub const fn of_a_winner(told: Index, missing: Index, sender: NodeId) -> Self {
        Self { told, missing, turn: 0, sender: Some((sender, PATIENCE)) }
    }
}

impl MultiPaxos {
    /// The leader's part: what a peer should have acknowledged by now is proposed to it again, gap by
    /// gap, as far as it is not chosen yet.
    pub(crate) fn resend(&mut self, to: NodeId, lost: Range<Index>, out: &mut Out) {
        let limit = self.batch_limit();
        let settings = &self.config.settings;
        let (ballot, chosen_to, applied) = (self.promised, self.chosen_to, self.applied);
        let bit = self.membership.bit(to);
        let Standing::Leader(leader) = &mut self.standing else { return };
        let Some(peer) = leader.progress.iter_mut().find(|peer| peer.peer == to) else { return };
        let window = &leader.window;
        let lacks = |slot: &Index| window[(slot - applied - 1) as usize].accepted_by & bit == 0;
        let mut from = lost.start.max(chosen_to + 1);
        while let Some(room) = peer.inflight.room(settings) {
            let Some(slot) = (from..lost.end).find(lacks) else { return };
            let end = (slot..lost.end).find(|slot| !lacks(slot)).unwrap_or(lost.end);
            let (values, bytes) = self.log.run(slot..=end - 1, limit.within(room));
            from = slot + values.len() as u64;
            peer.inflight.sent(slot, from - 1, bytes);
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
        let missing = self.chosen_to + 1;
        let Some(catchup) = self.catchup() else { return };
        let told = catchup.told;
        if missing > told || missing != catchup.missing {
            let missing = if missing > told { 0 } else { missing };
            *catchup = Catchup { told, missing, ..Catchup::default() };
            return;
        }
        match &mut catchup.sender {
            Some((sender, patience)) => {
                let sender = *sender;
                match patience.checked_sub(1) {
                    Some(left) => *patience = left,
                    None => catchup.sender = None,
                }
                out.send_now(sender, Message::Learn(Learn { from: missing }));
            }
            None => self.ask_next(out),
        }
    }

    /// A learner without a leader asks everybody it knows. It may be an acceptor by now, without whom
    /// nobody can lead: those whom it replaced know that they are out, and do not campaign.
    pub(crate) fn learn_unled(&mut self, out: &mut Out) {
        if !self.membership.learners().contains(&self.membership.me()) {
            return;
        }
        let from = self.chosen_to + 1;
        for peer in self.membership.peers() {
            out.send_now(peer, Message::Learn(Learn { from }));
        }
    }

    /// Asks the one whose turn it is.
    fn ask_next(&mut self, out: &mut Out) {
        let missing = self.chosen_to + 1;
        let Some(catchup) = self.catchup() else { return };
        let turn = catchup.turn;
        catchup.turn += 1;
        let ring = self.teachers();
        if let Some(&asked) = ring.get(turn % ring.len().max(1)) {
            out.send_now(asked, Message::Learn(Learn { from: missing }));
        }
    }

    /// Who is asked, in turn: the others from the next one on, so that several laggards ask
    /// several of them; and last the leader.
    fn teachers(&self) -> Vec<NodeId> {
        let (me, leader) = (self.membership.me(), self.leader().filter(|_| !self.leads()));
        let after = self.membership.peers().filter(|&peer| me < peer);
        let before = self.membership.peers().filter(|&peer| peer < me);
        let others = after.chain(before).filter(|&peer| Some(peer) != leader);
        others.chain(leader).collect()
    }

    /// What this replica knows that it lacks, if there is somebody to tell it so.
    const fn catchup(&mut self) -> Option<&mut Catchup> {
        match &mut self.standing {
            Standing::Follower(Follower { leader: Some(_), catchup, .. }) => Some(catchup),
            Standing::Leader(leader) => match &mut leader.lagging {
                Some(lagging) => Some(&mut lagging.catchup),
                None => None,
            },
            _ => None,
        }
    }

    /// Tells what is chosen, leader or not: what is chosen stays chosen. What was dropped comes with
    /// the snapshot.
    pub(crate) fn receive_learn(&mut self, from: NodeId, learn: Learn, out: &mut Out) {
        let dropped_to = self.log.dropped_to();
        let mut learned = Learned { chosen_to: self.chosen_to, ..Learned::default() };
        if learn.from <= dropped_to {
            learned.compacted_to = dropped_to;
            out.send_snapshot(from, self.log.base().clone());
        } else {
            let chosen = learn.from..=self.chosen_to;
            (learned.values, _) = self.log.batch(chosen, self.batch_limit());
        }
        out.send_now(from, Message::Learned(learned));
    }

    /// Takes over what it lacked, and asks on while that helps.
    pub(crate) fn receive_learned(&mut self, from: NodeId, learned: Learned, out: &mut Out) {
        if self.leads() && self.catchup().is_none() {
            return; // a leader recovered every earlier choice when it won
        }
        let before = self.chosen_to;
        self.learn(&learned.values, out);
        self.follow_choices(0, out);
        if before < self.chosen_to.max(learned.compacted_to) {
            self.was_helped();
        }
        if before < self.chosen_to {
            if self.chosen_to < learned.chosen_to {
                out.send_now(from, Message::Learn(Learn { from: self.chosen_to + 1 }));
            }
            self.take_over(out);
        } else {
            self.no_values_came(from, &learned, out);
        }
    }

    /// A leader that lags need not give up.
    fn was_helped(&mut self) {
        if let Some(lagging) = self.leading().and_then(|leader| leader.lagging.as_mut()) {
            lagging.unhelped = 0;
        }
    }

    /// An answer that tells nothing new: it promises a snapshot, or the next one is asked at once,
    /// until everybody was.
    fn no_values_came(&mut self, from: NodeId, learned: &Learned, out: &mut Out) {
        let (missing, teachers) = (self.chosen_to + 1, self.teachers().len().max(1));
        let Some(catchup) = self.catchup() else { return };
        if missing > catchup.told || missing != catchup.missing {
            return;
        }
        if missing <= learned.compacted_to {
            if catchup.sender.is_none_or(|(sender, _)| sender == from) {
                catchup.sender = Some((from, PATIENCE));
            }
        } else if catchup.sender.is_none() && !catchup.turn.is_multiple_of(teachers) {
            self.ask_next(out);
        }
    }

    /// A snapshot is installed: what was asked for is here, and whoever sent it is asked for what
    /// else is chosen.
    pub(crate) fn learn_on(&mut self, from: NodeId, out: &mut Out) {
        let Some(catchup) = self.catchup() else { return };
        let told = catchup.told;
        *catchup = Catchup { told, ..Catchup::default() };
        self.follow_choices(told, out);
        if self.chosen_to < told {
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
