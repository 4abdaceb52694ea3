//! Infection-style dissemination (SWIM §4.1): news ride on every datagram, the least told first,
//! until each was told λ log n times.

use std::collections::BTreeMap;

use consensus_core::NodeId;

/// What a rumour is about. Who lives and who died goes before everything else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Topic {
    /// A change of state or incarnation.
    Life,
    /// A change of metadata.
    Metadata,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Rumour {
    topic: Topic,
    told: u32,
}

/// The news to pass on: one rumour per member at most, so their number is bounded by the members'.
/// A rumour has no content of its own; what is sent is what is known by then.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Rumours {
    rumours: BTreeMap<NodeId, Rumour>,
}

impl Rumours {
    /// There is news of a member.
    pub(crate) fn spread(&mut self, node: NodeId, topic: Topic) {
        let topic = self.rumours.get(&node).map_or(topic, |rumour| rumour.topic.min(topic));
        self.rumours.insert(node, Rumour { topic, told: 0 });
    }

    pub(crate) fn forget(&mut self, node: NodeId) {
        self.rumours.remove(&node);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rumours.is_empty()
    }

    /// Whom there is news of, the most urgent first.
    pub(crate) fn urgent_first(&self) -> Vec<NodeId> {
        let mut order: Vec<_> =
            self.rumours.iter().map(|(&node, rumour)| (rumour.topic, rumour.told, node)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, _, node)| node).collect()
    }

    /// The news of a member was sent once more.
    pub(crate) fn told(&mut self, node: NodeId, limit: u32) {
        if let Some(rumour) = self.rumours.get_mut(&node) {
            rumour.told += 1;
            if rumour.told >= limit {
                self.rumours.remove(&node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_told_goes_first_and_lives_before_metadata() {
        let mut rumours = Rumours::default();
        rumours.spread(NodeId(1), Topic::Metadata);
        rumours.spread(NodeId(2), Topic::Life);
        rumours.spread(NodeId(3), Topic::Life);
        rumours.told(NodeId(2), 3);
        assert_eq!(rumours.urgent_first(), [NodeId(3), NodeId(2), NodeId(1)]);
    }

    #[test]
    fn a_rumour_ends_after_its_limit_and_news_begin_anew() {
        let mut rumours = Rumours::default();
        rumours.spread(NodeId(1), Topic::Life);
        rumours.told(NodeId(1), 3);
        rumours.told(NodeId(1), 3);
        rumours.spread(NodeId(1), Topic::Metadata);
        for _ in 0..3 {
            assert!(!rumours.is_empty());
            rumours.told(NodeId(1), 3);
        }
        assert!(rumours.is_empty());
    }
}
