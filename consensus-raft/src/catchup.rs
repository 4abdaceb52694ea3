//! Finding where a follower's log departs from the leader's (§5.3).
//!
//! The paper's leader walks back one entry per refusal. Here each side skips whole terms, by the
//! terms' order along a log: an entry of the follower of a later term than the leader's entry at the
//! same place cannot be the leader's, nor can one of the leader's of a later term than the
//! follower's last that remains. So no conflicting term costs more than one probe:
//!
//! ```text
//! leader     1 1 1 4 4 5 5 6 6 6        asks about 10 (term 6)
//! follower   1 1 1 2 2 2 3 3 3 3 3      "the last that may agree is 10, of term 3": of mine, terms up to 6 may
//! leader     1 1 1                      its last of a term up to 3 is 3: asks about 3 (term 1)
//! follower   1 1 1                      agrees; its entries from 4 on are replaced
//! ```
//!
//! Where that leads back to before what the leader still holds, the follower is sent a snapshot (§7).

use consensus_core::{Index, NodeId, Outbox};

use crate::{
    message::{AppendEntriesRefusal, Message},
    replica::{Raft, Standing},
    replication::{Mode, Progress},
};

impl Raft {
    /// The follower's part: refuses, and says up to where the logs may agree. The refusal promises
    /// nothing and leaves at once.
    pub(crate) fn refuse_append(
        &self,
        to: NodeId,
        prev_log_index: Index,
        prev_log_term: u64,
        out: &mut Outbox<Self>,
    ) {
        // What lies before what is held is committed, and so the same in every leader's log.
        let (before, before_term) = self.log.before();
        let agree_index = self.log.last_at_most(prev_log_index, prev_log_term).unwrap_or(before);
        let agree_term = self.log.term_at(agree_index).unwrap_or(before_term);
        let refusal =
            AppendEntriesRefusal { term: self.term, prev_log_index, agree_index, agree_term };
        out.send_now(to, Message::AppendEntriesRefusal(refusal));
    }

    /// The leader's part: goes back to the last place where the logs may agree, and asks again.
    pub(crate) fn receive_append_entries_refusal(
        &mut self,
        from: NodeId,
        refusal: AppendEntriesRefusal,
        out: &mut Outbox<Self>,
    ) {
        self.observe_term(refusal.term, out);
        let Standing::Leader(leader) = &mut self.standing else { return };
        let Some(peer) = leader.peer_mut(from) else { return };
        if refusal.term != self.term {
            return;
        }
        peer.heard = true;
        if !peer.is_news(refusal.prev_log_index) {
            return;
        }
        // One place back at least, so that probing ends whatever the answers.
        let back = refusal.prev_log_index - 1;
        let hint = refusal.agree_index.min(back);
        let known = Some(peer.matched).filter(|&matched| matched >= self.log.before().0);
        match self.log.last_at_most(hint, refusal.agree_term).max(known) {
            Some(agree) => peer.probe_after(agree),
            // The entries that it needs are gone: it still lacks the base, or the flush finds that it
            // needs it.
            None if peer.mode == Mode::Snapshot => {
                out.send_snapshot(from, self.log.base().clone());
            }
            None => peer.probe_after(peer.matched),
        }
    }
}

impl Progress {
    /// Asks next whether the logs agree up to here.
    fn probe_after(&mut self, index: Index) {
        self.next = index + 1;
        self.mode = Mode::Probe;
    }

    /// Takes note that the entry it needs next is gone, or that the snapshot it is being sent is not
    /// the base any more: it needs the base. Says whether that is new.
    pub fn needs_snapshot(&mut self, before: Index, base: Index) -> bool {
        let gone = self.next <= before;
        let outdated = self.mode == Mode::Snapshot && self.next <= base;
        if gone || outdated {
            self.mode = Mode::Snapshot;
            self.next = base + 1;
        }
        gone || outdated
    }

    /// Whether a refusal of this previous index says something new: a delayed or repeated one may
    /// contradict what was acknowledged since, or was asked anew.
    fn is_news(&self, prev_log_index: Index) -> bool {
        prev_log_index > self.matched
            && match self.mode {
                Mode::Probe | Mode::Probing | Mode::Snapshot => prev_log_index == self.next - 1,
                Mode::Replicate(_) => prev_log_index < self.next,
            }
    }
}
