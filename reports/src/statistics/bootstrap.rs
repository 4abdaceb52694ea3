//! Bootstrap intervals, from keyed draws: the same samples give the same interval, always.

use consensus_core::Draw;
use serde::{Deserialize, Serialize};

use super::quantiles::quantile;

/// How often samples are drawn anew.
pub(super) const RESAMPLES: u64 = 2_000;
/// The seed of the resampling; any fixed number would do.
const SEED: u64 = 0x00b0_0757;
/// The fewest samples of which an interval means anything.
const FEWEST: usize = 5;
/// Up to this many samples are drawn one by one; of more, the order statistic is drawn directly.
const DIRECT: usize = 300;

/// An interval, in the unit of what it is about.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// The central interval that holds this share of the draws; `None` of no draws.
    pub fn central(draws: &[f64], share: f64) -> Option<Self> {
        let draws = super::sorted(draws.iter().copied());
        let tail = (1.0 - share) / 2.0;
        Some(Self { low: quantile(&draws, tail)?, high: quantile(&draws, 1.0 - tail)? })
    }

    /// Whether the interval lies wholly within another.
    pub fn within(&self, other: &Self) -> bool {
        self.low >= other.low && self.high <= other.high
    }

    /// Whether the value lies in it.
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// The median of samples in any order; `None` of none.
pub fn median(samples: &[f64]) -> Option<f64> {
    quantile(&super::sorted(samples.iter().copied()), 0.5)
}

/// The 95 % percentile-bootstrap interval of the `p`-quantile; `None` below five samples.
pub fn quantile_interval(sorted: &[f64], p: f64) -> Option<Interval> {
    let enough = sorted.len() >= FEWEST;
    enough.then(|| Interval::central(&quantile_draws(sorted, p, key("interval")), 0.95)).flatten()
}

/// The key of the draws for one purpose.
pub(super) fn key(purpose: &str) -> Draw {
    Draw::new(SEED).of(purpose)
}

/// The `p`-quantiles of as many resamples of these ascending samples as a bootstrap takes.
pub fn quantile_draws(sorted: &[f64], p: f64, key: Draw) -> Vec<f64> {
    if sorted.is_empty() {
        return Vec::new();
    }
    let one = if sorted.len() <= DIRECT { resampled_quantile } else { resampled_order_statistic };
    (0..RESAMPLES).map(|n| one(sorted, p, key.at(n))).collect()
}

/// Draws a whole resample and takes its quantile.
fn resampled_quantile(sorted: &[f64], p: f64, key: Draw) -> f64 {
    let n = sorted.len() as u64;
    let mut picks: Vec<f64> = (0..n).map(|i| sorted[key.at(i).below(n) as usize]).collect();
    picks.sort_unstable_by(f64::total_cmp);
    quantile(&picks, p).expect("a resample is as large as its sample, which is not empty")
}

/// Draws the quantile of a resample without drawing the resample.
///
/// The r-th smallest of n draws from the samples is the sample at the r-th smallest of n uniform
/// draws, and that is distributed as Beta(r, n − r + 1): a ratio of two gamma draws.
fn resampled_order_statistic(sorted: &[f64], p: f64, key: Draw) -> f64 {
    let n = sorted.len() as f64;
    let rank = (p * (n - 1.0)).round() + 1.0;
    let below = gamma(rank, key.of("below"));
    let above = gamma(n - rank + 1.0, key.of("above"));
    let position = (below / (below + above) * n) as usize;
    sorted[position.min(sorted.len() - 1)]
}

/// A number from the gamma distribution of this shape (at least 1) and scale 1 (Marsaglia and
/// Tsang 2000, "A simple method for generating gamma variables").
fn gamma(shape: f64, key: Draw) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    (0..)
        .find_map(|attempt| {
            let key = key.at(attempt);
            let x = key.of("normal").normal();
            let v = (1.0 + c * x).powi(3);
            let accepted =
                v > 0.0 && key.of("uniform").unit().ln() < 0.5 * x * x + d - d * v + d * v.ln();
            accepted.then_some(d * v)
        })
        .expect("an unbounded range of attempts, each accepted with probability above 0.95")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uniform(n: u64) -> Vec<f64> {
        super::super::sorted((0..n).map(|i| Draw::new(4).of("sample").at(i).unit()))
    }

    #[test]
    fn the_interval_holds_the_median_and_narrows_with_more_samples() {
        let (few, many) = (uniform(20), uniform(20_000));
        let [wide, narrow] = [&few, &many].map(|s| quantile_interval(s, 0.5).unwrap());
        assert!(wide.contains(quantile(&few, 0.5).unwrap()));
        assert!(narrow.contains(0.5));
        assert!(narrow.high - narrow.low < (wide.high - wide.low) / 5.0);
    }

    #[test]
    fn both_ways_of_drawing_agree() {
        let samples = uniform(300);
        let of = |one: fn(&[f64], f64, Draw) -> f64| {
            let draws: Vec<f64> = (0..4_000).map(|n| one(&samples, 0.9, key("x").at(n))).collect();
            Interval::central(&draws, 0.95).unwrap()
        };
        let (direct, order) = (of(resampled_quantile), of(resampled_order_statistic));
        assert!((direct.low - order.low).abs() < 0.01, "{direct:?} {order:?}");
        assert!((direct.high - order.high).abs() < 0.01, "{direct:?} {order:?}");
    }

    #[test]
    fn a_known_interval() {
        // The interval of a median from order statistics: for n = 100 uniform samples the ranks
        // 40 and 61 bound it at 95 % (binomial), so about 0.40 to 0.60.
        let samples: Vec<f64> = (0..100).map(|i| (f64::from(i) + 0.5) / 100.0).collect();
        let interval = quantile_interval(&samples, 0.5).unwrap();
        assert!((interval.low - 0.405).abs() < 0.02, "{interval:?}");
        assert!((interval.high - 0.595).abs() < 0.02, "{interval:?}");
    }

    #[test]
    fn the_gamma_draws_have_their_mean_and_variance() {
        let draws: Vec<f64> = (0..20_000).map(|n| gamma(7.0, key("gamma").at(n))).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!((mean - 7.0).abs() < 0.1 && (variance - 7.0).abs() < 0.4, "{mean} {variance}");
    }

    #[test]
    fn too_few_samples_have_no_interval() {
        assert_eq!(quantile_interval(&[1.0, 2.0, 3.0, 4.0], 0.5), None);
    }
}
