//! Small clusters under every loss, delay, duplication, reordering and crash, drawn from a seed.
//!
//! The cluster's judge watches agreement per slot, refused commands and linearizable reads; here the
//! rest is watched: that a ballot is made once and has one value per slot, and that a quorum of disks
//! holds whatever was applied anywhere. That a healed cluster serves again and has lost nothing is
//! watched by the trouble itself.

use std::collections::{BTreeMap, BTreeSet};

use consensus_core::{
    Epoch, Event, Index, Payload,
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
}

impl Watch for Ballots {
    type Protocol = MultiPaxos;

    const TIMERS: Timers<Timer> = Timers {
        election: Timer::Election,
        heartbeat: Timer::Heartbeat,
        quorum: Timer::Quorum,
        loyalty: Timer::Loyalty,
    };

    fn happened(&mut self, _: &Cluster<MultiPaxos>, happening: &Happening<MultiPaxos>) {
        match happening {
            Happening::Noted(node, Event::Campaigning { epoch }) => {
                assert_eq!(epoch.node, *node, "a ballot belongs to who makes it");
                assert!(!self.heard.contains(epoch), "ballot {epoch} is made twice");
            }
            Happening::Sent { message: Message::Prepare(Prepare { ballot, .. }), .. } => {
                self.heard.insert(ballot.epoch());
            }
            _ => {}
        }
    }

    /// Whatever was applied is chosen: a quorum of disks holds it, and for ever. And under one ballot
    /// a slot has one value, wherever it was accepted.
    fn inspect(&mut self, cluster: &Cluster<MultiPaxos>) {
        let ids = cluster.ids();
        let mut holders: BTreeMap<Index, usize> = BTreeMap::new();
        for &node in &ids {
            for record in &cluster.disk(node).durable().entries {
                let Record::Accepted(PValue { slot, ballot, value }) = record else { continue };
                let known = self.values.entry((*slot, *ballot));
                let known = known.or_insert_with(|| value.clone());
                assert_eq!(known, value, "n{node}: slot {slot} has two values under {ballot:?}");
                if cluster.judge().applied().get(slot) == Some(value) {
                    *holders.entry(*slot).or_insert(0) += 1;
                }
            }
        }
        for slot in cluster.judge().applied().keys() {
            let held_by = holders.get(slot).copied().unwrap_or(0);
            assert!(held_by >= majority(ids.len()), "slot {slot} is on {held_by} disk(s) only");
        }
    }
}

#[test]
fn what_is_chosen_stays_chosen_and_a_healed_cluster_serves() {
    let counts = survive::<Ballots>(SEEDS);
    println!("{counts:?}");
    let least = [
        ("elected", 4_000),
        ("caught up", 2_000),
        ("lost batches", 2_000),
        ("acknowledged", 10_000),
        ("read", 5_000),
        ("unknown", 2_000),
    ];
    assert_happened(&counts, &least);
}
