//! Copies of the protocols, from each of which one rule is removed.
//!
//! The rules are those of the pitfalls' tables (`tests/pitfalls.toml` of each protocol), as far as
//! they stand in the protocol's own source, and a few more (`mistakes.toml`). The build script
//! makes every change to the text; one that no longer fits stops the build. It compiles a handful of
//! the copies, and with `PLANTED=all` in the environment all of them: some forty times a protocol
//! take minutes.
//!
//! The copies are modules of this crate and nothing but protocols: whoever runs them compiles its
//! own part again when that changes, and not all of these.

use consensus_core::Protocol;

// The copies are as well written as the originals, which are checked; without its rule, one may hold
// a thing or two that nobody needs.
#[allow(warnings, clippy::all)]
mod copies;

pub use copies::visit;

/// Somebody who wants to see every copy.
pub trait Visitor {
    /// Sees one: the folder of the protocol that it is a copy of, and the rule that it lacks.
    fn visit<P: Protocol>(&mut self, room: &'static str, lacks: &'static str);
}
