//! A copy of the house, in which mistakes are made.

use std::{
    env,
    fmt::{self, Display, Formatter},
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{PitfallError, Rule, Scenario, Table, changed, failed, members};

/// A copy of the house in which rules are removed.
#[derive(Debug)]
pub struct House {
    original: PathBuf,
    copy: PathBuf,
    target: PathBuf,
}

/// What came of removing a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Removal {
    /// The scenario failed, with these words.
    Failed(String),
    /// The scenario passed all the same: it guards nothing.
    Passed,
    /// The copy no longer compiles: the change is no program, and shows nothing.
    DoesNotCompile(String),
}

impl Display for Removal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(words) => write!(f, "fails without the rule: {words}"),
            Self::Passed => write!(f, "PASSES WITHOUT THE RULE"),
            Self::DoesNotCompile(words) => write!(f, "DOES NOT COMPILE WITHOUT THE RULE: {words}"),
        }
    }
}

impl House {
    /// Brings a copy of the rooms below the target folder up to date. What is built of it stays there as
    /// well.
    ///
    /// # Errors
    ///
    /// If that cannot be done.
    pub fn copy(original: &Path, target: &Path) -> Result<Self, PitfallError> {
        // The two must not share what they build: cargo takes a package for the same in both.
        let below = target.join("pitfalls");
        let (copy, target) = (below.join("house"), below.join("target"));
        let house = Self { original: original.to_owned(), copy, target };
        fs::create_dir_all(&house.copy).map_err(failed(&house.copy))?;
        for file in ["Cargo.toml", "Cargo.lock"] {
            copy_file(&original.join(file), &house.copy.join(file))?;
        }
        for room in members(original)? {
            copy_folder(&original.join(&room), &house.copy.join(&room))?;
        }
        Ok(house)
    }

    /// Runs a rule's scenario as the code stands.
    ///
    /// # Errors
    ///
    /// If it does not pass, or cannot be run.
    pub fn passes(&self, table: &Table, rule: &Rule) -> Result<(), PitfallError> {
        match self.run(table, rule)? {
            Removal::Passed => Ok(()),
            Removal::Failed(words) | Removal::DoesNotCompile(words) => Err(PitfallError::House(
                format!("{}: with the rule in place: {words}", rule.mistake),
            )),
        }
    }

    /// Removes a rule, runs its scenario, and puts the rule back.
    ///
    /// # Errors
    ///
    /// If the files or cargo fail.
    pub fn without(&self, table: &Table, rule: &Rule) -> Result<Removal, PitfallError> {
        for (file, text) in changed(&self.copy, &rule.changes)? {
            write(&self.copy.join(file), &text)?;
        }
        let removal = self.run(table, rule);
        for change in &rule.changes {
            copy_file(&self.original.join(&change.file), &self.copy.join(&change.file))?;
        }
        removal
    }

    fn run(&self, table: &Table, rule: &Rule) -> Result<Removal, PitfallError> {
        match &rule.scenario {
            Scenario::Transcript { scenario } => {
                self.keep_only(&table.room, scenario)?;
                let removal = self.test(rule, table.package(), &["--test", "scenarios"], &[]);
                let scenarios = Path::new(&table.room).join("tests/scenarios");
                copy_folder(&self.original.join(&scenarios), &self.copy.join(&scenarios))?;
                removal
            }
            Scenario::Test { package, file, test } => {
                let package = package.as_deref().unwrap_or(table.package());
                let target = file.as_deref().map_or(vec!["--lib"], |file| vec!["--test", file]);
                self.test(rule, package, &target, &["--exact", test])
            }
        }
    }

