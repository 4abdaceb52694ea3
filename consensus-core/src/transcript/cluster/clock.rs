//! A replica's own clock, which is ahead of the cluster's time and faster or slower.

use std::time::Duration;

use crate::time::Time;

const MILLION: i128 = 1_000_000;

/// What a replica takes for the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Clock {
    /// How far it was ahead at the cluster's beginning.
    pub ahead: Duration,
    /// By how many parts per million it runs faster; slower, if negative.
    pub drift_ppm: i32,
}

impl Clock {
    /// What it shows at this moment of the cluster's time.
    pub(super) fn read(self, now: Time) -> Time {
        Time(scale(now.as_nanos(), MILLION + i128::from(self.drift_ppm), MILLION)) + self.ahead
    }

    /// How much of the cluster's time passes while it measures this much.
    pub(super) fn measure(self, time: Duration) -> Duration {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(scale(nanos, MILLION, MILLION + i128::from(self.drift_ppm)))
    }
}

/// `number` × `by` / `of`, rounded up: a timer never runs out early.
fn scale(number: u64, by: i128, of: i128) -> u64 {
    let scaled = (i128::from(number) * by + of - 1) / of;
    u64::try_from(scaled).expect("a clock runs forward, and not for centuries")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_shows_more_and_its_timers_run_out_sooner() {
        let fast = Clock { ahead: Duration::from_millis(5), drift_ppm: 100_000 };
        let second = Duration::from_secs(1);
        assert_eq!(fast.read(Time::ZERO + second).as_millis_f64(), 1_105.0);
        assert_eq!(fast.measure(Duration::from_millis(1_100)), second);
        let measured = fast.measure(Duration::from_millis(150));
        assert!(fast.read(Time::ZERO + measured).since(fast.read(Time::ZERO)).as_millis() >= 150);
        assert_eq!(Clock::default().read(Time(7)), Time(7));
    }
}
