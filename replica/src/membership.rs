//! Gossip over UDP: drives [`gossip::Gossip`] with a socket and a clock, and publishes its view.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use consensus_core::{Draw, Epoch, Index, NodeId, Status};
use faults::Channel;
use gossip::{Effect, Event, Gossip, Identity, Kind, Metadata, Outbox};
use serde::{Deserialize, Serialize};
use tokio::{
    net::UdpSocket,
    sync::{oneshot, watch},
    time::sleep,
};

use crate::{clock, counters::Counters, links::Links, runtime::Loop, seeds::Seeds};

/// Who is there, where, and who leads, as far as gossip knows. A hint, never evidence.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct View {
    /// Everybody who is known, this node too, by ascending identity.
    pub members: Vec<MemberView>,
    /// Who is said to lead.
    pub leader: Option<NodeId>,
}

impl View {
    /// What is known of a node.
    pub fn member(&self, node: NodeId) -> Option<&MemberView> {
        self.members.iter().find(|member| member.node == node)
    }

    /// The replicas that are believed alive.
    pub fn alive(&self) -> Vec<NodeId> {
        let alive = |member: &&MemberView| !member.gateway && member.state == "alive";
        self.members.iter().filter(alive).map(|member| member.node).collect()
    }
}

/// What gossip knows of one member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemberView {
    /// Which node.
    pub node: NodeId,
    /// Whether it is a gateway, not a replica.
    pub gateway: bool,
    /// `alive`, `suspect`, `dead` or `left`.
    pub state: String,
    /// Which of its lives, and how often it refuted its death in it.
    pub incarnation: String,
    /// Where its gossip is received.
    pub gossip_address: SocketAddr,
    /// Where other replicas reach it.
    pub peer_address: String,
    /// Where clients reach it.
    pub client_address: String,
    /// The protocol that it runs.
    pub protocol: String,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// Under which epoch.
    pub epoch: Epoch,
    /// The last position that it knew to be committed when it last said so.
    pub commit: Index,
}

/// What the membership task works with.
pub(crate) struct Membership {
    pub(crate) socket: Arc<UdpSocket>,
    pub(crate) links: Arc<Links>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) view: watch::Sender<View>,
    /// What this node says of itself, where the status does not say it.
    pub(crate) metadata: Metadata,
    /// The replica's status; a gateway's never changes.
    pub(crate) status: watch::Receiver<Status>,
    /// Who is told of suspicions; nobody at a gateway.
    pub(crate) consensus: Option<Arc<dyn Loop>>,
    /// Says when to leave, and hears when that is done.
    pub(crate) leave: oneshot::Receiver<oneshot::Sender<()>>,
}

/// Who this node is, and where it begins.
pub(crate) struct Start {
    pub(crate) cluster: String,
    pub(crate) identity: Identity,
    pub(crate) seeds: Vec<String>,
    pub(crate) draw: Draw,
}

/// The gossip life of a replica that introduces itself: it is over once the replica is admitted, and
/// later than every earlier one of the same disk.
pub(crate) const fn start_of_introduction(incarnation: u64) -> u64 {
    2 * incarnation
}

/// The gossip life of a replica that serves.
pub(crate) const fn start_of_service(incarnation: u64) -> u64 {
    2 * incarnation + 1
}

