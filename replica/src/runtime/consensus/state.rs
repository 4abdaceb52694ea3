//! The state machine's snapshots, as the consensus loop has them made and takes them over.

use std::sync::mpsc::sync_channel;

use consensus_core::{
    Protocol, SnapshotMeta, history::StateDigest, kv::KeyValue, session::Sessions,
    storage::StorageError,
};

use super::Consensus;
use crate::{clock, runtime::saver::Order, storage::SnapshotFiles};

impl<P: Protocol> Consensus<P> {
    /// Hands a copy of the state to whoever saves it. The loop stands still for the copy only, in
    /// which keys and values are shared; they are written out beside the loop.
    pub(super) fn take_snapshot(&mut self, meta: SnapshotMeta) {
        debug_assert_eq!(meta.index, self.machine.applied(), "a snapshot is of the state as it is");
        let started = clock::now();
        let state = self.machine.clone();
        let paused = clock::now().since(started).as_nanos();
        let paused = u64::try_from(paused).unwrap_or(u64::MAX);
        self.around.counters.snapshot_pause_nanoseconds_total.add(paused);
        // The next life will not apply again what the snapshot holds, so what this life wrote down
        // of it must not be lost.
        let (written, recorded) = sync_channel(1);
        self.page.awaited.push(written);
        // Without a saver there is no snapshot: the replica is about to end.
        let _ = self.around.orders.send(Order { meta, state, recorded });
    }

    /// Replaces the state machine. A snapshot that cannot be read ends the replica.
    pub(super) fn restore(&mut self, base: &SnapshotMeta) -> Result<(), StorageError> {
        let started = clock::now();
        self.machine = load(&self.around.snapshots, base)?;
        let digest = self.machine.digest();
        let took = u64::try_from(clock::now().since(started).as_nanos()).unwrap_or(u64::MAX);
        self.around.counters.restores_total.add(1);
        self.around.counters.restore_nanoseconds_total.add(took);
        tracing::info!(index = base.index, micros = took / 1_000, "the state is a snapshot's");
        let node = self.around.node;
        self.page.states.push(StateDigest { node, applied: base.index, digest });
        Ok(())
    }
}

fn load(
    snapshots: &SnapshotFiles,
    base: &SnapshotMeta,
) -> Result<Sessions<KeyValue>, StorageError> {
    let snapshot = snapshots.whole(base)?;
    let record = format!("the snapshot at {}", base.index);
    let corrupt = |why: String| StorageError::Corrupt { record: record.clone(), why };
    let state = Sessions::<KeyValue>::load(&mut *snapshot.content()?);
    let state = state.map_err(|error| corrupt(error.to_string()))?;
    match state.applied() {
        applied if applied == base.index => Ok(state),
        applied => Err(corrupt(format!("it holds the state at {applied}"))),
    }
}
