//! Removes each rule that published implementations got wrong, one at a time, from a copy of the
//! house, and sees its scenario fail; then writes each protocol's table, `PITFALLS.md`.
//!
//! `cargo run -p pitfalls` takes about ten minutes on two cores, and the first time some more to build
//! what the rooms depend on. With words, only the pitfalls that
//! contain one of them are tried, or those of the protocol that one of them names, and nothing is
//! written.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use pitfalls::{
    PitfallError, ROOMS, Rule, check, document,
    house::{House, Removal},
    rules,
};

fn main() -> ExitCode {
    let words: Vec<_> = env::args().skip(1).collect();
    match try_all(&words) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(unguarded) => {
            eprintln!("{unguarded} rule(s) can be removed without their scenario noticing");
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
    let target = env::var_os("CARGO_TARGET_DIR").map_or(house.join("target"), PathBuf::from);
    let copy = House::copy(&house, &target)?;
    let mut tables = Vec::new();
    for room in ROOMS {
        let rules = rules(&house, room)?;
        if words.is_empty() {
            check(&house, room, &rules)?;
        }
        tables.push((room, rules));
    }
    let mut unguarded = 0;
    for (room, rules) in &tables {
        let asked: Vec<_> = rules.iter().filter(|rule| is_asked(words, room, rule)).collect();
        for rule in &asked {
            copy.passes(room, rule)?;
        }
        for rule in asked {
            let removal = copy.without(room, rule)?;
            unguarded += usize::from(!matches!(removal, Removal::Failed(_)));
            println!("{room}: {}: {removal}", rule.pitfall);
        }
    }
    if words.is_empty() && unguarded == 0 {
        for (room, rules) in &tables {
            let path = house.join(room).join("PITFALLS.md");
            fs::write(&path, document(room, rules))
                .map_err(|source| PitfallError::Io { path, source })?;
        }
    }
    Ok(unguarded)
}

fn is_asked(words: &[String], room: &str, rule: &Rule) -> bool {
    words.is_empty() || words.iter().any(|word| rule.pitfall.contains(word) || word == room)
}
