//! The tables of the rooms, and where they stand.

use std::path::Path;

use serde::Deserialize;

use crate::{PitfallError, Rule, read};

/// What a table is about, and so where it and what is written of it stand in the room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Rules that published implementations got wrong: the same ones in every protocol.
    Pitfalls,
    /// Whatever somebody could break in this room.
    Mutations,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Pitfalls, Self::Mutations];

    /// The table's file in the room.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Pitfalls => "tests/pitfalls.toml",
            Self::Mutations => "tests/mutations.toml",
        }
    }

    /// The file in the room that documents it.
    pub const fn page(self) -> &'static str {
        match self {
            Self::Pitfalls => "PITFALLS.md",
            Self::Mutations => "MUTATIONS.md",
        }
    }
}

/// One room's table of one kind.
#[derive(Clone, Debug)]
pub struct Table {
    /// The room's folder, from the house's root.
    pub room: String,
    /// What it is about.
    pub kind: Kind,
    /// Its rules, in its order.
    pub rules: Vec<Rule>,
}

impl Table {
    /// The room's package: every folder has the name of its package.
    pub fn package(&self) -> &str {
        self.room.rsplit('/').next().unwrap_or(&self.room)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rule: Vec<Rule>,
}

/// All tables of all rooms.
///
/// # Errors
///
/// If one of them cannot be read.
pub fn tables(house: &Path) -> Result<Vec<Table>, PitfallError> {
    let mut tables = Vec::new();
    for room in members(house)? {
        for kind in Kind::ALL {
            let path = house.join(&room).join(kind.file());
            if path.is_file() {
                let written: Written = toml::from_str(&read(&path)?)
                    .map_err(|error| PitfallError::Table(format!("{}: {error}", path.display())))?;
                tables.push(Table { room: room.clone(), kind, rules: written.rule });
            }
        }
    }
    Ok(tables)
}

/// The folders of all rooms, as the house's manifest names them.
///
/// # Errors
///
/// If it cannot be read.
pub fn members(house: &Path) -> Result<Vec<String>, PitfallError> {
    #[derive(Deserialize)]
    struct Manifest {
        workspace: Workspace,
    }
    #[derive(Deserialize)]
    struct Workspace {
        members: Vec<String>,
    }
    let path = house.join("Cargo.toml");
    let manifest: Manifest = toml::from_str(&read(&path)?)
        .map_err(|error| PitfallError::House(format!("{}: {error}", path.display())))?;
    Ok(manifest.workspace.members)
}
