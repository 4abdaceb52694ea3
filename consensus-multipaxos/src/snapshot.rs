//! The end of the log's beginning: snapshots of one's own, and those of others.
//!
//! A snapshot holds only what is chosen, so it never contradicts a log, and whoever made it, under
//! whatever ballot, may be believed. What a log dropped because a snapshot holds it is still chosen:
//! wherever an acceptor would name values, it says instead up to where it cannot (`Promise`,
//! `Learned`), lest somebody takes those slots for free.
//!
//! ```text
//! here         applied enough ──> TakeSnapshot ... Compacted ──> Base persisted, log trimmed
//! a laggard    Learn ──> peer: SendSnapshot ... Staged ──> Base persisted, Restore
//! ```

use consensus_core::{
    Index, NodeId, Outcome, SnapshotMeta, Write, event::Event, settings::ENTRY_OVERHEAD_BYTES,
};

use crate::replica::{MultiPaxos, Out, Standing};

/// How many slots leave the memory in one flush: a hundred thousand at once would keep everything
/// else waiting.
const TRIM_LIMIT: usize = 4_096;

/// What leads to the next snapshot.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Snapshots {
    /// What the slots cost that were applied since the last snapshot was asked for.
    applied_bytes: usize,
    /// The snapshot that was asked for and is not yet durable, by its index, and what the slots cost
    /// that it covers and the base does not.
    pending: Option<(Index, usize)>,
}

impl MultiPaxos {
    /// Starts the state machine from the base, if the log was ever compacted. What a snapshot holds
    /// is applied, and so chosen, whatever the hard state says: it may lag behind.
    pub(crate) fn restore_base(&mut self, base: Option<SnapshotMeta>, out: &mut Out) {
        let Some(base) = base else { return };
        debug_assert_eq!(self.log.base(), &base);
        self.chosen_to = self.chosen_to.max(base.index);
        self.applied = base.index;
        out.restore(base);
    }

    /// So many slots with so many command bytes were applied: asks for a snapshot of what they led
    /// to, if it is time and none is on its way to the disk.
    pub(crate) fn count_applied(&mut self, slots: u64, command_bytes: usize, out: &mut Out) {
        self.snapshots.applied_bytes += command_bytes + slots as usize * ENTRY_OVERHEAD_BYTES;
        let Snapshots { applied_bytes, pending } = self.snapshots;
        if pending.is_some() || applied_bytes <= self.config.settings.snapshot_after_bytes {
            return;
        }
        let index = self.applied;
        let last = self.log.get(index).expect("what was applied last is held");
        let epoch = last.ballot.epoch();
        let configurations = Box::new(self.membership.configurations_up_to(index));
        if configurations.range(..=index + 1).next().is_none() {
            // A newcomer that has not reached the slots whose acceptors it knows: its snapshot would
            // not say who decides next, and whoever started from it would not know.
            return;
        }
        self.snapshots = Snapshots { applied_bytes: 0, pending: Some((index, applied_bytes)) };
        out.take_snapshot(SnapshotMeta { index, epoch, configurations });
    }

    /// The snapshot that was asked for is durable: it becomes the base. One that an installed
    /// snapshot overtook is of no use any more.
    pub(crate) fn compacted(&mut self, snapshot: SnapshotMeta, out: &mut Out) {
        let asked = |&mut (index, _): &mut (Index, usize)| index == snapshot.index;
        let Some((index, bytes)) = self.snapshots.pending.take_if(asked) else { return };
        self.unsaved.push(Write::Base(snapshot.clone()));
        self.membership.compact(index);
        self.log.compact(snapshot, bytes);
        out.note(Event::Compacted { index });
    }

    /// Forgets slots that the base covers, beyond the margin (at flush).
    pub(crate) fn trim(&mut self) {
        self.log.trim(self.config.settings.retained_bytes, TRIM_LIMIT);
    }

    /// A peer's snapshot is here. It becomes the base, in one batch with the hard state, and the
    /// state machine starts from it, unless all that it holds is known here already.
    ///
    /// Values accepted for later slots stay: this acceptor answers for them. Those for the slots it
    /// covers go, and so do the hopes of requests that wait for them.
    pub(crate) fn staged(&mut self, from: NodeId, snapshot: SnapshotMeta, out: &mut Out) {
        let index = snapshot.index;
        if index <= self.chosen_to {
            return;
        }
        let first = self.chosen_to + 1;
        self.forget_proposals_to(index, out);
        self.log.install(snapshot.clone());
        self.snapshots = Snapshots::default();
        (self.chosen_to, self.applied) = (index, index);
        self.unsaved.push(Write::Base(snapshot.clone()));
        self.save(out);
        out.restore(snapshot.clone());
        out.note(Event::Installed { index, from });
        self.install_membership(&snapshot, out);
        self.note_caught_up(first, index, out);
        self.learn_on(from, out);
        self.take_over(out);
    }

    /// A leader may be told so of its own slots: an acceptor that did not promise it anything knew
    /// them chosen. The snapshot tells that they are, and not what each request came to.
    fn forget_proposals_to(&mut self, index: Index, out: &mut Out) {
        let (applied, to) = (self.applied, index.min(self.proposed_to()));
        let Standing::Leader(leader) = &mut self.standing else { return };
        if !leader.has_taken_over() {
            return;
        }
        for slot in self.log.range(applied + 1..=to) {
            leader.uncommitted_bytes -= slot.value.bytes();
        }
        for request in leader.window.drain(..(to - applied) as usize).filter_map(|p| p.request) {
            out.reply(request, Outcome::Unknown);
        }
        leader.offered = leader.offered.max(index);
    }
}
