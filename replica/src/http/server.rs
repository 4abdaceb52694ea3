//! A replica's HTTP server: the client API, and the administrator's.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body as HttpBody,
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use bytes::Bytes;
use consensus_core::{
    ChangeError, NodeId, Refusal, Status, Wire as _,
    kv::{Answer as KvAnswer, Query as KvQuery},
    session::{ClientCommand, Reply as SessionReply},
    storage::Durability,
};
use faults::{ClockOrder, DiskFailure, DiskOrder, LinkRules, links};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, oneshot, watch},
    time::timeout,
};
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;

use super::{
    api::{Call, Numbered, Reason, Refused, Reply},
    extract::Terms,
    forward::{Forwarder, not_leader},
    kv::{self, Serve},
    members::Members,
};
use crate::{
    clock,
    counters::{Counters, Counts},
    disks::Disks,
    links::Links,
    membership::View,
    runtime::{Answer, Inspect, Inspection, Loop, NotTaken, Request, Wanted, journal::Live},
    storage::StorageKind,
};

/// How many client requests may be under way.
pub(crate) const MAX_IN_FLIGHT: usize = 4_096;
/// How long the consensus loop may take to answer for being alive.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);

/// What the handlers share.
pub(crate) struct Server {
    pub(crate) about: About,
    pub(crate) consensus: Arc<dyn Loop>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) forwarder: Forwarder,
    pub(crate) links: Arc<Links>,
    pub(crate) disks: Arc<Disks>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) live: Live,
    pub(crate) in_flight: Semaphore,
    pub(crate) stop: CancellationToken,
}

/// What does not change while the replica runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct About {
    /// The replica.
    pub node: NodeId,
    /// Which of its lives.
    pub incarnation: u64,
    /// The cluster's name.
    pub cluster: String,
    /// The protocol's name.
    pub protocol: String,
    /// What holds its log.
    pub storage: StorageKind,
    /// What a sync is worth there.
    pub durability: Durability,
}

/// What `/v1/status` answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What does not change.
    #[serde(flatten)]
    pub about: About,
    /// The protocol's view.
    pub status: Status,
    /// The last position applied.
    pub applied: u64,
    /// How many client sessions are remembered.
    pub sessions: usize,
    /// What the key holds here that was asked for (`?key=`).
    pub value: Option<String>,
    /// Gossip's view.
    pub gossip: View,
    /// What was counted.
    pub counters: Counts,
    /// What the link faults did.
    pub links: links::Counters,
}

type Shared = State<Arc<Server>>;

/// The routes of a replica.
pub(crate) fn routes(server: Arc<Server>) -> Router {
    kv::routes::<Server>()
        .route("/v1/status", get(status))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/admin/links", put(set_links))
        .route("/admin/disk", put(set_disk))
        .route("/admin/clock", put(set_clock))
        .route("/admin/events", get(events))
        .route("/admin/stop", post(stop))
        .with_state(server)
}

impl Serve for Server {
    async fn serve(&self, call: Call, terms: Terms) -> (Reply, Option<NodeId>) {
        self.counters.requests_total.add(1);
        let reply = self.perform(&call, terms).await;
        (reply, self.status.borrow().leader)
    }

    async fn members(&self) -> Result<Members, Refused> {
        match self.inspect(None).await {
            Some(Inspection { status, .. }) => {
                Ok(Members::new(&status, &self.forwarder.view.borrow()))
            }
            None => Err(Refused::new(Reason::Unavailable, "the consensus loop does not answer")),
        }
    }
}

impl Server {
    async fn perform(&self, call: &Call, terms: Terms) -> Reply {
        let Ok(_permit) = self.in_flight.try_acquire() else {
            self.counters.limited_total.add(1);
            return refused(Reason::Overloaded, "too many requests are under way here");
        };
        let started = clock::now();
        let leader = match self.ask(call, terms).await {
            Ok(reply) => return reply,
            Err(NotLeader(leader)) => leader,
        };
        let deadline = terms.deadline.saturating_sub(clock::now().since(started));
        let terms = Terms { deadline, ..terms };
        match self.forwarder.target(leader, terms) {
            None => not_leader(leader),
            Some(target) => {
                self.counters.forwarded_total.add(1);
                self.forwarder.forward(&target, call, terms).await.reply
            }
        }
    }

