//! What a room's documentation says of its table.

use std::{
    collections::BTreeSet,
    fmt::{self, Display, Formatter},
};

use crate::{Kind, Rule, Scenario, Table};

/// A table as its room's page has it.
pub fn document(table: &Table) -> String {
    let Table { room, kind, rules } = table;
    let mut text = match kind {
        Kind::Pitfalls => format!(
            "# Pitfalls\n\nRules that published implementations got wrong. Each has a scenario that fails \
             without it: written by\n`cargo run -p pitfalls`, which removes one rule at a time from a copy \
             of the code, as\n`{room}/{}` says, and sees the scenario fail.\n\n\
             | pitfall | the rule here | stands in | the scenario that fails without it |\n|---|---|---|---|\n",
            kind.file()
        ),
        Kind::Mutations => format!(
            "# Mutations\n\nWays to break this room on purpose, each with the test that fails then: written \
             by\n`cargo run -p pitfalls -- {room}`, which makes one mistake at a time in a copy of the code, \
             as\n`{room}/{}` says, and sees the test fail.\n\n\
             | mistake | the rule it breaks | made in | the test that fails |\n|---|---|---|---|\n",
            kind.file()
        ),
    };
    for Rule { mistake, rule, scenario, changes } in rules {
        let files: BTreeSet<_> =
            changes.iter().map(|change| format!("`{}`", change.file.display())).collect();
        let files = Vec::from_iter(files).join(", ");
        text += &format!("| {mistake} | {rule} | {files} | {scenario} |\n");
    }
    text
}

impl Display for Scenario {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transcript { scenario } => write!(f, "`{scenario}`"),
            Self::Test { package, file, test } => {
                write!(f, "`{test}`")?;
                file.iter().try_for_each(|file| write!(f, " in `tests/{file}.rs`"))?;
                package.iter().try_for_each(|package| write!(f, " of `{package}`"))
            }
        }
    }
}
