//! Snapshots by hand: asked for, saved, on their way, staged, restored.

use super::{Cluster, Node, base_of};
use crate::{
    id::NodeId,
    protocol::{Input, Protocol},
    record::{SnapshotMeta, Write},
    transcript::Happening,
};

/// A snapshot on its way. There is at most one from a node to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// Its sender.
    pub from: NodeId,
    /// Its receiver.
    pub to: NodeId,
    /// Its name.
    pub snapshot: SnapshotMeta,
}

impl<P: Protocol> Cluster<P> {
    /// The snapshots on their way.
    pub fn transfers(&self) -> &[Transfer] {
        &self.transfers
    }

    /// The snapshots that a node asked for and that are not yet durable, in order.
    pub fn asked(&self, node: NodeId) -> impl Iterator<Item = &SnapshotMeta> {
        self.nodes[&node].asked.iter()
    }

    /// The snapshots that are durable at a node.
    pub fn snapshots(&self, node: NodeId) -> impl Iterator<Item = &SnapshotMeta> {
        self.nodes[&node].snapshots.iter()
    }

    /// Forgets the snapshots that a node asked for before its newest one.
    pub fn skip_saves(&mut self, id: NodeId) {
        let asked = &mut self.node(id).asked;
        asked.drain(..asked.len().saturating_sub(1));
    }

    /// Makes the oldest snapshot durable that a node asked for; says whether there is one.
    pub fn save(&mut self, id: NodeId) -> bool {
        let node = self.node(id);
        let Some(meta) = node.asked.pop_front() else { return false };
        node.snapshots.insert(meta.clone());
        self.happened.push(Happening::Saved(id, meta.clone()));
        self.drain(id, [Input::Compacted(meta)]);
        true
    }

    /// Completes the transfers that are chosen, where the link is not cut and the receiver is up;
    /// says how many those were. The others stay on their way, and go on when they can.
    pub fn install(&mut self, chosen: impl Fn(&Transfer) -> bool) -> usize {
        let (done, left): (Vec<_>, _) =
            std::mem::take(&mut self.transfers).into_iter().partition(|transfer| {
                let cut = self.cuts.contains(&(transfer.from, transfer.to));
                chosen(transfer) && !cut && self.is_up(transfer.to)
            });
        self.transfers = left;
        let count = done.len();
        for Transfer { from, to, snapshot } in done {
            self.node(to).snapshots.insert(snapshot.clone());
            let staged = snapshot.clone();
            self.happened.push(Happening::SnapshotStaged { from, to, snapshot: staged });
            self.drain(to, [Input::Staged { from, snapshot }]);
        }
        count
    }

    /// Ends the transfers that are chosen before their time; says how many there were.
    pub fn lose_transfers(&mut self, chosen: impl Fn(&Transfer) -> bool) -> usize {
        let (lost, left): (Vec<_>, _) =
            std::mem::take(&mut self.transfers).into_iter().partition(chosen);
        self.transfers = left;
        let count = lost.len();
        for Transfer { from, to, snapshot } in lost {
            self.happened.push(Happening::SnapshotLost { from, to, snapshot });
        }
        count
    }

    pub(super) fn take_snapshot(&mut self, id: NodeId, meta: SnapshotMeta) {
        self.judge.encode(&meta);
        self.judge.name(id, &meta);
        let node = self.node(id);
        assert_eq!(meta.index, node.applied, "n{id} names a snapshot of what it applied");
        node.asked.push_back(meta.clone());
        self.happened.push(Happening::Asked(id, meta));
    }

    pub(super) fn send_snapshot(&mut self, from: NodeId, to: NodeId, snapshot: SnapshotMeta) {
        let saved = self.node(from).snapshots.contains(&snapshot);
        assert!(saved, "n{from} sends a snapshot that it does not have: {snapshot:?}");
        assert_ne!(from, to, "n{from} sends itself a snapshot");
        let transfer = Transfer { from, to, snapshot };
        if self.transfers.contains(&transfer) {
            return;
        }
        self.transfers.retain(|other| (other.from, other.to) != (from, to));
        self.transfers.push(transfer.clone());
        let Transfer { snapshot, .. } = transfer;
        self.happened.push(Happening::SnapshotSent { from, to, snapshot });
    }

    pub(super) fn restore(&mut self, id: NodeId, meta: SnapshotMeta) {
        self.judge.name(id, &meta);
        let node = self.node(id);
        assert!(node.snapshots.contains(&meta), "n{id} restores what is not durable: {meta:?}");
        assert_eq!(node.disk.written().base.as_ref(), Some(&meta), "n{id} restores its base");
        assert!(meta.index > node.applied, "n{id} restores what it left behind");
        node.applied = meta.index;
        self.happened.push(Happening::Restored(id, meta));
    }

    /// A log whose base is not durable could not be recovered from.
    pub(super) fn check_bases(&mut self, id: NodeId, writes: &[Write<P::Record>]) {
        for meta in writes.iter().filter_map(base_of) {
            let node = self.node(id);
            let durable = node.snapshots.contains(meta);
            assert!(durable, "n{id} makes a base of what is not durable: {meta:?}");
            let base = node.disk.written().base.map_or(0, |base| base.index);
            assert!(meta.index > base, "n{id} goes back to a base before {base}: {meta:?}");
        }
    }
}

impl<P: Protocol> Node<P> {
    /// Drops the snapshots that the log no longer begins with.
    pub(super) fn reclaim(&mut self) {
        if let Some(base) = &self.disk.durable().base {
            self.snapshots.retain(|meta| meta.index >= base.index);
        }
    }
}
