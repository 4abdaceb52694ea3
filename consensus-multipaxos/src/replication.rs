//! Phase 2, slot by slot: the leader's part and the acceptors', acknowledgements, flow control, and
//! what is chosen.
//!
//! Slots are chosen in any order inside the window, and applied in order:
//!
//! ```text
//!               chosen_to          last
//!                   |               |
//!   slot       7 8 9|10 11 12 13 14 |        11 and 12 are chosen (of five acceptors, three have
//!   accepted by     | 2  3  4  2  1 |        them), and wait for 10
//! ```

use std::{collections::VecDeque, ops::Range};

use consensus_core::{
    Command, Index, NodeId, Payload, Refusal, RequestId, Settings, Time, event::Event,
    payload::MAX_COMMAND_BYTES,
};

use crate::{
    change::{Changing, Stage},
    log::MAX_AHEAD,
    message::{Accept, Accepted, Message, ReadRound},
    record::{Ballot, PValue},
    replica::{Leader, MultiPaxos, Out, Proposal, Standing, Timer},
};

/// What a leader knows of one peer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Progress {
    pub peer: NodeId,
    /// The next slot to propose to it.
    pub next: Index,
    /// The Accepts on their way to it.
    pub inflight: Inflight,
    /// The read round whose acknowledgement is waited for, and `next` when it left.
    pub probe: Option<(u64, Index)>,
    /// `next` when the probe before left.
    pub settled: Index,
    /// Whether it promised this leader's ballot, on disk.
    pub promised: bool,
    /// The highest slot that it accepted under it.
    pub accepted_to: Index,
    /// Up to where it said that it holds every choice, on disk.
    pub secured: Index,
    /// Up to where it was asked to say so.
    pub asked: Index,
    /// Whether it was heard of since the last check of the quorum.
    pub heard: bool,
    /// Whether it was heard of between the two checks before.
    pub heard_before: bool,
    /// The latest read round that it acknowledged.
    pub read_acked: u64,
}

impl Progress {
    pub fn new(peer: NodeId, next: Index) -> Self {
        Self {
            peer,
            next,
            inflight: Inflight::default(),
            probe: None,
            settled: next,
            promised: false,
            accepted_to: 0,
            secured: 0,
            asked: 0,
            heard_before: false,
            heard: false,
            read_acked: 0,
        }
    }

    /// How many command bytes the next message may carry; `None` if there is to be none now.
    fn room(&self, last: Index, settings: &Settings) -> Option<usize> {
        if self.next > last { None } else { self.inflight.room(settings) }
    }

    /// The probe was acknowledged: whatever was sent before the *previous* probe, and is not
    /// acknowledged, is lost. What was sent between the two may still wait for the peer's disk.
    pub fn settle(&mut self, round: u64) -> Option<Range<Index>> {
        let (_, sent_before) = self.probe.take_if(|&mut (probe, _)| probe <= round)?;
        let lost_before = std::mem::replace(&mut self.settled, sent_before);
        self.inflight.forget(|sent| sent.to < lost_before);
        Some(0..lost_before)
    }
}

/// The Accepts that are on their way to one acceptor.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Inflight {
    /// In the order sent.
    messages: VecDeque<Sent>,
    /// The command bytes of all of them.
    bytes: usize,
}

/// An Accept on its way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Sent {
    /// Its first slot.
    from: Index,
    /// Its last slot.
    to: Index,
    /// Its command bytes.
    bytes: usize,
    /// How often something sent later was acknowledged before it.
    overtaken: u32,
}

impl Inflight {
    /// How many messages are on their way.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// How many bytes the next message may carry; none if as much is on its way as may be.
    pub fn room(&self, settings: &Settings) -> Option<usize> {
        if self.messages.len() >= settings.max_inflight_batches {
            return None;
        }
        match settings.max_inflight_bytes.saturating_sub(self.bytes) {
            0 => None,
            room => Some(room),
        }
    }

