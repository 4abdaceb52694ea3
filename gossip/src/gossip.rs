//! The state of one member, and the ways in.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use consensus_core::{Draw, Epoch, NodeId, Time};

use crate::{
    chance::Chance,
    config::{Config, ConfigError},
    counters::Counters,
    datagram::{self, ClusterHash, Dropped},
    dissemination::{Rumours, Topic},
    effect::Outbox,
    health::LocalHealth,
    member::{Claim, Incarnation, MAX_COUNTER, Member, State},
    merge::Source,
    message::{Body, Message},
    metadata::{Metadata, MetadataError},
    probe::Prober,
    suspicion::Suspicions,
    sync::Contacts,
};

/// Who this member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The node: a replica's own, or a [`gateway_id`](crate::gateway_id).
    pub node: NodeId,
    /// Where others reach its gossip; not the unspecified address.
    pub address: SocketAddr,
    /// The how-many-th start of this node. The runtime persists it; it must grow.
    pub start: u64,
}

/// Who is said to lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaderHint {
    /// The node.
    pub leader: NodeId,
    /// The epoch that it is said to lead.
    pub epoch: Epoch,
}

/// Why a member could not be made, or its metadata not changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The parameters cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The metadata does not fit.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Others could not reach, or not name, this member.
    #[error("node {node} at {address} with start {start} is an identity that nobody can reach or name", node = .0.node, address = .0.address, start = .0.start)]
    Identity(Identity),
}

/// One member's view of the group, and its part in keeping everybody's view up to date.
///
/// Invariants:
/// - this node itself is in `members`, and is `Alive` or, in the end, `Left`;
/// - `suspicions` holds exactly the members that are `Suspect`;
/// - `gone` holds exactly the other members that are `Dead` or `Left`;
/// - after `tick(now)`, `next_tick()` is later than `now`.
#[derive(Clone, PartialEq, Debug)]
pub struct Gossip {
    pub(crate) config: Config,
    pub(crate) cluster: ClusterHash,
    pub(crate) me: NodeId,
    /// What is known, of this node too.
    pub(crate) members: BTreeMap<NodeId, Member>,
    pub(crate) suspicions: Suspicions,
    /// Since when the dead and those who left are so.
    pub(crate) gone: BTreeMap<NodeId, Time>,
    pub(crate) rumours: Rumours,
    /// When rumours may next be passed on.
    pub(crate) next_gossip: Time,
    pub(crate) prober: Prober,
    pub(crate) health: LocalHealth,
    pub(crate) contacts: Contacts,
    pub(crate) chance: Chance,
    pub(crate) counters: Counters,
}

