//! The page that holds a real run against its simulations.

use super::{
    escape,
    page::{figures, folded, page, paragraph, section},
    tables,
};
use crate::{
    elections::Stage,
    error::ReportError,
    forecast::{Forecast, Foretold, Sides},
    plots,
    record::RunRecord,
    table::significant,
};

pub(super) fn render(
    measured: &RunRecord,
    simulated: &[RunRecord],
    forecast: &Forecast,
) -> Result<String, ReportError> {
    let sides = Sides::of(measured, simulated);
    let plots = plots::of_forecast(&[sides.measured, sides.simulated])?;
    let mut body = header(measured, forecast);
    body.push_str(&section("The run as a whole", &whole(forecast)));
    body.push_str(&section("Measured and simulated, on the same axes", &figures(&plots)));
    body.push_str(&section("Trial by trial", &trials(forecast)));
    body.push_str(&section("What the simulations took from the run", &fitted(forecast)));
    let environments: String = std::iter::once(measured)
        .chain(simulated.first())
        .map(|record| {
            let heading = format!("{} on {}", record.metadata.name(), record.metadata.target);
            let environment =
                tables::environment(record) + &folded("Resolved schedule", &record.schedule_text);
            tables::under(&escape(&heading), &environment)
        })
        .collect();
    body.push_str(&section("Environment, and how to run this again", &environments));
    let meta = &measured.metadata;
    Ok(page(&format!("{} on {}, foretold", meta.name(), meta.target), &body))
}

fn header(measured: &RunRecord, forecast: &Forecast) -> String {
    let meta = &measured.metadata;
    format!(
        "<header>\n<p class=\"kicker\">Measured and foretold</p>\n<h1>{} under {}: what the simulator makes of \
         a real run</h1>\n<p class=\"facts\">{} replicas on {}, seed {}; the same faults at the same times, \
         simulated {} times</p>\n</header>\n",
        escape(meta.name()),
        escape(&meta.schedule),
        meta.nodes,
        escape(&meta.target),
        meta.seed,
        forecast.simulations,
    )
}

fn cells(foretold: &Foretold) -> [String; 3] {
    let range = match (foretold.low_ms, foretold.high_ms) {
        (Some(low), Some(high)) => {
            format!(" <small>({} to {})</small>", significant(low), significant(high))
        }
        _ => String::new(),
    };
    [
        tables::cell(foretold.measured_ms),
        tables::cell(foretold.foretold_ms) + &range,
        tables::cell(foretold.ratio),
    ]
}

fn whole(forecast: &Forecast) -> String {
    let head =
        ["milliseconds", "measured", "simulated <small>(lowest to highest run)</small>", "ratio"];
    let rows: Vec<Vec<String>> = forecast
        .whole
        .iter()
        .map(|(name, foretold)| {
            std::iter::once(escape(name)).chain(cells(foretold)).collect::<Vec<_>>()
        })
        .collect();
    tables::table(&head, &rows)
        + &paragraph(
            "The ratio is measured by simulated: above 1, the real run took longer. The real run is one \
             run: another would differ from it, too.",
        )
}

fn trials(forecast: &Forecast) -> String {
    let head = [
        "trial",
        "struck, s",
        "election, measured",
        "simulated <small>(middle 90 %)</small>",
        "ratio",
        "outage, measured",
        "simulated <small>(middle 90 %)</small>",
        "ratio",
        "simulated elections",
    ];
    let rows: Vec<Vec<String>> = forecast
        .trials
        .iter()
        .map(|trial| {
            let mut row = vec![format!("{} <small>{}</small>", trial.number, escape(&trial.step))];
            row.push(significant(trial.at_s));
            row.extend(cells(&trial.election));
            row.extend(cells(&trial.outage));
            row.push(trial.election.n.to_string());
            row
        })
        .collect();
    let (within, all) = forecast.hits();
    let words = format!(
        "Of each trial the simulations give a range, for each draws its own election timeouts. {within} of {all} \
         measured election times lie in theirs; if the simulator is right, nine out of ten should."
    );
    tables::table(&head, &rows) + &paragraph(&words) + &tables::under("Stages", &stages(forecast))
}

fn stages(forecast: &Forecast) -> String {
    let names = Stage::ALL.map(|stage| format!("{} <small>(simulated)</small>", stage.name()));
    let head: Vec<&str> = ["trial"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let cell = |foretold: &Foretold| {
        let simulated = tables::cell(foretold.foretold_ms);
        format!("{} <small>({simulated})</small>", tables::cell(foretold.measured_ms))
    };
    let rows: Vec<Vec<String>> = forecast
        .trials
        .iter()
        .map(|trial| {
            let stages = trial.stages.iter().map(|(_, foretold)| cell(foretold));
            std::iter::once(trial.number.to_string()).chain(stages).collect()
        })
        .collect();
    tables::table(&head, &rows)
}

fn fitted(forecast: &Forecast) -> String {
    let rows: Vec<Vec<String>> = forecast
        .fitted
        .iter()
        .map(|setting| vec![escape(&setting.name), escape(&setting.value)])
        .collect();
    tables::table(&["", "<span class=\"left\">value</span>"], &rows)
}
