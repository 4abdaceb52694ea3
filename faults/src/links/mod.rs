//! The network's bad behaviour, carried out above TCP and below the protocol, in the replica itself:
//! so it works alike in a simulator, a process, a container and a pod, without privileges.

mod shim;

use std::time::Duration;

use consensus_core::NodeId;
use serde::{Deserialize, Serialize};

pub use shim::{Counters, Deliveries, Delivery, LinkShim};

/// What may pass between two replicas, and how badly.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkRule {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// On which channel; on both if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// The probability that a message is lost; 1 is a cut, which the receiver keeps up too.
    #[serde(default)]
    pub drop: f64,
    /// The probability that it arrives twice.
    #[serde(default)]
    pub duplicate: f64,
    /// The probability that later messages overtake it.
    #[serde(default)]
    pub reorder: f64,
    /// The probability that some of its bits are flipped.
    #[serde(default)]
    pub corrupt: f64,
    /// How much later it arrives.
    #[serde(default)]
    pub delay: Duration,
    /// How far the delay strays, either way.
    #[serde(default)]
    pub jitter: Duration,
    /// The bytes per second that pass; no limit if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_bytes_per_s: Option<u64>,
}

impl LinkRule {
    /// A link that works.
    pub const fn clean(from: NodeId, to: NodeId) -> Self {
        Self {
            from,
            to,
            channel: None,
            drop: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            corrupt: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            bandwidth_bytes_per_s: None,
        }
    }

    /// A link that is cut.
    pub const fn cut(from: NodeId, to: NodeId) -> Self {
        Self { drop: 1.0, ..Self::clean(from, to) }
    }

    /// Whether it concerns this channel.
    pub fn concerns(&self, channel: Channel) -> bool {
        self.channel.is_none_or(|only| only == channel)
    }

    /// Whether nothing passes at all.
    pub fn is_cut(&self) -> bool {
        self.drop >= 1.0
    }
}

/// All that is wrong with the network at a time: the complete list, so that installing it twice, or
/// late, does no harm. Several rules for one link all apply.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkRules {
    /// The root of the draws.
    pub seed: u64,
    /// How long the rules hold after they were installed, so that no fault outlives a run whose
    /// harness died. The director sets it beyond the planned end of every fault in force.
    pub expires_in: Duration,
    /// The rules, in the order in which their faults began.
    pub rules: Vec<LinkRule>,
}

impl LinkRules {
    /// Whether the network works.
    pub fn is_clean(&self) -> bool {
        self.rules.is_empty()
    }
}

/// The two ways on which replicas talk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// The protocol's messages, on a stream: in order, unless `reorder` says otherwise.
    Consensus,
    /// Gossip's datagrams: in any order.
    Gossip,
}

impl Channel {
    /// Its name, which keys its draws.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Consensus => "consensus",
            Self::Gossip => "gossip",
        }
    }
}
