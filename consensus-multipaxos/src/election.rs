//! Becoming leader, and ceasing to be one.
//!
//! ```text
//!               timeout              a quorum would follow          a quorum promised
//!   follower ------------> pre-candidate ------------> candidate ------------> leader
//!      ^                        |                          |                     |
//!      +------- refused, or a leader or a higher ballot is heard of, or (leader) no quorum is heard
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use consensus_core::{
    Configuration, Index, Lease, NodeId, Outcome, Payload, ReadRounds, Refusal,
    event::Event,
    quorum::{Tally, Verdict},
};

use crate::{
    catchup::Catchup,
    message::{Learn, Message, Nack, PreCampaign, PreCampaignReply, Prepare, Promise},
    record::{Ballot, PValue},
    replica::{
        Candidate, Follower, Lagging, Leader, MultiPaxos, Out, PreCandidate, Proposal, Standing,
        Timer,
    },
    replication::Progress,
    triggers::{Cause, Trigger},
};

impl MultiPaxos {
    /// Asks whether a campaign could succeed. A replica that is cut off, or that alone lost the
    /// leader, learns so without a ballot, which would depose the leader.
    pub(crate) fn ask_pre_campaign(&mut self, out: &mut Out) {
        let ballot = self.next_ballot();
        for peer in self.membership.voting_peers() {
            out.send_now(peer, Message::PreCampaign(PreCampaign { ballot }));
        }
        // It answers itself at once: the answer promises nothing.
        let candidate = PreCandidate { asked: ballot, tally: Tally::new() };
        self.standing = Standing::PreCandidate(candidate);
        let promised = self.promised;
        let reply = PreCampaignReply { ballot, granted: true, promised, chosen_to: 0 };
        self.receive_pre_campaign_reply(self.membership.me(), reply, out);
    }

    /// Would this replica follow the sender? Any replica may lead, whatever it lacks: it will learn.
    pub(crate) fn receive_pre_campaign(&mut self, from: NodeId, ask: PreCampaign, out: &mut Out) {
        let granted = !self.is_loyal();
        // Who asks may not know who decides by now, or that it is out.
        let chosen_to = if self.membership.has_changed() { self.chosen_to } else { 0 };
        let promised = self.promised;
        let reply = PreCampaignReply { ballot: ask.ballot, granted, promised, chosen_to };
        out.send_now(from, Message::PreCampaignReply(reply));
    }

    /// Counts an answer. Answers to an earlier question about the same ballot are as good.
    pub(crate) fn receive_pre_campaign_reply(
        &mut self,
        from: NodeId,
        reply: PreCampaignReply,
        out: &mut Out,
    ) {
        self.highest_seen = self.highest_seen.max(reply.promised);
        if reply.chosen_to > self.chosen_to && self.leader().is_none() {
            out.send_now(from, Message::Learn(Learn { from: self.chosen_to + 1 }));
        }
        let Standing::PreCandidate(candidate) = &mut self.standing else { return };
        if reply.ballot != candidate.asked {
            return;
        }
        candidate.tally.count(from, reply.granted);
        if !self.membership.is_acceptor(self.membership.me()) {
            self.standing = Standing::Follower(Follower::default());
            return; // it was told that it is out
        }
        match self.membership.verdict(&candidate.tally) {
            Verdict::Won => self.campaign(Cause::Timeout, out),
            Verdict::Lost => self.standing = Standing::Follower(Follower::default()),
            Verdict::Open => {}
        }
    }

    /// Phase 1a: makes a ballot of its own, higher than any it heard of, and asks for the promise
    /// of it, for all slots at once. The questions wait until the ballot is on disk, so that no
    /// crash makes it again, and so does its own promise.
    pub(crate) fn campaign(&mut self, cause: Cause, out: &mut Out) {
        let me = self.membership.me();
        let ballot = self.next_ballot();
        self.promise(ballot);
        self.standing = Standing::Candidate(Candidate { cause, ..Candidate::default() });
        self.give_a_round(out);
        self.save(out);
        out.note(Event::Campaigning { epoch: ballot.epoch() });
        out.note(Event::Voted { epoch: ballot.epoch(), candidate: me });
        self.ask_promises(out);
        let from = self.chosen_to + 1;
        // What it accepted itself stands in its log; the message carries the promise alone.
        let chosen_to = self.chosen_to;
        let own =
            Promise { ballot, from, values: Vec::new(), next: None, chosen_to, compacted_to: 0 };
        out.send(me, Message::Promise(Box::new(own)));
    }

