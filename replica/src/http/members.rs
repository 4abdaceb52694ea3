//! The administrator's routes, the same at a replica and at the gateway: who the members are, how
//! they change, and who leads.
//!
//! `GET /v1/members` tells what one replica knows. `POST /v1/members` changes the members and is
//! answered once the whole change is committed; `POST /v1/transfer` hands leadership over and is
//! answered once another leads. Both are taken to the leader as every other request is.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use consensus_core::{Change, Epoch, Index, NodeId, Status};
use serde::{Deserialize, Serialize};

use super::{
    api::{Call, Reason, Refused, Reply},
    extract::{self, Terms},
    kv::{Serve, answer_within, given},
};
use crate::membership::{MemberView, View};

/// How long a change of the members or of the leader may take, if the request does not say.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// What `GET /v1/members` answers: the configuration as one replica knows it, and what its gossip
/// knows of everybody.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Members {
    /// Which replica says so.
    pub according_to: NodeId,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// The epoch that it knows of.
    pub epoch: Epoch,
    /// The last position that it knows to be committed.
    pub commit: Index,
    /// Who votes; in a joint configuration, in either set.
    pub voters: Vec<NodeId>,
    /// Who learns without a vote.
    pub learners: Vec<NodeId>,
    /// Whether a change of the members is under way.
    pub changing: bool,
    /// The replicas that are members, or that gossip knows, by ascending identity.
    pub known: Vec<Known>,
}

/// One replica, as another one knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Known {
    /// Which.
    pub node: NodeId,
    /// Its part in the configuration.
    pub part: Part,
    /// `alive`, `suspect`, `dead` or `left`, as gossip says; `unknown` if it does not say.
    pub state: String,
    /// Where clients reach it; empty if nobody knows.
    pub client_address: String,
    /// Where other replicas reach it; empty if nobody knows.
    pub peer_address: String,
}

/// A replica's part in a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// It votes.
    Voter,
    /// It receives the log, and does not vote.
    Learner,
    /// It is no member.
    None,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Voter => "voter",
            Self::Learner => "learner",
            Self::None => "no member",
        })
    }
}

impl Members {
    /// What a replica knows, put together.
    pub(crate) fn new(status: &Status, view: &View) -> Self {
        let replicas = view.members.iter().filter(|member| !member.gateway);
        let named = status.members.iter().chain(&status.learners).copied();
        let mut nodes: Vec<_> = replicas.map(|member| member.node).chain(named).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let known = nodes.into_iter().map(|node| Known::new(node, status, view.member(node)));
        Self {
            according_to: status.node,
            leader: status.leader,
            epoch: status.epoch,
            commit: status.commit,
            voters: status.members.clone(),
            learners: status.learners.clone(),
            changing: status.changing,
            known: known.collect(),
        }
    }
}

impl Known {
    fn new(node: NodeId, status: &Status, seen: Option<&MemberView>) -> Self {
        let part = match (status.members.contains(&node), status.learners.contains(&node)) {
            (true, _) => Part::Voter,
            (false, true) => Part::Learner,
            (false, false) => Part::None,
        };
        let told = |of: fn(&MemberView) -> &str| seen.map_or("", of).to_owned();
        Self {
            node,
            part,
            state: seen.map_or("unknown", |seen| &seen.state).to_owned(),
            client_address: told(|seen| &seen.client_address),
            peer_address: told(|seen| &seen.peer_address),
        }
    }
}

/// The body of `POST /v1/transfer`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transfer {
    /// To whom; to whichever is best, if nobody is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<NodeId>,
}

/// The routes, to which the server adds its own.
pub(crate) fn routes<S: Serve>() -> Router<Arc<S>> {
    Router::new()
        .route("/v1/members", get(list::<S>).post(change::<S>))
        .route("/v1/transfer", post(transfer::<S>))
}

type Server<S> = State<Arc<S>>;
type Body = Result<Bytes, BytesRejection>;

async fn list<S: Serve>(State(server): Server<S>) -> Response {
    match server.members().await {
        Ok(members) => Json(members).into_response(),
        Err(refused) => Reply::Refused(refused).into_response(),
    }
}

async fn change<S: Serve>(State(server): Server<S>, headers: HeaderMap, body: Body) -> Response {
    let call = given(body).and_then(|body| reconfigure(&body));
    answer_within(&*server, call, Terms::within(&headers, DEFAULT_DEADLINE)).await
}

async fn transfer<S: Serve>(State(server): Server<S>, headers: HeaderMap, body: Body) -> Response {
    let call = given(body).and_then(|body| hand_over(&body));
    answer_within(&*server, call, Terms::within(&headers, DEFAULT_DEADLINE)).await
}

/// A change of the members from its JSON.
fn reconfigure(body: &[u8]) -> Result<Call, Refused> {
    let change: Change = read(body)?;
    if change == Change::default() {
        let why = "a change of the members says whom to add, to let learn, or to remove";
        return Err(extract::malformed(why));
    }
    Ok(Call::Reconfigure(change))
}

/// A transfer from its JSON; nothing at all leaves the choice to the leader.
fn hand_over(body: &[u8]) -> Result<Call, Refused> {
    let Transfer { to } = if body.is_empty() { Transfer::default() } else { read(body)? };
    match to {
        Some(NodeId(0)) => Err(extract::malformed("node 0 is no node")),
        to => Ok(Call::Transfer(to)),
    }
}

fn read<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, Refused> {
    let read = serde_json::from_slice(body);
    read.map_err(|error| Refused::new(Reason::Malformed, format!("the body: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_and_nonsense_is_refused_in_a_sentence() {
        let call = reconfigure(br#"{"add": [4], "remove": [1]}"#);
        assert_eq!(call, Ok(Call::Reconfigure(Change::replace(NodeId(1), NodeId(4)))));
        for (bad, word) in [
            (&b"{}"[..], "whom to add"),
            (br#"{"ad": [4]}"#, "unknown field"),
            (br#"{"add": 4}"#, "invalid type"),
            (b"", "EOF"),
        ] {
            let refused = reconfigure(bad).unwrap_err();
            assert_eq!(refused.reason, Reason::Malformed);
            assert!(refused.error.contains(word), "{}", refused.error);
        }
    }

    #[test]
    fn a_transfer_may_leave_the_choice_to_the_leader() {
        assert_eq!(hand_over(b""), Ok(Call::Transfer(None)));
        assert_eq!(hand_over(br#"{"to": 2}"#), Ok(Call::Transfer(Some(NodeId(2)))));
        assert!(hand_over(br#"{"to": 0}"#).unwrap_err().error.contains("node 0"));
    }

    #[test]
    fn members_and_those_whom_gossip_knows_are_told_together() {
        let status = Status {
            node: NodeId(1),
            members: vec![NodeId(1), NodeId(2)],
            learners: vec![NodeId(4)],
            ..Status::default()
        };
        let members = Members::new(&status, &View::default());
        let parts: Vec<_> = members.known.iter().map(|known| (known.node.0, known.part)).collect();
        assert_eq!(parts, [(1, Part::Voter), (2, Part::Voter), (4, Part::Learner)]);
        assert!(members.known.iter().all(|known| known.state == "unknown"));
    }
}
