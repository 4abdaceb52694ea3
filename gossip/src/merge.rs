//! What becomes of a claim about a member (SWIM §4.2), and how a member defends itself.

use std::cmp::Ordering;

use consensus_core::{NodeId, Time};

use crate::{
    dissemination::Topic,
    effect::{Event, Outbox},
    gossip::Gossip,
    member::{Claim, MAX_COUNTER, State},
};

/// How a claim arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// On somebody's datagram, as news.
    Rumour,
    /// In an exchange of whole views, which may be old.
    Synchronization {
        /// Whose view.
        with: NodeId,
    },
}

impl Gossip {
    /// Takes a claim into the view: the greater of it and what is known.
    pub(crate) fn merge(&mut self, now: Time, claim: Claim, source: Source, out: &mut Outbox) {
        if claim.member.node == self.me {
            self.answer(&claim, out);
        } else if self.members.contains_key(&claim.member.node) {
            self.compare(now, claim, source, out);
        } else {
            self.welcome(now, claim, out);
        }
    }

    /// A claim about this node: it refutes what is not so. Nobody else can.
    fn answer(&mut self, claim: &Claim, out: &mut Outbox) {
        let claimed = &claim.member;
        let me = self.members.get_mut(&self.me).expect("this node is a member");
        if claimed.incarnation.start < me.incarnation.start {
            return;
        }
        if claimed.address != me.address && claimed.state == State::Alive {
            // Somebody else lives under this name; or an earlier life of this node is not yet known
            // to be over, and will be refuted once it is.
            self.counters.conflicts += 1;
            return;
        }
        let accused = claimed.state != State::Alive && claimed.incarnation >= me.incarnation;
        let outlived = claimed.incarnation > me.incarnation;
        let unknown_to_me = match claimed.version().cmp(&me.version()) {
            Ordering::Less => false,
            Ordering::Equal => claimed.metadata != me.metadata,
            Ordering::Greater => true,
        };
        if unknown_to_me {
            // An earlier life, whose start was not counted, said this. What is said now is newer.
            me.metadata_version = (claimed.metadata_version + 1).min(MAX_COUNTER);
            self.rumours.spread(self.me, Topic::Metadata);
        }
        if accused || outlived {
            me.incarnation = claimed.incarnation.next();
            self.rumours.spread(self.me, Topic::Life);
        }
        if accused {
            self.counters.refutations += 1;
            self.health.worsen();
            out.event(Event::Refuted { node: self.me });
        }
    }

    /// A claim about somebody unknown. The dead among them are left to rest, or two nodes that
    /// forget at different times would remind each other for ever.
    fn welcome(&mut self, now: Time, claim: Claim, out: &mut Outbox) {
        let Claim { member, accusers } = claim;
        let (node, state) = (member.node, member.state);
        if !state.is_present() {
            return;
        }
        if self.members.len() >= self.config.max_members {
            self.counters.refused += 1;
            return;
        }
        self.members.insert(node, member);
        self.prober.admit(node, &mut self.chance);
        self.rumours.spread(node, Topic::Life);
        out.event(Event::Joined { node });
        if state == State::Suspect {
            self.suspicions.begin(now, node, &accusers, self.present().count());
            out.event(Event::Suspected { node });
        }
    }

    /// A claim about a known member.
    fn compare(&mut self, now: Time, mut claim: Claim, source: Source, out: &mut Outbox) {
        let node = claim.member.node;
        let known = self.members.get_mut(&node).expect("the caller looked");
        if claim.member.incarnation == known.incarnation && claim.member.address != known.address {
            self.counters.conflicts += 1;
            return;
        }
        if let Source::Synchronization { with } = source
            && claim.member.state == State::Dead
            && known.state.is_present()
        {
            // The other side of a healed partition brings old deaths with it. Whoever lives here
            // gets the chance to say so.
            claim.member.state = State::Suspect;
            claim.accusers = vec![with];
        }
        let (before, claimed) = (known.life(), claim.member.life());
        if claim.member.version() > known.version() {
            let restarted = claim.member.incarnation.start > known.incarnation.start;
            if !restarted && known.metadata.differs_notably(&claim.member.metadata) {
                self.rumours.spread(node, Topic::Metadata);
                out.event(Event::Updated { node });
            }
            known.metadata_version = claim.member.metadata_version;
            known.metadata = claim.member.metadata;
        }
        if claimed > before {
            (known.incarnation, known.state) = claimed;
            known.address = claim.member.address;
            let restarted = claimed.0.start > before.0.start;
            self.turn(
                now,
                Turn { node, before: before.1, after: claimed.1, restarted },
                &claim.accusers,
                out,
            );
        } else if claimed == before && claimed.1 == State::Suspect {
            self.confirm(node, &claim.accusers);
        }
    }

