//! Two protocols' samples, compared: difference, ratio, their intervals, effect and equivalence.

use serde::{Deserialize, Serialize};

use super::{
    bootstrap::{Interval, RESAMPLES, key, median, quantile_draws},
    quantiles::{carries, quantile},
    tests_of_rank::{RankTest, mann_whitney},
};

/// The margin of the equivalence test: ratios between 1/1.1 and 1.1 count as no difference.
pub const EQUIVALENCE_MARGIN: f64 = 0.10;
/// The fewest samples or runs of each side that have an interval.
const FEWEST: usize = 5;

/// What the intervals of a comparison describe.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// The samples of one run on each side. The intervals say how sure the numbers of *these two
    /// runs* are, and nothing about how another run would turn out.
    WithinOneRun,
    /// Several runs on each side, each one number.
    Runs,
    /// Several runs on each side, paired by seed, each one number.
    PairedRuns,
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::WithinOneRun => "samples within one run each",
            Self::Runs => "runs",
            Self::PairedRuns => "runs, paired by seed",
        })
    }
}

/// What may be claimed of two sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Equivalence {
    /// The 90 % interval of the ratio lies within the margin (two one-sided tests at 5 %), and its
    /// 95 % interval holds 1.
    Equivalent,
    /// The 90 % interval of the ratio lies within the margin, but its 95 % interval excludes 1: there
    /// is a difference, and it is smaller than the margin.
    SlightlyDifferent,
    /// The 95 % interval of the ratio excludes 1, and reaches beyond the margin.
    Different,
    /// Neither can be claimed: too few samples for this spread.
    Inconclusive,
}

/// A comparison of one quantile between two sides.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// What the intervals describe.
    pub unit: Unit,
    /// How many units each side has: samples, or runs.
    pub n: [usize; 2],
    /// Which quantile is compared.
    pub quantile: f64,
    /// It, on the first side.
    pub first: f64,
    /// It, on the second side.
    pub second: f64,
    /// Second less first.
    pub difference: f64,
    /// The difference's 95 % bootstrap interval; `None` of fewer than five units.
    pub difference_interval: Option<Interval>,
    /// Second by first; `None` if the first is zero.
    pub ratio: Option<f64>,
    /// The ratio's 95 % bootstrap interval.
    pub ratio_interval: Option<Interval>,
    /// The Mann–Whitney test over the units, first against second.
    pub test: Option<RankTest>,
    /// What may be claimed, at [`EQUIVALENCE_MARGIN`].
    pub equivalence: Equivalence,
}

/// Compares the `p`-quantile of two sides. Each side is its runs: a seed, and the run's samples in
/// ascending order. `None` where the samples of a run do not carry the quantile.
pub fn compare(first: &[(u64, &[f64])], second: &[(u64, &[f64])], p: f64) -> Option<Comparison> {
    let of_runs = |runs: &[(u64, &[f64])]| -> Option<Vec<f64>> {
        let one =
            |samples: &[f64]| carries(samples.len(), p).then(|| quantile(samples, p)).flatten();
        runs.iter().map(|(_, samples)| one(samples)).collect()
    };
    let values = [of_runs(first)?, of_runs(second)?];
    let [a, b] = [median(&values[0])?, median(&values[1])?];

    let unit = unit(first, second);
    let units: [&[f64]; 2] = match unit {
        Unit::WithinOneRun => [first[0].1, second[0].1],
        Unit::Runs | Unit::PairedRuns => [&values[0], &values[1]],
    };
    let draws = match unit {
        _ if units.iter().any(|units| units.len() < FEWEST) => None,
        Unit::WithinOneRun => Some(
            [("first", units[0]), ("second", units[1])]
                .map(|(side, samples)| quantile_draws(samples, p, key(side))),
        ),
        Unit::Runs => Some([("first", units[0]), ("second", units[1])].map(|(side, runs)| {
            quantile_draws(&super::sorted(runs.iter().copied()), 0.5, key(side))
        })),
        Unit::PairedRuns => Some(paired_draws(first, second, &values)),
    };

    let interval = |combine: fn(f64, f64) -> f64, share| {
        let [first, second] = draws.as_ref()?;
        let combined: Vec<f64> = first.iter().zip(second).map(|(&a, &b)| combine(a, b)).collect();
        Interval::central(&combined, share)
    };
    let ratio = |a: f64, b: f64| b / a;
    let ratio_interval = interval(ratio, 0.95);
    Some(Comparison {
        unit,
        n: units.map(<[f64]>::len),
        quantile: p,
        first: a,
        second: b,
        difference: b - a,
        difference_interval: interval(|a, b| b - a, 0.95),
        ratio: (a != 0.0).then(|| b / a),
        ratio_interval,
        test: mann_whitney(units[0], units[1]),
        equivalence: judge(ratio_interval, interval(ratio, 0.90)),
    })
}

/// What the intervals of two sides can describe.
fn unit(first: &[(u64, &[f64])], second: &[(u64, &[f64])]) -> Unit {
    let seeds = |runs: &[(u64, &[f64])]| {
        let mut seeds: Vec<u64> = runs.iter().map(|&(seed, _)| seed).collect();
        seeds.sort_unstable();
        seeds
    };
    match (first.len(), second.len()) {
        (1, 1) => Unit::WithinOneRun,
        _ if seeds(first) == seeds(second) => Unit::PairedRuns,
        _ => Unit::Runs,
    }
}

