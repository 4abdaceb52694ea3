//! What must hold after every step, cheap enough to assert every time.

use crate::replica::{Leader, MultiPaxos, Standing};

impl MultiPaxos {
    /// Asserts the invariants of one replica. Takes time in the number of acceptors, not in the
    /// length of the log.
    pub(crate) fn check_invariants(&self) {
        let (base, last) = (self.log.base().index, self.log.last());
        assert!(self.log.dropped_to() <= base, "only what a snapshot covers is dropped");
        assert!(base <= self.applied, "the base holds only what was applied");
        assert!(self.applied <= self.chosen_to, "only chosen values are applied");
        assert!(self.chosen_to <= last, "only slots with a value are known chosen");
        assert!(self.promised <= self.highest_seen, "a promised ballot was seen");
        assert!(self.saved.promised <= self.promised, "promises never fall");
        assert!(self.saved.chosen_to <= self.chosen_to, "what is chosen stays chosen");
        assert!(self.waits_until.is_none() || self.config.settings.leases, "time is for leases");
        match &self.standing {
            Standing::Follower(follower) => {
                assert_ne!(follower.leader, Some(self.membership.me()), "nobody follows itself");
                assert!(!follower.loyal || follower.leader.is_some(), "loyal to somebody");
                let owner = follower.leader.unwrap_or(self.promised.owner());
                assert_eq!(owner, self.promised.owner(), "only its owner leads under a ballot");
            }
            Standing::PreCandidate(_) => {}
            Standing::Candidate(_) => self.check_own_ballot(),
            Standing::Leader(leader) => self.check_leader(leader),
        }
    }

    /// A ballot is on its way to the disk before anybody hears of it.
    fn check_own_ballot(&self) {
        assert_eq!(self.promised.owner(), self.membership.me(), "one's own ballot is promised");
        assert_eq!(self.saved.promised, self.promised, "a ballot that is not saved may be reused");
    }

    fn check_leader(&self, leader: &Leader) {
        self.check_own_ballot();
        let last = self.log.last();
        let proposed_to = self.proposed_to();
        let known_to = self.chosen_to + self.membership.rules().alpha;
        match &leader.lagging {
            Some(lagging) => {
                assert!(self.chosen_to < lagging.compacted_to, "it takes over as soon as it may");
                assert!(leader.window.is_empty(), "nothing is proposed before the taking over");
            }
            None => {
                assert!(proposed_to <= last, "what is proposed is accepted here first");
                assert!(proposed_to <= known_to, "nobody is asked who may not decide");
                let inherited_to = leader.inherited_to.min(known_to);
                assert!(inherited_to <= proposed_to, "what was inherited comes first");
                assert!(leader.offered <= proposed_to, "the disk is given what is proposed");
            }
        }
        let members = self.membership.peers();
        assert!(members.eq(leader.progress.iter().map(|peer| peer.peer)), "every member is told");
        for peer in &leader.progress {
            assert!(peer.next <= proposed_to + 1, "what is not in the log is not sent");
            assert!(peer.read_acked <= leader.reads.last(), "no round is confirmed unasked");
            let limit = self.config.settings.max_inflight_batches;
            assert!(peer.inflight.len() <= limit, "the flow control holds");
        }
    }
}
