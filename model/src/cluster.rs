//! The state that is explored: a whole cluster, what is on its way, and what was seen so far.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
};

use consensus_core::{Epoch, Index, NodeId, Payload, Status};

use crate::{
    bounds::Bounds,
    explored::Explored,
    node::{Flight, Node, Reaction, Seen, Waiting},
    shared::Shared,
};

/// A cluster at a moment.
#[derive(Clone, Debug)]
pub struct Cluster<P: Explored> {
    /// The replicas with their disks, in the order of their names, from 1.
    pub nodes: Vec<Shared<Node<P>>>,
    /// What each of them believes; a function of `nodes`.
    pub statuses: Vec<Shared<Status>>,
    /// The messages on their way, equal ones as often as they were sent; ordered by their fingerprints.
    pub network: Vec<Shared<Flight<P>>>,
    /// What may still happen.
    pub left: Bounds,
    /// The highest name among those that campaigned.
    pub campaigned: NodeId,
    /// What was seen so far.
    pub history: Shared<History>,
}

/// What was seen so far: all that the properties need to know of the past.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct History {
    /// Who led, by epoch.
    pub leaders: BTreeMap<Epoch, BTreeSet<NodeId>>,
    /// What was applied, by index, with the earliest epoch under which it was.
    pub applied: BTreeMap<Index, BTreeMap<Payload, Epoch>>,
    /// Whether a replica that was restarted applied a command.
    pub restarted_applied: bool,
    /// Who broke an assertion or the contract, and how.
    pub broken: Option<(NodeId, String)>,
}

impl<P: Explored> PartialEq for Cluster<P> {
    fn eq(&self, other: &Self) -> bool {
        self.nodes == other.nodes
            && self.network == other.network
            && self.left == other.left
            && self.campaigned == other.campaigned
            && self.history == other.history
    }
}

impl<P: Explored> Hash for Cluster<P> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nodes.hash(state);
        self.network.hash(state);
        self.left.hash(state);
        self.campaigned.hash(state);
        self.history.hash(state);
    }
}

impl<P: Explored> Cluster<P> {
    /// A node, by its name.
    pub fn node(&self, id: NodeId) -> &Shared<Node<P>> {
        &self.nodes[place(id)]
    }

    /// What a node believes, by its name.
    pub fn status(&self, id: NodeId) -> &Status {
        &self.statuses[place(id)]
    }

    /// The names.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<P> {
        (1..=self.nodes.len() as u64).map(NodeId)
    }

    /// Takes over what a node did.
    pub fn absorb(&mut self, reaction: &Reaction<P>) {
        let id = reaction.node.id;
        self.nodes[place(id)] = reaction.node.clone();
        if *self.statuses[place(id)] != reaction.status {
            self.statuses[place(id)] = Shared::new(reaction.status.clone());
        }
        for flight in &reaction.sent {
            self.insert(flight.clone());
        }
        if !reaction.seen.is_empty() {
            let mut history = (*self.history).clone();
            reaction.seen.iter().for_each(|seen| history.see(id, seen));
            self.history = Shared::new(history);
        }
    }

    /// Takes a message out of the network. `false` if it is not there.
    pub fn take(&mut self, flight: &Shared<Flight<P>>) -> bool {
        let place = self.network.binary_search_by_key(&flight.fingerprint(), Shared::fingerprint);
        place.map(|place| self.network.remove(place)).is_ok()
    }

    /// Drops what can never again have an effect.
    pub fn drop_spent(&mut self) {
        let mut network = std::mem::take(&mut self.network);
        network.retain(|flight| {
            let settled = match self.left.crashes {
                0 => self.status(flight.to).epoch,
                _ => self.node(flight.to).settled(),
            };
            !P::is_spent(&flight.message, self.status(flight.to), settled)
        });
        self.network = network;
        for id in self.ids() {
            self.drop_spent_own(id);
        }
    }

    /// Of a replica's messages to itself, drops those that can never again have an effect.
    fn drop_spent_own(&mut self, id: NodeId) {
        let (node, status) = (self.node(id), self.status(id));
        let settled = node.settled();
        let is_spent = |own: &Waiting<P::Message>| P::is_spent(&own.what, status, settled);
        if node.own.iter().any(is_spent) {
            let mut node = (**node).clone();
            node.own.retain(|own| !is_spent(own));
            self.nodes[place(id)] = Shared::new(node);
        }
    }

    /// Puts a message onto the network.
    pub fn insert(&mut self, flight: Shared<Flight<P>>) {
        let place = self.network.partition_point(|at| at.fingerprint() < flight.fingerprint());
        self.network.insert(place, flight);
    }
}

impl History {
    fn see(&mut self, id: NodeId, seen: &Seen) {
        match seen {
            Seen::Elected(epoch) => {
                self.leaders.entry(*epoch).or_default().insert(id);
            }
            Seen::Applied { index, epoch, payload, incarnation } => {
                let payloads = self.applied.entry(*index).or_default();
                let earliest = payloads.entry(payload.clone()).or_insert(*epoch);
                *earliest = (*earliest).min(*epoch);
                self.restarted_applied |= *incarnation > 1 && !payload.is_noop();
            }
            Seen::Broke(why) => {
                self.broken.get_or_insert_with(|| (id, why.clone()));
            }
        }
    }
}

fn place(id: NodeId) -> usize {
    usize::try_from(id.0 - 1).expect("a small cluster")
}
