//! Times as people write them: `"150ms"`, `"5s"`, `"1.5s"`, `"2m"`; delays with a spread,
//! `"50ms~10ms"`; and jumps of a clock, `"-2s"`.

use std::{fmt, str::FromStr, time::Duration};

use consensus_core::Draw;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The units, largest first, in nanoseconds.
const UNITS: [(&str, u128); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// No time in a schedule is longer than a day: longer is a slip of the pen.
pub const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Reads a duration: a number, a unit.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError(text.to_owned());
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut total = whole.parse::<u128>().map_err(|_| error())?.saturating_mul(*nanos);
    if number.contains('.') {
        // Exact decimal arithmetic: what is written in a resolved schedule comes back unchanged.
        let scale = 10u128.checked_pow(u32::try_from(fraction.len()).map_err(|_| error())?);
        let part = fraction.parse::<u64>().map_err(|_| error())?;
        total += u128::from(part) * nanos / scale.ok_or_else(error)?;
    }
    let duration = Duration::from_nanos(u64::try_from(total).map_err(|_| error())?);
    if duration > LONGEST { Err(error()) } else { Ok(duration) }
}

/// Writes a duration in the largest unit, up to seconds, that takes no fraction.
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (name, unit) = UNITS[2..]
        .iter()
        .find(|(_, unit)| nanos.is_multiple_of(*unit))
        .expect("every number of nanoseconds is a multiple of one");
    format!("{}{name}", nanos / unit)
}

/// What is no duration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is no time: write a number and a unit (ns, us, ms, s, m, h), such as \"150ms\" or \"5s\", \
     of at most 24h"
)]
pub struct DurationError(pub String);

/// A delay with a spread around it: `"50ms~10ms"` is uniform between 40 and 60 ms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Delay {
    /// The middle.
    pub middle: Duration,
    /// How far it strays, either way.
    pub spread: Duration,
}

impl Delay {
    /// Whether it is no delay at all.
    pub const fn is_none(&self) -> bool {
        self.middle.is_zero() && self.spread.is_zero()
    }

    /// Draws a delay.
    pub fn draw(&self, draw: Draw) -> Duration {
        let low = self.middle.saturating_sub(self.spread);
        draw.duration(&(low..self.middle + self.spread))
    }
}

impl FromStr for Delay {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        match text.split_once('~') {
            Some((middle, spread)) => Ok(Self { middle: parse(middle)?, spread: parse(spread)? }),
            None => Ok(Self { middle: parse(text)?, spread: Duration::ZERO }),
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format(self.middle))?;
        if self.spread.is_zero() { Ok(()) } else { write!(f, "~{}", format(self.spread)) }
    }
}

impl Serialize for Delay {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// How far a clock jumps: `"500ms"` forward, `"-500ms"` back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Jump {
    /// How far.
    pub by: Duration,
    /// Whether it is back.
    pub back: bool,
}

impl FromStr for Jump {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        match text.trim().strip_prefix('-') {
            Some(by) => Ok(Self { by: parse(by)?, back: true }),
            None => Ok(Self { by: parse(text)?, back: false }),
        }
    }
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.back { "-" } else { "" }, format(self.by))
    }
}

impl Serialize for Jump {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Jump {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// For serde's `with`: a [`Duration`] as text.
pub mod text {
    use super::{Deserialize, Deserializer, Duration, Serializer, de, format, parse};

    /// Writes it.
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format(*duration))
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        parse(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

/// For serde's `with`: an optional [`Duration`] as text.
pub mod optional {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer, text};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Text(#[serde(with = "text")] Duration);

    /// Writes it.
    pub fn serialize<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        value.map(Text).serialize(to)
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Text>::deserialize(from)?.map(|text| text.0))
    }
}

/// For serde's `with`: a table of named [`Duration`]s as text.
pub mod table {
    use std::collections::BTreeMap;

    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer, text};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Text(#[serde(with = "text")] Duration);

    /// Writes it.
    pub fn serialize<S: Serializer>(
        table: &BTreeMap<String, Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_map(table.iter().map(|(name, duration)| (name, Text(*duration))))
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<String, Duration>, D::Error> {
        let table = BTreeMap::<String, Text>::deserialize(from)?;
        Ok(table.into_iter().map(|(name, text)| (name, text.0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_write_times_like_these() {
        assert_eq!(parse("150ms").unwrap(), Duration::from_millis(150));
        assert_eq!(parse("1.5s").unwrap(), Duration::from_millis(1_500));
        assert_eq!(parse("2 m").unwrap(), Duration::from_secs(120));
        for wrong in ["", "5", "ms", "-1s", "5 parsecs", "1..5s", "1.s", "25h", "9999999999999999h"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_delay_strays_no_farther_than_its_spread() {
        let delay: Delay = "50ms~10ms".parse().unwrap();
        let draws: Vec<_> = (0..1_000).map(|n| delay.draw(Draw::new(1).at(n))).collect();
        let millis = |n| Duration::from_millis(n);
        assert!(draws.iter().all(|&d| d >= millis(40) && d < millis(60)));
        assert!(draws.iter().any(|&d| d < millis(42)) && draws.iter().any(|&d| d > millis(58)));
        assert_eq!(delay.to_string(), "50ms~10ms");
    }

    #[test]
    fn clocks_jump_forward_and_back() {
        for (text, back) in [("500ms", false), ("-500ms", true)] {
            let jump: Jump = text.parse().unwrap();
            assert_eq!(jump, Jump { by: Duration::from_millis(500), back });
            assert_eq!(jump.to_string(), text);
        }
        assert!("--1s".parse::<Jump>().is_err() && "+1s".parse::<Jump>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos in 0..LONGEST.as_nanos() as u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&format(duration)).unwrap(), duration);
        }
    }
}
