//! An administrator in trouble: adds, removes and replaces members, and brings replicas back that
//! lost their disks.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Asked, Trouble, Watch};
use crate::{
    configuration::{Change, Configuration},
    draw::Draw,
    id::{Index, NodeId, RequestId},
    protocol::{Ask, Outcome, Protocol, Refusal},
    settings::Settings,
};

/// The most nodes at once, members or not.
const MOST_NODES: usize = 8;

/// The most voters that the administrator wants.
const MOST_VOTERS: usize = 6;

/// The longest time for which everything works, as far as it can, after a change was asked for.
const CALM: Duration = Duration::from_millis(500);

/// What the administrator knows.
#[derive(Default)]
pub(super) struct Members {
    /// Whether the protocol changes members at all, if that is known.
    offered: Option<bool>,
    /// Whether a change of this cluster was ever done.
    proven: bool,
    /// Each configuration that came into force anywhere, by the first position it governs.
    noted: BTreeMap<Index, BTreeSet<Configuration>>,
    /// Where the changes lead that are not known to be refused, and not known to be done.
    attempts: BTreeMap<RequestId, Configuration>,
    /// Every node that there ever was.
    named: BTreeSet<NodeId>,
    /// Nodes whose disk is gone.
    lost: BTreeSet<NodeId>,
}

impl Members {
    pub(super) fn of(first: impl IntoIterator<Item = NodeId>) -> Self {
        Self { named: first.into_iter().collect(), ..Self::default() }
    }

    pub(super) fn note(&mut self, from: Index, configuration: &Configuration) {
        self.noted.entry(from).or_default().insert(configuration.clone());
    }

    /// Whether the protocol is known to change members.
    pub(super) fn are_offered(&self) -> bool {
        self.offered == Some(true)
    }

    /// Whether a node lost its disk.
    pub(super) fn lost(&self, node: NodeId) -> bool {
        self.lost.contains(&node)
    }

    /// What became of a change.
    pub(super) fn answered(&mut self, request: RequestId, outcome: &Outcome) {
        if matches!(outcome, Outcome::Refused(Refusal::Unsupported(_))) {
            self.offered = Some(false);
        }
        self.offered.get_or_insert(true);
        self.proven |= *outcome == Outcome::Done;
        // What is unknown may still come true, at any time.
        if *outcome != Outcome::Unknown {
            self.attempts.remove(&request);
        }
    }
}

impl<W: Watch> Trouble<W> {
    /// Asks somebody who believes it leads for some change.
    pub(super) fn change(&mut self, draw: Draw) {
        let Some(leader) = self.some_leader(draw) else { return };
        match self.members.offered {
            Some(false) => {}
            // Nobody may join before it is known that it can become a member.
            None => self.ask_change(leader, Change::default(), Configuration::default()),
            Some(true) => {
                let present = self.configuration_at(leader);
                let change = self.some_change(draw, &present);
                let Ok(target) = present.changed(&change) else {
                    return self.ask_change(leader, change, Configuration::default());
                };
                let few = target.voters.len() <= MOST_VOTERS && target.learners.len() <= 2;
                if few && self.can_serve(None, Some(&target)) {
                    self.ask_change(leader, change, target);
                    // Chance alone takes long to bring a newcomer up.
                    if draw.of("calm").chance(0.5) {
                        self.cluster.run(draw.of("time").duration(&(Duration::ZERO..CALM)));
                    }
                }
            }
        }
    }

    /// Hands leadership over to somebody, or to whoever is best.
    pub(super) fn transfer(&mut self, draw: Draw) {
        let Some(leader) = self.some_leader(draw) else { return };
        let ids = self.cluster.ids();
        let to = ids[draw.of("to").below(ids.len() as u64) as usize];
        let to = Some(to).filter(|_| draw.of("named").chance(0.8));
        for request in self.cluster.ask(leader, [Ask::Transfer(to)]) {
            self.asked.insert(request, Asked::Transfer);
        }
    }

    /// A voter loses its disk, and comes back as somebody else, if the others can do without it.
    pub(super) fn lose_disk(&mut self, node: NodeId) {
        if !self.members.proven || !self.can_serve(Some(node), None) {
            return;
        }
        self.cluster.destroy(node);
        self.members.lost.insert(node);
        if self.cluster.ids().len() < MOST_NODES {
            self.join(self.next_life(node));
        }
    }

