//! When to campaign: timeouts, and how far each replica's is put off.
//!
//! A timeout is the only trigger: a replica that hears of no leader for a time drawn anew each time
//! campaigns (§5.2). Whoever is of lower priority waits longer. The failure detector's suspicions
//! change nothing. A hand-over is ordered, and waits for nothing (D§3.10).

use consensus_core::{Epoch, Outbox, event::Event};

use crate::replica::{Follower, Raft, Standing, Timer};

/// Why a replica campaigns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// It heard of no leader for an election timeout (§5.2).
    Timeout,
    /// The leader hands over to it (D§3.10).
    Transfer,
}

impl Raft {
    /// No leader was heard of for an election timeout (§5.2).
    pub(crate) fn election_timeout(&mut self, out: &mut Outbox<Self>) {
        if self.leading().is_some() {
            return;
        }
        if !self.membership.may_lead(self.commit) {
            // It only learns, and knows of no leader any more.
            self.standing = Standing::Follower(Follower::default());
            return self.doubt_transfer(out);
        }
        if self.is_writing() {
            return self.arm_election(out);
        }
        out.note(Event::TimedOut { epoch: Epoch::term(self.term) });
        if let Standing::Candidate(_) = self.standing {
            out.note(Event::SteppedDown { epoch: Epoch::term(self.term) });
        }
        self.doubt_transfer(out);
        self.arm_election(out);
        if self.config.settings.pre_vote {
            self.ask_pre_votes(out);
        } else {
            self.campaign(Cause::Timeout, out);
        }
    }

    /// Whether it campaigns, and its disk has not taken its own vote yet, so that nobody was asked. To
    /// campaign anew would not help: whoever's disk is slower than its election timeout would never ask
    /// at all, and tell others of ever later terms, in which they cannot win.
    fn is_writing(&self) -> bool {
        let me = self.membership.me();
        matches!(&self.standing, Standing::Candidate(tally) if !tally.has_answer(me))
    }

    /// No leader was heard of for the shortest election timeout: others may have the vote.
    pub(crate) const fn loyalty_timeout(&mut self) {
        self.bound = false;
        if let Standing::Follower(follower) = &mut self.standing {
            follower.loyal = false;
        }
    }

    /// Arms the election timer; each time another draw, so that votes seldom split (§5.2).
    pub(crate) fn arm_election(&self, out: &mut Outbox<Self>) {
        let voters = self.membership.current();
        out.set_timer(Timer::Election, self.config.settings.election_timeout_among(voters));
    }

    /// A replica that starts does not know whom it helped to a lease: it helps nobody else until the
    /// last of them has run out (D§6.4.1).
    pub(crate) fn bind_at_start(&mut self, out: &mut Outbox<Self>) {
        (self.bound, self.binding) = (self.config.settings.leases, self.config.settings.leases);
        self.rearm_on_contact(out);
    }

    /// Rearms a follower's timers, once per flush, if the leader was heard of.
    pub(crate) fn rearm_on_contact(&mut self, out: &mut Outbox<Self>) {
        let mut loyal = std::mem::take(&mut self.binding);
        if let Standing::Follower(follower) = &mut self.standing
            && std::mem::take(&mut follower.contact)
        {
            loyal |= follower.loyal;
            self.arm_election(out);
        }
        if loyal {
            Self::arm(Timer::Loyalty, self.config.settings.election_timeout.start, out);
        }
    }
}
