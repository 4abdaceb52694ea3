//! The `stateright` model: what may happen in a state, and what comes of it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use consensus_core::{NodeId, Role, Settings, Status};
use stateright::{Model, Property};

use crate::{
    bounds::Bounds,
    cluster::{Cluster, History},
    explored::{Explored, Renaming},
    node::{Flight, Node, Reaction, Stimulus},
    plant::{Plant, honest},
    properties,
    shared::Shared,
};

/// Something that may happen in a cluster.
#[derive(Clone, PartialEq, Debug)]
pub enum Action<P: Explored> {
    /// A message arrives; if it waited for its sender's disk, that is synced so far.
    Deliver(Shared<Flight<P>>),
    /// A message arrives, and will arrive again.
    Repeat(Shared<Flight<P>>),
    /// A replica's oldest message to itself arrives; its disk is synced so far.
    Own(NodeId),
    /// The oldest of a replica's unsynced batches reaches its disk; only if syncs are told apart.
    Sync(NodeId),
    /// A replica hears of no leader for long enough.
    Timeout(NodeId),
    /// A leader makes itself heard.
    Heartbeat(NodeId),
    /// A client proposes the next command to a replica that believes to lead.
    Propose(NodeId),
    /// A replica crashes, and starts again from what its disk kept.
    Crash {
        /// Which one.
        node: NodeId,
        /// How many of its unsynced batches were kept, from the oldest on.
        keep: usize,
    },
}

/// What is left out because nothing is lost by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reduction {
    /// Nothing: syncs are actions of their own, messages without effect arrive, and everybody campaigns
    /// under every name.
    Nothing,
    /// All but the names.
    AllButNames,
    /// All that the [crate's documentation](crate) tells of.
    #[default]
    All,
}

/// What a node did when something happened to it, by the fingerprints of both.
///
/// Only looked up, never iterated, so the hasher decides nothing.
type Memory<P> = HashMap<(u64, u64), Arc<Reaction<P>>>;

/// The most that is remembered, for random walks meet ever new nodes: a few hundred megabytes.
const MOST_REMEMBERED: usize = 1 << 18;

/// A protocol, within bounds.
pub struct Exploration<P: Explored> {
    bounds: Bounds,
    plant: Plant<P>,
    reduction: Reduction,
    configs: Vec<P::Config>,
    memory: Mutex<Memory<P>>,
}

impl<P: Explored> Exploration<P> {
    /// Explores the protocol as it is.
    pub fn new(bounds: Bounds) -> Self {
        Self::planted(bounds, honest)
    }

    /// Explores the protocol with a rule broken.
    pub fn planted(bounds: Bounds, plant: Plant<P>) -> Self {
        let members: Vec<_> = (1..=bounds.replicas).map(NodeId).collect();
        let config = |&node: &NodeId| {
            let settings = Settings::new(node, members.clone());
            let settings = Settings { pre_vote: false, check_quorum: false, ..settings };
            P::configure(settings).expect("these settings work")
        };
        let configs = members.iter().map(config).collect();
        Self { bounds, plant, reduction: Reduction::All, configs, memory: Mutex::default() }
    }

    /// Explores more states than necessary.
    pub fn with_reduction(self, reduction: Reduction) -> Self {
        Self { reduction, ..self }
    }

    /// How much may happen.
    pub const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// What a node does; remembered, for few nodes make up many clusters.
    fn react(&self, node: &Shared<Node<P>>, stimulus: Stimulus<P>) -> Arc<Reaction<P>> {
        let stimulus = Shared::new(stimulus);
        let key = (node.fingerprint(), stimulus.fingerprint());
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.len() >= MOST_REMEMBERED {
            memory.clear();
        }
        let reaction = memory.entry(key).or_insert_with(|| {
            let config = &self.configs[node.id.0 as usize - 1];
            Arc::new(node.react(&stimulus, config, self.plant))
        });
        Arc::clone(reaction)
    }

