//! What was caught, in short: the smallest schedule found that still shows each mistake.
//!
//! Each is a schedule of its own in `caught`, and `caught/index.toml` says what it shows, and under which
//! conditions and which seed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use faults::{Schedule, shrink::shrink};
use serde::{Deserialize, Serialize};

use crate::{
    conditions::Conditions,
    finding::{Catch, examine},
    plant::Plant,
};

/// A mistake, and how it is seen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caught {
    /// The mistake.
    pub mistake: String,
    /// The protocol's name.
    pub protocol: String,
    /// The schedule's file, in the folder of all.
    pub file: PathBuf,
    /// The conditions beside the schedule.
    pub conditions: String,
    /// The seed.
    pub seed: u64,
    /// What breaks: a verdict, `invariant` or `liveness`.
    pub breaks: String,
}

/// All that was caught.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// One for each mistake in each protocol that seeds show.
    #[serde(default)]
    pub caught: Vec<Caught>,
}

impl Index {
    /// Reads what stands in a folder.
    ///
    /// # Errors
    ///
    /// If there is nothing, or it makes no sense.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(folder.join("index.toml"))?;
        toml::from_str(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Writes it beside the schedules.
    ///
    /// # Errors
    ///
    /// If the folder cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let text = toml::to_string(self).expect("names and numbers are TOML");
        let head = "# Written with the scoreboard: what each schedule here shows, and under which seed.\n\n";
        fs::write(folder.join("index.toml"), format!("{head}{text}"))
    }
}

/// The smallest schedule found that still shows a mistake, in so many tries, and under which the protocol
/// without it is clean.
pub fn small(plant: &Plant, conditions: &Conditions, catch: &Catch, tries: usize) -> Schedule {
    let breaks = plant.shown_in(&catch.finding);
    let still = |schedule: &Schedule| {
        let found = |simulate| examine(simulate, conditions, schedule.clone(), catch.seed);
        found(plant.wrong).is_some_and(|found| found.breaks(breaks)) && found(plant.right).is_none()
    };
    let whole = conditions.schedule(catch.seed);
    shrink(&whole, tries, still).map_or(whole, |shrunk| shrunk.schedule)
}

/// The file of a mistake in a protocol.
pub fn file(plant: &Plant) -> PathBuf {
    let letters = plant.mistake.chars().map(|c| if c.is_alphanumeric() { c } else { '-' });
    let words: String = letters.collect();
    let words: Vec<_> = words.split('-').filter(|word| !word.is_empty()).collect();
    format!("{}-{}.toml", plant.subject.name(), words.join("-")).into()
}
