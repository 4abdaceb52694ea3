//! The tail of the log in memory: everything after the base, and a margin before its end for
//! followers a little behind.
//!
//! ```text
//!         before        base                commit              last
//! index   ...  2  | 3   4  | 5   6   7   8   9  | 10  11  12  13
//! term         1  | 2   2  | 2   2   3   3   3  |  3   3   5   5
//!          only in| in the | applied, not yet   | may yet be
//!          the    | snap-  | in a snapshot      | replaced
//!          snap-  | shot as|                    |
//!          shot   | well   |                    |
//! ```

use std::{
    collections::VecDeque,
    ops::{Range, RangeInclusive},
};

use consensus_core::{
    Configuration, Index, Payload, RequestId, SnapshotMeta, settings::ENTRY_OVERHEAD_BYTES,
};

use crate::record::Entry;

/// The tail of the log. Indexes follow each other without gaps, and terms never fall along it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Log {
    /// The latest snapshot: on disk, the entries after it are all there is.
    base: SnapshotMeta,
    /// The position and term of the entry before the first one held, at or before the base.
    before: (Index, u64),
    /// The entries after that, in order.
    entries: VecDeque<Slot>,
    /// What those of them count that the base covers, in bytes.
    covered_bytes: usize,
}

/// An entry, whose index is its place, and the request that waits for it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Slot {
    /// The term of the leader that created the entry.
    pub term: u64,
    /// What it carries.
    pub payload: Payload,
    /// The client's request that this replica, as leader, put here; it is answered when the entry
    /// is applied, or when leadership is lost.
    pub request: Option<RequestId>,
}

impl Slot {
    fn new(entry: Entry, request: Option<RequestId>) -> Self {
        Self { term: entry.term, payload: entry.payload.unwrap_or_default(), request }
    }

    /// What the entry counts towards a snapshot.
    pub fn bytes(&self) -> usize {
        self.payload.bytes() + ENTRY_OVERHEAD_BYTES
    }
}

impl Log {
    pub const fn new(base: SnapshotMeta) -> Self {
        let before = (base.index, base.epoch.round);
        Self { base, before, entries: VecDeque::new(), covered_bytes: 0 }
    }

    pub const fn base(&self) -> &SnapshotMeta {
        &self.base
    }

    /// The position and term of the entry before the first one held: the earliest place after which
    /// a follower can be brought up by entries.
    pub const fn before(&self) -> (Index, u64) {
        self.before
    }

    pub fn last_index(&self) -> Index {
        self.before.0 + self.entries.len() as u64
    }

    pub fn last_term(&self) -> u64 {
        self.entries.back().map_or(self.before.1, |slot| slot.term)
    }

    /// The term at an index; `None` before what is held and after the end.
    pub fn term_at(&self, index: Index) -> Option<u64> {
        let (before, term) = self.before;
        if index == before {
            return Some(term);
        }
        self.get(index).map(|slot| slot.term)
    }

    pub fn get(&self, index: Index) -> Option<&Slot> {
        self.entries.get(self.offset(index)?)
    }

    /// The entries between two indexes, both included; all of them are held.
    pub fn range(&self, indexes: RangeInclusive<Index>) -> impl Iterator<Item = &Slot> {
        self.entries.range(self.offsets(indexes))
    }

    pub fn range_mut(&mut self, indexes: RangeInclusive<Index>) -> impl Iterator<Item = &mut Slot> {
        let offsets = self.offsets(indexes);
        self.entries.range_mut(offsets)
    }

    /// The configurations that the entries held carry, each with its position.
    pub fn configurations(&self) -> impl Iterator<Item = (Index, &Configuration)> {
        let indexed = (self.before.0 + 1..).zip(&self.entries);
        indexed.filter_map(|(index, slot)| Some((index, slot.payload.configuration()?)))
    }

    /// Appends the entry that comes next.
    pub fn push(&mut self, entry: Entry, request: Option<RequestId>) {
        debug_assert_eq!(entry.index, self.last_index() + 1, "entries come in order");
        debug_assert!(entry.term >= self.last_term(), "terms never fall along a log");
        self.entries.push_back(Slot::new(entry, request));
    }

    /// Appends the entries that come next, for which no request waits.
    pub fn extend(&mut self, entries: impl Iterator<Item = Entry>) {
        self.entries.extend(entries.map(|entry| Slot::new(entry, None)));
    }

    /// Removes the entries from this index on.
    pub fn truncate_from(&mut self, from: Index) {
        assert!(from > self.base.index, "nothing is truncated that a snapshot holds");
        let keep = self.offset(from).expect("what follows the base is held");
        self.entries.truncate(keep);
    }

    /// A snapshot holds everything up to its index; the entries that it covers, and the base before it
    /// did not, count so many bytes. They stay until they are [trimmed](Self::trim).
    pub fn compact(&mut self, base: SnapshotMeta, bytes: usize) {
        assert!(base.index > self.base.index, "a later snapshot is the base");
        self.base = base;
        self.covered_bytes += bytes;
    }

