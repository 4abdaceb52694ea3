//! A small cluster driven by hand, and transcripts of it that read like a story.
//!
//! Nothing happens in a [`Cluster`] unless it is told to: each message lies on its link until it is
//! delivered, dropped or duplicated, each disk keeps what was written unsynced until it is told to
//! sync or crash, and each timer runs out when it is told to. It keeps the contract that the
//! [crate's documentation](crate) states, to the letter, and its [`Judge`] watches what no protocol
//! may ever break: it panics when two nodes lead one epoch, when two replicas apply different
//! commands at one index, when a refused command is applied, when a linearizable read misses an
//! acknowledged write, when a message or record does not come back from its bytes, when a log begins
//! with a snapshot that is not durable, or when somebody leads who has no vote.
//!
//! A [`Runner`] plays goldenscript files on such a cluster. One command a line:
//!
//! ```text
//! cluster nodes=4 [members=3] [seed=S] [SETTING=VALUE]...
//!                                       starts followers on empty disks; of these, the first three
//!                                       are the members before the first entry. The settings are
//!                                       those of the core and of the protocol, by their names;
//!                                       besides, priority=n2@10, election_timeout_ms=150-300,
//!                                       heartbeat_interval_ms=30. With leases=true, a timer that is
//!                                       told to run out takes its time
//! join n5 [knows=nobody]                starts another node, which is no member; it may not even
//!                                       know who the first members are
//! seed n1 [base=INDEX@EPOCH] ...        gives a node another disk (the protocol's own words), and
//!                                       starts it from that; the snapshot is there as well
//! timeout n1 election                   lets an armed timer run out
//! deliver [NUMBER]... [from=n1] [to=n2] delivers what is on its way now: one drain of the inbox, and
//!                                       so one flush, per receiver
//! drop, duplicate, reorder              likewise, with the same choice of messages
//! messages                              lists what is on its way
//! sync [n1]... [batches=K]              completes a sync: what waited for the disk leaves
//! crash n1 [keep=K]                     keeps the oldest K of the unsynced batches
//! restart n1                            starts it again from its disk
//! destroy n1                            takes it away for ever, with its disk
//! propose n1 x [y]...                   commands, in one drain of the inbox
//! read n1 [lease|follower|stale]        linearizable, if nothing else is said
//! reconfigure n1 [add=4-5] [learn=6] [remove=1]
//! transfer n1 [to=n2]                   asks n1 to hand leadership over
//! suspect n2 n1, trust n2 n1            what the failure detector of n2 thinks of n1
//! save n1                               makes the oldest snapshot durable that it asked for
//! install [from=n1] [to=n2]             completes transfers of snapshots: they are staged
//! break [from=n1] [to=n2]               ends them before their time
//! snapshots                             lists those asked for, those on their way, and those durable
//! partition n1-n2 n3-n4-n5              cuts every link between the groups
//! cut n1 n2                             cuts one direction of one link
//! heal                                  mends every link
//! stabilize [n1]...                     delivers, installs, syncs and saves (at these nodes) until
//!                                       nothing moves
//! run ms=500                            lets virtual time pass, with messages and disks at once
//! pass ms=50                            lets virtual time pass, and nothing happen
//! clock n1 [ahead_ms=A] [drift_ppm=D]   gives n1 another clock
//! status [n1]...                        members and learners stand there if they are not the first
//! memory [n1]...                        which positions of the log are held in memory
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

pub use cluster::{Clock, Cluster, Flight, Transfer};
pub use happening::Happening;
pub use judge::Judge;
pub use runner::Runner;

use crate::{
    protocol::Protocol,
    record::Write,
    settings::{Settings, SettingsError},
};

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
    ///
    /// # Errors
    ///
    /// If the protocol cannot work with the settings; the transcript shows it.
    fn config(settings: Settings) -> Result<<Self::Protocol as Protocol>::Config, SettingsError> {
        Self::Protocol::configure(settings)
    }
}

/// One batch of writes of a protocol's records.
pub type Writes<P> = Vec<Write<<P as Protocol>::Record>>;
