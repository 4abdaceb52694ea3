//! What the director makes of what it is told: who leads, and which waiting steps may go on.

use std::num::NonZeroU64;

use consensus_core::{Epoch, Event, NodeId, Time};

use super::{Director, Missed, Observation, progress::State};
use crate::schedule::Anchor;

impl Director {
    /// Takes note of something. Afterwards, [`Director::next_wakeup`] may have come nearer.
    pub fn observe(&mut self, now: Time, observation: Observation<'_>) {
        self.now = self.now.max(now);
        match observation {
            Observation::Ready => self.begin_run(now),
            Observation::Event { node, event } => self.observe_event(now, node, event),
            Observation::Up { node } => {
                self.stirred |= self.view.up(node);
                self.holds.rose(node, now);
            }
            Observation::Down { node } => {
                self.stirred |= self.view.down(node);
                self.fell(node);
            }
            Observation::Leader { node, epoch } => self.observe_leader(now, node, epoch),
            Observation::Status { node, commit } => {
                let grown = self.view.committed(node, commit);
                self.heard(now, &Anchor::Commit, grown, node);
            }
            Observation::Answered { errand, answer } => self.answered(errand, answer),
            Observation::Acknowledged { node } => self.heard(now, &Anchor::Acknowledged, 1, node),
        }
    }

    fn begin_run(&mut self, now: Time) {
        if self.ready.is_some() {
            return;
        }
        self.ready = Some(now);
        self.stirred = true;
        let start = now + self.schedule.warmup;
        for (progress, step) in self.steps.iter_mut().zip(&self.schedule.steps) {
            if progress.state == State::Dormant && step.at.after.step().is_none() {
                progress.arm(step, self.seed, start);
            }
        }
    }

    fn observe_event(&mut self, now: Time, node: NodeId, event: &Event) {
        match event {
            Event::Elected { epoch } => {
                self.observe_leader(now, node, *epoch);
                self.heard(now, &Anchor::Elected, 1, node);
            }
            Event::Campaigning { .. } => self.heard(now, &Anchor::Campaigning, 1, node),
            Event::Voted { candidate, .. } if *candidate != node => {
                self.heard(now, &Anchor::Voted, 1, node);
            }
            Event::SteppedDown { epoch } => self.view.stepped_down(node, *epoch),
            Event::Committed { to, .. } => {
                let grown = self.view.committed(node, *to);
                self.heard(now, &Anchor::Commit, grown, node);
            }
            Event::Compacted { .. } => self.heard(now, &Anchor::Compacted, 1, node),
            Event::Installed { .. } => self.heard(now, &Anchor::Installed, 1, node),
            Event::Reconfigured { .. } => self.heard(now, &Anchor::Reconfigured, 1, node),
            Event::Transferring { .. } => self.heard(now, &Anchor::Transferring, 1, node),
            _ => {}
        }
    }

    fn observe_leader(&mut self, now: Time, node: NodeId, epoch: Epoch) {
        self.stirred |= self.view.leads(node, epoch, now);
    }

    /// Counts events for the steps that wait for them.
    fn heard(&mut self, now: Time, anchor: &Anchor, count: u64, node: NodeId) {
        if count == 0 {
            return;
        }
        for (progress, step) in self.steps.iter_mut().zip(&self.schedule.steps) {
            if step.at.after == *anchor {
                self.stirred |= progress.heard(step, self.seed, count, node, now);
            }
        }
    }

    /// Lets every waiting step notice what has come to pass.
    pub(super) fn listen(&mut self, now: Time) {
        for position in 0..self.steps.len() {
            let step = &self.schedule.steps[position];
            match self.steps[position].state {
                State::Dormant => {
                    if let Some(at) = self.other_step(&step.at.after) {
                        self.steps[position].arm(step, self.seed, at);
                    }
                }
                State::Armed { at } if at <= now => {
                    let remaining = step.at.count.map_or(1, NonZeroU64::get);
                    self.steps[position].state = State::Listening { since: at, remaining };
                }
                _ => {}
            }
            if let State::Listening { since, .. } = self.steps[position].state {
                let leader = self.view.leader().filter(|_| step.at.after == Anchor::LeaderElected);
                if let Some(reign) = leader {
                    let at = reign.since.max(since);
                    self.steps[position].anchored(step, self.seed, at, Some(reign.node));
                } else if since + self.schedule.patience <= now {
                    self.miss(position, Missed::NoEvent, now);
                }
            }
        }
    }

    /// When the step came to where this anchor waits for it.
    fn other_step(&self, anchor: &Anchor) -> Option<Time> {
        let id = anchor.step()?;
        let other = self.schedule.steps.iter().position(|step| step.id == id)?;
        match anchor {
            Anchor::StepStart(_) => self.steps[other].first,
            _ => self.steps[other].done,
        }
    }
}
