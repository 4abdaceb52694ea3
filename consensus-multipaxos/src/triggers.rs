//! When to campaign: a timeout, a failure detector's suspicion, or rounds of heartbeats among all.
//!
//! The third is ballot leader election (Ng, Haridi and Carbone, "Omni-Paxos", EuroSys 2023, §5), for
//! networks of which only some links work. Every acceptor, the leader too, asks all others in rounds,
//! and whoever is asked says at once what it made of its last round. What matters is whether a replica
//! is *quorum-connected*, and not who hears the leader:
//!
//! ```text
//! led        it leads and is quorum-connected; or its leader, under the ballot promised, says so
//! takeover   at a round's end: quorum-connected, not led, and nobody who answered is led
//! ```
//!
//! So a leader that lost its quorum is replaced although it is still heard; a single replica that hears
//! a quorum is enough, for in Paxos anybody may win, whatever it lacks; and whoever merely does not
//! hear the leader, but somebody who does, leaves it alone, so that the two ends of a chain do not
//! depose each other for ever. In the paper they may do so once, for there a replica knows only the
//! ballots that it hears itself; the second-hand word is what its authors' own implementation has
//! come to use. It is word of the leader alone, never word of word, so no rumour of a dead leader
//! keeps itself alive. A promise is worth a round's patience: who is asked for it counts as led until
//! its round, begun anew, is over.
//!
//! A round takes a third of the election timeout: one that the leader answered before it died, one
//! that it did not, and one in which the others say so too. So the elections of all triggers take about
//! as long under the same settings. Loyalty, without leases, is for timeouts only. With leases it is kept, and a
//! leader that lost its quorum and is heard is given up only when the check of the quorum ends its
//! reign. Who may lead is decided by promises, whatever the trigger.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use consensus_core::{NodeId, Settings, SettingsError, event::Event};

use crate::{
    message::{HeartbeatReply, HeartbeatRequest, Learn, Message},
    record::Ballot,
    replica::{Follower, MultiPaxos, Out, Standing, Timer},
};

/// From how many defeats in a row on the range of the election timeout is not extended further: to
/// eight times its width.
const MAX_DEFEATS: u32 = 3;

/// Why a replica campaigns.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Cause {
    /// It heard of no leader for an election timeout.
    #[default]
    Timeout,
    /// No leader is quorum-connected ("Omni-Paxos" §5).
    Takeover,
    /// The leader of this ballot hands over to it.
    Transfer(Ballot),
}

/// What makes a replica campaign.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Trigger {
    /// It hears of no leader for an election timeout.
    Timeout,
    /// The failure detector suspects the leader; and if it does not, a timeout some times as long.
    Detector,
    /// No leader is quorum-connected, as far as the rounds of heartbeats tell.
    Ballot,
}

/// Into how many rounds of heartbeats an election timeout is divided.
const ROUNDS: u32 = 3;

/// What the rounds of heartbeats told.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Rounds {
    /// The round under way; never used twice in the life of this replica, or by an earlier one.
    number: u64,
    /// Who answered it, and under which ballot it is led, if it is.
    answers: BTreeMap<NodeId, HeartbeatReply>,
    /// Whether the last round reached a quorum of each kind.
    connected: bool,
    /// Whether a quorum-connected leader was heard of in the last round, itself perhaps; or a campaign
    /// is under way that is to have the time of a round.
    led: bool,
    /// The ballot whose leader a round told to be none; to be heard is not enough for it to be one again.
    given_up: Ballot,
}

impl Rounds {
    /// Before the first round. The numbers of other lives are others: what was said to one of them is
    /// no answer now.
    pub fn of(trigger: Trigger, incarnation: u64) -> Self {
        let number = if trigger == Trigger::Ballot { incarnation << 40 } else { 0 };
        Self { number, ..Self::default() }
    }
}

/// How many times as long a follower waits whose failure detector should tell it sooner.
const FALLBACK: u32 = 4;

