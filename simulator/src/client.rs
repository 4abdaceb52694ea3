//! One client: an operation at a time, in a session, until it is answered or given up.
//!
//! A client behaves as the real one does. It asks whom it believes to lead, follows hints, backs
//! off, and asks again under the same session and sequence number, so that a retry is applied once.
//! It is honest about what it knows: an operation of which every try was certainly not done has
//! failed; one try of which nobody knows makes the whole operation's outcome unknown.

use std::time::Duration;

use bytes::Bytes;
use consensus_core::{
    Ask, Consistency, Draw, NodeId, Refusal, SessionId, Time, Wire,
    history::{Call, Operation, Outcome},
    kv::{self, Query},
    session::{ClientCommand, Reply},
};

use crate::event::{Answer, Asker, Attempt, Request};

/// How clients try.
#[derive(Clone, PartialEq, Debug)]
pub struct ClientModel {
    /// How long a client waits for the answer to one try before it asks somebody else.
    pub attempt_timeout: Duration,
    /// How long it waits before the second try; each further wait doubles, up to the longest, and
    /// is then drawn from its upper half.
    pub first_backoff: Duration,
    /// The longest wait between two tries.
    pub longest_backoff: Duration,
    /// The most clients. An operation of the load that finds all of them busy fails at once.
    pub most: usize,
}

impl Default for ClientModel {
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_millis(250),
            first_backoff: Duration::from_millis(5),
            longest_backoff: Duration::from_millis(100),
            most: 4_096,
        }
    }
}

/// An operation that a client is to carry out.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) key: String,
    pub(crate) call: Call,
    /// What a read is to promise, if not the usual.
    pub(crate) consistency: Option<Consistency>,
    pub(crate) intended: Time,
    pub(crate) deadline: Time,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    place: usize,
    draw: Draw,
    nodes: u64,
    /// Its name in the history. A new one after each operation of unknown outcome, for that one is
    /// still under way.
    name: u64,
    session: Option<SessionId>,
    /// The number of the operation in its session.
    sequence: u64,
    /// Who it believes leads.
    leader: NodeId,
    /// How many tries it made in all: names the current one.
    tries: u64,
    work: Option<Work>,
}

/// The operation under way.
#[derive(Debug)]
struct Work {
    task: Task,
    invoked: Option<Time>,
    /// Whom the current try asks.
    asked: NodeId,
    /// How many tries have come to nothing.
    failures: u32,
    /// Whether a try may have been done for all the client knows.
    ambiguous: bool,
    /// Why the last try came to nothing.
    trouble: &'static str,
}

/// What a client does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing: what it heard concerns it no more.
    Nothing,
    /// Ask this replica; be impatient at that time.
    Ask { to: NodeId, request: Request, impatient_at: Time },
    /// Back off until then.
    Wait { until: Time, attempt: Attempt },
    /// The operation is over; this replica was the last one asked.
    Done { operation: Operation, asked: NodeId },
}

impl Client {
    /// A client in this place of the pool.
    pub(crate) fn new(place: usize, name: u64, nodes: u64, draw: Draw) -> Self {
        Self {
            place,
            draw,
            nodes,
            name,
            session: None,
            sequence: 0,
            leader: NodeId(1 + draw.of("leader").below(nodes)),
            tries: 0,
            work: None,
        }
    }

    /// Tells it how many places there are to ask at.
    pub(crate) const fn look_around(&mut self, nodes: u64) {
        self.nodes = nodes;
    }

    /// Gives it another name, after an operation of unknown outcome.
    pub(crate) const fn rename(&mut self, name: u64) {
        self.name = name;
    }

    /// Starts an operation.
    pub(crate) fn start(&mut self, now: Time, task: Task, model: &ClientModel) -> Next {
        debug_assert!(self.work.is_none(), "a client has one operation under way at a time");
        if task.call != Call::Get {
            self.sequence += 1;
        }
        let asked = self.leader;
        let trouble = "there was no time to ask";
        let work = Work { task, invoked: None, asked, failures: 0, ambiguous: false, trouble };
        self.work = Some(work);
        self.ask(now, model)
    }

