//! Multi-Paxos, explored.

use consensus_core::{Epoch, Role, Status};
use consensus_multipaxos::{
    Message, MultiPaxos, Record, Timer,
    message::{Accepted, Nack},
};

use crate::explored::{Entry, Explored, LogPromise, Renaming};

impl Explored for MultiPaxos {
    /// Ballots of one round are ordered by their owners.
    const RENAMING: Renaming = Renaming::KeepsOrder;
    const LOGS: LogPromise = LogPromise::Agreement;

    fn election_timer() -> Timer {
        Timer::Election
    }

    fn heartbeat_timer() -> Timer {
        Timer::Heartbeat
    }

    fn epoch(hard: &Record) -> Option<Epoch> {
        match hard {
            Record::Hard(hard) => Some(hard.promised.epoch()),
            Record::Accepted(_) => None,
        }
    }

    fn entry(record: &Record) -> Option<Entry<'_>> {
        match record {
            Record::Hard(_) => None,
            Record::Accepted(accepted) => {
                let epoch = accepted.ballot.epoch();
                Some(Entry { index: accepted.slot, epoch, payload: &accepted.value })
            }
        }
    }

    /// Promises matter to the candidate, and acceptances to the leader, of their ballot, and nobody
    /// becomes that a second time. A refusal also tells of a ballot to campaign above, unless a higher
    /// one is promised anyway.
    fn is_spent(message: &Message, receiver: &Status, settled: Epoch) -> bool {
        match message {
            Message::Promise(promise) => {
                !(receiver.role == Role::Candidate && receiver.epoch == promise.ballot.epoch())
            }
            Message::Accepted(Accepted { ballot, .. }) => {
                !(receiver.role == Role::Leader && receiver.epoch == ballot.epoch())
            }
            Message::Nack(Nack { promised, .. }) => promised.epoch() <= settled,
            _ => false,
        }
    }
}
