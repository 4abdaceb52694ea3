//! Taking a request to the leader: from a follower, over the leader's own client API.

use std::time::Duration;

use consensus_core::NodeId;
use reqwest::Client;
use tokio::sync::watch;

use super::{
    api::{Call, Reason, Refused, Reply},
    exchange::{Exchanged, exchange},
    extract::Terms,
};
use crate::membership::View;

/// How many replicas may pass a request on: a hint may be stale once, but not for ever.
const MAX_HOPS: u32 = 2;
/// The least time that is worth passing a request on for.
const LEAST_TIME: Duration = Duration::from_millis(2);

/// Where to pass requests on, and with what.
#[derive(Debug)]
pub(crate) struct Forwarder {
    pub(crate) node: NodeId,
    pub(crate) http: Client,
    pub(crate) view: watch::Receiver<View>,
}

impl Forwarder {
    /// Where to pass a request on that this replica refused as not leading; `None` if nowhere.
    pub(crate) fn target(&self, leader: Option<NodeId>, terms: Terms) -> Option<String> {
        let view = self.view.borrow();
        let leader = leader.or(view.leader).filter(|&leader| leader != self.node)?;
        let member = view.member(leader)?;
        (terms.hops < MAX_HOPS && terms.deadline > LEAST_TIME)
            .then(|| member.client_address.clone())
    }

    /// Passes a request on and returns what it came to there.
    pub(crate) async fn forward(&self, target: &str, call: &Call, terms: Terms) -> Exchanged {
        let Terms { numbered, deadline, hops } = terms;
        exchange(&self.http, target, call, numbered, deadline, hops + 1).await
    }
}

/// The refusal of a replica that does not lead.
pub(crate) fn not_leader(leader: Option<NodeId>) -> Reply {
    let error = match leader {
        Some(leader) => format!("this replica does not lead; node {leader} does"),
        None => "no leader is known".to_owned(),
    };
    Reply::Refused(Refused { leader, ..Refused::new(Reason::NotLeader, error) })
}
