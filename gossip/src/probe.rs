//! Probes (SWIM §3.1 and §4.3): in each period one member, in a random order that visits everybody
//! once a round, so that a death is noticed within a bounded time.
//!
//! ```text
//! ├── ping ──────┬── ping-requests to k helpers ──────┤ no ack: suspect
//! begin     begin + timeout                  begin + interval      (both stretched by local health)
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use consensus_core::{NodeId, Time};

use crate::{
    chance::Chance,
    effect::Outbox,
    gossip::Gossip,
    member::State,
    message::{Ack, Body, Nack, Ping, PingRequest},
};

/// The most pings that are under way in others' stead.
const MAX_RELAYS: usize = 1_024;

/// The probes of one member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Prober {
    /// Whom to probe in this round; `next_in_order` is the place to go on.
    order: Vec<NodeId>,
    next_in_order: usize,
    sequence: u64,
    current: Option<Probe>,
    /// When the current period ends and the next probe begins.
    period_ends: Time,
    /// The pings in others' stead, by the sequence number of the ping.
    relays: BTreeMap<u64, Relay>,
}

/// A probe that was not answered yet.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Probe {
    target: NodeId,
    sequence: u64,
    stage: Stage,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// Helpers are asked at this time.
    Direct { until: Time },
    /// These helpers were asked, and did not answer yet.
    Indirect { silent: BTreeSet<NodeId> },
}

/// A ping in somebody's stead.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Relay {
    origin: SocketAddr,
    origin_node: NodeId,
    origin_sequence: u64,
    target: NodeId,
    /// When to say that the target does not answer; `None` once said.
    nack_at: Option<Time>,
    /// A late answer is still passed on until then.
    expires: Time,
}

impl Prober {
    pub(crate) const fn new(first: Time) -> Self {
        Self {
            order: Vec::new(),
            next_in_order: 0,
            sequence: 0,
            current: None,
            period_ends: first,
            relays: BTreeMap::new(),
        }
    }

    /// A new member takes a random place among those still to come (SWIM §4.3).
    pub(crate) fn admit(&mut self, node: NodeId, chance: &mut Chance) {
        if !self.order[self.next_in_order..].contains(&node) {
            let places = (self.order.len() - self.next_in_order) as u64 + 1;
            let place = self.next_in_order + chance.next("place").below(places) as usize;
            self.order.insert(place, node);
        }
    }

    pub(crate) fn next_deadline(&self) -> Time {
        let helpers = self.current.as_ref().and_then(|probe| match probe.stage {
            Stage::Direct { until } => Some(until),
            Stage::Indirect { .. } => None,
        });
        let relays = self.relays.values().map(|relay| relay.nack_at.unwrap_or(relay.expires));
        relays.chain(helpers).fold(self.period_ends, Time::min)
    }

    pub(crate) fn postpone(&mut self, pause: Duration) {
        self.period_ends = self.period_ends + pause;
        if let Some(Probe { stage: Stage::Direct { until }, .. }) = &mut self.current {
            *until = *until + pause;
        }
    }

    pub(crate) const fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}

impl Gossip {
    /// Does what is due: asks helpers, ends the period, begins the next.
    pub(crate) fn probe(&mut self, now: Time, out: &mut Outbox) {
        self.answer_for_silent_targets(now, out);
        self.ask_helpers(now, out);
        if now >= self.prober.period_ends {
            self.conclude(now, out);
            self.prober.period_ends = now + self.health.stretch(self.config.probe_interval);
            if let Some(target) = self.next_target() {
                self.begin(now, target, out);
            }
        }
    }

    /// The next present member of the round; a new round, if this one is over.
    fn next_target(&mut self) -> Option<NodeId> {
        for _ in 0..2 {
            while let Some(&node) = self.prober.order.get(self.prober.next_in_order) {
                self.prober.next_in_order += 1;
                if self.members.get(&node).is_some_and(|member| member.state.is_present()) {
                    return Some(node);
                }
            }
            self.prober.order = self.some_others(usize::MAX, |_| true);
            self.prober.next_in_order = 0;
        }
        None
    }

    fn begin(&mut self, now: Time, target: NodeId, out: &mut Outbox) {
        self.counters.probes += 1;
        let sequence = self.prober.next_sequence();
        let until = now + self.health.stretch(self.config.probe_timeout);
        self.prober.current = Some(Probe { target, sequence, stage: Stage::Direct { until } });
        self.post_to(target, Body::Ping(Ping { sequence, target: target.0 }), &[], out);
    }

    fn ask_helpers(&mut self, now: Time, out: &mut Outbox) {
        let Some(Probe { target, sequence, stage: Stage::Direct { until } }) = self.prober.current
        else {
            return;
        };
        if now < until {
            return;
        }
        self.counters.indirect_probes += 1;
        let qualifies =
            |member: &crate::Member| member.state == State::Alive && member.node != target;
        let helpers = self.some_others(self.config.indirect_probes, qualifies);
        for &helper in &helpers {
            let request = PingRequest { sequence, target: target.0 };
            self.post_to(helper, Body::PingRequest(request), &[target], out);
        }
        let stage = Stage::Indirect { silent: helpers.into_iter().collect() };
        self.prober.current = Some(Probe { target, sequence, stage });
    }

