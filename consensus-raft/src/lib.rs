//! Raft, as a pure state machine.
//!
//! Raft keeps a log alike on every replica by electing one leader per *term* and letting that
//! leader alone decide what comes next. A leader is elected by a majority, each member of which has
//! one vote per term and gives it only to a candidate whose log is at least as up to date as its
//! own; so every leader holds every committed entry from the start, and entries flow only from
//! leaders to followers. An entry is committed once a majority has it on disk.
//!
//! The sources, cited as § (the paper) and D§ (the dissertation):
//!
//! - § Diego Ongaro and John Ousterhout, "In Search of an Understandable Consensus Algorithm
//!   (Extended Version)", 2014.
//! - D§ Diego Ongaro, "Consensus: Bridging Theory and Practice", 2014: pre-vote, check-quorum,
//!   disruptive servers, changes of the members, transfer of leadership, linearizable reads without
//!   log writes, leases.
//!
//! # The map
//!
//! | file | holds | source |
//! |---|---|---|
//! | [`message`] | one struct per message | § figure 2 |
//! | [`record`] | what is persisted | § figure 2 |
//! | [`replica`] | the state, and the dispatch | § figure 2 |
//! | `triggers` | when to campaign: timeouts, priorities | §5.2 |
//! | `election` | pre-vote, votes, winning, stepping down | §5.2, §5.4.1, D§9.6, D§4.2.3, D§6.2 |
//! | `log` | the tail of the log in memory, and what of it may go | §5.3, §7 |
//! | `replication` | proposing, AppendEntries, acknowledgements, flow control, commit | §5.3, §5.4.2, D§10.2 |
//! | `catchup` | finding where a follower's log departs, and who needs a snapshot | §5.3, §7 |
//! | `reads` | ReadIndex, leases, reads that a follower serves | §8, D§6.4, D§6.4.1 |
//! | `membership` | who votes, by the log | §6, D§4 |
//! | `change` | running a change of the members | §6, D§4.2 |
//! | `transfer` | handing leadership over, asked for or by priority | D§3.10 |
//! | `snapshot` | the base of the log: compacting it, installing a peer's | §7, D§5 |
//! | `invariants` | what must hold after every step | § figure 3 |
//!
//! The Multi-Paxos crate has the same files, so that the two can be read side by side.
//! `tests/scenarios` tells what it does, as transcripts; the table at the end pairs every known pitfall with
//! the rule against it, and with the scenario that fails without that rule.
//!
//! # The words
//!
//! | Raft | `consensus_core` | Multi-Paxos |
//! |---|---|---|
//! | term | `Epoch` (no owner) | ballot (owned by its proposer) |
//! | log index | `Index` | slot |
//! | log entry | `Payload` at an `Index` | accepted value |
//! | leader | leader | distinguished proposer |
//! | follower | follower | acceptor, learner |
//! | candidate | candidate | proposer in phase 1 |
//! | PreVote, PreVoteReply (D§9.6) | pre-vote, no campaign yet | the same question before Prepare |
//! | RequestVote | campaign | Prepare (phase 1a) |
//! | RequestVoteReply, granted | `Event::Voted` | Promise (phase 1b) |
//! | refused by a higher term | refusal | nack with the promised ballot |
//! | AppendEntries | replication | Accept (phase 2a) |
//! | AppendEntriesReply | acknowledgement | Accepted (phase 2b) |
//! | TimeoutNow (D§3.10) | `Event::Transferring` | the same order, before Prepare |
//! | joint configuration (§6) | `Configuration::outgoing`, `Event::Reconfigured` | decided at slot i for slot i+α |
//! | heartbeat round (D§6.4) | read round | ballot-confirming round |
//! | leader lease (D§6.4.1) | `Lease` | master lease |
//! | ReadIndex, ReadIndexReply (D§6.4) | `ReadQuestions`, `Reader::Follower` | the same question to the distinguished proposer |
//! | `next` before the log's first, snapshot (§7) | `Effect::SendSnapshot`, the base | "compacted to", in Promise and Learned |
//! | committed | committed | chosen |
//! | the no-op of a new term (§8) | `Event::CaughtUp` once committed | no-ops in the holes |
//! | voted for, current term | hard state | promised ballot |
//! | commit index | `Status::commit` | chosen up to |
//!
#![doc = include_str!("../PITFALLS.md")]

mod catchup;
mod change;
mod election;
mod invariants;
mod log;
mod membership;
pub mod message;
mod reads;
pub mod record;
pub mod replica;
mod replication;
mod snapshot;
mod transfer;
mod triggers;

pub use message::Message;
pub use record::Record;
pub use replica::{Config, Raft, Timer};