impl Gossip {
    /// A member that knows nobody yet. It asks the seeds, whose identities it will learn, at once
    /// and until somebody answers.
    pub fn new(
        config: Config,
        identity: Identity,
        metadata: Metadata,
        seeds: Vec<SocketAddr>,
        draw: Draw,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Self, Error> {
        config.validate()?;
        metadata.validate()?;
        let Identity { node, address, start } = identity;
        let unreachable = address.ip().is_unspecified() || address.port() == 0;
        if node == NodeId(0) || unreachable || start > MAX_COUNTER {
            return Err(Error::Identity(identity));
        }
        let me = Member {
            node,
            address,
            incarnation: Incarnation::of_start(start),
            state: State::Alive,
            metadata_version: 0,
            metadata,
        };
        let mut chance = Chance::new(draw.of("gossip").at(node.0).at(start));
        // Members that start together must not probe in step.
        let phase = |chance: &mut Chance, interval: Duration| {
            now + chance.next("phase").duration(&(Duration::ZERO..interval))
        };
        let mut gossip = Self {
            cluster: ClusterHash::of(&config.cluster),
            me: node,
            members: BTreeMap::from([(node, me)]),
            suspicions: Suspicions::default(),
            gone: BTreeMap::new(),
            rumours: Rumours::default(),
            next_gossip: now,
            prober: Prober::new(phase(&mut chance, config.probe_interval)),
            health: LocalHealth::new(config.max_local_health),
            contacts: Contacts {
                seeds,
                next_sync: phase(&mut chance, config.sync_interval),
                next_reconnect: now + config.join_interval,
            },
            chance,
            counters: Counters::default(),
            config,
        };
        gossip.reconnect(now, out);
        Ok(gossip)
    }

    /// Takes a datagram. Damaged and foreign ones are counted and dropped.
    pub fn receive(&mut self, now: Time, from: SocketAddr, datagram: &[u8], out: &mut Outbox) {
        if self.has_left() {
            return;
        }
        let opened = datagram::open(datagram, self.cluster).and_then(Incoming::new);
        let incoming = match opened {
            Ok(incoming) => incoming,
            Err(dropped) => return self.count(dropped),
        };
        if incoming.sender.member.node == self.me {
            self.counters.conflicts += 1;
            return;
        }
        self.counters.received += 1;
        self.counters.received_bytes += datagram.len() as u64;
        self.take(now, from, incoming, out);
    }

    /// Does what is due. Call it at [`next_tick`](Self::next_tick), or at any other time.
    pub fn tick(&mut self, now: Time, out: &mut Outbox) {
        if self.has_left() {
            return;
        }
        self.make_up_for_a_pause(now);
        // A failed probe may confirm a suspicion, and so end it.
        self.probe(now, out);
        self.believe_expired_suspicions(now, out);
        self.gossip(now, out);
        self.synchronize(now, out);
        self.forget_the_gone(now);
    }

    /// When `tick` is next due. It may lie in the past: then at once.
    pub fn next_tick(&self) -> Time {
        if self.has_left() {
            return Time(u64::MAX);
        }
        let gossip = (!self.rumours.is_empty()).then_some(self.next_gossip);
        let suspicion = self.suspicions.next_deadline(&self.config);
        let forget = self.gone.values().min().map(|&since| since + self.config.forget_after);
        [gossip, suspicion, forget, Some(self.contacts.next_deadline())]
            .into_iter()
            .flatten()
            .fold(self.prober.next_deadline(), Time::min)
    }

    /// Says something new of this node. It spreads like every other news; mere progress of the
    /// commit index only rides along on what this node sends anyway.
    pub fn set_metadata(&mut self, metadata: Metadata) -> Result<(), Error> {
        metadata.validate()?;
        let me = self.members.get_mut(&self.me).expect("this node is a member");
        if me.metadata == metadata {
            return Ok(());
        }
        me.metadata_version += 1;
        if me.metadata.differs_notably(&metadata) {
            self.rumours.spread(self.me, Topic::Metadata);
        }
        me.metadata = metadata;
        Ok(())
    }

    /// Replaces the seeds: their names may have come to mean other addresses. They are asked at the
    /// next tick, which is due at once.
    pub fn set_seeds(&mut self, seeds: Vec<SocketAddr>) {
        self.contacts.seeds = seeds;
        self.contacts.next_reconnect = Time::ZERO;
    }

    /// Says goodbye, so that nobody needs to detect anything. Afterwards this member neither hears
    /// nor says anything, except for another goodbye if asked again.
    pub fn leave(&mut self, out: &mut Outbox) {
        let me = self.members.get_mut(&self.me).expect("this node is a member");
        me.state = State::Left;
        let limit = self.config.retransmit_limit(self.present().count());
        let recipients = self.some_others(limit as usize * self.config.gossip_fanout, |_| true);
        for recipient in recipients {
            self.post_to(recipient, Body::Rumours(Default::default()), &[], out);
        }
    }

    /// Everybody who is known, this node too, by ascending identity.
    pub fn members(&self) -> impl Iterator<Item = &Member> + '_ {
        self.members.values()
    }

