//! What must hold between any two inputs, cheap enough to assert every time.

use crate::replica::{Leader, MultiPaxos, Part};

impl MultiPaxos {
    /// Asserts the local invariants, in O(1).
    pub(crate) fn check_invariants(&self) {
        assert!(self.promised <= self.highest_seen, "a promise is seen");
        assert!(self.written.promised <= self.promised, "the disk promised more than the replica");
        assert!(self.written.chosen_to <= self.chosen_to, "the disk knows more than the replica");
        assert_eq!(self.applied_to, self.chosen_to, "what is chosen is applied");
        assert!(self.log.base().index <= self.applied_to, "the base was never applied");
        assert!(self.chosen_to <= self.log.last(), "a chosen value is missing");
        if let Some(acknowledgement) = self.acknowledgement {
            assert!(acknowledgement.ballot <= self.promised, "acceptance without a promise");
        }
        match &self.part {
            Part::Follower => {}
            Part::PreCandidate(_) => assert_eq!(self.leader, None, "nobody runs against a leader"),
            Part::Candidate(_) => {
                assert_eq!(self.leader, None, "nobody runs against a leader");
                self.check_own_ballot();
            }
            Part::Leader(leader) => self.check_leader(leader),
        }
    }

    /// A ballot is on its way to the disk before anybody hears of it.
    fn check_own_ballot(&self) {
        assert_eq!(self.promised.owner(), self.node(), "one's own ballot is promised");
        assert_eq!(self.written.promised, self.promised, "a ballot not written may be reused");
    }

    fn check_leader(&self, leader: &Leader) {
        self.check_own_ballot();
        assert_eq!(self.leader, Some(self.node()), "a leader follows itself");
        let last = self.log.last();
        assert_eq!(leader.window.len() as u64, last - self.chosen_to, "the window is the unchosen");
        assert!(leader.written_to <= last, "more is written than proposed");
        assert!(leader.written_to >= self.chosen_to, "chosen without having left");
        assert_eq!(
            leader.is_caught_up,
            self.chosen_to >= leader.inherited_to,
            "caught up means that all inherited slots are chosen"
        );
        if let Some(first) = leader.window.front() {
            let is_chosen = self.acceptors.is_quorum(first.accepted_by);
            assert!(!is_chosen, "a chosen slot waits at the front of the window");
        }
    }
}
