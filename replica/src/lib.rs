//! One running replica.

mod checksum;
pub mod clock;
pub mod storage;
