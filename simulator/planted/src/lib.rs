//! Protocols made wrong on purpose, to see that nothing gets past the simulator and the checker.
//!
//! A laboratory that never found anything wrong has proved nothing: perhaps its schedules are tame,
//! or its checker is blind. So mistakes are planted in each protocol, one at a time, and must be caught;
//! and under the very same schedules and seeds the protocol without them must be clean.
//!
//! | mistakes | planted by |
//! |---|---|
//! | the rules that published implementations got wrong, as far as they stand in a protocol | a [`patched`] copy of the crate without the rule |
//! | what a driver must do for a protocol: keep its disk, wait for its syncs | [rewriting](rewrites) effects and what is recovered |
//! | what the protocols drive: sessions, and a store | another state machine: [forgetful], [expiring], [garbling] |
//!
//! The protocols themselves hold no switch for being wrong.
//!
//! Independent random crashes find almost nothing here. It takes disks so slow that a crash finds
//! something unsynced, replicas that die together, and [conditions] [aimed](aims) at the moment after
//! something was promised. What shows a mistake is a violated verdict, a replica's own broken invariant, or
//! that the cluster no longer does what it must ([liveness]). `SCOREBOARD.md` has them all: the directed
//! scenario that fails with the mistake, how many seeds it took, and the schedule cut down to what it
//! takes ([caught]). It is what `PLANTED=all cargo run --release -p planted --example scoreboard` writes;
//! `--example hunt` is for trying other schedules.

pub mod aims;
pub mod board;
pub mod caught;
pub mod conditions;
pub mod expiring;
pub mod finding;
pub mod forgetful;
pub mod garbling;
pub mod liveness;
pub mod plant;
pub mod rewrites;
pub mod rewritten;
pub mod scenarios;

pub use conditions::Conditions;
pub use finding::{Catch, Finding, examine, first_catch};
pub use plant::{Plant, Subject, plants};