    /// Phase 1b: promises, or not: never below an earlier promise. While a leader is heard of, the
    /// question is disregarded, unless that leader handed over to the candidate.
    ///
    /// Whoever is no member promises like any other: its own log may be the one that is behind, and
    /// the candidate counts only promises of those who decide.
    ///
    /// A Prepare under the ballot promised already was repeated, or asks for the rest of an answer.
    /// Where values were asked for that only the snapshot holds, the promise says so: left out, they
    /// would be taken for free, and chosen twice.
    pub(crate) fn receive_prepare(&mut self, from: NodeId, prepare: Prepare, out: &mut Out) {
        let ballot = prepare.ballot;
        if ballot.owner() != from {
            return self.refuse(format!("{} is no ballot of node {from}", ballot.epoch()), out);
        }
        self.highest_seen = self.highest_seen.max(ballot);
        if ballot < self.promised {
            return self.refuse_ballot(from, ballot, out);
        }
        if ballot > self.promised {
            // A leader hands over what is its own: not the loyalty to a later one, which may hold a
            // lease, nor what this replica may have promised before it started.
            let hands_over = prepare.handed_over >= Some(self.promised);
            if self.is_loyal() && (!hands_over || self.waits_until.is_some()) {
                return self.refuse(format!("a promise to {from}: a leader is heard of"), out);
            }
            self.become_follower(ballot, None, out);
            self.arm_election(out);
            self.give_a_round(out);
            out.note(Event::Voted { epoch: ballot.epoch(), candidate: from });
        }
        self.save(out);
        let (values, next) = self.log.batch(prepare.from..=Index::MAX, self.batch_limit());
        let dropped_to = self.log.dropped_to();
        let compacted_to = if prepare.from <= dropped_to { dropped_to } else { 0 };
        let (first, chosen_to) = (prepare.from, self.chosen_to);
        let promise = Promise { ballot, from: first, values, next, chosen_to, compacted_to };
        out.send(from, Message::Promise(Box::new(promise)));
    }

    /// Counts a promise, its own among them, once it is told completely: for every slot that this
    /// candidate does not know chosen.
    pub(crate) fn receive_promise(&mut self, from: NodeId, promise: Promise, out: &mut Out) {
        let Standing::Candidate(_) = self.standing else { return };
        if promise.ballot != self.promised {
            return;
        }
        let (first, next, compacted_to) = (promise.from, promise.next, promise.compacted_to);
        self.recover_values(promise, out);
        let known = self.chosen_to;
        let Standing::Candidate(candidate) = &mut self.standing else { return };
        if compacted_to > candidate.compacted.map_or(known, |(to, _)| to) {
            candidate.compacted = Some((compacted_to, from));
        }
        let told = candidate.promises.entry(from).or_insert(0);
        if *told == Index::MAX || first > known.max(*told) + 1 {
            return; // repeated, or not what was asked
        }
        *told = next.map_or(Index::MAX, |next| next - 1).max(*told);
        if *told < Index::MAX {
            let from_slot = known.max(*told) + 1;
            let rest = Prepare { ballot: self.promised, from: from_slot, handed_over: None };
            // The ballot is on disk: a promise of it came back. A campaign that moves is not given
            // up.
            out.send_now(from, Message::Prepare(rest));
            return self.arm_election(out);
        }
        if !self.membership.is_acceptor(self.membership.me()) {
            // The promises told it that it is out.
            return self.become_follower(self.promised, None, out);
        }
        self.ask_promises(out);
        if self.is_promised() {
            self.win(out);
        }
    }

    /// Asks for the promise of the ballot whoever may be needed and was not asked: the acceptors of
    /// every configuration that may decide a slot after those known chosen. What the promises tell may
    /// add some.
    fn ask_promises(&mut self, out: &mut Out) {
        let (ballot, from) = (self.promised, self.chosen_to + 1);
        let mut needed: BTreeSet<_> = self.membership.voting_peers().collect();
        let Standing::Candidate(candidate) = &self.standing else { return };
        let told = self.recovered_configurations(&candidate.recovered);
        needed.extend(told.into_iter().flat_map(|configuration| configuration.voters));
        needed.remove(&self.membership.me());
        let Standing::Candidate(candidate) = &mut self.standing else { return };
        let handed_over = match candidate.cause {
            Cause::Timeout | Cause::Takeover => None,
            Cause::Transfer(by) => Some(by),
        };
        for peer in needed {
            if candidate.asked.insert(peer) {
                out.send(peer, Message::Prepare(Prepare { ballot, from, handed_over }));
            }
        }
    }

