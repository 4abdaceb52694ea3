//! What the faults in force do to a replica's clock.
//!
//! A protocol tells the time by its replica's own clock, in which leases are promised, and its timers
//! run by it. The same clock stands in a real replica and in the simulator.

use std::time::Duration;

use consensus_core::Time;
use serde::{Deserialize, Serialize};

use crate::duration::Jump;

/// What a replica is told of its clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockOrder {
    /// It jumps; its timers are not moved.
    Jump(Jump),
    /// It runs at this rate from now on, and its timers with it: by how much it is too fast, in parts
    /// per million; `None`: as it does by itself.
    Rate(Option<i32>),
}

impl ClockOrder {
    /// Whether a clock that obeys still runs forward, and no more than some times too fast.
    pub const fn is_sane(&self) -> bool {
        match self {
            Self::Jump(_) | Self::Rate(None) => true,
            Self::Rate(Some(ppm)) => *ppm > -MILLION_PPM && *ppm <= MOST_PPM,
        }
    }
}

/// A clock this much too slow stands still.
const MILLION_PPM: i32 = 1_000_000;

/// The fastest clock: eleven times too fast.
const MOST_PPM: i32 = 10_000_000;

/// One replica's clock, as it would be without a fault or with one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// When it last jumped, or began to run at another rate.
    since: Time,
    /// What it showed then.
    showed: Time,
    /// By how much it is too fast, in parts per million.
    fast_ppm: i64,
    /// By how much it is too fast of itself.
    own_ppm: i64,
}

const MILLION: u64 = 1_000_000;

impl Clock {
    /// A clock that shows this now, and is too fast of itself by so many parts per million.
    pub const fn new(now: Time, shows: Time, own_ppm: i64) -> Self {
        Self { since: now, showed: shows, fast_ppm: own_ppm, own_ppm }
    }

    /// Does what it is told.
    pub fn obey(&mut self, now: Time, order: ClockOrder) {
        match order {
            ClockOrder::Jump(jump) => self.jump(now, jump),
            ClockOrder::Rate(ppm) => self.set_rate(now, ppm),
        }
    }

    /// What is left of a timer that has this long to go, counted by this clock, if it goes on by
    /// another one.
    pub fn remains(self, left: Duration, on: Self) -> Duration {
        on.really(self.passes(left))
    }

    /// What it shows.
    pub fn shows(self, now: Time) -> Time {
        self.showed + self.passes(now.since(self.since))
    }

    /// Jumps; back to zero at most.
    pub fn jump(&mut self, now: Time, Jump { by, back }: Jump) {
        let shown = self.shows(now);
        self.since = now;
        self.showed = match back {
            true => Time::ZERO + shown.since(Time::ZERO).saturating_sub(by),
            false => shown + by,
        };
    }

    /// Runs at this rate from now on, or at its own.
    pub fn set_rate(&mut self, now: Time, fast_ppm: Option<i32>) {
        self.showed = self.shows(now);
        self.since = now;
        self.fast_ppm = fast_ppm.map_or(self.own_ppm, i64::from);
    }

    /// How much passes on it while this much really does.
    pub fn passes(self, real: Duration) -> Duration {
        let nanos = u64::try_from(real.as_nanos()).unwrap_or(u64::MAX);
        // Whole milliseconds and the rest of them apart: 64 bits hold either product.
        let (whole, rest) = (nanos / MILLION, nanos % MILLION);
        let ahead = |part: u64| part.cast_signed() * self.fast_ppm;
        let ahead = ahead(whole) + ahead(rest).div_euclid(MILLION.cast_signed());
        Duration::from_nanos(nanos.checked_add_signed(ahead).expect("a clock runs forward"))
    }

    /// How long it really takes until this much has passed on it.
    pub fn really(self, shown: Duration) -> Duration {
        if self.fast_ppm == 0 {
            return shown;
        }
        let shown_per_million = MILLION.saturating_add_signed(self.fast_ppm);
        let nanos = shown.as_nanos() * u128::from(MILLION) / u128::from(shown_per_million);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
