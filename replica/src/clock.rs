//! The machine's monotonic clock, whose origin all processes of one host share.

use consensus_core::Time;
use nix::time::{ClockId, clock_gettime};

/// The time now (`CLOCK_MONOTONIC`), in nanoseconds since the machine started.
pub fn now() -> Time {
    let read = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    let seconds = u64::try_from(read.tv_sec()).expect("the clock never runs before its origin");
    let nanos = u64::try_from(read.tv_nsec()).expect("a fraction of a second is not negative");
    Time(seconds * 1_000_000_000 + nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_run_backwards() {
        let readings: Vec<_> = (0..1_000).map(|_| now()).collect();
        assert!(readings.is_sorted());
        assert!(readings[0] > Time::ZERO);
    }
}
