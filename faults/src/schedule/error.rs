//! What is wrong with a schedule, said so that a person can mend it: file, line, field, why.

use std::{fmt, ops::Range};

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::{
    fault::{
        Crash, Delete, Kind, Link, Partition, Pause, Put, Reconfigure, Restart, Slow, Surge,
        Transfer,
    },
    hardware::{Clock, Disk},
};

/// What is wrong with a schedule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {}{}", Place { file, line: *line }, Quoted(field), why)]
pub struct ScheduleError {
    /// The file, or the name of a schedule that did not come from one.
    pub file: String,
    /// The line, from 1, if the text is at hand.
    pub line: Option<usize>,
    /// The field, from the top: `step[2].fault.target`, the second step's. Empty if the text is no
    /// TOML.
    pub field: String,
    /// Why it is refused.
    pub why: String,
}

/// `file:line`, or the file alone.
struct Place<'a> {
    file: &'a str,
    line: Option<usize>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(self.file),
        }
    }
}

/// A field's name and a colon, or nothing.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "`{}`: ", self.0) }
    }
}

/// Trouble with a field of a schedule, before it is known where in a text that field stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Trouble {
    /// The way to the field.
    pub path: Path,
    /// Why it is refused.
    pub why: String,
}

impl Trouble {
    /// Finds the field in the text.
    pub fn locate(self, file: &str, text: &str) -> ScheduleError {
        let root = DeTable::parse(text).ok();
        let line = root.map(|root| line_of(text, find(root.get_ref(), &self.path.0).start));
        let (file, field) = (file.to_owned(), self.path.to_string());
        ScheduleError { file, line, field, why: self.why }
    }

    /// For a schedule that has no text.
    pub fn without_file(self, name: &str) -> ScheduleError {
        let (file, field) = (name.to_owned(), self.path.to_string());
        ScheduleError { file, line: None, field, why: self.why }
    }
}

/// The way from the top of a document to a field.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Path(Vec<Part>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Field(String),
    Item(usize),
}

impl Path {
    /// The path to a field below this one.
    pub fn field(&self, name: &str) -> Self {
        self.with(Part::Field(name.to_owned()))
    }

    /// The path to an item, from 0, of this list.
    pub fn item(&self, position: usize) -> Self {
        self.with(Part::Item(position))
    }

    fn with(&self, part: Part) -> Self {
        Self(self.0.iter().cloned().chain([part]).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, part) in self.0.iter().enumerate() {
            match part {
                Part::Field(name) if position == 0 => f.write_str(name)?,
                Part::Field(name) => write!(f, ".{name}")?,
                // People count from one.
                Part::Item(item) => write!(f, "[{}]", item + 1)?,
            }
        }
        Ok(())
    }
}

/// Explains why a text could not be read at all.
pub(super) fn explain(file: &str, text: &str, error: &toml::de::Error) -> ScheduleError {
    let root = DeTable::parse(text).ok();
    // A fault is read in two passes, by its kind, and the first forgets where its fields stand.
    let precise = root.as_ref().and_then(|root| mistaken_fault(root.get_ref()));
    let error = precise.as_ref().unwrap_or(error);
    let start = error.span().map(|span| span.start);
    let field = root.as_ref().zip(start).map(|(root, at)| path_to(root.get_ref(), at).to_string());
    let line = start.map(|start| line_of(text, start));
    let why = error.message().lines().collect::<Vec<_>>().join("; ");
    ScheduleError { file: file.to_owned(), line, field: field.unwrap_or_default(), why }
}

/// The first thing wrong with the fields of a fault whose kind is known.
fn mistaken_fault(root: &DeTable<'_>) -> Option<toml::de::Error> {
    let steps = get(root, "step")?.1.get_ref().as_array()?;
    let faults = steps.iter().filter_map(|step| get(step.get_ref().as_table()?, "fault"));
    faults.filter_map(|(_, fault)| read_by_kind(fault).err()).next()
}

