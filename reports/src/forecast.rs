//! How well simulations foretold a real run: the only place where virtual and wall-clock numbers meet.
//!
//! A real run's resolved schedule is played in the simulator several times, each under another seed. Each
//! time draws other election timeouts, so what a simulation foretells of one trial is a range. Of each
//! trial there stand the measured time, and the median and the middle 90 % of the simulated ones; of the
//! whole run its medians, and those of the simulated runs with their range.

use consensus_core::NodeId;
use serde::{Deserialize, Serialize};

use crate::{
    analysis::{Analysis, Group},
    elections::{Stage, Trial},
    latency::{self, Commit, Kind},
    record::{RunRecord, Setting},
    statistics::{median, quantile, sorted},
    summary::{election_times_ms, outages_ms, stages_ms},
    table::number,
};

/// The middle of the simulated times that is given of a trial: from this share on, to its counterpart.
const TAIL: f64 = 0.05;

/// What was measured, and what was foretold of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Forecast {
    /// How often it was simulated.
    pub simulations: usize,
    /// What the simulations took from the real run, and what they did not.
    pub fitted: Vec<Setting>,
    /// The run as a whole; the foretold range is from the lowest to the highest simulation.
    pub whole: Vec<(String, Foretold)>,
    /// Trial by trial; the foretold range is the middle 90 % of the simulations.
    pub trials: Vec<TrialForecast>,
}

/// One trial of the real run that ended with an election.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TrialForecast {
    /// Its number in the run.
    pub number: u32,
    /// The schedule's step.
    pub step: String,
    /// Whom it struck in the real run.
    pub nodes: Vec<NodeId>,
    /// When it struck, in seconds of load.
    pub at_s: f64,
    /// The election time.
    pub election: Foretold,
    /// The client-visible outage.
    pub outage: Foretold,
    /// The stages of the election.
    pub stages: Vec<(Stage, Foretold)>,
}

/// One number that was measured, and what simulations said it would be, in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Foretold {
    /// What was measured.
    pub measured_ms: Option<f64>,
    /// The median of what was simulated.
    pub foretold_ms: Option<f64>,
    /// The lower end of the simulated range.
    pub low_ms: Option<f64>,
    /// The upper end of the simulated range.
    pub high_ms: Option<f64>,
    /// How many simulated values there are.
    pub n: usize,
    /// Measured by foretold.
    pub ratio: Option<f64>,
}

impl Foretold {
    fn new(measured_ms: Option<f64>, simulated: Vec<f64>, tail: f64) -> Self {
        let simulated = sorted(simulated);
        let foretold_ms = median(&simulated);
        let ratio = measured_ms.zip(foretold_ms).filter(|(_, foretold)| *foretold > 0.0);
        Self {
            measured_ms,
            foretold_ms,
            low_ms: quantile(&simulated, tail),
            high_ms: quantile(&simulated, 1.0 - tail),
            n: simulated.len(),
            ratio: ratio.map(|(measured, foretold)| measured / foretold),
        }
    }

    /// Whether what was measured lies within what was foretold; `None` if one of them is missing.
    pub fn is_within(&self) -> Option<bool> {
        let (measured, low, high) = (self.measured_ms?, self.low_ms?, self.high_ms?);
        Some((low..=high).contains(&measured))
    }
}

/// What is foretold of a run as a whole: its name, and how to measure it.
type Measure = (&'static str, fn(&Analysis<'_>) -> Option<f64>);

const MEASURES: [Measure; 8] = [
    ("election time, p50", |run| median(&election_times_ms(&run.trials))),
    ("client-visible outage, p50", |run| median(&outages_ms(&run.trials))),
    ("commit latency at the client, undisturbed, p50", |run| write_latency(run, 0.5)),
    ("commit latency at the client, undisturbed, p95", |run| write_latency(run, 0.95)),
    ("commit latency at the client, undisturbed, p99", |run| write_latency(run, 0.99)),
    ("commit latency in the leader, p50", |run| leader_latency(run, 0.5)),
    ("commit latency in the leader, p99", |run| leader_latency(run, 0.99)),
    ("read latency at the client, undisturbed, p50", |run| {
        quantile(&undisturbed(run, Kind::Read), 0.5)
    }),
];

fn undisturbed(run: &Analysis<'_>, kind: Kind) -> Vec<f64> {
    latency::latencies_ms(&latency::undisturbed(run.record, &run.answered), kind)
}

fn write_latency(run: &Analysis<'_>, p: f64) -> Option<f64> {
    quantile(&undisturbed(run, Kind::Write), p)
}

fn leader_latency(run: &Analysis<'_>, p: f64) -> Option<f64> {
    quantile(&sorted(run.commits.iter().map(Commit::latency_ms)), p)
}

