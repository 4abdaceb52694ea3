//! One number that stands for everything that happened, in order.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A running digest. Two runs with the same digest processed the same events in the same order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Trace(u64);

impl Trace {
    /// The digest of a run with this seed in which nothing has happened.
    pub(crate) fn new(seed: u64) -> Self {
        Self(xxh3_64_with_seed(b"trace", seed))
    }

    /// Folds numbers in.
    pub(crate) fn fold<const N: usize>(&mut self, numbers: [u64; N]) {
        for number in numbers {
            // A multiply-and-rotate step is enough here: nobody forges traces, and it runs once per
            // event.
            self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
    }

    /// Folds bytes in.
    pub(crate) fn fold_bytes(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The digest so far.
    pub(crate) const fn value(self) -> u64 {
        self.0
    }
}

/// The digest of some bytes.
pub(crate) fn of_bytes(bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, 0)
}
