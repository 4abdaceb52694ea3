//! Protocols made wrong from outside: what they want done is rewritten on its way to the driver.

use std::{fmt::Debug, hash::Hash, marker::PhantomData};

use consensus_core::{Disk, Effect, Input, Outbox, Protocol, Status, Time, When, Write};

/// A way to rewrite what a protocol does. Whatever it does not change stays as it is.
pub trait Rewrite<P: Protocol>: Clone + Eq + Hash + Debug + Send + 'static {
    /// What becomes of a batch of writes.
    fn persist(batch: Vec<Write<P::Record>>) -> Vec<Write<P::Record>> {
        batch
    }

    /// When a message leaves.
    fn when(_message: &P::Message, when: When) -> When {
        when
    }
}

/// A protocol whose effects are rewritten.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rewritten<P, R> {
    inner: P,
    how: PhantomData<R>,
}

impl<P: Protocol, R: Rewrite<P>> Rewritten<P, R> {
    fn pass_on(mut effects: Outbox<P>, out: &mut Outbox<Self>) {
        for effect in effects.drain() {
            match effect {
                Effect::Persist(batch) => out.persist(R::persist(batch)),
                Effect::Send { to, message, when } => match R::when(&message, when) {
                    When::Durable => out.send(to, message),
                    When::Now => out.send_now(to, message),
                },
                Effect::Apply { index, epoch, payload, request } => {
                    out.apply(index, epoch, payload, request);
                }
                Effect::Restore(base) => out.restore(base),
                Effect::Reply { request, outcome } => out.reply(request, outcome),
                Effect::SetTimer { timer, within } => out.set_timer(timer, within),
                Effect::CancelTimer(timer) => out.cancel_timer(timer),
                Effect::Note(event) => out.note(event),
            }
        }
    }
}

impl<P: Protocol, R: Rewrite<P>> Protocol for Rewritten<P, R> {
    const NAME: &'static str = P::NAME;
    type Message = P::Message;
    type Record = P::Record;
    type Timer = P::Timer;
    type Config = P::Config;

    fn recover(
        config: P::Config,
        incarnation: u64,
        now: Time,
        disk: Disk<P::Record>,
        out: &mut Outbox<Self>,
    ) -> Self {
        let mut effects = Outbox::new();
        let inner = P::recover(config, incarnation, now, disk, &mut effects);
        Self::pass_on(effects, out);
        Self { inner, how: PhantomData }
    }

    fn step(&mut self, now: Time, input: Input<Self>, out: &mut Outbox<Self>) {
        let input = match input {
            Input::Receive { from, message } => Input::Receive { from, message },
            Input::Timeout(timer) => Input::Timeout(timer),
            Input::Ask { request, ask } => Input::Ask { request, ask },
        };
        let mut effects = Outbox::new();
        self.inner.step(now, input, &mut effects);
        Self::pass_on(effects, out);
    }

    fn flush(&mut self, now: Time, out: &mut Outbox<Self>) {
        let mut effects = Outbox::new();
        self.inner.flush(now, &mut effects);
        Self::pass_on(effects, out);
    }

    fn status(&self) -> Status {
        self.inner.status()
    }

    fn check(&self) {
        self.inner.check();
    }
}