    /// Whether the promises, told completely, suffice: a quorum of every configuration that may decide
    /// a slot that is not known chosen.
    ///
    /// Those are the known ones, and those that the promises tell of: one of them may be chosen, and
    /// an earlier leader may have gone on under it.
    fn is_promised(&self) -> bool {
        let Standing::Candidate(Candidate { promises, recovered, .. }) = &self.standing else {
            return false;
        };
        self.suffice(|node| promises.get(&node) == Some(&Index::MAX), recovered)
    }

    /// Whether promises suffice that told of these values.
    fn suffice(
        &self,
        promised: impl Fn(NodeId) -> bool,
        recovered: &BTreeMap<Index, PValue>,
    ) -> bool {
        let told = self.recovered_configurations(recovered);
        self.membership.promised_by(&promised)
            && told.iter().all(|told| self.membership.would_be_promised_by(told, &promised))
    }

    /// The configurations that it would propose for slots that it does not know chosen.
    fn recovered_configurations(&self, recovered: &BTreeMap<Index, PValue>) -> Vec<Configuration> {
        let told = recovered.values().filter(|told| told.value.configuration().is_some());
        let slots: BTreeSet<_> = self.membership.pending().chain(told.map(|t| t.slot)).collect();
        let value = |slot| self.safe_value(slot, recovered).configuration().cloned();
        slots.into_iter().filter(|&slot| slot > self.chosen_to).filter_map(value).collect()
    }

    /// Learns the chosen values of a promise, as far as they continue what is known, and keeps the
    /// highest ballot's value for every other slot. Chosen ones are among those: an acceptor that
    /// learns while it tells may call a slot chosen only after it told of slots before it.
    fn recover_values(&mut self, promise: Promise, out: &mut Out) {
        let is_chosen = |pvalue: &&PValue| pvalue.slot <= promise.chosen_to;
        self.learn(promise.values.iter().take_while(is_chosen), out);
        let known = self.chosen_to;
        let Standing::Candidate(candidate) = &mut self.standing else { return };
        for pvalue in promise.values.into_iter().filter(|pvalue| pvalue.slot > known) {
            let best = candidate.recovered.entry(pvalue.slot).or_insert_with(|| pvalue.clone());
            if best.ballot < pvalue.ballot {
                *best = pvalue;
            }
        }
    }

    /// Leads. Any replica may win, whatever it lacks; it takes over once it has what the promises
    /// could not tell.
    fn win(&mut self, out: &mut Out) {
        let follower = Standing::Follower(Follower::default());
        let Standing::Candidate(candidate) = std::mem::replace(&mut self.standing, follower) else {
            unreachable!("only a candidate wins")
        };
        self.apply_committed(out);
        let (ballot, first) = (self.promised, self.chosen_to + 1);
        let (compacted_to, sender) = candidate.compacted.unwrap_or((0, self.membership.me()));
        let complete = candidate.promises.into_iter().filter(|&(_, told)| told == Index::MAX);
        let promises: BTreeSet<_> = complete.map(|(node, _)| node).collect();
        let progress =
            |peer| Progress { promised: promises.contains(&peer), ..Progress::new(peer, first) };
        let progress = self.membership.peers().map(progress).collect();
        let lagging = Lagging {
            compacted_to,
            promises,
            recovered: candidate.recovered,
            catchup: Catchup::of_a_winner(compacted_to, first, sender),
            unhelped: 0,
        };
        self.standing = Standing::Leader(Box::new(Leader {
            lagging: Some(Box::new(lagging)),
            inherited_to: Index::MAX,
            inherited: BTreeMap::new(),
            window: VecDeque::new(),
            offered: self.chosen_to,
            progress,
            changing: None,
            next_configuration: None,
            coming: None,
            secured: 0,
            asked: 0,
            transfer: None,
            uncommitted_bytes: 0,
            reads: ReadRounds::default(),
            lease: Lease::default(),
        }));
        out.note(Event::Elected { epoch: ballot.epoch() });
        if !self.beats() {
            out.cancel_timer(Timer::Election);
        }
        Self::arm(Timer::Heartbeat, self.config.settings.heartbeat_interval, out);
        Self::arm(Timer::Quorum, self.config.settings.election_timeout.start, out);
        self.take_over(out);
        self.catch_up(out);
    }

