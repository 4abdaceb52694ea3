//! A state machine that soon forgets its sessions.

use std::{collections::BTreeMap, fmt::Debug, io, marker::PhantomData};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use consensus_core::{
    Index, SessionId, Wire,
    kv::KeyValue,
    session::{Applied, ClientCommand, Reply, Sessions},
};
use simulator::Machine;

/// How many entries later a session is forgotten that nobody used meanwhile. The real table holds
/// ten thousand sessions, more than a short run opens.
const FORGOTTEN_AFTER: Index = 20;

/// What becomes of a command in a session that was forgotten.
pub trait Late: Send + 'static {
    /// Whether it is applied all the same.
    const APPLIED: bool;
}

/// It is refused, as it should be: it may be a retry.
#[derive(Debug)]
pub struct Refused;

impl Late for Refused {
    const APPLIED: bool = false;
}

/// It is applied, as if its session had just begun.
#[derive(Debug)]
pub struct AppliedAgain;

impl Late for AppliedAgain {
    const APPLIED: bool = true;
}

/// Forgets a session that nobody used for a few entries.
pub struct Forgets<L> {
    inner: Sessions<KeyValue>,
    /// Where each session that is not forgotten was used last.
    used: BTreeMap<u64, Index>,
    late: PhantomData<L>,
}

impl<L> Default for Forgets<L> {
    fn default() -> Self {
        Self { inner: Sessions::default(), used: BTreeMap::new(), late: PhantomData }
    }
}

impl<L: Late> Forgets<L> {
    fn apply_late(&mut self, index: Index, command: ClientCommand) -> Applied {
        let ClientCommand { session, sequence, operation, .. } = command;
        let request = Some((SessionId(session), sequence));
        match operation {
            Some(operation) if L::APPLIED => {
                self.used.insert(session, index);
                let once = ClientCommand::once(operation).to_bytes();
                Applied { request, ..Sessions::apply(&mut self.inner, index, &once) }
            }
            _ => {
                Sessions::skip(&mut self.inner, index);
                Applied { reply: Reply::UnknownSession, request, fresh: false }
            }
        }
    }
}

impl<L: Late> Machine for Forgets<L> {
    fn apply(&mut self, index: Index, command: &Bytes) -> Applied {
        self.used.retain(|_, used| *used + FORGOTTEN_AFTER >= index);
        let decoded = ClientCommand::from_bytes(command.clone());
        match decoded {
            Ok(late) if late.session > 0 && !self.used.contains_key(&late.session) => {
                return self.apply_late(index, late);
            }
            Ok(known) if known.session > 0 => self.used.insert(known.session, index),
            _ => None,
        };
        let applied = Sessions::apply(&mut self.inner, index, command);
        if let Reply::Opened(session) = applied.reply {
            self.used.insert(session.0, index);
        }
        applied
    }

    fn skip(&mut self, index: Index) {
        Sessions::skip(&mut self.inner, index);
    }

    fn query(&self, query: &Bytes) -> Bytes {
        Machine::query(&self.inner, query)
    }

    fn value(&self, key: &str) -> Option<String> {
        Machine::value(&self.inner, key)
    }

    fn applied(&self) -> Index {
        Sessions::applied(&self.inner)
    }

    fn digest(&self) -> u64 {
        Sessions::digest(&self.inner)
    }

    fn save(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u64(self.used.len() as u64);
        for (&session, &used) in &self.used {
            bytes.put_u64(session);
            bytes.put_u64(used);
        }
        bytes.put(Machine::save(&self.inner));
        bytes.freeze()
    }

    fn load(bytes: &Bytes) -> io::Result<Self> {
        let mut bytes = bytes.clone();
        let cut_short = |_| io::Error::from(io::ErrorKind::UnexpectedEof);
        let mut used = BTreeMap::new();
        for _ in 0..bytes.try_get_u64().map_err(cut_short)? {
            let session = bytes.try_get_u64().map_err(cut_short)?;
            used.insert(session, bytes.try_get_u64().map_err(cut_short)?);
        }
        Ok(Self { inner: Machine::load(&bytes)?, used, late: PhantomData })
    }
}
