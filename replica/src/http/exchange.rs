//! One request to one server, and what its answer, or its silence, means.

use std::time::Duration;

use bytes::Bytes;
use consensus_core::{
    Consistency, NodeId,
    kv::{Change, CompareAndSwap},
};
use reqwest::{Client, Method, RequestBuilder, Url};
use serde::Serialize;

use super::{
    api::{
        Body, Call, DEADLINE_MS, FIRST_UNANSWERED, HOPS, LEADER, Numbered, Reason, Refused, Reply,
        SEQUENCE, SESSION, Swap, to_text,
    },
    members::{Members, Transfer},
};

/// How much longer than the server's deadline the client waits for the answer.
const GRACE: Duration = Duration::from_millis(50);

/// What one request came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Exchanged {
    pub(crate) reply: Reply,
    /// Who leads, according to the answer.
    pub(crate) leader: Option<NodeId>,
    /// Whether the server itself answered.
    pub(crate) server: Server,
}

impl Exchanged {
    /// Whether the server did what it was asked for.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.reply, Reply::Done(_) | Reply::Opened(_))
    }
}

/// How the server behaved, for the circuit breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Server {
    Answered,
    Silent,
}

/// A client for exchanges: connections are kept, proxies and redirects are not followed.
pub(crate) fn http_client() -> reqwest::Result<Client> {
    Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_millis(500))
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// Sends a call to a server, as `host:port`, and waits no longer than the deadline.
pub(crate) async fn exchange(
    http: &Client,
    server: &str,
    call: &Call,
    numbered: Option<Numbered>,
    deadline: Duration,
    hops: u32,
) -> Exchanged {
    let Some(request) = build(http, server, call) else {
        let refused = Refused::new(Reason::Unavailable, format!("{server} cannot be asked that"));
        return silent(Reply::Refused(refused));
    };
    let mut request = request.header(DEADLINE_MS, deadline.as_millis().to_string());
    if hops > 0 {
        request = request.header(HOPS, hops.to_string());
    }
    if let Some(Numbered { session, sequence, first_unanswered }) = numbered {
        request = request
            .header(SESSION, session.0.to_string())
            .header(SEQUENCE, sequence.to_string())
            .header(FIRST_UNANSWERED, first_unanswered.to_string());
    }
    match request.timeout(deadline + GRACE).send().await {
        Ok(response) => heard(response, call).await,
        Err(error) => silent(unheard(server, call, &error)),
    }
}

fn build(http: &Client, server: &str, call: &Call) -> Option<RequestBuilder> {
    let mut url = Url::parse(&format!("http://{server}/v1")).ok()?;
    let (method, body) = {
        let mut path = url.path_segments_mut().ok()?;
        match call {
            Call::OpenSession => {
                path.push("session");
                (Method::POST, Bytes::new())
            }
            Call::Reconfigure(change) => {
                path.push("members");
                (Method::POST, json(change))
            }
            Call::Transfer(to) => {
                path.push("transfer");
                (Method::POST, json(&Transfer { to: *to }))
            }
            Call::Read { key, .. } => {
                path.push("kv").push(std::str::from_utf8(key).ok()?);
                (Method::GET, Bytes::new())
            }
            Call::Change(operation) => {
                let key = std::str::from_utf8(&operation.key).ok()?;
                match operation.change.as_ref()? {
                    Change::Put(value) => {
                        path.push("kv").push(key);
                        (Method::PUT, value.clone())
                    }
                    Change::Delete(()) => {
                        path.push("kv").push(key);
                        (Method::DELETE, Bytes::new())
                    }
                    Change::CompareAndSwap(swap) => {
                        path.push("kv").push(key).push("compare-and-swap");
                        (Method::POST, swap_body(swap))
                    }
                    Change::TestAndSet(value) => {
                        path.push("test-and-set").push(key);
                        (Method::POST, value.clone())
                    }
                }
            }
        }
    };
    if let Call::Read { consistency, .. } = call
        && *consistency != Consistency::Linearizable
    {
        url.query_pairs_mut().append_pair("consistency", consistency.name());
    }
    Some(http.request(method, url).body(body))
}

fn json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("what is asked for is plain JSON").into()
}

fn swap_body(CompareAndSwap { expected, value }: &CompareAndSwap) -> Bytes {
    let (expected, expected_base64) = expected.as_ref().map_or((None, None), to_text);
    let (value, value_base64) = to_text(value);
    json(&Swap { expected, expected_base64, value, value_base64 })
}

/// Asks a server who the members are; `None` if it does not say.
pub(crate) async fn members(http: &Client, server: &str, deadline: Duration) -> Option<Members> {
    let asked = http.get(format!("http://{server}/v1/members")).timeout(deadline).send().await;
    asked.ok()?.error_for_status().ok()?.json().await.ok()
}

async fn heard(response: reqwest::Response, call: &Call) -> Exchanged {
    let leader = response.headers().get(LEADER).and_then(|value| value.to_str().ok());
    let leader = leader.and_then(|text| text.parse().ok()).map(NodeId);
    let status = response.status();
    let body = response.bytes().await;
    let body = body.ok().and_then(|body| serde_json::from_slice::<Body>(&body).ok());
    let reply = match body.map(Reply::try_from) {
        Some(Ok(reply)) => reply,
        _ => ambiguous(call, format!("the answer, of status {status}, cannot be read")),
    };
    let leader = match &reply {
        Reply::Refused(refused) => refused.leader.or(leader),
        _ => leader,
    };
    Exchanged { reply, leader, server: Server::Answered }
}

fn silent(reply: Reply) -> Exchanged {
    Exchanged { reply, leader: None, server: Server::Silent }
}

/// What was never sent was never done; anything else may have been.
fn unheard(server: &str, call: &Call, error: &reqwest::Error) -> Reply {
    if error.is_connect() || error.is_builder() {
        let refused = Refused::new(Reason::Unavailable, format!("{server} is not there"));
        return Reply::Refused(refused);
    }
    let why = match error.is_timeout() {
        true => format!("{server} did not answer in time"),
        false => format!("the connection to {server} broke"),
    };
    ambiguous(call, why)
}

/// Nobody knows whether a change was done; a read changes nothing, whatever became of it.
fn ambiguous(call: &Call, why: String) -> Reply {
    match call.is_read() {
        true => Reply::Refused(Refused::new(Reason::TooLate, why)),
        false => Reply::Unknown(why),
    }
}
