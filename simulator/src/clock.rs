//! The replicas' own clocks, of which no two agree.

use std::time::Duration;

use consensus_core::{Draw, Time};
use faults::clocks::Clock;

/// How the replicas' clocks differ from each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClockModel {
    /// By how much two clocks drift apart at most, in parts per million: each runs by up to half of
    /// it too fast or too slow.
    pub drift_ppm: u32,
    /// By how much two clocks differ at the beginning, at most.
    pub offset: Duration,
}

impl ClockModel {
    /// The clock that this key draws.
    pub(crate) fn draw(self, draw: Draw) -> Clock {
        let half = u64::from(self.drift_ppm) / 2;
        let fast_ppm = draw.of("rate").below(2 * half + 1).cast_signed() - half.cast_signed();
        let offset = draw.of("offset").duration(&(Duration::ZERO..self.offset));
        Clock::new(Time::ZERO, Time::ZERO + offset, fast_ppm)
    }
}

#[cfg(test)]
mod tests {
    use faults::duration::Jump;

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
