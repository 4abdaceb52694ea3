//! The accepted values in memory: the log tail since the base with a margin before it, holes allowed.
//!
//! ```text
//!             dropped_to     base            chosen_to         last
//!                 |            |                 |               |
//!   1 2 3 ... 40 41|42 43 .. 60|61 62 63 .. 70 71|72 73  .  75 76|
//!   the snapshot   | the margin|  the log on disk, in which only what is not chosen has holes
//! ```

use std::{collections::VecDeque, ops::RangeInclusive};

use consensus_core::{Index, Payload, SnapshotMeta, settings::ENTRY_OVERHEAD_BYTES};

use crate::record::{Ballot, PValue};

/// How far ahead of the first slot that is not known chosen an acceptor accepts. It bounds the holes
/// in memory; a leader's own window is far smaller.
pub(crate) const MAX_AHEAD: Index = 1 << 16;

/// What one message may carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimit {
    /// The most values.
    pub entries: usize,
    /// The most command bytes, one command excepted.
    pub bytes: usize,
}

impl BatchLimit {
    /// No more bytes than that.
    pub fn within(self, bytes: usize) -> Self {
        Self { bytes: self.bytes.min(bytes), ..self }
    }
}

/// One slot's accepted value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Slot {
    /// The ballot of the latest acceptance.
    pub ballot: Ballot,
    /// The value.
    pub value: Payload,
}

impl Slot {
    /// What the slot costs in memory.
    fn bytes(&self) -> usize {
        self.value.bytes() + ENTRY_OVERHEAD_BYTES
    }
}

/// The accepted values by slot.
///
/// A slot's place is its distance from the first one held, so finding one costs no search.
/// Invariants: the last place is never a hole, nor is any place up to the base, for what a snapshot
/// covers is chosen.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Log {
    base: SnapshotMeta,
    /// The last slot that is not held any more; at or before the base.
    dropped_to: Index,
    /// What the slots cost that are held although the base covers them.
    margin_bytes: usize,
    slots: VecDeque<Option<Slot>>,
}

impl Log {
    /// An empty log after this base.
    pub const fn new(base: SnapshotMeta) -> Self {
        Self { dropped_to: base.index, base, margin_bytes: 0, slots: VecDeque::new() }
    }

    /// The snapshot from which the log on disk goes on; index zero if there is none.
    pub const fn base(&self) -> &SnapshotMeta {
        &self.base
    }

    /// The last slot whose value only a snapshot tells, if any does; what comes later is held.
    pub const fn dropped_to(&self) -> Index {
        self.dropped_to
    }

    /// A snapshot of what this log holds becomes its base. What the base covers and the one before it
    /// did not costs so many bytes; it stays until it is [trimmed](Self::trim).
    pub fn compact(&mut self, base: SnapshotMeta, covered_bytes: usize) {
        debug_assert!(self.base.index < base.index && base.index <= self.last());
        self.base = base;
        self.margin_bytes += covered_bytes;
    }

    /// Drops at most so many slots that the base covers, until those that are left cost no more than
    /// `retained_bytes`.
    pub fn trim(&mut self, retained_bytes: usize, most: usize) {
        for _ in 0..most {
            if self.margin_bytes <= retained_bytes || self.dropped_to >= self.base.index {
                return;
            }
            let dropped = self.slots.pop_front().flatten();
            self.margin_bytes -= dropped.expect("what is applied is no hole").bytes();
            self.dropped_to += 1;
        }
    }

    /// Makes a peer's snapshot the base, and drops what it covers. What was accepted after it stays.
    pub fn install(&mut self, base: SnapshotMeta) {
        let covered = base.index.saturating_sub(self.dropped_to);
        let held = self.slots.len().min(usize::try_from(covered).unwrap_or(usize::MAX));
        self.slots.drain(..held);
        self.dropped_to = base.index;
        self.margin_bytes = 0;
        self.base = base;
    }

    /// The highest slot with a value, or the base.
    pub fn last(&self) -> Index {
        self.dropped_to + self.slots.len() as Index
    }

