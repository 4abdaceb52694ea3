//! Snapshots: what a replica's disk keeps of them, and how they travel, chunk by chunk.
//!
//! A transfer is driven by its receiver, which alone knows what it has: the sender offers, is told
//! how much has been stored durably, and sends what follows. So a transfer that broke, whoever
//! restarted meanwhile, goes on where it stopped, and a chunk that comes twice or too late does
//! nothing.

use std::{collections::BTreeMap, time::Duration};

use bytes::{Buf, BufMut, Bytes};
use consensus_core::{DecodeError, Index, NodeId, SnapshotMeta, Time, Validate, Wire};

/// How snapshots are carried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotModel {
    /// The most bytes of one chunk.
    pub chunk_bytes: usize,
    /// A chunk that is not acknowledged for so long is lost: the snapshot is offered anew.
    pub retry_after: Duration,
    /// After so many offers without progress the sender gives up, until it is told again to send.
    pub most_offers: u32,
}

impl Default for SnapshotModel {
    fn default() -> Self {
        Self { chunk_bytes: 64 << 10, retry_after: Duration::from_millis(100), most_offers: 20 }
    }
}

/// A snapshot as its sender announces it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Label {
    pub(crate) snapshot: SnapshotMeta,
    /// The length of the whole.
    pub(crate) total: u64,
    /// The CRC-32C of the whole.
    pub(crate) checksum: u32,
}

impl Label {
    fn of(snapshot: SnapshotMeta, bytes: &[u8]) -> Self {
        Self { snapshot, total: bytes.len() as u64, checksum: crc32c::crc32c(bytes) }
    }
}

/// What two replicas send each other about a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Parcel {
    /// Bytes of it, from there on; none: an offer.
    Chunk { label: Label, offset: u64, data: Bytes },
    /// So many of its bytes, from the first, are durable here.
    Held { label: Label, upto: u64 },
}

impl Parcel {
    /// Writes it down.
    pub(crate) fn encode_to(&self, buffer: &mut Vec<u8>) {
        let (kind, label, position) = match self {
            Self::Chunk { label, offset, .. } => (0, label, *offset),
            Self::Held { label, upto } => (1, label, *upto),
        };
        buffer.put_u8(kind);
        buffer.put_u64_le(position);
        buffer.put_u64_le(label.total);
        buffer.put_u32_le(label.checksum);
        let name = label.snapshot.to_bytes();
        buffer.put_u64_le(name.len() as u64);
        buffer.put_slice(&name);
        if let Self::Chunk { data, .. } = self {
            buffer.put_slice(data);
        }
    }

    /// Reads what [`encode_to`](Self::encode_to) wrote.
    pub(crate) fn from_bytes(mut bytes: Bytes) -> Result<Self, DecodeError> {
        let short = |_| DecodeError::Invalid("a parcel is cut short");
        let kind = bytes.try_get_u8().map_err(short)?;
        let position = bytes.try_get_u64_le().map_err(short)?;
        let total = bytes.try_get_u64_le().map_err(short)?;
        let checksum = bytes.try_get_u32_le().map_err(short)?;
        let length = bytes.try_get_u64_le().map_err(short)? as usize;
        if length > bytes.len() {
            return Err(DecodeError::Invalid("a snapshot's name is cut short"));
        }
        let snapshot = SnapshotMeta::from_bytes(bytes.split_to(length))?;
        snapshot.validate()?;
        let label = Label { snapshot, total, checksum };
        match kind {
            0 => Ok(Self::Chunk { label, offset: position, data: bytes }),
            1 => Ok(Self::Held { label, upto: position }),
            _ => Err(DecodeError::Invalid("a parcel of no known kind")),
        }
    }
}

/// The snapshots on one disk, all of them durable: those that are whole, and what has arrived of
/// others.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    whole: BTreeMap<SnapshotMeta, Bytes>,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    label: Label,
    bytes: Vec<u8>,
}

/// The most snapshots that arrive at the same time. The one that covers least makes room, as in a real
/// replica: so the one that covers most always comes to its end, however many send.
const MOST_PARTS: usize = 4;

/// What became of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stored {
    /// More is to come, or the chunk did not fit.
    InPart,
    /// With it, the snapshot is whole.
    Whole,
}

