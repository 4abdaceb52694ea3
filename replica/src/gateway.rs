//! The gateway: the web server of the setting. It keeps no state of its own that matters, finds the
//! replicas by gossip, and takes each request to the leader.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use consensus_core::{Draw, NodeId, Status};
use gossip::{Metadata, gateway_id};
use tokio::{
    sync::{Semaphore, oneshot, watch},
    task::JoinSet,
};

use crate::{
    client::{Client, ClientOptions},
    config::{Addresses, Listen, Parent, ReplicaError},
    counters::Counters,
    http::{
        api::{Call, Reason, Refused, Reply},
        extract::Terms,
        kv::{self, Serve},
        members::Members,
        server::MAX_IN_FLIGHT,
    },
    links::Links,
    listen,
    membership::{self, Membership, Start, View},
    process,
};

/// One gateway.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// The cluster's name: gossip of other clusters is dropped.
    pub cluster: String,
    /// HTTP, for clients. Port 0 takes a free one, and so does a port that is in use.
    pub client: SocketAddr,
    /// UDP, for gossip.
    pub gossip: SocketAddr,
    /// The address under which others reach this host; needed if the others are unspecified.
    pub advertise: Option<IpAddr>,
    /// Gossip addresses of replicas, HOST:PORT, of which one must be there. Names are looked up again and
    /// again.
    pub seeds: Vec<String>,
    /// Where to write [`ADDRESS_FILE`](crate::ADDRESS_FILE), if anywhere.
    pub data: Option<PathBuf>,
    /// What the parent's end means.
    pub parent: Parent,
    /// How requests are taken to the leader.
    pub client_options: ClientOptions,
}

impl GatewayConfig {
    /// A gateway on loopback, on free ports.
    pub fn new(cluster: impl Into<String>, seeds: Vec<String>) -> Self {
        let Listen { client, gossip, .. } = Listen::default();
        Self {
            cluster: cluster.into(),
            client,
            gossip,
            advertise: None,
            seeds,
            data: None,
            parent: Parent::Outlive,
            client_options: ClientOptions::default(),
        }
    }
}

/// What the handlers share.
struct Gateway {
    client: Client,
    counters: Arc<Counters>,
    view: watch::Receiver<View>,
    in_flight: Semaphore,
}

/// Runs one gateway until it is told to stop by SIGTERM or ctrl-c.
///
/// # Errors
///
/// If it cannot start.
pub async fn run(config: GatewayConfig) -> Result<(), ReplicaError> {
    process::follow(config.parent)?;
    let listener = listen::tcp(config.client).await?;
    let socket = listen::udp(config.gossip).await?;
    let addresses = Addresses {
        client: listen::reached_at(listener.local_addr(), config.advertise)?,
        peer: None,
        gossip: listen::reached_at(socket.local_addr(), config.advertise)?,
    };
    // Gateways come and go without a disk: the address tells them apart, and the clock its lives.
    let node = gateway_id(number(addresses.gossip));
    let start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |age| age.as_secs());

    let mut tasks = JoinSet::new();
    let counters = Arc::new(Counters::default());
    let (view, view_of) = watch::channel(View::default());
    let (leave, leaving) = oneshot::channel();
    let (_, status) = watch::channel(Status::default());
    let metadata = Metadata { client_address: addresses.client.to_string(), ..Metadata::default() };
    let membership = Membership {
        socket: Arc::new(socket),
        links: Arc::new(Links::new(node, None)),
        counters: Arc::clone(&counters),
        view,
        metadata,
        status,
        consensus: None,
        leave: leaving,
    };
    let beginning = Start {
        cluster: config.cluster,
        identity: gossip::Identity { node, address: addresses.gossip, start },
        seeds: config.seeds,
        draw: Draw::new(start),
    };
    tasks.spawn(async move {
        if let Err(error) = membership.run(beginning).await {
            tracing::error!(%error, "gossip ended");
        }
    });
    let gateway = Arc::new(Gateway {
        client: Client::new([], config.client_options)?,
        counters,
        view: view_of,
        in_flight: Semaphore::new(MAX_IN_FLIGHT),
    });
    tasks.spawn(follow_view(Arc::clone(&gateway)));
    let routes = kv::routes::<Gateway>()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(gateway);
    tasks.spawn(listen::serve_http(listener, routes));
    if let Some(directory) = &config.data {
        addresses.write(directory)?;
    }
    tracing::info!(client = %addresses.client, gossip = %addresses.gossip, "the gateway started");
    process::told_to_stop().await;
    membership::leave(leave).await;
    Ok(())
}

/// A gateway's number: of the whole address, for pods listen on one port at addresses of their own.
fn number(address: SocketAddr) -> u32 {
    crc32c::crc32c(address.to_string().as_bytes())
}

/// Tells the client what gossip knows of the replicas.
async fn follow_view(gateway: Arc<Gateway>) {
    let mut view = gateway.view.clone();
    loop {
        {
            let view = view.borrow_and_update();
            for member in view.members.iter().filter(|member| !member.gateway) {
                gateway.client.locate(member.node, &member.client_address);
            }
            if let Some(leader) = view.leader {
                gateway.client.suggest_leader(leader);
            }
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}

impl Serve for Gateway {
    async fn serve(&self, call: Call, terms: Terms) -> (Reply, Option<NodeId>) {
        self.counters.requests_total.add(1);
        let Ok(_permit) = self.in_flight.try_acquire() else {
            self.counters.limited_total.add(1);
            let refused = Refused::new(Reason::Overloaded, "too many requests are under way here");
            return (Reply::Refused(refused), None);
        };
        let (reply, told) = self.client.send(&call, terms.numbered, terms.deadline).await;
        self.counters.forwarded_total.add(u64::from(told.attempts));
        (reply, self.client.leader())
    }

    async fn members(&self) -> Result<Members, Refused> {
        let members = self.client.members().await;
        members.ok_or_else(|| Refused::new(Reason::Unavailable, "no replica says"))
    }
}

async fn readyz(State(gateway): State<Arc<Gateway>>) -> (StatusCode, &'static str) {
    match gateway.view.borrow().leader {
        Some(_) => (StatusCode::OK, "ready\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no leader is known\n"),
    }
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> impl IntoResponse {
    let mut text = String::new();
    gateway.counters.read().render(&mut text);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
