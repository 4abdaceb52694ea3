//! A toy cluster in virtual time: no protocol, but leaders that fall when they are hurt and rise a
//! while later, commits and acknowledgements. Enough for a director to direct.

#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use consensus_core::{Configuration, Epoch, Event, NodeId, Time};
use faults::{
    Action, Answer, Director, DiskRules, Effect, LinkRules, Observation, Schedule, Trial,
    director::TrialKey,
};

/// From the loss of a leader to the next.
const ELECTION: Duration = Duration::from_millis(200);

/// Until an administrator hears that it is done.
pub const ANSWER: Duration = Duration::from_millis(300);

/// Between two commits.
const COMMIT: Duration = Duration::from_millis(20);

/// No run takes longer.
const LIMIT: Time = Time(600_000_000_000);

/// The cluster.
pub struct Toy {
    pub members: Vec<NodeId>,
    pub down: BTreeSet<NodeId>,
    pub frozen: BTreeSet<NodeId>,
    pub rules: LinkRules,
    /// What is wrong with whose disk.
    pub disks: BTreeMap<NodeId, DiskRules>,
    /// Whose disk holds a damaged record.
    pub damaged: BTreeSet<NodeId>,
    /// Whose clock runs at which rate.
    pub clocks: BTreeMap<NodeId, i32>,
    pub factor: f64,
    pub puts: Vec<(String, String)>,
    pub leader: Option<NodeId>,
    /// Everybody who was started, members or not.
    pub present: Vec<NodeId>,
    /// The administrator's errands, and when each is answered what.
    answers: Vec<(Time, TrialKey, Answer)>,
    /// An administrator did not learn what came of a change: the director may not know who the members are.
    in_doubt: bool,
    /// Which replicas every new leader is chosen from first: protocols differ in whom they elect.
    favourite: u64,
    round: u64,
    commit: u64,
    next_commit: Time,
    election: Option<Time>,
}

/// What a run left behind.
pub struct Run {
    pub director: Director,
    pub toy: Toy,
    pub actions: Vec<(Time, Action)>,
    pub leaders: Vec<(Time, NodeId)>,
    pub ended: Time,
}

impl Run {
    pub fn trials(&self) -> &[Trial] {
        self.director.trials()
    }

    /// Whether nothing is wrong any more with those who were healed: everybody, or a core.
    pub fn is_healed(&self) -> bool {
        let Some(core) = self.director.core() else { return self.toy.healthy() };
        let Toy { down, frozen, disks, clocks, rules, .. } = &self.toy;
        let is_well = |node: &NodeId| {
            let slow = disks.get(node).is_some_and(|rules| !rules.is_clean());
            !(down.contains(node) || frozen.contains(node) || slow || clocks.contains_key(node))
        };
        let inside = |from, to| core.contains(&from) && core.contains(&to);
        core.iter().all(is_well)
            && !rules.rules.iter().any(|rule| inside(rule.from, rule.to))
            && self.toy.factor == 1.0
    }

    /// The effects of one step, with their times since the start of the run.
    pub fn effects(&self, step: &str) -> Vec<(u64, Effect)> {
        let own = self.actions.iter().filter(|(_, action)| action.step == step);
        own.map(|(at, action)| (at.0 / 1_000_000, action.effect.clone())).collect()
    }
}

pub fn members(count: usize) -> Vec<NodeId> {
    (1..=count as u64).map(NodeId).collect()
}

/// Runs a schedule to its end.
pub fn run(schedule: &Schedule, seed: u64) -> Run {
    let members = members(schedule.nodes.get());
    run_director(Director::new(schedule, seed, &members), members, 0)
}

/// Lets a director direct to the end. The favourite decides whom this cluster elects.
pub fn run_director(mut director: Director, members: Vec<NodeId>, favourite: u64) -> Run {
    let mut toy = Toy {
        down: BTreeSet::new(),
        frozen: BTreeSet::new(),
        rules: LinkRules::default(),
        disks: BTreeMap::new(),
        damaged: BTreeSet::new(),
        clocks: BTreeMap::new(),
        factor: 1.0,
        puts: Vec::new(),
        leader: None,
        present: members.clone(),
        answers: Vec::new(),
        in_doubt: false,
        favourite,
        round: 0,
        commit: 0,
        next_commit: Time(0),
        election: Some(Time(0)),
        members,
    };
    let (mut actions, mut leaders, mut now) = (Vec::new(), Vec::new(), Time(0));
    director.observe(now, Observation::Ready);
    while !director.finished() {
        toy.live(now, &mut director, &mut leaders);
        for action in director.poll(now) {
            toy.obey(now, &action.effect, &mut director);
            actions.push((now, action));
        }
        if director.next_wakeup().is_some_and(|at| at <= now) {
            continue;
        }
        let next = [director.next_wakeup(), toy.election, Some(toy.next_commit)];
        now = next.into_iter().flatten().min().expect("commits go on for ever").max(now);
        assert!(now < LIMIT, "the run never ends: {:?}", director.trials());
    }
    Run { director, toy, actions, leaders, ended: now }
}