    /// Who may campaign: all, but for those that differ only by name from one who may.
    fn may_campaign(&self, state: &Cluster<P>, id: NodeId) -> bool {
        if self.bounds.heartbeats > 0 || self.reduction != Reduction::All {
            return true;
        }
        match P::RENAMING {
            Renaming::Any => id.0 <= state.campaigned.0 + 1,
            Renaming::KeepsOrder => id.0 <= u64::from(self.bounds.timeouts),
        }
    }

    fn stimulus(&self, state: &Cluster<P>, action: &Action<P>) -> (NodeId, Stimulus<P>) {
        match action {
            Action::Deliver(flight) | Action::Repeat(flight) => {
                (flight.to, Stimulus::Receive(flight.clone()))
            }
            Action::Own(id) => (*id, Stimulus::Own),
            Action::Sync(id) => (*id, Stimulus::Sync { batches: 1 }),
            Action::Timeout(id) => (*id, Stimulus::Timeout(P::election_timer())),
            Action::Heartbeat(id) => (*id, Stimulus::Timeout(P::heartbeat_timer())),
            Action::Propose(id) => {
                (*id, Stimulus::Propose(self.bounds.commands - state.left.commands + 1))
            }
            Action::Crash { node, keep } => (*node, Stimulus::Crash { keep: *keep }),
        }
    }

    /// Whether anything comes of it: what changes nothing is as good as a message that is lost.
    fn has_effect(&self, state: &Cluster<P>, action: &Action<P>) -> bool {
        let (id, stimulus) = self.stimulus(state, action);
        let reaction = self.react(state.node(id), stimulus);
        reaction.node != *state.node(id) || !reaction.sent.is_empty()
    }

    fn local_actions(&self, state: &Cluster<P>, id: NodeId, actions: &mut Vec<Action<P>>) {
        let (node, left) = (state.node(id), state.left);
        let leads = state.status(id).role == Role::Leader;
        let tells_syncs_apart = self.reduction == Reduction::Nothing;
        if node.own.front().is_some_and(|own| own.behind == 0 || !tells_syncs_apart) {
            actions.push(Action::Own(id));
        }
        if tells_syncs_apart && !node.unsynced.is_empty() {
            actions.push(Action::Sync(id));
        }
        if left.timeouts > 0 && !leads && self.may_campaign(state, id) {
            actions.push(Action::Timeout(id));
        }
        if left.heartbeats > 0 && leads {
            actions.push(Action::Heartbeat(id));
        }
        if left.commands > 0 && leads {
            actions.push(Action::Propose(id));
        }
        if left.crashes > 0 {
            let keeps = 0..=node.unsynced.len();
            actions.extend(keeps.map(|keep| Action::Crash { node: id, keep }));
        }
    }

    fn arrivals(&self, state: &Cluster<P>, actions: &mut Vec<Action<P>>) {
        let reduces = self.reduction != Reduction::Nothing;
        let waiting = state.nodes.iter().flat_map(|node| &node.waiting).filter(|_| reduces);
        let mut before = None;
        for flight in state.network.iter().chain(waiting.map(|waiting| &waiting.what)) {
            if before.replace(flight) == Some(flight) {
                continue; // as good as the other
            }
            let arrival = Action::Deliver(flight.clone());
            if !reduces || self.has_effect(state, &arrival) {
                actions.push(arrival);
                if state.left.repeats > 0 {
                    actions.push(Action::Repeat(flight.clone()));
                }
            }
        }
    }

    /// Takes a message off the network; if it waits for its sender's disk, that is synced first.
    fn take(&self, state: &mut Cluster<P>, flight: &Shared<Flight<P>>) {
        if state.take(flight) {
            return;
        }
        let sender = state.node(flight.from).clone();
        let waiting = sender.waiting.iter().find(|waiting| waiting.what == *flight);
        let batches = waiting.expect("a message is on its way, or waits").behind;
        state.absorb(&self.react(&sender, Stimulus::Sync { batches }));
        assert!(state.take(flight), "what waited left");
    }

