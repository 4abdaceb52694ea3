//! Protocols made wrong from outside: what they want done is rewritten on its way to the driver.

use std::{
    any::Any,
    fmt::Debug,
    hash::Hash,
    marker::PhantomData,
    panic::{self, AssertUnwindSafe},
    thread,
};

use consensus_core::{
    Applies, Disk, Effect, Epoch, Event, Index, Input, Outbox, Payload, Protocol, Role, Settings,
    SettingsError, Status, Time, When, Write,
};

/// A way to rewrite what a protocol does. Whatever it does not change stays as it is.
pub trait Rewrite<P: Protocol>: Clone + Eq + Hash + Debug + Send + 'static {
    /// What becomes of a batch of writes.
    fn persist(batch: Vec<Write<P::Record>>) -> Vec<Write<P::Record>> {
        batch
    }

    /// What is there of a disk when a replica starts on it; the first start is incarnation 1.
    fn recovered(_incarnation: u64, disk: Disk<P::Record>) -> Disk<P::Record> {
        disk
    }

    /// When a message leaves.
    fn when(_message: &P::Message, when: When) -> When {
        when
    }
}

/// A protocol whose effects are rewritten.
///
/// When it breaks one of its own invariants, it is silent from then on, as a process is that ended,
/// and the run goes on without it: what it did before is for the checker to judge.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rewritten<P, R> {
    /// The protocol; `None` once it broke an invariant.
    inner: Option<P>,
    /// Which replica it is, for whoever asks after its end.
    last: Status,
    how: PhantomData<R>,
}

/// How the note begins that tells of a broken invariant.
pub const BROKEN: &str = "broke its own invariant: ";

impl<P: Protocol, R: Rewrite<P>> Rewritten<P, R> {
    /// Lets the protocol do something, as long as its invariants hold.
    fn live(&mut self, what: impl FnOnce(&mut P, &mut Outbox<P>), out: &mut Outbox<Self>) {
        let Some(mut inner) = self.inner.take() else { return };
        let lived = panic::catch_unwind(AssertUnwindSafe(move || {
            let mut effects = Outbox::new();
            what(&mut inner, &mut effects);
            inner.check();
            (inner, effects)
        }));
        self.take_up(lived, out);
    }

    fn take_up(&mut self, lived: thread::Result<(P, Outbox<P>)>, out: &mut Outbox<Self>) {
        match lived {
            Ok((inner, effects)) => {
                Self::pass_on(effects, out);
                self.last = inner.status();
                self.inner = Some(inner);
            }
            Err(words) => {
                self.last.role = Role::Follower;
                out.note(Event::Refused { why: format!("{BROKEN}{}", text(&*words)) });
            }
        }
    }

    fn pass_on(mut effects: Outbox<P>, out: &mut Outbox<Self>) {
        for effect in effects.drain() {
            match effect {
                Effect::Persist(batch) => out.persist(R::persist(batch)),
                Effect::Send { to, message, when } => match R::when(&message, when) {
                    When::Durable => out.send(to, message),
                    When::Now => out.send_now(to, message),
                },
                Effect::Apply(Applies { from, to, requests }) => out.apply(from, to, requests),
                Effect::TakeSnapshot(snapshot) => out.take_snapshot(snapshot),
                Effect::SendSnapshot { to, snapshot } => out.send_snapshot(to, snapshot),
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

    const OPTIONS: &'static [(&'static str, &'static str)] = P::OPTIONS;

    fn configure(settings: Settings) -> Result<P::Config, SettingsError> {
        P::configure(settings)
    }

    fn recover(
        config: P::Config,
        incarnation: u64,
        now: Time,
        disk: Disk<P::Record>,
        out: &mut Outbox<Self>,
    ) -> Self {
        let lived = panic::catch_unwind(AssertUnwindSafe(move || {
            let (mut effects, disk) = (Outbox::new(), R::recovered(incarnation, disk));
            (P::recover(config, incarnation, now, disk, &mut effects), effects)
        }));
        let mut recovered = Self { inner: None, last: Status::default(), how: PhantomData };
        recovered.take_up(lived, out);
        recovered
    }

    fn step(&mut self, now: Time, input: Input<Self>, out: &mut Outbox<Self>) {
        let input = match input {
            Input::Receive { from, message } => Input::Receive { from, message },
            Input::Timeout(timer) => Input::Timeout(timer),
            Input::Ask { request, ask } => Input::Ask { request, ask },
            Input::Compacted(snapshot) => Input::Compacted(snapshot),
            Input::Staged { from, snapshot } => Input::Staged { from, snapshot },
            Input::Suspected { node, suspected } => Input::Suspected { node, suspected },
        };
        self.live(|inner, effects| inner.step(now, input, effects), out);
    }

    fn flush(&mut self, now: Time, out: &mut Outbox<Self>) {
        self.live(|inner, effects| inner.flush(now, effects), out);
    }

    /// Whoever broke applies nothing any more.
    fn committed(&self, from: Index, to: Index) -> impl Iterator<Item = (Epoch, &Payload)> {
        self.inner.iter().flat_map(move |inner| inner.committed(from, to))
    }

    fn status(&self) -> Status {
        self.inner.as_ref().map_or_else(|| self.last.clone(), Protocol::status)
    }

    /// Each step was checked when it was made.
    fn check(&self) {}
}

/// What a panic said.
pub fn text(words: &(dyn Any + Send)) -> String {
    let text = words.downcast_ref::<String>().cloned();
    let text = text.or_else(|| words.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "it did not say which".to_owned())
}
