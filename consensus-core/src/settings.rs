//! The parameters that every protocol shares, with one set of defaults.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{configuration::Configuration, id::NodeId};

/// The parameters of one replica that mean the same in every protocol.
///
/// A report's parity table lists these: what is compared must be set alike.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// This replica.
    pub node: NodeId,
    /// The voters before the first entry of the log. What the log says of the members comes on top,
    /// so a newcomer is not among them, and may leave them out.
    pub members: Vec<NodeId>,
    /// A follower that hears of no leader for a time drawn from this range campaigns.
    pub election_timeout: Range<Duration>,
    /// How often a leader makes itself heard.
    pub heartbeat_interval: Duration,
    /// Ask whether a campaign could succeed before starting one (Raft dissertation §9.6), and
    /// refuse to help while a leader is heard of (§4.2.3).
    pub pre_vote: bool,
    /// A leader that hears of no quorum for an election timeout steps down (§6.2).
    pub check_quorum: bool,
    /// The most entries that one message carries.
    pub max_batch_entries: usize,
    /// The most command bytes that one message carries, one command excepted.
    pub max_batch_bytes: usize,
    /// The most messages with entries that are on their way to one peer.
    pub max_inflight_batches: usize,
    /// The most entries that a leader holds uncommitted; beyond, it refuses.
    pub max_uncommitted_entries: usize,
    /// The most command bytes that are on their way to one peer, one message excepted.
    pub max_inflight_bytes: usize,
    /// The most command bytes that a leader holds uncommitted, one command excepted.
    pub max_uncommitted_bytes: usize,
    /// A snapshot is taken once the entries applied since the last one count this many bytes, each
    /// with [`ENTRY_OVERHEAD_BYTES`] on top.
    pub snapshot_after_bytes: usize,
    /// How many bytes of entries that a snapshot covers stay in memory, counted alike, so that a
    /// follower a little behind needs no snapshot.
    pub retained_bytes: usize,
    /// Whether a leader serves [`Lease`](crate::Consistency::Lease) reads by its lease. Then a
    /// replica helps nobody else to lead for the shortest election timeout after it heard of a
    /// leader, nor after it started.
    pub leases: bool,
    /// By how much the clocks of two replicas may drift apart, in parts per million. Leases end
    /// earlier by twice as much; beyond it they promise nothing.
    pub max_clock_drift_ppm: u32,
    /// Who leads by preference: the higher, the sooner a replica campaigns, and a leader hands over
    /// to a replica of higher priority that has caught up. Whoever is not named has priority 0. What a
    /// lower priority costs, and that it is bounded: [`election_timeout_among`](Self::election_timeout_among).
    pub priorities: BTreeMap<NodeId, u8>,
    /// The protocol's own options, by [their names](crate::Protocol::OPTIONS).
    pub options: BTreeMap<String, String>,
}

/// What an entry counts beside its command, in bytes: what it costs in memory.
pub const ENTRY_OVERHEAD_BYTES: usize = 64;

/// By how many levels of priority a campaign is put off at most.
pub const MAX_LEVELS: u8 = 3;

