//! The called end: checks the greeting, then each frame, and hands the messages to the loop.

use std::sync::Arc;

use bytes::Bytes;
use consensus_core::NodeId;
use faults::Channel;
use prost::Message as _;
use tokio::{net::TcpListener, sync::watch};
use tonic::{
    Request, Response, Status, Streaming,
    transport::server::{Server, TcpIncoming},
};

use super::{
    Identity, KEEP_ALIVE, MAX_PACKET_BYTES, Outgoing, Passages, WINDOW_BYTES,
    introduce::{self, Host},
    wire::{
        self, Envelope, Farewell, Hello, Introduction, Packet, Shipped,
        packet::Content,
        transport_server::{Transport, TransportServer},
    },
};
use crate::{
    checksum,
    counters::Counters,
    identity::Acquaintances,
    links::Links,
    runtime::{Loop, NotTaken},
    storage::SnapshotFiles,
};

/// Everything that comes from other replicas.
pub struct Incoming {
    /// Who is called here.
    pub identity: Identity,
    /// What may come in.
    pub links: Arc<Links>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Where the messages go.
    pub consensus: Arc<dyn Loop>,
    /// Where the pieces of snapshots go.
    pub snapshots: Arc<SnapshotFiles>,
    /// Who is known under which name.
    pub acquaintances: Arc<Acquaintances>,
    /// What the replica believes, for those that introduce themselves.
    pub status: watch::Receiver<consensus_core::Status>,
    /// Who would like to know that a peer is there.
    pub outgoing: Arc<Outgoing>,
    /// Where it is written down how long messages were under way; `None`: nowhere.
    pub passages: Option<Passages>,
}

/// Why a frame was not taken.
#[derive(Debug, PartialEq, Eq)]
enum Dropped {
    Cut,
    Damaged,
    Malformed,
    Full,
}

impl Incoming {
    /// Serves peers until the task is ended.
    pub async fn serve(self, listener: TcpListener) {
        let security = self.identity.security.clone();
        let service = TransportServer::new(self).max_decoding_message_size(MAX_PACKET_BYTES);
        let server = Server::builder()
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE));
        let served = async {
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            security.server(server)?.add_service(service).serve_with_incoming(incoming).await
        };
        if let Err(error) = served.await {
            tracing::error!(%error, "the server for peers ended");
        }
    }

    fn take(&self, from: NodeId, frame: Bytes) -> Result<(), Dropped> {
        if !self.links.admits(from, Channel::Consensus) {
            return Err(Dropped::Cut);
        }
        let content = checksum::open(frame).map_err(|_| Dropped::Damaged)?;
        let envelope = Envelope::decode(content).map_err(|_| Dropped::Malformed)?;
        if envelope.from != from.0 || envelope.group != self.identity.group.0 {
            return Err(Dropped::Malformed);
        }
        if let Some(passages) = &self.passages {
            passages.arrived(from, envelope.sent_ns, envelope.sync_ns);
        }
        match self.consensus.receive(from, envelope.payload, envelope.sync_ns) {
            Ok(()) => Ok(()),
            Err(NotTaken::Malformed(_)) => Err(Dropped::Malformed),
            Err(NotTaken::Full | NotTaken::Stopping) => Err(Dropped::Full),
        }
    }

    fn count(&self, from: NodeId, taken: &Result<(), Dropped>) {
        let counter = match taken {
            Ok(()) => &self.counters.messages_received_total,
            Err(Dropped::Cut) => &self.counters.links_refused_total,
            Err(Dropped::Damaged) => &self.counters.checksum_errors_total,
            Err(Dropped::Malformed) => &self.counters.malformed_total,
            Err(Dropped::Full) => &self.counters.inbox_refused_total,
        };
        counter.add(1);
        if let Err(why) = taken {
            tracing::debug!(%from, ?why, "a frame was dropped");
        }
    }
}

#[tonic::async_trait]
impl Transport for Incoming {
    async fn exchange(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Farewell>, Status> {
        let mut packets = request.into_inner();
        let first = packets.message().await?.and_then(|packet| packet.content);
        let Some(Content::Hello(hello)) = first else {
            return Err(Status::invalid_argument("a stream begins with a greeting"));
        };
        let (from, disk) = self.identity.admit(&hello).map_err(|status| *status)?;
        // Before anything that it says is listened to, or its promises could be forgotten.
        introduce::meet(&self.acquaintances, &self.counters, from, &disk)?;
        self.outgoing.heard_of(from);
        while let Some(packet) = packets.message().await? {
            let Some(Content::Batch(batch)) = packet.content else {
                return Err(Status::invalid_argument("batches follow the greeting"));
            };
            for frame in batch.frames {
                let taken = self.take(from, frame);
                self.count(from, &taken);
            }
        }
        Ok(Response::new(Farewell {}))
    }

    async fn stage(&self, request: Request<Shipped>) -> Result<Response<wire::Received>, Status> {
        self.stage_piece(request.into_inner()).await.map(Response::new)
    }

    async fn introduce(&self, request: Request<Hello>) -> Result<Response<Introduction>, Status> {
        let host = Host {
            identity: &self.identity,
            links: &self.links,
            acquaintances: &self.acquaintances,
        };
        let answer = {
            let status = self.status.borrow();
            host.answer(request.get_ref(), &status.members, status.commit)
        };
        answer.map(Response::new)
    }
}