    fn spend(state: &mut Cluster<P>, action: &Action<P>) {
        let left = &mut state.left;
        match action {
            Action::Deliver(_) | Action::Own(_) | Action::Sync(_) => {}
            Action::Repeat(_) => left.repeats -= 1,
            Action::Timeout(id) => {
                left.timeouts -= 1;
                state.campaigned = state.campaigned.max(*id);
            }
            Action::Heartbeat(_) => left.heartbeats -= 1,
            Action::Propose(_) => left.commands -= 1,
            Action::Crash { .. } => left.crashes -= 1,
        }
    }

    /// Once no crash can follow, synced or not makes no difference.
    fn settle(&self, state: &mut Cluster<P>) {
        if state.left.crashes == 0 {
            for id in state.ids() {
                let node = state.node(id).clone();
                if !node.unsynced.is_empty() {
                    let batches = node.unsynced.len();
                    state.absorb(&self.react(&node, Stimulus::Sync { batches }));
                }
            }
        }
        if state.left.timeouts == 0 {
            state.campaigned = NodeId(0); // nobody will ask any more
        }
        state.drop_spent();
    }
}

impl<P: Explored> Model for Exploration<P> {
    type State = Cluster<P>;
    type Action = Action<P>;

    fn init_states(&self) -> Vec<Cluster<P>> {
        let nodes: Vec<_> =
            (1..=self.bounds.replicas).map(|id| Shared::new(Node::new(NodeId(id)))).collect();
        let mut cluster = Cluster {
            statuses: nodes.iter().map(|_| Shared::new(Status::default())).collect(),
            nodes,
            network: Vec::new(),
            left: self.bounds,
            campaigned: NodeId(0),
            history: Shared::new(History::default()),
        };
        for id in cluster.ids() {
            let reaction = self.react(cluster.node(id), Stimulus::Start);
            cluster.absorb(&reaction);
        }
        vec![cluster]
    }

    fn actions(&self, state: &Cluster<P>, actions: &mut Vec<Action<P>>) {
        if state.history.broken.is_some() {
            return;
        }
        self.arrivals(state, actions);
        for id in state.ids() {
            self.local_actions(state, id, actions);
        }
    }

    fn next_state(&self, last: &Cluster<P>, action: Action<P>) -> Option<Cluster<P>> {
        let mut state = last.clone();
        match &action {
            Action::Deliver(flight) => self.take(&mut state, flight),
            Action::Repeat(flight) => {
                self.take(&mut state, flight);
                state.insert(flight.clone());
            }
            _ => {}
        }
        let (id, stimulus) = self.stimulus(&state, &action);
        Self::spend(&mut state, &action);
        let reaction = self.react(state.node(id), stimulus);
        state.absorb(&reaction);
        if self.reduction != Reduction::Nothing {
            self.settle(&mut state);
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self.bounds)
    }

    fn format_action(&self, action: &Action<P>) -> String {
        action.to_string()
    }
}

impl<P: Explored> fmt::Display for Action<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver(flight) => {
                write!(f, "n{} → n{}: {:?}", flight.from, flight.to, flight.message)
            }
            Self::Repeat(flight) => {
                write!(
                    f,
                    "n{} → n{}, not for the last time: {:?}",
                    flight.from, flight.to, flight.message
                )
            }
            Self::Sync(id) => write!(f, "n{id} has one more batch on disk"),
            Self::Own(id) => write!(f, "n{id} hears itself"),
            Self::Timeout(id) => write!(f, "n{id} times out"),
            Self::Heartbeat(id) => write!(f, "n{id} makes itself heard"),
            Self::Propose(id) => write!(f, "a client proposes to n{id}"),
            Self::Crash { node, keep } => {
                write!(f, "n{node} crashes, keeps {keep} unsynced batches, and starts again")
            }
        }
    }
}
