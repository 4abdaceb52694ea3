//! The sending end of snapshots: a task per peer that needs one, which does not rest before the peer
//! has it, or has been out of reach for long.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::Bytes;
use consensus_core::{NodeId, SnapshotMeta, Wire as _, storage::StorageError};
use faults::Channel;
use prost::Message as _;
use tokio::{
    sync::{Semaphore, mpsc},
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};
use tonic::{Request, transport};

use super::{
    CONNECT_TIMEOUT, Identity, KEEP_ALIVE, Outgoing,
    wire::{Piece, Progress, Shipped, progress::Here, transport_client::TransportClient},
};
use crate::{
    checksum,
    counters::Counters,
    links::Links,
    runtime::consensus::Shipment,
    storage::{Snapshot, SnapshotFiles},
};

/// How much one piece carries, in bytes: enough to fill a fast link a round trip at a time, and little
/// enough that on a slow one a heartbeat does not wait long behind it.
const PIECE_BYTES: usize = 128 << 10;
/// How long a piece may take to be answered.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many snapshots are on their way at a time.
const MAX_TRANSFERS: usize = 2;
/// The first pause after an interruption; it doubles, up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause after an interruption.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After so many attempts in a row in which nothing was taken, the transfer ends. The protocol asks
/// again as long as it wants.
const MAX_ATTEMPTS: usize = 8;
/// A peer that has the whole of a snapshot is not offered it again for so long: the protocol asks
/// until it hears that the peer uses it.
const REST: Duration = Duration::from_secs(1);

/// Sends snapshots to peers.
pub struct Shipping {
    /// Who sends.
    pub identity: Identity,
    /// What may pass.
    pub links: Arc<Links>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// What is sent.
    pub snapshots: Arc<SnapshotFiles>,
    /// Who knows where the peers are.
    pub outgoing: Arc<Outgoing>,
    /// How many transfers may go on.
    permits: Semaphore,
}

/// The last transfer to a peer.
struct Transfer {
    snapshot: SnapshotMeta,
    task: JoinHandle<()>,
    /// How many bytes of it the peer is known to have.
    reached: Arc<AtomicU64>,
    /// When the peer had everything.
    arrived: Arc<OnceLock<Instant>>,
}

