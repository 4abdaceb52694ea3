//! The receiving end of snapshots.
//!
//! A snapshot that comes here is only staged: it is whole and durable before the protocol hears of it,
//! and nothing uses it before the protocol makes it the log's base. The protocol hears of it as often
//! as a peer offers it, for whoever restarts between the two has forgotten that it came.

use consensus_core::{NodeId, SnapshotMeta, Wire as _};
use faults::Channel;
use prost::Message as _;
use tokio::{sync::mpsc, task::spawn_blocking};
use tonic::Status;

use super::{
    Incoming, introduce,
    wire::{self, Piece, Progress, Shipped, Whole, progress::Here},
};
use crate::{
    checksum,
    storage::{MAX_SNAPSHOT_BYTES, Received},
};

impl Incoming {
    /// Takes a piece, and says how much is here. What a cut link would have kept from either end is
    /// not answered at all, as on a cut link.
    pub(super) async fn stage_piece(&self, shipped: Shipped) -> Result<wire::Received, Status> {
        let hello =
            shipped.hello.ok_or_else(|| Status::invalid_argument("a piece greets first"))?;
        let (from, disk) = self.identity.admit(&hello).map_err(|status| *status)?;
        introduce::meet(&self.acquaintances, &self.counters, from, &disk)?;
        if !self.links.admits(from, Channel::Consensus) {
            self.counters.links_refused_total.add(1);
            return std::future::pending().await;
        }
        let content = checksum::open(shipped.frame).map_err(|damaged| {
            self.counters.checksum_errors_total.add(1);
            Status::data_loss(damaged.to_string())
        })?;
        let (piece, snapshot) = self.understand(from, content).map_err(|why| {
            self.counters.malformed_total.add(1);
            Status::invalid_argument(why)
        })?;
        let here = self.take_piece(from, piece, snapshot).await?;
        self.answer(from, here).await
    }

    fn understand(
        &self,
        from: NodeId,
        content: bytes::Bytes,
    ) -> Result<(Piece, SnapshotMeta), String> {
        let piece = Piece::decode(content).map_err(|error| error.to_string())?;
        if piece.from != from.0 || piece.group != self.identity.group.0 {
            return Err("the piece belongs elsewhere".to_owned());
        }
        let possible = checksum::CHECKSUM_BYTES as u64..=MAX_SNAPSHOT_BYTES;
        if !possible.contains(&piece.length) {
            return Err(format!("no snapshot has {} bytes here", piece.length));
        }
        let snapshot = SnapshotMeta::from_bytes(piece.snapshot.clone());
        let snapshot = snapshot.map_err(|error| error.to_string())?;
        Ok((piece, snapshot))
    }

    async fn take_piece(
        &self,
        from: NodeId,
        piece: Piece,
        snapshot: SnapshotMeta,
    ) -> Result<Received, Status> {
        let (snapshots, meta) = (self.snapshots.clone(), snapshot.clone());
        let Piece { length, offset, content, .. } = piece;
        let last = content.len() as u64 + offset == length && !content.is_empty();
        let taking = spawn_blocking(move || snapshots.receive(&meta, length, offset, &content));
        let here = taking.await.map_err(|error| Status::internal(error.to_string()))?;
        let here = here.map_err(|error| {
            // The log is as it was: a snapshot that cannot be stored is one that did not come.
            tracing::warn!(%from, %error, "a piece of a snapshot is not taken");
            Status::resource_exhausted(error.to_string())
        })?;
        if here == Received::Whole {
            if last {
                self.counters.snapshots_received_total.add(1);
                tracing::info!(%from, index = snapshot.index, bytes = length, "a snapshot is here");
            }
            let told = self.consensus.staged(from, snapshot);
            told.map_err(|error| Status::unavailable(error.to_string()))?;
        }
        Ok(here)
    }

    async fn answer(&self, to: NodeId, here: Received) -> Result<wire::Received, Status> {
        let here = Some(match here {
            Received::Part(bytes) => Here::Bytes(bytes),
            Received::Whole => Here::Whole(Whole {}),
        });
        let progress = Progress { group: self.identity.group.0, from: self.identity.node.0, here };
        let frame = checksum::seal(|frame| {
            progress.encode(frame).expect("a Vec grows as needed");
        });
        let (sender, mut arrives) = mpsc::unbounded_channel();
        self.links.send(to, Channel::Consensus, frame.into(), move |frame| {
            // Nobody waits for a second copy.
            let _ = sender.send(frame);
        });
        match arrives.recv().await {
            Some(frame) => Ok(wire::Received { frame }),
            // Lost on the way: the sender waits in vain.
            None => std::future::pending().await,
        }
    }
}
