//! The clients on a real target: open-loop, so that a stall delays nothing that is to be sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use consensus_core::{
    Consistency, NodeId, Time,
    history::{Call, Operation, Outcome},
};
use faults::Workload;
use replica::{
    client::{Client, ClientOptions},
    clock,
};
use tokio::{
    runtime::Handle,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

use crate::{cli::Route, plan::Plan};

/// How much longer than its deadline an operation may be waited for at the end.
const GRACE: Duration = Duration::from_secs(2);

/// How long the pacer sleeps when nothing is meant to be sent.
const IDLE: Duration = Duration::from_secs(3_600);

/// Stands for the gateway where a replica is expected.
const GATEWAY: NodeId = NodeId(u64::MAX);

/// The load of one run.
///
/// A thread of its own sends each operation when it is meant to be sent: the timers of the
/// asynchronous runtime tick in milliseconds, and what they are late would count as latency.
pub struct Load {
    client: Arc<Client>,
    control: mpsc::Sender<Control>,
    pacer: Option<JoinHandle<()>>,
    completions: UnboundedReceiver<Completed>,
    operations: Vec<Operation>,
    deadline: Duration,
    route: Route,
}

/// An operation that has come to its end.
#[derive(Clone, Debug)]
pub struct Completed {
    /// What it was, and what came of it.
    pub operation: Operation,
    /// Which replica answered.
    pub node: Option<NodeId>,
}

enum Control {
    Factor(f64),
    Put { key: String, value: String },
    Stop,
}

impl Load {
    /// Starts the load of a plan. Time counts from `begin`.
    pub fn start(
        plan: &Plan,
        servers: &BTreeMap<NodeId, SocketAddr>,
        gateway: Option<SocketAddr>,
        begin: Time,
    ) -> Result<Self> {
        let servers = match gateway {
            Some(gateway) => vec![(GATEWAY, gateway.to_string())],
            None => servers.iter().map(|(&node, at)| (node, at.to_string())).collect(),
        };
        let deadline = plan.schedule.load.timeout;
        let options = ClientOptions { deadline, ..ClientOptions::default() };
        let client = Client::new(servers, options).context("cannot make the clients")?;
        let (control, commands) = mpsc::channel();
        let (teller, completions) = unbounded_channel();
        let client = Arc::new(client);
        let sender = Sender {
            client: Arc::clone(&client),
            processes: Arc::default(),
            teller,
            runtime: Handle::current(),
        };
        let workload = Workload::new(&plan.schedule.load, plan.seed);
        let pacer = thread::Builder::new()
            .name("pacer".to_owned())
            .spawn(move || pace(workload, begin, &commands, &sender))
            .context("cannot start the pacer")?;
        let operations = Vec::new();
        Ok(Self {
            client,
            control,
            pacer: Some(pacer),
            completions,
            operations,
            deadline,
            route: plan.via,
        })
    }

    /// Learns where a replica listens now; clients of a gateway need not know.
    pub fn locate(&self, node: NodeId, address: SocketAddr) {
        if self.route == Route::Direct {
            self.client.locate(node, &address.to_string());
        }
    }

    /// Multiplies the load from now on.
    pub fn set_factor(&self, factor: f64) {
        self.tell(Control::Factor(factor));
    }

    /// Has a client write a key now.
    pub fn put(&self, key: String, value: String) {
        self.tell(Control::Put { key, value });
    }

    /// The next operation that comes to its end; `None` when all have.
    pub async fn completed(&mut self) -> Option<Completed> {
        let completed = self.completions.recv().await?;
        self.operations.push(completed.operation.clone());
        Some(completed)
    }

    /// Sends nothing more, waits for what is under way, and hands over all operations, by the time
    /// they were meant for.
    pub async fn finish(mut self) -> Vec<Operation> {
        self.tell(Control::Stop);
        if let Some(pacer) = self.pacer.take() {
            pacer.join().expect("the pacer does not panic");
        }
        let longest = self.deadline + GRACE;
        let rest = async { while self.completed().await.is_some() {} };
        // Every operation ends by its deadline; whatever hangs beyond it is not waited for.
        let _ended = timeout(longest, rest).await;
        let mut operations = std::mem::take(&mut self.operations);
        operations.sort_by_key(|operation| (operation.intended, operation.client));
        operations
    }

    fn tell(&self, control: Control) {
        // A pacer that is gone sends nothing any more, which is all that it could be told.
        let _gone = self.control.send(control);
    }
}

fn pace(mut workload: Workload, begin: Time, commands: &mpsc::Receiver<Control>, sender: &Sender) {
    loop {
        let now = clock::now();
        let next = workload.next_at().map(|at| begin + at);
        if next.is_some_and(|next| next <= now) {
            let arrival = workload.take().expect("one is due");
            sender.send(begin + arrival.at, arrival.key, arrival.call, arrival.consistency);
            continue;
        }
        let wait = next.map_or(IDLE, |next| next.since(now));
        match commands.recv_timeout(wait) {
            Ok(Control::Factor(factor)) => workload.set_factor(clock::now().since(begin), factor),
            Ok(Control::Put { key, value }) => {
                sender.send(clock::now(), key, Call::Put(value), None);
            }
            Ok(Control::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
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
