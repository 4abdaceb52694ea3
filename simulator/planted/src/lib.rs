//! Protocols made wrong on purpose, to see that every verdict can fail.
//!
//! A laboratory that never found anything wrong has proved nothing: perhaps its schedules are tame,
//! or its checker is blind. So each of six mistakes is planted in each protocol, and must be
//! caught; and under the very same schedules and seeds the protocol without it must be clean.
//!
//! | mistake | planted by | the verdict that must fail |
//! |---|---|---|
//! | a vote not persisted | [rewriting](rewrites) `Persist` | election safety |
//! | a commit on a minority | a [patched copy](patched) of the crate | log agreement |
//! | an acknowledgement before the sync | [rewriting](rewrites) when messages leave | no lost acknowledgements |
//! | a read served by a deposed leader | a [patched copy](patched) of the crate | linearizability |
//! | a retry applied twice | a [forgetful] state machine | exactly once |
//! | an answer that nobody wrote | a [garbling] state machine | stale reads |
//!
//! The protocols themselves hold no switch for being wrong. What [`Rewritten`](rewritten::Rewritten)
//! effects cannot express is a replaced line in a copy that the build script makes; a line that is
//! no longer there stops the build.
//!
//! Independent random crashes find almost nothing here. It takes disks so slow that a crash finds
//! something unsynced, replicas that die together, and [conditions] aimed at the moment after
//! something was promised: `SCOREBOARD.md` shows which schedule finds which mistake, and how soon.
//! It is what `cargo run -p planted --example scoreboard` prints.

pub mod conditions;
pub mod forgetful;
pub mod garbling;
pub mod hunt;
pub mod patched;
pub mod plant;
pub mod rewrites;
pub mod rewritten;

pub use conditions::Conditions;
pub use hunt::{Catch, Finding};
pub use plant::{Mistake, Plant, plants};
