//! Brings a cluster up, and hurts it.
//!
//! A target is a place where replicas run for real. This crate holds the one that every machine
//! has: [`local`] processes on loopback, with real disks and real signals. It knows how to start,
//! stop, kill and pause replicas and how to hand them link faults; what a replica *is*, it does not
//! know: it starts an executable with arguments, and waits until that has written its addresses.

mod capabilities;
pub mod local;
mod process;

pub use capabilities::LOCAL_CAPABILITIES;
pub use local::{Addresses, LocalCluster, LocalSpec};
pub use process::{Exit, LogTail};
