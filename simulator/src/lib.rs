//! A whole cluster in virtual time: deterministic, and generic over the protocol.
//!
//! All replicas, their disks, the network, the gossip, the clients and the faults run in one
//! thread, one event after the other, on a clock that jumps from event to event. So an hour passes
//! in seconds, and what happened once happens again: [`run`] is a function of its
//! [`SimulationConfig`], and [`Recording::trace_digest`] proves it.
//!
//! Nothing here imitates a protocol. The very crates that run on real machines run here, driven as
//! the contract in [`consensus_core`]'s documentation says, under the same [`faults`] director and
//! link shim and the same [`gossip`].
//!
//! # What is modelled
//!
//! | what | how | with |
//! |---|---|---|
//! | time under way | drawn per message from the link's distribution; a message occupies the line for its length; streams keep their order, datagrams do not; loss, doubling and overtaking where a link is like that | [`NetworkModel`], [`Preset`] |
//! | faults on links | on the encoded bytes, through each replica's own link shim; damage is found by the CRC-32C and dropped | [`faults::LinkShim`] |
//! | the disk | batches share a sync; durable messages wait for it; a crash keeps a drawn prefix of what was not synced | [`DiskModel`] |
//! | faults of disks | a sync takes longer, or never ends; a write or sync that fails ends the replica; a crash may tear the first record it loses, and a bit of a record at rest may flip: recovery then reads bytes, cuts the one and refuses the other | [`faults::DiskRules`] |
//! | the processor | each input occupies the consensus loop, and each request a front end, for a time; what comes meanwhile queues, up to a bound | [`ProcessorModel`] |
//! | snapshots | saved beside the log, which takes a time that grows with their size; carried in chunks over the links with their faults, and resumed where they broke | [`SnapshotModel`] |
//! | timers | drawn from the protocol's range, keyed by (seed, node, timer, how-many-th arming) | |
//! | clients | an open loop of arrivals; redirects, back-off, retries under one session and number, honest outcomes | [`ClientModel`] |
//! | clocks | each replica has its own, which starts somewhere and runs a little too fast or too slow; its timers run by it. Faults make it jump, and run at any rate | [`ClockModel`] |
//! | lives | a replica whose disk is lost comes back as somebody else in its place; members come and go | |
//! | a pause | the replica handles nothing; its inbox, its timers and its datagrams pile up | |
//!
//! # Chance
//!
//! Every draw is keyed by what it is for, never taken from one stream: two protocols that send
//! different messages still meet the same network, the same election timeouts and the same clients.
//!
//! # The map
//!
//! `run` leads a run from the first election to the last agreement; `world` processes the events
//! that `queue` holds; `node` drives one replica with its `disk`, `timers`, `machine`, `snapshots` and
//! `membership` (gossip), all of which act through their `surroundings`; `network` carries
//! messages; `client` is one client and `clients` all of them, `administrators`
//! ask for other members and leaders; `vary` draws disks and clocks, and
//! `arrangement` reads them from a schedule and writes them down; `recording` is what a run
//! leaves behind, and `digest` its fingerprint.

mod administrators;
mod arrangement;
mod capabilities;
mod client;
mod clients;
mod clock;
mod config;
mod digest;
mod disk;
mod event;
mod machine;
mod measured;
mod membership;
mod network;
mod node;
mod queue;
mod recording;
mod run;
mod snapshots;
mod surroundings;
mod timers;
#[cfg(test)]
mod toy;
mod vary;
mod world;

pub use capabilities::CAPABILITIES;
pub use client::ClientModel;
pub use clock::ClockModel;
pub use config::{ProcessorModel, SimulationConfig, SimulationError};
pub use disk::{DiskModel, Stall};
pub use faults::Latency;
pub use machine::Machine;
pub use measured::Measured;
pub use network::{
    LinkModel, NetworkModel, Preset, REGIONS, ROUND_TRIPS_MS, UnknownNetwork, WireMode,
};
pub use recording::{Counters, FinalState, Recording, RefusedDisk, Struck};
pub use run::{run, run_on};
pub use snapshots::SnapshotModel;
