//! Becoming leader: the timers, the round before the campaign, Prepare and Promise.
//!
//! ```text
//!             timeout             a quorum would follow      a quorum promised
//!   follower ---------> pre-candidate --------------> candidate --------> leader
//!      ^                     |                           |                  |
//!      +---------------------+---------------------------+------------------+
//!         a leader is heard · a higher ballot is promised · nack · no quorum heard
//! ```

use std::{collections::VecDeque, mem};

use consensus_core::{
    Event, Index, NodeId, Payload,
    protocol::{Outcome, Refusal},
    quorum::{Tally, Verdict},
};

use crate::{
    message::{Message, Nack, PreCampaign, PreCampaignAnswer, Prepare, Promise},
    reads::Reads,
    record::{Ballot, PValue},
    replica::{Candidate, Leader, MultiPaxos, Out, Part, Peer, PreCandidate, Proposal, Timer},
};

impl MultiPaxos {
    /// Nobody was heard leading, or the own attempt came to nothing.
    pub(crate) fn election_timeout(&mut self, out: &mut Out) {
        out.note(Event::TimedOut { epoch: self.promised.epoch() });
        self.step_down(None, out);
        if self.config.settings.pre_vote { self.pre_campaign(out) } else { self.campaign(out) }
    }

    /// Asks whether a campaign could succeed, so that a replica that nobody can hear, or that alone
    /// lost the leader, does not disturb the others with a ballot.
    fn pre_campaign(&mut self, out: &mut Out) {
        self.reset_election_timer(out);
        let ballot = self.next_ballot();
        let mut answers = Tally::new();
        answers.count(self.node(), true);
        self.part = Part::PreCandidate(PreCandidate { ballot, answers });
        for peer in self.peers() {
            out.send_now(peer, Message::PreCampaign(PreCampaign { ballot }));
        }
        self.count_pre_campaign(out);
    }

    pub(crate) fn receive_pre_campaign(
        &mut self,
        from: NodeId,
        PreCampaign { ballot }: PreCampaign,
        out: &mut Out,
    ) {
        let granted = !self.hears_a_leader();
        let answer = PreCampaignAnswer { ballot, granted, promised: self.promised };
        out.send_now(from, Message::PreCampaignAnswer(answer));
    }

    pub(crate) fn receive_pre_campaign_answer(
        &mut self,
        from: NodeId,
        PreCampaignAnswer { ballot, granted, promised }: PreCampaignAnswer,
        out: &mut Out,
    ) {
        self.highest_seen = self.highest_seen.max(promised);
        let Part::PreCandidate(candidate) = &mut self.part else { return };
        if candidate.ballot == ballot {
            candidate.answers.count(from, granted);
            self.count_pre_campaign(out);
        }
    }

    /// A lost round is not given up at once: the election timer, already running, ends it.
    fn count_pre_campaign(&mut self, out: &mut Out) {
        let Part::PreCandidate(candidate) = &self.part else { return };
        let verdict = candidate.answers.verdict(self.acceptors.nodes(), self.acceptors.quorum());
        if verdict == Verdict::Won {
            self.campaign(out);
        }
    }

    /// Phase 1a: promises itself a ballot higher than any it heard of, and asks the others for the
    /// same. The Prepare waits until the ballot is on disk, so that no crash makes it again.
    pub(crate) fn campaign(&mut self, out: &mut Out) {
        let ballot = self.next_ballot();
        out.note(Event::Campaigning { epoch: ballot.epoch() });
        self.part = Part::Candidate(Candidate::default());
        self.promise(ballot, out);
        self.reset_election_timer(out);
        let from = self.chosen_to + 1;
        for peer in self.peers() {
            out.send(peer, Message::Prepare(Prepare { ballot, from }));
        }
        // What this node itself accepted is in its log; the message only carries the promise through
        // the disk.
        let chosen_to = self.chosen_to;
        let own = Promise { ballot, from, values: Vec::new(), next: None, chosen_to };
        out.send(self.node(), Message::Promise(own));
    }

    /// Phase 1b: promises the ballot, unless a higher one was promised or a leader is heard of.
    pub(crate) fn receive_prepare(
        &mut self,
        from: NodeId,
        Prepare { ballot, from: first }: Prepare,
        out: &mut Out,
    ) {
        if ballot.owner() != from {
            return out.note(Event::Refused { why: format!("{} is not {from}'s", ballot.epoch()) });
        }
        self.highest_seen = self.highest_seen.max(ballot);
        if ballot < self.promised {
            return self.refuse_ballot(from, ballot, out);
        }
        if ballot > self.promised {
            if self.config.settings.pre_vote && self.hears_a_leader() {
                let why = format!("a leader is heard of: no promise for {}", ballot.epoch());
                return out.note(Event::Refused { why });
            }
            self.step_down(None, out);
            self.reset_election_timer(out);
            self.promise(ballot, out);
        }
        // A Prepare under the ballot promised already was duplicated, or asks for the rest.
        let (values, next) = self.log.batch(first..=Index::MAX, self.batch_limit());
        let chosen_to = self.chosen_to;
        let promise = Promise { ballot, from: first, values, next, chosen_to };
        out.send(from, Message::Promise(promise));
    }

