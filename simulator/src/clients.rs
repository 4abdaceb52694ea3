//! All the clients: who is free, and what they do next.

use std::collections::BTreeSet;

use consensus_core::{
    Draw, Protocol, SessionId, Time,
    history::{Call, Operation, Outcome},
};

use crate::{
    client::{Client, ClientModel, Next, Task},
    event::{Asker, Attempt, ClientEvent, Event},
    surroundings::Surroundings,
};

/// The pool of clients.
pub(crate) struct Clients {
    model: ClientModel,
    nodes: u64,
    /// Over how many sites they are spread: each is at the site of its place in the pool, modulo that.
    sites: usize,
    draw: Draw,
    pool: Vec<Client>,
    idle: BTreeSet<usize>,
    names: u64,
    /// How many operations were begun.
    begun: usize,
}

impl Clients {
    pub(crate) fn new(model: ClientModel, nodes: u64, sites: usize, draw: Draw) -> Self {
        let sites = sites.max(1);
        let (pool, idle) = (Vec::new(), BTreeSet::new());
        Self { model, nodes, sites, draw, pool, idle, names: 0, begun: 0 }
    }

    /// There are so many places to ask at from now on.
    pub(crate) fn look_around(&mut self, nodes: u64) {
        self.nodes = self.nodes.max(nodes);
    }

    /// Whether nothing is under way.
    pub(crate) fn are_idle(&self) -> bool {
        self.idle.len() == self.pool.len()
    }

    /// Whether there are as many clients as there may be, and all of them are busy.
    pub(crate) fn are_exhausted(&self) -> bool {
        self.idle.is_empty() && self.pool.len() >= self.model.most
    }

    /// Has an operation carried out, by an idle client or a new one.
    pub(crate) fn submit<P: Protocol>(
        &mut self,
        now: Time,
        task: Task,
        around: &mut Surroundings<P>,
    ) {
        let client = self.next_free();
        self.pool[client].look_around(self.nodes);
        let next = self.pool[client].start(now, task, &self.model);
        self.follow(now, client, next, around);
    }

    /// Has an operation fail that nobody is there to carry out: it is never sent.
    pub(crate) fn turn_away<P: Protocol>(
        &mut self,
        now: Time,
        task: Task,
        around: &mut Surroundings<P>,
    ) {
        self.names += 1;
        around.recorder.operation(Operation {
            client: self.names,
            session: SessionId::default(),
            sequence: 0,
            key: task.key,
            call: task.call,
            consistency: task.consistency,
            intended: task.intended,
            invoked: now,
            completed: Some(now),
            outcome: Outcome::Failed("every client was busy".to_owned()),
        });
    }

    /// A client hears an answer, has waited long enough for one, or has backed off long enough.
    pub(crate) fn happens<P: Protocol>(
        &mut self,
        now: Time,
        place: usize,
        event: ClientEvent,
        around: &mut Surroundings<P>,
    ) {
        let (Self { pool, model, nodes, .. }, attempt) = (&mut *self, event.attempt());
        let client = &mut pool[place];
        client.look_around(*nodes);
        let next = match event {
            ClientEvent::Answer(_, answer) => client.hear(now, attempt, answer, model),
            ClientEvent::Impatient(_) => client.impatient(now, attempt, model),
            ClientEvent::Retry(_) => client.retry(now, attempt, model),
        };
        self.follow(now, place, next, around);
    }

    /// The client for the next operation. The sites take turns, whichever of them is served sooner.
    fn next_free(&mut self) -> usize {
        let site = self.begun % self.sites;
        self.begun += 1;
        let mut found = self.idle.iter().copied().find(|client| client % self.sites == site);
        while found.is_none() && self.pool.len() < self.model.most {
            let client = self.hire();
            self.idle.insert(client);
            found = Some(client).filter(|client| client % self.sites == site);
        }
        let client = found.or_else(|| self.idle.first().copied()).unwrap_or_else(|| self.hire());
        self.idle.remove(&client);
        client
    }

    /// Adds a client.
    fn hire(&mut self) -> usize {
        let place = self.pool.len();
        self.names += 1;
        let draw = self.draw.at(place as u64);
        self.pool.push(Client::new(place, self.names, self.nodes, draw));
        place
    }

    fn follow<P: Protocol>(
        &mut self,
        now: Time,
        client: usize,
        next: Next,
        around: &mut Surroundings<P>,
    ) {
        match next {
            Next::Nothing => {}
            Next::Ask { to, request, impatient_at } => {
                let impatient = ClientEvent::Impatient(request.attempt);
                around.queue.push(impatient_at, Event::Client(impatient));
                let arrives = now + around.network.client_delay(Asker::Client(client), to);
                around.queue.push(arrives, Event::Request { to, request: Box::new(request) });
            }
            Next::Wait { until, attempt } => {
                around.queue.push(until, Event::Client(ClientEvent::Retry(attempt)));
            }
            Next::Done { operation, asked } => {
                if operation.outcome.is_ok() && operation.call != Call::Get {
                    around.recorder.acknowledged(asked);
                }
                self.finish(client, operation, around);
            }
        }
    }

    fn finish<P: Protocol>(
        &mut self,
        client: usize,
        operation: Operation,
        around: &mut Surroundings<P>,
    ) {
        if matches!(operation.outcome, Outcome::Unknown(_)) {
            self.names += 1;
            self.pool[client].rename(self.names);
        }
        around.recorder.operation(operation);
        self.idle.insert(client);
    }
}

impl ClientEvent {
    /// The try it is about.
    pub(crate) const fn attempt(&self) -> Attempt {
        match self {
            Self::Answer(attempt, _) | Self::Impatient(attempt) | Self::Retry(attempt) => *attempt,
        }
    }
}
