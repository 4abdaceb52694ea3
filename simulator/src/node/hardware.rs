//! A replica's disk and clock under faults.

use consensus_core::{Protocol, Time};
use faults::{DiskFailure, DiskRules, duration::Jump};

use super::{Ended, Node};
use crate::{event::Local, machine::Machine, surroundings::Surroundings};

impl<P: Protocol, M: Machine> Node<P, M> {
    /// Puts these rules in force at the disk, in the place of all earlier ones. What a stall held
    /// back is done now, if it is over.
    pub(crate) fn set_disk(&mut self, now: Time, rules: DiskRules, around: &mut Surroundings<P>) {
        self.barrier.set_rules(rules);
        let Some(running) = self.running.as_mut().filter(|_| !self.barrier.is_stalled()) else {
            return;
        };
        for what in std::mem::take(&mut running.held_back) {
            self.later(now, what, around);
        }
    }

    /// Flips a bit on the disk, which nobody uses.
    pub(crate) fn damage_disk(&mut self) {
        assert!(!self.is_up(), "node {} runs on the disk that is to be damaged", self.id);
        self.barrier.rot();
    }

    /// The disk failed. What was not synced may be gone, and must not be synced again as if it were
    /// there: the replica ends.
    pub(super) fn fail(&mut self, now: Time, failure: DiskFailure, around: &mut Surroundings<P>) {
        let ended = self.end(now, around);
        assert_eq!(ended, Ended::Running, "only a running replica uses its disk");
        let lost = match failure {
            DiskFailure::Error | DiskFailure::Full => self.barrier.crash(),
            DiskFailure::Torn => self.barrier.tear(),
        };
        let counters = around.recorder.counters(self.id);
        counters.failed_disks += 1;
        counters.lost_batches += lost;
        counters.torn_records += u64::from(failure == DiskFailure::Torn && lost > 0);
        around.recorder.fell(self.id);
    }

    /// Lets the clock jump.
    pub(crate) fn jump_clock(&mut self, now: Time, jump: Jump) {
        self.clock.jump(now, jump);
    }

    /// Lets the clock run at this rate, or at its own: what is left of each timer takes another time.
    pub(crate) fn set_clock_rate(
        &mut self,
        now: Time,
        ppm: Option<i32>,
        around: &mut Surroundings<P>,
    ) {
        let before = self.clock;
        self.clock.set_rate(now, ppm);
        let after = self.clock;
        for (timer, at) in self.timers.stretch(now, |left| before.remains(left, after)) {
            self.later(at, Local::Timer(timer), around);
        }
    }
}
