//! A replica's part in snapshots: it saves its machine, loads it, and carries snapshots to peers.

use bytes::Bytes;
use consensus_core::{Input, NodeId, Protocol, SnapshotMeta, Time};

use super::{Incoming, Node};
use crate::{
    event::{Local, Way},
    machine::Machine,
    snapshots::{Heard, Label, Parcel},
    surroundings::Surroundings,
};

/// What the disk does beside the log, one after the other. A crash loses what is not done.
#[derive(Debug)]
pub(super) enum Chore {
    /// Saves a snapshot of the machine.
    Save { snapshot: SnapshotMeta, bytes: Bytes },
    /// Stores a chunk that came from a peer.
    Store { from: NodeId, label: Label, offset: u64, data: Bytes },
}

impl Chore {
    const fn bytes(&self) -> usize {
        match self {
            Self::Save { bytes, .. } => bytes.len(),
            Self::Store { data, .. } => data.len(),
        }
    }

    /// Whether it stores a chunk of this snapshot. It is acknowledged when that is done: if what a
    /// sender repeats meanwhile were stored again each time, a slow disk would soon do nothing else.
    fn stores(&self, of: &Label) -> bool {
        matches!(self, Self::Store { label, .. } if label == of)
    }
}

impl<P: Protocol, M: Machine> Node<P, M> {
    /// Has the machine saved as it is now.
    pub(super) fn take_snapshot(
        &mut self,
        now: Time,
        snapshot: SnapshotMeta,
        around: &mut Surroundings<P>,
    ) {
        let running = self.running.as_mut().expect("only a running replica takes snapshots");
        let machine = &running.machine;
        assert_eq!(
            machine.applied(),
            snapshot.index,
            "a snapshot is taken right after the last entry that it covers was applied"
        );
        around.recorder.state(self.id, machine);
        let bytes = machine.save();
        self.do_chore(now, Chore::Save { snapshot, bytes }, around);
    }

    /// Replaces the machine by a snapshot on the disk.
    pub(super) fn restore(&mut self, snapshot: &SnapshotMeta, around: &mut Surroundings<P>) {
        let running = self.running.as_mut().expect("only a running replica restores snapshots");
        if snapshot.index == 0 {
            running.machine = M::default();
            return;
        }
        let Some(bytes) = self.shelf.get(snapshot) else {
            panic!("node {}: the snapshot up to {} is not on its disk", self.id, snapshot.index);
        };
        running.machine = M::load(bytes).expect("a checksum guards every snapshot");
        assert_eq!(running.machine.applied(), snapshot.index, "a snapshot is what its name says");
        around.recorder.state(self.id, &running.machine);
        around.recorder.counters(self.id).restored += 1;
    }

    /// Begins to send a snapshot to a peer.
    pub(super) fn send_snapshot(
        &mut self,
        now: Time,
        to: NodeId,
        snapshot: SnapshotMeta,
        around: &mut Surroundings<P>,
    ) {
        let bytes = self.shelf.get(&snapshot).expect("the base of the log is on the disk");
        let running = self.running.as_mut().expect("only a running replica sends snapshots");
        if let Some(offer) = running.sendings.begin(now, to, snapshot, bytes) {
            self.post(now, to, &offer, around);
            self.look_after_sendings(around);
        }
    }

    /// Offers anew what was not acknowledged.
    pub(super) fn resend(&mut self, now: Time, around: &mut Surroundings<P>) {
        let running = self.running.as_mut().expect("only a running replica sends snapshots");
        running.resend_at = None;
        for (to, offer) in running.sendings.retry(now, &around.snapshots) {
            self.post(now, to, &offer, around);
        }
        self.look_after_sendings(around);
    }

    /// Takes in what a peer says about a snapshot.
    pub(super) fn take_parcel(
        &mut self,
        now: Time,
        from: NodeId,
        parcel: Parcel,
        around: &mut Surroundings<P>,
    ) {
        match parcel {
            Parcel::Held { label, upto } => {
                let running = self.running.as_mut().expect("only a running replica takes parcels");
                match running.sendings.heard(now, from, &label, upto, &around.snapshots) {
                    Heard::Nothing => {}
                    Heard::Complete => around.recorder.counters(self.id).snapshots_sent += 1,
                    Heard::Next { parcel, resumed } => {
                        around.recorder.counters(self.id).resumed += u64::from(resumed);
                        self.post(now, from, &parcel, around);
                        self.look_after_sendings(around);
                    }
                }
            }
            Parcel::Chunk { label, offset, data } => {
                let running = self.running.as_ref().expect("only a running replica takes parcels");
                let due = running.chores.iter().any(|chore| chore.stores(&label));
                if self.held(&label) != offset || data.is_empty() {
                    self.acknowledge(now, from, label, around);
                } else if !due {
                    let chore = Chore::Store { from, label, offset, data };
                    self.do_chore(now, chore, around);
                }
            }
        }
    }

    /// The disk is done with its oldest chore.
    pub(super) fn finish_chore(&mut self, now: Time, around: &mut Surroundings<P>) {
        let running = self.running.as_mut().expect("chores die with their incarnation");
        match running.chores.pop_front().expect("a chore ends that was begun") {
            Chore::Save { snapshot, bytes } => {
                self.shelf.put(snapshot.clone(), bytes);
                running.inbox.push_back(Incoming::Driver(Input::Compacted(snapshot)));
            }
            Chore::Store { from, label, offset, data } => {
                self.shelf.add(&label, offset, &data);
                self.acknowledge(now, from, label, around);
            }
        }
        self.reclaim();
    }

    /// Throws snapshots away that no recovery will ask for.
    pub(super) fn reclaim(&mut self) {
        if let Some(base) = self.barrier.base() {
            self.shelf.reclaim(base);
        }
    }

    /// How much of a snapshot there is no need to send: all, once the log begins after it.
    fn held(&self, label: &Label) -> u64 {
        let superseded = self.barrier.base().is_some_and(|base| label.snapshot.index <= base);
        if superseded { label.total } else { self.shelf.held(label) }
    }

    /// Says how much of a snapshot is here. If it is whole, the protocol hears of it, and hears of it
    /// again whenever it is offered: what it made of it the first time may be lost.
    fn acknowledge(&mut self, now: Time, to: NodeId, label: Label, around: &mut Surroundings<P>) {
        let upto = self.held(&label);
        if upto == label.total {
            let running = self.running.as_mut().expect("only a running replica acknowledges");
            let staged = Input::Staged { from: to, snapshot: label.snapshot.clone() };
            running.inbox.push_back(Incoming::Driver(staged));
        }
        self.post(now, to, &Parcel::Held { label, upto }, around);
    }

    fn do_chore(&mut self, now: Time, chore: Chore, around: &mut Surroundings<P>) {
        let running = self.running.as_mut().expect("only a running replica has chores");
        let begins = running.chores_until.max(now);
        running.chores_until = begins + self.barrier.chore(chore.bytes(), &around.disk);
        running.chores.push_back(chore);
        let ends = running.chores_until;
        self.later(ends, Local::Chore, around);
    }

    fn post(&self, now: Time, to: NodeId, parcel: &Parcel, around: &mut Surroundings<P>) {
        around.post(now, Way { from: self.id, to }, parcel);
    }

    fn look_after_sendings(&mut self, around: &mut Surroundings<P>) {
        let running = self.running.as_mut().expect("only a running replica sends snapshots");
        let Some(at) = running.sendings.retry_at(&around.snapshots) else { return };
        if running.resend_at.is_none_or(|earlier| at < earlier) {
            running.resend_at = Some(at);
            self.later(at, Local::Resend, around);
        }
    }
}
