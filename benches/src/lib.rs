//! What one committed entry costs in processor time, for our protocols and for other people's.
//!
//! Three replicas stand in one process. Messages move from inbox to inbox without being encoded,
//! and what a replica persists is kept in its memory and counts as durable at once: nothing is
//! measured but the protocol. A client keeps a *window* of commands outstanding (a closed loop), and
//! every command is an allocation of its own, as if it had just arrived. Each command is checked, in
//! order, when it is handed to the state machine of any of the replicas.
//!
//! All contestants have the same work and the same chance to batch: whatever the client has to send
//! is proposed in one go, and each replica in turn takes everything in its inbox before it answers.
//! Nobody compacts, so [`run`] stops after a bounded number of entries; starting a cluster and
//! electing its leader is not measured.
//!
//! ```text
//! cargo bench -p benches                                     ours, with criterion
//! cargo bench -p benches --features peers                    beside raft (raft-rs) and omnipaxos
//! cargo run --release -p benches --features peers --example table
//! ```
//!
//! The peers build without anything that is not in their crates.

use std::time::Duration;

use bytes::Buf;
use nix::time::{ClockId, clock_gettime};

mod ours;
#[cfg(feature = "peers")]
mod peers;

pub use ours::Ours;
#[cfg(feature = "peers")]
pub use peers::{OmniPaxosCluster, RaftRsCluster};

/// How many replicas a cluster has.
pub const REPLICAS: usize = 3;

/// The windows that are measured.
pub const WINDOWS: [usize; 4] = [1, 16, 64, 256];

/// The work, the same for every contestant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    /// How many commands the client keeps outstanding.
    pub window: usize,
    /// The size of a command, in bytes.
    pub command_bytes: usize,
    /// How many commands are committed.
    pub entries: u64,
}

impl Work {
    /// The work at a window: commands of 256 bytes, and as many as a log without compaction should
    /// hold.
    pub const fn new(window: usize) -> Self {
        Self { window, command_bytes: 256, entries: 1 << 11 }
    }
}

/// A cluster of three replicas with a leader.
pub trait Contestant: Sized {
    /// Its name in results.
    const NAME: &'static str;

    /// What is particular about how it is set up, in one line.
    fn configuration(work: Work) -> String;

    /// Starts the cluster and elects a leader.
    fn start(work: Work) -> Self;

    /// Hands a command to the leader.
    fn propose(&mut self, command: Vec<u8>);

    /// Lets each replica in turn handle everything that has arrived, and everything on its way
    /// arrive.
    fn turn(&mut self);

    /// Lets the leader make itself heard, so that the followers learn of the last commits.
    fn heartbeat(&mut self);

    /// What each replica's state machine was given, the leader's first.
    fn delivered(&self) -> [&Delivered; REPLICAS];
}

/// A state machine that counts, and sees that what it is given is what was proposed, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Delivered {
    commands: u64,
}

impl Delivered {
    /// Takes the next command.
    ///
    /// # Panics
    ///
    /// If it is not the next one.
    pub fn apply(&mut self, mut command: &[u8]) {
        assert_eq!(command.get_u64_le(), self.commands, "commands are delivered in order");
        self.commands += 1;
    }

    /// How many commands were taken.
    pub const fn commands(&self) -> u64 {
        self.commands
    }
}

/// Commits the work on a new cluster, and returns the processor time that it took.
///
/// # Panics
///
/// If a command is not delivered to every replica: a benchmark of a cluster that fails is worthless.
pub fn run<C: Contestant>(work: Work) -> Duration {
    let mut cluster = C::start(work);
    let before = cpu_time();
    let mut proposed = 0;
    let mut idle = 0;
    while cluster.delivered()[0].commands() < work.entries {
        let delivered = cluster.delivered()[0].commands();
        let room = (delivered + work.window as u64).min(work.entries);
        while proposed < room {
            cluster.propose(command(proposed, work.command_bytes));
            proposed += 1;
        }
        cluster.turn();
        idle = if cluster.delivered()[0].commands() == delivered { idle + 1 } else { 0 };
        assert!(idle < PATIENCE, "{} stands still after {delivered} commands", C::NAME);
    }
    for _ in 0..PATIENCE {
        if cluster.delivered().iter().all(|replica| replica.commands() == work.entries) {
            return cpu_time() - before;
        }
        cluster.heartbeat();
        cluster.turn();
    }
    panic!("{} leaves a follower behind", C::NAME);
}

/// Makes the allocator keep the memory that it was given, so that no contestant pays for another's
/// page faults: glibc raises its thresholds when a large block is freed. Elsewhere it does no harm.
pub fn keep_memory() {
    drop(std::hint::black_box(vec![0u8; 31 << 20]));
}

/// How many turns without progress are too many.
const PATIENCE: u32 = 100;

/// A command that tells its number.
fn command(number: u64, bytes: usize) -> Vec<u8> {
    let mut command = vec![0; bytes];
    command[..8].copy_from_slice(&number.to_le_bytes());
    command
}

/// The processor time that this process has used: on a busy machine the only clock worth reading.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("every Linux has this clock").into()
}

#[cfg(test)]
mod tests {
    use consensus_multipaxos::MultiPaxos;
    use consensus_raft::Raft;

    use super::*;

    /// What [`run`] asserts: every command reaches every replica, in order.
    #[test]
    fn every_contestant_does_the_work() {
        for window in [1, 7] {
            let work = Work { window, command_bytes: 16, entries: 70 };
            run::<Ours<Raft>>(work);
            run::<Ours<MultiPaxos>>(work);
            #[cfg(feature = "peers")]
            {
                run::<RaftRsCluster>(work);
                run::<OmniPaxosCluster>(work);
            }
        }
    }

    #[test]
    #[should_panic(expected = "in order")]
    fn a_command_that_is_skipped_is_noticed() {
        let mut delivered = Delivered::default();
        delivered.apply(&command(0, 16));
        delivered.apply(&command(2, 16));
    }
}