impl Toy {
    fn live(&mut self, now: Time, director: &mut Director, leaders: &mut Vec<(Time, NodeId)>) {
        self.fall(now, director);
        if self.leader.is_some_and(|leader| !self.able(leader)) {
            self.leader = None;
            self.election = Some(now + ELECTION);
        }
        if self.election.is_some_and(|at| at <= now) {
            self.elect(now, director, leaders);
        }
        let due: Vec<_> = self.answers.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, errand, answer) in due {
            director.observe(now, Observation::Answered { errand, answer: &answer });
        }
        if self.next_commit <= now {
            self.next_commit = now + COMMIT;
            if let Some(node) = self.leader {
                self.commit += 1;
                let epoch = Epoch::term(self.round);
                let event = Event::Committed {
                    epoch,
                    from: self.commit,
                    to: self.commit,
                    has_command: true,
                };
                director.observe(now, Observation::Event { node, event: &event });
                director.observe(now, Observation::Acknowledged { node });
            }
        }
    }

    /// Whoever's disk fails ends by itself: everybody writes all the time.
    fn fall(&mut self, now: Time, director: &mut Director) {
        let failing = self.disks.iter().filter(|(_, rules)| rules.fails.is_some());
        let falls = failing.map(|(&node, _)| node).filter(|&node| self.runs(node));
        for node in falls.collect::<Vec<_>>() {
            self.down.insert(node);
            director.observe(now, Observation::Down { node });
        }
    }

    fn elect(&mut self, now: Time, director: &mut Director, leaders: &mut Vec<(Time, NodeId)>) {
        let count = self.members.len() as u64;
        let order = (0..count).map(|n| self.members[((n + self.favourite) % count) as usize]);
        let Some(node) = order.into_iter().find(|&node| self.able(node)) else {
            self.election = Some(now + ELECTION);
            return;
        };
        self.election = None;
        self.round += 1;
        let epoch = Epoch::term(self.round);
        let voter = self.members.iter().copied().find(|&other| other != node && self.runs(other));
        let voted = voter.map(|voter| (voter, Event::Voted { epoch, candidate: node }));
        let events = [(node, Event::Campaigning { epoch })].into_iter().chain(voted);
        for (node, event) in events.chain([(node, Event::Elected { epoch })]) {
            director.observe(now, Observation::Event { node, event: &event });
        }
        self.leader = Some(node);
        leaders.push((now, node));
    }

    fn runs(&self, node: NodeId) -> bool {
        !self.down.contains(&node) && !self.frozen.contains(&node)
    }

    /// Whether a replica can lead: it runs, and talks with a quorum both ways.
    fn able(&self, node: NodeId) -> bool {
        let cut = |from, to| {
            self.rules.rules.iter().any(|rule| rule.from == from && rule.to == to && rule.is_cut())
        };
        let peers = self.members.iter().filter(|&&peer| {
            peer == node || (self.runs(peer) && !cut(node, peer) && !cut(peer, node))
        });
        let votes = self.members.contains(&node);
        votes && self.runs(node) && peers.count() > self.members.len() / 2
    }

    /// Does what it is told, and insists that it can be done.
    fn obey(&mut self, now: Time, effect: &Effect, director: &mut Director) {
        match effect {
            Effect::Crash(nodes) | Effect::Stop(nodes) => {
                for &node in nodes {
                    assert!(self.down.insert(node), "node {node} is brought down twice");
                    let thawed = self.frozen.remove(&node);
                    assert!(
                        !thawed || matches!(effect, Effect::Crash(_)),
                        "a frozen node is stopped"
                    );
                    director.observe(now, Observation::Down { node });
                }
            }
            Effect::Delete(nodes) => {
                for &node in nodes {
                    self.down.insert(node);
                    self.frozen.remove(&node);
                    // It may be back before anybody looks, and leads no more.
                    if self.leader == Some(node) {
                        self.leader = None;
                        self.election = Some(now + ELECTION);
                    }
                    director.observe(now, Observation::Down { node });
                }
            }
            Effect::Start(nodes) => {
                for &node in nodes {
                    assert!(self.down.remove(&node), "node {node} is started twice");
                    assert!(!self.damaged.contains(&node), "node {node} votes over its damage");
                    director.observe(now, Observation::Up { node });
                }
            }
            Effect::Pause(nodes) => {
                for &node in nodes {
                    assert!(!self.down.contains(&node), "dead node {node} is frozen");
                    assert!(self.frozen.insert(node), "node {node} is frozen twice");
                }
            }
            Effect::Resume(nodes) => {
                for &node in nodes {
                    assert!(self.frozen.remove(&node), "node {node} is thawed twice");
                }
            }
            Effect::Links(rules) => self.rules = rules.clone(),
            Effect::LoadFactor(factor) => self.factor = *factor,
            Effect::Put { key, value } => self.puts.push((key.clone(), value.clone())),
            Effect::Deploy(nodes) => {
                for &node in nodes {
                    let gone = self.present.iter().position(|old| old.place() == node.place());
                    if let Some(old) = gone.map(|at| self.present.remove(at)) {
                        assert!(self.down.remove(&old), "node {node} pushes {old} aside");
                        self.disks.remove(&old);
                        self.clocks.remove(&old);
                        self.damaged.remove(&old);
                    }
                    self.present.push(node);
                    director.observe(now, Observation::Up { node });
                }
            }
            Effect::Reconfigure { errand, change, within } => {
                for node in &change.remove {
                    let known = self.in_doubt || self.members.contains(node);
                    assert!(known, "{node} leaves, who is no member");
                }
                for node in &change.add {
                    assert!(self.present.contains(node), "{node} comes, who is not there");
                }
                let asked = Configuration::of(self.members.iter().copied());
                // A change that leaves nobody (a shrunk cluster may be of one) is never done.
                if let Ok(changed) = asked.changed(change) {
                    self.members = changed.voters;
                    let (after, answer) = match within {
                        Some(within) if *within < ANSWER => {
                            (*within, Answer::Unknown("there was no time".into()))
                        }
                        _ => (ANSWER, Answer::Done),
                    };
                    self.in_doubt |= answer != Answer::Done;
                    self.answers.push((now + after, *errand, answer));
                }
            }
            Effect::Disk { node, rules } => {
                assert!(self.present.contains(node), "node {node} has no disk");
                self.disks.insert(*node, rules.clone());
            }
            Effect::Damage(nodes) => {
                for &node in nodes {
                    assert!(self.down.contains(&node), "node {node} runs on its damaged disk");
                    assert!(self.damaged.insert(node), "node {node} is damaged twice");
                }
            }
            Effect::StartDamaged(nodes) => {
                assert!(nodes.iter().all(|node| self.damaged.contains(node)));
            }
            Effect::ClockJump { .. } => {}
            Effect::ClockRate { node, ppm: Some(ppm) } => {
                self.clocks.insert(*node, *ppm);
            }
            Effect::ClockRate { node, ppm: None } => {
                assert!(self.clocks.remove(node).is_some(), "node {node} has a right clock");
            }
            Effect::Transfer { errand, to, .. } => {
                self.leader = to.filter(|&to| self.able(to)).or(self.leader);
                self.answers.push((now + ANSWER, *errand, Answer::Done));
            }
        }
    }

    /// Whether nothing is wrong any more.
    pub fn healthy(&self) -> bool {
        self.down.is_empty()
            && self.frozen.is_empty()
            && self.rules.is_clean()
            && self.disks.values().all(DiskRules::is_clean)
            && self.damaged.is_empty()
            && self.clocks.is_empty()
            && self.factor == 1.0
    }
}

/// How often each kind struck.
pub fn kinds(run: &Run) -> BTreeMap<faults::Kind, u32> {
    let mut counts = BTreeMap::new();
    for trial in run.trials().iter().filter(|trial| trial.began.is_some()) {
        *counts.entry(trial.kind).or_default() += 1;
    }
    counts
}
