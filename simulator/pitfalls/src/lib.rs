//! Mistakes, each with the test that fails once it is made.
//!
//! Two kinds of tables say which. Each protocol's folder holds `tests/pitfalls.toml`: for every pitfall
//! that published implementations fell into, where in the code the rule against it stands, what somebody
//! would have written there who forgot it, and the scenario (a transcript, or a test in the room where
//! the rule lives) that then fails. And any room may hold `tests/mutations.toml`, whose mistakes are its
//! own: so the tools that judge the protocols are themselves seen to fail when they are broken on purpose.
//!
//! [`check`] sees that a table is complete and still fits the code; [`house::House`] copies the house,
//! makes one mistake at a time and runs the test, which must pass without the mistake and fail with it;
//! [`document`] is what the room's documentation says of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

mod document;
pub mod house;
mod table;

pub use document::document;
pub use table::{Kind, Table, members, tables};

/// Every pitfall, in the order of the protocols' tables.
pub const PITFALLS: [&str; 23] = [
    "commit only own-epoch entries by counting",
    "term and vote in one atomic record",
    "merely seeing a vote for someone is not being granted",
    "truncate only from the first conflict, never at or below commit",
    "a cached quorum order must not commit on a minority",
    "a read before the leader's first own-epoch commit",
    "reused read contexts",
    "a restarted voter forgets that it granted a lease",
    "the lease ends before a transfer",
    "a membership change waits for an own-epoch commit",
    "removed servers must not disrupt",
    "leaving a recovered, uncommitted configuration",
    "a minority leader's heartbeats pinning a bridge node",
    "a ballot or term reused after a crash",
    "a vote that hides what is chosen lets a lagging leader choose twice",
    "an acknowledgement built with a later epoch than the one accepted under",
    "holes never filled",
    "a snapshot against slots in flight",
    "a restart in the middle of an install",
    "rejoining with a lost disk under the old identity",
    "a sync's completion matched by position alone",
    "a session that expires before the client's retry",
    "a torn last record is cut, a damaged middle record never voted over",
];

/// A rule, and what happens without it.
#[derive(Clone, Debug, Deserialize)]
pub struct Rule {
    /// What goes wrong without it; in a protocol's table, one of the [`PITFALLS`].
    #[serde(alias = "pitfall")]
    pub mistake: String,
    /// The rule in the room's words; in a protocol's table, with its source.
    pub rule: String,
    /// What fails without it.
    #[serde(flatten)]
    pub scenario: Scenario,
    /// How it is removed.
    #[serde(rename = "change")]
    pub changes: Vec<Change>,
}

/// A place in the code that says a rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its file, from the house's root.
    pub file: PathBuf,
    /// What stands there, once.
    pub right: String,
    /// What would stand there without the rule.
    pub wrong: String,
}

/// What fails without a rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(untagged)]
pub enum Scenario {
    /// A transcript of the protocol's own.
    Transcript {
        /// Its name below `tests/scenarios`.
        scenario: String,
    },
    /// Any test of the house.
    Test {
        /// Its package; `None`: the room's own.
        package: Option<String>,
        /// Its file below `tests`, without the ending; `None`: it stands in the library.
        #[serde(rename = "in")]
        file: Option<String>,
        /// Its path there, as `cargo test` takes it.
        test: String,
    },
}

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PitfallError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The table is not one.
    #[error("{0}")]
    Table(String),
    /// Without any mistake, the house does not build or a test fails.
    #[error("{0}")]
    House(String),
}

/// Sees that a table names every mistake once, that every scenario exists, and that every rule stands
/// where the table says, exactly once. A protocol's must name every pitfall, in order, each with a
/// scenario that stands for no other.
///
/// # Errors
///
/// The first thing that is not so.
pub fn check(house: &Path, table: &Table) -> Result<(), PitfallError> {
    let wrong = |why: String| PitfallError::Table(format!("{}: {why}", table.room));
    let named: Vec<_> = table.rules.iter().map(|rule| rule.mistake.as_str()).collect();
    if table.kind == Kind::Pitfalls && named != PITFALLS {
        let missing: Vec<_> = PITFALLS.iter().filter(|known| !named.contains(known)).collect();
        let why = format!("the table must name every pitfall once, in order; not: {missing:?}");
        return Err(wrong(why));
    }
    let (mut mistakes, mut scenarios) = (BTreeSet::new(), BTreeSet::new());
    for rule in &table.rules {
        if !mistakes.insert(&rule.mistake) {
            return Err(wrong(format!("{} stands there twice", rule.mistake)));
        }
        if !scenarios.insert(&rule.scenario) && table.kind == Kind::Pitfalls {
            return Err(wrong(format!("{:?} stands for two pitfalls", rule.scenario)));
        }
        if let Scenario::Transcript { scenario } = &rule.scenario {
            read(&house.join(&table.room).join("tests/scenarios").join(scenario))?;
        }
        if rule.changes.is_empty() {
            return Err(wrong(format!("{}: nothing is changed", rule.mistake)));
        }
        changed(house, &rule.changes).map_err(|why| wrong(format!("{}: {why}", rule.mistake)))?;
    }
    Ok(())
}

impl Change {
    /// The text of its file with the change made.
    ///
    /// # Errors
    ///
    /// If what is to be changed does not stand there exactly once: the code has changed, and the
    /// table must follow it, or it would change nothing.
    pub fn apply(&self, text: &str) -> Result<String, PitfallError> {
        let Self { file, right, wrong } = self;
        let refuse = |why| Err(PitfallError::Table(format!("{}: `{right}` {why}", file.display())));
        match text.matches(right.as_str()).count() {
            1 if right != wrong => Ok(text.replacen(right, wrong, 1)),
            1 => refuse("is not changed".to_owned()),
            times => refuse(format!("stands there {times} times, not once")),
        }
    }
}

/// The files of a rule as they are without it: each with the house's path, and its text once every
/// change was made.
///
/// # Errors
///
/// If a file cannot be read, or a change no longer fits it.
pub fn changed(
    house: &Path,
    changes: &[Change],
) -> Result<BTreeMap<PathBuf, String>, PitfallError> {
    let mut texts = BTreeMap::new();
    for change in changes {
        let text = match texts.remove(&change.file) {
            Some(text) => text,
            None => read(&house.join(&change.file))?,
        };
        texts.insert(change.file.clone(), change.apply(&text)?);
    }
    Ok(texts)
}

pub(crate) fn read(path: &Path) -> Result<String, PitfallError> {
    fs::read_to_string(path).map_err(failed(path))
}

pub(crate) fn failed(path: &Path) -> impl Fn(io::Error) -> PitfallError {
    let path = path.to_owned();
    move |source| PitfallError::Io { path: path.clone(), source }
}
