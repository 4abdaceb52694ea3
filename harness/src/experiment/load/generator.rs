//! The clients themselves: open-loop, so that a stall delays nothing that is to be sent.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use consensus_core::{
    Consistency, Time,
    history::{Call, Operation, Outcome},
};
use faults::Workload;
use replica::{
    client::{Client, ClientOptions},
    clock,
};
use tokio::{runtime::Handle, sync::mpsc::UnboundedSender};

use super::{Beginning, Completed, GATEWAY, Order};

/// How long the pacer sleeps when nothing is meant to be sent.
const IDLE: Duration = Duration::from_secs(3_600);

/// Clients at work.
///
/// A thread of its own sends each operation when it is meant to be sent: the timers of the
/// asynchronous runtime tick in milliseconds, and what they are late would count as latency.
pub(super) struct Generator {
    client: Arc<Client>,
    control: mpsc::Sender<Order>,
    pacer: Option<JoinHandle<()>>,
}

impl Generator {
    /// Starts them. What came of each operation is told; nothing more is once all have ended.
    pub fn start(beginning: Beginning, teller: UnboundedSender<Completed>) -> Result<Self> {
        let Beginning { load, seed, servers, begin } = beginning;
        let options = ClientOptions { deadline: load.timeout, ..ClientOptions::default() };
        let client = Client::new(servers, options).context("cannot make the clients")?;
        let client = Arc::new(client);
        let (control, orders) = mpsc::channel();
        let sender = Sender {
            client: Arc::clone(&client),
            processes: Arc::default(),
            teller,
            runtime: Handle::current(),
        };
        let workload = Workload::new(&load, seed);
        let pacer = thread::Builder::new()
            .name("pacer".to_owned())
            .spawn(move || pace(workload, begin, &orders, &sender))
            .context("cannot start the pacer")?;
        Ok(Self { client, control, pacer: Some(pacer) })
    }

    /// Does what is ordered.
    pub fn tell(&self, order: Order) {
        match order {
            Order::Locate { node, address } => self.client.locate(node, &address),
            // A pacer that is gone sends nothing any more, which is all that it could be told.
            order => drop(self.control.send(order)),
        }
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        self.tell(Order::Stop);
        if let Some(pacer) = self.pacer.take() {
            // One that panicked has said so.
            let _panicked = pacer.join();
        }
    }
}

fn pace(mut workload: Workload, begin: Time, orders: &mpsc::Receiver<Order>, sender: &Sender) {
    loop {
        let now = clock::now();
        let next = workload.next_at().map(|at| begin + at);
        if next.is_some_and(|next| next <= now) {
            let arrival = workload.take().expect("one is due");
            sender.send(begin + arrival.at, arrival.key, arrival.call, arrival.consistency);
            continue;
        }
        let wait = next.map_or(IDLE, |next| next.since(now));
        match orders.recv_timeout(wait) {
            Ok(Order::Factor(factor)) => workload.set_factor(clock::now().since(begin), factor),
            Ok(Order::Put { key, value }) => {
                sender.send(clock::now(), key, Call::Put(value), None);
            }
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Order::Begin(_) | Order::Locate { .. }) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Sends operations, each in a task of its own.
struct Sender {
    client: Arc<Client>,
    processes: Arc<Mutex<Processes>>,
    teller: UnboundedSender<Completed>,
    runtime: Handle,
}

impl Sender {
    fn send(&self, intended: Time, key: String, call: Call, consistency: Option<Consistency>) {
        let (client, teller) = (Arc::clone(&self.client), self.teller.clone());
        let processes = Arc::clone(&self.processes);
        let process = self.processes().take();
        self.runtime.spawn(async move {
            let invoked = clock::now();
            let performed = match consistency {
                Some(consistency) if call == Call::Get => client.read(&key, consistency).await,
                _ => client.perform(&key, &call).await,
            };
            let operation = Operation {
                client: process,
                session: performed.session,
                sequence: performed.sequence,
                key,
                call,
                consistency,
                intended,
                invoked,
                completed: Some(clock::now()),
                outcome: performed.outcome,
            };
            if !matches!(operation.outcome, Outcome::Unknown(_)) {
                processes.lock().expect("nobody panics while holding it").give_back(process);
            }
            let node = performed.replica.filter(|&node| node != GATEWAY);
            // Nobody listens any more once the run is over.
            let _over = teller.send(Completed { operation, node });
        });
    }

    fn processes(&self) -> MutexGuard<'_, Processes> {
        self.processes.lock().expect("nobody panics while holding it")
    }
}

/// The client processes of the history: each has one operation under way at a time, and one whose
/// operation stays unknown never sends another, for that operation may still take effect.
#[derive(Debug, Default)]
struct Processes {
    idle: BTreeSet<u64>,
    started: u64,
}

impl Processes {
    /// An idle process, or a new one.
    fn take(&mut self) -> u64 {
        self.idle.pop_first().unwrap_or_else(|| {
            self.started += 1;
            self.started
        })
    }

    fn give_back(&mut self, process: u64) {
        self.idle.insert(process);
    }
}
