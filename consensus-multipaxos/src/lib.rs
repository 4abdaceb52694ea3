//! Multi-Paxos as a pure state machine.

mod catchup;
mod election;
mod invariants;
mod log;
mod membership;
pub mod message;
mod reads;
pub mod record;
mod replica;
mod replication;
mod snapshot;

pub use message::Message;
pub use record::PaxosRecord;
pub use replica::{Config, MultiPaxos, Timer};
