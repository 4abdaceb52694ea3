//! Suspicions, and how long they last: the more members confirm one, the sooner it is believed
//! (Lifeguard §IV-B).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use consensus_core::{NodeId, Time};

use crate::config::Config;

/// The most accusers that a claim names.
pub(crate) const MAX_ACCUSERS: usize = 8;

/// One member's suspicion.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Suspicion {
    /// When this node learned of it.
    began: Time,
    /// How many members the group had then. Were it today's number, every death would hasten the
    /// next one, just when half of the group is out of reach.
    present: usize,
    /// Who could not reach the member. The first starts the suspicion, the others confirm it.
    accusers: BTreeSet<NodeId>,
}

/// All suspicions of one node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Suspicions {
    suspicions: BTreeMap<NodeId, Suspicion>,
}

impl Suspicions {
    /// Starts the clock, anew if there was an older suspicion.
    pub(crate) fn begin(&mut self, now: Time, node: NodeId, accusers: &[NodeId], present: usize) {
        let accusers = accusers.iter().copied().take(MAX_ACCUSERS).collect();
        self.suspicions.insert(node, Suspicion { began: now, present, accusers });
    }

    /// Adds accusers, and says whether one is new: then the others should hear of it too, until
    /// there are as many as make a difference.
    pub(crate) fn confirm(&mut self, node: NodeId, accusers: &[NodeId], config: &Config) -> bool {
        let Some(suspicion) = self.suspicions.get_mut(&node) else { return false };
        let most = (1 + config.suspicion_confirmations).min(MAX_ACCUSERS);
        let before = suspicion.accusers.len();
        for &accuser in accusers {
            if suspicion.accusers.len() < most {
                suspicion.accusers.insert(accuser);
            }
        }
        suspicion.accusers.len() > before
    }

    pub(crate) fn end(&mut self, node: NodeId) {
        self.suspicions.remove(&node);
    }

    pub(crate) fn accusers(&self, node: NodeId) -> Vec<NodeId> {
        self.suspicions.get(&node).map_or_else(Vec::new, |s| s.accusers.iter().copied().collect())
    }

    /// Makes up for a pause of this process: nobody can refute to a deaf ear.
    pub(crate) fn postpone(&mut self, pause: Duration) {
        for suspicion in self.suspicions.values_mut() {
            suspicion.began = suspicion.began + pause;
        }
    }

    /// When the first one is to be believed.
    pub(crate) fn next_deadline(&self, config: &Config) -> Option<Time> {
        self.suspicions.values().map(|suspicion| suspicion.deadline(config)).min()
    }

    /// Those that are to be believed by now.
    pub(crate) fn expired(&self, now: Time, config: &Config) -> Vec<NodeId> {
        let expired = self.suspicions.iter().filter(|(_, s)| s.deadline(config) <= now);
        expired.map(|(&node, _)| node).collect()
    }
}

impl Suspicion {
    fn deadline(&self, config: &Config) -> Time {
        let confirmations = self.accusers.len().saturating_sub(1);
        self.began + timeout(config, self.present, confirmations)
    }
}

/// How long a suspicion lasts in a group of `present` members:
///
/// ```text
/// max(Min, Max − (Max − Min) · log(C + 1) / log(K + 1)),   Min = α · max(1, log₁₀ n) · interval,   Max = β · Min
/// ```
///
/// In a group too small for K confirmations, K is the number of members who could confirm; where
/// nobody could, waiting for it would be in vain.
fn timeout(config: &Config, present: usize, confirmations: usize) -> Duration {
    let scale = libm::log10(present.max(1) as f64).max(1.0);
    let shortest = config.probe_interval.mul_f64(f64::from(config.suspicion_multiplier) * scale);
    let needed = config.suspicion_confirmations.min(present.saturating_sub(2));
    if confirmations >= needed {
        return shortest;
    }
    let longest = shortest.saturating_mul(config.suspicion_spread);
    let progress = libm::log((confirmations + 1) as f64) / libm::log((needed + 1) as f64);
    longest - (longest - shortest).mul_f64(progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirmations_shrink_the_timeout_from_the_longest_to_the_shortest() {
        let config = Config { suspicion_confirmations: 3, ..Config::new("lab") };
        let timeouts: Vec<_> = (0..=4).map(|c| timeout(&config, 5, c).as_millis()).collect();
        assert_eq!((timeouts[0], timeouts[3], timeouts[4]), (1800, 600, 600));
        assert!(
            timeouts[0] > timeouts[1] && timeouts[1] > timeouts[2] && timeouts[2] > timeouts[3]
        );
        // The first confirmation counts for most: log 2 / log 4 is half of the way.
        assert_eq!(timeouts[1], 1200);
    }

    #[test]
    fn where_nobody_can_confirm_the_shortest_holds() {
        assert_eq!(timeout(&Config::new("lab"), 2, 0).as_millis(), 600);
        assert!(timeout(&Config::new("lab"), 3, 0).as_millis() == 1800);
    }

    #[test]
    fn large_groups_wait_longer() {
        let config = Config::new("lab");
        assert_eq!(timeout(&config, 1000, 2), timeout(&config, 10, 2) * 3);
    }

    #[test]
    fn the_same_accuser_counts_once_and_a_pause_postpones() {
        let (config, node) = (Config::new("lab"), NodeId(9));
        let mut suspicions = Suspicions::default();
        suspicions.begin(Time::ZERO, node, &[NodeId(1)], 5);
        assert!(!suspicions.confirm(node, &[NodeId(1)], &config));
        assert_eq!(suspicions.next_deadline(&config), Some(Time(1_800_000_000)));
        assert!(suspicions.confirm(node, &[NodeId(1), NodeId(2), NodeId(3)], &config));
        assert!(!suspicions.confirm(node, &[NodeId(4)], &config), "enough is enough");
        assert_eq!(suspicions.next_deadline(&config), Some(Time(600_000_000)));
        suspicions.postpone(Duration::from_secs(1));
        assert_eq!(suspicions.expired(Time(1_599_999_999), &config), []);
        assert_eq!(suspicions.expired(Time(1_600_000_000), &config), [node]);
    }
}
