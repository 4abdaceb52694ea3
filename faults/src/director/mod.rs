//! The director.
mod action;
mod resolved;
pub use action::{Action, Effect, Observation, Phase};
pub use resolved::{Missed, Resolved, Trial};
/// The director.
#[derive(Debug)]
pub struct Director;
