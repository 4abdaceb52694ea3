//! The clients on a real target, wherever they run: in this process, or in one of their own that is
//! talked to over its standard input and output.

mod generator;
mod serve;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use bytes::BytesMut;
use consensus_core::{NodeId, Time, history::Operation};
use deploy::{Pipe, Site};
use faults::schedule;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncWriteExt as _,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

use crate::{cli::Route, plan::Plan};
use generator::Generator;

pub use serve::serve;

/// How much longer than its deadline an operation may be waited for at the end.
const GRACE: Duration = Duration::from_secs(2);

/// What a container or pod with the clients is called.
pub const CLIENTS: &str = "clients";

/// Stands for the gateway where a replica is expected.
const GATEWAY: NodeId = NodeId(u64::MAX);

/// Where the clients are.
#[derive(Debug)]
pub enum Clients {
    /// In this process.
    Here,
    /// In a process that waits for [orders](Order) at the other end.
    There(Pipe),
}

impl Clients {
    /// Those that were started at a site, beside its replicas. If they could not be, nothing of it is left.
    pub async fn at<S: Site>(mut site: S, pipe: Result<Pipe>) -> Result<(S, Self)> {
        match pipe {
            Ok(pipe) => Ok((site, Self::There(pipe))),
            Err(error) => {
                site.clear().await?;
                Err(error)
            }
        }
    }
}

/// What the clients are told, each a line of JSON for those in another process.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Order {
    /// Begin. This comes first, and once.
    Begin(Beginning),
    /// A replica listens here now.
    Locate { node: NodeId, address: String },
    /// Multiply the load from now on.
    Factor(f64),
    /// Write a key now.
    Put { key: String, value: String },
    /// Send nothing more, and end once everything under way has.
    Stop,
}

/// What they begin with.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Beginning {
    load: schedule::Load,
    seed: u64,
    /// Whom they know.
    servers: Vec<(NodeId, String)>,
    /// From when on time counts.
    begin: Time,
}

/// An operation that has come to its end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Completed {
    /// What it was, and what came of it.
    pub operation: Operation,
    /// Which replica answered.
    pub node: Option<NodeId>,
}

/// The load of one run.
pub struct Load {
    clients: Orders,
    completions: UnboundedReceiver<Completed>,
    operations: Vec<Operation>,
    deadline: Duration,
    route: Route,
}

/// Which way orders take.
enum Orders {
    Here(Generator),
    There(UnboundedSender<Order>),
}

impl Load {
    /// Starts the load of a plan. Time counts from `begin`.
    pub fn start(
        clients: Clients,
        plan: &Plan,
        servers: &BTreeMap<NodeId, SocketAddr>,
        gateway: Option<SocketAddr>,
        begin: Time,
    ) -> Result<Self> {
        let servers = match gateway {
            Some(gateway) => vec![(GATEWAY, gateway.to_string())],
            None => servers.iter().map(|(&node, at)| (node, at.to_string())).collect(),
        };
        let load = plan.schedule.load.clone();
        let deadline = load.timeout;
        let beginning = Beginning { load, seed: plan.seed, servers, begin };
        let (teller, completions) = unbounded_channel();
        let clients = match clients {
            Clients::Here => Orders::Here(Generator::start(beginning, teller)?),
            Clients::There(pipe) => {
                let (orders, ordered) = unbounded_channel();
                tokio::spawn(pass_on(ordered, pipe.input));
                tokio::spawn(hear(pipe.output, teller));
                // Whoever does not listen any more is missed when the clients are to end.
                let _gone = orders.send(Order::Begin(beginning));
                Orders::There(orders)
            }
        };
        let operations = Vec::new();
        Ok(Self { clients, completions, operations, deadline, route: plan.via })
    }

    /// Learns where a replica listens now; clients of a gateway need not know.
    pub fn locate(&self, node: NodeId, address: SocketAddr) {
        if self.route == Route::Direct {
            self.tell(Order::Locate { node, address: address.to_string() });
        }
    }

    /// Multiplies the load from now on.
    pub fn set_factor(&self, factor: f64) {
        self.tell(Order::Factor(factor));
    }

    /// Has a client write a key now.
    pub fn put(&self, key: String, value: String) {
        self.tell(Order::Put { key, value });
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
        self.tell(Order::Stop);
        let longest = self.deadline + GRACE;
        let rest = async { while self.completed().await.is_some() {} };
        // Every operation ends by its deadline; whatever hangs beyond it is not waited for.
        let _ended = timeout(longest, rest).await;
        let mut operations = std::mem::take(&mut self.operations);
        operations.sort_by_key(|operation| (operation.intended, operation.client));
        operations
    }

    fn tell(&self, order: Order) {
        match &self.clients {
            Orders::Here(generator) => generator.tell(order),
            // Clients that are gone send nothing any more, which is all that they could be told.
            Orders::There(orders) => drop(orders.send(order)),
        }
    }
}

/// Passes orders on, a line each, until nobody gives any.
async fn pass_on(
    mut ordered: UnboundedReceiver<Order>,
    mut input: impl tokio::io::AsyncWrite + Unpin,
) {
    while let Some(order) = ordered.recv().await {
        let Ok(mut line) = serde_json::to_vec(&order) else { return };
        line.push(b'\n');
        if input.write_all(&line).await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
}

/// Hears of operations, a line each, until the clients end.
async fn hear(
    mut output: impl futures::Stream<Item = Result<bytes::Bytes>> + Unpin,
    teller: UnboundedSender<Completed>,
) {
    let mut rest = BytesMut::new();
    while let Some(Ok(piece)) = output.next().await {
        rest.extend_from_slice(&piece);
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line = rest.split_to(end + 1);
            let Ok(completed) = serde_json::from_slice(&line) else { return };
            if teller.send(completed).is_err() {
                return;
            }
        }
    }
}

/// Reads an order.
fn order(line: &str) -> Result<Order> {
    serde_json::from_str(line).context("this is no order for clients")
}
