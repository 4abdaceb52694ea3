//! Phase 2, slot by slot: Accept, Accepted, and what is chosen.
//!
//! Slots are chosen in any order inside the window, and applied in order:
//!
//! ```text
//!                 chosen_to      last
//!                     v           v
//!   slots    ... 7 8 9|10 11 12 13|          9 is applied; 11 and 12 are chosen, but wait for 10
//!   accepted by  * * *| 1  3  2  1|          (five acceptors would need 3)
//! ```

use consensus_core::{
    Event, Index, NodeId, Payload, RequestId, Write, payload::MAX_COMMAND_BYTES, protocol::Refusal,
};

use crate::{
    log::MAX_AHEAD,
    message::{Accept, Accepted, Heartbeat, HeartbeatAck, Message},
    record::{Ballot, PValue, PaxosRecord},
    replica::{Acknowledgement, Leader, MultiPaxos, Out, Part, Proposal, Timer},
};

impl MultiPaxos {
    /// Gives a client's command the next slot. It leaves at the flush, with whatever else was
    /// proposed by then.
    pub(crate) fn propose(&mut self, request: RequestId, value: Payload, out: &mut Out) {
        let refusal = Refusal::NotLeader { leader: self.leader };
        let Part::Leader(leader) = &mut self.part else { return out.refuse(request, refusal) };
        if value.bytes() > MAX_COMMAND_BYTES {
            return out.refuse(request, Refusal::TooLarge);
        }
        let settings = &self.config.settings;
        let bytes = leader.window_bytes + value.bytes();
        if leader.window.len() >= settings.max_uncommitted_entries
            || (bytes > settings.max_uncommitted_bytes && leader.window_bytes > 0)
        {
            return out.refuse(request, Refusal::Overloaded);
        }
        let slot = self.log.last() + 1;
        self.log.put(slot, self.promised, value);
        leader.window.push_back(Proposal { request: Some(request), accepted_by: 0 });
        leader.window_bytes = bytes;
        out.note(Event::Proposed { request, index: slot, epoch: self.promised.epoch() });
    }

    /// Phase 2a: writes the new proposals to the leader's own disk, and offers every peer what it was
    /// not offered yet, as far as its flow control lets them through.
    pub(crate) fn replicate(&mut self, out: &mut Out) {
        self.write_proposals(out);
        let last = self.log.last();
        let max_inflight = self.config.settings.max_inflight_batches;
        let limit = self.batch_limit();
        let Part::Leader(leader) = &mut self.part else { return };
        for (&node, peer) in &mut leader.peers {
            // What is chosen needs nobody's acceptance any more; whoever lacks it learns it.
            peer.next = peer.next.max(self.chosen_to + 1);
            while peer.next <= last && peer.inflight.len() < max_inflight {
                let values = self.log.run(peer.next..=last, limit);
                let slot = peer.next;
                peer.next += values.len() as Index;
                peer.inflight.push_back((slot, peer.next - 1));
                let (ballot, chosen_to) = (self.promised, self.chosen_to);
                out.send_now(node, Message::Accept(Accept { ballot, slot, values, chosen_to }));
            }
        }
    }

    /// The leader is an acceptor too: it counts its own acceptance when its disk has it, in parallel
    /// with its peers' disks.
    pub(crate) fn write_proposals(&mut self, out: &mut Out) {
        let (ballot, to) = (self.promised, self.log.last());
        let Part::Leader(leader) = &mut self.part else { return };
        let from = leader.written_to + 1;
        if from > to {
            return;
        }
        leader.written_to = to;
        let put = |slot| {
            let value = self.log.get(slot).expect("a leader's window has no holes").value.clone();
            Write::Put(PaxosRecord::Accepted(PValue { slot, ballot, value }))
        };
        let writes = (from..=to).map(put).collect();
        self.persist(writes, out);
        out.send(self.node(), Message::Accepted(Accepted { ballot, from, to }));
    }