    /// These slots are on their way.
    pub fn sent(&mut self, from: Index, to: Index, bytes: usize) {
        self.messages.push_back(Sent { from, to, bytes, overtaken: 0 });
        self.bytes += bytes;
    }

    /// The acceptor has these slots. Returns slots that were sent before them and are lost, judged
    /// by how often later ones were acknowledged: under load a loss waits for no heartbeat.
    fn acknowledge(&mut self, from: Index, to: Index) -> Option<Range<Index>> {
        let accepted = |sent: &Sent| from <= sent.to && sent.from <= to;
        let before = self.messages.len();
        // Mostly what was sent first is acknowledged first.
        while let Some(&first) = self.messages.front().filter(|sent| accepted(sent)) {
            self.messages.pop_front();
            self.bytes -= first.bytes;
        }
        if let Some(latest) = self.messages.iter().rposition(accepted) {
            self.messages.range_mut(..latest).for_each(|sent| sent.overtaken += 1);
            self.forget(accepted);
        } else if self.messages.len() == before {
            return None;
        }
        // Whoever was sent first was overtaken most.
        let first = *self.messages.front()?;
        if first.overtaken < OVERTAKEN_LIMIT {
            return None;
        }
        self.messages.pop_front();
        self.bytes -= first.bytes;
        Some(first.from..first.to + 1)
    }

    /// What arrived or is lost is on its way no more.
    fn forget(&mut self, gone: impl Fn(&Sent) -> bool) {
        let bytes = &mut self.bytes;
        self.messages.retain(|sent| {
            let gone = gone(sent);
            if gone {
                *bytes -= sent.bytes;
            }
            !gone
        });
    }
}

/// How often an Accept may be overtaken before it is taken for lost (TCP's number: RFC 5681 §3.2).
const OVERTAKEN_LIMIT: u32 = 3;

/// Acceptances of consecutive slots under one ballot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Acknowledgement {
    pub from: Index,
    pub to: Index,
}

impl Leader {
    /// What it knows of a peer.
    pub fn peer(&self, peer: NodeId) -> Option<&Progress> {
        self.progress.iter().find(|progress| progress.peer == peer)
    }

    /// It is of no interest any more who holds what.
    pub fn ask_no_more(&mut self) {
        self.progress.iter_mut().for_each(|peer| peer.asked = 0);
    }

    /// An election timeout has passed.
    pub fn tick(&mut self) {
        let Self { changing, progress, .. } = self;
        if let Some(Changing { stage: Stage::CatchingUp(promotion), .. }) = changing {
            promotion.tick(|node| progress.iter().any(|peer| peer.peer == node && peer.heard));
        }
        for peer in progress {
            peer.heard_before = std::mem::take(&mut peer.heard);
        }
    }
}

impl MultiPaxos {
    /// Gives a command the leader's next slot; the next flush sends it on its way.
    pub(crate) fn propose(&mut self, request: RequestId, command: Command, out: &mut Out) {
        let refusal = match &self.standing {
            Standing::Leader(leader) if leader.transfer.is_some() => {
                leader.transfer.map(|transfer| Refusal::Transferring(transfer.to))
            }
            Standing::Leader(leader) if command.len() <= MAX_COMMAND_BYTES => {
                let entries = self.proposed_to() - self.chosen_to;
                let bytes = leader.uncommitted_bytes;
                let room = leader.has_taken_over()
                    && self.proposed_to() >= leader.inherited_to
                    && entries < self.membership.rules().alpha
                    && self.config.settings.has_room(entries, bytes, command.len());
                (!room).then_some(Refusal::Overloaded)
            }
            Standing::Leader(_) => Some(Refusal::TooLarge),
            _ => Some(Refusal::NotLeader { leader: self.leader() }),
        };
        if let Some(why) = refusal {
            return out.refuse(request, why);
        }
        let (slot, ballot) = (self.proposed_to() + 1, self.promised);
        if let Some(leader) = self.leading() {
            leader.uncommitted_bytes += command.len();
            leader.window.push_back(Proposal { request: Some(request), accepted_by: 0 });
        }
        out.note(Event::Proposed { request, index: slot, epoch: ballot.epoch() });
        self.put(PValue { slot, ballot, value: Payload::of(command) });
    }