impl Shelf {
    /// Puts a whole snapshot there.
    pub(crate) fn put(&mut self, snapshot: SnapshotMeta, bytes: Bytes) {
        self.whole.insert(snapshot, bytes);
    }

    /// A whole snapshot.
    pub(crate) fn get(&self, snapshot: &SnapshotMeta) -> Option<&Bytes> {
        self.whole.get(snapshot)
    }

    /// How many bytes of a snapshot, from the first, are here.
    pub(crate) fn held(&self, label: &Label) -> u64 {
        if self.whole.contains_key(&label.snapshot) {
            return label.total;
        }
        let part = self.parts.iter().find(|part| part.label == *label);
        part.map_or(0, |part| part.bytes.len() as u64)
    }

    /// Adds a chunk, if it is the one that comes next.
    pub(crate) fn add(&mut self, label: &Label, offset: u64, data: &[u8]) -> Stored {
        if self.held(label) != offset || data.is_empty() {
            return Stored::InPart;
        }
        let at = self.part(label);
        let part = &mut self.parts[at];
        part.bytes.extend_from_slice(data);
        if (part.bytes.len() as u64) < label.total {
            return Stored::InPart;
        }
        let part = self.parts.remove(at);
        if crc32c::crc32c(&part.bytes) != label.checksum {
            return Stored::InPart;
        }
        self.put(part.label.snapshot, Bytes::from(part.bytes));
        Stored::Whole
    }

    /// Throws away what is older than the base of the log.
    pub(crate) fn reclaim(&mut self, base: Index) {
        self.whole.retain(|snapshot, _| snapshot.index >= base);
        self.parts.retain(|part| part.label.snapshot.index > base);
    }

    fn part(&mut self, label: &Label) -> usize {
        if let Some(at) = self.parts.iter().position(|part| part.label == *label) {
            return at;
        }
        if self.parts.len() >= MOST_PARTS {
            let oldest = (0..self.parts.len()).min_by_key(|&at| &self.parts[at].label.snapshot);
            self.parts.remove(oldest.expect("there are some"));
        }
        self.parts.push(Part { label: label.clone(), bytes: Vec::new() });
        self.parts.len() - 1
    }
}

/// A snapshot on its way to one peer.
#[derive(Debug)]
struct Sending {
    label: Label,
    bytes: Bytes,
    /// How much the peer is known to have.
    upto: u64,
    /// Whether it was offered, and the answer will say from where to go on.
    offered: bool,
    /// When something was last sent.
    sent: Time,
    /// How many offers in a row led to nothing.
    offers: u32,
}

/// The snapshots that one incarnation sends. They die with it.
#[derive(Debug, Default)]
pub(crate) struct Sendings {
    to: BTreeMap<NodeId, Sending>,
}

impl Sendings {
    /// Begins to send a snapshot; nothing, if it is on its way already, or an older one of which something
    /// has arrived. On a slow way the base of the log may move on before a snapshot has arrived: a peer
    /// for which each newer one took the older one's place would never have a whole one.
    pub(crate) fn begin(
        &mut self,
        now: Time,
        to: NodeId,
        snapshot: SnapshotMeta,
        bytes: &Bytes,
    ) -> Option<Parcel> {
        let goes_on = |known: &Sending| known.label.snapshot == snapshot || known.upto > 0;
        if self.to.get(&to).is_some_and(goes_on) {
            return None;
        }
        let label = Label::of(snapshot, bytes);
        let bytes = bytes.clone();
        let sending = Sending { label, bytes, upto: 0, offered: true, sent: now, offers: 1 };
        let offer = sending.offer();
        self.to.insert(to, sending);
        Some(offer)
    }

    /// Hears how much a peer has; says what to send next.
    pub(crate) fn heard(
        &mut self,
        now: Time,
        from: NodeId,
        label: &Label,
        upto: u64,
        model: &SnapshotModel,
    ) -> Heard {
        let Some(sending) = self.to.get_mut(&from).filter(|sending| sending.label == *label) else {
            return Heard::Nothing;
        };
        if upto >= label.total {
            self.to.remove(&from);
            return Heard::Complete;
        }
        // Whatever is no news was asked twice or answered late: going on would send all twice.
        if upto <= sending.upto && !sending.offered {
            return Heard::Nothing;
        }
        let resumed = sending.offered && upto > 0;
        (sending.upto, sending.offered, sending.sent, sending.offers) = (upto, false, now, 0);
        let rest = sending.bytes.slice(upto as usize..);
        let data = rest.slice(..rest.len().min(model.chunk_bytes));
        Heard::Next { parcel: Parcel::Chunk { label: label.clone(), offset: upto, data }, resumed }
    }

