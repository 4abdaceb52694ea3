//! `harness export`: a run's history in the words of checkers that others wrote.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, ErrorKind, Write},
    path::Path,
};

use anyhow::{Context as _, Result};
use checker::export;
use consensus_core::history::Operation;

use crate::{
    cli::{ExportArgs, HistoryFormat},
    usage::usage,
};

/// Writes the history of a run directory, or a history file, to a file or standard output.
pub fn export(arguments: &ExportArgs) -> Result<bool> {
    let operations = operations(&arguments.path)?;
    match &arguments.out {
        None => {
            let written = write(&mut io::stdout().lock(), arguments.format, &operations);
            match written {
                // Whoever reads has seen enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                written => written.context("cannot write to the standard output")?,
            }
        }
        Some(path) => {
            let shown = path.display();
            let refused = |error| usage(format!("cannot write {shown}: {error}"));
            let mut file = File::create(path).map_err(refused)?;
            let written = write(&mut file, arguments.format, &operations);
            written.with_context(|| format!("cannot write {shown}"))?;
        }
    }
    Ok(true)
}

fn write(to: &mut dyn Write, format: HistoryFormat, operations: &[Operation]) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    match format {
        HistoryFormat::Jepsen => export::jepsen::write(&mut to, operations)?,
        HistoryFormat::Porcupine => export::porcupine::write(&mut to, operations)?,
    }
    to.flush()
}

fn operations(path: &Path) -> Result<Vec<Operation>> {
    let history = match path.is_dir() {
        true => path.join("history.jsonl"),
        false => path.to_owned(),
    };
    if path.is_dir() && !history.is_file() {
        let shown = path.display();
        return Err(usage(format!("{shown} is no run directory: it has no history.jsonl")));
    }
    let shown = history.display();
    let refused = |error: &dyn std::fmt::Display| usage(format!("cannot read {shown}: {error}"));
    let file = File::open(&history).map_err(|error| refused(&error))?;
    checker::jsonl::read(&mut BufReader::new(file)).map_err(|error| refused(&error))
}