    /// Ends the period: a target that did not answer by now is suspect.
    fn conclude(&mut self, now: Time, out: &mut Outbox) {
        let Some(probe) = self.prober.current.take() else { return };
        self.counters.failed_probes += 1;
        // Where helpers were asked and every one said that it cannot reach the target either, the
        // fault is not here (Lifeguard §IV-A).
        let vouched = match probe.stage {
            Stage::Direct { .. } => false,
            Stage::Indirect { silent } => silent.is_empty() && self.has_helpers(probe.target),
        };
        if !vouched {
            self.health.worsen();
        }
        self.suspect(now, probe.target, out);
    }

    fn has_helpers(&self, target: NodeId) -> bool {
        self.config.indirect_probes > 0
            && self.alive().any(|member| member.node != self.me && member.node != target)
    }

    pub(crate) fn on_ping(
        &mut self,
        from: SocketAddr,
        sender: NodeId,
        ping: Ping,
        out: &mut Outbox,
    ) {
        // The ping may be meant for a node that had this address before.
        if ping.target == self.me.0 {
            let ack = Ack { sequence: ping.sequence, target: self.me.0 };
            self.post(from, sender, Body::Ack(ack), &[], out);
        }
    }

    pub(crate) fn on_ack(&mut self, ack: Ack, out: &mut Outbox) {
        let target = NodeId(ack.target);
        let mine = |probe: &Probe| (probe.sequence, probe.target) == (ack.sequence, target);
        if self.prober.current.as_ref().is_some_and(mine) {
            self.prober.current = None;
            self.health.improve();
        }
        if self.prober.relays.get(&ack.sequence).is_some_and(|relay| relay.target == target)
            && let Some(relay) = self.prober.relays.remove(&ack.sequence)
        {
            // The target's own record goes along, so that a refutation comes the same way.
            let ack = Ack { sequence: relay.origin_sequence, target: ack.target };
            self.post(relay.origin, relay.origin_node, Body::Ack(ack), &[target], out);
        }
    }

    pub(crate) fn on_ping_request(
        &mut self,
        now: Time,
        from: SocketAddr,
        sender: NodeId,
        request: PingRequest,
        out: &mut Outbox,
    ) {
        let target = NodeId(request.target);
        if self.prober.relays.len() >= MAX_RELAYS {
            self.counters.refused += 1;
            return;
        }
        if target == self.me || !self.members.contains_key(&target) {
            return;
        }
        let sequence = self.prober.next_sequence();
        let relay = Relay {
            origin: from,
            origin_node: sender,
            origin_sequence: request.sequence,
            target,
            // Lifeguard §IV-A: at 80 % of the timeout, for the nack must come in time.
            nack_at: Some(now + self.config.probe_timeout.mul_f64(0.8)),
            expires: now + self.config.probe_interval,
        };
        self.prober.relays.insert(sequence, relay);
        self.post_to(target, Body::Ping(Ping { sequence, target: target.0 }), &[], out);
    }

    pub(crate) fn on_nack(&mut self, sender: NodeId, nack: Nack) {
        if let Some(Probe { sequence, stage: Stage::Indirect { silent }, .. }) =
            &mut self.prober.current
            && *sequence == nack.sequence
        {
            silent.remove(&sender);
        }
    }

    /// Tells those who asked that the target does not answer; drops what is long over.
    fn answer_for_silent_targets(&mut self, now: Time, out: &mut Outbox) {
        self.prober.relays.retain(|_, relay| now < relay.expires);
        let mut nacks = Vec::new();
        for relay in self.prober.relays.values_mut() {
            if relay.nack_at.is_some_and(|at| at <= now) {
                relay.nack_at = None;
                nacks.push((relay.origin, relay.origin_node, relay.origin_sequence));
            }
        }
        for (origin, node, sequence) in nacks {
            self.post(origin, node, Body::Nack(Nack { sequence }), &[], out);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use consensus_core::Time;

    use crate::{Outbox, gossip::Gossip, merge, merge::fixture};

    /// SWIM §4.3: between two probes of one member lie at most 2n − 2 probes of others, and one that
    /// is admitted in the middle of a round waits for no more than a round.
    #[test]
    fn everybody_is_probed_once_a_round() {
        let mut gossip = fixture::observer();
        let admit = |gossip: &mut Gossip, node| {
            let claim = fixture::alive(node);
            gossip.merge(Time::ZERO, claim, merge::Source::Rumour, &mut Outbox::new());
        };
        (10..20).for_each(|node| admit(&mut gossip, node));
        for _ in 0..50 {
            let round: BTreeSet<_> = (0..10).filter_map(|_| gossip.next_target()).collect();
            assert_eq!(round.len(), 10);
        }
        let _ = gossip.next_target();
        admit(&mut gossip, 20);
        let rest: BTreeSet<_> = (0..10).filter_map(|_| gossip.next_target()).collect();
        assert_eq!(rest.len(), 10, "nine of the round, and the newcomer among them");
    }
}
