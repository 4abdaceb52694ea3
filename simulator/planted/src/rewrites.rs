//! The mistakes that rewritten effects can express.

use consensus_core::{Disk, Protocol, When, Write};
use consensus_multipaxos::{self as multipaxos, MultiPaxos};
use consensus_raft::{self as raft, Raft, record::Hard};

use crate::rewritten::Rewrite;

/// Nothing is rewritten: what the wrapping itself changes, which is nothing.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Nothing;

impl<P: Protocol> Rewrite<P> for Nothing {}

/// A vote never reaches the disk: whoever restarts has its vote again.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ForgetsItsVote;

impl Rewrite<Raft> for ForgetsItsVote {
    /// The term is persisted, and the vote in it is not.
    fn persist(batch: Vec<Write<raft::Record>>) -> Vec<Write<raft::Record>> {
        let forget = |write| match write {
            Write::Put(raft::Record::Hard(hard)) => {
                Write::Put(raft::Record::Hard(Hard { vote: 0, ..hard }))
            }
            other => other,
        };
        batch.into_iter().map(forget).collect()
    }
}

impl Rewrite<MultiPaxos> for ForgetsItsVote {
    /// A promise is nothing but the hard state.
    fn persist(batch: Vec<Write<multipaxos::Record>>) -> Vec<Write<multipaxos::Record>> {
        let kept = |write: &Write<_>| !matches!(write, Write::Put(multipaxos::Record::Hard(_)));
        batch.into_iter().filter(kept).collect()
    }
}

/// Acknowledges entries that are not on its disk yet. Votes still wait.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AcknowledgesBeforeTheSync;

impl Rewrite<Raft> for AcknowledgesBeforeTheSync {
    fn when(message: &raft::Message, when: When) -> When {
        if matches!(message, raft::Message::AppendEntriesReply(_)) { When::Now } else { when }
    }
}

impl Rewrite<MultiPaxos> for AcknowledgesBeforeTheSync {
    fn when(message: &multipaxos::Message, when: When) -> When {
        if matches!(message, multipaxos::Message::Accepted(_)) { When::Now } else { when }
    }
}

/// Comes back after a restart without anything on its disk, and under its old name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LosesItsDisk;

impl<P: Protocol> Rewrite<P> for LosesItsDisk {
    fn recovered(incarnation: u64, disk: Disk<P::Record>) -> Disk<P::Record> {
        if incarnation > 1 { Disk::empty() } else { disk }
    }
}

/// Takes the last entry on its disk for one that was being written when it died, and cuts it; but it
/// was synced, and what stood there may have been promised.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CutsWhatWasSynced;

impl<P: Protocol> Rewrite<P> for CutsWhatWasSynced {
    fn recovered(_incarnation: u64, mut disk: Disk<P::Record>) -> Disk<P::Record> {
        disk.entries.pop();
        disk
    }
}