    /// Removes the oldest of the entries that the base covers while they count more than so many
    /// bytes; but no more than `limit` at a time, for the others wait meanwhile.
    pub fn trim(&mut self, retained_bytes: usize, limit: usize) {
        for _ in 0..limit {
            if self.covered_bytes <= retained_bytes || self.before.0 == self.base.index {
                return;
            }
            let slot = self.entries.pop_front().expect("the base is not beyond the end");
            self.covered_bytes -= slot.bytes();
            self.before = (self.before.0 + 1, slot.term);
        }
    }

    /// The entries from an index on, as many as fit; at least one, if there is one.
    pub fn batch(&self, from: Index, max_entries: usize, max_bytes: usize) -> Vec<Entry> {
        let Some(start) = self.offset(from).filter(|&start| start < self.entries.len()) else {
            return Vec::new();
        };
        let end = self.entries.len().min(start + max_entries);
        let mut bytes = 0;
        let fits = |slot: &&Slot| {
            let first = bytes == 0;
            bytes += slot.payload.bytes();
            first || bytes <= max_bytes
        };
        // Counted first, so that the batch is allocated once and copied without looking.
        let count = self.entries.range(start..end).take_while(fits).count();
        let entry = |(index, slot): (Index, &Slot)| {
            let Slot { term, payload, .. } = slot;
            Entry { index, term: *term, payload: Some(payload.clone()) }
        };
        (from..).zip(self.entries.range(start..start + count)).map(entry).collect()
    }

    /// The last position at or before `index` whose term is at most `term`; `None` if that is before
    /// what is held.
    pub fn last_at_most(&self, index: Index, term: u64) -> Option<Index> {
        let (before, before_term) = self.before;
        if index < before || term < before_term {
            return None;
        }
        let held = self.offset(index + 1)?.min(self.entries.len());
        // Terms never fall along the log, so the ones that are low enough stand in front.
        let low = self.entries.partition_point(|slot| slot.term <= term).min(held);
        Some(before + low as u64)
    }

    fn offsets(&self, indexes: RangeInclusive<Index>) -> Range<usize> {
        let (from, to) = indexes.into_inner();
        let start = self.offset(from).expect("nothing is read before what is held");
        start..self.offset(to + 1).expect("a range ends after it starts")
    }

    fn offset(&self, index: Index) -> Option<usize> {
        usize::try_from(index.checked_sub(self.before.0 + 1)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use consensus_core::Epoch;
    use proptest::prelude::*;

    use super::*;

    fn log(base: Index, terms: &[u64]) -> Log {
        let mut log = Log::new(SnapshotMeta {
            index: base,
            epoch: Epoch::term(base.min(1)),
            ..SnapshotMeta::default()
        });
        for &term in terms {
            let payload = Some(Payload::of(Bytes::from_static(b"0123456789")));
            log.push(Entry { index: log.last_index() + 1, term, payload }, None);
        }
        log
    }

    #[test]
    fn positions_count_from_the_base() {
        let log = log(4, &[1, 2, 2]);
        assert_eq!((log.last_index(), log.last_term()), (7, 2));
        let terms: Vec<_> = (3..=8).map(|index| log.term_at(index)).collect();
        assert_eq!(terms, [None, Some(1), Some(1), Some(2), Some(2), None]);
    }

    #[test]
    fn a_batch_keeps_its_limits_but_carries_at_least_one() {
        let log = log(2, &[1, 1, 1, 1]);
        let sizes = |entries, bytes| log.batch(3, entries, bytes).len();
        assert_eq!((sizes(9, 1_000), sizes(3, 1_000), sizes(9, 20), sizes(9, 1)), (4, 3, 2, 1));
        assert_eq!(log.batch(7, 9, 1_000), []);
    }

    #[test]
    fn what_a_snapshot_covers_stays_within_the_margin() {
        let mut log = log(0, &[1, 2, 2, 3, 3]);
        let bytes = log.range(1..=1).map(Slot::bytes).sum::<usize>();
        let covering = |index, round| SnapshotMeta {
            index,
            epoch: Epoch::term(round),
            ..SnapshotMeta::default()
        };
        log.compact(covering(3, 2), 3 * bytes);
        log.trim(2 * bytes, 9);
        assert_eq!((log.before(), log.last_index()), ((1, 1), 5));
        assert_eq!((log.term_at(0), log.term_at(1), log.term_at(2)), (None, Some(1), Some(2)));
        log.compact(covering(4, 3), bytes);
        log.trim(0, 2);
        assert_eq!(log.before(), (3, 2), "so much at a time");
        log.trim(0, 2);
        assert_eq!((log.before(), log.last_index()), ((4, 3), 5), "what follows the base stays");
    }

    proptest! {
        #[test]
        fn the_last_position_of_a_term_at_most(
            base in 0u64..4,
            mut terms in prop::collection::vec(1u64..6, 0..12),
            index in 0u64..18,
            term in 0u64..7,
        ) {
            terms.sort_unstable();
            let log = log(base, &terms);
            let fits = |&at: &Index| log.term_at(at).is_some_and(|t| t <= term);
            let expected = (base..=index).rev().find(fits);
            prop_assert_eq!(log.last_at_most(index, term), expected);
        }
    }
}