impl Trigger {
    /// What the protocol's own options ask for.
    ///
    /// # Errors
    ///
    /// If there is no such trigger.
    pub(crate) fn of(settings: &Settings) -> Result<Self, SettingsError> {
        match settings.options.get("election").map(String::as_str) {
            None | Some("timeout") => Ok(Self::Timeout),
            Some("detector") => Ok(Self::Detector),
            Some("ballot") => Ok(Self::Ballot),
            Some(other) => Err(SettingsError::Option {
                name: "election".into(),
                why: format!("there is no trigger {other}; there are: timeout, detector, ballot"),
            }),
        }
    }
}

impl MultiPaxos {
    /// The failure detector changed its mind. If it suspects the leader, this replica is loyal to it
    /// no longer, unless leases count on that, and campaigns soon: after a time drawn anew, for the
    /// others suspect it as well. A hint is all that this is: who may lead is decided by promises.
    pub(crate) fn suspected(&mut self, node: NodeId, suspected: bool, out: &mut Out) {
        let settings = &self.config.settings;
        let Standing::Follower(follower) = &mut self.standing else { return };
        if self.config.trigger != Trigger::Detector || follower.leader != Some(node) {
            return;
        }
        if !suspected {
            return self.await_suspicion(out);
        }
        if !settings.leases && std::mem::take(&mut follower.loyal) {
            out.cancel_timer(Timer::Loyalty);
        }
        let Range { start, end } = settings.election_timeout_among(self.membership.latest());
        let shortest = settings.election_timeout.start;
        out.set_timer(Timer::Election, start - shortest..end - shortest);
    }

    /// A leader is heard of: another campaign is due after an election timeout without it, or after
    /// some times as long where the failure detector should notice sooner.
    ///
    /// Rounds of heartbeats go on whoever is heard.
    fn await_suspicion(&self, out: &mut Out) {
        if self.beats() {
            return;
        }
        let settings = &self.config.settings;
        let timeout = settings.election_timeout_among(self.membership.latest());
        let within = match self.config.trigger {
            Trigger::Timeout | Trigger::Ballot => timeout,
            Trigger::Detector => timeout.start * FALLBACK..timeout.end * FALLBACK,
        };
        out.set_timer(Timer::Election, within);
    }

    /// No leader was heard of for an election timeout.
    pub(crate) fn election_timeout(&mut self, out: &mut Out) {
        if self.beats() {
            return self.end_round(out);
        }
        if self.leading().is_some() {
            return;
        }
        if !self.membership.is_acceptor(self.membership.me()) {
            // It only learns, and knows of no leader any more.
            self.standing = Standing::Follower(Follower::default());
            self.arm_election(out);
            self.learn_unled(out);
            return self.doubt_transfer(out);
        }
        if self.config.settings.leases && self.is_loyal() {
            // It promises itself nothing either, whatever made it campaign so soon.
            return self.arm_election(out);
        }
        if self.is_writing() {
            return self.arm_election(out);
        }
        out.note(Event::TimedOut { epoch: self.promised.epoch() });
        if let Standing::Candidate(_) = self.standing {
            out.note(Event::SteppedDown { epoch: self.promised.epoch() });
        }
        self.doubt_transfer(out);
        self.arm_election(out);
        if self.config.settings.pre_vote {
            self.ask_pre_campaign(out);
        } else {
            self.campaign(Cause::Timeout, out);
        }
    }

    /// Whether it campaigns, and its disk has not taken its own promise yet, so that nobody was asked. To
    /// campaign anew would not help: whoever's disk is slower than its election timeout would never ask
    /// at all, and make ever higher ballots.
    fn is_writing(&self) -> bool {
        let me = self.membership.me();
        matches!(&self.standing, Standing::Candidate(own) if !own.promises.contains_key(&me))
    }

    /// Two proposers that each make a ballot above the other's may go on for ever ("Paxos Made Simple"
    /// §2.4). Whoever is stopped draws from a range that doubles each time, until a leader is heard of:
    /// the one that won is likely to be left alone long enough, whatever the messages take.
    pub(crate) fn back_off(&mut self, out: &mut Out) {
        self.defeats = (self.defeats + 1).min(MAX_DEFEATS);
        let settings = &self.config.settings;
        let Range { start, end } = match self.beats() {
            true => {
                settings.election_timeout.start / ROUNDS..settings.election_timeout.end / ROUNDS
            }
            false => settings.election_timeout.clone(),
        };
        out.set_timer(Timer::Election, start..start + (end - start) * (1 << self.defeats));
    }

