//! Failure schedules, what decides from them who is hurt and when, and the link shim that does it.
//!
//! The same code drives every target: the simulator in virtual time and the harness on real
//! processes. It is pure: time comes in as an input, effects go out as values, and chance comes from
//! keyed draws, so a schedule and its seed mean the same thing everywhere and for every protocol.
//!
//! # The way through the crate
//!
//! - [`schedule`] is the file a person writes: [`Schedule`], its [`Step`](schedule::Step)s,
//!   [`Fault`]s and [`Target`](schedule::Target)s, the errors that name file, line
//!   and field, the bundled schedules and the [swarm](schedule::Schedule::swarm).
//! - [`director`] turns a schedule into [`Action`]s, following what it is told of
//!   the cluster, and remembers what it did: the [`Resolved`] schedule.
//! - [`administrator`] says how long somebody goes on asking who was sent for a change.
//! - [`clocks`] is a replica's [`Clock`], right or wrong; [`disks`] is what is wrong with a
//!   disk: [`DiskRules`].
//! - [`links`] is the network's bad behaviour: [`LinkRules`] and the [`LinkShim`] in each replica.
//! - [`workload`] is the clients' load, the same for every protocol.
//! - [`shrink`](mod@shrink) cuts a schedule under which something fails down to what it takes.
//! - [`mutate`](mod@mutate) changes one thing of a schedule, for a search that wants many.
//! - [`duration`] and [`latency`] read and write times as people do.
//!
//! # Words
//!
//! A *step* is a line of the schedule, a *trial* one repetition of it. A schedule is *symbolic*: it
//! says "leader". What that turned out to be is in the run's *resolved* schedule.

pub mod administrator;
pub mod clocks;
pub mod director;
pub mod disks;
pub mod duration;
pub mod latency;
pub mod links;
pub mod mutate;
pub mod schedule;
pub mod shrink;
pub mod workload;

pub use clocks::{Clock, ClockOrder};
pub use director::{Action, Answer, Director, Effect, Observation, Phase, Resolved, Trial};
pub use disks::{DiskFailure, DiskOrder, DiskRules};
pub use latency::Latency;
pub use links::{Channel, LinkRule, LinkRules, LinkShim};
pub use mutate::mutate;
pub use schedule::{Capabilities, Fault, Kind, Load, Schedule, ScheduleError};
pub use shrink::{Shrunk, shrink};
pub use workload::{Arrival, Workload};
