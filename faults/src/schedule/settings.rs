//! What a schedule sets of the protocols' parameters, where the story it tells depends on them.

use std::{collections::BTreeMap, fmt, str::FromStr};

use consensus_core::{NodeId, Settings};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Parameters that a schedule sets, alike for every protocol. What is set here stands above the
/// defaults and above the command line.
///
/// ```toml
/// [settings]
/// snapshot_after = "64KiB"
/// retained       = "0B"
/// leases         = true
/// max_clock_drift_ppm = 1000
/// priorities     = [[1, 10], [2, 5]]
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overrides {
    /// [`Settings::snapshot_after_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_after: Option<Size>,
    /// [`Settings::retained_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retained: Option<Size>,
    /// [`Settings::leases`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leases: Option<bool>,
    /// [`Settings::max_clock_drift_ppm`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_clock_drift_ppm: Option<u32>,
    /// [`Settings::priorities`]: pairs of a node and its priority.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priorities: Vec<(NodeId, u8)>,
}

impl Overrides {
    /// Whether it sets nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The parameters with what is set here.
    pub fn apply(&self, settings: Settings) -> Settings {
        let bytes = |size: Option<Size>, before| size.map_or(before, |size| size.0);
        let priorities: BTreeMap<_, _> = self.priorities.iter().copied().collect();
        Settings {
            snapshot_after_bytes: bytes(self.snapshot_after, settings.snapshot_after_bytes),
            retained_bytes: bytes(self.retained, settings.retained_bytes),
            leases: self.leases.unwrap_or(settings.leases),
            max_clock_drift_ppm: self.max_clock_drift_ppm.unwrap_or(settings.max_clock_drift_ppm),
            priorities: if priorities.is_empty() { settings.priorities } else { priorities },
            ..settings
        }
    }
}

/// A number of bytes, written with its unit: `"4096B"`, `"64KiB"`, `"8MiB"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Size(pub usize);

/// The units, largest first, in bytes.
const UNITS: [(&str, usize); 3] = [("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let unit = UNITS.iter().find_map(|&(name, unit)| Some((text.strip_suffix(name)?, unit)));
        let parsed = unit.and_then(|(number, unit)| {
            number.trim().parse::<usize>().ok().and_then(|number| number.checked_mul(unit))
        });
        parsed.map(Self).ok_or_else(|| SizeError(text.to_owned()))
    }
}

/// What is no size.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no size: write a whole number and a unit (B, KiB, MiB), such as \"64KiB\"")]
pub struct SizeError(pub String);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = UNITS
            .iter()
            .find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit))
            .unwrap_or(&UNITS[2]);
        write!(f, "{}{name}", self.0 / unit)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_with_their_units() {
        for (text, bytes) in [("0B", 0), ("1000B", 1_000), ("64KiB", 65_536), ("8MiB", 8 << 20)] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        for wrong in ["64", "64KB", "-1B", "much", "99999999999999999999MiB"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_set_stands_above_what_was() {
        let settings = Settings::new(NodeId(1), vec![NodeId(1)]);
        assert_eq!(Overrides::default().apply(settings.clone()), settings);
        let overrides = Overrides { snapshot_after: Some(Size(9)), ..Overrides::default() };
        let set = overrides.apply(settings.clone());
        assert_eq!(set, Settings { snapshot_after_bytes: 9, ..settings });
    }
}
