//! The replicas' own clocks, of which no two agree.

use std::time::Duration;

use consensus_core::{Draw, Time};
use faults::duration::Jump;

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

impl ClockModel {
    /// The clock that this key draws.
    pub(crate) fn draw(self, draw: Draw) -> Clock {
        let half = u64::from(self.drift_ppm) / 2;
        let fast_ppm = draw.of("rate").below(2 * half + 1).cast_signed() - half.cast_signed();
        let offset = draw.of("offset").duration(&(Duration::ZERO..self.offset));
        let (since, showed) = (Time::ZERO, Time::ZERO + offset);
        Clock { since, showed, fast_ppm, own_ppm: fast_ppm }
    }
}

impl Clock {
    /// What it shows.
    pub(crate) fn shows(self, now: Time) -> Time {
        self.showed + self.passes(now.since(self.since))
    }

    /// Jumps; back to zero at most.
    pub(crate) fn jump(&mut self, now: Time, Jump { by, back }: Jump) {
        let shown = self.shows(now);
        self.since = now;
        self.showed = match back {
            true => Time::ZERO + shown.since(Time::ZERO).saturating_sub(by),
            false => shown + by,
        };
    }

    /// Runs at this rate from now on, or at its own.
    pub(crate) fn set_rate(&mut self, now: Time, fast_ppm: Option<i32>) {
        self.showed = self.shows(now);
        self.since = now;
        self.fast_ppm = fast_ppm.map_or(self.own_ppm, i64::from);
    }

    /// How much passes on it while this much really does.
    pub(crate) fn passes(self, real: Duration) -> Duration {
        let nanos = u64::try_from(real.as_nanos()).unwrap_or(u64::MAX);
        // Whole milliseconds and the rest of them apart: 64 bits hold either product.
        let (whole, rest) = (nanos / MILLION, nanos % MILLION);
        let ahead = |part: u64| part.cast_signed() * self.fast_ppm;
        let ahead = ahead(whole) + ahead(rest).div_euclid(MILLION.cast_signed());
        Duration::from_nanos(nanos.checked_add_signed(ahead).expect("a clock runs forward"))
    }

    /// How long it really takes until this much has passed on it.
    pub(crate) fn really(self, shown: Duration) -> Duration {
        if self.fast_ppm == 0 {
            return shown;
        }
        let shown_per_million = MILLION.saturating_add_signed(self.fast_ppm);
        let nanos = shown.as_nanos() * u128::from(MILLION) / u128::from(shown_per_million);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
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
            let passed = clock.shows(Time::ZERO + clock.really(Duration::from_secs(1)));
            assert!(passed.0.abs_diff(1_000_000_000) <= 2, "{passed:?}");
        }
    }

    #[test]
    fn a_clock_goes_on_from_what_it_showed_at_another_rate_and_after_a_jump() {
        let at = |ms| Time::ZERO + Duration::from_millis(ms);
        let mut clock = ClockModel::default().draw(Draw::new(1));
        clock.set_rate(at(1_000), Some(-500_000));
        assert_eq!([at(1_000), at(3_000)].map(|now| clock.shows(now)), [at(1_000), at(2_000)]);
        let second = Duration::from_secs(1);
        assert_eq!(clock.really(second), second * 2);
        clock.jump(at(3_000), Jump { by: second, back: true });
        assert_eq!(clock.shows(at(5_000)), at(2_000));
        clock.set_rate(at(5_000), None);
        clock.jump(at(5_000), Jump { by: second, back: false });
        assert_eq!(clock.shows(at(6_000)), at(4_000));
        clock.jump(at(6_000), Jump { by: second * 9, back: true });
        assert_eq!(clock.shows(at(6_000)), Time::ZERO);
    }

    #[test]
    fn without_drift_all_clocks_are_right() {
        let clock = ClockModel::default().draw(Draw::new(1));
        assert_eq!(clock.shows(Time(12_345)), Time(12_345));
        let span = Duration::from_millis(150);
        assert_eq!(clock.really(span), span);
    }
}
