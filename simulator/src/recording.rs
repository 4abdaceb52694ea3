//! What a simulated run leaves behind.

use std::time::Duration;

use consensus_core::{
    Event, Index, NodeId, Time,
    history::{Applied, Observed, Operation, Sample},
};

use faults::{Action, Resolved, links};

use crate::{digest::Trace, machine::Machine};

/// Everything that a run showed. Two runs of the same configuration give equal recordings.
#[derive(Clone, PartialEq, Debug)]
pub struct Recording {
    /// The clients' operations, by the time they were meant for.
    pub operations: Vec<Operation>,
    /// What each replica applied, in the order in which it happened.
    pub applied: Vec<Applied>,
    /// What was seen inside the replicas, by time.
    pub observed: Vec<Observed>,
    /// Each replica's state, at the configured interval.
    pub samples: Vec<Sample>,
    /// What each replica cost, by place: all lives in it together.
    pub counters: Vec<Counters>,
    /// What the replicas held when they saved a snapshot, and when they loaded one.
    pub states: Vec<FinalState>,
    /// Each replica's state at the end, by place.
    pub finals: Vec<FinalState>,
    /// What the schedule turned out to be: who was hit, and when, since `ready`.
    pub resolved: Resolved,
    /// Everything that was done to the cluster, and when.
    pub struck: Vec<Struck>,
    /// The starts that failed because a record on the disk was damaged.
    pub refused: Vec<RefusedDisk>,
    /// When the cluster first served; `None` if it never did.
    pub ready: Option<Time>,
    /// When the last fault was healed.
    pub healed: Option<Time>,
    /// When, after that, every replica followed one leader and had applied whatever had been applied
    /// anywhere by then; known to one sampling interval.
    pub caught_up: Option<Time>,
    /// When, after the load had ended, all replicas held one state; `None` if the time for it
    /// passed first.
    pub converged: Option<Time>,
    /// The virtual time that passed.
    pub simulated: Duration,
    /// How many events were processed.
    pub events: u64,
    /// Stands for every event processed, in order: equal for equal runs.
    pub trace_digest: u64,
}

/// An action of the director's, carried out.
#[derive(Clone, PartialEq, Debug)]
pub struct Struck {
    /// When.
    pub at: Time,
    /// What was done, and for which trial.
    pub action: Action,
}

/// A start that failed because a record on the disk was damaged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedDisk {
    /// When.
    pub at: Time,
    /// Whose disk.
    pub node: NodeId,
    /// Which record, and what is wrong with it.
    pub why: String,
}

/// What the run itself knows of its course.
pub(crate) struct Story {
    pub(crate) resolved: Resolved,
    pub(crate) struck: Vec<Struck>,
    pub(crate) ready: Option<Time>,
    pub(crate) healed: Option<Time>,
    pub(crate) caught_up: Option<Time>,
    pub(crate) converged: Option<Time>,
}

/// What one replica cost, over all its incarnations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// The replica.
    pub node: NodeId,
    /// Messages sent to other replicas.
    pub messages: u64,
    /// Their encoded bytes, checksums included.
    pub bytes: u64,
    /// Gossip datagrams sent.
    pub datagrams: u64,
    /// Syncs its disk was asked for.
    pub syncs: u64,
    /// Campaigns it started.
    pub campaigns: u64,
    /// Elections it won.
    pub elections: u64,
    /// Times it was started.
    pub starts: u64,
    /// Batches that its crashes lost.
    pub lost_batches: u64,
    /// Times its disk failed, and it ended by itself.
    pub failed_disks: u64,
    /// Half written records that recovery found and cut.
    pub torn_records: u64,
    /// Damaged messages that its checksum found and dropped.
    pub corrupt: u64,
    /// Messages dropped because its inbox was full.
    pub overflowed: u64,
    /// Parts of snapshots sent, offers and answers included.
    pub parcels: u64,
    /// Their encoded bytes, checksums included.
    pub parcel_bytes: u64,
    /// Snapshots of which a peer acknowledged the whole.
    pub snapshots_sent: u64,
    /// Transfers of a snapshot that went on where an earlier one had stopped.
    pub resumed: u64,
    /// Snapshots from which its state machine was loaded, at a start or meanwhile.
    pub restored: u64,
    /// Requests that its front end refused because too many waited.
    pub turned_away: u64,
    /// What faults did to what it sent and received.
    pub links: links::Counters,
}

impl Recording {
    /// Every state that a replica is known to have held: at snapshots, and at the end of the run if
    /// it still ran.
    pub fn known_states(&self) -> impl Iterator<Item = &FinalState> {
        self.states.iter().chain(self.finals.iter().filter(|state| state.up))
    }
}

/// A replica's state at a moment: at the end of a run, or when it saved or loaded a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FinalState {
    /// The replica.
    pub node: NodeId,
    /// Whether it runs.
    pub up: bool,
    /// The last position it applied; zero if it does not run.
    pub applied: Index,
    /// A digest of its state machine, sessions included; zero if it does not run.
    pub digest: u64,
}

