//! A schedule as a person would write it: without what is as usual anyway, a step in a few lines.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::{
    Schedule,
    paths::{self, Part},
};

/// What stands at the top, even if it is as usual: a reader asks for it first.
const ALWAYS: [&str; 2] = ["name", "nodes"];

impl Schedule {
    /// The schedule as short TOML, to be read back by [`Schedule::parse`]: what is as usual is left
    /// out.
    pub fn to_short_toml(&self) -> String {
        let mut table = self.to_table();
        let names: Vec<_> = table.keys().cloned().collect();
        for name in names.iter().filter(|name| !ALWAYS.contains(&name.as_str())) {
            self.leave_out(&mut table, &mut vec![Part::Field(name.clone())]);
        }
        write(&table)
    }

    /// The schedule as a table.
    pub(crate) fn to_table(&self) -> Table {
        Table::try_from(self).expect("a schedule holds nothing that TOML cannot write")
    }

    /// The schedule that a table says, if it is a sound one.
    pub(crate) fn from_table(table: &Table) -> Option<Self> {
        let mut schedule: Self = table.clone().try_into().ok()?;
        schedule.name_steps();
        schedule.check().is_ok().then_some(schedule)
    }

    /// Leaves out what stands at this path, or what below it can be left out, if that says the same.
    fn leave_out(&self, table: &mut Table, path: &mut Vec<Part>) {
        let whole = table.clone();
        if paths::remove(table, path) && Self::from_table(table).as_ref() == Some(self) {
            return;
        }
        *table = whole;
        for part in paths::parts(paths::get(table, path)) {
            path.push(part);
            self.leave_out(table, path);
            path.pop();
        }
    }
}

/// Writes a schedule's table: plain values first, then the sections, then the steps.
fn write(table: &Table) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        writeln!(text, "{name} = {value}").expect("a string can always be written to");
    };
    for (name, value) in table.iter().filter(|(name, value)| !is_section(name, value)) {
        line(name, &inline(value));
    }
    for (name, value) in table.iter().filter(|(name, value)| is_section(name, value)) {
        let headed: Vec<_> = match value {
            Value::Array(steps) => steps.iter().map(|step| (format!("[[{name}]]"), step)).collect(),
            _ => vec![(format!("[{name}]"), value)],
        };
        for (header, section) in headed {
            writeln!(text, "\n{header}").expect("a string can always be written to");
            for (name, value) in section.as_table().into_iter().flatten() {
                writeln!(text, "{} = {}", key(name), inline(value))
                    .expect("a string can always be written to");
            }
        }
    }
    text
}

/// Whether it is written below a header of its own.
fn is_section(name: &str, value: &Value) -> bool {
    match value {
        Value::Table(_) => name != "load",
        Value::Array(items) => items.iter().all(Value::is_table) && !items.is_empty(),
        _ => false,
    }
}

/// A value in one line.
fn inline(value: &Value) -> String {
    match value {
        Value::Table(table) => {
            let fields: Vec<_> = table
                .iter()
                .map(|(name, value)| format!("{} = {}", key(name), inline(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        plain => plain.to_string(),
    }
}

/// A key, quoted where it must be.
fn key(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if plain { name.to_owned() } else { Value::from(name).to_string() }
}
