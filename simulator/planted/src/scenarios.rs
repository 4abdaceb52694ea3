//! Which directed scenario catches a mistake, whatever seeds do.

use std::{collections::BTreeMap, fs, path::Path};

use pitfalls::{Kind, PitfallError, document, tables};

/// For each room of a protocol and each pitfall the scenario that was seen to fail without its rule.
///
/// # Errors
///
/// If a table cannot be read, or its room's page is not what the tool `pitfalls` writes of it: it writes
/// that only once it saw each scenario fail.
pub fn seen(house: &Path) -> Result<BTreeMap<(String, String), String>, PitfallError> {
    let mut seen = BTreeMap::new();
    for table in tables(house)?.into_iter().filter(|table| table.kind == Kind::Pitfalls) {
        let page = house.join(&table.room).join(table.kind.page());
        let told = fs::read_to_string(&page);
        let told = told.map_err(|source| PitfallError::Io { path: page.clone(), source })?;
        if told != document(&table) {
            let why = format!(
                "{} is not what was seen: run `cargo run -p pitfalls -- {}`",
                page.display(),
                table.room
            );
            return Err(PitfallError::Table(why));
        }
        for rule in &table.rules {
            let scenario = rule.scenario.to_string();
            seen.insert((table.room.clone(), rule.mistake.clone()), scenario);
        }
    }
    Ok(seen)
}