    /// Proposes a value of the leader's own: a configuration, or a no-op.
    pub(crate) fn propose_value(&mut self, value: Payload) {
        let (slot, ballot) = (self.proposed_to() + 1, self.promised);
        if let Some(leader) = self.leading() {
            leader.window.push_back(Proposal::default());
            self.put(PValue { slot, ballot, value });
        }
    }

    /// Phase 2a: proposes to each peer what it was not offered yet, as far as the flow control lets
    /// it (at flush). The messages promise nothing and leave at once: the acceptors' disks work in
    /// parallel with the leader's.
    pub(crate) fn replicate(&mut self, out: &mut Out) {
        let limit = self.batch_limit();
        let settings = &self.config.settings;
        let (ballot, chosen_to, last) = (self.promised, self.chosen_to, self.proposed_to());
        let Standing::Leader(leader) = &mut self.standing else { return };
        if !leader.has_taken_over() {
            return;
        }
        for peer in &mut leader.progress {
            // What is chosen needs no more acceptances; who lacks it learns it.
            peer.next = peer.next.max(chosen_to + 1);
            while let Some(room) = peer.room(last, settings) {
                let slot = peer.next;
                let (values, bytes) = self.log.run(slot..=last, limit.within(room));
                peer.next += values.len() as u64;
                peer.inflight.sent(slot, peer.next - 1, bytes);
                let accept = Accept { ballot, slot, values, chosen_to };
                out.send_now(peer.peer, Message::Accept(accept));
            }
        }
    }

    /// Makes the leader heard, with a numbered round: its acknowledgement tells what was lost, and
    /// confirms the reads before it.
    pub(crate) fn heartbeat_timeout(&mut self, now: Time, out: &mut Out) {
        let (ballot, chosen_to) = (self.promised, self.chosen_to);
        let Standing::Leader(leader) = &mut self.standing else { return };
        Self::arm(Timer::Heartbeat, self.config.settings.heartbeat_interval, out);
        let round = leader.reads.next_round();
        leader.lease_by(round, now, &self.config.settings);
        for peer in &mut leader.progress {
            peer.probe.get_or_insert((round, peer.next));
            let message = ReadRound { ballot, round, chosen_to: Some(chosen_to) };
            out.send_now(peer.peer, Message::ReadRound(message));
        }
        self.repeat_secure(out);
        self.repeat_transfer(out);
        self.bear_lagging(out);
    }

    /// Phase 2b: accepts the values, unless a higher ballot was promised.
    pub(crate) fn receive_accept(&mut self, from: NodeId, accept: Accept, out: &mut Out) {
        let Accept { ballot, slot: first, values, chosen_to } = accept;
        if !self.follow(from, ballot, out) {
            return;
        }
        let to = first + values.len() as u64 - 1;
        if to > self.chosen_to + MAX_AHEAD {
            let why = format!("slot {to} is too far ahead of {}", self.chosen_to);
            return self.refuse(why, out);
        }
        self.accept_values(first, ballot, values);
        self.acknowledge_slots(first, to, out);
        self.follow_choices(chosen_to, out);
    }

    /// Accepts values for consecutive slots, unless they are there.
    fn accept_values(&mut self, mut first: Index, ballot: Ballot, mut values: Vec<Payload>) {
        let last = self.log.last();
        if first <= last {
            let held = values.len().min((last + 1 - first) as usize);
            for value in values.drain(..held) {
                self.accept_value(first, ballot, value);
                first += 1;
            }
        }
        self.put_all(first, ballot, values);
    }

