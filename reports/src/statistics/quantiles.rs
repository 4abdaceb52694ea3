//! Exact quantiles, and which of them a sample carries.

use serde::{Deserialize, Serialize};

/// How many samples must lie beyond a quantile before it is given.
const SAMPLES_BEYOND: f64 = 10.0;

/// Whether `n` samples carry the `p`-quantile: ten must lie beyond it, so p90 takes 100 samples,
/// p99 takes 1,000 and p999 takes 10,000. The median is always given, with its interval.
pub fn carries(n: usize, p: f64) -> bool {
    // The slack keeps 1,000 × (1 − 0.99) from being 9.999….
    n > 0 && (p <= 0.5 || n as f64 * (1.0 - p) > SAMPLES_BEYOND - 1e-6)
}

/// The samples in ascending order, without those that are no numbers.
pub fn sorted(samples: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut samples: Vec<f64> = samples.into_iter().filter(|sample| sample.is_finite()).collect();
    samples.sort_unstable_by(f64::total_cmp);
    samples
}

/// The `p`-quantile of ascending samples, with linear interpolation between the two nearest
/// (Hyndman and Fan 1996, definition 7); `None` of no samples.
pub fn quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = p.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64))
}

/// A distribution in a few numbers; all in the unit of the samples, and null where there are too
/// few of them.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many samples there are.
    pub n: usize,
    /// The smallest.
    pub min: Option<f64>,
    /// The median.
    pub p50: Option<f64>,
    /// The lower end of the median's 95 % bootstrap interval; null below 5 samples.
    pub p50_low: Option<f64>,
    /// The upper end of the median's 95 % bootstrap interval; null below 5 samples.
    pub p50_high: Option<f64>,
    /// The mean; never to be read alone.
    pub mean: Option<f64>,
    /// The 90 % quantile, from 100 samples up.
    pub p90: Option<f64>,
    /// The 95 % quantile, from 200 samples up.
    pub p95: Option<f64>,
    /// The 99 % quantile, from 1,000 samples up.
    pub p99: Option<f64>,
    /// The 99.9 % quantile, from 10,000 samples up.
    pub p999: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
}

impl Quantiles {
    /// The distribution of these ascending samples.
    pub fn of(sorted: &[f64]) -> Self {
        let given = |p| carries(sorted.len(), p).then(|| quantile(sorted, p)).flatten();
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        let interval = super::quantile_interval(sorted, 0.5);
        Self {
            n: sorted.len(),
            min: sorted.first().copied(),
            p50: given(0.5),
            p50_low: interval.map(|interval| interval.low),
            p50_high: interval.map(|interval| interval.high),
            mean: (!sorted.is_empty()).then_some(mean),
            p90: given(0.9),
            p95: given(0.95),
            p99: given(0.99),
            p999: given(0.999),
            max: sorted.last().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_known_samples() {
        let samples = sorted([4.0, 1.0, 3.0, 2.0, f64::NAN]);
        assert_eq!(samples, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(quantile(&samples, 0.5), Some(2.5));
        assert_eq!(quantile(&samples, 0.25), Some(1.75));
        assert_eq!(quantile(&samples, 1.0), Some(4.0));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
    }

    #[test]
    fn a_quantile_is_given_only_where_ten_samples_lie_beyond_it() {
        let of = |n: u32| Quantiles::of(&sorted((0..n).map(f64::from)));
        assert_eq!(of(99).p90, None);
        assert!(of(100).p90.is_some() && of(199).p95.is_none() && of(200).p95.is_some());
        assert_eq!(of(999).p99, None);
        assert_eq!(of(1_000).p99, Some(989.01));
        assert!(of(9_999).p999.is_none() && of(10_000).p999.is_some());
    }

    #[test]
    fn no_samples_give_no_numbers() {
        assert_eq!(Quantiles::of(&[]), Quantiles::default());
    }
}
