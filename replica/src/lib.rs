//! One running replica.

mod checksum;
pub mod clock;
pub mod counters;
pub mod links;
pub mod runtime;
pub mod storage;
pub mod transport;
