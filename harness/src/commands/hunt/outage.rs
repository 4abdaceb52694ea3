//! How long clients of two protocols went unanswered under one schedule.

use std::time::Duration;

use consensus_core::Time;
use faults::Schedule;
use reports::{availability::longest_gap, statistics::median};
use simulator::{Preset, Recording};

use crate::{
    experiment,
    panics::{Panic, caught},
    plan::Plan,
    registry::Entry,
    tuning::Tuning,
};

/// Two protocols that are held against each other, and under which parameters.
pub struct Pair<'a> {
    /// The protocols.
    pub protocols: [&'a Entry; 2],
    /// The parameters of both.
    pub tuning: &'a Tuning,
    /// What messages travel over.
    pub network: Preset,
}

/// The longest outage that clients saw with each of the two protocols, in milliseconds, seed by seed.
#[derive(Clone, PartialEq, Debug)]
pub struct Outages(pub Vec<[f64; 2]>);

impl Outages {
    /// The median over the seeds of what one of the two had more than the other.
    pub fn difference_ms(&self, worse: usize) -> f64 {
        let better = 1 - worse;
        let differences: Vec<f64> =
            self.0.iter().map(|outage| outage[worse] - outage[better]).collect();
        median(&differences).unwrap_or_default()
    }

    /// The median over the seeds of one of the two.
    pub fn median_ms(&self, which: usize) -> f64 {
        let outages: Vec<f64> = self.0.iter().map(|outage| outage[which]).collect();
        median(&outages).unwrap_or_default()
    }

    /// Under how many of the seeds one of the two was worse.
    pub fn times_worse(&self, worse: usize) -> usize {
        self.0.iter().filter(|outage| outage[worse] > outage[1 - worse]).count()
    }
}

/// Why a schedule cannot be used.
#[derive(Clone, PartialEq, Debug)]
pub enum Unfit {
    /// A cluster of one of the two cannot be had, or never served.
    Nothing,
    /// An invariant broke: a finding of another kind.
    Broken {
        /// In which protocol.
        protocol: &'static str,
        /// Under which seed.
        seed: u64,
        /// How.
        panic: Panic,
    },
}

impl Pair<'_> {
    /// Simulates both under each of these seeds.
    pub fn outages(&self, schedule: &Schedule, seeds: &[u64]) -> Result<Outages, Unfit> {
        let both = |&seed: &u64| {
            let [one, other] = self.protocols;
            Ok([self.outage_ms(one, schedule, seed)?, self.outage_ms(other, schedule, seed)?])
        };
        seeds.iter().map(both).collect::<Result<_, _>>().map(Outages)
    }

    fn outage_ms(&self, protocol: &Entry, schedule: &Schedule, seed: u64) -> Result<f64, Unfit> {
        let plan = Plan::simulated(schedule.clone(), seed, self.network, self.tuning)
            .map_err(|_| Unfit::Nothing)?;
        plan.check(protocol).map_err(|_| Unfit::Nothing)?;
        let config = experiment::simulation(&plan);
        let simulated = caught(|| (protocol.simulate)(&config));
        let broken = |panic| Unfit::Broken { protocol: protocol.name, seed, panic };
        let outage = longest_outage(&simulated.map_err(broken)?).ok_or(Unfit::Nothing)?;
        Ok(outage.as_secs_f64() * 1e3)
    }
}

/// The longest time without an answer, from the beginning of the load to its end.
fn longest_outage(recording: &Recording) -> Option<Duration> {
    let operations = || recording.operations.iter();
    let end = operations().map(|operation| operation.intended).max()?;
    let answered = operations().filter(|operation| operation.outcome.is_ok());
    let answers = answered.filter_map(|operation| operation.completed);
    longest_gap(recording.ready?..end, answers.collect::<Vec<Time>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_the_median_of_pairs_and_not_the_difference_of_medians() {
        let outages = Outages(vec![[100.0, 0.0], [100.0, 300.0], [500.0, 350.0]]);
        assert_eq!((outages.difference_ms(0), outages.difference_ms(1)), (100.0, -100.0));
        assert_eq!((outages.median_ms(0), outages.median_ms(1)), (100.0, 300.0));
        assert_eq!((outages.times_worse(0), outages.times_worse(1)), (2, 1));
    }
}
