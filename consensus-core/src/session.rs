//! Client sessions: a command that a client sends twice is applied once.
//!
//! A client that hears no answer cannot know whether its command was applied, so it must ask again,
//! perhaps at another replica, perhaps after everyone restarted. What makes the second try harmless
//! is part of the replicated state itself: each session remembers the replies to the sequence
//! numbers that its client has not yet acknowledged (Raft dissertation §6.3). A session is opened
//! through the log and named by the position at which it was opened, so that a name is never
//! reused, and a retry that outlives its session is refused instead of being applied again.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
};

use bytes::Bytes;
use prost::Message as _;

use crate::{
    id::{Index, SessionId},
    machine::StateMachine,
    wire::{DecodeError, Validate, Wire},
};

/// The most sessions that are remembered; opening another forgets the one unused for longest.
pub const MAX_SESSIONS: usize = 10_000;

/// The most replies that one session remembers.
pub const MAX_REPLIES: usize = 1_024;

/// A command as it stands in the log: an operation of the state machine in its session.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct ClientCommand {
    /// The session; zero for an operation that nobody will retry.
    #[prost(uint64, tag = "1")]
    pub session: u64,
    /// The operation's number in its session, from 1.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    /// The client holds the answers to every sequence number below this one and will not ask for
    /// them again.
    #[prost(uint64, tag = "3")]
    pub first_unanswered: u64,
    /// The operation, opaque here; `None` opens a session.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub operation: Option<Bytes>,
}

impl ClientCommand {
    /// Opens a session.
    pub const fn open() -> Self {
        Self { session: 0, sequence: 0, first_unanswered: 0, operation: None }
    }

    /// An operation outside any session: applied as often as it is sent.
    pub const fn once(operation: Bytes) -> Self {
        Self { session: 0, sequence: 0, first_unanswered: 0, operation: Some(operation) }
    }
}

impl Validate for ClientCommand {
    fn validate(&self) -> Result<(), DecodeError> {
        let numbered = self.sequence > 0 && self.first_unanswered <= self.sequence;
        let unnumbered = self.sequence == 0 && self.first_unanswered == 0;
        match (self.session, &self.operation) {
            (0, _) if unnumbered => Ok(()),
            (1.., Some(_)) if numbered => Ok(()),
            _ => Err(DecodeError::Invalid("a session's command has a number and an operation")),
        }
    }
}

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Reply {
    /// The session that was opened.
    Opened(SessionId),
    /// The state machine's answer, from this application or from the first one.
    Answered(Bytes),
    /// The session is unknown: never opened, or forgotten. Nothing was applied now; an earlier try
    /// of the same command may have been.
    UnknownSession,
    /// The client had said that it holds this answer already. Nothing was applied.
    AlreadyAcknowledged,
    /// The session holds as many unacknowledged answers as it may. Nothing was applied.
    TooManyUnacknowledged,
    /// The command did not decode. Nothing was applied.
    Malformed(DecodeError),
}

/// The application of one log entry: the reply, and whether the state machine saw the command.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Applied {
    /// What the client hears.
    pub reply: Reply,
    /// The command's session and sequence number, if it has them.
    pub request: Option<(SessionId, u64)>,
    /// Whether the state machine was changed by this very entry; a retry is not fresh.
    pub fresh: bool,
}

/// A state machine behind its session table. The table is part of the state: it is rebuilt from the
/// log, saved with the machine, and survives restarts with it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Sessions<M> {
    machine: M,
    table: BTreeMap<u64, Session>,
    applied: Index,
}

/// One client's memory.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Session {
    last_used: Index,
    first_unanswered: u64,
    replies: BTreeMap<u64, Bytes>,
}

impl<M: StateMachine> Sessions<M> {
    /// The state machine.
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// The position of the last entry applied.
    pub const fn applied(&self) -> Index {
        self.applied
    }

    /// How many sessions are remembered.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no session is remembered.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Notes that the entry at this position holds nothing.
    pub fn skip(&mut self, index: Index) {
        debug_assert!(index > self.applied, "entries are applied in order, each once");
        self.applied = index;
    }

