//! Multi-Paxos, as a pure state machine.
//!
//! Paxos chooses one value among proposed ones, so that a value once *chosen* stays chosen, whatever
//! is lost and whoever crashes. Multi-Paxos chooses a sequence of values, one per *slot*, and runs
//! the first phase once for all slots: a proposer makes a *ballot* that is its own, asks a quorum to
//! promise it, learns from the promises what earlier ballots may have chosen, proposes that anew, and
//! from then on needs one round trip a slot, for as long as nobody makes a higher ballot. A value is
//! chosen once a quorum of acceptors has accepted it under one ballot, on disk.
//!
//! Unlike in Raft, any replica may win, whatever it lacks, for the promises tell it, or tell that only
//! a snapshot can; slots are chosen in any order, and wait for their predecessors only to be applied;
//! and values keep no order among ballots along the log, so nothing is ever truncated.
//!
//! The sources:
//!
//! - Leslie Lamport, "Paxos Made Simple", 2001; the section numbers here are mostly its own.
//! - Leslie Lamport, "The Part-Time Parliament", 1998, where ballots come from.
//! - Robbert van Renesse and Deniz Altinbuken, "Paxos Made Moderately Complex", 2015: slots, windows,
//!   pvalues.
//! - Tushar Chandra, Robert Griesemer and Joshua Redstone, "Paxos Made Live", 2007: what else a
//!   running system needs: masters that stay, catching up, reads without a log write.
//! - Leslie Lamport, Dahlia Malkhi and Lidong Zhou, "Reconfiguring a State Machine", 2010: α.
//! - Heidi Howard, Dahlia Malkhi and Alexander Spiegelman, "Flexible Paxos", 2016.
//! - Harald Ng, Seif Haridi and Paris Carbone, "Omni-Paxos", 2023: ballot leader election.
//!
//! # The map
//!
//! | file | holds | source |
//! |---|---|---|
//! | [`message`] | one struct per message | Simple §2.2–§2.5, §3 |
//! | [`record`] | what is persisted | Simple §2.5, Complex §2.3 |
//! | [`replica`] | the state, and the dispatch | Complex §2 |
//! | `triggers` | when to campaign: timeouts, suspicions, rounds of heartbeats | Omni §5 |
//! | `election` | the round before a campaign, Prepare and Promise, winning, stepping down | Simple §2.2, §2.4, §3 |
//! | `log` | the accepted values in memory, and what of them may go | Complex §2.1 |
//! | `replication` | proposing, Accept, acknowledgements, what is chosen | Simple §2.2, §3 |
//! | `catchup` | proposing again what was lost, learning what was chosen | Simple §2.3, Live §2 |
//! | `reads` | reads by a ballot-confirming round, by lease, at followers | Live §5.2 |
//! | `membership` | who accepts, and how many suffice | Simple §2.2, §3, Flexible |
//! | `change` | running a change of the members | Reconfiguring, Raft dissertation §4.2.1 |
//! | `transfer` | handing leadership over, asked for or by priority | Raft dissertation §3.10 |
//! | `snapshot` | compacting the log, installing a peer's snapshot | Live §5.5 |
//! | `invariants` | what must hold after every step | Simple §2.2 |
//!
//! The Raft crate has the same files, so that the two can be read side by side.
//! `tests/scenarios` tells what it does, as transcripts; the table at the end pairs every known pitfall with
//! the rule against it, and with the scenario that fails without that rule.
//!
//! # The words
//!
//! | Multi-Paxos | `consensus_core` | Raft |
//! |---|---|---|
//! | ballot (owned by its proposer) | `Epoch` | term (no owner) |
//! | slot | `Index` | log index |
//! | accepted value (pvalue) | `Payload` at an `Index` | log entry |
//! | distinguished proposer, leader | leader | leader |
//! | acceptor, learner | follower | follower |
//! | proposer in phase 1 | candidate | candidate |
//! | PreCampaign, PreCampaignReply | pre-vote, no campaign yet | PreVote, PreVoteReply |
//! | Prepare (phase 1a) | campaign | RequestVote |
//! | Promise (phase 1b) | `Event::Voted` | RequestVoteReply, granted |
//! | Nack with the promised ballot | refusal | refused by a higher term |
//! | Accept (phase 2a) | replication | AppendEntries |
//! | Accepted (phase 2b) | acknowledgement | AppendEntriesReply |
//! | Learn, Learned | catching up | AppendEntriesRefusal, and AppendEntries again |
//! | "compacted to", in Promise and Learned | a snapshot is needed | `next` before the log's first |
//! | ballot-confirming round | read round | heartbeat round |
//! | master lease | `Lease` | leader lease |
//! | ReadIndex, ReadIndexReply | a follower's read | ReadIndex, ReadIndexReply |
//! | Secure, Secured ("say when you hold it all") | catching up | the match index of a follower |
//! | TimeoutNow | `Event::Transferring` | TimeoutNow |
//! | a configuration chosen for slot i governs from i + α | `Event::Reconfigured` | in force once appended, joint between |
//! | quorums of promises and of acceptances | quorum | majority |
//! | HeartbeatRequest, HeartbeatReply | what makes a replica campaign | election timeout |
//! | chosen | committed | committed |
//! | inherited slots under the own ballot | `Event::CaughtUp` once chosen | the no-op of a new term |
//! | promised ballot | hard state | current term, voted for |
//! | chosen up to | `Status::commit` | commit index |
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
pub use replica::{Config, MultiPaxos, Timer};