    /// Asks the consensus loop, and no longer than the deadline.
    async fn ask(&self, call: &Call, terms: Terms) -> Result<Reply, NotLeader> {
        let (answer, answered) = oneshot::channel();
        let request = Request { wanted: wanted(call, terms.numbered), answer };
        match self.consensus.request(request) {
            Ok(()) => {}
            Err(NotTaken::Full) => {
                self.counters.limited_total.add(1);
                return Ok(refused(Reason::Overloaded, "the replica's inbox is full"));
            }
            Err(why) => return Ok(refused(Reason::Unavailable, &why.to_string())),
        }
        let why = match timeout(terms.deadline, answered).await {
            Ok(Ok(Answer::Refused(Refusal::NotLeader { leader }))) => {
                return Err(NotLeader(leader));
            }
            Ok(Ok(answer)) => return Ok(reply(call, answer)),
            Ok(Err(_)) => "the replica stopped before it answered",
            Err(_) => "no answer came in time",
        };
        Ok(perhaps(call, why))
    }

    async fn inspect(&self, key: Option<String>) -> Option<Inspection> {
        let (answer, answered) = oneshot::channel();
        self.consensus.inspect(Inspect { key: key.map(Bytes::from), answer }).ok()?;
        timeout(ALIVE_WITHIN, answered).await.ok()?.ok()
    }
}

/// The replica refused, for it does not lead; it knows of this leader.
struct NotLeader(Option<NodeId>);

fn wanted(call: &Call, numbered: Option<Numbered>) -> Wanted {
    match call {
        Call::OpenSession => Wanted::Propose(ClientCommand::open().to_bytes()),
        Call::Change(operation) => {
            let operation = operation.to_bytes();
            let command = match numbered {
                None => ClientCommand::once(operation),
                Some(Numbered { session, sequence, first_unanswered }) => ClientCommand {
                    session: session.0,
                    sequence,
                    first_unanswered,
                    operation: Some(operation),
                },
            };
            Wanted::Propose(command.to_bytes())
        }
        Call::Read { key, consistency } => {
            let query = KvQuery { key: key.clone() }.to_bytes();
            Wanted::Read { query, consistency: *consistency }
        }
        Call::Reconfigure(change) => Wanted::Reconfigure(change.clone()),
        Call::Transfer(to) => Wanted::Transfer(*to),
    }
}

fn reply(call: &Call, answer: Answer) -> Reply {
    match answer {
        Answer::Done => Reply::done(),
        Answer::Read(bytes) => answered(bytes),
        Answer::Applied(SessionReply::Answered(bytes)) => answered(bytes),
        Answer::Applied(SessionReply::Opened(session)) => Reply::Opened(session),
        Answer::Applied(SessionReply::UnknownSession) => {
            refused(Reason::UnknownSession, "the session is unknown or forgotten")
        }
        Answer::Applied(SessionReply::AlreadyAcknowledged) => {
            refused(Reason::AlreadyAcknowledged, "this answer was acknowledged already")
        }
        Answer::Applied(SessionReply::TooManyUnacknowledged) => {
            refused(Reason::TooManyUnacknowledged, "the session holds too many unheard answers")
        }
        Answer::Applied(SessionReply::Malformed(error)) => {
            refused(Reason::Malformed, &error.to_string())
        }
        Answer::Refused(why) => {
            let reason = match why {
                Refusal::NotLeader { .. } => Reason::NotLeader,
                Refusal::Overloaded => Reason::Overloaded,
                Refusal::TooLarge => Reason::TooLarge,
                Refusal::Transferring(_) => Reason::NotLeader,
                Refusal::Unsupported(_) => Reason::Unsupported,
                Refusal::ChangeUnderWay(_) => Reason::ChangeUnderWay,
                Refusal::BadChange(ChangeError::Nothing | ChangeError::NoMember(_)) => {
                    Reason::NothingToChange
                }
                Refusal::BadChange(_) => Reason::Malformed,
                Refusal::NotCaughtUp(_) => Reason::NotCaughtUp,
                Refusal::NotTransferred(_) => Reason::NotTransferred,
            };
            refused(reason, &why.to_string())
        }
        Answer::Unknown => perhaps(call, "leadership was lost before it was done"),
    }
}

fn answered(bytes: Bytes) -> Reply {
    match KvAnswer::from_bytes(bytes) {
        Ok(answer) if answer.malformed.is_empty() => Reply::Done(answer),
        Ok(answer) => refused(Reason::Malformed, &answer.malformed),
        Err(error) => Reply::Unknown(format!("the state machine's answer: {error}")),
    }
}

/// A read that was not answered did nothing; a change may have.
fn perhaps(call: &Call, why: &str) -> Reply {
    match call.is_read() {
        true => refused(Reason::TooLate, why),
        false => Reply::Unknown(why.to_owned()),
    }
}

