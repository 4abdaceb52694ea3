//! A cluster of one of our protocols: the runtime's part of the contract, with links and disks that
//! take no time.

use consensus_core::{
    Ask, Disk, Effect, Input, NodeId, Outbox, Protocol, RequestId, Settings, Time, Write,
};
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;

use crate::{Contestant, Delivered, REPLICAS, Work};

/// A protocol of ours: the two timers that a benchmark lets run out by hand.
pub trait Timed: Protocol {
    /// The timer after which a follower campaigns.
    const ELECTION: Self::Timer;
    /// The timer after which a leader makes itself heard.
    const HEARTBEAT: Self::Timer;
}

impl Timed for Raft {
    const ELECTION: Self::Timer = consensus_raft::Timer::Election;
    const HEARTBEAT: Self::Timer = consensus_raft::Timer::Heartbeat;
}

impl Timed for MultiPaxos {
    const ELECTION: Self::Timer = consensus_multipaxos::Timer::Election;
    const HEARTBEAT: Self::Timer = consensus_multipaxos::Timer::Heartbeat;
}

/// Three replicas of one of our protocols; the first leads.
pub struct Ours<P: Timed> {
    replicas: Vec<Replica<P>>,
    outbox: Outbox<P>,
    requests: u64,
}

struct Replica<P: Protocol> {
    protocol: P,
    inbox: Vec<Input<P>>,
    /// Something happened since the last flush.
    worked: bool,
    /// Every batch that was persisted.
    disk: Vec<Vec<Write<P::Record>>>,
    delivered: Delivered,
}

impl<P: Timed> Contestant for Ours<P> {
    const NAME: &'static str = P::NAME;

    fn configuration(_work: Work) -> String {
        let settings = settings(NodeId(1));
        format!(
            "the defaults: at most {} entries and {} KiB a message, {} messages in flight; pre-vote {}, check-quorum {}",
            settings.max_batch_entries,
            settings.max_batch_bytes >> 10,
            settings.max_inflight_batches,
            settings.pre_vote,
            settings.check_quorum,
        )
    }

    fn start(_work: Work) -> Self {
        let mut outbox = Outbox::new();
        let config = |node| P::configure(settings(node)).expect("the bench's settings work");
        let replicas = members().map(|node| Replica {
            protocol: P::recover(config(node), 1, Time::ZERO, Disk::empty(), &mut outbox),
            inbox: Vec::new(),
            worked: false,
            disk: Vec::new(),
            delivered: Delivered::default(),
        });
        let mut cluster = Self { replicas: replicas.collect(), outbox, requests: 0 };
        cluster.outbox.drain();
        cluster.step(0, Input::Timeout(P::ELECTION));
        cluster.flush(0);
        while cluster.replicas.iter().any(|replica| !replica.inbox.is_empty()) {
            cluster.turn();
        }
        let status = cluster.replicas[0].protocol.status();
        assert_eq!(status.leader, Some(NodeId(1)), "the first replica leads");
        cluster
    }

    fn propose(&mut self, command: Vec<u8>) {
        self.requests += 1;
        let (request, ask) = (RequestId(self.requests), Ask::Propose(command.into()));
        self.step(0, Input::Ask { request, ask });
        self.replicas[0].worked = true;
    }

    fn turn(&mut self) {
        for at in 0..self.replicas.len() {
            let Self { replicas, outbox, .. } = self;
            let Replica { protocol, inbox, worked, .. } = &mut replicas[at];
            *worked |= !inbox.is_empty();
            for input in inbox.drain(..) {
                protocol.step(Time::ZERO, input, outbox);
            }
            if std::mem::take(worked) {
                self.flush(at);
            }
        }
    }

    fn heartbeat(&mut self) {
        self.step(0, Input::Timeout(P::HEARTBEAT));
        self.flush(0);
    }

    fn delivered(&self) -> [&Delivered; REPLICAS] {
        [0, 1, 2].map(|at| &self.replicas[at].delivered)
    }
}

impl<P: Timed> Ours<P> {
    fn step(&mut self, at: usize, input: Input<P>) {
        self.replicas[at].protocol.step(Time::ZERO, input, &mut self.outbox);
    }

    /// Ends a drain of the inbox, and carries out everything that came of it.
    fn flush(&mut self, at: usize) {
        self.replicas[at].protocol.flush(Time::ZERO, &mut self.outbox);
        self.carry_out(at);
    }

    fn carry_out(&mut self, at: usize) {
        let from = NodeId(at as u64 + 1);
        for effect in self.outbox.drain() {
            match effect {
                Effect::Persist(batch) => self.replicas[at].disk.push(batch),
                Effect::Send { to, message, .. } => {
                    let inbox = &mut self.replicas[to.0 as usize - 1].inbox;
                    inbox.push(Input::Receive { from, message });
                }
                Effect::Apply(applies) => {
                    let Replica { protocol, delivered, .. } = &mut self.replicas[at];
                    let entries = applies.entries(protocol);
                    entries
                        .filter_map(|entry| entry.payload.command())
                        .for_each(|command| delivered.apply(command));
                }
                Effect::Reply { outcome, .. } => panic!("a command was not taken: {outcome:?}"),
                Effect::TakeSnapshot(_)
                | Effect::SendSnapshot { .. }
                | Effect::Restore(_)
                | Effect::SetTimer { .. }
                | Effect::CancelTimer(_)
                | Effect::Note(_) => {}
            }
        }
    }
}

fn members() -> impl Iterator<Item = NodeId> {
    (1..=REPLICAS as u64).map(NodeId)
}

fn settings(node: NodeId) -> Settings {
    Settings::new(node, members().collect())
}