    /// After the trouble: whoever lost its disk is replaced, and no change is left half done.
    pub(super) fn settle_members(&mut self) {
        for _ in 0..4 + self.members.lost.len() {
            self.stop_strangers();
            self.run_for(super::LONG);
            if self.some_leader(self.draw).is_none() {
                self.stop_all_strangers();
                self.run_for(super::LONG);
            }
            let leader = self.some_leader(self.draw).expect("there is a leader");
            let status = self.cluster.replica(leader).expect("a leader is up").status();
            assert!(!status.changing, "a change of the members never ends: {status:?}");
            let present = self.configuration_at(leader);
            let Some(&lost) =
                present.members().iter().find(|node| self.members.lost.contains(node))
            else {
                return;
            };
            let new = self.newcomer(lost.reborn(), &present, None);
            self.cluster.restart(new);
            let change = match present.is_learner(lost) {
                true => Change { learn: vec![new], remove: vec![lost], ..Change::default() },
                false => Change::replace(lost, new),
            };
            let target = present.changed(&change).expect("a replacement makes sense");
            // A newcomer that comes with a later epoch makes the leader give up; then it asks again.
            self.ask_change(leader, change, target);
            self.run_for(super::LONG);
        }
        panic!("whoever lost its disk is still a member");
    }

    /// Takes every change of which nothing was heard for failed, and stops its newcomers as well.
    pub(super) fn stop_all_strangers(&mut self) {
        self.members.attempts.clear();
        self.stop_strangers();
    }

    /// Whoever is no member and does not know it campaigns for ever. Voters who are loyal to their
    /// leader do not heed it (Raft dissertation §4.2.3); where they are not, the administrator stops
    /// whom he removed.
    fn stop_strangers(&mut self) {
        let ids = self.cluster.ids();
        let commit = |node: &NodeId| self.cluster.replica(*node).map(|one| one.status().commit);
        let Some(best) = ids.iter().copied().max_by_key(commit) else { return };
        let present = self.configuration_at(best);
        for node in ids {
            // A change of which nothing is known may yet come true, and make it a member.
            let may_join = self.members.attempts.values().any(|target| target.contains(node));
            if present.contains(node) {
                self.cluster.restart(node);
            } else if !self.settings.pre_vote && !may_join {
                self.cluster.crash(node, 0);
            }
        }
    }

    /// The members as a replica knows them.
    pub(super) fn configuration_at(&self, node: NodeId) -> Configuration {
        let status = self.cluster.replica(node).map(Protocol::status).unwrap_or_default();
        Configuration { learners: status.learners, ..Configuration::of(status.members) }
    }

    fn ask_change(&mut self, node: NodeId, change: Change, target: Configuration) {
        for request in self.cluster.ask(node, [Ask::Reconfigure(change)]) {
            self.asked.insert(request, Asked::Change);
            if !target.is_empty() {
                self.members.attempts.insert(request, target.clone());
            }
        }
        self.watch();
    }

    /// A change that makes sense, mostly.
    fn some_change(&mut self, draw: Draw, present: &Configuration) -> Change {
        let lost = present.members().into_iter().find(|node| self.members.lost.contains(node));
        if let Some(lost) = lost.filter(|_| draw.of("lost").chance(0.7)) {
            return Change::replace(lost, self.newcomer(lost.reborn(), present, None));
        }
        let pick = |key, nodes: &[NodeId]| {
            nodes.get(draw.of(key).below(nodes.len() as u64) as usize).copied()
        };
        let voter = |key| pick(key, &present.voters).unwrap_or_default();
        let new = self.newcomer(NodeId(draw.of("new").below(MOST_NODES as u64) + 1), present, None);
        match draw.of("change").below(8) {
            0 | 1 => Change::add([new]),
            2 => Change::remove([voter("leaves")]),
            3 => Change::replace(voter("leaves"), new),
            4 => {
                let mut change = Change::replace(voter("leaves"), new);
                let other = self.newcomer(new.reborn(), present, Some(new));
                if other != new {
                    change.add.push(other);
                }
                let also = voter("also leaves");
                if draw.of("two leave").chance(0.5) && !change.remove.contains(&also) {
                    change.remove.push(also);
                }
                change
            }
            5 => Change { learn: vec![new], ..Change::default() },
            6 => match pick("learner", &present.learners) {
                Some(learner) if draw.of("promoted").chance(0.7) => Change::add([learner]),
                Some(learner) => Change::remove([learner]),
                None => Change { learn: vec![voter("demoted")], ..Change::default() },
            },
            _ => Change::remove([NodeId(99)]),
        }
    }

