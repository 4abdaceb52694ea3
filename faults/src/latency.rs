//! How long things take: distributions of durations, and how people write them.

use std::{fmt, ops::Range, str::FromStr, time::Duration};

use consensus_core::Draw;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::duration;

/// A distribution of durations. In a schedule: `"5ms"` is constant, `"2ms..30ms"` uniform, and
/// `"100us, sigma 0.25"` log-normal with this median.
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

    /// Half of all draws lie below it.
    pub fn median(&self) -> Duration {
        match self {
            Self::Constant(duration) => *duration,
            Self::Uniform(range) => (range.start + range.end) / 2,
            Self::LogNormal { median, .. } => *median,
        }
    }

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

/// What is no latency.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is no latency: write a time (\"5ms\"), a range (\"2ms..30ms\"), or a median with the \
     logarithm's deviation (\"100us, sigma 0.25\")"
)]
pub struct LatencyError(pub String);

impl FromStr for Latency {
    type Err = LatencyError;

    fn from_str(text: &str) -> Result<Self, LatencyError> {
        let error = || LatencyError(text.to_owned());
        let time = |text: &str| duration::parse(text).map_err(|_| error());
        if let Some((from, to)) = text.split_once("..") {
            let range = time(from)?..time(to)?;
            return if range.start <= range.end { Ok(Self::Uniform(range)) } else { Err(error()) };
        }
        let Some((median, sigma)) = text.split_once(", sigma ") else {
            return Ok(Self::Constant(time(text)?));
        };
        let sigma = sigma.parse::<f64>().ok().filter(|sigma| (0.0..=10.0).contains(sigma));
        Ok(Self::LogNormal { median: time(median)?, sigma: sigma.ok_or_else(error)? })
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = duration::format;
        match self {
            Self::Constant(duration) => f.write_str(&time(*duration)),
            Self::Uniform(Range { start, end }) => write!(f, "{}..{}", time(*start), time(*end)),
            Self::LogNormal { median, sigma } => write!(f, "{}, sigma {sigma}", time(*median)),
        }
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_latencies_like_these() {
        for text in ["5ms", "0s..20ms", "100us, sigma 0.25"] {
            assert_eq!(text.parse::<Latency>().unwrap().to_string(), text);
        }
        for wrong in ["", "5", "30ms..2ms", "1ms, sigma -1", "1ms, sigma much", "1ms sigma 1"] {
            assert!(wrong.parse::<Latency>().is_err(), "{wrong}");
        }
    }

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
