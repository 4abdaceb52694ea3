//! How long things take: distributions of durations.

use std::{ops::Range, time::Duration};

use consensus_core::Draw;

/// A distribution of durations.
#[derive(Clone, PartialEq, Debug)]
pub enum Latency {
    /// Always the same.
    Constant(Duration),
    /// Every duration of the range is as likely as any other.
    Uniform(Range<Duration>),
    /// The logarithm is normal: most draws lie near the median, and a few far above it, as round
    /// trips and disk syncs do.
    LogNormal {
        /// Half of the draws lie below it.
        median: Duration,
        /// The standard deviation of the logarithm: 0.1 is steady; at 1, one draw in forty exceeds
        /// seven times the median.
        sigma: f64,
    },
}

impl Latency {
    /// No time at all.
    pub const NONE: Self = Self::Constant(Duration::ZERO);

    /// The duration that this key draws.
    pub fn draw(&self, draw: Draw) -> Duration {
        match self {
            Self::Constant(duration) => *duration,
            Self::Uniform(range) => draw.duration(range),
            Self::LogNormal { median, sigma } => {
                let nanos = median.as_nanos() as f64 * libm::exp(sigma * draw.normal());
                Duration::from_nanos(nanos as u64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_log_normal_lies_below_its_median() {
        let median = Duration::from_micros(250);
        let latency = Latency::LogNormal { median, sigma: 0.5 };
        let draws = (0..4_000).map(|n| latency.draw(Draw::new(3).at(n)));
        let below = draws.filter(|&drawn| drawn < median).count();
        assert!((1_880..2_120).contains(&below), "{below} of 4000 lie below");
    }

    #[test]
    fn a_uniform_draw_stays_in_its_range() {
        let range = Duration::from_micros(50)..Duration::from_micros(90);
        let latency = Latency::Uniform(range.clone());
        assert!((0..1_000).all(|n| range.contains(&latency.draw(Draw::new(4).at(n)))));
    }
}