    /// Proposes anew whatever earlier leaders may have chosen, fills the holes between with no-ops,
    /// and proposes a no-op if there is nothing else, for only when slots of its own ballot are
    /// chosen does it know every earlier choice ("Paxos Made Simple" §3).
    ///
    /// Before everything is here of which a promise said only that it is chosen, it proposes nothing:
    /// the other promises may tell of values for those slots that lost. If it learns then that others
    /// decide, who did not promise, it gives up, and campaigns among those.
    pub(crate) fn take_over(&mut self, out: &mut Out) {
        let Standing::Leader(leader) = &mut self.standing else { return };
        if leader.lagging.as_ref().is_some_and(|lagging| lagging.compacted_to > self.chosen_to) {
            return;
        }
        self.apply_committed(out);
        if let Some(lagging) = self.leading().and_then(|leader| leader.lagging.take()) {
            let is_out = !self.membership.is_acceptor(self.membership.me());
            if is_out || !self.suffice(|n| lagging.promises.contains(&n), &lagging.recovered) {
                return self.become_follower(self.promised, None, out);
            }
            let (first, last) = (self.chosen_to + 1, self.log.last());
            let coming = self.membership.coming();
            let recovered_to = lagging.recovered.last_key_value().map_or(0, |(&slot, _)| slot);
            let Some(leader) = self.leading() else { return };
            leader.inherited_to = last.max(recovered_to).max(first);
            leader.inherited = lagging.recovered;
            leader.offered = first - 1;
            // It may be the only one that knows every slot before: until a quorum does, those who
            // decided them are needed.
            leader.coming = coming;
        }
        self.propose_inherited();
    }

    /// Proposes what it inherited, as far as it is known who decides it: a slot after the window waits
    /// (at flush).
    pub(crate) fn propose_inherited(&mut self) {
        let (ballot, next) = (self.promised, self.proposed_to() + 1);
        let known_to = self.chosen_to + self.membership.rules().alpha;
        let Some(leader) = self.leading() else { return };
        let to = leader.inherited_to.min(known_to);
        if next > to || !leader.has_taken_over() {
            return;
        }
        let later = leader.inherited.split_off(&(to + 1));
        let recovered = std::mem::replace(&mut leader.inherited, later);
        for slot in next..=to {
            let value = self.safe_value(slot, &recovered);
            if let Some(leader) = self.leading() {
                leader.uncommitted_bytes += value.bytes();
                leader.window.push_back(Proposal::default());
            }
            self.put(PValue { slot, ballot, value });
        }
    }

    /// The value of the highest ballot that the promises and the own log tell of: if any value was
    /// chosen, it is that one (P2c). If they tell of none, none was chosen, and the slot is free.
    fn safe_value(&self, slot: Index, recovered: &BTreeMap<Index, PValue>) -> Payload {
        let own = self.log.get(slot).map(|slot| (slot.ballot, &slot.value));
        let told = recovered.get(&slot).map(|pvalue| (pvalue.ballot, &pvalue.value));
        let best = own.into_iter().chain(told).max_by_key(|&(ballot, _)| ballot);
        best.map_or_else(Payload::noop, |(_, value)| value.clone())
    }

    /// At each heartbeat of a leader that has not taken over: it asks on, and gives up once nobody
    /// helped it for an election timeout. Whoever holds the snapshot may be gone for good, and
    /// without its promise the values themselves are recovered.
    pub(crate) fn bear_lagging(&mut self, out: &mut Out) {
        let settings = &self.config.settings;
        let (longest, interval) = (settings.election_timeout.end, settings.heartbeat_interval);
        let limit = longest.as_nanos().div_ceil(interval.as_nanos());
        let Some(lagging) = self.leading().and_then(|leader| leader.lagging.as_mut()) else {
            return;
        };
        lagging.unhelped += 1;
        if u128::from(lagging.unhelped) > limit {
            return self.become_follower(self.promised, None, out);
        }
        self.catch_up(out);
    }

    /// Another acceptor promised more, so its own ballot is dead, and it learns so at once: it need not
    /// find out by waiting. The next campaign goes above what stopped this one.
    pub(crate) fn receive_nack(&mut self, nack: Nack, out: &mut Out) {
        self.highest_seen = self.highest_seen.max(nack.promised);
        if nack.ballot != self.promised
            || matches!(self.standing, Standing::Follower(_) | Standing::PreCandidate(_))
        {
            return;
        }
        self.become_follower(self.promised, None, out);
        self.back_off(out);
    }

