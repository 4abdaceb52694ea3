//! The stages of each election, as one bar for each trial.

use plotters::{prelude::*, style::text_anchor::HPos};

use super::{
    Plot,
    frame::{self, Axis, Legend, Mark, row_middle},
    style::{self, FAULT, MUTED},
};
use crate::{
    analysis::Group,
    elections::{Stage, Trial},
    error::ReportError,
    table::number,
};

/// The most trials of a side that get a bar each.
const BARS: usize = 12;
/// Where there are more: which of them get one, by their rank.
const RANKS: [(&str, f64); 5] =
    [("fastest", 0.0), ("25 %", 0.25), ("median", 0.5), ("75 %", 0.75), ("slowest", 1.0)];

/// One bar for each trial, from the fault to the first answer; of many trials, some of them.
pub(super) fn stages(groups: &[Group<'_>]) -> Result<Option<Plot>, ReportError> {
    let mut bars: Vec<(String, Option<&Trial>)> = Vec::new();
    let mut chosen = false;
    for group in groups {
        if groups.len() > 1 {
            bars.push((group.label.clone(), None));
        }
        let trials: Vec<&Trial> = group.trials().collect();
        if group.runs.len() > 1 || trials.len() > BARS {
            chosen = true;
            bars.extend(ranked(&trials).map(|(rank, trial)| (rank.to_owned(), Some(trial))));
        } else {
            let named = |trial: &&'_ Trial| format!("trial {}", trial.number);
            bars.extend(trials.into_iter().map(|trial| (named(&trial), Some(trial))));
        }
    }
    let longest = bars.iter().filter_map(|(_, trial)| Some(total_ms((*trial)?))).reduce(f64::max);
    let Some(longest) = longest.filter(|&longest| longest > 0.0) else { return Ok(None) };

    let names: Vec<String> = bars.iter().map(|(name, _)| name.clone()).collect();
    let x = Axis::linear(0.0..longest * 1.12, "time since the fault (ms)");
    let mut legend: Vec<Legend> = Stage::ALL
        .iter()
        .enumerate()
        .map(|(n, stage)| Legend::new(stage.name(), style::stage(n), Mark::Box))
        .collect();
    if bars.iter().any(|(_, trial)| trial.is_some_and(Trial::waited_for_quorum)) {
        legend.push(Legend::new("no quorum", FAULT, Mark::Faint));
    }
    let height = 70 + 26 * u32::try_from(bars.len()).unwrap_or(u32::MAX / 64);
    let title = "Stages of each election, from the fault to the first answer";
    let svg = frame::draw("election-stages", title, &legend, height, |area| {
        let mut chart = frame::chart(area, &x, &Axis::rows(&names, 0.0))?;
        for (row, trial) in bars.iter().enumerate().filter_map(|(row, bar)| Some((row, bar.1?))) {
            let middle = row_middle(bars.len(), row);
            let mut left = trial.election().map_or(0.0, |election| {
                election.counted_from.since(trial.start).as_nanos() as f64 / 1e6
            });
            let wait = [(0.0, middle - 0.36), (left, middle + 0.36)];
            chart.draw_series([Rectangle::new(wait, FAULT.mix(0.22).filled())])?;
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
    let mut caption = String::new();
    if chosen {
        let counts: Vec<String> = groups.iter().map(elections).collect();
        caption
            .push_str(&format!("Five real elections by their rank, of {}. ", counts.join(" and ")));
    }
    caption.push_str(STAGES);
    Ok(Some(Plot { name: "election-stages", caption, svg }))
}

/// What the stages are.
const STAGES: &str = "Detect: until the winner's last timeout. Campaign: until it asks for votes, \
    any pre-vote round included. Win: until it knows it leads. Catch up: until an entry of its own \
    epoch is committed. First commit: until a client's command of the new epoch is. First answer: \
    until a client is served again, which ends the client-visible outage.";

/// Trials of chosen ranks among those with an election, by the time they took.
fn ranked<'a>(trials: &[&'a Trial]) -> impl Iterator<Item = (&'static str, &'a Trial)> {
    let mut elected: Vec<&Trial> =
        trials.iter().filter(|trial| trial.election().is_some()).copied().collect();
    elected.sort_by(|a, b| total_ms(a).total_cmp(&total_ms(b)));
    RANKS.into_iter().filter_map(move |(rank, share)| {
        let last = elected.len().checked_sub(1)?;
        Some((rank, elected[(share * last as f64).round() as usize]))
    })
}

/// How many elections a side saw, in words.
fn elections(group: &Group<'_>) -> String {
    let count = group.trials().filter(|trial| trial.election().is_some()).count();
    match group.runs.len() {
        1 => format!("{count} of {}", group.label),
        runs => format!("{count} of {} in {runs} runs", group.label),
    }
}

fn total_ms(trial: &Trial) -> f64 {
    let Some(election) = trial.election() else { return 0.0 };
    let waited = election.counted_from.since(trial.start).as_nanos() as f64 / 1e6;
    waited + election.stages_ms().iter().filter_map(|stage| stage.1).sum::<f64>()
}