    /// Carries a member's change of life through: clocks, probes, rumours and events.
    fn turn(&mut self, now: Time, turn: Turn, accusers: &[NodeId], out: &mut Outbox) {
        let Turn { node, before, after, .. } = turn;
        self.rumours.spread(node, Topic::Life);
        if after == State::Suspect {
            self.suspicions.begin(now, node, accusers, self.present().count());
        } else {
            self.suspicions.end(node);
        }
        let returned = !before.is_present() && after.is_present();
        if returned {
            self.gone.remove(&node);
            self.prober.admit(node, &mut self.chance);
        } else if !after.is_present() {
            self.gone.entry(node).or_insert(now);
        }
        turn.events().into_iter().flatten().for_each(|event| out.event(event));
        if returned {
            // It, or a whole side of a partition behind it, missed everything since.
            self.send_digest(node, out);
        }
    }

    /// More members cannot reach a suspect.
    fn confirm(&mut self, node: NodeId, accusers: &[NodeId]) {
        if self.suspicions.confirm(node, accusers, &self.config) {
            self.rumours.spread(node, Topic::Life);
        }
    }

    /// This node itself could not reach a member.
    pub(crate) fn suspect(&mut self, now: Time, node: NodeId, out: &mut Outbox) {
        let me = self.me;
        let Some(member) = self.members.get_mut(&node) else { return };
        match member.state {
            State::Alive => {
                member.state = State::Suspect;
                let turn =
                    Turn { node, before: State::Alive, after: State::Suspect, restarted: false };
                self.turn(now, turn, &[me], out);
            }
            State::Suspect => self.confirm(node, &[me]),
            State::Dead | State::Left => {}
        }
    }

    /// Suspects that did not show themselves in time are dead.
    pub(crate) fn believe_expired_suspicions(&mut self, now: Time, out: &mut Outbox) {
        for node in self.suspicions.expired(now, &self.config) {
            let member = self.members.get_mut(&node).expect("suspects are members");
            member.state = State::Dead;
            let turn = Turn { node, before: State::Suspect, after: State::Dead, restarted: false };
            self.turn(now, turn, &[], out);
        }
    }
}

/// A member's change of life.
#[derive(Clone, Copy, Debug)]
struct Turn {
    node: NodeId,
    before: State,
    after: State,
    /// Whether it is another process now.
    restarted: bool,
}

impl Turn {
    /// What to tell of it.
    fn events(self) -> [Option<Event>; 2] {
        let Self { node, before, after, restarted } = self;
        let new = after.is_present() && (restarted || !before.is_present());
        let joined = new.then_some(Event::Joined { node });
        let changed = match after {
            State::Alive if before == State::Suspect && !restarted => Some(Event::Refuted { node }),
            State::Suspect if before != State::Suspect || restarted => {
                Some(Event::Suspected { node })
            }
            State::Dead if before != State::Dead => Some(Event::Died { node }),
            State::Left if before != State::Left => Some(Event::Left { node }),
            _ => None,
        };
        [joined, changed]
    }
}

/// Members and claims for the tests of several files.
#[cfg(test)]
pub(crate) mod fixture {
    use std::net::SocketAddr;

    use consensus_core::{Draw, NodeId, Time};

    use crate::{
        Config, Gossip, Identity, Incarnation, Member, Metadata, Outbox, State, member::Claim,
    };

    pub(crate) fn address(node: u64) -> SocketAddr {
        let [.., high, low] = node.to_be_bytes();
        SocketAddr::from(([10, 0, high, low], 7_000))
    }