    /// Applies the command at this position.
    pub fn apply(&mut self, index: Index, command: &Bytes) -> Applied {
        self.skip(index);
        let command = match ClientCommand::from_bytes(command.clone()) {
            Ok(command) => command,
            Err(error) => {
                return Applied { reply: Reply::Malformed(error), request: None, fresh: false };
            }
        };
        let Some(operation) = &command.operation else {
            self.open(index);
            let reply = Reply::Opened(SessionId(index));
            return Applied { reply, request: None, fresh: true };
        };
        if command.session == 0 {
            let reply = Reply::Answered(self.machine.apply(index, operation));
            return Applied { reply, request: None, fresh: true };
        }
        let (reply, fresh) = self.apply_in_session(index, &command, operation);
        let request = Some((SessionId(command.session), command.sequence));
        Applied { reply, request, fresh }
    }

    /// A digest of the whole state, the session table included.
    pub fn digest(&self) -> u64 {
        let mut bytes = Vec::new();
        self.save_table(&mut bytes).expect("a Vec takes every write");
        xxhash_rust::xxh3::xxh3_64_with_seed(&bytes, self.machine.digest())
    }

    /// Writes the whole state, the session table included.
    pub fn save(&self, to: &mut dyn io::Write) -> io::Result<()> {
        self.save_table(to)?;
        self.machine.save(to)
    }

    /// Reads what [`save`](Self::save) wrote.
    pub fn load(from: &mut dyn io::Read) -> io::Result<Self> {
        let mut length = [0; 8];
        from.read_exact(&mut length)?;
        let mut bytes = Vec::new();
        let length = u64::from_le_bytes(length);
        (&mut *from).take(length).read_to_end(&mut bytes)?;
        let invalid = |error: prost::DecodeError| io::Error::new(io::ErrorKind::InvalidData, error);
        let saved = SavedTable::decode(&bytes[..]).map_err(invalid)?;
        let session = |saved: SavedSession| {
            let SavedSession { session, last_used, first_unanswered, replies } = saved;
            (session, Session { last_used, first_unanswered, replies })
        };
        let table = saved.sessions.into_iter().map(session).collect();
        Ok(Self { machine: M::load(from)?, table, applied: saved.applied })
    }

    fn open(&mut self, index: Index) {
        if self.table.len() >= MAX_SESSIONS {
            // Which session is forgotten depends on the log alone, so that replicas agree.
            let oldest = self.table.iter().min_by_key(|(_, session)| session.last_used);
            if let Some(oldest) = oldest.map(|(&name, _)| name) {
                self.table.remove(&oldest);
            }
        }
        self.table.insert(index, Session { last_used: index, ..Session::default() });
    }

    fn apply_in_session(
        &mut self,
        index: Index,
        command: &ClientCommand,
        operation: &Bytes,
    ) -> (Reply, bool) {
        let Some(session) = self.table.get_mut(&command.session) else {
            return (Reply::UnknownSession, false);
        };
        session.last_used = index;
        if command.first_unanswered > session.first_unanswered {
            session.first_unanswered = command.first_unanswered;
            while let Some(answered) = session.replies.first_entry()
                && *answered.key() < command.first_unanswered
            {
                answered.remove();
            }
        }
        if let Some(remembered) = session.replies.get(&command.sequence) {
            return (Reply::Answered(remembered.clone()), false);
        }
        if command.sequence < session.first_unanswered {
            return (Reply::AlreadyAcknowledged, false);
        }
        if session.replies.len() >= MAX_REPLIES {
            return (Reply::TooManyUnacknowledged, false);
        }
        let answer = self.machine.apply(index, operation);
        session.replies.insert(command.sequence, answer.clone());
        (Reply::Answered(answer), true)
    }

