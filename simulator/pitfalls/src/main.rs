//! Makes each mistake that the rooms' tables know, one at a time, in a copy of the house, and sees its
//! test fail; then writes what the rooms' documentation says of it: `PITFALLS.md` for the rules that
//! published implementations got wrong, `MUTATIONS.md` for a room's own.
//!
//! `cargo run -p pitfalls` takes about ten minutes on two cores, and the first time some more to build
//! what the rooms depend on. With words, only the mistakes that contain one of them are tried, or those
//! of the rooms that one of them names: `cargo run -p pitfalls -- checker`. Pages are written of those
//! tables that were tried as a whole.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use pitfalls::{
    PitfallError, Rule, Table, check, document,
    house::{House, Removal},
    tables,
};

fn main() -> ExitCode {
    let words: Vec<_> = env::args().skip(1).collect();
    match try_all(&words) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(unguarded) => {
            eprintln!("{unguarded} mistake(s) can be made without their test noticing");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn try_all(words: &[String]) -> Result<usize, PitfallError> {
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let house = house.canonicalize().unwrap_or(house);
    let tables = tables(&house)?;
    for table in &tables {
        check(&house, table)?;
    }
    let asked: Vec<(&Table, Vec<&Rule>)> = tables
        .iter()
        .map(|table| (table, asked(words, table)))
        .filter(|(_, rules)| !rules.is_empty())
        .collect();
    if asked.is_empty() {
        return Err(PitfallError::Table(format!("no room and no mistake is called {words:?}")));
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or(house.join("target"), PathBuf::from);
    let copy = House::copy(&house, &target)?;
    let mut unguarded = 0;
    for (table, rules) in asked {
        let in_table = try_table(&copy, table, &rules)?;
        if in_table == 0 && rules.len() == table.rules.len() {
            let path = house.join(&table.room).join(table.kind.page());
            fs::write(&path, document(table))
                .map_err(|source| PitfallError::Io { path, source })?;
        }
        unguarded += in_table;
    }
    Ok(unguarded)
}

/// Makes these mistakes, and says how many nobody noticed.
fn try_table(copy: &House, table: &Table, rules: &[&Rule]) -> Result<usize, PitfallError> {
    let mut seen_to_pass = BTreeSet::new();
    for rule in rules {
        if seen_to_pass.insert(&rule.scenario) {
            copy.passes(table, rule)?;
        }
    }
    let mut unguarded = 0;
    for rule in rules {
        let removal = copy.without(table, rule)?;
        unguarded += usize::from(!matches!(removal, Removal::Failed(_)));
        println!("{}: {}: {removal}", table.room, rule.mistake);
    }
    Ok(unguarded)
}

fn asked<'a>(words: &[String], table: &'a Table) -> Vec<&'a Rule> {
    let is_named = |word: &String| *word == table.room || word == table.package();
    let whole = words.is_empty() || words.iter().any(is_named);
    let rules = table.rules.iter();
    rules.filter(|rule| whole || words.iter().any(|word| rule.mistake.contains(word))).collect()
}
