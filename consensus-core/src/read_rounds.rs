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
//! A follower serves reads alike: it asks its leader up to where it must have applied, the leader
//! answers once a round is confirmed that began after the question came, and the follower waits
//! until it has applied as much (the same section).
//!
//! What is here is the book-keeping. When a round may start, and what an acknowledgement promises,
//! are rules of each protocol, and stand in its own crate.

use std::collections::{BTreeMap, VecDeque};

use crate::id::{Epoch, Index, NodeId, RequestId};

/// Who wants to read at a leader.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reader {
    /// A client of the leader.
    Client(RequestId),
    /// A follower, for clients of its own.
    Follower {
        /// Which.
        node: NodeId,
        /// The number of its question, for the answer.
        question: u64,
    },
}

impl From<RequestId> for Reader {
    fn from(request: RequestId) -> Self {
        Self::Client(request)
    }
}

/// The reads that a leader holds; they end with its term or ballot.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct ReadRounds {
    /// Reads that no round was sent for, in order.
    waiting: Vec<Reader>,
    /// Clients' reads for which no round is needed while the leader holds a lease.
    leased: Vec<RequestId>,
    /// Rounds with reads that were sent and not yet confirmed, in order of their numbers.
    rounds: VecDeque<Round>,
    /// The number of the last round. A number is used once in a term or under a ballot, and its
    /// reads came before it: an acknowledgement of an earlier round can never confirm a later read.
    last: u64,
    /// How many reads are held.
    held: usize,
    /// The latest question of each follower that has one among them.
    asking: BTreeMap<NodeId, u64>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Round {
    number: u64,
    /// What was known to be committed when the round was sent: what its reads must see.
    index: Index,
    readers: Vec<Reader>,
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

    /// All clients' requests, in order.
    pub fn into_requests(self) -> impl Iterator<Item = RequestId> {
        let readers = self.rounds.into_iter().flat_map(|round| round.readers).chain(self.waiting);
        let clients = readers.filter_map(|reader| match reader {
            Reader::Client(request) => Some(request),
            Reader::Follower { .. } => None,
        });
        clients.chain(self.leased)
    }

    /// Takes a read; it waits for the next round. A follower's question that is held already waits on
    /// where it is: rounds make a leader heard, and a follower that hears its leader asks again, so
    /// the two would keep each other busy for as long as no quorum answers.
    pub fn wait(&mut self, reader: impl Into<Reader>) {
        let reader = reader.into();
        if let Reader::Follower { node, question } = reader {
            let held = self.asking.entry(node).or_default();
            if *held >= question {
                return;
            }
            *held = question;
        }
        self.waiting.push(reader);
        self.held += 1;
    }

    /// Takes a read that a lease suffices for; without one it waits for the next round.
    pub fn wait_leased(&mut self, request: RequestId) {
        self.leased.push(request);
        self.held += 1;
    }

    /// Takes the reads that a lease suffices for, of a leader that holds one.
    pub fn take_leased(&mut self) -> Vec<RequestId> {
        self.held -= self.leased.len();
        std::mem::take(&mut self.leased)
    }

    /// Starts a round for every read that waits, which must see what is committed up to `index`;
    /// `None` if none waits.
    pub fn start_round(&mut self, index: Index) -> Option<u64> {
        let mut readers = std::mem::take(&mut self.waiting);
        readers.extend(self.leased.drain(..).map(Reader::Client));
        if readers.is_empty() {
            return None;
        }
        let number = self.next_round();
        self.rounds.push_back(Round { number, index, readers });
        Some(number)
    }

    /// Takes the reads of the oldest round, with what they must see, if a quorum confirmed it (every
    /// round up to `confirmed`) and that is applied.
    pub fn take_confirmed(
        &mut self,
        confirmed: u64,
        applied: Index,
    ) -> Option<(Index, Vec<Reader>)> {
        let round = self.rounds.front()?;
        if round.number > confirmed || round.index > applied {
            return None;
        }
        let round = self.rounds.pop_front()?;
        self.held -= round.readers.len();
        for reader in &round.readers {
            if let Reader::Follower { node, question } = reader
                && self.asking.get(node) == Some(question)
            {
                self.asking.remove(node);
            }
        }
        Some((round.index, round.readers))
    }
}