    /// Gives up leading if no quorum was heard of for an election timeout: a leader that is cut off
    /// must not keep clients waiting, nor followers that hear it and cannot answer. It is also the tick
    /// by which newcomers are measured.
    pub(crate) fn quorum_timeout(&mut self, out: &mut Out) {
        let Standing::Leader(leader) = &mut self.standing else { return };
        let unheard = |node| leader.progress.iter().any(|peer| peer.peer == node && !peer.heard);
        let has_quorum = self.membership.accepted_by(|node| !unheard(node));
        if self.config.settings.check_quorum && !has_quorum {
            return self.become_follower(self.promised, None, out);
        }
        leader.tick();
        Self::arm(Timer::Quorum, self.config.settings.election_timeout.start, out);
        self.transfer_by_priority(out);
    }

    /// Takes notice of a leader. `false` if its ballot is over, and it is told so.
    pub(crate) fn follow(&mut self, leader: NodeId, ballot: Ballot, out: &mut Out) -> bool {
        if ballot.owner() != leader || leader == self.membership.me() {
            self.refuse(format!("node {leader} cannot lead under {}", ballot.epoch()), out);
            return false;
        }
        if ballot < self.promised {
            self.refuse_ballot(leader, ballot, out);
            return false;
        }
        if ballot > self.promised || self.leader().is_none() {
            self.become_follower(ballot, Some(leader), out);
            self.give_leader_a_round(ballot, out);
            self.conclude_transfer(out);
        }
        let loyal = self.is_sticky();
        self.defeats = 0;
        if let Standing::Follower(follower) = &mut self.standing {
            follower.loyal = loyal;
            follower.contact = true;
        }
        true
    }

    /// Follows under this ballot, and ends what it did before. What was gathered for the next flush
    /// dies with the old ballot: an acknowledgement must never speak for another ballot than the one
    /// under which it was earned.
    pub(crate) fn become_follower(
        &mut self,
        ballot: Ballot,
        leader: Option<NodeId>,
        out: &mut Out,
    ) {
        let ended = self.promised.epoch();
        if ballot > self.promised {
            self.promise(ballot);
        }
        let follower = Standing::Follower(Follower { leader, ..Follower::default() });
        match std::mem::replace(&mut self.standing, follower) {
            Standing::Leader(reign) => {
                out.note(Event::SteppedDown { epoch: ended });
                self.step_down(*reign, leader, out);
            }
            Standing::Candidate(_) => out.note(Event::SteppedDown { epoch: ended }),
            Standing::Follower(_) | Standing::PreCandidate(_) => {}
        }
    }

    /// Ends a reign. Commands that it left in the log may be chosen by another leader or replaced:
    /// their outcome is unknown here.
    fn step_down(&mut self, reign: Leader, leader: Option<NodeId>, out: &mut Out) {
        out.cancel_timer(Timer::Heartbeat);
        out.cancel_timer(Timer::Quorum);
        self.arm_election(out);
        self.abandon_change(reign.changing, leader, out);
        self.hand_over(reign.transfer, out);
        for request in reign.window.iter().filter_map(|proposal| proposal.request) {
            out.reply(request, Outcome::Unknown);
        }
        for request in reign.reads.into_requests() {
            out.refuse(request, Refusal::NotLeader { leader });
        }
    }

    fn promise(&mut self, ballot: Ballot) {
        assert!(ballot > self.promised, "promises only rise");
        self.promised = ballot;
        self.highest_seen = self.highest_seen.max(ballot);
    }

    /// Tells a proposer what stops it, once that is on disk.
    fn refuse_ballot(&mut self, proposer: NodeId, ballot: Ballot, out: &mut Out) {
        self.save(out);
        out.send(proposer, Message::Nack(Nack { ballot, promised: self.promised }));
    }

    fn next_ballot(&self) -> Ballot {
        Ballot::new(self.highest_seen.round + 1, self.membership.me())
    }

    /// Whether a leader is heard of, possibly itself, or perhaps was before this replica started: so
    /// nobody else gets this promise.
    pub(crate) const fn is_loyal(&self) -> bool {
        if self.waits_until.is_some() {
            return true;
        }
        match &self.standing {
            Standing::Follower(follower) => follower.loyal,
            Standing::PreCandidate(_) | Standing::Candidate(_) => false,
            Standing::Leader(_) => self.is_sticky(),
        }
    }

    /// Whether a leader that is heard of is kept: so that nobody disturbs it, and because leases
    /// count on it. Whoever takes over after rounds of heartbeats does so because a leader that some
    /// still hear has lost its quorum.
    const fn is_sticky(&self) -> bool {
        let settings = &self.config.settings;
        settings.leases || settings.pre_vote && !matches!(self.config.trigger, Trigger::Ballot)
    }
}
