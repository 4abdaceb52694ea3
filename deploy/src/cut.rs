//! Cuts: what a network can carry out by itself, and what is left to the replicas' shims.

use consensus_core::NodeId;
use faults::{LinkRule, LinkRules};

/// What carries a cut link out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Cut {
    /// The link shim in each replica, as on every target.
    #[default]
    Shim,
    /// The network between them, which drops the packets.
    Network,
}

/// The links that the network cuts, each from one replica to another.
pub(crate) fn for_network(rules: &LinkRules) -> impl Iterator<Item = (NodeId, NodeId)> {
    rules.rules.iter().filter(|rule| is_for_network(rule)).map(|rule| (rule.from, rule.to))
}

/// What is left to the shims if the network cuts what it can.
pub(crate) fn for_shims(rules: &LinkRules) -> LinkRules {
    let mut rules = rules.clone();
    rules.rules.retain(|rule| !is_for_network(rule));
    rules
}

/// Whether a network can do it: it loses every packet of a link, whatever it carries.
fn is_for_network(rule: &LinkRule) -> bool {
    rule.is_cut() && rule.channel.is_none()
}