    /// What is known of a node.
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.members.get(&node)
    }

    /// This node, as it shows itself.
    pub fn me(&self) -> &Member {
        self.members.get(&self.me).expect("this node is a member")
    }

    /// The members that are alive and not suspected.
    pub fn alive(&self) -> impl Iterator<Item = &Member> + '_ {
        self.members().filter(|member| member.state == State::Alive)
    }

    /// The members that are alive or suspected: the group, as SWIM counts it.
    pub fn present(&self) -> impl Iterator<Item = &Member> + '_ {
        self.members().filter(|member| member.state.is_present())
    }

    /// Who is said to lead the latest epoch, by the members that are alive; nobody whom this node
    /// holds to be gone. A hint where to ask first, never evidence.
    pub fn leader(&self) -> Option<LeaderHint> {
        let gone =
            |leader: NodeId| self.members.get(&leader).is_some_and(|m| !m.state.is_present());
        self.alive()
            .filter_map(|member| {
                let leader = member.metadata.leader?;
                Some(LeaderHint { leader, epoch: member.metadata.epoch })
            })
            .filter(|hint| !gone(hint.leader))
            .max_by_key(|hint| hint.epoch)
    }

    /// The node that has this address, for what sits between gossip and the network: the one
    /// present, or else the one last started.
    pub fn node_at(&self, address: SocketAddr) -> Option<NodeId> {
        self.members()
            .filter(|member| member.address == address)
            .max_by_key(|member| (member.state.is_present(), member.incarnation))
            .map(|member| member.node)
    }

    /// What happened so far, in numbers.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Lifeguard's local health multiplier: 0 is healthy.
    pub const fn local_health(&self) -> u32 {
        self.health.value()
    }

    /// The parameters.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Whether this member said goodbye.
    pub fn has_left(&self) -> bool {
        self.me().state == State::Left
    }

    fn count(&mut self, dropped: Dropped) {
        let counter = match dropped {
            Dropped::Damaged => &mut self.counters.damaged,
            Dropped::ForeignVersion => &mut self.counters.foreign_version,
            Dropped::ForeignCluster => &mut self.counters.foreign_cluster,
            Dropped::Malformed => &mut self.counters.malformed,
        };
        *counter += 1;
    }

    /// Merges what a message says of members, then does what it asks for.
    fn take(&mut self, now: Time, from: SocketAddr, incoming: Incoming, out: &mut Outbox) {
        let Incoming { sender, body, claims } = incoming;
        let node = sender.member.node;
        let source = match body {
            Body::Delta(_) => Source::Synchronization { with: node },
            _ => Source::Rumour,
        };
        self.merge(now, sender, Source::Rumour, out);
        for claim in claims {
            self.merge(now, claim, source, out);
        }
        match body {
            Body::Ping(ping) => self.on_ping(from, node, ping, out),
            Body::Ack(ack) => self.on_ack(ack, out),
            Body::PingRequest(request) => self.on_ping_request(now, from, node, request, out),
            Body::Nack(nack) => self.on_nack(node, nack),
            Body::Rumours(_) => {}
            Body::Digest(digest) => self.on_digest(from, node, &digest, out),
            Body::Delta(delta) => self.on_delta(from, &delta, out),
        }
    }

    /// A process that was stopped for a while must not take its own deafness for the others'
    /// silence: their answers may lie in its socket, unread.
    fn make_up_for_a_pause(&mut self, now: Time) {
        let pause = now.since(self.prober.next_deadline());
        if pause > self.config.probe_timeout {
            self.counters.pauses += 1;
            self.health.worsen();
            self.suspicions.postpone(pause);
            self.prober.postpone(pause);
        }
    }

    /// Passes rumours on, besides those that ride on probes.
    fn gossip(&mut self, now: Time, out: &mut Outbox) {
        if self.rumours.is_empty() || now < self.next_gossip {
            return;
        }
        self.next_gossip = now + self.config.gossip_interval;
        for recipient in self.some_others(self.config.gossip_fanout, |_| true) {
            self.post_to(recipient, Body::Rumours(Default::default()), &[], out);
        }
    }

    fn forget_the_gone(&mut self, now: Time) {
        let forget_after = self.config.forget_after;
        let expired = self.gone.iter().filter(|&(_, &since)| since + forget_after <= now);
        for node in expired.map(|(&node, _)| node).collect::<Vec<_>>() {
            self.gone.remove(&node);
            self.members.remove(&node);
            self.rumours.forget(node);
        }
    }
}

/// A message whose every record makes sense.
struct Incoming {
    sender: Claim,
    body: Body,
    claims: Vec<Claim>,
}

impl Incoming {
    fn new(message: Message) -> Result<Self, Dropped> {
        let malformed = |_| Dropped::Malformed;
        let sender = Claim::try_from(message.sender).map_err(malformed)?;
        // Nobody accuses itself.
        if !matches!(sender.member.state, State::Alive | State::Left) {
            return Err(Dropped::Malformed);
        }
        let claims = message.records.into_iter().map(Claim::try_from).collect::<Result<_, _>>();
        let body = message.body.ok_or(Dropped::Malformed)?;
        Ok(Self { sender, body, claims: claims.map_err(malformed)? })
    }
}
