//! One running replica, the gateway in front of replicas, and the client of both.
//!
//! [`run`] drives any [`consensus_core::Protocol`] on a real machine: a consensus loop and a disk
//! thread of its own ([`runtime`]), records in a [`storage`] backend, one tonic stream per peer
//! ([`transport`]), gossip over UDP ([`membership`]), and an HTTP server for clients and the
//! administrator ([`http`]). [`gateway::run`] is the stateless web server that finds the replicas by
//! gossip and takes each request to the leader, with the [`client`] that load generators and the
//! command line use too.
//!
//! # The way of one write
//!
//! ```text
//!  client ──HTTP──▶ server ──inbox──▶ consensus loop ──┬─▶ outgoing ──▶ followers' loops and disks
//!                     ▲                 ▲    │         └─▶ disk thread: append, one sync
//!                     │                 │    │                 │ own acceptance
//!                     │   acknowledgements   │ ◀───────────────┘
//!                     └── result ◀── apply ──┘ once a quorum has it
//! ```
//!
//! The leader's messages leave before its own disk is asked, so the disks of all replicas work at the
//! same time, and a write costs about one round trip and one sync.
//!
//! # What is left on the disk
//!
//! `address.json` says where the replica listens; `incarnation` counts its lives; `events.jsonl`
//! holds what it [observed](consensus_core::history::Observed), `applied-N.jsonl` what it
//! [applied](consensus_core::history::Applied) in life N, and `samples.jsonl` its
//! [state](consensus_core::history::Sample) over time, if it is sampled.

mod checksum;
pub mod client;
pub mod clock;
mod config;
pub mod counters;
pub mod gateway;
pub mod http;
pub mod links;
mod listen;
pub mod membership;
mod process;
mod replica;
pub mod runtime;
pub mod storage;
pub mod transport;

pub use config::{ADDRESS_FILE, Addresses, Listen, Parent, ReplicaConfig, ReplicaError, Sampling};
pub use replica::run;
