//! The ways through a schedule's table.

use toml::{Table, Value};

/// A step on the way to a value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Part {
    /// Into a table.
    Field(String),
    /// Into a list.
    Item(usize),
}

/// What stands at a path.
pub(crate) fn get<'a>(table: &'a Table, path: &[Part]) -> Option<&'a Value> {
    let (Part::Field(first), rest) = path.split_first()? else { return None };
    rest.iter().try_fold(table.get(first)?, |value, part| match part {
        Part::Field(name) => value.as_table()?.get(name),
        Part::Item(item) => value.as_array()?.get(*item),
    })
}

/// The place of what stands at a path.
pub(crate) fn get_mut<'a>(table: &'a mut Table, path: &[Part]) -> Option<&'a mut Value> {
    let (Part::Field(first), rest) = path.split_first()? else { return None };
    rest.iter().try_fold(table.get_mut(first)?, |value, part| match part {
        Part::Field(name) => value.as_table_mut()?.get_mut(name),
        Part::Item(item) => value.as_array_mut()?.get_mut(*item),
    })
}

/// Takes a field out; false if the path leads to no field.
pub(crate) fn remove(table: &mut Table, path: &[Part]) -> bool {
    let Some((Part::Field(name), way)) = path.split_last() else { return false };
    let parent = match way {
        [] => Some(table),
        _ => get_mut(table, way).and_then(Value::as_table_mut),
    };
    parent.is_some_and(|parent| parent.remove(name).is_some())
}

/// The ways on from a value.
pub(crate) fn parts(value: Option<&Value>) -> Vec<Part> {
    match value {
        Some(Value::Table(table)) => parts_of(table),
        Some(Value::Array(items)) => (0..items.len()).map(Part::Item).collect(),
        _ => Vec::new(),
    }
}

/// The ways into a table.
pub(crate) fn parts_of(table: &Table) -> Vec<Part> {
    table.keys().cloned().map(Part::Field).collect()
}