/// Draws pairs of runs anew, and takes both sides' medians of the same pairs.
fn paired_draws(
    first: &[(u64, &[f64])],
    second: &[(u64, &[f64])],
    values: &[Vec<f64>; 2],
) -> [Vec<f64>; 2] {
    let by_seed = |runs: &[(u64, &[f64])], values: &[f64]| {
        let mut pairs: Vec<(u64, f64)> =
            runs.iter().zip(values).map(|(&(seed, _), &value)| (seed, value)).collect();
        pairs.sort_unstable_by_key(|pair| pair.0);
        pairs
    };
    let sides = [by_seed(first, &values[0]), by_seed(second, &values[1])];
    let n = sides[0].len() as u64;
    sides.map(|side| {
        (0..RESAMPLES)
            .map(|resample| {
                let key = key("pairs").at(resample);
                let picks: Vec<f64> = (0..n).map(|i| side[key.at(i).below(n) as usize].1).collect();
                median(&picks).expect("a resample of at least one pair")
            })
            .collect()
    })
}

/// The claim that the two intervals of a ratio allow.
fn judge(at_95: Option<Interval>, at_90: Option<Interval>) -> Equivalence {
    let margin = Interval { low: 1.0 / (1.0 + EQUIVALENCE_MARGIN), high: 1.0 + EQUIVALENCE_MARGIN };
    let small = at_90.is_some_and(|narrow| narrow.within(&margin));
    let differs = at_95.is_some_and(|wide| !wide.contains(1.0));
    match (differs, small) {
        (true, true) => Equivalence::SlightlyDifferent,
        (true, false) => Equivalence::Different,
        (false, true) => Equivalence::Equivalent,
        (false, false) => Equivalence::Inconclusive,
    }
}

#[cfg(test)]
mod tests {
    use consensus_core::Draw;

    use super::*;

    fn samples(n: u64, center: f64, spread: f64) -> Vec<f64> {
        let draw = |i| center + spread * Draw::new(9).of("s").at(i).at(center as u64).normal();
        super::super::sorted((0..n).map(draw))
    }

    fn between(a: &[f64], b: &[f64]) -> Comparison {
        compare(&[(1, a)], &[(1, b)], 0.5).unwrap()
    }

    #[test]
    fn a_clear_difference_is_found_with_its_size() {
        let (a, b) = (samples(200, 180.0, 20.0), samples(200, 240.0, 20.0));
        let found = between(&a, &b);
        assert_eq!(found.unit, Unit::WithinOneRun);
        assert_eq!(found.equivalence, Equivalence::Different);
        assert!(found.difference_interval.unwrap().contains(60.0), "{found:?}");
        assert!(found.test.unwrap().p_value < 1e-6 && found.test.unwrap().cliffs_delta < -0.9);
    }

    #[test]
    fn no_difference_must_be_shown_not_assumed() {
        let (many, more) = (samples(2_000, 180.0, 20.0), samples(2_000, 181.0, 20.0));
        assert_eq!(between(&many, &more).equivalence, Equivalence::Equivalent);
        let (few, fewer) = (samples(8, 180.0, 60.0), samples(8, 181.0, 60.0));
        assert_eq!(between(&few, &fewer).equivalence, Equivalence::Inconclusive);
    }

    #[test]
    fn a_small_difference_is_still_one() {
        let (a, b) = (samples(2_000, 180.0, 5.0), samples(2_000, 184.0, 5.0));
        assert_eq!(between(&a, &b).equivalence, Equivalence::SlightlyDifferent);
    }

    #[test]
    fn several_runs_are_one_number_each_and_pair_by_seed() {
        let runs: Vec<Vec<f64>> = (0..6).map(|i| samples(20, 100.0 + f64::from(i), 5.0)).collect();
        let slower: Vec<Vec<f64>> =
            runs.iter().map(|run| run.iter().map(|x| x + 10.0).collect()).collect();
        let seeded = |runs: &'_ [Vec<f64>], from: u64| -> Vec<(u64, Vec<f64>)> {
            (from..).zip(runs.iter().cloned()).collect()
        };
        fn borrow(runs: &[(u64, Vec<f64>)]) -> Vec<(u64, &[f64])> {
            runs.iter().map(|(seed, run)| (*seed, run.as_slice())).collect()
        }
        let (a, b, c) = (seeded(&runs, 1), seeded(&slower, 1), seeded(&slower, 50));
        let paired = compare(&borrow(&a), &borrow(&b), 0.5).unwrap();
        let apart = compare(&borrow(&a), &borrow(&c), 0.5).unwrap();
        assert_eq!((paired.unit, apart.unit), (Unit::PairedRuns, Unit::Runs));
        assert_eq!((paired.n, paired.quantile), ([6, 6], 0.5));
        let [paired, apart] = [paired, apart].map(|c| c.difference_interval.unwrap());
        assert!((paired.low - 10.0).abs() < 1e-9 && (paired.high - 10.0).abs() < 1e-9);
        assert!(apart.high - apart.low > paired.high - paired.low);
    }

    #[test]
    fn a_quantile_that_is_not_carried_is_not_compared() {
        let few = samples(50, 180.0, 20.0);
        assert!(compare(&[(1, &few)], &[(1, &few)], 0.99).is_none());
        assert!(compare(&[], &[(1, &few)], 0.5).is_none());
    }
}