    /// No leader was heard of for the shortest election timeout: others may have the promise.
    pub(crate) const fn loyalty_timeout(&mut self) {
        if let Standing::Follower(follower) = &mut self.standing {
            follower.loyal = false;
        }
    }

    /// Arms the election timer; each time another draw, so that proposers seldom duel.
    pub(crate) fn arm_election(&self, out: &mut Out) {
        let voters = self.membership.latest();
        let Range { start, end } = self.config.settings.election_timeout_among(voters);
        let rounds = if self.beats() { ROUNDS } else { 1 };
        out.set_timer(Timer::Election, start / rounds..end / rounds);
    }

    /// Rearms a follower's timers, once per flush, if the leader was heard of.
    pub(crate) fn rearm_on_contact(&mut self, out: &mut Out) {
        let Standing::Follower(follower) = &mut self.standing else { return };
        if !std::mem::take(&mut follower.contact) {
            return;
        }
        let loyal = follower.loyal;
        self.await_suspicion(out);
        if loyal {
            Self::arm(Timer::Loyalty, self.config.settings.election_timeout.start, out);
        }
    }

    /// Whether this replica takes part in rounds of heartbeats.
    pub(crate) fn beats(&self) -> bool {
        self.config.trigger == Trigger::Ballot && self.membership.is_acceptor(self.membership.me())
    }

    /// Begins a round of heartbeats, if that is the trigger. What is answered to the one before counts
    /// no more.
    pub(crate) fn begin_round(&mut self, out: &mut Out) {
        if !self.beats() {
            return;
        }
        self.rounds.number += 1;
        self.rounds.answers.clear();
        let round = self.rounds.number;
        // Whoever the promised ballot belongs to may lead, and be none of those who decide as far as this
        // replica knows: while it was away, all of them may have been replaced.
        let owner = Some(self.promised).filter(|ballot| !ballot.is_nobodys()).map(Ballot::owner);
        let owner = owner.filter(|&owner| owner != self.membership.me());
        let asked: BTreeSet<_> = self.membership.voting_peers().chain(owner).collect();
        for peer in asked {
            out.send_now(peer, Message::HeartbeatRequest(HeartbeatRequest { round }));
        }
        self.arm_election(out);
    }

    /// The leader of this ballot is heard, after nobody was known to lead. It is given a round to show what
    /// it is, unless one has told already: a leader that hears nobody goes on being heard.
    pub(crate) fn give_leader_a_round(&mut self, ballot: Ballot, out: &mut Out) {
        if ballot > self.rounds.given_up {
            self.give_a_round(out);
        }
    }

    /// Somebody campaigns, or leads by now: it is left alone until a round tells otherwise.
    pub(crate) fn give_a_round(&mut self, out: &mut Out) {
        self.rounds.led = true;
        self.begin_round(out);
    }

    /// A round is over: takes leadership over if nobody who is quorum-connected has it, as far as it
    /// and everybody who answered know.
    fn end_round(&mut self, out: &mut Out) {
        let me = self.membership.me();
        let answers = std::mem::take(&mut self.rounds.answers);
        let heard = |node| node == me || answers.contains_key(&node);
        let connected = self.membership.promised_by(heard) && self.membership.accepted_by(heard);
        let leads = |reply: &HeartbeatReply| reply.led && reply.ballot == self.promised;
        let led = match &self.standing {
            Standing::Leader(_) => connected,
            Standing::Follower(Follower { leader: Some(leader), .. }) => {
                answers.get(leader).is_some_and(leads)
            }
            Standing::Follower(_) | Standing::PreCandidate(_) | Standing::Candidate(_) => false,
        };
        (self.rounds.connected, self.rounds.led) = (connected, led);
        let bound = self.config.settings.leases && self.is_loyal();
        if led || bound || self.leads() && !connected || self.is_writing() {
            return self.begin_round(out);
        }
        if connected && !answers.values().any(|reply| reply.led) {
            out.note(Event::TimedOut { epoch: self.promised.epoch() });
            self.give_up_candidacy(out);
            self.doubt_transfer(out);
            return self.campaign(Cause::Takeover, out);
        }
        // Its leader, if it had one, is not heard. Those who are may know what was chosen, and who
        // decides by now.
        let from = self.chosen_to + 1;
        for &peer in answers.keys() {
            out.send_now(peer, Message::Learn(Learn { from }));
        }
        if self.leader().is_some() {
            self.rounds.given_up = self.promised;
        }
        self.give_up_candidacy(out);
        self.doubt_transfer(out);
        self.begin_round(out);
    }

