//! The files of a run: what is written where, and how it is read back.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    analysis,
    error::ReportError,
    forecast::{Forecast, Sides},
    html,
    plots::{self, Plot},
    record::{RunRecord, Setting},
    recovery::{self, Recovery},
    summary::Summary,
};

/// The record without its long lists.
const RECORD: &str = "record.json";
/// The clients' operations.
const HISTORY: &str = "history.jsonl";
/// What each replica applied.
const APPLIED: &str = "applied.jsonl";
/// What was seen inside the replicas.
const EVENTS: &str = "events.jsonl";
/// The replicas' states over time.
const SAMPLES: &str = "samples.jsonl";
/// How long messages were under way; runs in which nobody measured have none.
const PASSAGES: &str = "passages.jsonl";
/// What really happened of the schedule.
const SCHEDULE: &str = "schedule.resolved.toml";
/// The replicas' configuration.
const CONFIG: &str = "config.toml";
/// The run in numbers.
const SUMMARY: &str = "summary.json";
/// The report.
const REPORT: &str = "report.html";

/// Writes everything of a run into a directory, which is made if it is missing: the record, the
/// numbers, the plots and the report. Logs are the target's to put under `logs/`.
///
/// # Errors
///
/// If a file cannot be written, or a plot not drawn. The record is written first, so that it is
/// kept even if the report cannot be made.
pub fn save(record: &RunRecord, directory: &Path) -> Result<Summary, ReportError> {
    create(&directory.join("logs"))?;
    write_json(&directory.join(RECORD), record)?;
    write_lines(&directory.join(HISTORY), &record.operations)?;
    write_lines(&directory.join(APPLIED), &record.applied)?;
    write_lines(&directory.join(EVENTS), &record.observed)?;
    write_lines(&directory.join(SAMPLES), &record.samples)?;
    if !record.passages.is_empty() {
        write_lines(&directory.join(PASSAGES), &record.passages)?;
    }
    write_text(&directory.join(SCHEDULE), &record.schedule_text)?;
    write_text(&directory.join(CONFIG), &record.config_text)?;
    report(record, directory)
}

/// Makes `summary.json`, the plots and `report.html` of a record again.
///
/// # Errors
///
/// If a file cannot be written, or a plot not drawn.
pub fn report(record: &RunRecord, directory: &Path) -> Result<Summary, ReportError> {
    let summary = Summary::of(record);
    write_json(&directory.join(SUMMARY), &summary)?;
    write_plots(directory, &plots::of_run(record)?)?;
    write_text(&directory.join(REPORT), &html::render_run(record)?)?;
    Ok(summary)
}

/// Writes a comparison of these runs into a directory: `summary.json` with one element for each
/// run, the plots on common axes (in a folder for each target, if there are several), and
/// `report.html`. The runs' own directories are not touched.
///
/// # Errors
///
/// If the runs cannot be compared, a file cannot be written, or a plot not drawn.
pub fn save_comparison(
    records: &[RunRecord],
    directory: &Path,
) -> Result<Vec<Summary>, ReportError> {
    let page = html::render_comparison(records)?;
    create(directory)?;
    let summaries: Vec<Summary> = records.iter().map(Summary::of).collect();
    write_json(&directory.join(SUMMARY), &summaries)?;
    let targets = analysis::by_target(records);
    for runs in &targets {
        let place = match targets.len() {
            1 => directory.to_owned(),
            _ => directory.join(folder(&runs[0].metadata.target)),
        };
        create(&place)?;
        write_plots(&place, &plots::of_comparison(runs)?)?;
    }
    write_text(&directory.join(REPORT), &page)?;
    Ok(summaries)
}

/// Holds a real run against its simulations, and writes that into a directory: `forecast.json`, the
/// plots on common axes, and `report.html`. The runs' own directories are not touched.
///
/// # Errors
///
/// If a verdict of one of the runs is violated, a file cannot be written, or a plot not drawn.
pub fn save_forecast(
    measured: &RunRecord,
    simulated: &[RunRecord],
    fitted: Vec<Setting>,
    directory: &Path,
) -> Result<Forecast, ReportError> {
    if let Some(broken) =
        std::iter::once(measured).chain(simulated).find(|record| !record.may_be_measured())
    {
        return Err(ReportError::Violated(broken.metadata.target.clone()));
    }
    let forecast = Forecast::of(measured, simulated, fitted);
    create(directory)?;
    write_json(&directory.join("forecast.json"), &forecast)?;
    let Sides { measured: one, simulated: other } = Sides::of(measured, simulated);
    write_plots(directory, &plots::of_forecast(&[one, other])?)?;
    let page = html::render_forecast(measured, simulated, &forecast)?;
    write_text(&directory.join(REPORT), &page)?;
    Ok(forecast)
}

