//! The parameters, with defaults for a handful of replicas on one host.

use std::time::Duration;

/// The parameters of one member. All members of a cluster should have the same.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// The cluster's name. Datagrams of other clusters are dropped.
    pub cluster: String,
    /// SWIM's protocol period T′: one member is probed in each. Lifeguard stretches it while the
    /// local health is poor.
    pub probe_interval: Duration,
    /// How long a direct probe may take before helpers are asked; less than the interval, so that
    /// they have the rest of it. Stretched likewise.
    pub probe_timeout: Duration,
    /// SWIM's k: how many helpers are asked to probe in one's stead.
    pub indirect_probes: usize,
    /// Lifeguard's S: the largest value of the local health multiplier.
    pub max_local_health: u32,
    /// Lifeguard's α: the shortest suspicion is α · max(1, log₁₀ n) probe intervals.
    pub suspicion_multiplier: u32,
    /// Lifeguard's β: the longest suspicion, which nobody confirms, is β times the shortest.
    pub suspicion_spread: u32,
    /// Lifeguard's K: so many confirmations shrink a suspicion to the shortest.
    pub suspicion_confirmations: usize,
    /// How often rumours are passed on besides riding on probes, as long as there are any.
    pub gossip_interval: Duration,
    /// To how many members they are passed on each time.
    pub gossip_fanout: usize,
    /// SWIM's λ: a rumour is sent λ · ⌈log₁₀(n + 1)⌉ times by each member.
    pub retransmit_multiplier: u32,
    /// How often the whole view is compared with that of some other member.
    pub sync_interval: Duration,
    /// How often the seeds are asked while no other member is known.
    pub join_interval: Duration,
    /// How often a dead member or an absent seed is tried, so that healed partitions meet again.
    pub reconnect_interval: Duration,
    /// How long the dead and those who left are remembered.
    pub forget_after: Duration,
    /// The most members that are remembered; claims about others are refused.
    pub max_members: usize,
    /// The most datagrams that answer one request to synchronize.
    pub max_sync_datagrams: usize,
}

impl Config {
    /// For a few replicas on loopback: a dead member is usually known dead after one to two seconds.
    pub fn new(cluster: impl Into<String>) -> Self {
        Self {
            cluster: cluster.into(),
            probe_interval: Duration::from_millis(200),
            probe_timeout: Duration::from_millis(100),
            indirect_probes: 3,
            max_local_health: 8,
            suspicion_multiplier: 3,
            suspicion_spread: 3,
            suspicion_confirmations: 2,
            gossip_interval: Duration::from_millis(100),
            gossip_fanout: 3,
            retransmit_multiplier: 4,
            sync_interval: Duration::from_secs(2),
            join_interval: Duration::from_millis(200),
            reconnect_interval: Duration::from_secs(1),
            forget_after: Duration::from_secs(3600),
            max_members: 4_096,
            max_sync_datagrams: 128,
        }
    }

    /// For members far apart: round trips of up to about 300 ms, losses, and Lifeguard's own α and β.
    pub fn wan(cluster: impl Into<String>) -> Self {
        Self {
            probe_interval: Duration::from_secs(2),
            probe_timeout: Duration::from_secs(1),
            suspicion_multiplier: 5,
            suspicion_spread: 6,
            suspicion_confirmations: 3,
            gossip_interval: Duration::from_millis(500),
            gossip_fanout: 4,
            sync_interval: Duration::from_secs(30),
            join_interval: Duration::from_secs(1),
            reconnect_interval: Duration::from_secs(10),
            ..Self::new(cluster)
        }
    }

    /// Refuses parameters under which failure detection cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.probe_timeout.is_zero() || self.probe_timeout >= self.probe_interval {
            return Err(ConfigError::ProbeTimeout {
                timeout: self.probe_timeout,
                interval: self.probe_interval,
            });
        }
        let durations = [
            ("gossip_interval", self.gossip_interval),
            ("sync_interval", self.sync_interval),
            ("join_interval", self.join_interval),
            ("reconnect_interval", self.reconnect_interval),
            ("forget_after", self.forget_after),
        ];
        if let Some((name, _)) = durations.into_iter().find(|(_, duration)| duration.is_zero()) {
            return Err(ConfigError::Zero(name));
        }
        let numbers = [
            ("suspicion_multiplier", self.suspicion_multiplier as usize),
            ("suspicion_spread", self.suspicion_spread as usize),
            ("gossip_fanout", self.gossip_fanout),
            ("retransmit_multiplier", self.retransmit_multiplier as usize),
            ("max_members", self.max_members),
            ("max_sync_datagrams", self.max_sync_datagrams),
        ];
        match numbers.into_iter().find(|&(_, number)| number == 0) {
            Some((name, _)) => Err(ConfigError::Zero(name)),
            None => Ok(()),
        }
    }

    /// How often one member sends one rumour, in a group of `present` (SWIM §4.1: λ log n).
    pub(crate) fn retransmit_limit(&self, present: usize) -> u32 {
        let digits = libm::log10((present + 1) as f64).ceil().max(1.0);
        self.retransmit_multiplier.saturating_mul(digits as u32)
    }
}

/// Why parameters were refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// No time would be left for the helpers, or none for the probe.
    #[error(
        "a probe timeout of {timeout:?} must be more than zero and less than the probe interval of {interval:?}"
    )]
    ProbeTimeout {
        /// The timeout asked for.
        timeout: Duration,
        /// The interval.
        interval: Duration,
    },
    /// The parameter must not be zero.
    #[error("{0} must not be zero")]
    Zero(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_accepted() {
        assert_eq!(Config::new("lab").validate(), Ok(()));
        assert_eq!(Config::wan("world").validate(), Ok(()));
    }

    #[test]
    fn a_probe_that_leaves_the_helpers_no_time_is_refused() {
        let config = Config { probe_timeout: Duration::from_millis(200), ..Config::new("lab") };
        assert!(matches!(config.validate(), Err(ConfigError::ProbeTimeout { .. })));
        let config = Config { gossip_fanout: 0, ..Config::new("lab") };
        assert_eq!(config.validate(), Err(ConfigError::Zero("gossip_fanout")));
    }

    #[test]
    fn rumours_are_repeated_a_logarithmic_number_of_times() {
        let config = Config::new("lab");
        assert_eq!(
            [2, 5, 9, 10, 99, 100, 999].map(|n| config.retransmit_limit(n)),
            [4, 4, 4, 8, 8, 12, 12]
        );
    }
}
