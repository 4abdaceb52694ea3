//! The end of the trouble: a healed cluster serves again, and has lost nothing.

use std::time::Duration;

use super::{LONG, Trouble, Watch};
use crate::{
    id::NodeId,
    payload::Payload,
    protocol::{Ask, Consistency, Protocol},
};

/// How often a client asks a member for a read before it counts as refused for good.
const TRIES: u64 = 10;

impl<W: Watch> Trouble<W> {
    /// The trouble ends: the cluster serves again, and everybody has everything.
    pub(super) fn recover(&mut self) {
        self.cluster.heal();
        let ids = self.cluster.ids();
        for &node in &ids {
            self.cluster.restart(node);
            ids.iter().for_each(|&other| self.cluster.suspect(node, other, false));
        }
        self.run_for(LONG);
        self.settle_members();
        if !W::CHANGES_COME_LATE {
            self.stop_all_strangers();
        }
        let leader = self.some_leader(self.draw).expect("a healed cluster has a leader");
        let leader = self.lose_leader(leader);
        self.ask_at_last(leader);
        self.watch.inspect(&self.cluster);
        assert_eq!(self.cluster.judge().open().count(), 0, "every request is answered");
        let applied = self.cluster.judge().applied();
        let last = applied.last_key_value().expect("something was committed");
        assert_eq!(last.1, &Payload::of("at last".into()));
        assert_eq!(*last.0, applied.len() as u64, "there are no gaps");
        let present = self.configuration_at(leader);
        if self.members.are_offered() {
            let best = present.voters.iter().map(|&node| self.settings.priority(node)).max();
            assert_eq!(Some(self.settings.priority(leader)), best, "the preferred one leads");
        }
        for node in present.members() {
            let replica = self.cluster.replica(node).expect("every member is up");
            assert_eq!(replica.status().leader, Some(leader), "n{node} follows the leader");
            assert_eq!(self.configuration_at(node), present, "n{node} knows the members");
            assert_eq!(self.cluster.applied(node), *last.0, "n{node} has everything");
        }
    }

    /// A write, and then a read of every kind, at every member.
    fn ask_at_last(&mut self, leader: NodeId) {
        self.cluster.ask(leader, [Ask::Propose("at last".into())]);
        self.run_for(Duration::from_secs(1));
        for node in self.configuration_at(leader).members() {
            for consistency in [Consistency::Linearizable, Consistency::Lease] {
                self.ask_read(node, consistency);
                // One at a time: the limits may be so tight that a leader refuses two.
                self.run_for(Duration::from_millis(100));
            }
            let served = (0..TRIES).any(|_| self.serves_a_read(node));
            assert!(served, "every member serves a read: n{node}");
        }
    }

    /// Without pre-vote, whoever was removed and does not know it may depose the leader at any time
    /// (D§4.2.3), so a client may have to ask again.
    fn serves_a_read(&mut self, node: NodeId) -> bool {
        let served = |trouble: &Self| trouble.counts.get("follower read").copied().unwrap_or(0);
        let before = served(self);
        self.ask_read(node, Consistency::Follower);
        self.run_for(Duration::from_millis(100));
        served(self) > before
    }

    /// The leader crashes for good measure; a quorum, if there still is one, elects another.
    fn lose_leader(&mut self, leader: NodeId) -> NodeId {
        self.cluster.crash(leader, 0);
        self.run_for(LONG);
        if self.can_serve(Some(leader), None) {
            let next = self.some_leader(self.draw).expect("a quorum elects another leader");
            assert_ne!(next, leader);
        }
        self.cluster.restart(leader);
        self.run_for(LONG);
        self.some_leader(self.draw).expect("there is a leader again")
    }
}
