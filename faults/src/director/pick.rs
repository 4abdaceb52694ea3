//! From words to replicas and links: who "leader" is at this moment.

use std::collections::BTreeSet;

use consensus_core::{Draw, NodeId};

use super::{holds::Holds, view::View};
use crate::schedule::{Direction, Fault, Link, Partition, Shape, Target, Targets};

/// Whom a trial hits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Picks {
    /// The replicas; for a partition, its first group, its bridge, or the leader with the other around
    /// whom it is drawn.
    pub nodes: Vec<NodeId>,
    /// The links, each from one replica to another.
    pub links: Vec<(NodeId, NodeId)>,
}

/// All that choosing depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picker<'a> {
    /// What is known of the cluster.
    pub view: &'a View,
    /// What holds whom.
    pub holds: &'a Holds,
    /// The trial's own draw for this purpose.
    pub draw: Draw,
    /// Which trial, from 1.
    pub trial: u32,
    /// At which replica the event happened that the step waited for.
    pub actor: Option<NodeId>,
}

impl Picker<'_> {
    /// Chooses whom a fault hits; `None` if there is nobody to hit now.
    pub fn pick(&self, fault: &Fault) -> Option<Picks> {
        match fault {
            Fault::Load(_) | Fault::Put(_) => Some(Picks::default()),
            Fault::Reconfigure(_) | Fault::Transfer(_) if fault.targets().is_empty() => {
                Some(Picks::default())
            }
            Fault::Partition(partition) => self.partition(partition),
            Fault::Link(link) => self.link(link),
            Fault::Crash(_)
            | Fault::Restart(_)
            | Fault::Delete(_)
            | Fault::Pause(_)
            | Fault::Slow(_)
            | Fault::Disk(_)
            | Fault::Clock(_)
            | Fault::Reconfigure(_)
            | Fault::Transfer(_) => {
                let targets = fault.targets();
                let nodes = self.nodes(targets.first()?.1, &[])?;
                Some(Picks { nodes, links: Vec::new() })
            }
        }
    }

    /// The union of the targets, in ascending order; whom a word leaves open is chosen among those
    /// not chosen yet and not to be avoided.
    fn nodes(&self, targets: &Targets, avoid: &[NodeId]) -> Option<Vec<NodeId>> {
        let mut chosen = BTreeSet::new();
        for target in targets.iter() {
            let more =
                self.target(target, |node| !chosen.contains(&node) && !avoid.contains(&node))?;
            chosen.extend(more);
        }
        (!chosen.is_empty()).then(|| chosen.into_iter().collect())
    }

    /// Who leads. Whoever leads but was removed is about to step down.
    fn leader(&self) -> Option<NodeId> {
        let leader = self.view.leader().map(|reign| reign.node);
        leader.filter(|leader| self.view.members.contains(leader))
    }

    fn target(&self, target: Target, free: impl Fn(NodeId) -> bool) -> Option<Vec<NodeId>> {
        let members = &self.view.members;
        let leader = self.leader();
        let count = members.len();
        match target {
            Target::Leader => leader.map(|leader| vec![leader]),
            Target::OneFollower => {
                let leader = leader?;
                let mut followers =
                    self.ranked(self.view.able().filter(|&node| node != leader && free(node)));
                followers.truncate(1);
                (!followers.is_empty()).then_some(followers)
            }
            Target::Stalest => {
                let running = self.ranked(self.view.able().filter(|&node| free(node)));
                let stalest = running.into_iter().min_by_key(|&node| self.view.commit(node));
                stalest.map(|node| vec![node])
            }
            Target::Actor => self.actor.map(|actor| vec![actor]),
            Target::Dead => {
                let running: BTreeSet<_> = self.view.running().collect();
                let is_dead = |&node: &NodeId| !running.contains(&node) || self.holds.is_down(node);
                let dead = members.iter().copied().filter(is_dead);
                Some(dead.collect())
            }
            Target::InTurn => Some(vec![members[(self.trial as usize - 1) % count]]),
            Target::Minority => Some(self.ranked_members(minority(count))),
            Target::MinorityWithLeader => Some(self.around(&[leader?], minority(count))),
            Target::Majority => Some(self.ranked_members(majority(count))),
            Target::All => Some(members.clone()),
            Target::Node(node) => {
                let node = self.view.life(node);
                members.contains(&node).then(|| vec![node])
            }
        }
    }

    /// These replicas in an order drawn for this trial: the same order for every protocol, whoever
    /// is left out of it.
    fn ranked(&self, nodes: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
        let mut nodes: Vec<_> = nodes.collect();
        nodes.sort_by_key(|node| (self.draw.at(node.0).bits(), *node));
        nodes
    }

    fn ranked_members(&self, count: usize) -> Vec<NodeId> {
        let mut nodes = self.ranked(self.view.members.iter().copied());
        nodes.truncate(count);
        nodes
    }

    /// These replicas, and others up to a number.
    fn around(&self, core: &[NodeId], count: usize) -> Vec<NodeId> {
        let others = self.view.members.iter().copied().filter(|node| !core.contains(node));
        let missing = count.saturating_sub(core.len());
        core.iter().copied().chain(self.ranked(others).into_iter().take(missing)).collect()
    }

    fn partition(&self, partition: &Partition) -> Option<Picks> {
        if partition.shape.is_around_leader() {
            return self.around_leader(partition);
        }
        let core = match &partition.target {
            Some(targets) => self.nodes(targets, &[])?,
            None => Vec::new(),
        };
        let count = self.view.members.len();
        let group = |size| sorted(self.around(&core, size));
        let cut = |group: Vec<NodeId>| {
            let links = self.cut_around(&group, partition.direction);
            (!links.is_empty()).then_some(Picks { nodes: group, links })
        };
        match partition.shape {
            Shape::Isolate => cut(core),
            Shape::Halves => cut(group(count / 2)),
            Shape::Minority => cut(group(minority(count))),
            Shape::Majority => cut(group(majority(count))),
            Shape::Bridge => Some(self.bridge(group(1)[0])),
            Shape::Ring => Some(self.ring()),
            // Dealt with above: they have another core.
            Shape::QuorumLoss | Shape::ConstrainedElection | Shape::Chained => None,
            Shape::Groups => Some(self.groups(&partition.groups)),
            Shape::Links => {
                let links = partition.links.iter();
                let links = links.map(|&[from, to]| (NodeId(from), NodeId(to))).collect();
                Some(Picks { nodes: Vec::new(), links: sorted(links) })
            }
        }
    }

    /// The links between a group and everybody else.
    fn cut_around(&self, group: &[NodeId], direction: Direction) -> Vec<(NodeId, NodeId)> {
        self.links_where(|from, to| match (group.contains(&from), group.contains(&to)) {
            (true, false) => direction != Direction::Inbound,
            (false, true) => direction != Direction::Outbound,
            _ => false,
        })
    }

    /// The shapes of partial connectivity; nothing while nobody leads, or while the other who is asked
    /// for leads itself.
    fn around_leader(&self, partition: &Partition) -> Option<Picks> {
        let leader = self.leader()?;
        let anybody = Targets::one(Target::OneFollower);
        let other = self.nodes(partition.target.as_ref().unwrap_or(&anybody), &[leader])?;
        let other = other.first().copied().filter(|&other| other != leader)?;
        let lost = |from, to| {
            let between = |a, b| (from, to) == (a, b) || (from, to) == (b, a);
            let around_hub = from == other || to == other;
            match partition.shape {
                Shape::Chained => between(leader, other),
                Shape::ConstrainedElection => !around_hub || between(leader, other),
                _ => !around_hub,
            }
        };
        let one_way = |from, to| match partition.direction {
            Direction::Both => true,
            Direction::Inbound => from != leader,
            Direction::Outbound => to != leader,
        };
        let links = self.links_where(|from, to| lost(from, to) && one_way(from, to));
        Some(Picks { nodes: vec![leader, other], links })
    }

    fn bridge(&self, bridge: NodeId) -> Picks {
        let others = self.ranked(self.view.present.iter().copied().filter(|&node| node != bridge));
        let (left, _) = others.split_at(others.len() / 2);
        let links = self.links_where(|from, to| {
            from != bridge && to != bridge && left.contains(&from) != left.contains(&to)
        });
        Picks { nodes: vec![bridge], links }
    }

    fn ring(&self) -> Picks {
        let order = self.ranked(self.view.present.iter().copied());
        let place = |node| order.iter().position(|&other| other == node).unwrap_or_default();
        let links = self.links_where(|from, to| {
            let apart = place(from).abs_diff(place(to));
            apart != 1 && apart != order.len() - 1
        });
        Picks { nodes: Vec::new(), links }
    }

    fn groups(&self, groups: &[Vec<u64>]) -> Picks {
        let together =
            |a: NodeId, b| groups.iter().any(|group| group.contains(&a.0) && group.contains(&b));
        let links = self.links_where(|from, to| !together(from, to.0));
        Picks { nodes: Vec::new(), links }
    }

    fn link(&self, link: &Link) -> Option<Picks> {
        let from = self.nodes(&link.from, &[])?;
        // The other end of a link, where a word leaves it open, is somebody else.
        let to = self.nodes(&link.to, &from).or_else(|| self.nodes(&link.to, &[]))?;
        let links = self.links_where(|a, b| from.contains(&a) && to.contains(&b));
        (!links.is_empty()).then_some(Picks { nodes: from, links })
    }

    /// The links of the cluster for which this holds, in ascending order.
    fn links_where(&self, holds: impl Fn(NodeId, NodeId) -> bool) -> Vec<(NodeId, NodeId)> {
        // A replica that is no member, or not yet, hears and is heard like everybody else.
        let members = &self.view.present;
        let pairs = members.iter().flat_map(|&from| members.iter().map(move |&to| (from, to)));
        pairs.filter(|&(from, to)| from != to && holds(from, to)).collect()
    }
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list.dedup();
    list
}

/// As many as a cluster can lose and still serve.
const fn minority(count: usize) -> usize {
    (count - 1) / 2
}

/// As many as a cluster needs to serve.
pub(super) const fn majority(count: usize) -> usize {
    count / 2 + 1
}