    /// Offers anew what was not acknowledged in time.
    pub(crate) fn retry(&mut self, now: Time, model: &SnapshotModel) -> Vec<(NodeId, Parcel)> {
        let late = |sending: &Sending| now.since(sending.sent) >= model.retry_after;
        self.to.retain(|_, sending| !late(sending) || sending.offers < model.most_offers);
        let mut offers = Vec::new();
        for (&to, sending) in self.to.iter_mut().filter(|(_, sending)| late(sending)) {
            (sending.offered, sending.sent) = (true, now);
            sending.offers += 1;
            offers.push((to, sending.offer()));
        }
        offers
    }

    /// When to look for what was not acknowledged.
    pub(crate) fn retry_at(&self, model: &SnapshotModel) -> Option<Time> {
        self.to.values().map(|sending| sending.sent + model.retry_after).min()
    }
}

/// What comes of a peer's answer.
#[derive(Debug)]
pub(crate) enum Heard {
    /// It was no news.
    Nothing,
    /// The peer wants more.
    Next {
        /// What it gets.
        parcel: Parcel,
        /// Whether a broken transfer goes on.
        resumed: bool,
    },
    /// The peer has it all.
    Complete,
}

impl Sending {
    fn offer(&self) -> Parcel {
        Parcel::Chunk { label: self.label.clone(), offset: self.upto, data: Bytes::new() }
    }
}

#[cfg(test)]
mod tests {
    use consensus_core::{Configuration, Epoch};

    use super::*;

    fn meta(index: Index) -> SnapshotMeta {
        let configurations = BTreeMap::from([(1, Configuration::of([NodeId(1), NodeId(2)]))]);
        SnapshotMeta { index, epoch: Epoch::term(1), configurations: configurations.into() }
    }

    fn model() -> SnapshotModel {
        SnapshotModel { chunk_bytes: 4, most_offers: 3, ..SnapshotModel::default() }
    }

    /// Carries a snapshot over, but for the parcels that are lost; says how many it took.
    fn carry(sendings: &mut Sendings, shelf: &mut Shelf, lost: impl Fn(u32) -> bool) -> u32 {
        let bytes = Bytes::from_static(b"a state of some length");
        let peer = NodeId(2);
        let mut now = Time::ZERO;
        let mut next = sendings.begin(now, peer, meta(9), &bytes);
        for parcels in 1.. {
            let Some(Parcel::Chunk { label, offset, data }) = next.take() else {
                panic!("the sender sends chunks only");
            };
            if !lost(parcels) {
                shelf.add(&label, offset, &data);
                match sendings.heard(now, peer, &label, shelf.held(&label), &model()) {
                    Heard::Next { parcel, .. } => next = Some(parcel),
                    Heard::Complete => return parcels,
                    Heard::Nothing => {}
                }
            }
            if next.is_none() {
                now = sendings.retry_at(&model()).unwrap();
                next = sendings.retry(now, &model()).pop().map(|(_, offer)| offer);
            }
        }
        unreachable!("the loop has no other end")
    }

    #[test]
    fn a_snapshot_is_carried_in_chunks_and_is_whole_at_the_end() {
        let (mut sendings, mut shelf) = (Sendings::default(), Shelf::default());
        let undisturbed = carry(&mut sendings, &mut shelf, |_| false);
        assert_eq!(undisturbed, 1 + 6, "an offer, and 22 bytes in chunks of 4");
        assert_eq!(shelf.get(&meta(9)).unwrap(), &b"a state of some length"[..]);
        assert_eq!(sendings.retry_at(&model()), None);
    }

