//! The base of the log: the snapshot that stands for every entry up to its own (§7).
//!
//! ```text
//! enough applied ──> TakeSnapshot ──> Compacted: the base on disk ──> memory is trimmed, but for a margin
//!
//! leader: an entry that a follower needs is gone ──> SendSnapshot, again while it answers without it
//! follower: Staged ──> judged ──> the base on disk, and what contradicts it gone, at once ──> Restore
//! ```
//!
//! Who sends whom a snapshot, and in which term, does not matter: it holds nothing but what is
//! committed. So it has no message of its own here, and whether a follower has it is found as
//! everything else is, by asking whether the logs agree there.

use consensus_core::{Epoch, Index, NodeId, Outbox, SnapshotMeta, Write, event::Event};

use crate::{
    log::Log,
    replica::{Raft, Standing},
};

/// How many entries leave the memory in one flush: a hundred thousand at once would keep everything
/// else waiting.
const TRIM_LIMIT: usize = 4_096;

/// What leads to the next snapshot.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Snapshots {
    /// What the entries count that were applied since the last snapshot was asked for, in bytes.
    applied_bytes: usize,
    /// The snapshot that was asked for and is not yet durable, by its index, with what the entries
    /// count that it covers and the one before did not.
    pending: Option<(Index, usize)>,
}

impl Raft {
    /// Starts the state machine from the base, if the log was ever compacted. What a snapshot
    /// holds is applied, and so committed: the commit index on disk may be behind it.
    pub(crate) fn restore_base(&mut self, base: Option<SnapshotMeta>, out: &mut Outbox<Self>) {
        let Some(base) = base else { return };
        debug_assert_eq!(self.log.base(), &base);
        self.commit = self.commit.max(base.index);
        self.applied = base.index;
        out.restore(base);
    }

    /// Entries of so many bytes were applied: asks for a snapshot of what they led to, if it is time
    /// and none is on its way to the disk.
    pub(crate) fn count_applied(&mut self, bytes: usize, out: &mut Outbox<Self>) {
        self.snapshots.applied_bytes += bytes;
        let Snapshots { applied_bytes, pending } = self.snapshots;
        if pending.is_some() || applied_bytes <= self.config.settings.snapshot_after_bytes {
            return;
        }
        let index = self.applied;
        let term = self.log.term_at(index).expect("what was applied last is held");
        let configurations = Box::new(self.membership.configurations_up_to(index));
        if configurations.is_empty() {
            // A newcomer that has not reached the entry that names it: its snapshot would not say who
            // the members are, and whoever started from it would not know.
            return;
        }
        self.snapshots = Snapshots { applied_bytes: 0, pending: Some((index, applied_bytes)) };
        out.take_snapshot(SnapshotMeta { index, epoch: Epoch::term(term), configurations });
    }

    /// The snapshot that was asked for is durable: it becomes the base. One that an installed
    /// snapshot overtook is of no use any more.
    pub(crate) fn compacted(&mut self, snapshot: SnapshotMeta, out: &mut Outbox<Self>) {
        let asked = |&mut (index, _): &mut (Index, usize)| index == snapshot.index;
        let Some((index, bytes)) = self.snapshots.pending.take_if(asked) else { return };
        self.unsaved.push(Write::Base(snapshot.clone()));
        self.log.compact(snapshot, bytes);
        self.membership.compact(index);
        out.note(Event::Compacted { index });
    }

    /// Forgets entries that the base covers, beyond the margin (at flush).
    pub(crate) fn trim(&mut self) {
        self.log.trim(self.config.settings.retained_bytes, TRIM_LIMIT);
    }

    /// A snapshot came from a peer and is durable. It is of use only if it holds more than is known
    /// to be committed here. If the log holds its last entry, it holds all of them (§5.3, log
    /// matching), and nothing needs to be replaced: what follows stays, and goes the usual way (§7).
    pub(crate) fn staged(&mut self, from: NodeId, snapshot: SnapshotMeta, out: &mut Outbox<Self>) {
        let (index, term) = (snapshot.index, snapshot.epoch.round);
        if index <= self.commit {
            return;
        }
        self.observe_term(term, out);
        if self.log.term_at(index) == Some(term) {
            self.commit_to(index, out);
        } else {
            self.install(from, snapshot, out);
        }
        // Whoever sent it holds what it says, so the log matches a leader's that sent it; another
        // leader finds out by asking.
        if let Standing::Follower(follower) = &mut self.standing
            && follower.leader == Some(from)
        {
            follower.matched = follower.matched.max(Some(index));
        }
    }

    /// Replaces log and state machine by a snapshot, in one atomic batch. What the log holds after
    /// its end follows an entry that contradicts it, and goes too (§7).
    fn install(&mut self, from: NodeId, snapshot: SnapshotMeta, out: &mut Outbox<Self>) {
        let index = snapshot.index;
        if let Standing::Leader(_) = self.standing {
            // It lacks what is committed, so another leads a later term.
            self.become_follower(self.term, None, out);
        }
        if let Standing::Follower(follower) = &mut self.standing {
            // What matched so far may be gone.
            follower.matched = None;
        }
        if self.log.last_index() > index {
            self.unsaved.push(Write::TruncateFrom(index + 1));
        }
        self.unsaved.push(Write::Base(snapshot.clone()));
        self.log = Log::new(snapshot.clone());
        (self.commit, self.applied) = (index, index);
        self.snapshots = Snapshots::default();
        self.install_membership(&snapshot, out);
        self.save(out);
        out.restore(snapshot);
        out.note(Event::Installed { index, from });
    }
}
