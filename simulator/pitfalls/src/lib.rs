//! The rules that published implementations got wrong, each with the scenario that fails without it.
//!
//! Each protocol's folder holds `tests/pitfalls.toml`: for every pitfall where in the code the rule
//! stands, what somebody would have written there who forgot it, and the scenario (a transcript, or a
//! test in the room where the rule lives) that then fails. [`check`] sees that the table is complete
//! and still fits the code; [`house::House`] copies the house, removes one rule at a time and runs the
//! scenario, which must pass with the rule and fail without it.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

pub mod house;

/// Every pitfall, in the order of the tables.
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

/// The folders of the protocols, each with its table.
pub const ROOMS: [&str; 2] = ["consensus-raft", "consensus-multipaxos"];

/// A rule, and what happens without it.
#[derive(Clone, Debug, Deserialize)]
pub struct Rule {
    /// Which of the [`PITFALLS`] it guards against.
    pub pitfall: String,
    /// The rule in this protocol's words, with its source.
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
    /// A test elsewhere in the house.
    Test {
        /// Its package.
        package: String,
        /// Its path in the package's library, as `cargo test` takes it.
        test: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    rule: Vec<Rule>,
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
    /// Without any change, the house does not build or a scenario fails.
    #[error("{0}")]
    House(String),
}

/// A protocol's rules, as its table has them.
///
/// # Errors
///
/// If there is no table that can be read.
pub fn rules(house: &Path, room: &str) -> Result<Vec<Rule>, PitfallError> {
    let path = house.join(room).join("tests/pitfalls.toml");
    let table: Table = toml::from_str(&read(&path)?)
        .map_err(|error| PitfallError::Table(format!("{}: {error}", path.display())))?;
    Ok(table.rule)
}

/// Sees that a protocol's table names every pitfall once and in order, that every scenario exists and
/// stands there once, and that every rule stands where the table says, exactly once.
///
/// # Errors
///
/// The first thing that is not so.
pub fn check(house: &Path, room: &str, rules: &[Rule]) -> Result<(), PitfallError> {
    let named: Vec<_> = rules.iter().map(|rule| rule.pitfall.as_str()).collect();
    if named != PITFALLS {
        let missing: Vec<_> = PITFALLS.iter().filter(|known| !named.contains(known)).collect();
        let why =
            format!("{room}: the table must name every pitfall once, in order; not: {missing:?}");
        return Err(PitfallError::Table(why));
    }
    let mut scenarios = BTreeSet::new();
    for rule in rules {
        if !scenarios.insert(&rule.scenario) {
            let why = format!("{room}: {:?} stands for two pitfalls", rule.scenario);
            return Err(PitfallError::Table(why));
        }
        if let Scenario::Transcript { scenario } = &rule.scenario {
            read(&house.join(room).join("tests/scenarios").join(scenario))?;
        }
        for change in &rule.changes {
            change
                .fits(house)
                .map_err(|why| PitfallError::Table(format!("{room}: {}: {why}", rule.pitfall)))?;
        }
    }
    Ok(())
}

impl Change {
    fn fits(&self, house: &Path) -> Result<(), String> {
        let Self { file, right, wrong } = self;
        let text = read(&house.join(file)).map_err(|error| error.to_string())?;
        match text.matches(right.as_str()).count() {
            1 if right != wrong => Ok(()),
            1 => Err(format!("`{right}` is not changed")),
            times => Err(format!("`{right}` stands {times} times in {}, not once", file.display())),
        }
    }
}

/// A protocol's table for its documentation.
pub fn document(room: &str, rules: &[Rule]) -> String {
    let mut text = format!(
        "# Pitfalls\n\nRules that published implementations got wrong. Each has a scenario that fails \
         without it: written by\n`cargo run -p pitfalls`, which removes one rule at a time from a copy \
         of the code, as\n`{room}/tests/pitfalls.toml` says, and sees the scenario fail.\n\n\
         | pitfall | the rule here | stands in | the scenario that fails without it |\n|---|---|---|---|\n",
    );
    for Rule { pitfall, rule, scenario, changes } in rules {
        let scenario = match scenario {
            Scenario::Transcript { scenario } => format!("`{scenario}`"),
            Scenario::Test { package, test } => format!("`{test}` of `{package}`"),
        };
        let files: BTreeSet<_> =
            changes.iter().map(|change| format!("`{}`", change.file.display())).collect();
        let files = Vec::from_iter(files).join(", ");
        text += &format!("| {pitfall} | {rule} | {files} | {scenario} |\n");
    }
    text
}

pub(crate) fn read(path: &Path) -> Result<String, PitfallError> {
    fs::read_to_string(path).map_err(failed(path))
}

pub(crate) fn failed(path: &Path) -> impl Fn(io::Error) -> PitfallError {
    let path = path.to_owned();
    move |source| PitfallError::Io { path: path.clone(), source }
}
