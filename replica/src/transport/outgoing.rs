//! The calling end: one task per peer keeps a stream to it alive.
//!
//! Peers come and go with the configuration: those that it names are called, and so is whoever the
//! protocol has something to say to. A stream to somebody else ends once nothing was said on it for a
//! while.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use consensus_core::NodeId;
use faults::Channel;
use prost::Message as _;
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    CONNECT_TIMEOUT, Identity, KEEP_ALIVE, WINDOW_BYTES,
    queue::FrameQueue,
    wire::{Envelope, transport_client::TransportClient},
};
use crate::{
    checksum, clock,
    counters::Counters,
    links::Links,
    runtime::{Departure, Network},
};

/// The first pause before calling again; it doubles, up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause before calling again.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long a stream to somebody whom no configuration names outlives what was last said on it.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

/// Everything that leaves for other replicas.
#[derive(Debug)]
pub struct Outgoing {
    identity: Identity,
    links: Arc<Links>,
    counters: Arc<Counters>,
    book: Mutex<Book>,
    runtime: Handle,
    stop: CancellationToken,
}

/// Whom to call, and where.
#[derive(Debug, Default)]
struct Book {
    peers: BTreeMap<NodeId, Arc<Peer>>,
    /// Where gossip saw somebody last, called or not.
    addresses: BTreeMap<NodeId, String>,
}

#[derive(Debug)]
struct Peer {
    node: NodeId,
    queue: Arc<FrameQueue>,
    address: watch::Sender<Option<String>>,
    /// The peer was heard of: it is worth calling at once.
    heard: Notify,
    /// When something was last said to it.
    used: Mutex<Instant>,
    /// Ends the task that calls it.
    end: CancellationToken,
}

impl Outgoing {
    /// Calls nobody yet. Everything ends with `stop`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(
        identity: Identity,
        links: Arc<Links>,
        counters: Arc<Counters>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let (book, runtime) = (Mutex::default(), Handle::current());
        Arc::new(Self { identity, links, counters, book, runtime, stop })
    }

    /// Learns where a replica is, as `host:port`; one that is called is called there at once.
    pub fn locate(&self, node: NodeId, address: &str) {
        let mut book = self.book();
        if book.addresses.get(&node).is_none_or(|known| known != address) {
            book.addresses.insert(node, address.to_owned());
        }
        if let Some(peer) = book.peers.get(&node) {
            peer.address.send_if_modified(|known| {
                let moved = known.as_deref() != Some(address);
                if moved {
                    *known = Some(address.to_owned());
                }
                moved
            });
        }
    }

    /// Where gossip saw a replica last.
    pub fn address_of(&self, node: NodeId) -> Option<String> {
        self.book().addresses.get(&node).cloned()
    }

    /// Learns that a peer is there: it has just called.
    pub fn heard_of(&self, node: NodeId) {
        if let Some(peer) = self.book().peers.get(&node) {
            peer.heard.notify_one();
        }
    }

    /// Calls these as soon as their addresses are known, and ends the streams to others on which
    /// nothing was said for a while.
    pub fn call_only(self: &Arc<Self>, named: &BTreeSet<NodeId>) {
        let mut book = self.book();
        for &node in named.iter().filter(|&&node| node != self.identity.node) {
            self.peer(&mut book, node);
        }
        book.peers.retain(|node, peer| {
            let keep = named.contains(node) || peer.last_used().elapsed() < IDLE_LIMIT;
            if !keep {
                tracing::info!(peer = %node, "no configuration names it: the stream to it ends");
                peer.end.cancel();
            }
            keep
        });
    }

    /// Who is called, ascending.
    pub fn called(&self) -> Vec<NodeId> {
        self.book().peers.keys().copied().collect()
    }

    /// The peer, which from now on is called.
    fn peer(self: &Arc<Self>, book: &mut Book, node: NodeId) -> Arc<Peer> {
        let Book { peers, addresses } = book;
        let peer = peers.entry(node).or_insert_with(|| {
            let peer = Arc::new(Peer {
                node,
                queue: Arc::new(FrameQueue::new()),
                address: watch::Sender::new(addresses.get(&node).cloned()),
                heard: Notify::new(),
                used: Mutex::new(Instant::now()),
                end: self.stop.child_token(),
            });
            let (outgoing, called) = (Arc::clone(self), Arc::clone(&peer));
            self.runtime.spawn(async move {
                called.end.run_until_cancelled(outgoing.keep_calling(&called)).await;
            });
            peer
        });
        Arc::clone(peer)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panics while holding the address book")
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
        let endpoint = match self.identity.security.endpoint(to) {
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

impl Peer {
    fn last_used(&self) -> Instant {
        *self.used.lock().expect("nobody panics while holding a time")
    }

    fn is_used(&self) {
        *self.used.lock().expect("nobody panics while holding a time") = Instant::now();
    }
}

/// The network of one consensus loop.
impl Network for Arc<Outgoing> {
    fn send(&self, messages: &mut dyn Iterator<Item = Departure>) {
        for Departure { to, payload, sync_ns } in messages {
            let peer = self.peer(&mut self.book(), to);
            peer.is_used();
            let Identity { group, node, .. } = self.identity;
            let sent_ns = clock::now().0;
            let envelope = Envelope { group: group.0, from: node.0, sync_ns, payload, sent_ns };
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{super::tests::identity, *};

    fn outgoing() -> Arc<Outgoing> {
        let links = Arc::new(Links::new(NodeId(1), None));
        Outgoing::new(identity(1), links, Arc::default(), CancellationToken::new())
    }

    fn nodes<const N: usize>(numbers: [u64; N]) -> BTreeSet<NodeId> {
        numbers.map(NodeId).into()
    }

    fn say(outgoing: &Arc<Outgoing>, to: u64) {
        let departure = Departure { to: NodeId(to), payload: Bytes::new(), sync_ns: 0 };
        outgoing.send(&mut [departure].into_iter());
    }

    #[tokio::test]
    async fn whom_the_configuration_names_is_called_and_nobody_calls_itself() {
        let outgoing = outgoing();
        outgoing.call_only(&nodes([1, 2, 3]));
        assert_eq!(outgoing.called(), [NodeId(2), NodeId(3)]);
    }

    #[tokio::test]
    async fn a_newcomer_is_called_once_there_is_something_to_say() {
        let outgoing = outgoing();
        outgoing.locate(NodeId(9), "127.0.0.1:1");
        assert!(outgoing.called().is_empty(), "to be there is no reason");
        say(&outgoing, 9);
        assert_eq!(outgoing.called(), [NodeId(9)]);
        let address = outgoing.book().peers[&NodeId(9)].address.borrow().clone();
        assert_eq!(address.as_deref(), Some("127.0.0.1:1"));
    }

    #[tokio::test]
    async fn a_stream_to_a_removed_peer_ends_once_nothing_is_said_on_it() {
        let outgoing = outgoing();
        outgoing.call_only(&nodes([2, 3]));
        let removed = Arc::clone(&outgoing.book().peers[&NodeId(3)]);
        outgoing.call_only(&nodes([2]));
        assert!(!removed.end.is_cancelled(), "it may still have to hear that it is removed");
        *removed.used.lock().unwrap() -= IDLE_LIMIT;
        outgoing.call_only(&nodes([2]));
        assert!(removed.end.is_cancelled());
        assert_eq!(outgoing.called(), [NodeId(2)]);
    }
}
