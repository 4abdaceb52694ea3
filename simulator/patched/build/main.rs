//! Copies the protocols, and removes one rule from each copy.
//!
//! Every change of every table is made, whether its copy is compiled or not: one that no longer
//! fits the code stops the build. Compiled are a handful, for the tests; with `PLANTED=all` in the
//! environment all of them, and with `PLANTED=words,others` those whose names contain one of these.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use pitfalls::{Change, Kind, PitfallError, changed, tables};
use serde::Deserialize;

mod relocate;

use relocate::{relocate, without_documents, without_tests};

/// The copies that are compiled if nobody asks for others: what the tests look for.
const HANDFUL: [&str; 4] = [
    "a commit on a minority",
    "a read served by a deposed leader",
    "the lease ends before a transfer",
    "a restart in the middle of an install",
];

/// The variable of the environment that asks for other copies.
const WISH: &str = "PLANTED";

/// The protocols: their folders, and their types.
const PROTOCOLS: [(&str, &str); 2] =
    [("consensus-raft", "Raft"), ("consensus-multipaxos", "MultiPaxos")];

/// A mistake in a protocol.
struct Mistake {
    name: String,
    room: &'static str,
    kind: &'static str,
    changes: Vec<Change>,
}

/// `mistakes.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    mistake: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    room: String,
    change: Vec<Change>,
}

fn main() {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let house = here.join("../..");
    let out = PathBuf::from(variable("OUT_DIR"));
    println!("cargo::rerun-if-env-changed={WISH}");
    let wish = env::var(WISH).unwrap_or_default();
    let (mut modules, mut visits) = (String::new(), String::new());
    for mistake in mistakes(&house, &here).unwrap_or_else(|error| panic!("{error}")) {
        let texts = changed(&house, &mistake.changes);
        let texts = texts.unwrap_or_else(|error| panic!("{}: {error}", mistake.name));
        texts.keys().for_each(|file| watch(&house.join(file)));
        let sources = Path::new(mistake.room).join("src");
        let is_copied = texts.keys().all(|file| file.starts_with(&sources));
        if !is_copied || !mistake.is_wanted(&wish) {
            continue;
        }
        let (Mistake { name, room, kind, .. }, module) = (&mistake, mistake.module());
        let copied = copy_folder(&house, &sources, &out.join(&module), &module, &texts);
        copied.unwrap_or_else(|error| panic!("{module}: {error}"));
        let path = out.join(&module).join("lib.rs");
        modules += &format!("#[path = {path:?}]\nmod {module};\n");
        visits += &format!("    visitor.visit::<{module}::{kind}>({room:?}, {name:?});\n");
    }
    let text = format!(
        "{modules}\n/// Shows every copy to a visitor.\npub fn visit(visitor: &mut impl Visitor) {{\n{visits}}}\n"
    );
    fs::write(out.join("copies.rs"), text).expect("the build's own folder can be written");
    PROTOCOLS.iter().for_each(|(room, _)| watch(&house.join(room).join("src")));
    watch(&here.join("build"));
}

/// The rules of the pitfalls' tables, and this crate's own; where both name one for a protocol, this
/// crate's is taken.
fn mistakes(house: &Path, here: &Path) -> Result<Vec<Mistake>, PitfallError> {
    let path = here.join("mistakes.toml");
    watch(&path);
    let text = fs::read_to_string(&path).expect("the table stands beside the build script");
    let table: Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    let of = |room: &str, name: String, changes| {
        let known = PROTOCOLS.into_iter().find(|(known, _)| *known == room);
        let (room, kind) = known.unwrap_or_else(|| panic!("{name}: no protocol's room is {room}"));
        Mistake { name, room, kind, changes }
    };
    let own = table.mistake.into_iter();
    let mut mistakes: Vec<_> =
        own.map(|Entry { name, room, change }| of(&room, name, change)).collect();
    for table in tables(house)?.into_iter().filter(|table| table.kind == Kind::Pitfalls) {
        watch(&house.join(&table.room).join(table.kind.file()));
        for rule in table.rules {
            let mistake = of(&table.room, rule.mistake, rule.changes);
            let same = |known: &Mistake| known.name == mistake.name && known.room == mistake.room;
            if mistakes.iter().any(same) {
                changed(house, &mistake.changes)?;
                continue;
            }
            mistakes.push(mistake);
        }
    }
    Ok(mistakes)
}

impl Mistake {
    /// Whether its copy shall be compiled.
    fn is_wanted(&self, wish: &str) -> bool {
        match wish {
            "" => HANDFUL.contains(&self.name.as_str()),
            "all" => true,
            words => words.split(',').any(|word| self.name.contains(word)),
        }
    }

    /// The name of the module that holds its copy.
    fn module(&self) -> String {
        let letters = self.name.chars();
        let plain = letters.map(|c| if c.is_alphanumeric() { c } else { '_' });
        format!("{}_{}", self.kind.to_lowercase(), plain.collect::<String>())
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

/// Copies a folder of the house to where a module's files lie, with these texts in the place of
/// what stands there.
fn copy_folder(
    house: &Path,
    from: &Path,
    to: &Path,
    module: &str,
    texts: &BTreeMap<PathBuf, String>,
) -> io::Result<()> {
    // What an earlier version of the crate left must not be compiled again.
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to)?;
    for item in fs::read_dir(house.join(from))? {
        let item = item?;
        let (file, to) = (from.join(item.file_name()), to.join(item.file_name()));
        if item.file_type()?.is_dir() {
            copy_folder(house, &file, &to, module, texts)?;
            continue;
        }
        let source = match texts.get(&file) {
            Some(text) => text.clone(),
            None => fs::read_to_string(item.path())?,
        };
        let source = without_documents(without_tests(&source));
        fs::write(to, relocate(&source, &format!("copies::{module}")))?;
    }
    Ok(())
}