/// The reads that a follower holds until its leader said up to where it must have applied.
///
/// Questions are numbered, and one is asked for all reads that came together. No number is used twice
/// in the life of the replica, or a late answer to an earlier question would be taken for one to a
/// later one, and its reads would miss what was written in between.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct ReadQuestions {
    /// Reads for which nobody was asked yet, in order.
    waiting: Vec<RequestId>,
    /// Questions whose reads are not served, in order.
    asked: VecDeque<Question>,
    /// Whom the questions were put to.
    of: Option<(Epoch, NodeId)>,
    /// The number of the last question; its upper bits are the incarnation's.
    last: u64,
    /// The last question when the leader was last heard of: what was asked before then and is still
    /// unanswered may be lost.
    heard_after: u64,
    /// How many reads are held.
    held: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Question {
    number: u64,
    /// What the leader answered.
    index: Option<Index>,
    requests: Vec<RequestId>,
}

/// How many bits of a question's number count the questions of one incarnation.
const QUESTION_BITS: u32 = 40;

impl ReadQuestions {
    /// Of a replica in this incarnation, which grows with every start: so do the numbers.
    pub fn new(incarnation: u64) -> Self {
        let last = incarnation << QUESTION_BITS;
        Self { last, heard_after: last, ..Self::default() }
    }

    /// How many reads are held.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Takes a read; it waits for the next question.
    pub fn wait(&mut self, request: RequestId) {
        self.waiting.push(request);
        self.held += 1;
    }

    /// Whether reads are held that were, or are to be, put to somebody else than this leader: they
    /// are to be refused.
    pub fn lost(&self, leader: Option<(Epoch, NodeId)>) -> bool {
        self.held > 0 && (leader.is_none() || !self.asked.is_empty() && self.of != leader)
    }

    /// Takes every read out.
    pub fn take_all(&mut self) -> Vec<RequestId> {
        self.held = 0;
        let asked = self.asked.drain(..).flat_map(|question| question.requests);
        let mut requests: Vec<_> = asked.collect();
        requests.append(&mut self.waiting);
        requests
    }

    /// Starts a question for all reads that wait, to this leader; `None` if none waits.
    pub fn ask(&mut self, leader: (Epoch, NodeId)) -> Option<u64> {
        if self.waiting.is_empty() {
            return None;
        }
        self.last += 1;
        self.of = Some(leader);
        let requests = std::mem::take(&mut self.waiting);
        self.asked.push_back(Question { number: self.last, index: None, requests });
        Some(self.last)
    }

    /// The leader is heard of. Names a question that is to be put again, in place of all before it:
    /// an answer is overdue, and the question or the answer may be lost.
    pub fn heard(&mut self) -> Option<u64> {
        let unanswered = |question: &&Question| question.index.is_none();
        let overdue = self.asked.iter().find(unanswered).map(|question| question.number);
        let again = overdue.filter(|&number| number <= self.heard_after).map(|_| self.last);
        self.heard_after = self.last;
        again
    }

    /// The leader answers a question, and with it every earlier one.
    pub fn answered(&mut self, number: u64, index: Index) {
        let earlier = self.asked.iter_mut().take_while(|question| question.number <= number);
        earlier.for_each(|question| question.index = question.index.or(Some(index)));
    }

