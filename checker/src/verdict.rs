//! What the checker says, in a shape that a report can draw and a person can read.

use std::fmt;

use consensus_core::history::{Applied, Observed, Operation};
use serde::{Deserialize, Serialize};

use crate::coverage::Coverage;

/// The answer to one question about a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The rule held.
    Ok,
    /// The rule was broken, and this shows it.
    Violated(Counterexample),
    /// Nobody knows, for this reason. A run with such a verdict proved nothing.
    Undecided(String),
    /// Nothing was recorded that could be judged, for this reason. Such a verdict holds nothing up.
    NotJudged(String),
}

impl Verdict {
    /// Whether the rule held.
    pub const fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }

    /// Whether nothing speaks against the rule: it held, or was not judged.
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Ok | Self::NotJudged(_))
    }

    /// What shows that the rule was broken, if it was.
    pub const fn counterexample(&self) -> Option<&Counterexample> {
        match self {
            Self::Violated(counterexample) => Some(counterexample),
            Self::Ok | Self::Undecided(_) | Self::NotJudged(_) => None,
        }
    }

    pub(crate) fn undecided(reason: impl Into<String>) -> Self {
        Self::Undecided(reason.into())
    }

    pub(crate) fn not_judged(reason: impl Into<String>) -> Self {
        Self::NotJudged(reason.into())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Violated(counterexample) => write!(f, "violated: {}", counterexample.summary),
            Self::Undecided(reason) => write!(f, "undecided: {reason}"),
            Self::NotJudged(reason) => write!(f, "not judged: {reason}"),
        }
    }
}

/// The few facts that break a rule, cut down from the whole history.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counterexample {
    /// What is wrong, in one sentence.
    pub summary: String,
    /// The key it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The client operations that contradict each other, by the time of their first send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
    /// The applied entries that contradict each other, or the operations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Applied>,
    /// The observations that contradict each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observations: Vec<Observed>,
}

impl Counterexample {
    pub(crate) fn new(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), ..Self::default() }
    }

    pub(crate) fn operations<'a>(
        mut self,
        operations: impl IntoIterator<Item = &'a Operation>,
    ) -> Self {
        self.operations = operations.into_iter().cloned().collect();
        self.operations.sort_by_key(|operation| (operation.invoked, operation.completed));
        self.key = self.operations.first().map(|operation| operation.key.clone());
        self
    }

    pub(crate) fn entries<'a>(mut self, entries: impl IntoIterator<Item = &'a Applied>) -> Self {
        self.entries = entries.into_iter().cloned().collect();
        self
    }

    pub(crate) fn observations<'a>(
        mut self,
        observations: impl IntoIterator<Item = &'a Observed>,
    ) -> Self {
        self.observations = observations.into_iter().cloned().collect();
        self
    }
}

impl From<Counterexample> for Verdict {
    fn from(counterexample: Counterexample) -> Self {
        Self::Violated(counterexample)
    }
}

/// The answers to all questions about a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdicts {
    /// Every key behaves as one register that operations reach one at a time, each between its
    /// first send and its answer (Herlihy & Wing 1990). Reads by lease are left out.
    pub linearizable: Verdict,
    /// The same with the reads by lease among the operations: they keep their promise.
    #[serde(default = "held")]
    pub lease_reads: Verdict,
    /// All replicas apply the same entries in the same order, restarts included (Raft §5.4.3,
    /// "State Machine Safety"; Lamport's "Consistency").
    pub log_agreement: Verdict,
    /// What replicas hold after the same entries is the same.
    #[serde(default = "not_recorded")]
    pub state_agreement: Verdict,
    /// What is committed stays committed, over restarts and from leader to leader (Raft §5.4,
    /// "Leader Completeness").
    #[serde(default = "not_recorded")]
    pub commit_monotonic: Verdict,
    /// Every acknowledged write stands in the log, where its answer says.
    pub no_lost_acks: Verdict,
    /// Every numbered command of a session takes effect at most once (Raft dissertation §6.3), and
    /// a refused one never.
    pub exactly_once: Verdict,
    /// Every epoch has at most one leader (Raft §5.2, "Election Safety").
    pub election_safety: Verdict,
    /// Every stale read saw something that was once written. That is all that it promises, so stale
    /// reads are no part of [`linearizable`](Self::linearizable).
    #[serde(default = "held")]
    pub stale_reads: Verdict,
    /// After the last fault was healed, all members came to follow one leader and to know what was
    /// committed.
    #[serde(default = "not_recorded")]
    pub converged: Verdict,
    /// The run could have shown something: operations overlapped, faults met them, dead leaders had
    /// successors. If it could not, this is undecided, and no other verdict is worth much.
    #[serde(default = "not_recorded")]
    pub not_vacuous: Verdict,
    /// What there was to judge, so that an empty history does not pass for a clean one.
    pub coverage: Coverage,
}

/// What is said in records from before a rule was judged by itself.
const fn held() -> Verdict {
    Verdict::Ok
}

/// What is said in records from before something was judged.
fn not_recorded() -> Verdict {
    Verdict::not_judged("the record is older than this verdict")
}

impl Verdicts {
    /// Whether every rule held that was judged; an undecided one did not.
    pub fn holds(&self) -> bool {
        self.named().into_iter().all(|(_, verdict)| verdict.passes())
    }

    /// The verdicts by the names under which schedules expect them.
    pub const fn named(&self) -> [(&'static str, &Verdict); 11] {
        [
            ("linearizable", &self.linearizable),
            ("lease-reads", &self.lease_reads),
            ("log-agreement", &self.log_agreement),
            ("state-agreement", &self.state_agreement),
            ("commit-monotonic", &self.commit_monotonic),
            ("no-lost-acks", &self.no_lost_acks),
            ("exactly-once", &self.exactly_once),
            ("election-safety", &self.election_safety),
            ("stale-reads", &self.stale_reads),
            ("converged", &self.converged),
            ("not-vacuous", &self.not_vacuous),
        ]
    }
}

impl fmt::Display for Verdicts {
    /// One line for each verdict.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, verdict) in self.named() {
            writeln!(f, "{name:<16} {verdict}")?;
        }
        write!(f, "{}", self.coverage)
    }
}
