//! Every mistake in every protocol, each beside the protocol without it.

use std::fmt;

use consensus_core::Protocol as _;
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use simulator::{Recording, SimulationConfig, run, run_on};

use crate::{
    conditions::Conditions,
    forgetful::AppliesRetriesAgain,
    garbling::GarblesAnswers,
    patched::{
        multipaxos_commits_on_a_minority, multipaxos_reads_while_deposed,
        raft_commits_on_a_minority, raft_reads_while_deposed,
    },
    rewrites::{AcknowledgesBeforeTheSync, ForgetsItsVote, Nothing},
    rewritten::Rewritten,
};

/// What is wrong with a protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mistake {
    /// A vote, or a promise, is given and not persisted.
    VoteNotPersisted,
    /// One acknowledgement fewer than a majority commits an entry.
    CommitOnAMinority,
    /// An entry is acknowledged before the sync that makes it durable.
    AcknowledgementBeforeTheSync,
    /// A read is served by whoever believes to lead, without asking a quorum.
    ReadByADeposedLeader,
    /// A command that a client sends again takes effect again.
    RetryAppliedTwice,
    /// A query is answered with what nobody wrote.
    AnswerThatNobodyWrote,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::VoteNotPersisted,
        Self::CommitOnAMinority,
        Self::AcknowledgementBeforeTheSync,
        Self::ReadByADeposedLeader,
        Self::RetryAppliedTwice,
        Self::AnswerThatNobodyWrote,
    ];

    /// The verdict of [`checker::Verdicts::named`] that is about this mistake: whatever else it
    /// breaks, it must be seen to break that one.
    pub const fn verdict(self) -> &'static str {
        match self {
            Self::VoteNotPersisted => "election-safety",
            Self::CommitOnAMinority => "log-agreement",
            Self::AcknowledgementBeforeTheSync => "no-lost-acks",
            Self::ReadByADeposedLeader => "linearizable",
            Self::RetryAppliedTwice => "exactly-once",
            Self::AnswerThatNobodyWrote => "stale-reads",
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VoteNotPersisted => "a vote not persisted",
            Self::CommitOnAMinority => "a commit on a minority",
            Self::AcknowledgementBeforeTheSync => "an acknowledgement before the sync",
            Self::ReadByADeposedLeader => "a read served by a deposed leader",
            Self::RetryAppliedTwice => "a retry applied twice",
            Self::AnswerThatNobodyWrote => "an answer that nobody wrote",
        })
    }
}

/// Simulates one run.
pub type Simulate = fn(&SimulationConfig) -> Recording;

/// A mistake planted in a protocol.
#[derive(Clone, Copy, Debug)]
pub struct Plant {
    /// The mistake.
    pub mistake: Mistake,
    /// The protocol's name.
    pub protocol: &'static str,
    /// The conditions that are aimed at it.
    pub aimed: Conditions,
    /// Simulates the protocol with the mistake.
    pub wrong: Simulate,
    /// Simulates the protocol as it is.
    pub right: Simulate,
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.mistake, self.protocol)
    }
}

/// The mistake in each protocol.
pub const fn plants(mistake: Mistake) -> [Plant; 2] {
    let (raft, multipaxos): (Simulate, Simulate) = match mistake {
        Mistake::VoteNotPersisted => {
            (run::<Rewritten<Raft, ForgetsItsVote>>, run::<Rewritten<MultiPaxos, ForgetsItsVote>>)
        }
        Mistake::CommitOnAMinority => (
            run::<Rewritten<raft_commits_on_a_minority::Raft, Nothing>>,
            run::<Rewritten<multipaxos_commits_on_a_minority::MultiPaxos, Nothing>>,
        ),
        Mistake::AcknowledgementBeforeTheSync => (
            run::<Rewritten<Raft, AcknowledgesBeforeTheSync>>,
            run::<Rewritten<MultiPaxos, AcknowledgesBeforeTheSync>>,
        ),
        Mistake::ReadByADeposedLeader => (
            run::<Rewritten<raft_reads_while_deposed::Raft, Nothing>>,
            run::<Rewritten<multipaxos_reads_while_deposed::MultiPaxos, Nothing>>,
        ),
        Mistake::RetryAppliedTwice => {
            (run_on::<Raft, AppliesRetriesAgain>, run_on::<MultiPaxos, AppliesRetriesAgain>)
        }
        Mistake::AnswerThatNobodyWrote => {
            (run_on::<Raft, GarblesAnswers>, run_on::<MultiPaxos, GarblesAnswers>)
        }
    };
    let aimed = aim(mistake);
    [
        Plant { mistake, protocol: Raft::NAME, aimed: aimed.0, wrong: raft, right: run::<Raft> },
        Plant {
            mistake,
            protocol: MultiPaxos::NAME,
            aimed: aimed.1,
            wrong: multipaxos,
            right: run::<MultiPaxos>,
        },
    ]
}

/// Where the mistake shows in Raft, and in Multi-Paxos.
///
/// Only forgotten votes show in different places. A term belongs to nobody, so Raft's second leader
/// of a term is another candidate, which must ask while the voter has just forgotten. A ballot
/// belongs to its proposer, so the second leader of a ballot is the first one, which makes the same
/// ballot again after everyone forgot it.
const fn aim(mistake: Mistake) -> (Conditions, Conditions) {
    let both = match mistake {
        Mistake::VoteNotPersisted => return (Conditions::SplitVote, Conditions::PowerFailure),
        Mistake::CommitOnAMinority | Mistake::ReadByADeposedLeader => Conditions::LeaderInAMinority,
        Mistake::AcknowledgementBeforeTheSync => Conditions::PowerFailure,
        Mistake::RetryAppliedTwice => Conditions::AfterAcknowledged,
        Mistake::AnswerThatNobodyWrote => Conditions::StaleReaders,
    };
    (both, both)
}