    /// Waits as a follower that knows of no leader.
    fn give_up_candidacy(&mut self, out: &mut Out) {
        if let Standing::Candidate(_) = self.standing {
            out.note(Event::SteppedDown { epoch: self.promised.epoch() });
        }
        self.standing = Standing::Follower(Follower::default());
    }

    /// Says what it made of its last round, whoever asks, and whether or not the asker counts.
    pub(crate) fn receive_heartbeat_request(
        &self,
        from: NodeId,
        ask: HeartbeatRequest,
        out: &mut Out,
    ) {
        // Whoever takes no part in rounds has nothing to say of a leader.
        let led = self.rounds.led && self.beats();
        let (round, ballot) = (ask.round, self.promised);
        let quorum_connected = self.rounds.connected;
        let reply = HeartbeatReply { round, ballot, quorum_connected, led };
        out.send_now(from, Message::HeartbeatReply(reply));
    }

    /// Remembers an answer until the round is over.
    pub(crate) fn receive_heartbeat_reply(&mut self, from: NodeId, reply: HeartbeatReply) {
        self.highest_seen = self.highest_seen.max(reply.ballot);
        if reply.round == self.rounds.number && self.beats() {
            self.rounds.answers.insert(from, reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use consensus_core::{Disk, Effect, Input, Protocol, Settings, Time};

    use super::*;
    use crate::message::{Nack, ReadRound};

    /// The range from which the election timer was drawn last.
    fn drawn(out: &mut Out) -> Option<Range<Duration>> {
        let effects: Vec<_> = out.drain().collect();
        effects.into_iter().rev().find_map(|effect| match effect {
            Effect::SetTimer { timer: Timer::Election, within } => Some(within),
            _ => None,
        })
    }

    #[test]
    fn whoever_is_stopped_draws_from_a_wider_range_until_a_leader_is_heard_of() {
        let members = [1, 2, 3].map(NodeId).to_vec();
        let settings = Settings { pre_vote: false, ..Settings::new(NodeId(1), members) };
        let config = MultiPaxos::configure(settings).unwrap();
        let mut out = Out::new();
        let mut replica = MultiPaxos::recover(config, 1, Time::ZERO, Disk::empty(), &mut out);
        let mut step = |input| {
            let mut out = Out::new();
            replica.step(Time::ZERO, input, &mut out);
            replica.flush(Time::ZERO, &mut out);
            replica.check();
            (drawn(&mut out), replica.promised)
        };
        let range = |end| Some(Duration::from_millis(150)..Duration::from_millis(end));
        for end in [450, 750, 1_350, 1_350] {
            let (_, ballot) = step(Input::Timeout(Timer::Election));
            let nack = Nack { ballot, promised: Ballot::new(ballot.round + 1, NodeId(2)) };
            let message = Message::Nack(nack);
            let (drawn, _) = step(Input::Receive { from: NodeId(2), message });
            assert_eq!(drawn, range(end));
        }
        let ballot = Ballot::new(99, NodeId(3));
        let round = ReadRound { ballot, round: 1, chosen_to: Some(0) };
        let message = Message::ReadRound(round);
        assert_eq!(step(Input::Receive { from: NodeId(3), message }).0, range(300));
        let (_, ballot) = step(Input::Timeout(Timer::Election));
        let nack = Nack { ballot, promised: Ballot::new(ballot.round, NodeId(2)) };
        let message = Message::Nack(nack);
        assert_eq!(step(Input::Receive { from: NodeId(2), message }).0, range(450));
    }
}
