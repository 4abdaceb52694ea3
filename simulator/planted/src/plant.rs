//! Every mistake in every protocol, each beside the protocol without it.

use std::fmt;

use consensus_core::Protocol;
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use simulator::{Recording, SimulationConfig, run, run_on};

use crate::{
    aims::aim,
    conditions::Conditions,
    expiring::{AppliedAgain, Forgets, Refused},
    finding::Finding,
    forgetful::AppliesRetriesAgain,
    garbling::GarblesAnswers,
    rewrites::{
        AcknowledgesBeforeTheSync, CutsWhatWasSynced, ForgetsItsVote, LosesItsDisk, Nothing,
    },
    rewritten::Rewritten,
};

/// Simulates one run.
pub type Simulate = fn(&SimulationConfig) -> Recording;

/// A protocol of the house.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// Raft.
    Raft,
    /// Multi-Paxos.
    MultiPaxos,
}

impl Subject {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Raft, Self::MultiPaxos];

    /// Its name, as everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raft => Raft::NAME,
            Self::MultiPaxos => MultiPaxos::NAME,
        }
    }

    /// Its folder.
    pub const fn room(self) -> &'static str {
        match self {
            Self::Raft => "consensus-raft",
            Self::MultiPaxos => "consensus-multipaxos",
        }
    }

    /// Simulates it as it is.
    pub const fn simulate(self) -> Simulate {
        match self {
            Self::Raft => run::<Raft>,
            Self::MultiPaxos => run::<MultiPaxos>,
        }
    }

    const fn simulate_forgetting_sessions(self) -> Simulate {
        match self {
            Self::Raft => run_on::<Raft, Forgets<Refused>>,
            Self::MultiPaxos => run_on::<MultiPaxos, Forgets<Refused>>,
        }
    }
}

/// A mistake planted in a protocol.
#[derive(Clone, Copy, Debug)]
pub struct Plant {
    /// What is wrong.
    pub mistake: &'static str,
    /// In which protocol.
    pub subject: Subject,
    /// The verdict of [`checker::Verdicts::named`] that is about this mistake, if one is: whatever
    /// else it breaks, it must be seen to break that one.
    pub tells: Option<&'static str>,
    /// The conditions that are aimed at it.
    pub aimed: &'static Conditions,
    /// Simulates the protocol with the mistake.
    pub wrong: Simulate,
    /// Simulates it without.
    pub right: Simulate,
}

impl Plant {
    /// Whether a run shows this mistake.
    pub fn is_shown_by(&self, finding: &Finding) -> bool {
        self.tells.is_none_or(|verdict| finding.breaks(verdict))
    }

    /// What a finding shows of it, in a word.
    pub fn shown_in(&self, finding: &Finding) -> &'static str {
        self.tells.or_else(|| finding.foremost()).unwrap_or_default()
    }
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.mistake, self.subject.name())
    }
}

/// Every mistake in every protocol: the rewritten ones, and those of which this build of `patched` has
/// a copy.
pub fn plants() -> Vec<Plant> {
    let mut found = Found(rewritten());
    patched::visit(&mut found);
    found.0
}

/// What no line of a protocol says, and so no patch can take out of it: what its driver does, and what
/// it drives.
fn rewritten() -> Vec<Plant> {
    let mut plants = Vec::new();
    let mut both = |mistake, tells, simulate: [Simulate; 2]| {
        let pairs = Subject::ALL.into_iter().zip(simulate);
        plants.extend(pairs.map(|(subject, wrong)| plant(mistake, subject, tells, wrong)));
    };
    both(
        "a vote not persisted",
        Some("election-safety"),
        [run::<Rewritten<Raft, ForgetsItsVote>>, run::<Rewritten<MultiPaxos, ForgetsItsVote>>],
    );
    both(
        "an acknowledgement before the sync",
        Some("no-lost-acks"),
        [
            run::<Rewritten<Raft, AcknowledgesBeforeTheSync>>,
            run::<Rewritten<MultiPaxos, AcknowledgesBeforeTheSync>>,
        ],
    );
    both(
        "a retry applied twice",
        Some("exactly-once"),
        [run_on::<Raft, AppliesRetriesAgain>, run_on::<MultiPaxos, AppliesRetriesAgain>],
    );
    both(
        "an answer that nobody wrote",
        Some("stale-reads"),
        [run_on::<Raft, GarblesAnswers>, run_on::<MultiPaxos, GarblesAnswers>],
    );
    both(
        "rejoining with a lost disk under the old identity",
        None,
        [run::<Rewritten<Raft, LosesItsDisk>>, run::<Rewritten<MultiPaxos, LosesItsDisk>>],
    );
    both(
        "a session that expires before the client's retry",
        Some("exactly-once"),
        [run_on::<Raft, Forgets<AppliedAgain>>, run_on::<MultiPaxos, Forgets<AppliedAgain>>],
    );
    both(
        "a torn last record is cut, a damaged middle record never voted over",
        None,
        [
            run::<Rewritten<Raft, CutsWhatWasSynced>>,
            run::<Rewritten<MultiPaxos, CutsWhatWasSynced>>,
        ],
    );
    plants
}

fn plant(
    mistake: &'static str,
    subject: Subject,
    tells: Option<&'static str>,
    wrong: Simulate,
) -> Plant {
    let right = match mistake {
        "a session that expires before the client's retry" => {
            subject.simulate_forgetting_sessions()
        }
        _ => subject.simulate(),
    };
    Plant { mistake, subject, tells, aimed: aim(mistake, subject), wrong, right }
}

/// The mistakes that were found so far.
struct Found(Vec<Plant>);

impl patched::Visitor for Found {
    fn visit<P: Protocol>(&mut self, room: &'static str, lacks: &'static str) {
        let subject = Subject::ALL.into_iter().find(|subject| subject.room() == room);
        let subject = subject.expect("copies are made of the protocols that there are");
        let tells = match lacks {
            "a commit on a minority" => Some("log-agreement"),
            "a read served by a deposed leader" => Some("linearizable"),
            _ => None,
        };
        self.0.push(plant(lacks, subject, tells, run::<Rewritten<P, Nothing>>));
    }
}
