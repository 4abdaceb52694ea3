//! Exhaustive exploration of small clusters: every interleaving, every loss, every crash, within
//! printed bounds.
//!
//! A simulation tries many schedules; this crate tries all of them, for a cluster so small and for so
//! few timeouts, commands and crashes that all of them can be tried. It drives the same protocol
//! code as the simulator and the real replicas do, under the same contract, through the model checker
//! `stateright`, and asks of every state that can be reached:
//!
//! - **election safety**: one epoch has one leader;
//! - **log matching** (Raft § figure 3), or, for Multi-Paxos, **agreement**: under one ballot, one slot
//!   has one value;
//! - **leader completeness**: a leader's log holds what was applied anywhere under an earlier epoch;
//! - **state-machine safety**: no two replicas ever apply different payloads at one index;
//! - **sound replicas**: the protocol's own assertions hold, recovery from whatever prefix of its
//!   writes a crash left succeeds, and entries are applied without a gap.
//!
//! # What the state is, and what it need not be
//!
//! A [`Cluster`] is its replicas with their disks, the messages on their way, what may still happen
//! ([`Bounds`]), and what was seen (who led, what was applied). It is kept small by what cannot be
//! told apart from outside:
//!
//! - **A lost message is one that is never delivered.** Every order of delivery, and never, is
//!   explored already, so there is no action that drops.
//! - **A sync happens when somebody sees it.** A message that waits for the disk may be delivered at
//!   any time, and its batches are synced then. Synced or not makes a difference only to a crash, and
//!   a crash keeps any prefix of what is not synced, so nothing is missed. When no crash can follow,
//!   everything is synced at once.
//! - **A replica that is down is a slow one** that loses its memory: a crash and the restart are one
//!   action.
//! - **A delivery without effect is a loss**, and what can never again have an effect ([`Explored::is_spent`])
//!   is not kept.
//! - **Names do not matter** as long as nothing compares them: who campaigns first is called 1. Ballots do
//!   compare their owners, so Multi-Paxos may only be renamed in order ([`Renaming`]).
//!
//! What is *not* explored: several inputs in one drain of the inbox (each is flushed by itself), pre-votes,
//! check-quorum, reads, and heartbeats beyond their bound. The simulator and the scenarios see to those.
//!
//! States are told apart by 64-bit fingerprints, as in every explicit-state checker: among n states two
//! collide with a probability of about n²/2⁶⁵, which is 10⁻⁵ for twenty million.
//!
//! # The map
//!
//! [`bounds`] says how much may happen; [`node`] is one replica with its disk; [`cluster`] is the state;
//! [`exploration`] is the `stateright` model, and [`search`] goes
//! through it; [`properties`] are the questions; [`explored`] is what a
//! protocol adds, which [`raft`] and [`multipaxos`] do; [`plant`] breaks the rules on purpose, so that
//! the questions are seen to be answered "no".

pub mod bounds;
pub mod cluster;
pub mod exploration;
pub mod explored;
pub mod multipaxos;
pub mod node;
pub mod plant;
pub mod properties;
pub mod raft;
pub mod search;
mod shared;

pub use bounds::Bounds;
pub use cluster::Cluster;
pub use exploration::{Action, Exploration, Reduction};
pub use explored::{Explored, Renaming};
pub use plant::Plant;
pub use search::{Failure, Findings, Search};
pub use shared::Shared;
