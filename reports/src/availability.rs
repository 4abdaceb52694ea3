//! Goodput over time, and how long there was less of it than there should have been.

use std::{ops::Range, time::Duration};

use consensus_core::Time;
use serde::{Deserialize, Serialize};

use crate::{latency::Answered, record::RunRecord};

/// How wide a bin of the goodput is, in seconds.
pub const BIN_S: f64 = 0.1;

/// Goodput: operations answered with success, in bins of [`BIN_S`] from the beginning of the load.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Goodput {
    /// Answers per second, one number for each bin.
    pub per_s: Vec<f64>,
    /// The median over the bins before the first fault; over all bins if there are none before.
    pub baseline_per_s: Option<f64>,
}

impl Goodput {
    /// The goodput of a run, from the beginning of its load to its end.
    pub fn of(record: &RunRecord, answered: &[Answered]) -> Self {
        let seconds = record.seconds(record.metadata.end);
        // A last bin that the load only grazes would look like an outage.
        let bins = (seconds / BIN_S + 1e-9).floor().max(0.0) as usize;
        let mut per_s = vec![0.0; bins];
        for operation in answered {
            let bin = (record.seconds(operation.completed) / BIN_S).floor();
            if let Some(count) = (bin >= 0.0).then(|| per_s.get_mut(bin as usize)).flatten() {
                *count += 1.0 / BIN_S;
            }
        }
        let baseline_per_s = baseline(record, &per_s);
        Self { per_s, baseline_per_s }
    }

    /// The middle of a bin, in seconds since the load began.
    pub fn at_s(bin: usize) -> f64 {
        (bin as f64 + 0.5) * BIN_S
    }
}

/// The median goodput before the first fault. The first second is left out where there is more:
/// clients connect in it.
fn baseline(record: &RunRecord, per_s: &[f64]) -> Option<f64> {
    let disturbing = record.faults.iter().filter(|fault| fault.disturbs());
    let first = disturbing.map(|fault| fault.start).min();
    let until = first.map_or(per_s.len(), |at| (record.seconds(at).max(0.0) / BIN_S) as usize);
    let warm = (1.0 / BIN_S) as usize;
    let quiet = match &per_s[..until.min(per_s.len())] {
        [] => per_s,
        bins if bins.len() > 2 * warm => &bins[warm..],
        bins => bins,
    };
    crate::statistics::median(quiet)
}

/// How available the cluster was to its clients.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Availability {
    /// The goodput before the first fault, in operations per second.
    pub baseline_per_s: Option<f64>,
    /// The longest time without a successful answer, in milliseconds, from the beginning of the
    /// load to its end.
    pub longest_gap_ms: Option<f64>,
    /// The total time with less than half of the baseline, in milliseconds, in steps of a bin.
    pub below_half_ms: Option<f64>,
    /// The longest time from a fault until the goodput was back at nine tenths of the baseline, in
    /// milliseconds; zero if no fault pushed it below half, null if it never came back.
    pub longest_recovery_ms: Option<f64>,
}

impl Availability {
    /// The availability of a run.
    pub fn of(record: &RunRecord, answered: &[Answered], goodput: &Goodput) -> Self {
        let Some(baseline) = goodput.baseline_per_s.filter(|&baseline| baseline > 0.0) else {
            return Self { longest_gap_ms: longest_gap_ms(record, answered), ..Self::default() };
        };
        let below = goodput.per_s.iter().filter(|&&rate| rate < baseline / 2.0).count();
        let faults: Vec<_> = record.faults.iter().filter(|fault| fault.disturbs()).collect();
        let recoveries: Option<Vec<f64>> = faults
            .iter()
            .enumerate()
            .map(|(n, fault)| {
                let next = faults.get(n + 1).map_or(record.metadata.end, |next| next.start);
                recovery_ms(record, goodput, baseline, fault.start..next)
            })
            .collect();
        Self {
            baseline_per_s: Some(baseline),
            longest_gap_ms: longest_gap_ms(record, answered),
            below_half_ms: Some(below as f64 * BIN_S * 1e3),
            longest_recovery_ms: recoveries
                .map(|recoveries| recoveries.into_iter().fold(0.0, f64::max)),
        }
    }
}

fn longest_gap_ms(record: &RunRecord, answered: &[Answered]) -> Option<f64> {
    let within = record.metadata.begin..record.metadata.end;
    let gap = longest_gap(within, answered.iter().map(|operation| operation.completed))?;
    Some(gap.as_nanos() as f64 / 1e6)
}

/// The longest part of a time in which nothing of this happened; `None` of no time.
pub fn longest_gap(
    within: Range<Time>,
    instants: impl IntoIterator<Item = Time>,
) -> Option<Duration> {
    if within.is_empty() {
        return None;
    }
    let mut instants: Vec<Time> = instants.into_iter().filter(|at| within.contains(at)).collect();
    instants.extend([within.start, within.end]);
    instants.sort_unstable();
    instants.windows(2).map(|pair| pair[1].since(pair[0])).max()
}

/// From a fault until the goodput is back at nine tenths of the baseline. Zero if it never fell
/// below half before the next fault; `None` if it fell and was not back by the end of the run.
fn recovery_ms(
    record: &RunRecord,
    goodput: &Goodput,
    baseline: f64,
    fault: Range<Time>,
) -> Option<f64> {
    let bin_of = |at: Time| (record.seconds(at).max(0.0) / BIN_S) as usize;
    let (first, last) = (bin_of(fault.start), bin_of(fault.end).min(goodput.per_s.len()));
    let fell = (first..last).find(|&bin| goodput.per_s[bin] < baseline / 2.0);
    let Some(fell) = fell else { return Some(0.0) };
    let back = (fell..goodput.per_s.len()).find(|&bin| goodput.per_s[bin] >= 0.9 * baseline)?;
    Some((back as f64 * BIN_S - record.seconds(fault.start)).max(0.0) * 1e3)
}
