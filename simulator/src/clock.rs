//! The replicas' own clocks, of which no two agree.

use std::{ops::Range, time::Duration};

use consensus_core::{Draw, Time};

/// How the replicas' clocks differ from each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClockModel {
    /// By how much two clocks drift apart at most, in parts per million: each runs by up to half of
    /// it too fast or too slow.
    pub drift_ppm: u32,
    /// By how much two clocks differ at the beginning, at most.
    pub offset: Duration,
}

/// One replica's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    offset: Duration,
    /// By how much it is too fast, in parts per million.
    fast_ppm: i64,
}

const MILLION: u64 = 1_000_000;

impl ClockModel {
    /// The clock that this key draws.
    pub(crate) fn draw(self, draw: Draw) -> Clock {
        let half = u64::from(self.drift_ppm) / 2;
        let fast_ppm = draw.of("rate").below(2 * half + 1).cast_signed() - half.cast_signed();
        let offset = draw.of("offset").duration(&(Duration::ZERO..self.offset));
        Clock { offset, fast_ppm }
    }
}

impl Clock {
    /// What it shows.
    pub(crate) fn shows(self, now: Time) -> Time {
        // Whole milliseconds and the rest of them apart: 64 bits hold either product.
        let (whole, rest) = (now.0 / MILLION, now.0 % MILLION);
        let ahead = |part: u64| part.cast_signed() * self.fast_ppm;
        let ahead = ahead(whole) + ahead(rest).div_euclid(MILLION.cast_signed());
        Time(now.0.checked_add_signed(ahead).expect("a clock runs forward")) + self.offset
    }

    /// How long it really takes until this much has passed on it.
    pub(crate) fn really(self, within: &Range<Duration>) -> Range<Duration> {
        if self.fast_ppm == 0 {
            return within.clone();
        }
        let shown_per_million = MILLION.saturating_add_signed(self.fast_ppm);
        let real = |shown: Duration| {
            let nanos = shown.as_nanos() * u128::from(MILLION) / u128::from(shown_per_million);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        real(within.start)..real(within.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_drift_apart_by_no_more_than_the_model_says() {
        let second = Time::ZERO + Duration::from_secs(1);
        let model = ClockModel { drift_ppm: 1_000, offset: Duration::ZERO };
        let clocks: Vec<_> = (0..200).map(|n| model.draw(Draw::new(1).at(n))).collect();
        let shown = || clocks.iter().map(|clock| clock.shows(second).0);
        let (least, most) = (shown().min().unwrap(), shown().max().unwrap());
        assert!((900_000..=1_000_000).contains(&(most - least)), "{} ns", most - least);
        for clock in clocks {
            let range = Duration::from_secs(1)..Duration::from_secs(1);
            let passed = clock.shows(Time::ZERO + clock.really(&range).start);
            assert!(passed.0.abs_diff(1_000_000_000) <= 2, "{passed:?}");
        }
    }

    #[test]
    fn without_drift_all_clocks_are_right() {
        let clock = ClockModel::default().draw(Draw::new(1));
        assert_eq!(clock.shows(Time(12_345)), Time(12_345));
        let range = Duration::from_millis(150)..Duration::from_millis(300);
        assert_eq!(clock.really(&range), range);
    }
}
