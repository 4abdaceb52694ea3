//! Linearizable reads without a log write: the reads that a leader holds until it is known to lead.
//!
//! A read that is served from a leader's memory sees every acknowledged write, if nobody else led
//! when it was asked. Raft's dissertation, §6.4, has the leader ask: it notes its commit index,
//! exchanges one round of messages with a quorum, and then serves every read that came before the
//! round, once that index is applied. A ballot serves for this as well as a term does.
//!
//! ```text
//! reads wait ──> round n starts ──> a quorum acknowledged n, or a later round ──> served
//!                notes the index                        and the index is applied
//! ```
//!
//! What is here is the book-keeping. When a round may start, and what an acknowledgement promises,
//! are rules of each protocol, and stand in its own crate.

use std::collections::VecDeque;

use crate::id::{Index, RequestId};

/// The reads that a leader holds; they end with its term or ballot.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct ReadRounds {
    /// Reads that no round was sent for, in order.
    waiting: Vec<RequestId>,
    /// Rounds with reads that were sent and not yet confirmed, in order of their numbers.
    rounds: VecDeque<Round>,
    /// The number of the last round. A number is used once in a term or under a ballot, and its
    /// reads came before it: an acknowledgement of an earlier round can never confirm a later read.
    last: u64,
    /// How many reads are held.
    held: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Round {
    number: u64,
    /// What was known to be committed when the round was sent: what its reads must see.
    index: Index,
    requests: Vec<RequestId>,
}

impl ReadRounds {
    /// The number of the last round; zero before the first.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Numbers a round without reads.
    pub const fn next_round(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// How many reads are held, waiting or in a round.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// All requests, in order.
    pub fn into_requests(self) -> impl Iterator<Item = RequestId> {
        self.rounds.into_iter().flat_map(|round| round.requests).chain(self.waiting)
    }

    /// Takes a read; it waits for the next round.
    pub fn wait(&mut self, request: RequestId) {
        self.waiting.push(request);
        self.held += 1;
    }

    /// Starts a round for every read that waits, which must see what is committed up to `index`;
    /// `None` if none waits.
    pub fn start_round(&mut self, index: Index) -> Option<u64> {
        if self.waiting.is_empty() {
            return None;
        }
        let requests = std::mem::take(&mut self.waiting);
        let number = self.next_round();
        self.rounds.push_back(Round { number, index, requests });
        Some(number)
    }

    /// Takes the reads of the oldest round, if a quorum confirmed it (every round up to
    /// `confirmed`) and what it must see is applied.
    pub fn take_confirmed(&mut self, confirmed: u64, applied: Index) -> Option<Vec<RequestId>> {
        let round = self.rounds.front()?;
        if round.number > confirmed || round.index > applied {
            return None;
        }
        let round = self.rounds.pop_front()?;
        self.held -= round.requests.len();
        Some(round.requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(requests: impl IntoIterator<Item = u64>) -> ReadRounds {
        let mut reads = ReadRounds::default();
        requests.into_iter().for_each(|request| reads.wait(RequestId(request)));
        reads
    }

    #[test]
    fn a_round_is_for_all_that_came_before_it() {
        let mut reads = waiting([1, 2]);
        assert_eq!(reads.start_round(5), Some(1));
        assert_eq!(reads.start_round(5), None, "nobody waits any more");
        reads.wait(RequestId(3));
        assert_eq!(reads.held(), 3);
        assert_eq!(reads.take_confirmed(1, 5), Some(vec![RequestId(1), RequestId(2)]));
        assert_eq!(reads.take_confirmed(1, 5), None, "the third came after the round");
        assert_eq!(reads.held(), 1);
    }

    #[test]
    fn an_earlier_acknowledgement_confirms_no_later_read() {
        let mut reads = waiting([1]);
        assert_eq!(reads.next_round(), 1, "a round without reads");
        assert_eq!(reads.start_round(0), Some(2));
        assert_eq!(reads.take_confirmed(1, 9), None);
        assert_eq!(reads.take_confirmed(2, 9), Some(vec![RequestId(1)]));
        assert_eq!(reads.last(), 2);
    }

    #[test]
    fn a_read_waits_until_what_it_must_see_is_applied() {
        let mut reads = waiting([1]);
        reads.start_round(7);
        assert_eq!(reads.take_confirmed(1, 6), None);
        assert_eq!(reads.take_confirmed(1, 7), Some(vec![RequestId(1)]));
    }

    #[test]
    fn a_later_acknowledgement_confirms_every_earlier_round_in_order() {
        let mut reads = waiting([1]);
        reads.start_round(1);
        reads.wait(RequestId(2));
        reads.start_round(2);
        assert_eq!(reads.take_confirmed(2, 2), Some(vec![RequestId(1)]));
        assert_eq!(reads.take_confirmed(2, 2), Some(vec![RequestId(2)]));
        assert_eq!((reads.take_confirmed(2, 2), reads.held()), (None, 0));
    }

    #[test]
    fn whoever_stops_leading_gives_back_every_read_in_order() {
        let mut reads = waiting([1, 2]);
        reads.start_round(0);
        reads.wait(RequestId(3));
        let given_back: Vec<_> = reads.into_requests().map(|request| request.0).collect();
        assert_eq!(given_back, [1, 2, 3]);
    }
}