    pub(crate) fn member(node: u64) -> Gossip {
        let identity = Identity { node: NodeId(node), address: address(node), start: 1 };
        let (config, metadata, out) =
            (Config::new("test"), Metadata::default(), &mut Outbox::new());
        Gossip::new(config, identity, metadata, vec![], Draw::new(1), Time::ZERO, out).unwrap()
    }

    pub(crate) fn observer() -> Gossip {
        member(1)
    }

    pub(crate) fn alive(node: u64) -> Claim {
        let member = Member {
            node: NodeId(node),
            address: address(node),
            incarnation: Incarnation::of_start(1),
            state: State::Alive,
            metadata_version: 0,
            metadata: Metadata::default(),
        };
        Claim { member, accusers: vec![] }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::{fixture::observer, *};
    use crate::{Incarnation, Member, Metadata};

    const SUBJECT: NodeId = NodeId(9);

    /// A claim as some member could make it: the address belongs to the start, and the metadata to
    /// the start and its version.
    fn claim(start: u64, refutation: u64, state: State, version: u64) -> Claim {
        let member = Member {
            node: SUBJECT,
            address: SocketAddr::from(([10, 0, 9, start as u8], 7_000)),
            incarnation: Incarnation { start, refutation },
            state,
            metadata_version: version,
            metadata: Metadata { commit: 100 * start + version, ..Metadata::default() },
        };
        let accusers = if state == State::Suspect { vec![NodeId(2)] } else { vec![] };
        Claim { member, accusers }
    }

    fn any_claim() -> impl Strategy<Value = Claim> {
        let states =
            prop::sample::select(vec![State::Alive, State::Suspect, State::Dead, State::Left]);
        (1..4u64, 0..3u64, states, 0..4u64).prop_map(|(s, r, state, v)| claim(s, r, state, v))
    }

    fn check(gossip: &Gossip) {
        let state = gossip.members[&SUBJECT].state;
        assert_eq!(
            gossip.suspicions.next_deadline(&gossip.config).is_some(),
            state == State::Suspect
        );
        assert_eq!(gossip.gone.contains_key(&SUBJECT), !state.is_present());
    }

    proptest! {
        /// Whatever the order and the repetitions, the view is the greatest claim.
        #[test]
        fn merging_is_a_maximum(claims in prop::collection::vec(any_claim(), 1..12)) {
            let mut gossip = observer();
            gossip.merge(Time::ZERO, claim(1, 0, State::Alive, 0), Source::Rumour, &mut Outbox::new());
            for claim in claims.iter().chain(&claims[..claims.len() / 2]) {
                gossip.merge(Time::ZERO, claim.clone(), Source::Rumour, &mut Outbox::new());
                check(&gossip);
            }
            let view = &gossip.members[&SUBJECT];
            let first = claim(1, 0, State::Alive, 0);
            let all = || claims.iter().chain([&first]).map(|claim| &claim.member);
            prop_assert_eq!(view.life(), all().map(Member::life).max().unwrap());
            let latest = all().max_by_key(|member| member.version()).unwrap();
            prop_assert_eq!(view.version(), latest.version());
            prop_assert_eq!(&view.metadata, &latest.metadata);
            prop_assert_eq!(view.address, latest.address);
        }

        /// Nobody is told of a change that was none, and everybody of one that was.
        #[test]
        fn events_tell_the_present_from_the_gone(claims in prop::collection::vec(any_claim(), 1..12)) {
            let mut gossip = observer();
            let mut present = false;
            for claim in claims {
                let mut out = Outbox::new();
                gossip.merge(Time::ZERO, claim, Source::Rumour, &mut out);
                for effect in out.effects() {
                    match effect {
                        crate::Effect::Event(Event::Joined { .. }) => present = true,
                        crate::Effect::Event(Event::Died { .. } | Event::Left { .. }) => present = false,
                        _ => {}
                    }
                }
                let seen = gossip.members.get(&SUBJECT).is_some_and(|member| member.state.is_present());
                prop_assert_eq!(seen, present);
            }
        }
    }

    #[test]
    fn an_old_death_is_only_a_suspicion_in_a_synchronization() {
        let mut gossip = observer();
        gossip.merge(Time::ZERO, claim(1, 0, State::Alive, 0), Source::Rumour, &mut Outbox::new());
        let with = NodeId(5);
        let source = Source::Synchronization { with };
        gossip.merge(Time::ZERO, claim(1, 0, State::Dead, 0), source, &mut Outbox::new());
        assert_eq!(gossip.members[&SUBJECT].state, State::Suspect);
        assert_eq!(gossip.suspicions.accusers(SUBJECT), [with]);
        gossip.merge(Time::ZERO, claim(1, 0, State::Dead, 0), Source::Rumour, &mut Outbox::new());
        assert_eq!(gossip.members[&SUBJECT].state, State::Dead);
    }

    #[test]
    fn two_processes_under_one_incarnation_are_a_conflict() {
        let mut gossip = observer();
        gossip.merge(Time::ZERO, claim(1, 0, State::Alive, 0), Source::Rumour, &mut Outbox::new());
        let mut other = claim(1, 0, State::Dead, 7);
        other.member.address.set_port(1);
        gossip.merge(Time::ZERO, other, Source::Rumour, &mut Outbox::new());
        assert_eq!(gossip.counters.conflicts, 1);
        assert_eq!(gossip.members[&SUBJECT].state, State::Alive);
    }

    #[test]
    fn only_accusations_of_this_life_are_refuted() {
        let accuse = |gossip: &mut Gossip, start, refutation, state| {
            let mut about_me = claim(start, refutation, state, 0);
            about_me.member.node = gossip.me;
            about_me.member.address = gossip.me().address;
            gossip.merge(Time::ZERO, about_me, Source::Rumour, &mut Outbox::new());
            gossip.me().incarnation
        };
        let mut gossip = observer();
        assert_eq!(accuse(&mut gossip, 0, 7, State::Dead), Incarnation { start: 1, refutation: 0 });
        assert_eq!(
            accuse(&mut gossip, 1, 0, State::Suspect),
            Incarnation { start: 1, refutation: 1 }
        );
        assert_eq!(
            accuse(&mut gossip, 1, 0, State::Suspect),
            Incarnation { start: 1, refutation: 1 }
        );
        assert_eq!(accuse(&mut gossip, 1, 1, State::Left), Incarnation { start: 1, refutation: 2 });
        // The counter of starts went backwards: the group remembers better.
        assert_eq!(accuse(&mut gossip, 3, 4, State::Dead), Incarnation { start: 3, refutation: 5 });
        assert_eq!((gossip.counters.refutations, gossip.health.value()), (3, 3));
    }

    #[test]
    fn what_an_uncounted_life_said_is_overruled() {
        let mut gossip = observer();
        let say = |gossip: &mut Gossip, version, commit| {
            let mut earlier = fixture::alive(1);
            earlier.member.metadata_version = version;
            earlier.member.metadata.commit = commit;
            gossip.merge(Time::ZERO, earlier, Source::Rumour, &mut Outbox::new());
            gossip.me().metadata_version
        };
        assert_eq!(say(&mut gossip, 0, 0), 0, "this is what it says itself");
        assert_eq!(say(&mut gossip, 0, 5), 1, "the same version, yet not its own");
        assert_eq!(say(&mut gossip, 8, 7), 9);
        assert_eq!(say(&mut gossip, 3, 7), 9, "long overruled");
        assert_eq!(gossip.me().metadata.commit, 0);
    }

    #[test]
    fn whoever_returns_from_the_dead_is_told_what_it_missed() {
        let mut gossip = observer();
        let mut sent = Vec::new();
        for (refutation, state) in [(0, State::Alive), (0, State::Dead), (1, State::Alive)] {
            let mut out = Outbox::new();
            let claim = claim(1, refutation, state, 0);
            let address = claim.member.address;
            gossip.merge(Time::ZERO, claim, Source::Rumour, &mut out);
            let to_it = |effect: &crate::Effect| matches!(effect, crate::Effect::Send { to, .. } if *to == address);
            sent.push(out.effects().iter().filter(|effect| to_it(effect)).count());
        }
        assert_eq!(sent, [0, 0, 1]);
    }
}
