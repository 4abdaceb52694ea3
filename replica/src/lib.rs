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
//! # The log's beginning
//!
//! When the protocol says so, the consensus loop copies the state machine, which is the only time that
//! it stands still for a snapshot: the copy shares keys and values with the original. A thread of its
//! own writes the copy out, and the log's base moves there once the file is durable. A peer that
//! needs what the log no longer holds is sent the base's file, piece by piece
//! ([`transport::Shipping`]); it stages it durably, and its protocol decides what to do with it.
//!
//! Limits: a snapshot has at most [`storage::MAX_SNAPSHOT_BYTES`]; while one is saved, the tree of the
//! state is in memory twice; while one is installed, the loop stands still until it is read
//! (`restore_nanoseconds_total`). `cargo run --release -p replica --example bounded` shows that memory
//! stays within bounds, and how long the copy takes.
//!
//! # What is left on the disk
//!
//! `identity.json` says whose disk this is and `acquaintances.json` which disks it knows of others
//! ([`identity`]); `address.json` says where the replica listens; `incarnation` counts its starts; `events.jsonl`
//! holds what it [observed](consensus_core::history::Observed), `applied-N.jsonl` what it
//! [applied](consensus_core::history::Applied) in life N, `states-N.jsonl` what the state was
//! [digested](consensus_core::history::StateDigest) to wherever it was saved or taken over, and, if it is sampled,
//! `samples.jsonl` its [state](consensus_core::history::Sample) over time and `passages.jsonl` how long
//! [messages](consensus_core::history::Passage) to it were under way.

mod checksum;
pub mod client;
pub mod clock;
mod config;
pub mod counters;
pub mod disks;
pub mod gateway;
pub mod http;
pub mod identity;
mod introduction;
pub mod links;
mod listen;
pub mod membership;
mod process;
mod rejoin;
mod replica;
pub mod runtime;
pub mod security;
mod seeds;
mod sockets;
pub mod storage;
pub mod transport;

pub use config::{ADDRESS_FILE, Addresses, Listen, Parent, ReplicaConfig, ReplicaError, Sampling};
pub use replica::run;
