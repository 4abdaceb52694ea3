//! Verdicts as a report shows them.

use checker::{Verdict, Verdicts};
use serde::{Deserialize, Serialize};

/// How a rule stands, in a word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The rule held.
    #[default]
    Ok,
    /// Nothing was recorded that could be judged.
    NotJudged,
    /// Nobody knows.
    Undecided,
    /// The rule was broken.
    Violated,
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::NotJudged => "not judged",
            Self::Undecided => "undecided",
            Self::Violated => "violated",
        })
    }
}

impl From<&Verdict> for Standing {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Ok => Self::Ok,
            Verdict::NotJudged(_) => Self::NotJudged,
            Verdict::Undecided(_) => Self::Undecided,
            Verdict::Violated(_) => Self::Violated,
        }
    }
}

impl Standing {
    /// How a run stands whose rules stand like this: as the worst of those that were judged.
    pub fn of_all(standings: impl IntoIterator<Item = Self>) -> Self {
        let judged = standings.into_iter().filter(|standing| *standing != Self::NotJudged);
        judged.max().unwrap_or_default()
    }

    /// The word that marks it in a page's style sheet.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotJudged => "not-judged",
            Self::Undecided => "undecided",
            Self::Violated => "violated",
        }
    }

    /// What is said of a rule in summaries from before it was judged.
    pub(crate) const fn not_judged() -> Self {
        Self::NotJudged
    }
}

/// The worst of the verdicts.
pub fn overall(verdicts: &Verdicts) -> Standing {
    Standing::of_all(verdicts.named().map(|(_, verdict)| Standing::from(verdict)))
}

/// The question that a verdict answers, for people.
pub fn question(name: &str) -> &'static str {
    match name {
        "linearizable" => {
            "Every answer fits one order of the operations, each between its sending and its answer."
        }
        "lease-reads" => "The same, with the reads by lease among the operations.",
        "log-agreement" => {
            "All replicas applied the same entries in the same order, restarts included."
        }
        "state-agreement" => "Replicas that applied the same entries held the same state.",
        "commit-monotonic" => {
            "What was committed stayed committed, over restarts and from leader to leader."
        }
        "no-lost-acks" => "Every acknowledged write stands in the log.",
        "exactly-once" => "Every command took effect at most once, retries included.",
        "election-safety" => "Every epoch had at most one leader.",
        "stale-reads" => {
            "Every stale read saw something that was once written; no more is promised to it."
        }
        "converged" => {
            "After the last fault all members followed one leader and knew what was committed."
        }
        "not-vacuous" => {
            "There was something to judge: operations overlapped, faults met them, and leaders that \
             died had successors."
        }
        _ => "",
    }
}