    /// Takes the reads of the oldest question, if what they must see is known and applied.
    pub fn take_served(&mut self, applied: Index) -> Option<Vec<RequestId>> {
        let question = self.asked.front()?;
        if question.index.is_none_or(|index| index > applied) {
            return None;
        }
        let question = self.asked.pop_front()?;
        self.held -= question.requests.len();
        Some(question.requests)
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

    fn clients(requests: impl IntoIterator<Item = u64>) -> Vec<Reader> {
        requests.into_iter().map(|request| Reader::Client(RequestId(request))).collect()
    }

    #[test]
    fn a_round_is_for_all_that_came_before_it() {
        let mut reads = waiting([1, 2]);
        assert_eq!(reads.start_round(5), Some(1));
        assert_eq!(reads.start_round(5), None, "nobody waits any more");
        reads.wait(RequestId(3));
        assert_eq!(reads.held(), 3);
        assert_eq!(reads.take_confirmed(1, 5), Some((5, clients([1, 2]))));
        assert_eq!(reads.take_confirmed(1, 5), None, "the third came after the round");
        assert_eq!(reads.held(), 1);
    }

    #[test]
    fn an_earlier_acknowledgement_confirms_no_later_read() {
        let mut reads = waiting([1]);
        assert_eq!(reads.next_round(), 1, "a round without reads");
        assert_eq!(reads.start_round(0), Some(2));
        assert_eq!(reads.take_confirmed(1, 9), None);
        assert_eq!(reads.take_confirmed(2, 9), Some((0, clients([1]))));
        assert_eq!(reads.last(), 2);
    }

    #[test]
    fn a_read_waits_until_what_it_must_see_is_applied() {
        let mut reads = waiting([1]);
        reads.start_round(7);
        assert_eq!(reads.take_confirmed(1, 6), None);
        assert_eq!(reads.take_confirmed(1, 7), Some((7, clients([1]))));
    }

    #[test]
    fn a_later_acknowledgement_confirms_every_earlier_round_in_order() {
        let mut reads = waiting([1]);
        reads.start_round(1);
        reads.wait(RequestId(2));
        reads.start_round(2);
        assert_eq!(reads.take_confirmed(2, 2), Some((1, clients([1]))));
        assert_eq!(reads.take_confirmed(2, 2), Some((2, clients([2]))));
        assert_eq!((reads.take_confirmed(2, 2), reads.held()), (None, 0));
    }

    #[test]
    fn whoever_stops_leading_gives_back_every_read_in_order() {
        let mut reads = waiting([1, 2]);
        reads.wait(Reader::Follower { node: NodeId(2), question: 1 });
        reads.start_round(0);
        reads.wait(RequestId(3));
        reads.wait_leased(RequestId(4));
        let given_back: Vec<_> = reads.into_requests().map(|request| request.0).collect();
        assert_eq!(given_back, [1, 2, 3, 4], "a follower knows by itself");
    }

    #[test]
    fn what_a_lease_suffices_for_joins_a_round_without_one() {
        let mut reads = ReadRounds::default();
        reads.wait_leased(RequestId(1));
        assert_eq!(reads.take_leased(), [RequestId(1)]);
        assert_eq!((reads.held(), reads.start_round(1)), (0, None));
        reads.wait_leased(RequestId(2));
        assert_eq!(reads.start_round(1), Some(1));
        assert_eq!(reads.take_leased(), []);
        assert_eq!(reads.take_confirmed(1, 1), Some((1, clients([2]))));
    }

    #[test]
    fn a_question_that_is_put_again_is_held_once_until_it_is_answered() {
        let mut reads = ReadRounds::default();
        let question = |question| Reader::Follower { node: NodeId(2), question };
        reads.wait(question(7));
        assert_eq!(reads.start_round(1), Some(1));
        reads.wait(question(7));
        assert_eq!((reads.start_round(1), reads.held()), (None, 1));
        assert_eq!(reads.take_confirmed(1, 1), Some((1, vec![question(7)])));
        reads.wait(question(7));
        assert_eq!(reads.start_round(1), Some(2), "the answer was lost");
    }

    const LEADER: (Epoch, NodeId) = (Epoch::term(3), NodeId(1));

    fn asking(requests: impl IntoIterator<Item = u64>) -> ReadQuestions {
        let mut reads = ReadQuestions::default();
        for request in requests {
            reads.wait(RequestId(request));
            assert_eq!(reads.ask(LEADER), Some(request));
        }
        reads
    }

    #[test]
    fn an_answer_is_for_its_question_and_those_before_it() {
        let mut reads = asking([1, 2, 3]);
        reads.answered(2, 7);
        assert_eq!(reads.take_served(6), None, "not yet applied");
        assert_eq!(reads.take_served(7), Some(vec![RequestId(1)]));
        assert_eq!(reads.take_served(7), Some(vec![RequestId(2)]));
        assert_eq!(reads.take_served(7), None, "the third was asked later");
        assert_eq!(reads.held(), 1);
    }

    #[test]
    fn an_overdue_question_is_put_again_in_place_of_all() {
        let mut reads = asking([1]);
        assert_eq!(reads.heard(), None, "it has just been asked");
        reads.wait(RequestId(2));
        assert_eq!(reads.ask(LEADER), Some(2));
        assert_eq!(reads.heard(), Some(2));
        reads.answered(2, 0);
        assert_eq!(reads.heard(), None);
    }

    #[test]
    fn no_number_is_used_again_after_a_restart() {
        let first_of = |incarnation| {
            let mut reads = ReadQuestions::new(incarnation);
            reads.wait(RequestId(1));
            reads.ask(LEADER)
        };
        assert!(first_of(1) < first_of(2));
    }

    #[test]
    fn reads_end_with_whoever_was_asked() {
        let mut reads = asking([1]);
        assert!(!reads.lost(Some(LEADER)));
        assert!(reads.lost(None) && reads.lost(Some((Epoch::term(4), NodeId(1)))));
        assert_eq!(reads.take_all(), [RequestId(1)]);
        reads.wait(RequestId(2));
        assert!(!reads.lost(Some((Epoch::term(4), NodeId(1)))), "nobody was asked yet");
    }
}
