//! What a replica acts on: the queue, the network, the record.

use consensus_core::{Draw, NodeId, Protocol, Time};

use crate::{
    config::ProcessorModel,
    disk::DiskModel,
    event::{Answer, Attempt, ClientEvent, Event, Way},
    network::Network,
    queue::Queue,
    recording::Recorder,
    snapshots::{Parcel, SnapshotModel},
};

/// Everything outside the replicas that they can touch.
pub(crate) struct Surroundings<P: Protocol> {
    pub(crate) queue: Queue<Event<P>>,
    pub(crate) network: Network,
    pub(crate) recorder: Recorder,
    pub(crate) disk: DiskModel,
    pub(crate) snapshots: SnapshotModel,
    pub(crate) processor: ProcessorModel,
    /// The parameters of gossip, if there is any, and where its chance comes from.
    pub(crate) gossip: Option<gossip::Config>,
    pub(crate) gossip_draw: Draw,
    /// Who is in each place.
    pub(crate) lives: Vec<NodeId>,
}

impl<P: Protocol> Surroundings<P> {
    /// Sends a message from one replica to another.
    pub(crate) fn send(&mut self, now: Time, way: Way, message: P::Message, waited_ns: u64) {
        let Self { queue, network, recorder, .. } = self;
        let bytes = network.send(now, way, message, waited_ns, queue);
        let counters = recorder.counters(way.from);
        counters.messages += 1;
        counters.bytes += bytes;
    }

    /// Sends a part of a snapshot, or an answer to one.
    pub(crate) fn post(&mut self, now: Time, way: Way, parcel: &Parcel) {
        let Self { queue, network, recorder, .. } = self;
        let bytes = network.post(now, way, parcel, queue);
        let counters = recorder.counters(way.from);
        counters.parcels += 1;
        counters.parcel_bytes += bytes;
    }

    /// A replica answers a client.
    pub(crate) fn answer(&mut self, now: Time, from: NodeId, attempt: Attempt, answer: Answer) {
        let at = now + self.network.client_delay(attempt.by, from);
        self.queue.push(at, Event::Client(ClientEvent::Answer(attempt, answer)));
    }
}
