//! Parts of a state that many states share.

use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

use xxhash_rust::xxh3::Xxh3Default;

/// A part of a state: cheap to copy, and hashed once.
///
/// Two of them are equal if their fingerprints are, as two states are to the checker.
pub struct Shared<T> {
    value: Arc<T>,
    fingerprint: u64,
}

impl<T: Hash> Shared<T> {
    /// Shares a value.
    pub fn new(value: T) -> Self {
        let mut hasher = Xxh3Default::new();
        value.hash(&mut hasher);
        Self { value: Arc::new(value), fingerprint: hasher.finish() }
    }
}

impl<T> Shared<T> {
    /// The value's hash.
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), fingerprint: self.fingerprint }
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl<T> Eq for Shared<T> {}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint);
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