    /// What was accepted for a slot; nothing for holes and for what was dropped.
    pub fn get(&self, slot: Index) -> Option<&Slot> {
        self.slots.get(self.place(slot)?)?.as_ref()
    }

    /// Accepts a value for a slot, in place of any earlier one.
    pub fn put(&mut self, slot: Index, ballot: Ballot, value: Payload) {
        let Some(place) = self.place(slot) else { return };
        let accepted = Some(Slot { ballot, value });
        if place == self.slots.len() {
            // The common case is the next slot.
            self.slots.push_back(accepted);
            return;
        }
        if place > self.slots.len() {
            self.slots.resize(place + 1, None);
        }
        self.slots[place] = accepted;
    }

    /// Accepts values for consecutive slots after all that are held.
    pub fn extend(&mut self, first: Index, ballot: Ballot, values: Vec<Payload>) {
        let place = self.place(first).filter(|_| !values.is_empty());
        let Some(place) = place else { return };
        debug_assert!(place >= self.slots.len(), "nothing held is replaced");
        if place > self.slots.len() {
            self.slots.resize(place, None);
        }
        self.slots.extend(values.into_iter().map(|value| Some(Slot { ballot, value })));
    }

    /// What was accepted for these slots; all of them are held.
    pub fn range(&self, slots: RangeInclusive<Index>) -> impl ExactSizeIterator<Item = &Slot> {
        let (from, to) = slots.into_inner();
        let start = self.place(from).expect("what was dropped is not read");
        let count = (to + 1).checked_sub(from).expect("a range ends after it starts");
        self.slots
            .range(start..start + count as usize)
            .map(|slot| slot.as_ref().expect("no hole is read"))
    }

    /// The last of these slots up to which every one was accepted under this ballot; the one before
    /// them if the first was not.
    pub fn last_under(&self, ballot: Ballot, slots: RangeInclusive<Index>) -> Index {
        let (from, to) = slots.into_inner();
        let start = self.place(from).expect("what was dropped is not read");
        let end = self.place(to.min(self.last()) + 1).unwrap_or(0);
        let under = |slot: &&Option<Slot>| slot.as_ref().is_some_and(|slot| slot.ballot == ballot);
        from - 1 + self.slots.range(start..end.max(start)).take_while(under).count() as Index
    }

    /// The accepted values of these slots, ascending and without the holes, as many as one message
    /// may carry; and the slot at which the next message goes on, if they are not all.
    pub fn batch(
        &self,
        slots: RangeInclusive<Index>,
        limit: BatchLimit,
    ) -> (Vec<PValue>, Option<Index>) {
        let mut values = Vec::new();
        let mut bytes = 0;
        let to = self.last().min(*slots.end());
        for slot in (*slots.start()).max(self.dropped_to + 1)..=to {
            let Some(Slot { ballot, value }) = self.get(slot) else { continue };
            bytes += value.bytes();
            if values.len() == limit.entries || (bytes > limit.bytes && !values.is_empty()) {
                return (values, Some(slot));
            }
            values.push(PValue { slot, ballot: *ballot, value: value.clone() });
        }
        (values, None)
    }

    /// The values of consecutive slots that are all held, as many as one message may carry, and how
    /// many bytes they are.
    pub fn run(&self, slots: RangeInclusive<Index>, limit: BatchLimit) -> (Vec<Payload>, usize) {
        let held = self.range(slots).take(limit.entries);
        let (mut values, mut bytes) = (Vec::with_capacity(held.len()), 0);
        for Slot { value, .. } in held {
            let more = bytes + value.bytes();
            if more > limit.bytes && !values.is_empty() {
                break;
            }
            values.push(value.clone());
            bytes = more;
        }
        (values, bytes)
    }