    #[test]
    fn a_broken_transfer_goes_on_where_it_stopped() {
        let mut shelf = Shelf::default();
        let lossy = carry(&mut Sendings::default(), &mut shelf, |parcel| parcel % 3 == 0);
        assert!(lossy > 7 && shelf.get(&meta(9)).is_some());
        // Half of it, and then another incarnation of the sender.
        let (mut sendings, mut shelf) = (Sendings::default(), Shelf::default());
        let label = Label::of(meta(9), b"a state of some length");
        shelf.add(&label, 0, b"a state of");
        let rest = carry(&mut sendings, &mut shelf, |_| false);
        assert_eq!(rest, 1 + 3);
    }

    #[test]
    fn what_comes_twice_or_damaged_does_nothing() {
        let mut shelf = Shelf::default();
        let label = Label::of(meta(9), b"abcdef");
        shelf.add(&label, 0, b"abc");
        shelf.add(&label, 0, b"abc");
        assert_eq!((shelf.held(&label), shelf.add(&label, 4, b"ef")), (3, Stored::InPart));
        assert_eq!(shelf.add(&label, 3, b"dXf"), Stored::InPart);
        assert_eq!(shelf.held(&label), 0, "a damaged whole is thrown away");
        assert_eq!(shelf.add(&label, 0, b"abcdef"), Stored::Whole);
        shelf.reclaim(10);
        assert_eq!(shelf.get(&meta(9)), None);
    }

    #[test]
    fn more_senders_than_there_is_room_for_do_not_keep_each_other_from_the_end() {
        let (mut shelf, whole) = (Shelf::default(), b"a state of some length");
        for _ in 0..whole.len() {
            for index in 1..=2 * MOST_PARTS as Index {
                let label = Label::of(meta(index), whole);
                let offset = shelf.held(&label);
                let rest = &whole[offset as usize..];
                shelf.add(&label, offset, &rest[..rest.len().min(1)]);
            }
        }
        assert!(shelf.get(&meta(2 * MOST_PARTS as Index)).is_some());
    }

    #[test]
    fn a_sender_that_hears_nothing_gives_up_until_it_is_told_again() {
        let mut sendings = Sendings::default();
        let bytes = Bytes::from_static(b"abc");
        assert!(sendings.begin(Time::ZERO, NodeId(2), meta(9), &bytes).is_some());
        assert!(sendings.begin(Time::ZERO, NodeId(2), meta(9), &bytes).is_none());
        let mut offers = 1;
        while let Some(at) = sendings.retry_at(&model()) {
            offers += sendings.retry(at, &model()).len();
        }
        assert_eq!(offers, 3);
        assert!(sendings.begin(Time::ZERO, NodeId(2), meta(9), &bytes).is_some());
    }

    #[test]
    fn a_snapshot_of_which_something_arrived_is_not_given_up_for_a_newer_one() {
        let mut sendings = Sendings::default();
        let bytes = Bytes::from_static(b"abc");
        // Of the first one nothing is known to have arrived.
        assert!(sendings.begin(Time::ZERO, NodeId(2), meta(8), &bytes).is_some());
        let Some(Parcel::Chunk { label, .. }) =
            sendings.begin(Time::ZERO, NodeId(2), meta(9), &bytes)
        else {
            panic!("it is offered")
        };
        let heard = sendings.heard(Time::ZERO, NodeId(2), &label, 1, &model());
        assert!(!matches!(heard, Heard::Complete));
        assert!(sendings.begin(Time::ZERO, NodeId(2), meta(10), &bytes).is_none());
        let heard = sendings.heard(Time::ZERO, NodeId(2), &label, label.total, &model());
        assert!(matches!(heard, Heard::Complete));
        assert!(sendings.begin(Time::ZERO, NodeId(2), meta(10), &bytes).is_some());
    }

    #[test]
    fn parcels_travel_and_nonsense_is_refused() {
        let label = Label::of(meta(9), b"abc");
        let data = Bytes::from_static(b"bc");
        for parcel in [
            Parcel::Chunk { label: label.clone(), offset: 1, data },
            Parcel::Held { label, upto: 3 },
        ] {
            let mut bytes = Vec::new();
            parcel.encode_to(&mut bytes);
            assert_eq!(Parcel::from_bytes(Bytes::from(bytes.clone())), Ok(parcel));
            assert!(Parcel::from_bytes(Bytes::from(bytes).slice(..20)).is_err());
        }
    }
}
