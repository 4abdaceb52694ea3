//! Brings a cluster up, and hurts it.
//!
//! A [`Site`] is a place where replicas run for real. There are three: [`local`] processes on
//! loopback, with real disks and real signals, which every machine has; containers of a [`docker`]
//! engine, on a private network, with volumes; and pods of a [`kubernetes`] cluster. A [`Cluster`] is
//! the same on each: it knows who runs, starts, leaves or is frozen, and hands faults of links, disks
//! and clocks to whom they concern. What a replica *is*, this crate does not know: it starts an
//! executable with arguments, and waits until that listens.

mod capabilities;
mod cluster;
mod cut;
pub mod docker;
mod hardware;
pub mod kubernetes;
pub mod local;
mod log;
mod pipe;
mod process;
mod secrets;
mod site;
mod tell;

pub use capabilities::{DOCKER_CAPABILITIES, KUBERNETES_CAPABILITIES, LOCAL_CAPABILITIES};
pub use cluster::Cluster;
pub use cut::Cut;
pub use local::{LocalSite, LocalSpec};
pub use pipe::Pipe;
pub use secrets::Secrets;
pub use site::{
    Addresses, Crossings, Evidence, Exit, Launch, LogTail, Part, STOP_LIMIT, Site, Tally, Unit,
    Wanted,
};