    /// Accepts a value for a slot, unless it is there, or the slot is known chosen.
    ///
    /// A chosen slot is acknowledged like any other, whether its value is held or only a snapshot
    /// holds it. A leader in good standing proposes there what was chosen. One that was deposed
    /// without knowing it may propose something else, if this acceptor learned the choice of a higher
    /// ballot and promised it nothing. To count as having accepted that does no harm: whoever *made*
    /// that choice asked a quorum without this acceptor, in which somebody accepts for the deposed
    /// leader no more; and whoever asks this acceptor later is told the choice. So the quorums that
    /// matter are those that they would be if it had accepted.
    fn accept_value(&mut self, slot: Index, ballot: Ballot, value: Payload) {
        let held = self.log.get(slot);
        if slot <= self.chosen_to {
            let agrees = held.is_none_or(|held| ballot < held.ballot || held.value == value);
            assert!(agrees, "another value is proposed for slot {slot}, which is chosen");
            return;
        }
        if let Some(held) = held.filter(|held| held.ballot >= ballot) {
            return assert!(held.value == value, "slot {slot} has two values under one ballot");
        }
        self.put(PValue { slot, ballot, value });
    }

    /// Gathers an acknowledgement with what it continues.
    fn acknowledge_slots(&mut self, from: Index, to: Index, out: &mut Out) {
        let Standing::Follower(follower) = &mut self.standing else { return };
        match &mut follower.acknowledgement {
            Some(gathered) if gathered.to + 1 == from => gathered.to = to,
            _ => {
                self.save(out);
                self.acknowledge(out);
                let Standing::Follower(follower) = &mut self.standing else { return };
                follower.acknowledgement = Some(Acknowledgement { from, to });
            }
        }
    }

    /// Says which slots this acceptor accepted, on this disk: the follower to its leader, and the
    /// leader to itself (at flush). Both wait for the disk.
    pub(crate) fn acknowledge(&mut self, out: &mut Out) {
        let last = self.proposed_to();
        let (to, accepted) = match &mut self.standing {
            Standing::Follower(follower) => (follower.leader, follower.acknowledgement.take()),
            Standing::Leader(leader) if leader.has_taken_over() && leader.offered < last => {
                let from = std::mem::replace(&mut leader.offered, last) + 1;
                (Some(self.membership.me()), Some(Acknowledgement { from, to: last }))
            }
            _ => return,
        };
        if let (Some(leader), Some(Acknowledgement { from, to: last })) = (to, accepted) {
            let accepted = Accepted { ballot: self.promised, from, to: last };
            out.send(leader, Message::Accepted(accepted));
        }
    }

    /// Counts an acceptance, its own among them. One under an earlier ballot of this node counts for
    /// nothing: that value may differ.
    pub(crate) fn receive_accepted(&mut self, from: NodeId, accepted: Accepted, out: &mut Out) {
        let proposed_to = self.proposed_to();
        let Standing::Leader(leader) = &mut self.standing else { return };
        if accepted.ballot != self.promised {
            return;
        }
        if accepted.to > proposed_to {
            return self.refuse(format!("node {from} accepted what was never proposed"), out);
        }
        let mut lost = None;
        if let Some(peer) = leader.progress.iter_mut().find(|peer| peer.peer == from) {
            (peer.heard, peer.promised) = (true, true);
            peer.accepted_to = peer.accepted_to.max(accepted.to);
            lost = peer.inflight.acknowledge(accepted.from, accepted.to);
        }
        let bit = self.membership.bit(from);
        let start = accepted.from.saturating_sub(self.applied + 1) as usize;
        let end = accepted.to.saturating_sub(self.applied) as usize;
        for proposal in leader.window.range_mut(start.min(end)..end) {
            proposal.accepted_by |= bit;
        }
        if let Some(lost) = lost {
            self.resend(from, lost, out);
        }
    }

