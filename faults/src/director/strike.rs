//! Carrying out one trial: what begins with it, goes on during it, and ends with it.

use std::time::Duration;

use consensus_core::{NodeId, Time};

use super::{
    Action, Deed, Director, Effect, Phase, Trial,
    holds::{Manner, TrialKey},
    progress::State,
};
use crate::{
    links::{LinkRule, LinkRules},
    schedule::{Ailment, Clock, Disk, Fate, Fault, Link, Partition, Restart, Slow},
};

/// How long link rules outlive the planned end of their faults, should the harness die meanwhile.
const EXPIRY_MARGIN: Duration = Duration::from_secs(30);

/// How long link rules are in force that have no end, unless they are renewed.
const ENDLESS: Duration = Duration::from_secs(600);

/// A fault in force.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) key: TrialKey,
    pub(super) step: usize,
    /// When it ends; `None` if another step or the end of the run undoes it.
    pub(super) ends: Option<Time>,
    /// How late it struck.
    late: Duration,
    /// When a slowed process stops or goes on next.
    beat: Option<Beat>,
    /// When a replica that lost its disk comes back; `None` once it has, or if none has lost it.
    pub(super) rebirth: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
struct Beat {
    at: Time,
    frozen: bool,
}

impl Running {
    /// What is to be done about it, and when.
    pub fn deeds(&self) -> impl Iterator<Item = (Time, Deed)> + use<> {
        let end = self.ends.map(|at| (at, Deed::End(self.key)));
        let beat = self.beat.map(|beat| (beat.at, Deed::Beat(self.key)));
        let rebirth = self.rebirth.map(|at| (at, Deed::Rebirth(self.key)));
        end.into_iter().chain(beat).chain(rebirth)
    }

    /// Whether it lasts until another step or the end of the run undoes it.
    pub const fn never_ends(&self) -> bool {
        self.ends.is_none()
    }
}

impl Director {
    /// Begins a trial and records it.
    pub(super) fn begin(
        &mut self,
        step: usize,
        trial: Trial,
        now: Time,
        late: Duration,
        actions: &mut Vec<Action>,
    ) {
        let ends = self.ends(step, &trial, now);
        let key = self.trials.len();
        let nodes = trial.nodes.clone();
        self.trials.push(Trial { ended: None, answer: None, ..trial });
        self.running.push(Running { key, step, ends, late, beat: None, rebirth: None });
        let effects = self.strike(key, step, &nodes, now);
        self.tell(key, Phase::Begin, effects, actions);
        if ends.is_none() {
            // Nothing waits for the end of what has none.
            self.advance(step, late, now);
        } else if ends == Some(now) {
            self.end(key, now, actions);
        }
    }

    /// When a trial ends; `None` if another step or the end of the run undoes it.
    fn ends(&self, step: usize, trial: &Trial, now: Time) -> Option<Time> {
        let step = &self.schedule.steps[step];
        // A replayed trial ends when it ended.
        let literal =
            trial.ended.zip(trial.began).map(|(ended, began)| ended.saturating_sub(began));
        let lasts = literal.or(step.lasts).unwrap_or_default();
        // What an administrator asks for ends with the answer, or with the patience.
        let lasts = match step.fault {
            Fault::Reconfigure(_) | Fault::Transfer(_) => self.schedule.patience,
            _ if step.fault.kind().loses_disk() => lasts + self.schedule.patience,
            _ => lasts,
        };
        (!step.never_ends()).then(|| now + lasts)
    }

    fn strike(&mut self, key: TrialKey, step: usize, nodes: &[NodeId], now: Time) -> Vec<Effect> {
        let fault = self.schedule.steps[step].fault.clone();
        if fault.kind().loses_disk() {
            self.expect_rebirth(key, step, now);
        }
        match fault {
            Fault::Restart(Restart { disk: Fate::Kept, .. }) => {
                self.bring_down(key, nodes, Manner::Stop)
            }
            Fault::Crash(_) | Fault::Restart(_) => self.bring_down(key, nodes, Manner::Kill),
            Fault::Delete(_) => self.bring_down(key, nodes, Manner::Delete),
            Fault::Pause(_) => self.holds.hold_frozen(key, nodes),
            Fault::Slow(slow) => {
                self.set_beat(key, Beat { at: now + frozen_part(&slow), frozen: true });
                self.holds.hold_frozen(key, nodes)
            }
            Fault::Load(_) => vec![self.load_factor()],
            Fault::Partition(_) | Fault::Link(_) => vec![self.link_rules(now)],
            Fault::Put(put) => vec![Effect::Put { key: put.key, value: put.value }],
            Fault::Reconfigure(_) => self.reconfigure(key),
            Fault::Transfer(_) => self.transfer(key),
            Fault::Disk(Disk { effect: Ailment::Rot, .. }) => {
                let mut effects = self.bring_down(key, nodes, Manner::Kill);
                effects.push(Effect::Damage(nodes.to_vec()));
                effects
            }
            Fault::Disk(_) => self.disk_rules(nodes),
            Fault::Clock(clock) => match clock.jump {
                Some(by) => vec![Effect::ClockJump { nodes: nodes.to_vec(), by }],
                None => self.clock_rates(nodes),
            },
        }
    }

