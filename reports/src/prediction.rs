//! What the election timeouts alone predict of election times.
//!
//! When a leader falls silent, each of `s` survivors waits for a timeout drawn uniformly from
//! [a, b) since it last heard the leader. The first to run out starts the election (Raft §5.2), and
//! the smallest of `s` such draws has the distribution function 1 − ((b − x) / (b − a))^s: its
//! median is a + (b − a)(1 − 0.5^(1/s)) and its mean a + (b − a)/(s + 1). For 150–300 ms and four
//! survivors that is 174 ms and 180 ms, *since the leader was last heard*.
//!
//! The fault strikes some time after that, so the election time is shorter by this phase. The leader
//! is heard with every heartbeat and, under load, with every batch of proposals: the phase is
//! uniform over the heartbeat interval, cut by the time since the last proposal, whose rate before
//! each fault is measured. Added is the time from the winner's timeout until it leads, as measured.
//! A campaign that is lost is not predicted: the prediction is of elections won at the first
//! attempt. Nor is an election that had to wait for a quorum, or for a leader that was still heard to
//! step down.

use consensus_core::{Draw, Event, history::Observed};
use serde::{Deserialize, Serialize};

use crate::{
    elections::Trial,
    record::{ElectionTiming, RunRecord},
    statistics::{Interval, median, quantile, sorted},
};

/// How many elections are drawn.
const DRAWS: u64 = 20_000;
/// How many medians of as many elections as the run had are drawn.
const MEDIANS: u64 = 2_000;
/// The seed of the draws; any fixed number would do.
const SEED: u64 = 0x00e1_ec70;
/// For how long before a fault the leader's proposals are counted, in milliseconds.
const RATE_WINDOW_MS: f64 = 500.0;

/// The `p`-quantile of the smallest of `survivors` uniform draws from [`shortest`, `longest`).
pub fn smallest_timeout_quantile(shortest: f64, longest: f64, survivors: u32, p: f64) -> f64 {
    shortest + (longest - shortest) * (1.0 - (1.0 - p).powf(1.0 / f64::from(survivors.max(1))))
}

/// The mean of the smallest of `survivors` uniform draws from [`shortest`, `longest`).
pub fn smallest_timeout_mean(shortest: f64, longest: f64, survivors: u32) -> f64 {
    shortest + (longest - shortest) / (f64::from(survivors) + 1.0)
}

/// The predicted election times beside the measured ones.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Prediction {
    /// How many trials it is about: those that silenced a leader, left a quorum and elected one.
    pub n: usize,
    /// The fewest survivors in such a trial.
    pub survivors: u32,
    /// The median of the smallest of the survivors' timeouts, since the leader was last heard.
    pub smallest_timeout_p50_ms: f64,
    /// Its mean.
    pub smallest_timeout_mean_ms: f64,
    /// The mean time between the leader's last message and the fault.
    pub phase_mean_ms: f64,
    /// The measured median from the winner's timeout until it led.
    pub vote_rounds_p50_ms: f64,
    /// The predicted median election time.
    pub predicted_p50_ms: f64,
    /// Where the median of `n` elections lies with 95 % probability, if the prediction is right.
    pub predicted_p50_low_ms: f64,
    /// The upper end of that interval.
    pub predicted_p50_high_ms: f64,
    /// The measured median election time of these trials.
    pub measured_p50_ms: f64,
    /// Measured less predicted, by predicted.
    pub relative_difference: f64,
    /// The predicted distribution: 101 quantiles from 0 to 1, in milliseconds.
    #[serde(skip)]
    pub quantiles_ms: Vec<f64>,
}

/// What one trial contributes.
struct Circumstance {
    survivors: u32,
    /// The leader's proposals per millisecond, before the fault.
    rate: f64,
    vote_rounds_ms: f64,
    election_ms: f64,
}

/// Predicts the election times of a run; `None` where no trial silenced a leader and left a quorum,
/// or the run does not tell its timeouts.
pub fn predict(record: &RunRecord, trials: &[Trial]) -> Option<Prediction> {
    predict_all([(record, trials)].into_iter())
}

