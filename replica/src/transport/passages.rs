//! How long messages are under way, written down for those who would simulate this network.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use consensus_core::{NodeId, Time, history::Passage, storage::StorageError};

use crate::{clock, runtime::journal::Lines};

/// How often a message of each peer is written down, at most.
const EVERY: Duration = Duration::from_millis(10);

/// The passages of messages that arrive at one replica, in `passages.jsonl`.
pub struct Passages {
    to: NodeId,
    written: Mutex<Written>,
}

struct Written {
    /// `None` once it could not be written.
    lines: Option<Lines>,
    /// When the last one of each peer arrived.
    last: BTreeMap<NodeId, Time>,
}

impl Passages {
    /// Those that arrive at this replica, written down in its data directory.
    pub fn open(directory: &Path, to: NodeId) -> Result<Self, StorageError> {
        let lines = Some(Lines::open(directory.join("passages.jsonl"))?);
        Ok(Self { to, written: Mutex::new(Written { lines, last: BTreeMap::new() }) })
    }

    /// A message arrived from this replica, which left at this instant of its sender's clock.
    pub fn arrived(&self, from: NodeId, sent_ns: u64, sync_ns: u64) {
        let at = clock::now();
        let mut written = self.written();
        let due = written.last.get(&from).is_none_or(|last| at.since(*last) >= EVERY);
        if !due {
            return;
        }
        written.last.insert(from, at);
        // Both wrap alike, so their difference is right wherever it fits.
        let way_ns = at.0.wrapping_sub(sent_ns).cast_signed();
        let passage = Passage { at, from, to: self.to, way_ns, sync_ns };
        let Some(lines) = &mut written.lines else { return };
        if let Err(error) = lines.line(&passage).and_then(|_| lines.flush()) {
            tracing::error!(%error, "the ways of messages are no longer written down");
            written.lines = None;
        }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().expect("nobody panics while holding the passages")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_peer_some_are_written_down() {
        let place = tempfile::tempdir().unwrap();
        let passages = Passages::open(place.path(), NodeId(1)).unwrap();
        let sent = clock::now().0;
        for _ in 0..5 {
            passages.arrived(NodeId(2), sent, 7);
            passages.arrived(NodeId(3), u64::MAX, 0);
        }
        let text = std::fs::read_to_string(place.path().join("passages.jsonl")).unwrap();
        let lines: Vec<Passage> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |from| lines.iter().filter(move |passage| passage.from == NodeId(from));
        let first = of(2).next().unwrap();
        assert_eq!((first.to, first.sync_ns), (NodeId(1), 7));
        let way = first.at.0 - sent;
        assert_eq!(first.way_ns, i64::try_from(way).unwrap());
        assert_eq!(of(3).next().unwrap().way_ns, of(3).next().unwrap().at.0.cast_signed() + 1);
        let apart = of(2).zip(of(2).skip(1)).map(|(one, next)| next.at.since(one.at));
        assert!(apart.into_iter().all(|apart| apart >= EVERY));
    }
}