/// Reads one fault with its fields' places kept.
fn read_by_kind(fault: &Spanned<DeValue<'_>>) -> Result<(), toml::de::Error> {
    let Some(table) = fault.get_ref().as_table() else { return Ok(()) };
    let Some(kind) = get(table, "kind").and_then(|(_, kind)| kind.get_ref().as_str()) else {
        return Ok(());
    };
    let rest = table.iter().filter(|(key, _)| key.get_ref() != "kind");
    let rest: DeTable<'_> = rest.map(|(key, value)| (key.clone(), value.clone())).collect();
    let value = ValueDeserializer::from(Spanned::new(fault.span(), DeValue::Table(rest)));
    match Kind::ALL.into_iter().find(|known| known.keyword() == kind || known.alias() == Some(kind))
    {
        Some(Kind::Crash) => Crash::deserialize(value).map(drop),
        Some(Kind::Restart | Kind::LostDisk) => Restart::deserialize(value).map(drop),
        Some(Kind::Delete | Kind::LostVolume) => Delete::deserialize(value).map(drop),
        Some(Kind::Pause) => Pause::deserialize(value).map(drop),
        Some(Kind::Slow) => Slow::deserialize(value).map(drop),
        Some(Kind::Load) => Surge::deserialize(value).map(drop),
        Some(Kind::Partition) => Partition::deserialize(value).map(drop),
        Some(Kind::Link) => Link::deserialize(value).map(drop),
        Some(Kind::Put) => Put::deserialize(value).map(drop),
        Some(Kind::Reconfigure) => Reconfigure::deserialize(value).map(drop),
        Some(Kind::Transfer) => Transfer::deserialize(value).map(drop),
        Some(
            Kind::SlowDisk
            | Kind::StalledDisk
            | Kind::DiskError
            | Kind::FullDisk
            | Kind::TornRecord
            | Kind::BitRot,
        ) => Disk::deserialize(value).map(drop),
        Some(Kind::ClockJump | Kind::ClockRate) => Clock::deserialize(value).map(drop),
        None => Ok(()),
    }
}

/// The deepest field at this byte.
fn path_to(table: &DeTable<'_>, at: usize) -> Path {
    let mut path = Path::default();
    let mut table = Some(table);
    while let Some(fields) = table.take() {
        let hit = fields.iter().find(|(key, value)| key.span().contains(&at) || holds(value, at));
        let Some((key, value)) = hit else { break };
        path = path.field(key.get_ref());
        if key.span().contains(&at) {
            break;
        }
        let mut value = value.get_ref();
        while let Some(position) =
            value.as_array().and_then(|items| items.iter().position(|item| holds(item, at)))
        {
            path = path.item(position);
            value = value.as_array().expect("it was one just now")[position].get_ref();
        }
        table = value.as_table();
    }
    path
}

/// Whether a value covers this byte, itself or by what is in it: a table written with a header, or a
/// list of such, spans no more than its headers.
fn holds(value: &Spanned<DeValue<'_>>, at: usize) -> bool {
    value.span().contains(&at)
        || match value.get_ref() {
            DeValue::Table(table) => {
                table.iter().any(|(key, value)| key.span().contains(&at) || holds(value, at))
            }
            DeValue::Array(items) => items.iter().any(|item| holds(item, at)),
            _ => false,
        }
}

/// Where a field stands, or the nearest thing around it that is written down.
fn find(root: &DeTable<'_>, path: &[Part]) -> Range<usize> {
    let mut place = 0..0;
    let mut within: Option<&DeValue<'_>> = None;
    for part in path {
        let found = match part {
            Part::Field(name) => {
                let table = within.map_or(Some(root), |value| value.as_table());
                table.and_then(|table| get(table, name)).map(|(key, value)| (key.span(), value))
            }
            Part::Item(item) => {
                let list = within.and_then(|value| value.as_array());
                list.and_then(|list| list.get(*item)).map(|value| (value.span(), value))
            }
        };
        let Some((span, value)) = found else { break };
        (place, within) = (span, Some(value.get_ref()));
    }
    place
}

/// A field of a table, with its key.
fn get<'a, 'i>(
    table: &'a DeTable<'i>,
    name: &str,
) -> Option<(&'a Spanned<toml::de::DeString<'i>>, &'a Spanned<DeValue<'i>>)> {
    table.iter().find(|(key, _)| key.get_ref() == name)
}

/// The line, from 1, of a byte.
fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1
}

impl ScheduleError {
    /// For a text that could not be read.
    pub(crate) fn unreadable(file: &str, text: &str, error: &toml::de::Error) -> Self {
        explain(file, text, error)
    }
}
