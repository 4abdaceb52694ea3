//! A pool of sessions, each with many numbered changes under way at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
};

use consensus_core::SessionId;

use crate::http::api::Numbered;

/// How many changes one session has under way at most; the replicas remember no more than
/// [`consensus_core::session::MAX_REPLIES`] answers for it.
const MAX_UNDER_WAY: usize = 256;

/// The sessions of one client.
#[derive(Debug, Default)]
pub struct Sessions {
    pool: Mutex<BTreeMap<SessionId, Session>>,
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Session {
    next: u64,
    under_way: BTreeSet<u64>,
}

impl Sessions {
    /// Takes a number in a session that has room, if there is one.
    pub fn lease(&self) -> Option<Lease<'_>> {
        let mut pool = self.lock();
        let room =
            |(_, session): &(&SessionId, &mut Session)| session.under_way.len() < MAX_UNDER_WAY;
        let (&name, session) = pool.iter_mut().find(room)?;
        let sequence = session.next;
        session.next += 1;
        session.under_way.insert(sequence);
        let first_unanswered = *session.under_way.first().expect("one was just put in");
        let numbered = Numbered { session: name, sequence, first_unanswered };
        Some(Lease { sessions: self, numbered })
    }

    /// Waits for the right to open a session, and holds it.
    pub async fn opening(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.opening.lock().await
    }

    /// Adds a session that was opened, and takes its first number.
    pub fn opened(&self, name: SessionId) -> Lease<'_> {
        let session = Session { next: 2, under_way: BTreeSet::from([1]) };
        self.lock().insert(name, session);
        let numbered = Numbered { session: name, sequence: 1, first_unanswered: 1 };
        Lease { sessions: self, numbered }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionId, Session>> {
        self.pool.lock().expect("nobody panics while holding the pool")
    }
}

/// A number in a session, under way until this is dropped. Whoever drops it will never again ask for
/// the answer.
#[derive(Debug)]
pub struct Lease<'a> {
    sessions: &'a Sessions,
    numbered: Numbered,
}

impl Lease<'_> {
    /// The place in the session.
    pub const fn numbered(&self) -> Numbered {
        self.numbered
    }

    /// Takes the whole session out of the pool: the replicas do not know it.
    pub fn discard_session(self) {
        self.sessions.lock().remove(&self.numbered.session);
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.sessions.lock().get_mut(&self.numbered.session) {
            session.under_way.remove(&self.numbered.sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_never_reused_and_the_first_unanswered_follows() {
        let sessions = Sessions::default();
        assert!(sessions.lease().is_none());
        let first = sessions.opened(SessionId(7));
        let second = sessions.lease().unwrap();
        assert_eq!(second.numbered().sequence, 2);
        assert_eq!(second.numbered().first_unanswered, 1);
        drop(first);
        let third = sessions.lease().unwrap().numbered();
        assert_eq!((third.sequence, third.first_unanswered), (3, 2));
    }

    #[test]
    fn a_full_session_leads_to_another_and_a_discarded_one_is_gone() {
        let sessions = Sessions::default();
        let mut held = vec![sessions.opened(SessionId(1))];
        while let Some(lease) = sessions.lease() {
            held.push(lease);
        }
        assert_eq!(held.len(), MAX_UNDER_WAY);
        let other = sessions.opened(SessionId(2));
        assert_eq!(sessions.lease().unwrap().numbered().session, SessionId(2));
        other.discard_session();
        assert!(sessions.lease().is_none());
    }
}