    /// Hears an answer.
    pub(crate) fn hear(
        &mut self,
        now: Time,
        attempt: Attempt,
        answer: Answer,
        model: &ClientModel,
    ) -> Next {
        if !self.is_current(attempt) {
            return Next::Nothing;
        }
        match answer {
            Answer::Applied(Reply::Opened(session)) => {
                self.session = Some(session);
                self.sequence = 1;
                self.ask(now, model)
            }
            Answer::Applied(Reply::Answered(bytes)) | Answer::Read(bytes) => {
                let outcome = understand(bytes);
                self.finish(now, outcome)
            }
            Answer::Applied(Reply::UnknownSession) => {
                self.session = None;
                if self.work().ambiguous {
                    return self.give_up(now, "the session was forgotten");
                }
                self.ask(now, model)
            }
            Answer::Applied(refused) => self.give_up(now, &format!("{refused:?}")),
            Answer::Refused(Refusal::NotLeader { leader }) => self.redirect(now, leader, model),
            Answer::Refused(Refusal::Overloaded) => self.fail(now, "overloaded", model),
            Answer::Refused(Refusal::TooLarge) => self.give_up(now, "the command is too large"),
            Answer::Refused(Refusal::Transferring(next)) => self.redirect(now, Some(next), model),
            Answer::Refused(why) => self.give_up(now, &why.to_string()),
            Answer::Unreachable => self.fail_over(now, "nobody listened", model),
            Answer::Done => self.give_up(now, "it was asked for no change of the members"),
            Answer::Unknown => self.doubt(now, "leadership was lost", model),
            Answer::Reset => self.doubt(now, "the connection broke", model),
        }
    }

    /// Has waited long enough for the answer to a try.
    pub(crate) fn impatient(&mut self, now: Time, attempt: Attempt, model: &ClientModel) -> Next {
        match self.is_current(attempt) {
            true => self.doubt(now, "no answer came in time", model),
            false => Next::Nothing,
        }
    }

    /// Has backed off long enough.
    pub(crate) fn retry(&mut self, now: Time, attempt: Attempt, model: &ClientModel) -> Next {
        match self.is_current(attempt) {
            true => self.ask(now, model),
            false => Next::Nothing,
        }
    }

    fn work(&mut self) -> &mut Work {
        self.work.as_mut().expect("a current attempt belongs to an operation under way")
    }

    fn is_current(&self, attempt: Attempt) -> bool {
        self.work.is_some() && attempt.number == self.tries
    }

    const fn attempt(&self) -> Attempt {
        Attempt { by: Asker::Client(self.place), number: self.tries }
    }

    /// Asks whoever is believed to lead, if there is time left.
    fn ask(&mut self, now: Time, model: &ClientModel) -> Next {
        if now >= self.work().task.deadline {
            let why = self.work().trouble;
            return self.give_up(now, why);
        }
        self.tries += 1;
        let asked = self.whom_to_ask();
        let attempt = self.attempt();
        let (session, sequence) = (self.session, self.sequence);
        let work = self.work();
        work.asked = asked;
        let (ask, query) = match (&work.task.call, session) {
            (Call::Get, _) => {
                let query = Query { key: work.task.key.clone().into() };
                let consistency = work.task.consistency.unwrap_or(Consistency::Linearizable);
                (Ask::Read(consistency), query.to_bytes())
            }
            (_, None) => (Ask::Propose(ClientCommand::open().to_bytes()), Bytes::new()),
            (call, Some(SessionId(session))) => {
                let operation = Some(operation(&work.task.key, call).to_bytes());
                // Whatever came before is answered or given up: its answer is not needed any more.
                let first_unanswered = sequence;
                let command = ClientCommand { session, sequence, first_unanswered, operation };
                (Ask::Propose(command.to_bytes()), Bytes::new())
            }
        };
        let opens = session.is_none() && !query_is_read(&ask);
        if !opens {
            work.invoked.get_or_insert(now);
        }
        let impatient_at = (now + model.attempt_timeout).min(work.task.deadline);
        Next::Ask { to: asked, request: Request { attempt, ask, query }, impatient_at }
    }

    /// Whether the operation is a read that any replica serves.
    fn asks_anybody(&mut self) -> bool {
        self.work().task.consistency.is_some_and(Consistency::is_served_anywhere)
    }

    /// The one who is believed to lead; anybody, drawn anew for each try, if anybody serves the read.
    fn whom_to_ask(&mut self) -> NodeId {
        match self.asks_anybody() {
            true => NodeId(1 + self.draw.of("anybody").at(self.tries).below(self.nodes)),
            false => self.leader,
        }
    }