    /// A node that is no member: this one, if it never was, or else one that is there already. One
    /// that is meant to become a member as well stays.
    fn newcomer(
        &mut self,
        wanted: NodeId,
        present: &Configuration,
        also: Option<NodeId>,
    ) -> NodeId {
        let ids = self.cluster.ids();
        let mut idle = ids.iter().copied().filter(|&node| !present.contains(node));
        if idle.clone().any(|node| node == wanted) {
            return wanted;
        }
        if ids.len() >= MOST_NODES {
            if let Some(idle) = idle.find(|&node| Some(node) != also) {
                return idle;
            }
            self.retire(also);
        }
        let new = self.next_life(wanted);
        self.join(new);
        new
    }

    /// This identity, or the first one in its place that nobody ever had.
    fn next_life(&self, node: NodeId) -> NodeId {
        let mut lives = std::iter::successors(Some(node), |node| Some(node.reborn()));
        let new = lives.find(|node| !self.members.named.contains(node));
        new.expect("lives go on for ever")
    }

    /// Takes away those who can no longer be members of anything.
    fn retire(&mut self, stays: Option<NodeId>) {
        let configurations = self.possible();
        for node in self.cluster.ids().into_iter().filter(|&node| Some(node) != stays) {
            if !configurations.iter().any(|configuration| configuration.contains(node)) {
                self.cluster.destroy(node);
            }
        }
    }

    fn join(&mut self, node: NodeId) {
        self.members.named.insert(node);
        let mut settings = Settings { node, ..self.settings.clone() };
        if self.draw.of("knows nobody").at(node.0).chance(0.5) {
            settings.members.clear();
        }
        let config = <W::Protocol as Protocol>::configure(settings).expect("settings that work");
        let clock = self.some_clock(node);
        self.cluster.join(node, config, clock);
    }

    /// Whether the nodes that have a disk can serve, whichever configuration turns out to decide;
    /// without one of them, or with one configuration more.
    pub(super) fn can_serve(&self, without: Option<NodeId>, with: Option<&Configuration>) -> bool {
        let ids = self.cluster.ids();
        let is_there = |node: NodeId| ids.contains(&node) && Some(node) != without;
        let possible = self.possible();
        possible
            .iter()
            .chain(with)
            .all(|configuration| W::can_decide(&self.settings, configuration, &is_there))
    }

    /// Who is out may be taken away once a change is done, and not before.
    pub(super) fn assert_done_for_good(&self, request: RequestId, outcome: &Outcome) {
        let Some(target) = self.members.attempts.get(&request) else { return };
        let ids = self.cluster.ids();
        // Nobody knows what was on a disk that is gone.
        if *outcome != Outcome::Done || !target.voters.iter().all(|voter| ids.contains(voter)) {
            return;
        }
        let noted = self.members.noted.iter().rev().find(|(_, noted)| noted.contains(target));
        let from = noted.map_or(0, |(from, _)| *from);
        assert!(self.stands_alone(from, target), "{target} is said to decide alone from {from} on");
    }

    fn stands_alone(&self, from: Index, configuration: &Configuration) -> bool {
        let ids = self.cluster.ids();
        let disk = |node| ids.contains(&node).then(|| self.cluster.disk(node).durable().clone());
        W::stands_alone(&self.settings, from, configuration, &disk)
    }

    /// Every configuration that may yet decide something: the last one that is certain to have come
    /// into force and needs nobody else, whatever was noted of later ones, and where unanswered changes lead.
    fn possible(&self) -> Vec<Configuration> {
        let applied = self.cluster.judge().applied();
        let next = applied.last_key_value().map_or(1, |(index, _)| index + 1);
        let mut decided = BTreeMap::from([(0, Configuration::of(self.settings.members.clone()))]);
        for (&index, payload) in applied {
            if let Some(configuration) = payload.configuration() {
                decided.insert(W::governs_from(&self.settings, index), configuration.clone());
            }
        }
        let alone =
            decided.range(..=next).rev().find(|&(&from, last)| self.stands_alone(from, last));
        let from = alone.map_or(0, |(from, _)| *from);
        let later = decided.split_off(&from).into_values();
        let noted = self.members.noted.range(from..).flat_map(|(_, noted)| noted.iter().cloned());
        later.chain(noted).chain(self.members.attempts.values().cloned()).collect()
    }
}
