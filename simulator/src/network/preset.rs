//! Networks by name.

use std::{collections::BTreeMap, fmt, ops::Range, str::FromStr, time::Duration};

use consensus_core::{Draw, NodeId, Settings};
use faults::Latency;

use super::{LinkModel, NetworkModel};

/// A network that is known by its name.
///
/// | name | replicas | round trip | line |
/// |---|---|---|---|
/// | `loopback` | on one machine | about 80 µs, with a long tail | |
/// | `lan` | on one switched network | about 500 µs | 1 Gbit/s |
/// | `three-zones` | in three zones of one region, in turn | 500 µs in a zone, 1.5 ms between zones | 1 Gbit/s |
/// | `five-regions` | in five regions of the world, in turn | 1.5 ms in a region, 89 to 298 ms ([`ROUND_TRIPS_MS`]) between regions | 1 Gbit/s, between regions 100 Mbit/s |
///
/// The round trip between zones stays below the approximately 2 ms that Azure's documentation gave
/// for its availability zones ("What are availability zones?", until February 2025). The widths of
/// the lines are assumptions: what a small virtual machine is commonly sold with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Preset {
    /// Everything on one machine.
    Loopback,
    /// One switched local network.
    #[default]
    Lan,
    /// Three availability zones of one region.
    ThreeZones,
    /// Five regions of the world: Virginia, the Netherlands, Tokyo, New South Wales, São Paulo.
    FiveRegions,
}

/// The five regions, in the order of their sites, as Azure calls them.
pub const REGIONS: [&str; 5] =
    ["East US", "West Europe", "Japan East", "Australia East", "Brazil South"];

/// Round trips between regions, in milliseconds: by the places in [`REGIONS`] of the two.
///
/// Source: Microsoft, "Azure network round-trip latency statistics", the table of 30 July 2026: the
/// 95th percentiles of 30 days of probes between regions. Of the two directions, the row of the one
/// that stands first in [`REGIONS`] is taken. Here half of all messages meet these round trips: a
/// little more than the half that the source would give, for it has no medians.
pub const ROUND_TRIPS_MS: [((usize, usize), u64); 10] = [
    ((0, 1), 89),
    ((0, 2), 165),
    ((0, 3), 207),
    ((0, 4), 119),
    ((1, 2), 240),
    ((1, 3), 282),
    ((1, 4), 189),
    ((2, 3), 105),
    ((2, 4), 275),
    ((3, 4), 298),
];

const GIGABIT: u64 = 125_000_000;

impl Preset {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Loopback, Self::Lan, Self::ThreeZones, Self::FiveRegions];

    /// Its name, on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Lan => "lan",
            Self::ThreeZones => "three-zones",
            Self::FiveRegions => "five-regions",
        }
    }

    /// The network itself.
    pub fn model(self) -> NetworkModel {
        let near = log_normal(Duration::from_micros(250), 0.3);
        let site = LinkModel::of(near).with_bandwidth(GIGABIT);
        match self {
            Self::Loopback => {
                let latency = log_normal(Duration::from_micros(40), 0.4);
                NetworkModel::flat(self.name(), LinkModel::of(latency))
            }
            Self::Lan => NetworkModel::flat(self.name(), site),
            Self::ThreeZones => {
                let zones = zones().with_bandwidth(GIGABIT);
                let pairs = [(0, 1), (0, 2), (1, 2)];
                NetworkModel {
                    sites: 3,
                    between: pairs.map(|pair| (pair, zones.clone())).into(),
                    ..NetworkModel::flat(self.name(), site)
                }
            }
            Self::FiveRegions => {
                let between: BTreeMap<_, _> =
                    ROUND_TRIPS_MS.map(|(pair, millis)| (pair, wide(millis))).into();
                // Two replicas of one region are in different zones of it.
                let region = zones().with_bandwidth(GIGABIT);
                let sites = REGIONS.len();
                NetworkModel { sites, between, ..NetworkModel::flat(self.name(), region) }
            }
        }
    }

    /// How many times longer than by default everybody must wait for somebody else: election
    /// timeouts, heartbeats, clients' patience, and every bound that a schedule sets on them.
    ///
    /// The default election timeout begins at 150 ms, and a campaign asks a quorum twice (pre-vote,
    /// vote). Across the regions that takes 2 × 207 ms from the remotest one, and up to 2 × 298 ms
    /// once others are dead. So timeouts begin at 750 ms there, and their range is wider than any of
    /// these round trips, so that two candidates seldom meet. Heartbeats keep their share of it.
    pub const fn stretch(self) -> u32 {
        match self {
            Self::Loopback | Self::Lan | Self::ThreeZones => 1,
            Self::FiveRegions => 5,
        }
    }

    /// The range of election timeouts and the heartbeat interval that this network wants.
    pub fn timing(self) -> (Range<Duration>, Duration) {
        let defaults = Settings::new(NodeId(1), vec![NodeId(1)]);
        let Range { start, end } = defaults.election_timeout;
        let stretch = self.stretch();
        (start * stretch..end * stretch, defaults.heartbeat_interval * stretch)
    }

    /// The network that a seed draws: mostly one region.
    pub fn drawn(seed: u64) -> Self {
        let which = Draw::new(seed).of("where").below(10);
        match which {
            0 | 1 => Self::Loopback,
            2..=5 => Self::Lan,
            6..=8 => Self::ThreeZones,
            _ => Self::FiveRegions,
        }
    }
}

fn log_normal(median: Duration, sigma: f64) -> Latency {
    Latency::LogNormal { median, sigma }
}

/// A link between two zones of a region.
fn zones() -> LinkModel {
    LinkModel::of(log_normal(Duration::from_micros(750), 0.2))
}

/// A link between two regions with this round trip: steady, for distance is most of it.
fn wide(round_trip_ms: u64) -> LinkModel {
    let one_way = Duration::from_millis(round_trip_ms) / 2;
    LinkModel::of(log_normal(one_way, 0.02)).with_bandwidth(GIGABIT / 10)
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = UnknownNetwork;

    fn from_str(text: &str) -> Result<Self, UnknownNetwork> {
        let known = Self::ALL.into_iter().find(|preset| preset.name() == text);
        known.ok_or_else(|| UnknownNetwork(text.to_owned()))
    }
}

/// What is no network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no network '{0}'; there are: loopback, lan, three-zones, five-regions")]
pub struct UnknownNetwork(pub String);