impl Forecast {
    /// Holds a real run against its simulations.
    pub fn of(measured: &RunRecord, simulated: &[RunRecord], fitted: Vec<Setting>) -> Self {
        let sides = Sides::of(measured, simulated);
        Self::between(&sides, fitted)
    }

    pub(crate) fn between(sides: &Sides<'_>, fitted: Vec<Setting>) -> Self {
        let Sides { measured, simulated } = sides;
        let (real, runs) = (measured.shown(), &simulated.runs);
        let over = |of: &dyn Fn(&Analysis<'_>) -> Option<f64>| {
            Foretold::new(of(real), runs.iter().filter_map(of).collect(), 0.0)
        };
        let mut whole: Vec<(String, Foretold)> =
            MEASURES.iter().map(|(name, of)| ((*name).to_owned(), over(of))).collect();
        let stages = Stage::ALL.iter().map(|stage| {
            let of = |run: &Analysis<'_>| stages_ms(&run.trials).get(stage)?.p50;
            (format!("… its stage '{}', p50", stage.name()), over(&of))
        });
        whole.splice(1..1, stages);
        whole.retain(|(_, foretold)| foretold.measured_ms.is_some());
        let trials = real.trials.iter().filter(|trial| trial.election().is_some());
        let trials = trials.map(|trial| TrialForecast::of(trial, real.record, runs)).collect();
        Self { simulations: runs.len(), fitted, whole, trials }
    }

    /// Of how many of the trials the measured election time lies within the foretold range, of how many
    /// there is one.
    pub fn hits(&self) -> (usize, usize) {
        let within = self.trials.iter().filter_map(|trial| trial.election.is_within());
        let within: Vec<bool> = within.collect();
        (within.iter().filter(|within| **within).count(), within.len())
    }
}

impl TrialForecast {
    fn of(trial: &Trial, record: &RunRecord, simulated: &[Analysis<'_>]) -> Self {
        // The same trial in every simulation: it has the same step, and as many went before it.
        let same = |other: &&Trial| other.number == trial.number && other.step == trial.step;
        let others: Vec<&Trial> =
            simulated.iter().filter_map(|run| run.trials.iter().find(same)).collect();
        let foretold = |of: &dyn Fn(&Trial) -> Option<f64>| {
            Foretold::new(of(trial), others.iter().filter_map(|other| of(other)).collect(), TAIL)
        };
        let stage = |place: usize| {
            move |trial: &Trial| trial.election().and_then(|election| election.stages_ms()[place].1)
        };
        Self {
            number: trial.number,
            step: trial.step.clone(),
            nodes: trial.nodes.clone(),
            at_s: record.seconds(trial.start),
            election: foretold(&|trial| Some(trial.election()?.election_ms())),
            outage: foretold(&Trial::outage_ms),
            stages: Stage::ALL
                .iter()
                .enumerate()
                .map(|(place, &name)| (name, foretold(&stage(place))))
                .collect(),
        }
    }
}

/// A real run and its simulations, as two sides of a picture.
pub(crate) struct Sides<'a> {
    /// The real run.
    pub measured: Group<'a>,
    /// Its simulations.
    pub simulated: Group<'a>,
}

impl<'a> Sides<'a> {
    pub(crate) fn of(measured: &'a RunRecord, simulated: &'a [RunRecord]) -> Self {
        let label = |what: &str| format!("{}, {what}", measured.metadata.name());
        let side = |number, label, runs: &'a [RunRecord]| Group {
            label,
            number,
            runs: runs.iter().map(Analysis::of).collect(),
        };
        Self {
            measured: side(0, label("measured"), std::slice::from_ref(measured)),
            simulated: side(1, label("simulated"), simulated),
        }
    }
}

/// The run as a whole, for a terminal.
pub fn text(forecast: &Forecast) -> String {
    let ms = |value| number(value, "ms");
    let mut text = format!(
        "{:<50} {:>12} {:>12} {:>24} {:>8}\n",
        "", "measured", "simulated", "lowest to highest", "ratio"
    );
    for (name, foretold) in &forecast.whole {
        let range = format!("{} to {}", ms(foretold.low_ms), ms(foretold.high_ms));
        text.push_str(&format!(
            "{name:<50} {:>12} {:>12} {range:>24} {:>8}\n",
            ms(foretold.measured_ms),
            ms(foretold.foretold_ms),
            number(foretold.ratio, ""),
        ));
    }
    let (within, all) = forecast.hits();
    text.push_str(&format!(
        "{within} of {all} measured election times lie within the middle 90 % of what {} simulations gave \
         for their trial\n",
        forecast.simulations
    ));
    text
}
