//! Rules broken on purpose, so that the properties are seen to fail.

use consensus_core::{Effect, Record, When, Write};

use crate::explored::Explored;

/// What becomes of each effect of a replica before anybody sees it; nothing, if it is swallowed.
pub type Plant<P> = fn(Effect<P>) -> Option<Effect<P>>;

/// Every effect is carried out as it is.
pub const fn honest<P: Explored>(effect: Effect<P>) -> Option<Effect<P>> {
    Some(effect)
}

/// No message waits for the disk: votes, promises and acknowledgements leave before what they speak of
/// is synced.
pub fn never_waits<P: Explored>(effect: Effect<P>) -> Option<Effect<P>> {
    Some(match effect {
        Effect::Send { to, message, .. } => Effect::Send { to, message, when: When::Now },
        other => other,
    })
}

/// The hard state is never written: a restarted replica has forgotten its vote or promise.
pub fn forgets_hard_state<P: Explored>(effect: Effect<P>) -> Option<Effect<P>> {
    let is_entry = |write: &Write<P::Record>| match write {
        Write::Put(record) => record.slot().is_some(),
        Write::TruncateFrom(_) | Write::Base(_) => true,
    };
    match effect {
        Effect::Persist(mut writes) => {
            writes.retain(is_entry);
            (!writes.is_empty()).then_some(Effect::Persist(writes))
        }
        other => Some(other),
    }
}

/// Entries are never written: what was acknowledged is gone after a restart.
pub fn forgets_entries<P: Explored>(effect: Effect<P>) -> Option<Effect<P>> {
    let is_hard_state =
        |write: &Write<P::Record>| matches!(write, Write::Put(record) if record.slot().is_none());
    match effect {
        Effect::Persist(mut writes) => {
            writes.retain(is_hard_state);
            (!writes.is_empty()).then_some(Effect::Persist(writes))
        }
        other => Some(other),
    }
}
