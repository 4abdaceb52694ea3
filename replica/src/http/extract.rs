//! From an HTTP request to a [`Call`], with every limit a refusal.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use consensus_core::{
    Consistency, SessionId, Validate as _,
    kv::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Operation},
};
use serde::Deserialize;

use super::api::{
    Body, Call, DEADLINE_MS, FIRST_UNANSWERED, HOPS, Numbered, Reason, Refused, Reply, SEQUENCE,
    SESSION, Swap, from_text,
};

/// The longest body that is read: the longest value twice, in base64 and JSON.
pub(crate) const MAX_BODY_BYTES: usize = 3 * MAX_VALUE_BYTES;
/// How long a request may take that does not say so.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);
/// How long a request may take at most.
const MAX_DEADLINE: Duration = Duration::from_secs(60);

/// Everything but the operation itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Terms {
    pub(crate) numbered: Option<Numbered>,
    /// How much time is left.
    pub(crate) deadline: Duration,
    /// How many replicas passed the request on.
    pub(crate) hops: u32,
}

/// The query of a read.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadQuery {
    pub(crate) consistency: Option<Consistency>,
}

impl Terms {
    /// Reads the headers.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refused> {
        Self::within(headers, DEFAULT_DEADLINE)
    }

    /// Reads the headers of a request that may take so long if it does not say how long.
    pub(crate) fn within(headers: &HeaderMap, default: Duration) -> Result<Self, Refused> {
        let deadline = match number(headers, DEADLINE_MS)? {
            Some(millis) => Duration::from_millis(millis).min(MAX_DEADLINE),
            None => default,
        };
        let hops = number(headers, HOPS)?.unwrap_or(0);
        let hops = u32::try_from(hops).unwrap_or(u32::MAX);
        Ok(Self { numbered: numbered(headers)?, deadline, hops })
    }
}

fn numbered(headers: &HeaderMap) -> Result<Option<Numbered>, Refused> {
    let session = number(headers, SESSION)?;
    let sequence = number(headers, SEQUENCE)?;
    let first_unanswered = number(headers, FIRST_UNANSWERED)?;
    match (session, sequence) {
        (None, None) => Ok(None),
        (Some(session @ 1..), Some(sequence @ 1..)) => {
            let first_unanswered = first_unanswered.unwrap_or(0);
            if first_unanswered > sequence {
                return Err(malformed("first-unanswered lies beyond the sequence"));
            }
            Ok(Some(Numbered { session: SessionId(session), sequence, first_unanswered }))
        }
        _ => Err(malformed("a session and a sequence go together, and neither is zero")),
    }
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Refused> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| malformed(&format!("the header {name} is no number")))
}

pub(crate) fn malformed(error: &str) -> Refused {
    Refused::new(Reason::Malformed, error)
}

/// A read of a key.
pub(crate) fn read(key: String, query: &ReadQuery) -> Result<Call, Refused> {
    let consistency = query.consistency.unwrap_or(Consistency::Linearizable);
    check_key(&key)?;
    Ok(Call::Read { key: key.into(), consistency })
}

/// A change, if it keeps the limits.
pub(crate) fn change(operation: Operation) -> Result<Call, Refused> {
    match operation.validate() {
        Ok(()) => Ok(Call::Change(operation)),
        Err(error) if operation.key.len() <= MAX_KEY_BYTES && !operation.key.is_empty() => {
            Err(Refused::new(Reason::TooLarge, error.to_string()))
        }
        Err(error) => Err(malformed(&error.to_string())),
    }
}

/// A compare-and-swap from its JSON.
pub(crate) fn swap(key: String, body: &Bytes) -> Result<Call, Refused> {
    let swap: Swap =
        serde_json::from_slice(body).map_err(|error| malformed(&format!("the body: {error}")))?;
    let expected = from_text(swap.expected, swap.expected_base64)?;
    let value = from_text(swap.value, swap.value_base64)?
        .ok_or_else(|| malformed("the body needs a value"))?;
    change(Operation::compare_and_swap(key, expected, value))
}

fn check_key(key: &str) -> Result<(), Refused> {
    match key.len() {
        1..=MAX_KEY_BYTES => Ok(()),
        _ => Err(malformed("a key has 1 to 1024 bytes")),
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Done(_) | Self::Opened(_) => StatusCode::OK,
            Self::Refused(refused) => StatusCode::from_u16(refused.reason.status())
                .expect("every reason has a status of HTTP"),
            Self::Unknown(_) => StatusCode::GATEWAY_TIMEOUT,
        };
        (status, Json(Body::from(self))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|&(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_numbered_change_is_read_from_its_headers() {
        let terms = Terms::of(&headers(&[
            ("Session", "9"),
            ("Sequence", "4"),
            ("First-Unanswered", "3"),
            ("Deadline-Ms", "250"),
        ]));
        let numbered = Numbered { session: SessionId(9), sequence: 4, first_unanswered: 3 };
        let deadline = Duration::from_millis(250);
        assert_eq!(terms, Ok(Terms { numbered: Some(numbered), deadline, hops: 0 }));
    }

    #[test]
    fn half_a_number_is_refused() {
        for bad in [
            &[("session", "9")][..],
            &[("sequence", "1")],
            &[("session", "0"), ("sequence", "1")],
            &[("session", "9"), ("sequence", "1"), ("first-unanswered", "2")],
            &[("deadline-ms", "soon")],
        ] {
            assert_eq!(Terms::of(&headers(bad)).unwrap_err().reason, Reason::Malformed, "{bad:?}");
        }
    }

    #[test]
    fn limits_are_refusals() {
        let large = vec![0; MAX_VALUE_BYTES + 1];
        assert_eq!(change(Operation::put("k", large)).unwrap_err().reason, Reason::TooLarge);
        let long = "k".repeat(MAX_KEY_BYTES + 1);
        assert_eq!(change(Operation::put(long, "v")).unwrap_err().reason, Reason::Malformed);
        let unknown = Bytes::from_static(br#"{"value": "v", "if": "x"}"#);
        assert_eq!(swap("k".into(), &unknown).unwrap_err().reason, Reason::Malformed);
    }
}
