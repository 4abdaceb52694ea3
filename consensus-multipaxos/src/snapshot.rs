//! The base of the log: the snapshot that stands for every slot before the first one held.

use consensus_core::SnapshotMeta;

use crate::replica::{MultiPaxos, Out};

impl MultiPaxos {
    /// Starts the state machine from the base, if the log was ever compacted. What a snapshot holds
    /// is applied, and so chosen.
    pub(crate) fn restore_base(&mut self, base: Option<SnapshotMeta>, out: &mut Out) {
        let Some(base) = base else { return };
        debug_assert_eq!(self.log.base(), &base);
        self.chosen_to = self.chosen_to.max(base.index);
        self.applied = base.index;
        out.restore(base);
    }
}