    /// Collects what was accepted. A promise counts once it is told completely: of every slot that
    /// this candidate does not know chosen.
    pub(crate) fn receive_promise(&mut self, from: NodeId, promise: Promise, out: &mut Out) {
        if !matches!(self.part, Part::Candidate(_)) || promise.ballot != self.promised {
            return;
        }
        let (first, next) = (promise.from, promise.next);
        self.recover_values(promise, out);
        let known = self.chosen_to;
        let Part::Candidate(candidate) = &mut self.part else { return };
        let told = candidate.promises.entry(from).or_insert(0);
        if *told == Index::MAX || first > known.max(*told) + 1 {
            return; // duplicated, or overtook the part before it
        }
        *told = next.map_or(Index::MAX, |next| next - 1).max(*told);
        if *told < Index::MAX {
            let rest = Prepare { ballot: self.promised, from: known.max(*told) + 1 };
            // The ballot is on disk: a promise for it came back. A campaign that moves is not given
            // up.
            out.send_now(from, Message::Prepare(rest));
            return self.reset_election_timer(out);
        }
        let complete = candidate.promises.values().filter(|&&told| told == Index::MAX).count();
        if complete >= self.acceptors.quorum() {
            self.win(out);
        }
    }

    /// Learns the chosen values of a promise, and keeps the highest ballot's value of the others.
    fn recover_values(&mut self, promise: Promise, out: &mut Out) {
        let chosen = promise.values.partition_point(|value| value.slot <= promise.chosen_to);
        let mut values = promise.values;
        let unchosen = values.split_off(chosen);
        self.learn(values, out);
        let Part::Candidate(candidate) = &mut self.part else { return };
        for value in unchosen {
            let known = candidate.recovered.entry(value.slot).or_insert_with(|| value.clone());
            if known.ballot < value.ballot {
                *known = value;
            }
        }
    }

    /// Leads: proposes anew whatever may have been chosen, fills the holes between with no-ops, and
    /// proposes a no-op if there is nothing else, so that a slot of its own ballot tells when it
    /// knows every earlier choice ("Paxos Made Simple" §3).
    fn win(&mut self, out: &mut Out) {
        let Part::Candidate(candidate) = mem::replace(&mut self.part, Part::Follower) else {
            unreachable!("only a candidate wins");
        };
        let ballot = self.promised;
        out.note(Event::Elected { epoch: ballot.epoch() });
        let first = self.chosen_to + 1;
        let recovered_to = candidate.recovered.last_key_value().map_or(0, |(&slot, _)| slot);
        let inherited_to = self.log.last().max(recovered_to).max(first);
        let mut window = VecDeque::new();
        let mut window_bytes = 0;
        for slot in first..=inherited_to {
            let value = self.safe_value(slot, &candidate);
            window_bytes += value.bytes();
            self.log.put(slot, ballot, value);
            window.push_back(Proposal::default());
        }
        let peer = Peer { next: first, settled: first, ..Peer::default() };
        self.part = Part::Leader(Leader {
            inherited_to,
            is_caught_up: false,
            window,
            window_bytes,
            written_to: self.chosen_to,
            peers: self.peers().map(|node| (node, peer.clone())).collect(),
            heartbeats: 0,
            reads: Reads::default(),
        });
        self.leader = Some(self.node());
        // At once, not at the flush: what was accepted before under a lower ballot is overwritten in
        // memory already.
        self.write_proposals(out);
        out.cancel_timer(Timer::Election);
        self.set_heartbeat_timer(out);
        self.set_quorum_timer(out);
    }

    /// The value of the highest ballot that a quorum tells of; if it tells of none, nothing can have
    /// been chosen, and the no-op is free to be.
    fn safe_value(&self, slot: Index, candidate: &Candidate) -> Payload {
        let told = candidate.recovered.get(&slot);
        match (self.log.get(slot), told) {
            (Some(own), Some(told)) if told.ballot > own.ballot => told.value.clone(),
            (Some(own), _) => own.value.clone(),
            (None, Some(PValue { value, .. })) => value.clone(),
            (None, None) => Payload::noop(),
        }
    }

    /// Another promised more: the own ballot is dead. The next campaign starts above what stopped
    /// this one, after a newly drawn timeout, so that duelling proposers part ("Paxos Made Simple"
    /// §2.4).
    pub(crate) fn receive_nack(&mut self, Nack { ballot, promised }: Nack, out: &mut Out) {
        self.highest_seen = self.highest_seen.max(promised);
        let is_running = matches!(self.part, Part::Candidate(_) | Part::Leader(_));
        if is_running && ballot == self.promised {
            self.step_down(None, out);
            self.reset_election_timer(out);
        }
    }

