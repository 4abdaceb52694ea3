//! From a schedule to actions: who is hurt, when, and when it is healed.
//!
//! A [`Director`] is a pure state machine. It is told what happens in the cluster
//! ([`Director::observe`]) and asked what to do ([`Director::poll`]); what drives it carries the
//! [`Action`]s out at once. The loop is the same in virtual and in real time:
//!
//! 1. hand it every [`Observation`], in order;
//! 2. whenever [`Director::next_wakeup`] is due, poll it and carry out what it says;
//! 3. until it has [finished](Director::finished).
//!
//! # Rules
//!
//! - Nothing happens before [`Observation::Ready`]; all times of the record count from it.
//! - The trials of one step never overlap; different steps may, and then their faults compose.
//! - A step whose target does not exist when it is due (no leader is known) waits until it does.
//! - What waits in vain for longer than the schedule's patience is given up and recorded as missed.
//! - Disks are lost and members changed one at a time: until one change is done, the next waits.
//! - When all steps are over, everything is healed, or a core is ([`Heal`](crate::schedule::Heal));
//!   the run goes on for the schedule's `settle`.

mod action;
mod cast;
mod errands;
mod hardware;
mod heal;
mod holds;
mod listen;
mod pick;
mod progress;
mod resolved;
mod strike;
mod view;

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use consensus_core::{Epoch, NodeId, Time};

pub use action::{Action, Answer, Effect, Observation, Phase};
pub use cast::Cast;
pub use holds::TrialKey;
pub use resolved::{Missed, Resolved, Trial};

use crate::schedule::{Resolve, Schedule};
use holds::Holds;
use pick::{Picker, Picks};
use progress::{Progress, State};
use strike::Running;
use view::View;

/// Directs the faults of one run.
#[derive(Clone, Debug)]
pub struct Director {
    schedule: Schedule,
    seed: u64,
    view: View,
    holds: Holds,
    /// When the cluster served.
    ready: Option<Time>,
    /// When everything was healed, or the core.
    healed: Option<Time>,
    /// When a replayed run was healed, since it served.
    healed_then: Option<Duration>,
    /// Who was healed, if not everybody.
    core: Option<Vec<NodeId>>,
    /// Who was, in the run that is replayed.
    core_then: Option<Vec<NodeId>>,
    /// One for each step of the schedule; all over from the start in a replay.
    steps: Vec<Progress>,
    /// The trials still to be replayed, in the order in which they began.
    script: VecDeque<Trial>,
    /// Whom the script's trials hit.
    cast: Cast,
    /// The faults in force.
    running: Vec<Running>,
    /// Voters whose disks are gone, until others have taken their place.
    lost: BTreeSet<NodeId>,
    /// Whether the members may be others than is known here.
    uncertain: bool,
    /// Every trial that began or was given up.
    trials: Vec<Trial>,
    /// The latest time that it was told.
    now: Time,
    /// When there is something to do next, unless `stirred`.
    wakeup: Option<Time>,
    /// Something was observed that may let a waiting step go on.
    stirred: bool,
}

/// What is to be done next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Deed {
    /// A fault ends: before others begin at the same time.
    End(TrialKey),
    /// A slowed process's rhythm goes on.
    Beat(TrialKey),
    /// A replica that lost its disk comes back as somebody new.
    Rebirth(TrialKey),
    /// A trial of this step begins.
    Begin(usize),
    /// The next trial of the script begins.
    Replay,
}

impl Director {
    /// Directs this schedule, with what the seed draws, against these members.
    pub fn new(schedule: &Schedule, seed: u64, members: &[NodeId]) -> Self {
        let steps = schedule.steps.iter().map(|_| Progress::new()).collect();
        Self::with_steps(schedule, seed, members, steps)
    }

    /// Repeats what a schedule turned out to be in an earlier run: the same replicas at the same
    /// times, whatever part they play now.
    pub fn replay(resolved: &Resolved, members: &[NodeId]) -> Self {
        let over = Progress { state: State::Over, ..Progress::new() };
        let steps = vec![over; resolved.schedule.steps.len()];
        Self {
            script: resolved.trials.iter().cloned().collect(),
            healed_then: resolved.healed,
            core_then: resolved.core.clone(),
            ..Self::with_steps(&resolved.schedule, resolved.seed, members, steps)
        }
    }

    /// The same replay, with this cast.
    #[must_use]
    pub fn with_cast(self, cast: Cast) -> Self {
        Self { cast, ..self }
    }

    fn with_steps(
        schedule: &Schedule,
        seed: u64,
        members: &[NodeId],
        steps: Vec<Progress>,
    ) -> Self {
        assert!(!members.is_empty(), "a cluster without members has nobody to hurt");
        Self {
            schedule: schedule.clone(),
            seed,
            view: View::new(members),
            holds: Holds::new(members),
            ready: None,
            healed: None,
            healed_then: None,
            core: None,
            core_then: None,
            steps,
            script: VecDeque::new(),
            cast: Cast::default(),
            running: Vec::new(),
            lost: BTreeSet::new(),
            uncertain: false,
            trials: Vec::new(),
            now: Time::ZERO,
            wakeup: None,
            stirred: false,
        }
    }

