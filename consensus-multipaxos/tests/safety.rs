//! Small clusters under every loss, delay, duplication, reordering and crash, drawn from a seed.
//!
//! The cluster's judge watches agreement per slot, refused commands and linearizable reads; here the
//! rest is watched: that a ballot is made once and has one value per slot, and that a quorum of disks
//! holds whatever was applied anywhere. That a healed cluster serves again and has lost nothing is
//! watched by the trouble itself.

use std::collections::{BTreeMap, BTreeSet};

use consensus_core::{
    Configuration, Disk, Draw, Epoch, Event, Index, NodeId, Payload, Settings,
    quorum::majority,
    transcript::{
        Cluster, Happening,
        trouble::{Timers, Watch, assert_happened, survive},
    },
};
use consensus_multipaxos::{
    Message, MultiPaxos, Record, Timer,
    message::Prepare,
    record::{Ballot, PValue},
};

const SEEDS: u64 = 500;

/// What was seen so far.
#[derive(Default)]
struct Ballots {
    /// Every ballot that others heard of. One that a crash erased before that may be made again.
    heard: BTreeSet<Epoch>,
    /// The value of each slot under each ballot.
    values: BTreeMap<(Index, Ballot), Payload>,
    /// Who decides, by the first slot: the first members, and what was decided since.
    configurations: BTreeMap<Index, Configuration>,
    settings: Option<Settings>,
}

impl Watch for Ballots {
    type Protocol = MultiPaxos;

    const CHANGES_COME_LATE: bool = true;

    const TIMERS: Timers<Timer> = Timers {
        election: Timer::Election,
        heartbeat: Timer::Heartbeat,
        quorum: Timer::Quorum,
        loyalty: Timer::Loyalty,
    };

    /// A small α, so that it often limits the leader; in some clusters quorums of other sizes, and
    /// other reasons to campaign.
    fn options(draw: Draw, members: usize) -> BTreeMap<String, String> {
        let mut options = BTreeMap::new();
        let mut set = |name: &str, number: usize| options.insert(name.into(), number.to_string());
        // Every change costs as many slots, and so many that nothing is left for anything else.
        let most = if draw.of("alpha").chance(0.7) { 8 } else { 64 };
        set("alpha", 1 + draw.of("size of alpha").below(most) as usize);
        if draw.of("flexible").chance(0.3) {
            let promise = 1 + draw.of("promise").below(members as u64) as usize;
            set("phase-1-quorum", promise);
            set("phase-2-quorum", members + 1 - promise);
        }
        let trigger = ["timeout", "ballot", "detector"][draw.of("election").below(3) as usize];
        options.insert("election".into(), trigger.into());
        options
    }

    /// α later, by default 4096.
    fn governs_from(settings: &Settings, index: Index) -> Index {
        let alpha = settings.options.get("alpha").and_then(|alpha| alpha.parse::<Index>().ok());
        index + alpha.unwrap_or(4_096)
    }

    fn can_decide(
        settings: &Settings,
        configuration: &Configuration,
        is_there: &dyn Fn(NodeId) -> bool,
    ) -> bool {
        let voters = &configuration.voters;
        let there = voters.iter().filter(|&&voter| is_there(voter)).count();
        there >= quorum(settings, PROMISE, voters.len()).max(quorum(settings, ACCEPT, voters.len()))
    }

    /// Once a quorum of them has it on disk what was chosen before: they decide none of it.
    fn stands_alone(
        settings: &Settings,
        from: Index,
        configuration: &Configuration,
        disk: &dyn Fn(NodeId) -> Option<Disk<Record>>,
    ) -> bool {
        let chosen_to = |disk: Disk<Record>| {
            let base = disk.base.map_or(0, |base| base.index);
            match disk.state {
                Some(Record::Hard(hard)) => base.max(hard.chosen_to),
                _ => base,
            }
        };
        let knows = |voter: &&NodeId| disk(**voter).map(chosen_to).is_some_and(|to| to + 1 >= from);
        let voters = &configuration.voters;
        voters.iter().filter(knows).count() >= quorum(settings, ACCEPT, voters.len())
    }

    fn begin(&mut self, settings: &Settings) {
        self.settings = Some(settings.clone());
        self.configurations.insert(0, Configuration::of(settings.members.iter().copied()));
    }

