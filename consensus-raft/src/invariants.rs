//! What must hold after every step (§ figure 3 tells why).

use crate::{
    record::voted_for,
    replica::{Leader, Raft, Standing},
    replication::Mode,
};

impl Raft {
    /// Asserts the invariants of one replica. Takes time in the number of members, not in the
    /// length of the log.
    pub(crate) fn check_invariants(&self) {
        let (base, last) = (self.log.base().index, self.log.last_index());
        assert!(self.log.before().0 <= base, "what no snapshot holds is in the log");
        assert!(base <= self.applied, "the base holds only what was applied");
        assert!(self.applied <= self.commit, "only committed entries are applied");
        assert!(self.commit <= last, "only entries in the log are committed");
        assert!(self.log.last_term() <= self.term, "an entry's term was seen");
        assert!(self.vote.is_none() || self.term > 0, "nobody votes in term 0");
        assert!(self.membership.since() <= last, "a configuration in force is in the log");
        assert!(self.saved.term <= self.term, "terms never fall");
        if self.saved.term == self.term {
            let saved = voted_for(&self.saved);
            assert!(saved.is_none() || saved == self.vote, "a vote is given once a term");
        }
        match &self.standing {
            Standing::Follower(follower) => {
                assert_ne!(follower.leader, Some(self.membership.me()), "nobody follows itself");
                assert!(!follower.loyal || follower.leader.is_some(), "loyal to somebody");
            }
            Standing::PreCandidate(_) => {}
            Standing::Candidate(_) => {
                assert_eq!(self.vote, Some(self.membership.me()), "a candidate votes for itself");
            }
            Standing::Leader(leader) => self.check_leader(leader),
        }
    }

    fn check_leader(&self, leader: &Leader) {
        let last = self.log.last_index();
        assert_eq!(self.vote, Some(self.membership.me()), "a leader voted for itself");
        assert!(leader.term_start <= last, "the term was opened with a no-op");
        // If that is trimmed, whatever followed it and is trimmed as well was of that term.
        let opened = self.log.term_at(leader.term_start).unwrap_or(self.log.before().1);
        assert_eq!(opened, self.term, "of that term");
        assert!(leader.matched <= leader.offered, "the disk holds no more than it was given");
        assert!(leader.offered <= last, "nor more than there is");
        let (me, members) = (self.membership.me(), self.membership.current());
        let each = || members.voters.iter().chain(&members.outgoing).chain(&members.learners);
        assert!(
            each().all(|&node| node == me || leader.peer(node).is_some()),
            "nobody is left out"
        );
        assert!(leader.peer(me).is_none(), "it is no follower of its own");
        assert!(leader.transfer.is_none_or(|transfer| transfer.to != me), "it leads already");
        assert!(
            leader.settled.is_none_or(|at| at <= self.commit),
            "committed before it is settled"
        );
        for peer in &leader.progress {
            assert!(peer.matched < peer.next, "what is known to match is not sent again");
            assert!(peer.next <= last + 1, "what is not in the log is not sent");
            assert!(peer.read_acked <= leader.reads.last(), "no round is confirmed unasked");
            if let Mode::Replicate(inflight) = &peer.mode {
                let limit = self.config.settings.max_inflight_batches;
                assert!(inflight.len() <= limit, "the window holds");
                assert!(inflight.first().is_none_or(|first| first > peer.matched), "unanswered");
            }
        }
    }
}
