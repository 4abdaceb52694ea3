//! How far a step has come.

use std::time::Duration;

use consensus_core::{NodeId, Time};

use super::pick::Picks;
use crate::schedule::{Anchor, Step};

/// One step on its way through its trials, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// The trial under way or waited for, from 1.
    pub trial: u32,
    /// What the trial is doing.
    pub state: State,
    /// From when this trial's anchor counts.
    pub armed: Time,
    /// When the first trial began, or was given up.
    pub first: Option<Time>,
    /// When the last trial ended, or was given up.
    pub done: Option<Time>,
    /// What the first trial chose, for steps that choose once.
    pub chosen: Option<Picks>,
}

/// What a trial is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Waits for the run to begin, or for another step.
    Dormant,
    /// Its anchor counts from this time on.
    Armed { at: Time },
    /// Waits for so many more events.
    Listening { since: Time, remaining: u64 },
    /// Strikes at this time, or as soon after as there is somebody to hit.
    Due { planned: Time, actor: Option<NodeId> },
    /// The fault is there.
    Running,
    /// All trials are over.
    Over,
}

impl Progress {
    pub const fn new() -> Self {
        Self {
            trial: 1,
            state: State::Dormant,
            armed: Time::ZERO,
            first: None,
            done: None,
            chosen: None,
        }
    }

    /// Lets the trial's anchor count from a time on.
    pub fn arm(&mut self, step: &Step, seed: u64, at: Time) {
        self.armed = at;
        self.state = match step.at.after {
            // Nothing to wait for but the time.
            Anchor::Start | Anchor::StepStart(_) | Anchor::StepDone(_) => {
                State::Due { planned: planned(step, seed, self.trial, at), actor: None }
            }
            _ => State::Armed { at },
        };
    }

    /// The anchor happened.
    pub fn anchored(&mut self, step: &Step, seed: u64, at: Time, actor: Option<NodeId>) {
        self.state = State::Due { planned: planned(step, seed, self.trial, at), actor };
    }

    /// Some of the awaited events happened at a replica. True if they were enough.
    pub fn heard(&mut self, step: &Step, seed: u64, count: u64, node: NodeId, now: Time) -> bool {
        let State::Listening { since, remaining } = self.state else { return false };
        if count < remaining {
            self.state = State::Listening { since, remaining: remaining - count };
            return false;
        }
        self.anchored(step, seed, now, Some(node));
        true
    }

    /// The trial is over: on to the next one, if there is one. A trial that struck late moves all
    /// later ones, so that they stay as far apart as written.
    pub fn next(&mut self, step: &Step, seed: u64, late: Duration, now: Time) {
        self.first = self.first.or(Some(now));
        if self.trial == step.times() {
            self.state = State::Over;
            self.done = Some(now);
            return;
        }
        self.trial += 1;
        let at = self.armed + step.every() + late;
        self.arm(step, seed, if step.at.after.is_event() { at.max(now) } else { at });
    }
}

fn planned(step: &Step, seed: u64, trial: u32, anchor: Time) -> Time {
    anchor + step.at.plus + step.jitter(seed, trial)
}
