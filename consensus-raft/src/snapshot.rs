//! The base of the log: the snapshot that stands for every entry before the first one held (§7).

use consensus_core::{Outbox, SnapshotMeta};

use crate::replica::Raft;

impl Raft {
    /// Starts the state machine from the base, if the log was ever compacted. What a snapshot
    /// holds is applied, and so committed.
    pub(crate) fn restore_base(&mut self, base: Option<SnapshotMeta>, out: &mut Outbox<Self>) {
        let Some(base) = base else { return };
        debug_assert_eq!(self.log.base(), &base);
        self.commit = self.commit.max(base.index);
        self.applied = base.index;
        out.restore(base);
    }
}