impl Settings {
    /// The defaults for one replica of these members.
    pub fn new(node: NodeId, members: Vec<NodeId>) -> Self {
        Self {
            node,
            members,
            election_timeout: Duration::from_millis(150)..Duration::from_millis(300),
            heartbeat_interval: Duration::from_millis(30),
            pre_vote: true,
            check_quorum: true,
            max_batch_entries: 256,
            max_batch_bytes: 1 << 20,
            max_inflight_batches: 16,
            max_uncommitted_entries: 4_096,
            max_inflight_bytes: 8 << 20,
            max_uncommitted_bytes: 16 << 20,
            snapshot_after_bytes: 64 << 20,
            retained_bytes: 8 << 20,
            leases: false,
            max_clock_drift_ppm: 1_000,
            priorities: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }

    /// A replica's priority.
    pub fn priority(&self, node: NodeId) -> u8 {
        self.priorities.get(&node).copied().unwrap_or(0)
    }

    /// The range from which this replica draws how long it waits before it campaigns. Whoever is below
    /// the highest priority among the voters waits the shortest election timeout longer per level
    /// below it, [`MAX_LEVELS`] levels at most: so a replica of higher priority goes first, and
    /// nobody waits for ever for one that is dead.
    pub fn election_timeout_among(&self, configuration: &Configuration) -> Range<Duration> {
        let Range { start, end } = self.election_timeout;
        if self.priorities.is_empty() {
            return start..end;
        }
        let voters = configuration.voters.iter().chain(&configuration.outgoing);
        let highest = voters.map(|&voter| self.priority(voter)).max().unwrap_or(0);
        let levels = highest.saturating_sub(self.priority(self.node)).min(MAX_LEVELS);
        let later = start * u32::from(levels);
        start + later..end + later
    }

    /// How long a leader's lease lasts from when it began the round that confirmed it: as long as
    /// the voters of the round help nobody else, less twice the drift.
    pub fn lease(&self) -> Duration {
        let kept = 1_000_000_u32.saturating_sub(2 * self.max_clock_drift_ppm);
        self.election_timeout.start * kept / 1_000_000
    }

    /// Refuses an option that is not among those of the protocol.
    ///
    /// # Errors
    ///
    /// If there is one.
    pub fn known_options(&self, known: &[(&str, &str)]) -> Result<(), SettingsError> {
        let is_known = |name: &String| known.iter().any(|&(known, _)| known == name);
        let Some(name) = self.options.keys().find(|&name| !is_known(name)) else { return Ok(()) };
        let names: Vec<_> = known.iter().map(|&(name, _)| name).collect();
        let why = match names.is_empty() {
            true => "the protocol has no options of its own".into(),
            false => format!("there is no such option; there are: {}", names.join(", ")),
        };
        Err(SettingsError::Option { name: name.clone(), why })
    }

    /// The other members.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().copied().filter(|&member| member != self.node)
    }

    /// Whether a leader that holds so many uncommitted entries and command bytes takes a command of
    /// `length` bytes more. A command by itself is never too long here, or it would be refused for ever.
    pub const fn has_room(&self, entries: u64, bytes: usize, length: usize) -> bool {
        entries < self.max_uncommitted_entries as u64
            && (bytes == 0 || bytes + length <= self.max_uncommitted_bytes)
    }

    /// Refuses parameters under which the protocols cannot work.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let mut sorted = self.members.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() != self.members.len() || sorted.contains(&NodeId(0)) {
            return Err(SettingsError::Members);
        }
        if self.node == NodeId(0) {
            return Err(SettingsError::NoNode);
        }
        let Range { start, end } = self.election_timeout;
        if start >= end {
            return Err(SettingsError::ElectionTimeout { start, end });
        }
        if self.heartbeat_interval.is_zero() || self.heartbeat_interval * 3 > start {
            return Err(SettingsError::Heartbeat { interval: self.heartbeat_interval, start });
        }
        let limits = [
            ("max_batch_entries", self.max_batch_entries),
            ("max_batch_bytes", self.max_batch_bytes),
            ("max_inflight_batches", self.max_inflight_batches),
            ("max_uncommitted_entries", self.max_uncommitted_entries),
            ("max_inflight_bytes", self.max_inflight_bytes),
            ("max_uncommitted_bytes", self.max_uncommitted_bytes),
            ("snapshot_after_bytes", self.snapshot_after_bytes),
        ];
        if self.max_clock_drift_ppm >= 500_000 {
            return Err(SettingsError::Drift);
        }
        match limits.into_iter().find(|&(_, limit)| limit == 0) {
            Some((name, _)) => Err(SettingsError::ZeroLimit(name)),
            None => Ok(()),
        }
    }
}

