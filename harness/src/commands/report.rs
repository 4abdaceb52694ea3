//! `harness report`: reports again, from what runs left behind.

use std::path::Path;

use anyhow::Result;
use reports::RunRecord;

use crate::{cli::ReportArgs, commands::run::tell, usage::usage};

/// Builds one report for each run directory, or one comparison of several.
pub fn report(arguments: &ReportArgs) -> Result<bool> {
    let load = |path: &Path| match path.join("record.json").is_file() {
        true => reports::load(path).map_err(|error| usage(error.to_string())),
        false => {
            Err(usage(format!("{} is no run directory: it has no record.json", path.display())))
        }
    };
    let records: Vec<RunRecord> =
        arguments.runs.iter().map(|path| load(path)).collect::<Result<_>>()?;
    match (&arguments.out, records.as_slice()) {
        (None, [_]) | (None, []) => {}
        (None, _) => return Err(usage("a comparison of several runs needs a place: --out DIR")),
        (Some(out), several) => {
            let summaries =
                reports::save_comparison(several, out).map_err(|error| usage(error.to_string()))?;
            tell(several, &summaries, out);
            return Ok(true);
        }
    }
    for (record, directory) in records.into_iter().zip(&arguments.runs) {
        let summary = reports::directory::report(&record, directory)?;
        tell(&[record], &[summary], directory);
    }
    Ok(true)
}
