//! The calling end: one task per peer keeps a stream to it alive.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use consensus_core::NodeId;
use faults::Channel;
use prost::Message as _;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::sleep,
};
use tonic::transport::Endpoint;

use super::{
    Identity, KEEP_ALIVE, WINDOW_BYTES,
    queue::FrameQueue,
    wire::{Envelope, transport_client::TransportClient},
};
use crate::{
    checksum,
    counters::Counters,
    links::Links,
    runtime::{Departure, Network},
};

/// The first pause before calling again; it doubles, up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause before calling again.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long a peer may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Everything that leaves for other replicas.
#[derive(Debug)]
pub struct Outgoing {
    identity: Identity,
    links: Arc<Links>,
    counters: Arc<Counters>,
    peers: BTreeMap<NodeId, Arc<Peer>>,
}

#[derive(Debug)]
struct Peer {
    node: NodeId,
    queue: Arc<FrameQueue>,
    address: watch::Sender<Option<String>>,
    /// The peer was heard of: it is worth calling at once.
    heard: Notify,
}

impl Outgoing {
    /// Starts the tasks that call these peers, as soon as their addresses are known.
    pub fn start(
        identity: Identity,
        peers: impl Iterator<Item = NodeId>,
        links: Arc<Links>,
        counters: Arc<Counters>,
        tasks: &mut JoinSet<()>,
    ) -> Arc<Self> {
        let peer = |node| {
            let queue = Arc::new(FrameQueue::new());
            let address = watch::Sender::new(None);
            (node, Arc::new(Peer { node, queue, address, heard: Notify::new() }))
        };
        let peers = peers.map(peer).collect();
        let outgoing = Arc::new(Self { identity, links, counters, peers });
        for peer in outgoing.peers.values() {
            let (outgoing, peer) = (Arc::clone(&outgoing), Arc::clone(peer));
            tasks.spawn(async move { outgoing.keep_calling(&peer).await });
        }
        outgoing
    }

    /// Learns where a peer is, as `host:port`; a new address is called at once.
    pub fn locate(&self, node: NodeId, address: &str) {
        if let Some(peer) = self.peers.get(&node) {
            peer.address.send_if_modified(|known| {
                let moved = known.as_deref() != Some(address);
                if moved {
                    *known = Some(address.to_owned());
                }
                moved
            });
        }
    }

    /// Learns that a peer is there: it has just called.
    pub fn heard_of(&self, node: NodeId) {
        if let Some(peer) = self.peers.get(&node) {
            peer.heard.notify_one();
        }
    }

    async fn keep_calling(&self, peer: &Peer) {
        let mut address = peer.address.subscribe();
        let pauses = ExponentialBuilder::default()
            .with_min_delay(SHORTEST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_jitter()
            .without_max_times();
        let mut pause = pauses.build();
        loop {
            let Some(target) = address.borrow_and_update().clone() else {
                if address.changed().await.is_err() {
                    return;
                }
                continue;
            };
            tokio::select! {
                ended = self.call(peer, &target, || pause = pauses.build()) => {
                    tracing::debug!(peer = %peer.node, %target, "{ended}");
                }
                // A peer that moved is not waited for where it was.
                _ = address.changed() => continue,
            }
            tokio::select! {
                () = sleep(pause.next().unwrap_or(LONGEST_PAUSE)) => {}
                () = peer.heard.notified() => {}
                _ = address.changed() => {}
            }
        }
    }

    /// Calls a peer and talks until the stream ends; says why it did.
    async fn call(&self, peer: &Peer, to: &str, connected: impl FnOnce()) -> String {
        let endpoint = match Endpoint::from_shared(format!("http://{to}")) {
            Ok(endpoint) => endpoint,
            Err(error) => return format!("no address: {error}"),
        };
        let endpoint = endpoint
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        let channel = match endpoint.connect().await {
            Ok(channel) => channel,
            Err(error) => return format!("cannot connect: {error}"),
        };
        connected();
        self.counters.connections_total.add(1);
        let outflow = FrameQueue::outflow(&peer.queue, self.identity.greet(peer.node));
        match TransportClient::new(channel).exchange(outflow).await {
            Ok(_) => "the peer hung up".to_owned(),
            Err(status) if status.code() == tonic::Code::FailedPrecondition => {
                tracing::warn!(peer = %peer.node, "refused: {}", status.message());
                format!("refused: {}", status.message())
            }
            Err(status) => format!("the stream broke: {}", status.message()),
        }
    }
}

impl Network for Outgoing {
    fn send(&self, messages: &mut dyn Iterator<Item = Departure>) {
        for Departure { to, payload, sync_ns } in messages {
            let Some(peer) = self.peers.get(&to) else { continue };
            let Identity { group, node, .. } = self.identity;
            let envelope = Envelope { group: group.0, from: node.0, sync_ns, payload };
            let frame = checksum::seal(|frame| {
                frame.reserve(envelope.encoded_len());
                envelope.encode(frame).expect("a Vec grows as needed");
            });
            self.counters.messages_sent_total.add(1);
            self.counters.bytes_sent_total.add(frame.len() as u64);
            let (queue, counters) = (Arc::clone(&peer.queue), Arc::clone(&self.counters));
            self.links.send(to, Channel::Consensus, frame.into(), move |frame| {
                counters.messages_dropped_total.add(queue.push(frame));
            });
        }
    }
}
