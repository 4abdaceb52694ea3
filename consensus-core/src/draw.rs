//! Chance as a function of a key: the same key draws the same number, on every machine.
//!
//! There is no global stream of random numbers anywhere in the house. A number is drawn from what
//! it is *for* (the seed, the link, the how-many-th message), so that two protocols that send
//! different messages still meet the same network.
//!
//! Logarithms and the like come from `libm`, which is the same code everywhere: those of `f64` are the
//! platform's own, and no two platforms round alike.

use std::{ops::Range, time::Duration};

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// A draw's key, built up part by part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The root of all draws under a seed.
    pub fn new(seed: u64) -> Self {
        Self(xxh3_64_with_seed(b"draw", seed))
    }

    /// The draw for a named purpose below this one.
    pub fn of(self, purpose: &str) -> Self {
        Self(xxh3_64_with_seed(purpose.as_bytes(), self.0))
    }

    /// The draw for a numbered thing below this one: a node, a message, a step.
    pub fn at(self, number: u64) -> Self {
        Self(xxh3_64_with_seed(&number.to_le_bytes(), self.0))
    }

    /// A number, uniform over all of `u64`.
    pub fn bits(self) -> u64 {
        xxh3_128_with_seed(b"bits", self.0) as u64
    }

    /// A number, uniform in 0 ≤ x < 1.
    pub fn unit(self) -> f64 {
        unit(self.bits())
    }

    /// Whether an event of this probability happens.
    pub fn chance(self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A number, uniform in 0 ≤ n < `bound`; zero for an empty range.
    pub fn below(self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A duration, uniform in the range; its start if the range is empty.
    pub fn duration(self, range: &Range<Duration>) -> Duration {
        let width = range.end.saturating_sub(range.start).as_nanos();
        range.start + Duration::from_nanos(self.below(u64::try_from(width).unwrap_or(u64::MAX)))
    }

    /// A number from the standard normal distribution (Box–Muller).
    pub fn normal(self) -> f64 {
        let bits = xxh3_128_with_seed(b"normal", self.0);
        let radius = (-2.0 * libm::log(1.0 - unit(bits as u64))).sqrt();
        radius * libm::cos(std::f64::consts::TAU * unit((bits >> 64) as u64))
    }

    /// A number from the exponential distribution of this mean.
    pub fn exponential(self, mean: f64) -> f64 {
        -mean * libm::log(1.0 - self.unit())
    }
}

/// The upper 53 bits, all that an `f64` holds, as a number in 0 ≤ x < 1.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_draws_the_same_number() {
        let draw = |seed| Draw::new(seed).of("link").at(3).at(17).bits();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn units_are_uniform_enough() {
        let mean = (0..10_000).map(|n| Draw::new(1).at(n).unit()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }

    #[test]
    fn the_normal_distribution_has_its_mean_and_its_spread() {
        let draws: Vec<_> = (0..10_000).map(|n| Draw::new(1).at(n).normal()).collect();
        let mean =
            |of: fn(f64) -> f64| draws.iter().map(|&drawn| of(drawn)).sum::<f64>() / 10_000.0;
        assert!(mean(|x| x).abs() < 0.03 && (mean(|x| x * x) - 1.0).abs() < 0.05);
        let beyond = draws.iter().filter(|drawn| drawn.abs() > 1.96).count();
        assert!((430..570).contains(&beyond), "{beyond} of 10000, and 500 are expected");
    }

    #[test]
    fn durations_stay_in_their_range() {
        let range = Duration::from_millis(150)..Duration::from_millis(300);
        for n in 0..1_000 {
            assert!(range.contains(&Draw::new(2).at(n).duration(&range)));
        }
        let fixed = range.start..range.start;
        assert_eq!(Draw::new(2).duration(&fixed), range.start);
    }
}
