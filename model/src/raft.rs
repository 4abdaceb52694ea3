//! Raft, explored.

use consensus_core::{Epoch, Role, Status};
use consensus_raft::{
    Message, Raft, Record, Timer,
    message::{AppendEntriesRefusal, AppendEntriesReply, RequestVoteReply},
};

use crate::explored::{Entry, Explored, LogPromise, Renaming};

impl Explored for Raft {
    /// A term belongs to nobody, and votes are first come, first served.
    const RENAMING: Renaming = Renaming::Any;
    const LOGS: LogPromise = LogPromise::Matching;

    fn election_timer() -> Timer {
        Timer::Election
    }

    fn heartbeat_timer() -> Timer {
        Timer::Heartbeat
    }

    fn epoch(hard: &Record) -> Option<Epoch> {
        match hard {
            Record::Hard(hard) => Some(Epoch::term(hard.term)),
            Record::Entry(_) => None,
        }
    }

    fn entry(record: &Record) -> Option<Entry<'_>> {
        match record {
            Record::Hard(_) => None,
            Record::Entry(entry) => {
                let payload = entry.payload.as_ref()?;
                Some(Entry { index: entry.index, epoch: Epoch::term(entry.term), payload })
            }
        }
    }

    /// Answers matter to the candidate or leader of their term, and to whoever has not seen that term.
    /// Once a replica is no more the candidate, or leader, of a term, it never is again.
    fn is_spent(message: &Message, receiver: &Status, settled: Epoch) -> bool {
        let (term, wanted) = match message {
            Message::RequestVoteReply(RequestVoteReply { term, .. }) => (*term, Role::Candidate),
            Message::AppendEntriesReply(AppendEntriesReply { term, .. })
            | Message::AppendEntriesRefusal(AppendEntriesRefusal { term, .. }) => {
                (*term, Role::Leader)
            }
            _ => return false,
        };
        let is_awaited = receiver.role == wanted && receiver.epoch.round == term;
        term <= settled.round && !is_awaited
    }
}