    fn test(
        &self,
        rule: &Rule,
        package: &str,
        target: &[&str],
        tests: &[&str],
    ) -> Result<Removal, PitfallError> {
        let test = [&["test", "--offline", "-q", "-p", package], target].concat();
        let built = self.cargo(&[&test[..], &["--no-run"]].concat())?;
        if !built.status.success() {
            return Ok(Removal::DoesNotCompile(first_error(&built)));
        }
        let ran = self.cargo(&[&test[..], &["--"], tests].concat())?;
        let text = String::from_utf8_lossy(&ran.stdout);
        let found =
            text.lines().any(|line| line.starts_with("running ") && !line.starts_with("running 0"));
        match (ran.status.success(), found) {
            (_, false) => Err(PitfallError::House(format!("{}: no such test", rule.mistake))),
            (true, true) => Ok(Removal::Passed),
            (false, true) => Ok(Removal::Failed(last_words(&ran))),
        }
    }

    /// Leaves one transcript in the copy's folder: the others are not what is asked about.
    fn keep_only(&self, room: &str, scenario: &str) -> Result<(), PitfallError> {
        let folder = self.copy.join(room).join("tests/scenarios");
        fs::remove_dir_all(&folder).map_err(failed(&folder))?;
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
        let from = self.original.join(room).join("tests/scenarios").join(scenario);
        copy_file(&from, &folder.join(scenario))
    }

    fn cargo(&self, words: &[&str]) -> Result<Output, PitfallError> {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
        command.args(words).current_dir(&self.copy);
        command.env("CARGO_TARGET_DIR", &self.target).env("CARGO_TERM_COLOR", "never");
        command.env("NO_COLOR", "1").env_remove("UPDATE_GOLDENFILES");
        command.output().map_err(failed(Path::new("cargo")))
    }
}

fn first_error(built: &Output) -> String {
    let text = String::from_utf8_lossy(&built.stderr);
    let lines = text.lines().skip_while(|line| !line.starts_with("error"));
    lines.take(2).map(str::trim).collect::<Vec<_>>().join(" ")
}

/// What a test said when it failed: the words of the panic, or the first line of a transcript that is
/// another now.
fn last_words(ran: &Output) -> String {
    let text = [&ran.stdout[..], &ran.stderr[..]].map(String::from_utf8_lossy).join("\n");
    let mut lines = text.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
    let Some(words) = lines.next() else { return "it did not say why".into() };
    let rest: Vec<_> = lines.collect();
    if words.contains("(left == right)`") {
        let first = |sign| rest.iter().find_map(|line| line.strip_prefix(sign)).map(str::trim);
        return match (first('-'), first('+')) {
            (Some(right), Some(wrong)) => format!("not `{right}` but `{wrong}`"),
            (Some(right), None) => format!("never `{right}`"),
            (None, wrong) => format!("also `{}`", wrong.unwrap_or_default()),
        };
    }
    match words.strip_prefix("assertion `left == right` failed") {
        Some("") => rest.iter().take(2).map(|line| line.trim()).collect::<Vec<_>>().join(", "),
        Some(message) => message.trim_start_matches(": ").to_owned(),
        None => words.trim().to_owned(),
    }
}

/// Makes one folder like another: what did not change keeps its time, and is not built again.
fn copy_folder(from: &Path, to: &Path) -> Result<(), PitfallError> {
    fs::create_dir_all(to).map_err(failed(to))?;
    let names = names(from)?;
    for gone in self::names(to)?.iter().filter(|name| !names.contains(name)) {
        let path = to.join(gone);
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(failed(&path))?;
    }
    for name in names {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() { copy_folder(&from, &to)? } else { copy_file(&from, &to)? }
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<std::ffi::OsString>, PitfallError> {
    let items = fs::read_dir(folder).map_err(failed(folder))?;
    let names: io::Result<Vec<_>> = items.map(|item| Ok(item?.file_name())).collect();
    Ok(names.map_err(failed(folder))?.into_iter().filter(|name| name != "target").collect())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), PitfallError> {
    let wanted = fs::read(from).map_err(failed(from))?;
    if fs::read(to).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    fs::write(to, wanted).map_err(failed(to))
}

fn write(path: &Path, text: &str) -> Result<(), PitfallError> {
    if fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    fs::write(path, text).map_err(failed(path))
}
