//! What clients ask and hear, the same at a replica and at the gateway.
//!
//! Every answer is one of three: *done* (200), *certainly not done* (any status but 504, with
//! `"done": "no"`), *perhaps done* (504, with `"done": "unknown"`).

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use consensus_core::{
    Change, Consistency, Index, NodeId, SessionId,
    history::Outcome,
    kv::{Answer, Operation},
};
use serde::{Deserialize, Serialize};

/// The header with the session's name.
pub const SESSION: &str = "session";
/// The header with the operation's number in its session.
pub const SEQUENCE: &str = "sequence";
/// The header with the first number whose answer the client does not hold.
pub const FIRST_UNANSWERED: &str = "first-unanswered";
/// The header with the time that is left, in milliseconds.
pub const DEADLINE_MS: &str = "deadline-ms";
/// The header with the number of replicas that passed the request on.
pub const HOPS: &str = "hops";
/// The header of an answer with the node that leads.
pub const LEADER: &str = "leader";

/// What a client asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// Change a key.
    Change(Operation),
    /// Read a key.
    Read {
        /// The key.
        key: Bytes,
        /// What the answer promises.
        consistency: Consistency,
    },
    /// Open a session.
    OpenSession,
    /// Change the members.
    Reconfigure(Change),
    /// Hand leadership over, to this node or to whichever is best.
    Transfer(Option<NodeId>),
}

impl Call {
    /// Whether it changes nothing that a client could see, so that trying it again is harmless and
    /// a try without an answer leaves no doubt.
    pub(crate) const fn is_read(&self) -> bool {
        matches!(self, Self::Read { .. })
    }

    /// Whether whichever replica is asked serves it, whoever leads.
    pub(crate) const fn is_served_anywhere(&self) -> bool {
        matches!(self, Self::Read { consistency, .. } if consistency.is_served_anywhere())
    }

    /// Whether it may take as long as the whole request: it waits for replicas to catch up.
    pub(crate) const fn is_administrative(&self) -> bool {
        matches!(self, Self::Reconfigure(_) | Self::Transfer(_))
    }
}

/// What makes a change idempotent: its place in a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbered {
    /// The session.
    pub session: SessionId,
    /// The operation's number in it, from 1.
    pub sequence: u64,
    /// The client holds the answers to every number below this one.
    pub first_unanswered: u64,
}

/// What a client hears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Done.
    Done(Answer),
    /// The session that was opened.
    Opened(SessionId),
    /// Certainly not done.
    Refused(Refused),
    /// Perhaps done, perhaps not; why.
    Unknown(String),
}

/// A refusal: nothing was done, not now and not later.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people.
    pub error: String,
    /// Who leads, if the replica knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<NodeId>,
}

impl Refused {
    /// A refusal that says nothing of the leader.
    pub fn new(reason: Reason, error: impl Into<String>) -> Self {
        Self { reason, error: error.into(), leader: None }
    }
}

/// Why something was refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The request makes no sense.
    Malformed,
    /// The key, the value or the request is larger than allowed.
    TooLarge,
    /// The replica does not lead, and did not pass the request on.
    NotLeader,
    /// The replica or the leader has too much to do.
    Overloaded,
    /// The replica is stopping, or just started.
    Unavailable,
    /// No answer came in time; of a read, which changes nothing.
    TooLate,
    /// The session was never opened, or is forgotten. Nothing was applied now; an earlier try of
    /// the same number may have been.
    UnknownSession,
    /// The client had said that it holds this answer already.
    AlreadyAcknowledged,
    /// The session holds as many unacknowledged answers as it may.
    TooManyUnacknowledged,
    /// There is no such thing here.
    NotFound,
    /// The protocol does not offer it.
    Unsupported,
    /// Another change of the members is under way.
    ChangeUnderWay,
    /// The members are so already: whoever is to come is there, or whoever is to leave is not.
    NothingToChange,
    /// Whoever was to be added did not catch up.
    NotCaughtUp,
    /// Leadership stays where it is.
    NotTransferred,
}

impl Reason {
    /// The HTTP status that says it.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::NotFound => 404,
            Self::AlreadyAcknowledged
            | Self::ChangeUnderWay
            | Self::NothingToChange
            | Self::NotCaughtUp
            | Self::NotTransferred => 409,
            Self::UnknownSession => 410,
            Self::TooLarge => 413,
            Self::TooManyUnacknowledged => 429,
            Self::Unsupported => 501,
            Self::NotLeader | Self::Overloaded | Self::Unavailable => 503,
            Self::TooLate => 504,
        }
    }

    /// Whether the same request may fare better a moment later, or elsewhere.
    pub const fn is_passing(self) -> bool {
        matches!(
            self,
            Self::NotLeader
                | Self::Overloaded
                | Self::Unavailable
                | Self::TooLate
                | Self::ChangeUnderWay
        )
    }
}

