//! The thread that saves snapshots of the state machine.
//!
//! Neither the consensus loop nor the disk thread waits for it: a large state takes its time to be
//! written out, and meanwhile entries are to be appended, synced and applied.

use std::sync::{
    Arc,
    mpsc::{Receiver, TryRecvError},
};

use consensus_core::{
    NodeId, Protocol, SnapshotMeta, history::StateDigest, kv::KeyValue, session::Sessions,
    storage::StorageError,
};

use super::{consensus::Item, inbox::Inbox};
use crate::{counters::Counters, storage::SnapshotFiles};

/// A state to be saved.
#[derive(Debug)]
pub struct Order {
    /// Under which name.
    pub meta: SnapshotMeta,
    /// The state.
    pub state: Sessions<KeyValue>,
    /// Hears when it is written down what was applied up to here.
    pub recorded: Receiver<()>,
}

/// What the thread works with.
pub struct Saver<P: Protocol> {
    /// This replica.
    pub node: NodeId,
    /// What to save; ends with the consensus loop.
    pub orders: Receiver<Order>,
    /// Where to.
    pub snapshots: Arc<SnapshotFiles>,
    /// Who hears of it.
    pub inbox: Arc<Inbox<Item<P>>>,
    /// What is counted.
    pub counters: Arc<Counters>,
}

impl<P: Protocol> Saver<P> {
    /// Works until no more orders come.
    pub fn run(self) -> Result<(), StorageError> {
        while let Some(order) = self.next() {
            self.save(order)?;
        }
        Ok(())
    }

    /// The newest order; those before it may be skipped.
    fn next(&self) -> Option<Order> {
        let mut newest = self.orders.recv().ok()?;
        loop {
            match self.orders.try_recv() {
                Ok(newer) => newest = newer,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Some(newest),
            }
        }
    }

    fn save(&self, Order { meta, state, recorded }: Order) -> Result<(), StorageError> {
        let bytes = self.snapshots.save(&meta, |to| state.save(to))?;
        let digest = StateDigest { node: self.node, applied: meta.index, digest: state.digest() };
        drop(state);
        self.counters.snapshots_total.add(1);
        self.counters.snapshot_bytes_total.add(bytes);
        if recorded.recv().is_ok() {
            self.inbox.put(&mut std::iter::once(Item::Compacted { meta, digest }));
        }
        // Otherwise the journal is gone, and the replica about to end.
        Ok(())
    }
}
