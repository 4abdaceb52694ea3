//! What the director knows of the cluster.

use std::collections::{BTreeMap, BTreeSet};

use consensus_core::{Epoch, Index, NodeId, Time};

/// Who is there, who runs, who leads, how far each has come.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The members, in ascending order: whom a fault may hit.
    pub members: Vec<NodeId>,
    /// Every replica that was ever started and is not gone for good, in ascending order.
    pub present: Vec<NodeId>,
    /// Who came back in the place of whom.
    lives: BTreeMap<NodeId, NodeId>,
    /// The next place that nobody was ever in.
    next_place: u64,
    running: BTreeSet<NodeId>,
    leader: Option<Reign>,
    /// The newest epoch whose leader is gone: late news of its reign are no news.
    over: Epoch,
    commits: BTreeMap<NodeId, Index>,
}

/// A leader, with its epoch and the moment in which it became known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reign {
    pub node: NodeId,
    pub epoch: Epoch,
    pub since: Time,
}

impl View {
    pub fn new(members: &[NodeId]) -> Self {
        let running: BTreeSet<_> = members.iter().copied().collect();
        Self {
            members: running.iter().copied().collect(),
            present: running.iter().copied().collect(),
            lives: BTreeMap::new(),
            next_place: members.iter().map(|node| node.place().0).max().unwrap_or_default() + 1,
            running,
            leader: None,
            over: Epoch::default(),
            commits: BTreeMap::new(),
        }
    }

    /// The leader of the newest epoch known, unless it is known to be gone.
    pub const fn leader(&self) -> Option<Reign> {
        self.leader
    }

    /// The replicas whose processes run, frozen ones included.
    pub fn running(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.running.iter().copied()
    }

    /// The members whose processes run, frozen ones included.
    pub fn able(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().copied().filter(|node| self.running.contains(node))
    }

    /// The last position that a replica is known to know committed.
    pub fn commit(&self, node: NodeId) -> Index {
        self.commits.get(&node).copied().unwrap_or_default()
    }

    /// Takes note of a leader, unless a newer one is known. True if that is news.
    pub fn leads(&mut self, node: NodeId, epoch: Epoch, now: Time) -> bool {
        let newest = self.leader.map_or(self.over, |reign| reign.epoch.max(self.over));
        let news = epoch > newest && self.running.contains(&node);
        if news {
            self.leader = Some(Reign { node, epoch, since: now });
        }
        news
    }

    /// Takes note that a leader gave up its epoch.
    pub fn stepped_down(&mut self, node: NodeId, epoch: Epoch) {
        if self.leader.is_some_and(|reign| reign.node == node && reign.epoch <= epoch) {
            self.forget_leader();
        }
    }

    /// Takes note that a process runs. True if that is news.
    pub fn up(&mut self, node: NodeId) -> bool {
        self.present.contains(&node) && self.running.insert(node)
    }

    /// Takes note that a process ended. True if that is news.
    pub fn down(&mut self, node: NodeId) -> bool {
        if self.leader.is_some_and(|reign| reign.node == node) {
            self.forget_leader();
        }
        self.running.remove(&node)
    }

    /// Takes note of a replica's commit position, and says how much the cluster's grew.
    pub fn committed(&mut self, node: NodeId, position: Index) -> u64 {
        let before = self.commits.values().copied().max().unwrap_or_default();
        let known = self.commits.entry(node).or_default();
        *known = (*known).max(position);
        position.saturating_sub(before)
    }

    /// The next place that nobody was ever in.
    pub const fn next_place(&self) -> u64 {
        self.next_place
    }

    /// Takes note that a replica was started that is new.
    pub fn deploy(&mut self, node: NodeId) {
        self.present.push(node);
        self.present.sort_unstable();
        self.present.dedup();
        self.running.insert(node);
        self.next_place = self.next_place.max(node.place().0 + 1);
    }

    /// Takes note that a replica is gone for good, and who came in its place.
    pub fn bury(&mut self, old: NodeId, new: NodeId) {
        self.down(old);
        self.present.retain(|&node| node != old);
        self.lives.insert(old, new);
    }

    /// Who is now in the place of a replica.
    pub fn life(&self, node: NodeId) -> NodeId {
        std::iter::successors(Some(node), |node| self.lives.get(node).copied())
            .last()
            .unwrap_or(node)
    }

    /// Takes note that the members are others now.
    pub fn change(&mut self, added: &[NodeId], removed: &[NodeId]) {
        self.members.retain(|node| !removed.contains(node));
        self.members.extend_from_slice(added);
        self.members.sort_unstable();
        self.members.dedup();
    }

    fn forget_leader(&mut self) {
        if let Some(reign) = self.leader.take() {
            self.over = self.over.max(reign.epoch);
        }
    }
}