/// What a replica was handling when something happened in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cause {
    /// Whose message.
    pub(crate) from: Option<NodeId>,
    /// How long it had waited for its sender's disk.
    pub(crate) sync_ns: u64,
}

impl Cause {
    /// A timer or a client.
    pub(crate) const NONE: Self = Self { from: None, sync_ns: 0 };
}

/// Writes the recording while the run goes on.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) trace: Trace,
    pub(crate) events: u64,
    highest_applied: Index,
    operations: Vec<Operation>,
    applied: Vec<Applied>,
    observed: Vec<Observed>,
    samples: Vec<Sample>,
    states: Vec<FinalState>,
    counters: Vec<Counters>,
    acknowledged: Vec<NodeId>,
    fallen: Vec<NodeId>,
    refused: Vec<RefusedDisk>,
}

impl Recorder {
    pub(crate) fn new(seed: u64, nodes: u64) -> Self {
        let counters = |node| Counters { node: NodeId(node), ..Counters::default() };
        Self {
            trace: Trace::new(seed),
            events: 0,
            highest_applied: 0,
            operations: Vec::new(),
            applied: Vec::new(),
            observed: Vec::new(),
            samples: Vec::new(),
            states: Vec::new(),
            counters: (1..=nodes).map(counters).collect(),
            acknowledged: Vec::new(),
            fallen: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// The counters of a replica.
    pub(crate) fn counters(&mut self, node: NodeId) -> &mut Counters {
        &mut self.counters[place(node)]
    }

    /// The last position that any replica ever applied.
    pub(crate) const fn highest_applied(&self) -> Index {
        self.highest_applied
    }

    pub(crate) fn operation(&mut self, operation: Operation) {
        self.operations.push(operation);
    }

    /// A replica told a client that its change is done.
    pub(crate) fn acknowledged(&mut self, by: NodeId) {
        self.acknowledged.push(by);
    }

    /// Who told clients that changes are done, since the last time.
    pub(crate) fn take_acknowledged(&mut self) -> Vec<NodeId> {
        std::mem::take(&mut self.acknowledged)
    }

    /// A replica ended by itself.
    pub(crate) fn fell(&mut self, node: NodeId) {
        self.fallen.push(node);
    }

    /// Who ended by itself, since the last time.
    pub(crate) fn take_fallen(&mut self) -> Vec<NodeId> {
        std::mem::take(&mut self.fallen)
    }

    /// A replica did not start on a damaged disk.
    pub(crate) fn refused(&mut self, refused: RefusedDisk) {
        self.refused.push(refused);
    }

    pub(crate) fn applied(&mut self, applied: Applied) {
        self.trace.fold([applied.node.0, applied.index, applied.digest, applied.epoch.round]);
        self.highest_applied = self.highest_applied.max(applied.index);
        self.applied.push(applied);
    }

    pub(crate) fn observed(
        &mut self,
        at: Time,
        node: NodeId,
        incarnation: u64,
        cause: Cause,
        event: Event,
    ) {
        match &event {
            Event::Campaigning { .. } => self.counters(node).campaigns += 1,
            Event::Elected { .. } => self.counters(node).elections += 1,
            _ => {}
        }
        let Cause { from, sync_ns } = cause;
        self.observed.push(Observed { at, node, incarnation, from, sync_ns, event });
    }

    /// What was observed since that many observations had been made.
    pub(crate) fn observed_since(&self, seen: usize) -> &[Observed] {
        &self.observed[seen..]
    }

    /// A replica's state at a snapshot.
    pub(crate) fn state(&mut self, node: NodeId, machine: &impl Machine) {
        let (applied, digest) = (machine.applied(), machine.digest());
        self.states.push(FinalState { node, up: true, applied, digest });
    }

    pub(crate) fn sample(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// Ends the recording.
    pub(crate) fn finish(
        self,
        simulated: Duration,
        finals: Vec<FinalState>,
        story: Story,
    ) -> Recording {
        let Story { resolved, struck, ready, healed, caught_up, converged } = story;
        let Self { mut operations, mut observed, .. } = self;
        operations.sort_by_key(|operation| (operation.intended, operation.client));
        // A replica's clock runs ahead of the others' by what it is busy with.
        observed.sort_by_key(|observed| observed.at);
        Recording {
            operations,
            applied: self.applied,
            observed,
            samples: self.samples,
            states: self.states,
            counters: self.counters,
            finals,
            resolved,
            struck,
            refused: self.refused,
            ready,
            healed,
            caught_up,
            converged,
            simulated,
            events: self.events,
            trace_digest: self.trace.value(),
        }
    }
}

/// A replica's place among all, whichever of its lives this is: that of node 1 comes first.
pub(crate) fn place(node: NodeId) -> usize {
    usize::try_from(node.place().0 - 1).expect("a simulated cluster fits in memory")
}