    /// What to do now, in order. Harmless to call too often; called late, it does late what it
    /// should have done, and says so in its record.
    pub fn poll(&mut self, now: Time) -> Vec<Action> {
        self.now = self.now.max(now);
        let mut actions = Vec::new();
        let asleep = !self.stirred && self.wakeup.is_none_or(|wakeup| self.now < wakeup);
        if self.ready.is_none() || asleep {
            return actions;
        }
        let now = self.now;
        // Steps that found nobody to hit: tried again once something has changed.
        let mut blocked = BTreeSet::new();
        self.stirred = false;
        self.listen(now);
        while let Some(deed) = self.next_deed(now, &blocked) {
            match deed {
                Deed::End(key) => self.end(key, now, &mut actions),
                Deed::Beat(key) => self.beat(key, now, &mut actions),
                Deed::Rebirth(key) => self.rebirth(key, now, &mut actions),
                Deed::Begin(step) => {
                    if !self.try_begin(step, now, &mut actions) {
                        blocked.insert(step);
                    }
                }
                Deed::Replay => self.replay_next(now, &mut actions),
            }
            if std::mem::take(&mut self.stirred) {
                blocked.clear();
            }
            self.listen(now);
        }
        if self.healed.is_none() && self.is_over(now) {
            self.heal(now, &mut actions);
        }
        self.stirred = false;
        self.wakeup = self.compute_wakeup();
        actions
    }

    /// Corrects when a trial struck: hurting somebody may take a while, and only whoever did it knows
    /// when it was done. A time before the one at which it was told to be done changes nothing.
    pub fn struck_at(&mut self, step: &str, trial: u32, at: Time) {
        let at = self.offset(at);
        let struck = self.trials.iter_mut().rev();
        let mut struck = struck.filter(|known| known.step == step && known.trial == trial);
        if let Some(known) = struck.next() {
            known.began = known.began.map(|began| began.max(at));
        }
    }

    /// When to poll next; `None` if nothing will happen without another observation.
    pub fn next_wakeup(&self) -> Option<Time> {
        if self.stirred && self.ready.is_some() { Some(self.now) } else { self.wakeup }
    }

    /// Whether the run is over: everything healed, and settled for as long as the schedule says.
    pub fn finished(&self) -> bool {
        self.settled_at().is_some_and(|settled| self.now >= settled)
    }

    /// Heals everything at once and gives up what has not begun: the way out of a run that somebody
    /// interrupts.
    pub fn abort(&mut self, now: Time) -> Vec<Action> {
        self.now = self.now.max(now);
        let mut actions = Vec::new();
        if self.ready.is_some() && self.healed.is_none() {
            for step in 0..self.steps.len() {
                if !matches!(self.steps[step].state, State::Running | State::Over) {
                    self.record_missed(step, Missed::Ended);
                }
                self.steps[step].state = State::Over;
            }
            self.script.clear();
            self.heal_everybody(self.now, &mut actions);
            self.wakeup = self.compute_wakeup();
        }
        actions
    }

    /// The trials that began or were given up so far, in that order.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// When the cluster served: the origin of the record's times.
    pub const fn ready_at(&self) -> Option<Time> {
        self.ready
    }

    /// When everything was healed, or the core.
    pub const fn healed_at(&self) -> Option<Time> {
        self.healed
    }

    /// The majority that was healed, if not everybody was.
    pub fn core(&self) -> Option<&[NodeId]> {
        self.core.as_deref()
    }

    /// Who leads, as far as the director knows, and in which epoch.
    pub fn leader(&self) -> Option<(NodeId, Epoch)> {
        self.view.leader().map(|reign| (reign.node, reign.epoch))
    }

    /// What the schedule turned out to be so far.
    pub fn resolved(&self) -> Resolved {
        Resolved {
            digest: self.schedule.digest(self.seed),
            seed: self.seed,
            healed: self.healed.map(|at| self.offset(at)),
            core: self.core.clone(),
            trials: self.trials.clone(),
            schedule: self.schedule.clone(),
        }
    }

    /// What is due first. What begins, begins now, however long it waited: after all that is due at the
    /// faults in force, or a replay, which knows only when it began, would do it in another order.
    fn next_deed(&self, now: Time, blocked: &BTreeSet<usize>) -> Option<Deed> {
        let is_due = |(at, _): &(Time, Deed)| *at <= now;
        let begins = self.steps.iter().enumerate().filter_map(|(step, progress)| {
            let State::Due { planned, .. } = progress.state else { return None };
            (!blocked.contains(&step)).then_some((planned, Deed::Begin(step)))
        });
        let begins = begins.chain(self.next_replay().map(|at| (at, Deed::Replay)));
        let in_force = self.running.iter().flat_map(Running::deeds).filter(is_due).min();
        in_force.or_else(|| begins.filter(is_due).min()).map(|(_, deed)| deed)
    }