/// Predicts the election times of several runs with the same timeouts, together.
pub(crate) fn predict_all<'a>(
    runs: impl Iterator<Item = (&'a RunRecord, &'a [Trial])> + Clone,
) -> Option<Prediction> {
    let timing = runs.clone().next()?.0.timing?;
    if runs.clone().any(|(record, _)| record.timing != Some(timing)) {
        return None;
    }
    let circumstances: Vec<Circumstance> = runs
        .flat_map(|(record, trials)| {
            let observed = crate::latency::in_order(&record.observed);
            let of = |trial| circumstance(trial, &observed);
            trials.iter().filter_map(of).collect::<Vec<_>>()
        })
        .collect();
    if circumstances.is_empty() {
        return None;
    }

    let key = Draw::new(SEED).of("election");
    let drawn: Vec<(f64, f64)> =
        (0..DRAWS).map(|n| draw_election(&timing, &circumstances, key.at(n))).collect();
    let elections = sorted(drawn.iter().map(|draw| draw.0));
    let medians = medians(&elections, circumstances.len());
    let interval = Interval::central(&medians, 0.95)?;
    let measured: Vec<f64> = circumstances.iter().map(|c| c.election_ms).collect();
    let rounds: Vec<f64> = circumstances.iter().map(|c| c.vote_rounds_ms).collect();
    let survivors = circumstances.iter().map(|c| c.survivors).min()?;
    let (shortest, longest) = (timing.shortest_timeout_ms, timing.longest_timeout_ms);
    let (predicted, measured) = (quantile(&elections, 0.5)?, median(&measured)?);
    Some(Prediction {
        n: circumstances.len(),
        survivors,
        smallest_timeout_p50_ms: smallest_timeout_quantile(shortest, longest, survivors, 0.5),
        smallest_timeout_mean_ms: smallest_timeout_mean(shortest, longest, survivors),
        phase_mean_ms: drawn.iter().map(|draw| draw.1).sum::<f64>() / drawn.len() as f64,
        vote_rounds_p50_ms: median(&rounds)?,
        predicted_p50_ms: predicted,
        predicted_p50_low_ms: interval.low,
        predicted_p50_high_ms: interval.high,
        measured_p50_ms: measured,
        relative_difference: (measured - predicted) / predicted,
        quantiles_ms: (0..=100)
            .filter_map(|percent| quantile(&elections, f64::from(percent) / 100.0))
            .collect(),
    })
}

fn circumstance(trial: &Trial, observed: &[&Observed]) -> Option<Circumstance> {
    let survivors = trial.predictable_survivors()?;
    let election = trial.election()?;
    let (leader, _) = trial.leader?;
    let last = observed.partition_point(|seen| seen.at < trial.start);
    let proposals = observed[..last]
        .iter()
        .rev()
        .take_while(|seen| trial.start.since(seen.at).as_secs_f64() * 1e3 < RATE_WINDOW_MS)
        .filter(|seen| seen.node == leader && matches!(seen.event, Event::Proposed { .. }))
        .count();
    Some(Circumstance {
        survivors,
        rate: proposals as f64 / RATE_WINDOW_MS,
        vote_rounds_ms: election.vote_rounds_ms()?,
        election_ms: election.election_ms(),
    })
}

/// One drawn election: how long it takes, and the phase that it began with, in milliseconds.
fn draw_election(timing: &ElectionTiming, from: &[Circumstance], key: Draw) -> (f64, f64) {
    let pick = |purpose| &from[key.of(purpose).below(from.len() as u64) as usize];
    let circumstance = pick("circumstance");
    let timeout = smallest_timeout_quantile(
        timing.shortest_timeout_ms,
        timing.longest_timeout_ms,
        circumstance.survivors,
        key.of("timeout").unit(),
    );
    let since_heartbeat = timing.heartbeat_interval_ms * key.of("heartbeat").unit();
    let phase = match circumstance.rate {
        rate if rate > 0.0 => since_heartbeat.min(key.of("proposal").exponential(1.0 / rate)),
        _ => since_heartbeat,
    };
    (timeout - phase + pick("votes").vote_rounds_ms, phase)
}

/// Medians of `n` elections each, drawn from these.
fn medians(elections: &[f64], n: usize) -> Vec<f64> {
    let key = Draw::new(SEED).of("median");
    let pick = |key: Draw| elections[key.below(elections.len() as u64) as usize];
    (0..MEDIANS)
        .filter_map(|resample| {
            let picks: Vec<f64> = (0..n as u64).map(|i| pick(key.at(resample).at(i))).collect();
            median(&picks)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_of_four_timeouts() {
        let p50 = smallest_timeout_quantile(150.0, 300.0, 4, 0.5);
        assert!((p50 - 173.87).abs() < 0.01, "{p50}");
        assert_eq!(smallest_timeout_mean(150.0, 300.0, 4), 180.0);
        assert_eq!(smallest_timeout_quantile(150.0, 300.0, 1, 0.5), 225.0);
    }

    #[test]
    fn drawn_elections_follow_the_formula() {
        let timing = ElectionTiming {
            shortest_timeout_ms: 150.0,
            longest_timeout_ms: 300.0,
            heartbeat_interval_ms: 30.0,
        };
        let idle =
            |rate| Circumstance { survivors: 4, rate, vote_rounds_ms: 5.0, election_ms: 170.0 };
        let means = |rate| {
            let draws: Vec<(f64, f64)> = (0..20_000)
                .map(|n| draw_election(&timing, &[idle(rate)], Draw::new(1).at(n)))
                .collect();
            let mean = |of: fn(&(f64, f64)) -> f64| draws.iter().map(of).sum::<f64>() / 20_000.0;
            (mean(|draw| draw.0), mean(|draw| draw.1))
        };
        // Idle: the smallest timeout, less half a heartbeat interval, plus the vote rounds.
        let (election, phase) = means(0.0);
        assert!((election - (180.0 - 15.0 + 5.0)).abs() < 0.5, "{election}");
        assert!((phase - 15.0).abs() < 0.2, "{phase}");
        // At a proposal each millisecond the leader was heard just before the fault.
        let (election, phase) = means(1.0);
        assert!((election - 184.0).abs() < 0.6 && (phase - 1.0).abs() < 0.1, "{election} {phase}");
    }
}