    fn save_table(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let session = |(&session, memory): (&u64, &Session)| {
            let Session { last_used, first_unanswered, replies } = memory.clone();
            SavedSession { session, last_used, first_unanswered, replies }
        };
        let sessions = self.table.iter().map(session).collect();
        let bytes = SavedTable { applied: self.applied, sessions }.encode_to_vec();
        to.write_all(&(bytes.len() as u64).to_le_bytes())?;
        to.write_all(&bytes)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct SavedTable {
    #[prost(uint64, tag = "1")]
    applied: Index,
    #[prost(message, repeated, tag = "2")]
    sessions: Vec<SavedSession>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SavedSession {
    #[prost(uint64, tag = "1")]
    session: u64,
    #[prost(uint64, tag = "2")]
    last_used: Index,
    #[prost(uint64, tag = "3")]
    first_unanswered: u64,
    #[prost(btree_map = "uint64, bytes", tag = "4")]
    replies: BTreeMap<u64, Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{KeyValue, Operation};

    fn command(session: u64, sequence: u64, first_unanswered: u64, value: &'static str) -> Bytes {
        let operation = Some(Operation::put("x", value).to_bytes());
        ClientCommand { session, sequence, first_unanswered, operation }.to_bytes()
    }

    fn opened() -> (Sessions<KeyValue>, u64) {
        let mut sessions = Sessions::default();
        let applied = sessions.apply(1, &ClientCommand::open().to_bytes());
        assert_eq!(applied.reply, Reply::Opened(SessionId(1)));
        (sessions, 1)
    }

    #[test]
    fn a_retry_is_applied_once_and_hears_the_first_answer() {
        let (mut sessions, name) = opened();
        let first = sessions.apply(2, &command(name, 1, 1, "a"));
        sessions.apply(3, &command(name, 2, 1, "b"));
        let retry = sessions.apply(4, &command(name, 1, 1, "a"));
        assert!(first.fresh && !retry.fresh);
        assert_eq!(first.reply, retry.reply);
        assert_eq!(sessions.machine().get(b"x").unwrap(), "b");
    }

    #[test]
    fn the_memory_survives_saving_and_loading() {
        let (mut sessions, name) = opened();
        sessions.apply(2, &command(name, 1, 1, "a"));
        let mut bytes = Vec::new();
        sessions.save(&mut bytes).unwrap();
        let mut loaded = Sessions::<KeyValue>::load(&mut &bytes[..]).unwrap();
        assert_eq!((&loaded, loaded.digest()), (&sessions, sessions.digest()));
        assert!(!loaded.apply(3, &command(name, 1, 1, "a")).fresh);
    }

    #[test]
    fn a_forgotten_session_is_refused_and_its_retry_not_applied() {
        let (mut sessions, name) = opened();
        sessions.apply(2, &command(name, 1, 1, "a"));
        for index in 3..3 + MAX_SESSIONS as u64 {
            sessions.apply(index, &ClientCommand::open().to_bytes());
        }
        assert_eq!(sessions.len(), MAX_SESSIONS);
        let retry = sessions.apply(20_000, &command(name, 1, 1, "a"));
        assert_eq!((retry.reply, retry.fresh), (Reply::UnknownSession, false));
    }

    #[test]
    fn acknowledged_answers_are_forgotten_and_unacknowledged_ones_bounded() {
        let (mut sessions, name) = opened();
        sessions.apply(2, &command(name, 1, 1, "a"));
        sessions.apply(3, &command(name, 2, 2, "b"));
        let late = sessions.apply(4, &command(name, 1, 1, "a"));
        assert_eq!((late.reply, late.fresh), (Reply::AlreadyAcknowledged, false));
        for sequence in 3..=MAX_REPLIES as u64 + 1 {
            assert!(sessions.apply(sequence + 2, &command(name, sequence, 2, "c")).fresh);
        }
        let full = sessions.apply(5_000, &command(name, 2_000, 2, "d"));
        assert_eq!((full.reply, full.fresh), (Reply::TooManyUnacknowledged, false));
    }

    #[test]
    fn outside_a_session_every_copy_is_applied() {
        let mut sessions = Sessions::<KeyValue>::default();
        let once = ClientCommand::once(Operation::put("x", "a").to_bytes()).to_bytes();
        assert!(sessions.apply(1, &once).fresh);
        assert!(sessions.apply(2, &once).fresh);
    }

    #[test]
    fn nonsense_is_refused() {
        let mut sessions = Sessions::<KeyValue>::default();
        let sequence_without_session =
            ClientCommand { sequence: 3, ..ClientCommand::once(Bytes::new()) };
        for bad in [Bytes::from_static(b"\xff"), sequence_without_session.to_bytes()] {
            let index = sessions.applied() + 1;
            assert!(matches!(sessions.apply(index, &bad).reply, Reply::Malformed(_)));
        }
    }
}
