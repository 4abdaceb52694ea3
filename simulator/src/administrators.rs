//! Those who ask for other members and other leaders, and do not give up at the first refusal.
//!
//! An administrator knows the places and nothing else: it looks for the leader as a client does. A
//! change that may have been made, for all it knows, it asks for again: if it then hears that there
//! is nothing to change any more, the change is done.

use std::time::Duration;

use bytes::Bytes;
use consensus_core::{Ask, ChangeError, Draw, NodeId, Protocol, Refusal, Time};
use faults::{Answer as Settled, director::TrialKey};

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
    /// Whether a try may have been done for all it knows.
    ambiguous: bool,
    trouble: String,
    over: bool,
}

/// What to do after a try.
enum Next {
    Settle(Settled),
    /// Ask this place, or the next one if none is named, after a while.
    Again(Option<NodeId>),
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
        let trouble = "there was no time to ask".to_owned();
        self.at_work.push(Administrator {
            errand,
            asked,
            tries: 0,
            ambiguous: false,
            trouble,
            over: false,
        });
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
        let next = match event {
            ClientEvent::Retry(_) => return self.ask(now, number, around),
            ClientEvent::Impatient(_) => administrator.doubt("no answer came in time"),
            ClientEvent::Answer(_, answer) => administrator.hear(answer),
        };
        match next {
            Next::Settle(answer) => self.settle(number, answer),
            Next::Again(whom) => self.wait(now, number, whom, around),
        }
    }

    fn ask<P: Protocol>(&mut self, now: Time, number: usize, around: &mut Surroundings<P>) {
        let administrator = &mut self.at_work[number];
        if administrator.errand.deadline.is_some_and(|deadline| now >= deadline) {
            let trouble = administrator.trouble.clone();
            let answer = match administrator.ambiguous {
                true => Settled::Unknown(trouble),
                false => Settled::Refused(trouble),
            };
            return self.settle(number, answer);
        }
        administrator.tries += 1;
        let attempt = administrator.attempt(number);
        let impatient_at = now + PATIENCE;
        let impatient_at =
            administrator.errand.deadline.map_or(impatient_at, |at| at.min(impatient_at));
        let (to, ask) = (administrator.asked, administrator.errand.ask.clone());
        around.queue.push(impatient_at, Event::Client(ClientEvent::Impatient(attempt)));
        let arrives = now + around.network.client_delay();
        let request = Request { attempt, ask, query: Bytes::new() };
        around.queue.push(arrives, Event::Request { to, request });
    }

    fn wait<P: Protocol>(
        &mut self,
        now: Time,
        number: usize,
        whom: Option<NodeId>,
        around: &mut Surroundings<P>,
    ) {
        let administrator = &mut self.at_work[number];
        let next = NodeId(1 + administrator.asked.0 % self.places);
        administrator.asked = whom.map_or(next, NodeId::place);
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

    fn hear(&mut self, answer: Answer) -> Next {
        match answer {
            Answer::Done => Next::Settle(Settled::Done),
            Answer::Refused(why) => self.refused(&why),
            Answer::Unreachable => self.again("nobody listened", None),
            Answer::Unknown => self.doubt("leadership was lost"),
            Answer::Reset => self.doubt("the connection broke"),
            Answer::Applied(_) | Answer::Read(_) => {
                unreachable!("what is asked for is neither a command nor a read")
            }
        }
    }

    fn refused(&mut self, why: &Refusal) -> Next {
        let words = why.to_string();
        match why {
            Refusal::NotLeader { leader } => self.again(&words, *leader),
            Refusal::Overloaded | Refusal::ChangeUnderWay(_) => {
                self.again(&words, Some(self.asked))
            }
            Refusal::Transferring(next) => self.again(&words, Some(*next)),
            // What a try whose answer was lost has done cannot be done again.
            Refusal::BadChange(ChangeError::Nothing | ChangeError::NoMember(_))
                if self.ambiguous =>
            {
                Next::Settle(Settled::Done)
            }
            Refusal::NotCaughtUp(_) if self.errand.deadline.is_none() => {
                self.again(&words, Some(self.asked))
            }
            Refusal::NotTransferred(_) if self.ambiguous => Next::Settle(Settled::Unknown(words)),
            _ => Next::Settle(Settled::Refused(words)),
        }
    }

    /// The try may have been done.
    fn doubt(&mut self, why: &str) -> Next {
        self.ambiguous = true;
        self.again(why, None)
    }

    fn again(&mut self, why: &str, whom: Option<NodeId>) -> Next {
        why.clone_into(&mut self.trouble);
        Next::Again(whom)
    }
}