/// A transfer ends with the replica that makes it.
impl Drop for Transfer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why an attempt to hand over a piece broke off.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error("nobody knows where the peer is")]
    Nowhere,
    #[error("the peer is out of reach: {0}")]
    Unreachable(#[from] transport::Error),
    #[error("no answer came")]
    Silence,
    #[error("the peer answered: {0}")]
    Refused(String),
    #[error("the answer is damaged")]
    Damaged,
    #[error("this replica is ending")]
    Ending,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Shipping {
    /// Who sends which snapshots, past these links, to where `outgoing` knows the peers to be.
    pub const fn new(
        identity: Identity,
        links: Arc<Links>,
        counters: Arc<Counters>,
        snapshots: Arc<SnapshotFiles>,
        outgoing: Arc<Outgoing>,
    ) -> Self {
        let permits = Semaphore::const_new(MAX_TRANSFERS);
        Self { identity, links, counters, snapshots, outgoing, permits }
    }

    /// Ships what is asked for, until nobody can ask any more.
    pub async fn run(self, mut shipments: mpsc::Receiver<Shipment>) {
        let shipping = Arc::new(self);
        let mut transfers: BTreeMap<NodeId, Transfer> = BTreeMap::new();
        while let Some(Shipment { to, snapshot }) = shipments.recv().await {
            if transfers.get(&to).is_some_and(|last| last.serves(&snapshot)) {
                continue;
            }
            let arrived = Arc::<OnceLock<Instant>>::default();
            let reached = Arc::<AtomicU64>::default();
            let (ships, wanted) = (Arc::clone(&shipping), snapshot.clone());
            let (reaches, arrives) = (Arc::clone(&reached), Arc::clone(&arrived));
            let task = tokio::spawn(async move {
                if ships.transfer(to, &wanted, &reaches).await {
                    arrives.get_or_init(Instant::now);
                }
            });
            transfers.insert(to, Transfer { snapshot, task, reached, arrived });
        }
    }

    /// Hands a snapshot over, from where the peer is, however often the way breaks; says whether the
    /// peer has it.
    async fn transfer(&self, to: NodeId, meta: &SnapshotMeta, reached: &AtomicU64) -> bool {
        let Ok(_permit) = self.permits.acquire().await else { return false };
        let snapshot = match self.open(meta).await {
            Ok(snapshot) => Arc::new(snapshot),
            Err(error) => {
                tracing::warn!(%to, %error, "a snapshot cannot be sent");
                return false;
            }
        };
        tracing::info!(%to, index = meta.index, bytes = snapshot.length(), "sends a snapshot");
        let pauses = ExponentialBuilder::default()
            .with_min_delay(SHORTEST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_max_times(MAX_ATTEMPTS)
            .with_jitter();
        let mut pause = pauses.build();
        loop {
            let before = reached.load(Relaxed);
            let Err(why) = self.attempt(to, meta, &snapshot, reached).await else {
                self.counters.snapshots_sent_total.add(1);
                tracing::info!(%to, index = meta.index, "the peer has the snapshot");
                return true;
            };
            self.counters.snapshot_interruptions_total.add(1);
            let now = reached.load(Relaxed);
            tracing::debug!(%to, index = meta.index, reached = now, "interrupted: {why}");
            if now > before {
                pause = pauses.build();
            }
            let Some(pause) = pause.next() else { return false };
            sleep(pause).await;
        }
    }

    async fn open(&self, meta: &SnapshotMeta) -> Result<Snapshot, Interruption> {
        let (snapshots, meta) = (Arc::clone(&self.snapshots), meta.clone());
        let opened = spawn_blocking(move || snapshots.whole(&meta)).await;
        Ok(opened.map_err(|_| Interruption::Ending)??)
    }

    /// Connects, asks where the peer is, and hands over piece after piece until the peer has all.
    async fn attempt(
        &self,
        to: NodeId,
        meta: &SnapshotMeta,
        snapshot: &Arc<Snapshot>,
        reached: &AtomicU64,
    ) -> Result<(), Interruption> {
        let address = self.outgoing.address_of(to).ok_or(Interruption::Nowhere)?;
        let endpoint = self
            .identity
            .security
            .endpoint(&address)?
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        let mut client = TransportClient::new(endpoint.connect().await?);
        let mut piece = Piece {
            group: self.identity.group.0,
            from: self.identity.node.0,
            snapshot: meta.to_bytes(),
            length: snapshot.length(),
            offset: 0,
            content: Bytes::new(),
        };
        while let Here::Bytes(here) = self.hand_over(to, &mut client, &piece).await? {
            let asked = piece.content.is_empty();
            if !asked && here <= piece.offset {
                return Err(Interruption::Refused(format!("it goes on from {here}")));
            }
            reached.fetch_max(here, Relaxed);
            let from = Arc::clone(snapshot);
            let read = spawn_blocking(move || from.piece(here, PIECE_BYTES)).await;
            piece.content = read.map_err(|_| Interruption::Ending)??;
            piece.offset = here;
        }
        Ok(())
    }

    /// Hands over one piece past the link shim, and hears how much the peer has.
    async fn hand_over(
        &self,
        to: NodeId,
        client: &mut TransportClient<transport::Channel>,
        piece: &Piece,
    ) -> Result<Here, Interruption> {
        let frame = checksum::seal(|frame| {
            frame.reserve(piece.encoded_len());
            piece.encode(frame).expect("a Vec grows as needed");
        });
        self.counters.snapshot_bytes_sent_total.add(frame.len() as u64);
        let (sender, mut leaves) = mpsc::unbounded_channel();
        self.links.send(to, Channel::Consensus, frame.into(), move |frame| {
            // One copy is enough.
            let _ = sender.send(frame);
        });
        let hello = Some(self.identity.greet(to));
        let exchange = async {
            let frame = leaves.recv().await.ok_or(Interruption::Silence)?;
            let answer = client.stage(Request::new(Shipped { hello, frame })).await;
            answer.map_err(|status| Interruption::Refused(status.message().to_owned()))
        };
        let answer = timeout(PATIENCE, exchange).await.map_err(|_| Interruption::Silence)??;
        let here = self.understand(to, answer.into_inner().frame)?;
        self.counters.snapshot_pieces_total.add(1);
        Ok(here)
    }

    fn understand(&self, from: NodeId, frame: Bytes) -> Result<Here, Interruption> {
        if !self.links.admits(from, Channel::Consensus) {
            self.counters.links_refused_total.add(1);
            return Err(Interruption::Silence);
        }
        let content = checksum::open(frame).map_err(|_| {
            self.counters.checksum_errors_total.add(1);
            Interruption::Damaged
        })?;
        let progress = Progress::decode(content).ok();
        let progress = progress
            .filter(|progress| progress.from == from.0 && progress.group == self.identity.group.0);
        progress.and_then(|progress| progress.here).ok_or_else(|| {
            self.counters.malformed_total.add(1);
            Interruption::Damaged
        })
    }
}

impl Transfer {
    /// Whether it is of this snapshot, and goes on or has only just ended well; or it goes on with an
    /// older one.
    ///
    /// One of which something has arrived is not given up for a newer snapshot. On a slow way the base of the log may
    /// move on before a snapshot has arrived: a peer for which each newer one took the older one's
    /// place would never have a whole one.
    fn serves(&self, snapshot: &SnapshotMeta) -> bool {
        let arrived = || self.arrived.get().is_some_and(|at| at.elapsed() < REST);
        let (goes_on, same) = (!self.task.is_finished(), self.snapshot == *snapshot);
        goes_on && (same || self.reached.load(Relaxed) > 0) || same && arrived()
    }
}