    /// The replica does not lead: asks the one that it names, or somebody else after a while.
    fn redirect(&mut self, now: Time, hint: Option<NodeId>, model: &ClientModel) -> Next {
        let asked = self.work().asked;
        match hint {
            // The first hint is followed at once; later ones may lead in circles.
            _ if self.asks_anybody() => self.fail_over(now, "the replica knew no leader", model),
            Some(hint) if hint != asked && self.work().failures == 0 => {
                self.leader = hint;
                self.work().failures = 1;
                self.ask(now, model)
            }
            Some(hint) if hint != asked => {
                self.leader = hint;
                self.fail(now, "the leader was not found", model)
            }
            _ => self.fail_over(now, "there was no leader", model),
        }
    }

    /// The try may have been done: asks somebody else.
    fn doubt(&mut self, now: Time, why: &'static str, model: &ClientModel) -> Next {
        // Opening a session twice does no harm: one of them is never used.
        let work = self.work();
        work.ambiguous |= work.invoked.is_some();
        self.fail_over(now, why, model)
    }

    fn fail_over(&mut self, now: Time, why: &'static str, model: &ClientModel) -> Next {
        // Whoever serves a read that anybody serves need not have been thought the leader.
        if !self.asks_anybody() {
            let asked = self.work().asked;
            self.leader = NodeId(1 + asked.place().0 % self.nodes);
        }
        self.fail(now, why, model)
    }

    /// The try came to nothing: backs off.
    fn fail(&mut self, now: Time, why: &'static str, model: &ClientModel) -> Next {
        let draw = self.draw.of("backoff").at(self.tries);
        let work = self.work();
        work.trouble = why;
        let doubled = model.first_backoff * 2u32.saturating_pow(work.failures.min(16));
        let longest = doubled.min(model.longest_backoff);
        work.failures += 1;
        let until = now + draw.duration(&(longest / 2..longest));
        let deadline = work.task.deadline;
        Next::Wait { until: until.min(deadline), attempt: self.attempt() }
    }

    /// Gives the operation up: what it knows of all the tries decides the outcome.
    fn give_up(&mut self, now: Time, why: &str) -> Next {
        let outcome = match self.work().ambiguous {
            true => Outcome::Unknown(why.to_owned()),
            false => Outcome::Failed(why.to_owned()),
        };
        self.finish(now, outcome)
    }

    fn finish(&mut self, now: Time, outcome: Outcome) -> Next {
        let work = self.work.take().expect("an operation ends that was under way");
        let Work { task, invoked, asked, .. } = work;
        let Task { key, call, consistency, intended, .. } = task;
        let numbered = call != Call::Get && invoked.is_some();
        let session = self.session.filter(|_| numbered).unwrap_or_default();
        let sequence = if numbered && session != SessionId::default() { self.sequence } else { 0 };
        let completed = (!matches!(outcome, Outcome::Unknown(_))).then_some(now);
        let invoked = invoked.unwrap_or(now);
        let client = self.name;
        let operation = Operation {
            client,
            session,
            sequence,
            key,
            call,
            consistency,
            intended,
            invoked,
            completed,
            outcome,
        };
        Next::Done { operation, asked }
    }
}

const fn query_is_read(ask: &Ask) -> bool {
    matches!(ask, Ask::Read(_))
}

/// The state machine's operation for a call that changes something.
fn operation(key: &str, call: &Call) -> kv::Operation {
    let key = key.to_owned();
    match call {
        Call::Get => unreachable!("a read is not proposed"),
        Call::Put(value) => kv::Operation::put(key, value.clone()),
        Call::Delete => kv::Operation::delete(key),
        Call::CompareAndSwap { expected, value } => {
            kv::Operation::compare_and_swap(key, expected.clone().map(Bytes::from), value.clone())
        }
        Call::TestAndSet(value) => kv::Operation::test_and_set(key, value.clone()),
    }
}

/// What the state machine's answer says.
fn understand(bytes: Bytes) -> Outcome {
    let answer = kv::Answer::from_bytes(bytes).expect("a state machine answers in its own words");
    if !answer.malformed.is_empty() {
        return Outcome::Failed(answer.malformed);
    }
    let held = answer.held.map(|held| String::from_utf8_lossy(&held).into_owned());
    Outcome::Ok { changed: answer.changed, held, revision: answer.revision }
}
