//! Introductions: whether a name is its bearer's own (see [`crate::identity`]).

use std::{sync::Arc, time::Duration};

use consensus_core::{Index, NodeId};
use faults::Channel;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status, Streaming,
    transport::server::{Server, TcpIncoming},
};

use super::{
    Identity,
    wire::{
        Farewell, Hello, Introduction, Packet, Received, Shipped,
        transport_client::TransportClient,
        transport_server::{Transport, TransportServer},
    },
};
use crate::{
    counters::Counters,
    identity::{Acquaintances, DiskId, Met},
    links::Links,
};

/// How long somebody may take to answer an introduction.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// What somebody says to whom is introduced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    /// Whether the name is known with another disk.
    pub(crate) taken: bool,
    /// The answerer's own disk.
    pub(crate) disk: DiskId,
    /// Who votes, as far as it knows.
    pub(crate) voters: Vec<NodeId>,
    /// How far it knows the log to be committed.
    pub(crate) commit: Index,
}

/// Introduces this replica to another one, at `host:port`; `None` if that does not answer, or is
/// somebody else.
pub(crate) async fn ask(me: &Identity, to: NodeId, address: &str) -> Option<Answer> {
    let endpoint = me.security.endpoint(address).ok()?;
    let endpoint = endpoint.connect_timeout(ANSWER_LIMIT).timeout(ANSWER_LIMIT);
    let mut client = TransportClient::new(endpoint.connect().await.ok()?);
    let Introduction { taken, disk, voters, commit } =
        client.introduce(me.greet(to)).await.ok()?.into_inner();
    let voters = voters.into_iter().map(NodeId).collect();
    Some(Answer { taken, disk: DiskId::from_wire(&disk)?, voters, commit })
}

/// Remembers who called, or refuses a stranger.
pub(super) fn meet(
    acquaintances: &Acquaintances,
    counters: &Counters,
    from: NodeId,
    disk: &DiskId,
) -> Result<(), Status> {
    match acquaintances.meet(from, disk) {
        Ok(Met::Known) => Ok(()),
        Ok(Met::Stranger) => {
            counters.strangers_refused_total.add(1);
            let text = format!("node {from} is known here with another disk");
            Err(Status::failed_precondition(text))
        }
        Err(error) => Err(unwritten(&error)),
    }
}

fn unwritten(error: &dyn std::fmt::Display) -> Status {
    tracing::error!(%error, "whom this replica meets cannot be remembered");
    Status::internal("whom this replica meets cannot be remembered")
}

/// Whoever is asked.
pub(super) struct Host<'a> {
    pub(super) identity: &'a Identity,
    pub(super) links: &'a Links,
    pub(super) acquaintances: &'a Acquaintances,
}

impl Host<'_> {
    /// Answers an introduction.
    pub(super) fn answer(
        &self,
        hello: &Hello,
        voters: &[NodeId],
        commit: Index,
    ) -> Result<Introduction, Status> {
        let (from, disk) = self.identity.admit(hello).map_err(|status| *status)?;
        if !self.links.admits(from, Channel::Consensus) {
            return Err(Status::unavailable("there is no link"));
        }
        let met = self.acquaintances.meet(from, &disk).map_err(|error| unwritten(&error))?;
        Ok(Introduction {
            taken: met == Met::Stranger,
            disk: self.identity.disk.to_string(),
            voters: voters.iter().map(|voter| voter.0).collect(),
            commit,
        })
    }
}

/// The server of a replica that is not yet admitted: it answers introductions, and takes no messages.
pub(crate) struct Reception {
    pub(crate) identity: Identity,
    pub(crate) links: Arc<Links>,
    pub(crate) acquaintances: Arc<Acquaintances>,
    /// The voters before the first entry.
    pub(crate) members: Vec<NodeId>,
}

impl Reception {
    /// Serves until the task is ended.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let security = self.identity.security.clone();
        let served = async {
            let mut server = security.server(Server::builder())?;
            server.add_service(TransportServer::new(self)).serve_with_incoming(incoming).await
        };
        if let Err(error) = served.await {
            tracing::error!(%error, "the server for introductions ended");
        }
    }
}

#[tonic::async_trait]
impl Transport for Reception {
    async fn exchange(&self, _: Request<Streaming<Packet>>) -> Result<Response<Farewell>, Status> {
        Err(Status::unavailable("this replica is not admitted yet"))
    }

    async fn stage(&self, _: Request<Shipped>) -> Result<Response<Received>, Status> {
        Err(Status::unavailable("this replica is not admitted yet"))
    }

    async fn introduce(&self, request: Request<Hello>) -> Result<Response<Introduction>, Status> {
        let Self { identity, links, acquaintances, members } = self;
        let host = Host { identity, links, acquaintances };
        host.answer(request.get_ref(), members, 0).map(Response::new)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::identity, *};
    use crate::security::{Security, tests::certified};

    fn speaking(node: u64, security: &Security) -> Identity {
        Identity { security: security.clone(), ..identity(node) }
    }

    #[tokio::test]
    async fn whoever_shows_no_certificate_of_the_cluster_is_not_answered_nor_believed() {
        let all = [Security::Plain, certified(), certified()];
        for (which, ours) in all.iter().enumerate() {
            let place = tempfile::tempdir().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let reception = Reception {
                identity: speaking(1, ours),
                links: Arc::new(Links::new(NodeId(1), None)),
                acquaintances: Arc::new(Acquaintances::of(place.path()).unwrap()),
                members: vec![NodeId(1), NodeId(2)],
            };
            let serving = tokio::spawn(reception.serve(listener));
            for (other, theirs) in all.iter().enumerate() {
                let answer = ask(&speaking(2, theirs), NodeId(1), &address).await;
                assert_eq!(answer.is_some(), which == other, "{theirs:?} asks {ours:?}");
            }
            serving.abort();
        }
    }
}