    /// Whether this leader message may be heeded. Follows its sender if so, and tells it of the
    /// higher promise if not.
    pub(crate) fn follows(&mut self, from: NodeId, ballot: Ballot, out: &mut Out) -> bool {
        if ballot.owner() != from || from == self.node() {
            out.note(Event::Refused { why: format!("{} is not {from}'s", ballot.epoch()) });
            return false;
        }
        if ballot < self.promised {
            self.refuse_ballot(from, ballot, out);
            return false;
        }
        if self.leader != Some(from) || ballot > self.promised {
            self.step_down(Some(from), out);
            self.timer_is_reset = false;
        }
        if ballot > self.promised {
            self.highest_seen = self.highest_seen.max(ballot);
            self.promised = ballot;
            self.persist(Vec::new(), out);
        }
        self.leader_is_fresh = true;
        if !self.timer_is_reset {
            self.timer_is_reset = true;
            self.reset_election_timer(out);
            if self.config.settings.pre_vote {
                self.set_quorum_timer(out);
            }
        }
        true
    }

    /// At a leader: steps down if no quorum was heard of since the last time. At a follower: its
    /// leader was not heard of for the shortest election timeout, so others may be helped.
    pub(crate) fn quorum_timeout(&mut self, out: &mut Out) {
        self.leader_is_fresh = false;
        let own = self.acceptors.bit(self.node());
        let Part::Leader(leader) = &mut self.part else { return };
        let mut heard = own;
        for (&node, peer) in &mut leader.peers {
            if mem::take(&mut peer.is_heard) {
                heard |= self.acceptors.bit(node);
            }
        }
        if self.acceptors.is_quorum(heard) {
            self.set_quorum_timer(out);
        } else {
            self.step_down(None, out);
            self.reset_election_timer(out);
        }
    }

    /// Follows `leader`, or nobody. What was proposed has an unknown end; what was only asked for is
    /// certainly not done.
    pub(crate) fn step_down(&mut self, leader: Option<NodeId>, out: &mut Out) {
        self.leader = leader;
        self.leader_is_fresh = false;
        self.catchup.forget();
        match mem::replace(&mut self.part, Part::Follower) {
            Part::Follower | Part::PreCandidate(_) => {}
            Part::Candidate(_) => out.note(Event::SteppedDown { epoch: self.promised.epoch() }),
            Part::Leader(reign) => {
                out.note(Event::SteppedDown { epoch: self.promised.epoch() });
                out.cancel_timer(Timer::Heartbeat);
                self.answer_open_requests(reign, out);
            }
        }
        out.cancel_timer(Timer::Quorum);
    }

    fn answer_open_requests(&mut self, reign: Leader, out: &mut Out) {
        let refusal = Refusal::NotLeader { leader: self.leader };
        self.log.forget_after(reign.written_to);
        for (slot, proposal) in (self.chosen_to + 1..).zip(reign.window) {
            let Some(request) = proposal.request else { continue };
            match slot <= reign.written_to {
                true => out.reply(request, Outcome::Unknown),
                false => out.refuse(request, refusal.clone()),
            }
        }
        for request in reign.reads.into_requests() {
            out.refuse(request, refusal.clone());
        }
    }

    /// Promises a ballot; the message that says so waits for the disk.
    fn promise(&mut self, ballot: Ballot, out: &mut Out) {
        assert!(ballot > self.promised, "a promise only rises");
        self.promised = ballot;
        self.highest_seen = self.highest_seen.max(ballot);
        self.persist(Vec::new(), out);
        out.note(Event::Voted { epoch: ballot.epoch(), candidate: ballot.owner() });
    }

    fn refuse_ballot(&self, to: NodeId, ballot: Ballot, out: &mut Out) {
        // The promise must be on disk before anybody acts on it.
        out.send(to, Message::Nack(Nack { ballot, promised: self.promised }));
    }

    fn next_ballot(&self) -> Ballot {
        Ballot::new(self.highest_seen.round + 1, self.node())
    }

    /// While this holds, nobody is helped to campaign (Raft dissertation §4.2.3).
    const fn hears_a_leader(&self) -> bool {
        matches!(self.part, Part::Leader(_)) || self.leader_is_fresh
    }

    pub(crate) fn reset_election_timer(&self, out: &mut Out) {
        out.set_timer(Timer::Election, self.config.settings.election_timeout.clone());
    }

    fn set_quorum_timer(&self, out: &mut Out) {
        let start = self.config.settings.election_timeout.start;
        out.set_timer(Timer::Quorum, start..start);
    }
}
