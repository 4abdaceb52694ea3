//! How overlapping faults compose.
//!
//! A fault does not stop or freeze a replica, it *holds* it down or frozen. A replica comes back when
//! nothing holds it any more: killed by two faults that overlap, it starts once, after both.
//!
//! A target may start replicas again by itself, as Kubernetes does. Whoever is back although something
//! holds it down runs, and can be brought down again; to be let go is then no start.

use std::collections::{BTreeMap, BTreeSet};

use consensus_core::{NodeId, Time};

use super::action::Effect;

/// Names a trial among all that began: its place in the record.
pub type TrialKey = usize;

/// How a process is brought down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    Kill,
    Stop,
    Delete,
}

/// What holds each replica, and what was done about it so far.
#[derive(Clone, Debug)]
pub(super) struct Holds {
    nodes: BTreeMap<NodeId, Node>,
}

#[derive(Clone, Default, Debug)]
struct Node {
    down_for: BTreeSet<TrialKey>,
    frozen_for: BTreeSet<TrialKey>,
    down: bool,
    frozen: bool,
    /// Since when it runs again although it is held down.
    back: Option<Time>,
}

impl Node {
    /// Whether its process runs.
    const fn runs(&self) -> bool {
        !self.down || self.back.is_some()
    }
}

impl Holds {
    pub fn new(members: &[NodeId]) -> Self {
        Self { nodes: members.iter().map(|&node| (node, Node::default())).collect() }
    }

    /// Takes in a replica that is new.
    pub fn admit(&mut self, node: NodeId) {
        self.nodes.entry(node).or_default();
    }

    /// Lets go of a replica that never comes back, whatever held it.
    pub fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// Brings replicas down and keeps them there.
    pub fn hold_down(&mut self, trial: TrialKey, nodes: &[NodeId], manner: Manner) -> Vec<Effect> {
        self.each(nodes, |node| {
            node.down_for.insert(trial);
        });
        // To restart whoever something holds down is to bring it back, and back it may be already.
        let runs = |node: &Node| if manner == Manner::Stop { !node.down } else { node.runs() };
        let fresh = self.which(|node| runs(node) && node.down_for.contains(&trial));
        // A frozen process cannot stop in an orderly way, but it can be killed.
        let frozen = match manner {
            Manner::Kill | Manner::Delete => Vec::new(),
            Manner::Stop => intersection(&fresh, &self.which(|node| node.frozen)),
        };
        self.each(&fresh, |node| {
            node.down = true;
            node.frozen = false;
            node.back = None;
        });
        let bring_down = match manner {
            Manner::Kill => said(fresh, Effect::Crash),
            Manner::Stop => said(fresh, Effect::Stop),
            // Of whoever is down already, the place is deleted all the same.
            Manner::Delete => {
                said(self.which(|node| node.down_for.contains(&trial)), Effect::Delete)
            }
        };
        said(frozen, Effect::Resume).chain(bring_down).collect()
    }

    /// Takes note that a replica ended: perhaps by itself, because of a trial that now keeps it down.
    pub fn fell(&mut self, node: NodeId, because: Option<TrialKey>) {
        let Some(node) = self.nodes.get_mut(&node).filter(|node| node.runs()) else { return };
        // Whoever was back is not: what is heard of it late may be older than what brought it down.
        node.back = None;
        if let Some(trial) = because {
            node.down_for.insert(trial);
            node.down = true;
            node.frozen = false;
        }
    }

    /// Takes note that a replica runs, perhaps although it is held down.
    pub fn rose(&mut self, node: NodeId, now: Time) {
        if let Some(node) = self.nodes.get_mut(&node).filter(|node| node.down) {
            node.back.get_or_insert(now);
        }
    }

    /// Whether something holds this replica down, whether it stays down or not.
    pub fn is_down(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.down)
    }

    /// When the last of these replicas was back by itself; `None` if any of them is still down.
    pub fn back(&self, nodes: &[NodeId]) -> Option<Time> {
        let back = nodes.iter().map(|node| self.nodes.get(node)?.back);
        back.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Ends a trial's hold on replicas that are down, and starts those that nothing else holds.
    pub fn release_down(&mut self, trial: TrialKey, nodes: &[NodeId]) -> Vec<Effect> {
        self.each(nodes, |node| {
            node.down_for.remove(&trial);
        });
        let free = self.which(|node| node.down && node.down_for.is_empty());
        self.each(&free, |node| {
            node.down = false;
            node.back = None;
        });
        said(free, Effect::Start).chain(self.freeze()).collect()
    }

    /// Whether a trial still holds a replica down.
    pub fn holds_down(&self, trial: TrialKey) -> bool {
        self.nodes.values().any(|node| node.down_for.contains(&trial))
    }

    /// Freezes replicas and keeps them so.
    pub fn hold_frozen(&mut self, trial: TrialKey, nodes: &[NodeId]) -> Vec<Effect> {
        self.each(nodes, |node| {
            node.frozen_for.insert(trial);
        });
        self.freeze().collect()
    }

    /// Ends a trial's hold on frozen replicas, and lets those run that nothing else holds.
    pub fn release_frozen(&mut self, trial: TrialKey, nodes: &[NodeId]) -> Vec<Effect> {
        self.each(nodes, |node| {
            node.frozen_for.remove(&trial);
        });
        let free = self.which(|node| node.frozen && node.frozen_for.is_empty());
        self.each(&free, |node| node.frozen = false);
        said(free, Effect::Resume).collect()
    }

    /// Freezes what runs and ought not to: also a replica that was started while it is held frozen.
    fn freeze(&mut self) -> impl Iterator<Item = Effect> + use<> {
        let fresh = self.which(|node| node.runs() && !node.frozen && !node.frozen_for.is_empty());
        self.each(&fresh, |node| node.frozen = true);
        said(fresh, Effect::Pause)
    }

    fn each(&mut self, nodes: &[NodeId], mut change: impl FnMut(&mut Node)) {
        for id in nodes {
            if let Some(node) = self.nodes.get_mut(id) {
                change(node);
            }
        }
    }

    fn which(&self, holds: impl Fn(&Node) -> bool) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, node)| holds(node)).map(|(&id, _)| id).collect()
    }
}

/// The effect on these nodes, if there are any.
fn said(nodes: Vec<NodeId>, effect: fn(Vec<NodeId>) -> Effect) -> impl Iterator<Item = Effect> {
    (!nodes.is_empty()).then(|| effect(nodes)).into_iter()
}

fn intersection(some: &[NodeId], others: &[NodeId]) -> Vec<NodeId> {
    some.iter().copied().filter(|node| others.contains(node)).collect()
}