    /// When the next trial of the script begins.
    fn next_replay(&self) -> Option<Time> {
        let trial = self.script.front()?;
        Some(self.ready? + trial.began.unwrap_or_default())
    }

    /// Begins the due trial of a step; false if there is nobody to hit yet.
    fn try_begin(&mut self, step: usize, now: Time, actions: &mut Vec<Action>) -> bool {
        let State::Due { planned, actor } = self.steps[step].state else { return false };
        let safe = self.is_safe(&self.schedule.steps[step].fault);
        let Some(picks) = self.choose(step, actor).filter(|_| safe) else {
            if planned + self.schedule.patience <= now {
                self.miss(step, Missed::NoTarget, now);
            }
            return false;
        };
        if self.schedule.steps[step].resolve() == Resolve::Once {
            self.steps[step].chosen = Some(picks.clone());
        }
        let progress = &mut self.steps[step];
        progress.first = progress.first.or(Some(now));
        progress.state = State::Running;
        let late = now.since(planned);
        let trial = self.new_trial(step, planned, now, picks);
        self.begin(step, trial, now, late, actions);
        true
    }

    fn choose(&self, step: usize, actor: Option<NodeId>) -> Option<Picks> {
        let progress = &self.steps[step];
        if progress.chosen.is_some() {
            return progress.chosen.clone();
        }
        let draw = self.schedule.steps[step].draw(self.seed, progress.trial).of("target");
        let (view, holds) = (&self.view, &self.holds);
        let picker = Picker { view, holds, draw, trial: progress.trial, actor };
        picker.pick(&self.schedule.steps[step].fault)
    }

    fn new_trial(&self, step: usize, planned: Time, now: Time, picks: Picks) -> Trial {
        Trial {
            step: self.schedule.steps[step].id.clone(),
            trial: self.steps[step].trial,
            kind: self.schedule.steps[step].fault.kind(),
            planned: self.offset(planned),
            began: Some(self.offset(now)),
            ended: None,
            missed: None,
            leader: self.view.leader().map(|reign| reign.node),
            added: self.newcomers(&self.schedule.steps[step].fault, &picks.nodes),
            answer: None,
            nodes: picks.nodes,
            links: picks.links,
        }
    }

    fn miss(&mut self, step: usize, why: Missed, now: Time) {
        self.record_missed(step, why);
        self.steps[step].next(&self.schedule.steps[step], self.seed, Duration::ZERO, now);
    }

    fn record_missed(&mut self, step: usize, why: Missed) {
        let planned = match self.steps[step].state {
            State::Due { planned, .. } => planned,
            State::Armed { at } | State::Listening { since: at, .. } => at,
            State::Dormant | State::Running | State::Over => self.now,
        };
        let unstruck = self.new_trial(step, planned, self.now, Picks::default());
        let missed = Some(why);
        self.trials.push(Trial { began: None, missed, added: Vec::new(), ..unstruck });
    }

    fn is_over(&self, now: Time) -> bool {
        let over = self.steps.iter().all(|progress| progress.state == State::Over);
        let idle = self.running.iter().all(Running::never_ends) && self.script.is_empty();
        over && idle && self.heal_due().is_some_and(|at| at <= now)
    }

    /// The earliest time at which everything may be healed.
    fn heal_due(&self) -> Option<Time> {
        Some(self.ready? + self.healed_then.unwrap_or(self.schedule.warmup))
    }

    fn settled_at(&self) -> Option<Time> {
        self.healed.map(|healed| healed + self.schedule.settle)
    }

    fn compute_wakeup(&self) -> Option<Time> {
        if self.healed.is_some() {
            return self.settled_at().filter(|settled| *settled > self.now);
        }
        let patience = self.schedule.patience;
        let steps = self.steps.iter().filter_map(|progress| match progress.state {
            State::Armed { at } => Some(at),
            State::Listening { since, .. } => Some(since + patience),
            // Due and still here: it found nobody to hit.
            State::Due { planned, .. } if planned <= self.now => Some(planned + patience),
            State::Due { planned, .. } => Some(planned),
            State::Dormant | State::Running | State::Over => None,
        });
        let deeds = self.running.iter().flat_map(Running::deeds).map(|(at, _)| at);
        let heal = self.heal_due().filter(|at| *at > self.now);
        steps.chain(deeds).chain(self.next_replay()).chain(heal).min()
    }

    fn offset(&self, at: Time) -> Duration {
        at.since(self.ready.unwrap_or(at))
    }
}