    fn happened(&mut self, cluster: &Cluster<MultiPaxos>, happening: &Happening<MultiPaxos>) {
        match happening {
            Happening::Noted(node, Event::Campaigning { epoch }) => {
                assert_eq!(epoch.node, *node, "a ballot belongs to who makes it");
                assert!(!self.heard.contains(epoch), "ballot {epoch} is made twice");
            }
            Happening::Sent { from, to, message, .. } => {
                if let Message::Prepare(Prepare { ballot, .. }) = message {
                    self.heard.insert(ballot.epoch());
                }
                flow(cluster, *from, *to, message);
            }
            Happening::Waits { from, to, message } => flow(cluster, *from, *to, message),
            Happening::Noted(node, Event::Reconfigured { from, configuration }) => {
                let known = self.configurations.entry(*from);
                let known = known.or_insert_with(|| (**configuration).clone());
                assert_eq!(*known, **configuration, "n{node}: who decides from {from} on");
            }
            _ => {}
        }
    }

    /// Whatever was applied is chosen: a quorum of disks holds it, or a snapshot of it, and for ever.
    /// And under one ballot a slot has one value, wherever it was accepted.
    fn inspect(&mut self, cluster: &Cluster<MultiPaxos>) {
        let ids = cluster.ids();
        let applied = cluster.judge().applied();
        let mut holders: BTreeMap<Index, BTreeSet<NodeId>> = BTreeMap::new();
        for &node in &ids {
            let disk = cluster.disk(node).durable();
            let base = disk.base.as_ref().map_or(0, |base| base.index);
            for slot in 1..=base {
                holders.entry(slot).or_default().insert(node);
            }
            for record in &disk.entries {
                let Record::Accepted(PValue { slot, ballot, value }) = record else { continue };
                let known = self.values.entry((*slot, *ballot));
                let known = known.or_insert_with(|| value.clone());
                assert_eq!(known, value, "n{node}: slot {slot} has two values under {ballot:?}");
                if applied.get(slot) == Some(value) {
                    holders.entry(*slot).or_default().insert(node);
                }
            }
        }
        let nobody = BTreeSet::new();
        for slot in applied.keys() {
            let held_by = holders.get(slot).unwrap_or(&nobody);
            // Nobody knows what was on a disk that is gone.
            let may_hold = |node| held_by.contains(&node) || !ids.contains(&node);
            let decides = self.configurations.range(..=slot).next_back();
            let (_, decides) = decides.expect("the first members decide the first slot");
            let held = decides.voters.iter().filter(|&&voter| may_hold(voter)).count();
            let settings = self.settings.as_ref().expect("the cluster began");
            let enough = quorum(settings, ACCEPT, decides.voters.len());
            assert!(held >= enough, "slot {slot} of {decides} is on {held_by:?} only");
        }
    }
}

const PROMISE: &str = "phase-1-quorum";
const ACCEPT: &str = "phase-2-quorum";

/// How many of so many voters suffice: as many as the options say, if quorums of those sizes meet.
fn quorum(settings: &Settings, which: &str, voters: usize) -> usize {
    let size = |name| settings.options.get(name).and_then(|size| size.parse::<usize>().ok());
    let fits = |(one, other): &(usize, usize)| one + other > voters && *one.max(other) <= voters;
    let sizes = size(PROMISE).zip(size(ACCEPT)).filter(fits);
    sizes.and(size(which)).unwrap_or(majority(voters))
}

/// Values are proposed, rounds begun and questions answered only by the leader of their ballot, and a
/// ballot is asked for only by its owner; whoever follows speaks of a ballot to its owner alone. All
/// else that a follower starts is to ask whether it should campaign, and to learn.
fn flow(cluster: &Cluster<MultiPaxos>, from: NodeId, to: NodeId, message: &Message) {
    let leads = |ballot: Ballot| cluster.judge().elected().get(&ballot.epoch()) == Some(&from);
    let fits = match message {
        Message::Accept(accept) => leads(accept.ballot),
        Message::ReadRound(round) => leads(round.ballot),
        Message::ReadIndexReply(reply) => leads(reply.ballot),
        Message::Prepare(prepare) => prepare.ballot.owner() == from,
        Message::Promise(promise) => promise.ballot.owner() == to,
        Message::Accepted(accepted) => accepted.ballot.owner() == to,
        Message::ReadAck(ack) => ack.ballot.owner() == to,
        Message::ReadIndex(ask) => ask.ballot.owner() == to,
        Message::Nack(nack) => nack.ballot.owner() == to,
        _ => true,
    };
    assert!(fits, "n{from} -> n{to}: {message:?}");
}

#[test]
fn what_is_chosen_stays_chosen_and_a_healed_cluster_serves() {
    let counts = survive::<Ballots>(SEEDS);
    println!("{counts:?}");
    let least = [
        ("elected", 4_000),
        ("caught up", 2_000),
        ("lost batches", 1_500),
        ("acknowledged", 10_000),
        ("read", 4_000),
        ("unknown", 2_000),
        ("compacted", 4_000),
        ("installed", 500),
        ("lease read", 1_500),
        ("follower read", 1_000),
    ];
    assert_happened(&counts, &least);
}
