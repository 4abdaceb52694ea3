//! Those who ask for other members and other leaders, and do not give up at the first refusal.
//!
//! An administrator knows the places and nothing else: it looks for the leader as a client does. What
//! it makes of each answer is the same on every target ([`Persistence`]).

use std::time::Duration;

use bytes::Bytes;
use consensus_core::{Ask, Draw, NodeId, Protocol, Time};
use faults::{
    Answer as Settled,
    administrator::{Ground, Heard, Next, Persistence, Whom},
    director::TrialKey,
};

use crate::{
    client::ClientModel,
    event::{Answer, Asker, Attempt, ClientEvent, Event, Request},
    surroundings::Surroundings,
};

/// How long an administrator waits for an answer: newcomers take their time to catch up.
const PATIENCE: Duration = Duration::from_secs(2);

/// What an administrator is sent for.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    /// The director's name for it.
    pub(crate) key: TrialKey,
    /// What to ask for.
    pub(crate) ask: Ask,
    /// Until when; `None`: until it is done.
    pub(crate) deadline: Option<Time>,
}

/// All of them.
pub(crate) struct Administrators {
    model: ClientModel,
    draw: Draw,
    places: u64,
    at_work: Vec<Administrator>,
    settled: Vec<(TrialKey, Settled)>,
}

/// One, with its errand; it is never sent again.
struct Administrator {
    errand: Errand,
    /// Whom the current try asks.
    asked: NodeId,
    /// The number of the current try.
    tries: u64,
    persistence: Persistence,
    over: bool,
}

impl Administrators {
    pub(crate) const fn new(model: ClientModel, places: u64, draw: Draw) -> Self {
        Self { model, draw, places, at_work: Vec::new(), settled: Vec::new() }
    }

    /// Whether all errands are settled.
    pub(crate) fn are_idle(&self) -> bool {
        self.at_work.iter().all(|administrator| administrator.over)
    }

    /// What came of errands, since the last time.
    pub(crate) fn take_settled(&mut self) -> Vec<(TrialKey, Settled)> {
        std::mem::take(&mut self.settled)
    }

    /// Sends somebody.
    pub(crate) fn send<P: Protocol>(
        &mut self,
        now: Time,
        errand: Errand,
        around: &mut Surroundings<P>,
    ) {
        let number = self.at_work.len();
        let asked = NodeId(1 + self.draw.at(number as u64).of("first").below(self.places));
        let persistence = match errand.deadline {
            Some(_) => Persistence::bounded(),
            None => Persistence::endless(),
        };
        self.at_work.push(Administrator { errand, asked, tries: 0, persistence, over: false });
        self.ask(now, number, around);
    }

    /// Something happens at one of them.
    pub(crate) fn happens<P: Protocol>(
        &mut self,
        now: Time,
        number: usize,
        event: ClientEvent,
        around: &mut Surroundings<P>,
    ) {
        let administrator = &mut self.at_work[number];
        if administrator.over || event.attempt().number != administrator.tries {
            return;
        }
        let heard = match event {
            ClientEvent::Retry(_) => return self.ask(now, number, around),
            ClientEvent::Impatient(_) => Heard::Unknown("no answer came in time".to_owned()),
            ClientEvent::Answer(_, answer) => heard(answer),
        };
        match administrator.persistence.hear(heard) {
            Next::Settle(answer) => self.settle(number, answer),
            Next::Again(whom) => self.wait(now, number, whom, around),
        }
    }

    fn ask<P: Protocol>(&mut self, now: Time, number: usize, around: &mut Surroundings<P>) {
        let administrator = &mut self.at_work[number];
        if administrator.errand.deadline.is_some_and(|deadline| now >= deadline) {
            let answer = administrator.persistence.out_of_time();
            return self.settle(number, answer);
        }
        administrator.tries += 1;
        let attempt = administrator.attempt(number);
        let impatient_at = now + PATIENCE;
        let impatient_at =
            administrator.errand.deadline.map_or(impatient_at, |at| at.min(impatient_at));
        let (to, ask) = (administrator.asked, administrator.errand.ask.clone());
        around.queue.push(impatient_at, Event::Client(ClientEvent::Impatient(attempt)));
        let arrives = now + around.network.client_delay(attempt.by, to);
        let request = Box::new(Request { attempt, ask, query: Bytes::new() });
        around.queue.push(arrives, Event::Request { to, request });
    }

    fn wait<P: Protocol>(
        &mut self,
        now: Time,
        number: usize,
        whom: Whom,
        around: &mut Surroundings<P>,
    ) {
        let administrator = &mut self.at_work[number];
        match whom {
            Whom::Same => {}
            Whom::Another => administrator.asked = NodeId(1 + administrator.asked.0 % self.places),
            Whom::Node(node) => administrator.asked = node.place(),
        }
        let longest = self.model.longest_backoff;
        let draw = self.draw.at(number as u64).of("backoff").at(administrator.tries);
        let until = now + draw.duration(&(longest / 2..longest));
        let attempt = administrator.attempt(number);
        around.queue.push(until, Event::Client(ClientEvent::Retry(attempt)));
    }

    fn settle(&mut self, number: usize, answer: Settled) {
        self.at_work[number].over = true;
        self.settled.push((self.at_work[number].errand.key, answer));
    }
}

impl Administrator {
    const fn attempt(&self, number: usize) -> Attempt {
        Attempt { by: Asker::Administrator(number), number: self.tries }
    }
}

/// What an answer says.
fn heard(answer: Answer) -> Heard {
    let why = match answer {
        Answer::Done => return Heard::Done,
        Answer::Refused(why) => return Heard::refused(&why),
        Answer::Unreachable => {
            let why = "nobody listened".to_owned();
            return Heard::Refused { ground: Ground::Elsewhere(None), why };
        }
        Answer::Unknown => "leadership was lost",
        Answer::Reset => "the connection broke",
        Answer::Applied(_) | Answer::Read(_) => {
            unreachable!("what is asked for is neither a command nor a read")
        }
    };
    Heard::Unknown(why.to_owned())
}