    /// Replicas lose their disks, and are gone for good: others come in their places when the step's
    /// `for` is over.
    fn expect_rebirth(&mut self, key: TrialKey, step: usize, now: Time) {
        let lasts = self.schedule.steps[step].lasts.unwrap_or_default();
        if let Some(running) = self.running.iter_mut().find(|running| running.key == key) {
            running.rebirth = Some(now + lasts);
        }
        self.lost.extend(self.trials[key].nodes.iter().copied());
    }

    fn bring_down(&mut self, key: TrialKey, nodes: &[NodeId], manner: Manner) -> Vec<Effect> {
        for &node in nodes {
            self.stirred |= self.view.down(node);
        }
        self.holds.hold_down(key, nodes, manner)
    }

    /// Ends a trial, and lets its step go on.
    pub(super) fn end(&mut self, key: TrialKey, now: Time, actions: &mut Vec<Action>) {
        self.rebirth(key, now, actions);
        let Some(position) = self.running.iter().position(|running| running.key == key) else {
            return;
        };
        let Running { step, late, ends, .. } = self.running.remove(position);
        let nodes = self.trials[key].nodes.clone();
        self.trials[key].ended = Some(self.offset(self.released(step, &nodes, now)));
        let effects = match &self.schedule.steps[step].fault {
            // Somebody else has come in the place already.
            fault if fault.kind().loses_disk() => Vec::new(),
            Fault::Crash(_) | Fault::Delete(_) => self.bring_up(&[key], &nodes, now),
            Fault::Disk(_) => {
                let mut effects = self.disk_rules(&nodes);
                effects.extend(self.bring_up(&[key], &nodes, now));
                effects
            }
            Fault::Clock(Clock { jump: Some(_), .. }) => Vec::new(),
            Fault::Clock(_) => self.clock_rates(&nodes),
            Fault::Restart(_) => {
                let undone = self.endless();
                self.bring_up(&[&undone[..], &[key]].concat(), &nodes, now)
            }
            Fault::Pause(_) | Fault::Slow(_) => self.holds.release_frozen(key, &nodes),
            Fault::Load(_) => vec![self.load_factor()],
            Fault::Partition(_) | Fault::Link(_) => vec![self.link_rules(now)],
            Fault::Put(_) | Fault::Transfer(_) => Vec::new(),
            Fault::Reconfigure(_) => {
                self.uncertain |= self.trials[key].answer.is_none();
                Vec::new()
            }
        };
        self.tell(key, Phase::End, effects, actions);
        if ends.is_some() {
            self.advance(step, late, now);
        }
    }

    /// When a trial was really over that ends now: whoever was killed may be back already, where
    /// nobody can be held away.
    fn released(&self, step: usize, nodes: &[NodeId], now: Time) -> Time {
        let kills = matches!(self.schedule.steps[step].fault, Fault::Crash(_) | Fault::Delete(_));
        self.holds.back(nodes).filter(|_| kills).unwrap_or(now)
    }

    /// The crashes in force that have no end of their own.
    fn endless(&self) -> Vec<TrialKey> {
        self.running
            .iter()
            .filter(|running| running.never_ends())
            .filter(|running| matches!(self.schedule.steps[running.step].fault, Fault::Crash(_)))
            .map(|running| running.key)
            .collect()
    }

    /// Ends these trials' holds on replicas; a crash without an end is over once it holds nobody.
    pub(super) fn bring_up(
        &mut self,
        keys: &[TrialKey],
        nodes: &[NodeId],
        now: Time,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        for &key in keys {
            let since = self.holds.back(&self.trials[key].nodes);
            effects.extend(self.holds.release_down(key, nodes));
            let over = self.running.iter().position(|running| running.key == key);
            if let Some(position) = over.filter(|_| !self.holds.holds_down(key)) {
                self.running.remove(position);
                self.trials[key].ended = Some(self.offset(since.unwrap_or(now)));
            }
        }
        for effect in &effects {
            if let Effect::Start(started) = effect {
                started.iter().for_each(|&node| self.stirred |= self.view.up(node));
            }
        }
        effects
    }