/// Why parameters were refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SettingsError {
    /// The members are not distinct, or one is node zero.
    #[error("the members must be distinct and not zero")]
    Members,
    /// Node zero is no node.
    #[error("a replica is not node 0")]
    NoNode,
    /// An empty range leaves nothing to draw from: votes would split for ever.
    #[error("the election timeout {start:?}..{end:?} is no range to draw from")]
    ElectionTimeout {
        /// The shortest timeout.
        start: Duration,
        /// The longest.
        end: Duration,
    },
    /// One lost heartbeat must not start an election (Raft §5.6: broadcast time ≪ election timeout).
    #[error(
        "a heartbeat interval of {interval:?} is not well below the election timeout of {start:?}: \
         it must be at most a third of it"
    )]
    Heartbeat {
        /// The interval asked for.
        interval: Duration,
        /// The shortest election timeout.
        start: Duration,
    },
    /// No lease outlasts such clocks.
    #[error("the clocks may drift by less than 500000 parts per million")]
    Drift,
    /// An option of the protocol's own.
    #[error("option {name}: {why}")]
    Option {
        /// Which.
        name: String,
        /// Why it is refused.
        why: String,
    },
    /// A limit of zero lets nothing through.
    #[error("{0} must be at least 1")]
    ZeroLimit(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new(NodeId(1), vec![NodeId(1), NodeId(2), NodeId(3)])
    }

    #[test]
    fn the_defaults_are_accepted() {
        assert_eq!(settings().validate(), Ok(()));
    }

    #[test]
    fn a_heartbeat_not_well_below_the_election_timeout_is_refused() {
        let late = Settings { heartbeat_interval: Duration::from_millis(51), ..settings() };
        let message = late.validate().unwrap_err().to_string();
        assert!(message.contains("51ms") && message.contains("150ms"), "{message}");
    }

    #[test]
    fn a_leader_with_too_much_uncommitted_has_no_room() {
        let settings =
            Settings { max_uncommitted_entries: 3, max_uncommitted_bytes: 10, ..settings() };
        assert!(settings.has_room(2, 6, 4));
        assert!(!settings.has_room(3, 6, 4), "too many entries");
        assert!(!settings.has_room(2, 6, 5), "too many bytes");
        assert!(settings.has_room(2, 0, 11), "one command excepted");
    }

    #[test]
    fn members_must_be_distinct_and_nobody_is_zero() {
        let twice = Settings { members: vec![NodeId(1), NodeId(1)], ..settings() };
        assert_eq!(twice.validate(), Err(SettingsError::Members));
        let nobody = Settings { node: NodeId(0), ..settings() };
        assert_eq!(nobody.validate(), Err(SettingsError::NoNode));
        let newcomer = Settings { node: NodeId(9), ..settings() };
        assert_eq!(newcomer.validate(), Ok(()));
    }

    #[test]
    fn a_lease_is_shorter_than_the_shortest_election_timeout() {
        let settings = Settings { max_clock_drift_ppm: 10_000, ..settings() };
        assert_eq!(settings.lease(), Duration::from_millis(147));
        let wild = Settings { max_clock_drift_ppm: 500_000, ..settings };
        assert_eq!(wild.validate(), Err(SettingsError::Drift));
    }

    #[test]
    fn whoever_is_of_lower_priority_waits_longer() {
        let priorities = BTreeMap::from([(NodeId(2), 9), (NodeId(3), 8)]);
        let voters = Configuration::of([1, 2, 3].map(NodeId));
        let start = |node| {
            let settings = Settings { node, priorities: priorities.clone(), ..settings() };
            settings.election_timeout_among(&voters).start.as_millis()
        };
        assert_eq!([3, 2, 1].map(|node| start(NodeId(node))), [300, 150, 600]);
        let without = Configuration::of([1, 3].map(NodeId));
        let third = Settings { node: NodeId(3), priorities, ..settings() };
        assert_eq!(third.election_timeout_among(&without), third.election_timeout);
    }

    #[test]
    fn an_unknown_option_is_refused_by_name() {
        let options = BTreeMap::from([("alhpa".to_owned(), "3".to_owned())]);
        let typed = Settings { options, ..settings() };
        let message = typed.known_options(&[("alpha", "")]).unwrap_err().to_string();
        assert!(message.contains("alhpa") && message.contains("there are: alpha"), "{message}");
        assert!(settings().known_options(&[]).is_ok());
    }
}
