//! Snapshots: the base that a recovered log goes on from.
//!
//! The slots up to the base are chosen, applied and forgotten; the snapshot holds what they did.

use crate::replica::{MultiPaxos, Out};

impl MultiPaxos {
    /// Starts the state machine from the disk's base, if it was ever compacted.
    pub(crate) fn restore(&mut self, out: &mut Out) {
        let base = self.log.base();
        if base.index > 0 {
            out.restore(base);
        }
    }
}