    /// Phase 2b: accepts the values, unless a higher ballot was promised.
    pub(crate) fn receive_accept(&mut self, from: NodeId, accept: Accept, out: &mut Out) {
        let Accept { ballot, slot: first, values, chosen_to } = accept;
        if !self.follows(from, ballot, out) {
            return;
        }
        let to = first + values.len() as Index - 1;
        if to > self.chosen_to + MAX_AHEAD {
            let why = format!("slot {to} is too far ahead of {}", self.chosen_to);
            return out.note(Event::Refused { why });
        }
        let mut writes = Vec::with_capacity(values.len() + 1);
        for (slot, value) in (first..).zip(values) {
            self.accept(slot, ballot, value, &mut writes);
        }
        self.persist(writes, out);
        self.acknowledge_slots(Acknowledgement { ballot, from: first, to }, out);
        self.follow_choices(chosen_to, out);
    }

    fn accept(
        &mut self,
        slot: Index,
        ballot: Ballot,
        value: Payload,
        writes: &mut Vec<Write<PaxosRecord>>,
    ) {
        if slot <= self.log.base().index {
            return; // chosen long ago: the base holds what it did
        }
        if let Some(held) = self.log.get(slot) {
            assert!(
                held.value == value || (slot > self.chosen_to && held.ballot < ballot),
                "slot {slot}: another value is chosen, or two are proposed under {}",
                ballot.epoch()
            );
            if held.ballot >= ballot {
                return; // a duplicate, on its way to the disk already
            }
        }
        self.log.put(slot, ballot, value.clone());
        writes.push(Write::Put(PaxosRecord::Accepted(PValue { slot, ballot, value })));
    }

    /// Acknowledges together what was accepted together: consecutive slots, under one ballot.
    fn acknowledge_slots(&mut self, new: Acknowledgement, out: &mut Out) {
        if let Some(old) = &mut self.acknowledgement
            && old.ballot == new.ballot
            && old.to + 1 == new.from
        {
            old.to = new.to;
            return;
        }
        self.acknowledge(out);
        self.acknowledgement = Some(new);
    }

    /// Sends the acknowledgement under way, under the ballot under which its slots were accepted.
    pub(crate) fn acknowledge(&mut self, out: &mut Out) {
        if let Some(Acknowledgement { ballot, from, to }) = self.acknowledgement.take() {
            out.send(ballot.owner(), Message::Accepted(Accepted { ballot, from, to }));
        }
    }

    /// Counts an acceptance; the own one comes through the disk like any other.
    pub(crate) fn receive_accepted(
        &mut self,
        from: NodeId,
        Accepted { ballot, from: first, to }: Accepted,
        out: &mut Out,
    ) {
        let Part::Leader(leader) = &mut self.part else { return };
        if ballot != self.promised {
            return; // accepted under an earlier ballot of this node: it counts for nothing now
        }
        if let Some(peer) = leader.peers.get_mut(&from) {
            peer.is_heard = true;
            peer.inflight.retain(|&(start, end)| end < first || to < start);
        }
        let bit = self.acceptors.bit(from);
        let window_starts = self.chosen_to + 1;
        let places = first.max(window_starts)..=to.min(self.log.last());
        for slot in places {
            leader.window[(slot - window_starts) as usize].accepted_by |= bit;
        }
        let is_chosen = |proposal: &&Proposal| self.acceptors.is_quorum(proposal.accepted_by);
        let chosen = leader.window.iter().take_while(is_chosen).count() as Index;
        self.advance_commit(self.chosen_to + chosen, out);
    }

    /// At a follower: what the leader knows chosen is chosen here too, as far as the values here were
    /// accepted under its ballot, under which a slot has one value only. A value of an older ballot
    /// may have lost; it must be learned.
    pub(crate) fn follow_choices(&mut self, told: Index, out: &mut Out) {
        self.catchup.told = self.catchup.told.max(told);
        let mut to = self.chosen_to;
        while to < self.catchup.told
            && self.log.get(to + 1).is_some_and(|slot| slot.ballot == self.promised)
        {
            to += 1;
        }
        self.advance_commit(to, out);
    }

    /// Every slot up to `to` is known chosen.
    pub(crate) fn advance_commit(&mut self, to: Index, out: &mut Out) {
        let from = self.chosen_to + 1;
        if to < from {
            return;
        }
        self.chosen_to = to;
        let is_command = |slot| self.log.get(slot).is_some_and(|slot| !slot.value.is_noop());
        let has_command = (from..=to).any(is_command);
        out.note(Event::Committed { epoch: self.promised.epoch(), from, to, has_command });
        self.apply_committed(out);
        if let Part::Leader(leader) = &mut self.part
            && !leader.is_caught_up
            && to >= leader.inherited_to
        {
            leader.is_caught_up = true;
            out.note(Event::CaughtUp { epoch: self.promised.epoch() });
        }
    }

