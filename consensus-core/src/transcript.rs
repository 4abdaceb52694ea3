//! A small cluster driven by hand, and transcripts of it that read like a story.
//!
//! Nothing happens in a [`Cluster`] unless it is told to: each message lies on its link until it is
//! delivered, dropped or duplicated, each disk keeps what was written unsynced until it is told to
//! sync or crash, and each timer runs out when it is told to. It keeps the contract that the
//! [crate's documentation](crate) states, to the letter, and its [`Judge`] watches what no protocol
//! may ever break: it panics when two nodes lead one epoch, when two replicas apply different
//! commands at one index, when a refused command is applied, when a linearizable read misses an
//! acknowledged write, or when a message or record does not come back from its bytes.
//!
//! A [`Runner`] plays goldenscript files on such a cluster. One command a line:
//!
//! ```text
//! cluster nodes=3 [SETTING=VALUE]...    starts followers on empty disks: pre_vote, check_quorum,
//!                                       max_batch_entries, max_inflight_batches, ...
//! seed n1 [base=INDEX@EPOCH] ...        gives a node another disk (the protocol's own words), and
//!                                       starts it from that
//! timeout n1 election                   lets an armed timer run out
//! deliver [NUMBER]... [from=n1] [to=n2] delivers what is on its way now: one drain of the inbox, and
//!                                       so one flush, per receiver
//! drop, duplicate, reorder              likewise, with the same choice of messages
//! messages                              lists what is on its way
//! sync [n1]... [batches=K]              completes a sync: what waited for the disk leaves
//! crash n1 [keep=K]                     keeps the oldest K of the unsynced batches
//! restart n1                            starts it again from its disk
//! propose n1 x [y]...                   commands, in one drain of the inbox
//! read n1 [consistency=stale]
//! partition n1-n2 n3-n4-n5              cuts every link between the groups
//! cut n1 n2                             cuts one direction of one link
//! heal                                  mends every link
//! stabilize [n1]...                     delivers and syncs (at these nodes) until nothing moves
//! run ms=500                            lets virtual time pass, with messages and disks at once
//! status [n1]...
//! log [n1]...                           what is on the disk; what is not yet synced stands after |
//! ```
//!
//! `(command)` plays it in silence, and `!command` expects it to fail.
//!
//! [`trouble`] plays what nobody would think of: hundreds of clusters in trouble drawn from seeds.

mod cluster;
mod happening;
mod judge;
mod runner;
pub mod trouble;

pub use cluster::{Cluster, Flight};
pub use happening::Happening;
pub use judge::Judge;
pub use runner::Runner;

use crate::{protocol::Protocol, record::Write, settings::Settings};

/// What a protocol adds so that transcripts can be written in its own words.
pub trait Script: 'static {
    /// The protocol.
    type Protocol: Protocol;

    /// The timer of this name.
    fn timer(name: &str) -> Option<<Self::Protocol as Protocol>::Timer>;

    /// What `seed` writes to a disk, from its positional words (such as entries) and its named ones
    /// (such as the term).
    ///
    /// # Errors
    ///
    /// What is wrong with the words, for whoever writes the transcript.
    fn seed(words: &[&str], named: &[(&str, &str)]) -> Result<Writes<Self::Protocol>, String>;

    /// A message, readable.
    fn message(message: &<Self::Protocol as Protocol>::Message) -> String {
        format!("{message:?}")
    }

    /// A record, readable.
    fn record(record: &<Self::Protocol as Protocol>::Record) -> String {
        format!("{record:?}")
    }

    /// The parameters of one replica.
    fn config(settings: Settings) -> <Self::Protocol as Protocol>::Config {
        Self::Protocol::configure(settings).expect("a script's settings work")
    }
}

/// One batch of writes of a protocol's records.
pub type Writes<P> = Vec<Write<<P as Protocol>::Record>>;
