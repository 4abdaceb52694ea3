//! The vocabulary of the laboratory.
//!
//! A consensus protocol here is a pure state machine, the [`Protocol`] trait: one [`Input`] in, a
//! list of [`Effect`]s out. Everything that a protocol shares with the rest of the house stands in
//! this crate, in neutral words; each protocol's own crate uses its own paper's words and pairs
//! them up with these.
//!
//! # The contract
//!
//! What drives a protocol (the simulator, the runtime of a real replica, a model checker) promises
//! this, and protocols rely on it:
//!
//! 1. **Persists are atomic and ordered.** A [`Effect::Persist`] is one atomic batch; batches reach
//!    the disk in order; any run of them may share one sync. A persist alone starts no sync: a sync
//!    starts when a message waits for it, or when enough has piled up. Commit watermarks are
//!    persisted along with whatever is persisted next, so a restart knows most of what it knew.
//! 2. **Only durable messages wait.** A [`When::Durable`] message leaves once every earlier persist
//!    is on disk. Everything else goes at once; `Apply` and `Reply` keep their order. A message is
//!    frozen when it is emitted and never rebuilt: one built at completion would acknowledge under
//!    today's epoch what was accepted under yesterday's.
//! 3. **A node sends to itself through the same barrier**, and so counts its own vote or acceptance
//!    only when its own disk has it. Messages to oneself are never touched by link faults, arrive
//!    once and in order, and die with the incarnation.
//! 4. **Durable is the default.** `Now` is for what promises nothing.
//! 5. **Apply hands over committed entries only**, in order, each once per incarnation, after
//!    `Restore`, if there is a base. The runtime owns the state machine and answers an applied
//!    request with the machine's result; `Reply` is for reads, refusals and unknowns. It also makes
//!    the snapshots, when the protocol says `TakeSnapshot`, and tells when one is durable
//!    (`Compacted`); and it moves their chunks (`SendSnapshot`). A snapshot from a peer is durable
//!    before the protocol hears of it (`Staged`); the protocol judges it, makes it the base of the
//!    log in one persist, and says `Restore`.
//! 6. **The protocol keeps its log tail in memory**, bounded in bytes by the snapshots it asks for,
//!    with a margin for those behind; and it never reads storage after recovery.
//! 7. **A crash keeps a prefix** of the unsynced persists, as [`storage::MemoryDisk::crash`] does;
//!    durable messages behind the loss never left.
//! 8. **A storage error ends the replica.**
//! 9. **`SetTimer` replaces** the timer and cancels an expiry already queued; the inbox is drained
//!    before timers fire. The runtime draws the time from the range.
//! 10. **`now` serves leases only.** No other state holds a timestamp.
//! 11. **The state machine is a trait** ([`StateMachine`]), and every envelope names its group.
//! 12. **What is decoded is validated** ([`Wire::from_bytes`]).
//!
//! # The way through the crate
//!
//! [`id`], [`time`], [`configuration`] and [`payload`] name things; [`protocol`] is the trait, with its [`settings`]
//! and the [`event`]s it notes; [`record`] and [`storage`] are the disk; [`quorum`] counts, [`promotion`] catches newcomers up, and
//! [`read_rounds`] holds reads until a quorum is heard of, or a [`lease`] lasts;
//! [`machine`], [`session`] and [`kv`] are what the log is for; [`history`] is what a run leaves
//! behind; [`wire`] turns things into bytes, and [`draw`] draws by key. Behind the feature `transcript`
//! stands a cluster driven by hand, for the protocols' tests.

pub mod configuration;
pub mod draw;
pub mod event;
pub mod history;
pub mod id;
pub mod kv;
pub mod lease;
pub mod machine;
pub mod payload;
pub mod promotion;
pub mod protocol;
pub mod quorum;
pub mod read_rounds;
pub mod record;
pub mod session;
pub mod settings;
pub mod storage;
pub mod time;
#[cfg(feature = "transcript")]
pub mod transcript;
pub mod wire;

pub use configuration::{Change, ChangeError, Configuration};
pub use draw::Draw;
pub use event::Event;
pub use id::{Epoch, GroupId, Index, NodeId, RequestId, SessionId};
pub use lease::Lease;
pub use machine::StateMachine;
pub use payload::{Command, Payload};
pub use protocol::{
    Applies, Ask, Committed, Consistency, Effect, Input, Outbox, Outcome, Protocol, Refusal, Role,
    Status, When,
};
pub use read_rounds::{ReadQuestions, ReadRounds, Reader};
pub use record::{Disk, Record, SnapshotMeta, Write};
pub use settings::{Settings, SettingsError};
pub use time::Time;
pub use wire::{DecodeError, Validate, Wire};