    /// A slowed process stops, or goes on, for its part of the period.
    pub(super) fn beat(&mut self, key: TrialKey, now: Time, actions: &mut Vec<Action>) {
        let Some(running) = self.running.iter().find(|running| running.key == key) else { return };
        let (Fault::Slow(slow), Some(beat)) =
            (&self.schedule.steps[running.step].fault, running.beat)
        else {
            return;
        };
        let frozen = frozen_part(slow);
        let part = if beat.frozen { slow.period - frozen } else { frozen };
        // Whoever polls late must not be made to catch up beat by beat.
        let next = Beat { at: (beat.at + part).max(now + part / 2), frozen: !beat.frozen };
        self.set_beat(key, next);
        let nodes = self.trials[key].nodes.clone();
        let effects = if beat.frozen {
            self.holds.release_frozen(key, &nodes)
        } else {
            self.holds.hold_frozen(key, &nodes)
        };
        self.tell(key, Phase::During, effects, actions);
    }

    fn set_beat(&mut self, key: TrialKey, beat: Beat) {
        if let Some(running) = self.running.iter_mut().find(|running| running.key == key) {
            running.beat = Some(beat);
        }
    }

    /// Lets a step go on to its next trial; in a replay no step goes anywhere.
    fn advance(&mut self, step: usize, late: Duration, now: Time) {
        if self.steps[step].state == State::Running {
            self.steps[step].next(&self.schedule.steps[step], self.seed, late, now);
        }
    }

    /// Begins the next trial of the script, or records again that it was missed.
    pub(super) fn replay_next(&mut self, now: Time, actions: &mut Vec<Action>) {
        let Some(literal) = self.script.pop_front() else { return };
        let step = self.schedule.steps.iter().position(|step| step.id == literal.step);
        match step {
            Some(step) if literal.began.is_some() => {
                let leader = self.view.leader().map(|reign| reign.node);
                let began = Some(self.offset(now));
                // The span between the two is what counts from here on.
                let shift = self.offset(now).saturating_sub(literal.began.unwrap_or_default());
                let ended = literal.ended.map(|ended| ended + shift);
                let trial = Trial { began, ended, leader, ..self.cast.of(literal, leader) };
                self.begin(step, trial, now, Duration::ZERO, actions);
            }
            _ => self.trials.push(literal),
        }
    }

    /// The product of all load factors in force.
    fn load_factor(&self) -> Effect {
        let factors = self.running.iter().filter_map(|running| {
            match &self.schedule.steps[running.step].fault {
                Fault::Load(surge) => Some(surge.factor),
                _ => None,
            }
        });
        Effect::LoadFactor(factors.product())
    }

    /// The union of all link faults in force.
    pub(super) fn link_rules(&self, now: Time) -> Effect {
        let mut rules = Vec::new();
        let mut last_end = now;
        for running in &self.running {
            let life = |node| self.view.life(node);
            let links = self.trials[running.key].links.iter();
            let links: Vec<_> = links.map(|&(from, to)| (life(from), life(to))).collect();
            let links = self.links_hit(&links).into_iter();
            match &self.schedule.steps[running.step].fault {
                Fault::Partition(Partition { channel, .. }) => {
                    rules.extend(links.map(|(from, to)| LinkRule {
                        channel: channel.filter(|_| self.core.is_none()),
                        ..LinkRule::cut(from, to)
                    }))
                }
                Fault::Link(link) => rules.extend(links.map(|ends| LinkRule {
                    channel: link.channel.filter(|_| self.core.is_none()),
                    ..rule(link, ends)
                })),
                _ => continue,
            }
            last_end = last_end.max(running.ends.unwrap_or(now + ENDLESS));
        }
        let expires_in = last_end.since(now) + EXPIRY_MARGIN;
        Effect::Links(LinkRules { seed: self.seed, expires_in, rules })
    }

    /// Puts effects on the list, as this trial's; a replica that starts frozen is no ending.
    pub(super) fn tell(
        &self,
        key: TrialKey,
        phase: Phase,
        effects: Vec<Effect>,
        actions: &mut Vec<Action>,
    ) {
        let trial = &self.trials[key];
        actions.extend(effects.into_iter().map(|effect| {
            let renewed = phase == Phase::End && matches!(effect, Effect::Pause(_));
            let phase = if renewed { Phase::During } else { phase };
            Action { step: trial.step.clone(), trial: trial.trial, phase, effect }
        }));
    }
}

/// How long of each period a slowed process is frozen.
fn frozen_part(slow: &Slow) -> Duration {
    slow.period.mul_f64(1.0 - slow.share)
}

/// A link fault's rule for one link.
const fn rule(link: &Link, (from, to): (NodeId, NodeId)) -> LinkRule {
    LinkRule {
        from,
        to,
        channel: link.channel,
        drop: link.drop,
        duplicate: link.duplicate,
        reorder: link.reorder,
        corrupt: link.corrupt,
        delay: link.delay.middle,
        jitter: link.delay.spread,
        bandwidth_bytes_per_s: link.bandwidth,
    }
}