    /// Goes on to the last slot up to which every one is chosen: a quorum accepted it under this
    /// leader's ballot (at flush).
    pub(crate) fn advance_commit(&mut self, out: &mut Out) {
        if !self.leads() {
            return;
        }
        let first = self.chosen_to + 1;
        // Others may decide the slots after these: then they are asked as well.
        loop {
            let (to, others_may) = self.count_chosen();
            self.commit_to(to, out);
            if !others_may {
                break;
            }
        }
        self.propose_inherited();
        self.note_caught_up(first, self.chosen_to, out);
    }

    /// The last slot up to which every one is chosen, as far as the acceptors of the first one decide;
    /// and whether they decide no more, so that others may have chosen the next.
    fn count_chosen(&self) -> (Index, bool) {
        let Standing::Leader(leader) = &self.standing else { return (self.chosen_to, false) };
        let acceptors = self.membership.acceptors();
        // Mostly the same acceptors accepted a slot and the next: a quorum is counted once.
        let mut quorum = None;
        let is_chosen = |&&Proposal { accepted_by, .. }: &&Proposal| {
            if quorum != Some(accepted_by) && acceptors.is_quorum(accepted_by) {
                quorum = Some(accepted_by);
            }
            quorum == Some(accepted_by)
        };
        let known_to = acceptors.until.min(self.chosen_to + self.membership.rules().alpha);
        let start = (self.chosen_to - self.applied) as usize;
        let end = leader.window.len().min((known_to - self.applied) as usize);
        let chosen = leader.window.range(start.min(end)..end).take_while(is_chosen).count() as u64;
        let to = self.chosen_to + chosen;
        (to, chosen > 0 && to == known_to)
    }

    /// The last slot that this leader proposed a value for; the end of the log for everybody else.
    pub(crate) fn proposed_to(&self) -> Index {
        match &self.standing {
            Standing::Leader(leader) => self.applied + leader.window.len() as u64,
            _ => self.log.last(),
        }
    }

    /// These slots are now known chosen: if the last inherited one is among them, the leader knows
    /// every earlier choice.
    pub(crate) fn note_caught_up(&mut self, from: Index, to: Index, out: &mut Out) {
        let Standing::Leader(leader) = &self.standing else { return };
        if (from..=to).contains(&leader.inherited_to) {
            self.defeats = 0;
            out.note(Event::CaughtUp { epoch: self.promised.epoch() });
        }
    }

    /// Learns that everything up to here is chosen, and that this log holds the chosen values.
    pub(crate) fn commit_to(&mut self, to: Index, out: &mut Out) {
        if to <= self.chosen_to {
            return;
        }
        assert!(to <= self.log.last(), "nothing is known chosen that the log lacks");
        let from = self.chosen_to + 1;
        let has_command = self.log.range(from..=to).any(|slot| slot.value.command().is_some());
        self.chosen_to = to;
        out.note(Event::Committed { epoch: self.promised.epoch(), from, to, has_command });
        self.enact_configurations(to, out);
    }

    /// Hands what is chosen to the state machine, in order (at flush).
    pub(crate) fn apply_committed(&mut self, out: &mut Out) {
        if self.applied == self.chosen_to {
            return;
        }
        let (from, to) = (self.applied + 1, self.chosen_to);
        let count = to - self.applied;
        let bytes = self.log.range(from..=to).map(|slot| slot.value.bytes()).sum();
        let mut requests = Vec::new();
        if let Standing::Leader(leader) = &mut self.standing
            && leader.has_taken_over()
        {
            leader.uncommitted_bytes -= bytes;
            requests.reserve_exact(count as usize);
            let proposals = std::iter::from_fn(|| leader.window.pop_front());
            for (slot, proposal) in (from..=to).zip(proposals) {
                requests.extend(proposal.request.map(|request| (slot, request)));
            }
        }
        out.apply(from, to, requests);
        self.applied = to;
        self.count_applied(count, bytes, out);
    }
}