/// Writes a recovery table into a directory: `recovery.md`, `recovery.csv`, `recovery.json`,
/// `traces.md`, the schedules, the plots, and `report.html`.
///
/// # Errors
///
/// If a file cannot be written, or a plot not drawn.
pub fn save_recovery(recovery: &Recovery, directory: &Path) -> Result<(), ReportError> {
    let page = html::render_recovery(recovery)?;
    create(&directory.join("plots"))?;
    create(&directory.join("schedules"))?;
    write_json(&directory.join("recovery.json"), recovery)?;
    write_text(&directory.join("recovery.csv"), &recovery::csv(recovery))?;
    write_text(&directory.join("recovery.md"), &recovery::markdown(recovery))?;
    write_text(&directory.join("traces.md"), &recovery::traces(recovery))?;
    for scenario in &recovery.scenarios {
        let name = format!("schedules/{}.toml", scenario.name);
        write_text(&directory.join(name), &scenario.schedule)?;
        for timeout in &recovery.election_timeouts {
            if let Some(plot) = plots::recovery_strips(recovery, &scenario.name, timeout)? {
                let stem = format!("{} {timeout}", scenario.name);
                let name = stem.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
                write_text(&directory.join(format!("plots/{name}.svg")), &plot.svg)?;
            }
        }
    }
    write_text(&directory.join(REPORT), &page)
}

/// Reads a run back from its directory.
///
/// # Errors
///
/// If a file is missing or cannot be read, or does not hold what it should; the error names the
/// file and the line.
pub fn load(directory: &Path) -> Result<RunRecord, ReportError> {
    let path = directory.join(RECORD);
    let text = fs::read_to_string(&path).map_err(ReportError::file(&path))?;
    let mut record: RunRecord = serde_json::from_str(&text).map_err(|source| {
        ReportError::Content { path: path.clone(), line: source.line(), source }
    })?;
    let text_of = |name: &str| {
        let path = directory.join(name);
        fs::read_to_string(&path).map_err(ReportError::file(&path))
    };
    record.schedule_text = text_of(SCHEDULE)?;
    record.config_text = text_of(CONFIG)?;
    record.operations = read_lines(&directory.join(HISTORY))?;
    record.applied = read_lines(&directory.join(APPLIED))?;
    record.observed = read_lines(&directory.join(EVENTS))?;
    record.samples = read_lines(&directory.join(SAMPLES))?;
    let passages = directory.join(PASSAGES);
    if passages.is_file() {
        record.passages = read_lines(&passages)?;
    }
    Ok(record)
}

fn create(directory: &Path) -> Result<(), ReportError> {
    fs::create_dir_all(directory).map_err(ReportError::file(directory))
}

fn write_text(path: &Path, text: &str) -> Result<(), ReportError> {
    fs::write(path, text).map_err(ReportError::file(path))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ReportError> {
    let content = |source| ReportError::Content { path: path.to_owned(), line: 0, source };
    let text = serde_json::to_string_pretty(value).map_err(content)?;
    write_text(path, &(text + "\n"))
}

fn write_lines<T: Serialize>(path: &Path, values: &[T]) -> Result<(), ReportError> {
    let mut file = BufWriter::new(File::create(path).map_err(ReportError::file(path))?);
    for (value, line) in values.iter().zip(1..) {
        let content = |source| ReportError::Content { path: path.to_owned(), line, source };
        let text = serde_json::to_string(value).map_err(content)?;
        writeln!(file, "{text}").map_err(ReportError::file(path))?;
    }
    file.flush().map_err(ReportError::file(path))
}

fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, ReportError> {
    let file = BufReader::new(File::open(path).map_err(ReportError::file(path))?);
    let mut values = Vec::new();
    for (text, line) in file.lines().zip(1..) {
        let text = text.map_err(ReportError::file(path))?;
        let content = |source| ReportError::Content { path: path.to_owned(), line, source };
        values.push(serde_json::from_str(&text).map_err(content)?);
    }
    Ok(values)
}

/// Writes the plots, and removes those of an earlier report that this one does not have.
/// A target's name as a folder's: a record says what it likes, and leads out of no directory.
fn folder(target: &str) -> String {
    target.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

fn write_plots(directory: &Path, plots: &[Plot]) -> Result<(), ReportError> {
    let directory = directory.join("plots");
    create(&directory)?;
    for entry in fs::read_dir(&directory).map_err(ReportError::file(&directory))? {
        let path = entry.map_err(ReportError::file(&directory))?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(&path).map_err(ReportError::file(&path))?;
        }
    }
    plots
        .iter()
        .try_for_each(|plot| write_text(&directory.join(format!("{}.svg", plot.name)), &plot.svg))
}