    /// Hands what is chosen to the state machine, in order.
    pub(crate) fn apply_committed(&mut self, out: &mut Out) {
        for index in self.applied_to + 1..=self.chosen_to {
            let slot = self.log.get(index).expect("a chosen slot holds its value");
            let request = match &mut self.part {
                Part::Leader(leader) => {
                    leader.window_bytes -= slot.value.bytes();
                    leader.window.pop_front().and_then(|proposal| proposal.request)
                }
                _ => None,
            };
            out.apply(index, slot.ballot.epoch(), slot.value.clone(), request);
        }
        self.applied_to = self.chosen_to;
    }

    /// Makes the leader heard: how far everything is chosen, and a probe for what was lost.
    pub(crate) fn heartbeat(&mut self, out: &mut Out) {
        let (ballot, chosen_to) = (self.promised, self.chosen_to);
        let Part::Leader(leader) = &mut self.part else { return };
        leader.heartbeats += 1;
        let sequence = leader.heartbeats;
        for (&node, peer) in &mut leader.peers {
            peer.probe.get_or_insert((sequence, peer.next));
            out.send_now(node, Message::Heartbeat(Heartbeat { ballot, sequence, chosen_to }));
        }
        self.repeat_read_round(out);
        self.set_heartbeat_timer(out);
    }

    pub(crate) fn receive_heartbeat(
        &mut self,
        from: NodeId,
        Heartbeat { ballot, sequence, chosen_to }: Heartbeat,
        out: &mut Out,
    ) {
        if self.follows(from, ballot, out) {
            out.send_now(from, Message::HeartbeatAck(HeartbeatAck { ballot, sequence }));
            self.follow_choices(chosen_to, out);
            self.catch_up(from, out);
        }
    }

    /// The peer is there: what it should have acknowledged by now was lost, and is sent again.
    pub(crate) fn receive_heartbeat_ack(
        &mut self,
        from: NodeId,
        HeartbeatAck { ballot, sequence }: HeartbeatAck,
        out: &mut Out,
    ) {
        let Part::Leader(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&from).filter(|_| ballot == self.promised) else {
            return;
        };
        peer.is_heard = true;
        if let Some((_, sent_to)) = peer.probe.take_if(|(probe, _)| *probe <= sequence) {
            // An acknowledgement may still wait for the peer's disk: it is given the time until the
            // next answer.
            let lost_below = std::mem::replace(&mut peer.settled, sent_to);
            self.resend(from, lost_below, out);
        }
    }

    /// Sends again what lies below `lost_below` and the peer did not accept, gap by gap.
    fn resend(&mut self, to: NodeId, lost_below: Index, out: &mut Out) {
        let max_inflight = self.config.settings.max_inflight_batches;
        let limit = self.batch_limit();
        let bit = self.acceptors.bit(to);
        let window_starts = self.chosen_to + 1;
        let Part::Leader(Leader { peers, window, .. }) = &mut self.part else { return };
        let Some(peer) = peers.get_mut(&to) else { return };
        peer.inflight.retain(|&(_, end)| end >= lost_below);
        let lacks = |slot: Index| window[(slot - window_starts) as usize].accepted_by & bit == 0;
        let mut slot = window_starts;
        while slot < lost_below && peer.inflight.len() < max_inflight {
            if !lacks(slot) {
                slot += 1;
                continue;
            }
            let gap_ends = (slot..lost_below).find(|&slot| !lacks(slot)).unwrap_or(lost_below);
            let values = self.log.run(slot..=gap_ends - 1, limit);
            let next = slot + values.len() as Index;
            peer.inflight.push_back((slot, next - 1));
            let (ballot, chosen_to) = (self.promised, self.chosen_to);
            out.send_now(to, Message::Accept(Accept { ballot, slot, values, chosen_to }));
            slot = next;
        }
    }

    pub(crate) fn set_heartbeat_timer(&self, out: &mut Out) {
        let interval = self.config.settings.heartbeat_interval;
        out.set_timer(Timer::Heartbeat, interval..interval);
    }
}