fn refused(reason: Reason, error: &str) -> Reply {
    Reply::Refused(Refused::new(reason, error))
}

/// The query of `/v1/status`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusQuery {
    key: Option<String>,
}

async fn status(
    State(server): Shared,
    query: Result<Query<StatusQuery>, QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(error) => return refused(Reason::Malformed, &error.body_text()).into_response(),
    };
    let Some(inspection) = server.inspect(query.key).await else {
        return refused(Reason::Unavailable, "the consensus loop does not answer").into_response();
    };
    let text = |value: Bytes| String::from_utf8_lossy(&value).into_owned();
    Json(Report {
        about: server.about.clone(),
        status: inspection.status,
        applied: inspection.applied,
        sessions: inspection.sessions,
        value: inspection.value.map(text),
        gossip: server.forwarder.view.borrow().clone(),
        counters: server.counters.read(),
        links: server.links.counters(),
    })
    .into_response()
}

async fn livez(State(server): Shared) -> (StatusCode, &'static str) {
    match server.inspect(None).await {
        Some(_) => (StatusCode::OK, "alive\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the consensus loop does not turn\n"),
    }
}

async fn readyz(State(server): Shared) -> (StatusCode, &'static str) {
    match server.status.borrow().leader {
        Some(_) => (StatusCode::OK, "ready\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no leader is known\n"),
    }
}

async fn metrics(State(server): Shared) -> impl IntoResponse {
    let mut text = String::new();
    server.counters.read().render(&mut text);
    let links = serde_json::to_value(server.links.counters()).expect("counters are plain JSON");
    for (name, value) in links.as_object().into_iter().flatten() {
        let name = format!("consensus_link_faults_{name}_total");
        text.push_str(&format!("# TYPE {name} counter\n{name} {value}\n"));
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

async fn set_links(State(server): Shared, body: Bytes) -> Response {
    match serde_json::from_slice::<LinkRules>(&body) {
        Ok(rules) => {
            tracing::info!(rules = rules.rules.len(), "link rules installed");
            server.links.install(&rules);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => {
            refused(Reason::Malformed, &format!("these are no link rules: {error}")).into_response()
        }
    }
}

async fn set_disk(State(server): Shared, body: Bytes) -> Response {
    match serde_json::from_slice::<DiskOrder>(&body) {
        Ok(DiskOrder { rules, .. }) if rules.fails == Some(DiskFailure::Torn) => {
            let why = "no record is torn here: its storage writes it";
            refused(Reason::Malformed, why).into_response()
        }
        Ok(order) => {
            tracing::info!(rules = ?order.rules, "disk rules installed");
            server.disks.install(order);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => {
            refused(Reason::Malformed, &format!("these are no disk rules: {error}")).into_response()
        }
    }
}

async fn set_clock(State(server): Shared, body: Bytes) -> Response {
    let order = match serde_json::from_slice::<ClockOrder>(&body) {
        Ok(order) if order.is_sane() => order,
        Ok(_) => return refused(Reason::Malformed, "no clock runs at such a rate").into_response(),
        Err(error) => {
            let why = format!("this is nothing to tell a clock: {error}");
            return refused(Reason::Malformed, &why).into_response();
        }
    };
    tracing::info!(?order, "the clock is told");
    match server.consensus.set_clock(order) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(Reason::Unavailable, &error.to_string()).into_response(),
    }
}

/// The query of `/admin/events`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// `false`: without what happens at every operation.
    routine: Option<bool>,
}

/// Observed events as they happen, one JSON line each, until the watcher or the replica goes. A
/// watcher that lags too far behind misses some; the event log has them all.
async fn events(
    State(server): Shared,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Response {
    let watched = match query {
        Ok(Query(EventsQuery { routine: Some(false) })) => server.live.seldom(),
        Ok(Query(EventsQuery { routine: None | Some(true) })) => server.live.everything(),
        Err(error) => return refused(Reason::Malformed, &error.body_text()).into_response(),
    };
    let lines = BroadcastStream::new(watched)
        .filter_map(async |line| line.ok())
        .map(Ok::<Bytes, Infallible>)
        .take_until(server.stop.clone().cancelled_owned());
    ([(CONTENT_TYPE, "application/x-ndjson")], HttpBody::from_stream(lines)).into_response()
}

async fn stop(State(server): Shared) -> &'static str {
    tracing::info!("asked to stop");
    server.stop.cancel();
    "stopping\n"
}
