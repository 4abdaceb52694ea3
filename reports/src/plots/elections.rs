//! The stages of each election, as one bar for each trial.

use plotters::{prelude::*, style::text_anchor::HPos};

use super::{
    Plot,
    frame::{self, Axis, Legend, Mark, row_middle},
    style::{self, MUTED},
};
use crate::{
    analysis::Group,
    elections::{Stage, Trial},
    error::ReportError,
    table::number,
};

/// The most trials of a side that get a bar.
const BARS: usize = 25;

/// One bar for each trial, from the fault to the first answer.
pub(super) fn stages(groups: &[Group<'_>]) -> Result<Option<Plot>, ReportError> {
    let mut bars: Vec<(String, Option<&Trial>)> = Vec::new();
    for group in groups {
        if groups.len() > 1 {
            bars.push((group.label.clone(), None));
        }
        let shown = group.trials().take(BARS);
        bars.extend(shown.map(|trial| (format!("trial {}", trial.number), Some(trial))));
    }
    let longest = bars.iter().filter_map(|(_, trial)| Some(total_ms((*trial)?))).reduce(f64::max);
    let Some(longest) = longest.filter(|&longest| longest > 0.0) else { return Ok(None) };

    let names: Vec<String> = bars.iter().map(|(name, _)| name.clone()).collect();
    let x = Axis::linear(0.0..longest * 1.12, "time since the fault (ms)");
    let legend: Vec<Legend> = Stage::ALL
        .iter()
        .enumerate()
        .map(|(n, stage)| Legend::new(stage.name(), style::stage(n), Mark::Box))
        .collect();
    let height = 70 + 26 * u32::try_from(bars.len()).unwrap_or(u32::MAX / 64);
    let title = "Stages of each election, from the fault to the first answer";
    let svg = frame::draw("election-stages", title, &legend, height, |area| {
        let mut chart = frame::chart(area, &x, &Axis::rows(&names, 0.0))?;
        for (row, trial) in bars.iter().enumerate().filter_map(|(row, bar)| Some((row, bar.1?))) {
            let middle = row_middle(bars.len(), row);
            let mut left = trial.election().map_or(0.0, |election| {
                election.counted_from.since(trial.start).as_nanos() as f64 / 1e6
            });
            for (n, (_, took)) in
                trial.election().map(|e| e.stages_ms()).into_iter().flatten().enumerate()
            {
                let right = left + took.unwrap_or(0.0);
                let corners = [(left, middle - 0.36), (right, middle + 0.36)];
                chart.draw_series([Rectangle::new(corners, style::stage(n).filled())])?;
                left = right;
            }
            let label = match trial.election() {
                Some(_) => number(Some(left), "ms"),
                None => trial.outcome_in_words(),
            };
            let text =
                Text::new(style::printable(&label), (6, 0), style::text(11.5, MUTED, HPos::Left));
            chart.draw_series([EmptyElement::at((left, middle)) + text])?;
        }
        Ok(())
    })?;
    let caption = "Detect: until the winner's last timeout. Campaign: until it asks for votes, any \
                   pre-vote round included. Win: until it knows it leads. Catch up: until an entry of \
                   its own epoch is committed. First commit: until a client's command of the new epoch \
                   is. First answer: until a client is served again, which ends the client-visible \
                   outage."
        .to_owned();
    Ok(Some(Plot { name: "election-stages", caption, svg }))
}

fn total_ms(trial: &Trial) -> f64 {
    let Some(election) = trial.election() else { return 0.0 };
    let waited = election.counted_from.since(trial.start).as_nanos() as f64 / 1e6;
    waited + election.stages_ms().iter().filter_map(|stage| stage.1).sum::<f64>()
}
