//! The key-value routes, the same at a replica and at the gateway; and what both can answer.

use std::{future::Future, sync::Arc};

use axum::{
    Router,
    extract::{
        DefaultBodyLimit, Path, Query, State,
        rejection::{BytesRejection, PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use consensus_core::{NodeId, kv::Operation};

use super::{
    api::{Call, LEADER, Reason, Refused, Reply},
    extract::{self, MAX_BODY_BYTES, ReadQuery, Terms},
    members::{self, Members},
};

/// Whoever can answer calls.
pub(crate) trait Serve: Send + Sync + 'static {
    /// Answers a call, and says who leads.
    fn serve(
        &self,
        call: Call,
        terms: Terms,
    ) -> impl Future<Output = (Reply, Option<NodeId>)> + Send;

    /// Says who the members are, and where.
    fn members(&self) -> impl Future<Output = Result<Members, Refused>> + Send;
}

/// The routes, to which the server adds its own.
pub(crate) fn routes<S: Serve>() -> Router<Arc<S>> {
    Router::new()
        .route("/v1/kv/{key}", get(read::<S>).put(write::<S>).delete(delete::<S>))
        .route("/v1/kv/{key}/compare-and-swap", post(compare_and_swap::<S>))
        .route("/v1/test-and-set/{key}", post(test_and_set::<S>))
        .route("/v1/session", post(open_session::<S>))
        .merge(members::routes::<S>())
        .fallback(async || Reply::Refused(Refused::new(Reason::NotFound, "there is no such path")))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

type Server<S> = State<Arc<S>>;
type Key = Result<Path<String>, PathRejection>;
type Body = Result<Bytes, BytesRejection>;

async fn read<S: Serve>(
    State(server): Server<S>,
    key: Key,
    query: Result<Query<ReadQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let query = query.map_err(|error| extract::malformed(&error.body_text()));
    let call = query.and_then(|Query(query)| extract::read(named(key)?, &query));
    answer(&*server, call, &headers).await
}

async fn write<S: Serve>(
    State(server): Server<S>,
    key: Key,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let put = |value| extract::change(Operation::put(named(key)?, value));
    answer(&*server, given(body).and_then(put), &headers).await
}

async fn delete<S: Serve>(State(server): Server<S>, key: Key, headers: HeaderMap) -> Response {
    let call = named(key).and_then(|key| extract::change(Operation::delete(key)));
    answer(&*server, call, &headers).await
}

async fn compare_and_swap<S: Serve>(
    State(server): Server<S>,
    key: Key,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let swap = |body| extract::swap(named(key)?, &body);
    answer(&*server, given(body).and_then(swap), &headers).await
}

async fn test_and_set<S: Serve>(
    State(server): Server<S>,
    key: Key,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let set = |value| extract::change(Operation::test_and_set(named(key)?, value));
    answer(&*server, given(body).and_then(set), &headers).await
}

async fn open_session<S: Serve>(State(server): Server<S>, headers: HeaderMap) -> Response {
    answer(&*server, Ok(Call::OpenSession), &headers).await
}

fn named(key: Key) -> Result<String, Refused> {
    key.map(|Path(key)| key).map_err(|error| extract::malformed(&error.body_text()))
}

pub(crate) fn given(body: Body) -> Result<Bytes, Refused> {
    body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refused::new(Reason::TooLarge, error.body_text()),
        _ => extract::malformed(&error.body_text()),
    })
}

async fn answer<S: Serve>(
    server: &S,
    call: Result<Call, Refused>,
    headers: &HeaderMap,
) -> Response {
    answer_within(server, call, Terms::of(headers)).await
}

/// Answers a call on these terms, or says what is wrong with either.
pub(crate) async fn answer_within<S: Serve>(
    server: &S,
    call: Result<Call, Refused>,
    terms: Result<Terms, Refused>,
) -> Response {
    let (reply, leader) = match call.and_then(|call| Ok((call, terms?))) {
        Ok((call, terms)) => server.serve(call, terms).await,
        Err(refused) => (Reply::Refused(refused), None),
    };
    // Whoever had to be passed on learns where to go next time.
    match leader {
        Some(leader) => ([(LEADER, leader.to_string())], reply).into_response(),
        None => reply.into_response(),
    }
}
