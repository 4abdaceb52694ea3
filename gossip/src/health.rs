//! Lifeguard's local health multiplier (§IV-A): how far a member should trust its own senses.

use std::time::Duration;

/// A counter from 0, healthy, up to a maximum. Probes are given (1 + health) times the time, so a
/// member that is itself slow accuses others less.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LocalHealth {
    value: u32,
    max: u32,
}

impl LocalHealth {
    pub(crate) const fn new(max: u32) -> Self {
        Self { value: 0, max }
    }

    /// Something happened that a healthy member does not see: a failed probe without nacks, a
    /// suspicion of itself, a pause.
    pub(crate) fn worsen(&mut self) {
        self.value = (self.value + 1).min(self.max);
    }

    /// A probe succeeded.
    pub(crate) const fn improve(&mut self) {
        self.value = self.value.saturating_sub(1);
    }

    pub(crate) const fn value(&self) -> u32 {
        self.value
    }

    /// The time to give instead of `base`.
    pub(crate) fn stretch(&self, base: Duration) -> Duration {
        base.saturating_mul(self.value.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_saturates_at_both_ends() {
        let mut health = LocalHealth::new(2);
        let base = Duration::from_millis(100);
        let mut seen = vec![health.stretch(base).as_millis()];
        for _ in 0..3 {
            health.worsen();
            seen.push(health.stretch(base).as_millis());
        }
        for _ in 0..3 {
            health.improve();
            seen.push(health.stretch(base).as_millis());
        }
        assert_eq!(seen, [100, 200, 300, 300, 200, 100, 100]);
    }
}