/// The body of an answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "done", rename_all = "kebab-case")]
pub enum Body {
    /// Done.
    Yes(Done),
    /// Certainly not done.
    No(Refused),
    /// Perhaps done, perhaps not.
    Unknown {
        /// Why nobody knows.
        error: String,
    },
}

/// The body of what was done.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Done {
    /// Whether the operation took effect.
    #[serde(default)]
    pub changed: bool,
    /// What the key held before (a change) or holds (a read); `null`: nothing.
    #[serde(default)]
    pub held: Option<String>,
    /// The same in base64, if it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_base64: Option<String>,
    /// The position of the key's last change.
    #[serde(default)]
    pub revision: Index,
    /// The session that was opened, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
}

/// The body of a compare-and-swap. What is not UTF-8 is given in base64.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swap {
    /// What the key must hold; absent or `null`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The same in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_base64: Option<String>,
    /// What it holds afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The same in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
}

/// A value as JSON carries it: as text if it is some, else in base64.
pub(crate) fn to_text(value: &Bytes) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(value) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(BASE64_STANDARD.encode(value))),
    }
}

/// The inverse of [`to_text`]; both absent is nothing.
pub(crate) fn from_text(
    text: Option<String>,
    base64: Option<String>,
) -> Result<Option<Bytes>, Refused> {
    match (text, base64) {
        (Some(_), Some(_)) => {
            Err(Refused::new(Reason::Malformed, "a value is given as text or in base64, not both"))
        }
        (text, None) => Ok(text.map(Bytes::from)),
        (None, Some(base64)) => match BASE64_STANDARD.decode(base64) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) => Err(Refused::new(Reason::Malformed, format!("no base64: {error}"))),
        },
    }
}

impl From<Reply> for Body {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Done(Answer { changed, held, revision, .. }) => {
                let (held, held_base64) = held.as_ref().map_or((None, None), to_text);
                Self::Yes(Done { changed, held, held_base64, revision, session: None })
            }
            Reply::Opened(session) => Self::Yes(Done { session: Some(session), ..Done::default() }),
            Reply::Refused(refused) => Self::No(refused),
            Reply::Unknown(error) => Self::Unknown { error },
        }
    }
}

impl TryFrom<Body> for Reply {
    type Error = Refused;

    fn try_from(body: Body) -> Result<Self, Refused> {
        Ok(match body {
            Body::Yes(Done { session: Some(session), .. }) => Self::Opened(session),
            Body::Yes(Done { changed, held, held_base64, revision, .. }) => {
                let held = from_text(held, held_base64)?;
                Self::Done(Answer { changed, held, revision, malformed: String::new() })
            }
            Body::No(refused) => Self::Refused(refused),
            Body::Unknown { error } => Self::Unknown(error),
        })
    }
}

impl Reply {
    /// Done, with nothing more to tell.
    pub(crate) fn done() -> Self {
        Self::Done(Answer { changed: true, ..Answer::default() })
    }
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Done(Answer { changed, held, revision, .. }) => {
                let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
                Self::Ok { changed, held: held.map(text), revision }
            }
            Reply::Opened(session) => Self::Ok { changed: true, held: None, revision: session.0 },
            Reply::Refused(refused) => Self::Failed(refused.error),
            Reply::Unknown(error) => Self::Unknown(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(reply: Reply) {
        let json = serde_json::to_string(&Body::from(reply.clone())).unwrap();
        let body: Body = serde_json::from_str(&json).unwrap();
        assert_eq!(Reply::try_from(body), Ok(reply), "{json}");
    }

    #[test]
    fn replies_survive_the_wire() {
        let answer = |held: Option<&'static [u8]>| Answer {
            changed: true,
            held: held.map(Bytes::from_static),
            revision: 7,
            malformed: String::new(),
        };
        there_and_back(Reply::Done(answer(None)));
        there_and_back(Reply::Done(answer(Some(b""))));
        there_and_back(Reply::Done(answer(Some(b"text"))));
        there_and_back(Reply::Done(answer(Some(b"\xff\x00"))));
        there_and_back(Reply::Opened(SessionId(9)));
        there_and_back(Reply::Unknown("the stream broke".into()));
        let leader = Some(NodeId(3));
        let refused = Refused { leader, ..Refused::new(Reason::NotLeader, "elsewhere") };
        there_and_back(Reply::Refused(refused));
    }

    #[test]
    fn only_the_unknown_may_have_been_done() {
        let json = serde_json::to_value(Body::from(Reply::Unknown("x".into()))).unwrap();
        assert_eq!(json["done"], "unknown");
        let refused = Reply::Refused(Refused::new(Reason::Overloaded, "busy"));
        assert_eq!(serde_json::to_value(Body::from(refused)).unwrap()["done"], "no");
    }
}