impl Membership {
    /// Joins, and gossips until told to leave.
    pub(crate) async fn run(mut self, start: Start) -> Result<(), gossip::Error> {
        let mut seeds = Seeds::look_up(start.seeds, start.identity.address.ip());
        let mut out = Outbox::new();
        let mut gossip = Gossip::new(
            gossip::Config::new(start.cluster),
            start.identity,
            self.metadata.clone(),
            seeds.addresses(),
            start.draw,
            clock::now(),
            &mut out,
        )?;
        let mut buffer = vec![0; gossip::MAX_DATAGRAM_BYTES + 1];
        // A gateway's status has no sender: then there is nothing to wait for.
        let mut status_lives = true;
        loop {
            self.perform(&gossip, &mut out);
            let until_tick = gossip.next_tick().since(clock::now());
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => {
                        self.receive(&mut gossip, from, &buffer[..length], &mut out);
                    }
                    // An earlier datagram found nobody (ICMP); that is no news to gossip.
                    Err(error) => tracing::trace!(%error, "gossip"),
                },
                () = sleep(until_tick) => {
                    self.describe(&mut gossip)?;
                    gossip.tick(clock::now(), &mut out);
                    self.publish(&gossip);
                }
                () = seeds.changed() => gossip.set_seeds(seeds.addresses()),
                changed = self.status.changed(), if status_lives => {
                    status_lives = changed.is_ok();
                    self.describe(&mut gossip)?;
                }
                done = &mut self.leave => {
                    gossip.leave(&mut out);
                    self.perform(&gossip, &mut out);
                    if let Ok(done) = done {
                        // Nobody may be waiting any more.
                        let _ = done.send(());
                    }
                    return Ok(());
                }
            }
        }
    }

    fn receive(&self, gossip: &mut Gossip, from: SocketAddr, datagram: &[u8], out: &mut Outbox) {
        let admitted = match gossip.node_at(from) {
            Some(node) => self.links.admits(node, Channel::Gossip),
            None => true,
        };
        if admitted {
            self.counters.gossip_received_total.add(1);
            gossip.receive(clock::now(), from, datagram, out);
        } else {
            self.counters.links_refused_total.add(1);
        }
    }

    fn perform(&self, gossip: &Gossip, out: &mut Outbox) {
        let mut news = false;
        for effect in out.drain() {
            match effect {
                Effect::Send { to, datagram } => self.send(gossip, to, datagram),
                Effect::Event(event) => {
                    news = true;
                    tracing::info!("gossip: {event}");
                    self.tell_suspicion(event);
                }
            }
        }
        if news {
            self.publish(gossip);
        }
    }

    /// Passes on whether a replica seems dead: a hint for when to campaign. One that finds no room
    /// is lost, as a hint may be.
    fn tell_suspicion(&self, event: Event) {
        let Some(consensus) = &self.consensus else { return };
        let suspected = match event {
            Event::Suspected { .. } | Event::Died { .. } | Event::Left { .. } => true,
            Event::Joined { .. } | Event::Refuted { .. } => false,
            Event::Updated { .. } => return,
        };
        if Kind::of(event.node()) == Kind::Replica {
            let _hint = consensus.suspect(event.node(), suspected);
        }
    }

    fn send(&self, gossip: &Gossip, to: SocketAddr, datagram: Bytes) {
        self.counters.gossip_sent_total.add(1);
        let socket = Arc::clone(&self.socket);
        // Datagrams may be lost; one that finds no room in the socket's buffer is.
        let deliver = move |datagram: Bytes| drop(socket.try_send_to(&datagram, to));
        match gossip.node_at(to) {
            Some(node) => self.links.send(node, Channel::Gossip, datagram, deliver),
            // A seed that did not answer yet has no name, and so no rules.
            None => deliver(datagram),
        }
    }

    fn describe(&mut self, gossip: &mut Gossip) -> Result<(), gossip::Error> {
        let status = self.status.borrow_and_update();
        let Metadata { peer_address, client_address, protocol, .. } = self.metadata.clone();
        gossip.set_metadata(Metadata {
            peer_address,
            client_address,
            protocol,
            leader: status.leader,
            epoch: status.epoch,
            commit: status.commit,
        })
    }

    fn publish(&self, gossip: &Gossip) {
        let members = gossip.members().map(member_view).collect();
        let leader = gossip.leader().map(|hint| hint.leader);
        let view = View { members, leader };
        self.view.send_if_modified(|known| {
            let changed = *known != view;
            *known = view;
            changed
        });
    }
}

fn member_view(member: &gossip::Member) -> MemberView {
    let metadata = member.metadata.clone();
    MemberView {
        node: member.node,
        gateway: member.kind() == Kind::Gateway,
        state: member.state.to_string(),
        incarnation: member.incarnation.to_string(),
        gossip_address: member.address,
        peer_address: metadata.peer_address,
        client_address: metadata.client_address,
        protocol: metadata.protocol,
        leader: metadata.leader,
        epoch: metadata.epoch,
        commit: metadata.commit,
    }
}

/// How long a departing member waits for its goodbye to be sent.
const LEAVE_LIMIT: Duration = Duration::from_millis(200);

/// Asks the membership task to say goodbye, and waits until it did.
pub(crate) async fn leave(ask: oneshot::Sender<oneshot::Sender<()>>) {
    let (done, left) = oneshot::channel();
    if ask.send(done).is_ok() {
        let _ = tokio::time::timeout(LEAVE_LIMIT, left).await;
    }
}