    fn place(&self, slot: Index) -> Option<usize> {
        usize::try_from(slot.checked_sub(self.dropped_to + 1)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use consensus_core::NodeId;

    use super::*;

    const BALLOT: Ballot = Ballot::new(1, NodeId(1));
    const ALL: BatchLimit = BatchLimit { entries: 100, bytes: 100 };

    fn value(text: &'static str) -> Payload {
        Payload::of(Bytes::from_static(text.as_bytes()))
    }

    fn log(base: Index, slots: &[Index]) -> Log {
        let mut log = Log::new(SnapshotMeta { index: base, ..SnapshotMeta::default() });
        slots.iter().for_each(|&slot| log.put(slot, BALLOT, value("abc")));
        log
    }

    fn slots((values, next): (Vec<PValue>, Option<Index>)) -> (Vec<Index>, Option<Index>) {
        (values.into_iter().map(|value| value.slot).collect(), next)
    }

    #[test]
    fn holes_stay_holes_and_what_the_base_covers_stays_gone() {
        let log = log(10, &[13, 11, 9]);
        assert_eq!(log.last(), 13);
        assert!(log.get(11).is_some() && log.get(13).is_some());
        assert!(log.get(9).is_none() && log.get(12).is_none() && log.get(14).is_none());
    }

    #[test]
    fn a_margin_before_the_base_stays_as_far_as_it_may() {
        let cost = 3 + ENTRY_OVERHEAD_BYTES;
        let base = |index| SnapshotMeta { index, ..SnapshotMeta::default() };
        let mut log = log(10, &[11, 12, 13, 14, 16]);
        log.compact(base(13), 3 * cost);
        assert_eq!((log.base().index, log.dropped_to(), log.last()), (13, 10, 16));
        log.trim(2 * cost, 9);
        assert_eq!((log.base().index, log.dropped_to(), log.last()), (13, 11, 16));
        assert!(log.get(11).is_none() && log.get(12).is_some() && log.get(16).is_some());
        log.compact(base(14), cost);
        log.trim(cost - 1, 2);
        assert_eq!(log.dropped_to(), 13, "piece by piece");
        log.trim(cost - 1, 2);
        assert_eq!((log.base().index, log.dropped_to(), log.last()), (14, 14, 16));
        assert_eq!(slots(log.batch(1..=99, ALL)), (vec![16], None));
    }

    #[test]
    fn a_peers_snapshot_leaves_what_was_accepted_after_it() {
        let base = |index| SnapshotMeta { index, ..SnapshotMeta::default() };
        let mut log = log(0, &[1, 2, 5, 8]);
        log.install(base(5));
        assert_eq!((log.dropped_to(), log.last()), (5, 8));
        assert!(log.get(5).is_none() && log.get(7).is_none() && log.get(8).is_some());
        log.install(base(20));
        assert_eq!((log.dropped_to(), log.last()), (20, 20));
        log.put(21, BALLOT, value("abc"));
        assert_eq!(log.last(), 21);
    }

    #[test]
    fn batches_end_at_their_limits_and_say_where_to_go_on() {
        let log = log(0, &[1, 2, 5, 6]);
        assert_eq!(slots(log.batch(1..=9, ALL)), (vec![1, 2, 5, 6], None));
        assert_eq!(slots(log.batch(2..=5, ALL)), (vec![2, 5], None));
        let entries = BatchLimit { entries: 2, bytes: 100 };
        assert_eq!(slots(log.batch(1..=9, entries)), (vec![1, 2], Some(5)));
        let bytes = BatchLimit { entries: 100, bytes: 7 };
        assert_eq!(slots(log.batch(2..=9, bytes)), (vec![2, 5], Some(6)));
        let tiny = BatchLimit { entries: 100, bytes: 1 };
        assert_eq!(slots(log.batch(5..=9, tiny)), (vec![5], Some(6)));
        let run = |slots, limit| {
            let (values, bytes) = log.run(slots, limit);
            (values.len(), bytes)
        };
        assert_eq!((run(1..=2, tiny), run(5..=6, ALL)), ((1, 3), (2, 6)));
        assert_eq!((run(1..=2, bytes), run(5..=6, entries)), ((2, 6), (2, 6)));
    }
}
