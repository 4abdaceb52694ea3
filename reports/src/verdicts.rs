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
    /// Nobody knows.
    Undecided,
    /// The rule was broken.
    Violated,
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Undecided => "undecided",
            Self::Violated => "violated",
        })
    }
}

impl From<&Verdict> for Standing {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Ok => Self::Ok,
            Verdict::Undecided(_) => Self::Undecided,
            Verdict::Violated(_) => Self::Violated,
        }
    }
}

/// The worst of the verdicts.
pub fn overall(verdicts: &Verdicts) -> Standing {
    let standings = verdicts.named().map(|(_, verdict)| Standing::from(verdict));
    standings.into_iter().max().unwrap_or(Standing::Ok)
}

/// The question that a verdict answers, for people.
pub fn question(name: &str) -> &'static str {
    match name {
        "linearizable" => {
            "Every answer fits one order of the operations, each between its sending and its answer."
        }
        "log-agreement" => {
            "All replicas applied the same entries in the same order, restarts included."
        }
        "no-lost-acks" => "Every acknowledged write stands in the log.",
        "exactly-once" => "Every command took effect at most once, retries included.",
        "election-safety" => "Every epoch had at most one leader.",
        "stale-reads" => {
            "Every stale read saw something that was once written; no more is promised to it."
        }
        _ => "",
    }
}
