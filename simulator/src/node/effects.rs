//! What becomes of a protocol's effects.

use consensus_core::{
    Applies, Committed, Effect, Event as Noted, NodeId, Outcome, Protocol, RequestId, Time, When,
    Write, history::Applied,
};

use super::{Incoming, Node, Pending, Running};
use crate::{
    digest,
    event::{Answer, Local, Way},
    machine::Machine,
    recording::Cause,
    surroundings::Surroundings,
};

impl<P: Protocol, M: Machine> Node<P, M> {
    /// Carries out what the protocol wants done, in order.
    pub(super) fn carry_out(&mut self, now: Time, cause: Cause, around: &mut Surroundings<P>) {
        let mut outbox = std::mem::take(&mut self.outbox);
        for effect in outbox.drain() {
            match effect {
                Effect::Persist(batch) => self.persist(now, batch, around),
                Effect::Send { to, message, when } => self.send(now, to, message, when, around),
                Effect::Apply(applies) => self.apply(now, applies, around),
                Effect::TakeSnapshot(snapshot) => self.take_snapshot(now, snapshot, around),
                Effect::Restore(snapshot) => self.restore(&snapshot, around),
                Effect::SendSnapshot { to, snapshot } => {
                    self.send_snapshot(now, to, snapshot, around);
                }
                Effect::Reply { request, outcome } => self.reply(now, request, outcome, around),
                Effect::SetTimer { timer, within } => {
                    let within = self.clock.really(within.start)..self.clock.really(within.end);
                    if let Some(at) = self.timers.set(now, timer, &within) {
                        self.later(at, Local::Timer(timer), around);
                    }
                }
                Effect::CancelTimer(timer) => self.timers.cancel(timer),
                Effect::Note(event) => self.note(now, cause, event, around),
            }
        }
        self.outbox = outbox;
    }

    fn persist(&mut self, now: Time, batch: Vec<Write<P::Record>>, around: &mut Surroundings<P>) {
        if self.barrier.write(now, batch) {
            self.look_at_age(now + around.disk.age, around);
        }
    }

    fn send(
        &mut self,
        now: Time,
        to: NodeId,
        message: P::Message,
        when: When,
        around: &mut Surroundings<P>,
    ) {
        let free = match when {
            When::Now => Some(message),
            When::Durable => self.barrier.hold(now, to, message),
        };
        if let Some(message) = free {
            self.dispatch(now, to, message, 0, around);
        }
    }

    /// Lets a message leave: to the network, or back to the replica itself, which no fault touches.
    pub(super) fn dispatch(
        &mut self,
        now: Time,
        to: NodeId,
        message: P::Message,
        waited_ns: u64,
        around: &mut Surroundings<P>,
    ) {
        if to == self.id {
            let running = self.running.as_mut().expect("only a running replica sends");
            running.inbox.push_back(Incoming::Message { from: to, message, waited_ns });
        } else {
            around.send(now, Way { from: self.id, to }, message, waited_ns);
        }
    }

    fn apply(&mut self, now: Time, applies: Applies, around: &mut Surroundings<P>) {
        let running = self.running.as_mut().expect("only a running replica applies");
        let Running { protocol, machine, pending, .. } = running;
        for Committed { index, epoch, payload, request } in applies.entries(protocol) {
            let mut applied = Applied {
                node: self.id,
                incarnation: self.incarnation,
                index,
                epoch,
                digest: payload.command().map_or(0, |command| digest::of_bytes(command)),
                request: None,
                fresh: false,
            };
            let mut reply = None;
            match payload.command() {
                None => machine.skip(index),
                Some(command) => {
                    let done = machine.apply(index, command);
                    applied.request = done.request;
                    applied.fresh = done.fresh;
                    reply = Some(done.reply);
                }
            }
            around.recorder.applied(applied);
            if let Some(pending) = request.and_then(|request| pending.remove(&request)) {
                let answer = reply.map_or(Answer::Unknown, Answer::Applied);
                around.answer(now, self.id, pending.attempt, answer);
            }
        }
    }

    fn reply(
        &mut self,
        now: Time,
        request: RequestId,
        outcome: Outcome,
        around: &mut Surroundings<P>,
    ) {
        let running = self.running.as_mut().expect("only a running replica replies");
        let Some(Pending { attempt, query }) = running.pending.remove(&request) else { return };
        let answer = match outcome {
            Outcome::Readable => Answer::Read(running.machine.query(&query)),
            Outcome::Refused(why) => Answer::Refused(why),
            Outcome::Done => Answer::Done,
            Outcome::Unknown => Answer::Unknown,
        };
        around.answer(now, self.id, attempt, answer);
    }

    fn note(&self, now: Time, cause: Cause, event: Noted, around: &mut Surroundings<P>) {
        around.recorder.observed(now, self.id, self.incarnation, cause, event);
    }
}
