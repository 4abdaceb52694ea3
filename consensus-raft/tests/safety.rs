//! Small clusters under every loss, delay, duplication, reordering and crash, drawn from a seed.
//!
//! The cluster's judge watches election safety, state-machine safety, refused commands and
//! linearizable reads; here the rest of figure 3 of the paper is watched (log matching, leader
//! completeness). That a healed cluster serves again and has lost nothing is watched by the trouble
//! itself.

use std::collections::{BTreeMap, BTreeSet};

use consensus_core::{
    Disk, Epoch, Event, Index, NodeId, Payload,
    transcript::{
        Cluster, Happening,
        trouble::{Timers, Watch, assert_happened, survive},
    },
};
use consensus_raft::{Message, Raft, Record, Timer, record::Entry};

const SEEDS: u64 = 600;

/// What was seen so far.
#[derive(Default)]
struct Figure3 {
    /// Per position and term: the term before it, and what it carries. Log matching says that these
    /// are functions.
    entries: BTreeMap<(Index, u64), (u64, Option<Payload>)>,
    /// Per position: the term in which it was first known to be committed.
    committed_in: BTreeMap<Index, u64>,
    /// The term of the last entry of each snapshot.
    snapshots: BTreeMap<Index, u64>,
    /// Who campaigned in which term.
    campaigns: BTreeSet<(NodeId, u64)>,
}

impl Watch for Figure3 {
    type Protocol = Raft;

    const TIMERS: Timers<Timer> = Timers {
        election: Timer::Election,
        heartbeat: Timer::Heartbeat,
        quorum: Timer::Quorum,
        loyalty: Timer::Loyalty,
    };

    fn happened(&mut self, cluster: &Cluster<Raft>, happening: &Happening<Raft>) {
        match happening {
            Happening::Noted(_, Event::Committed { epoch, from, to, .. }) => {
                for index in *from..=*to {
                    self.committed_in.entry(index).or_insert(epoch.round);
                }
            }
            Happening::Noted(node, Event::Elected { epoch }) => {
                self.leader_completeness(cluster, *node, epoch.round);
            }
            Happening::Noted(node, Event::Campaigning { epoch }) => {
                self.campaigns.insert((*node, epoch.round));
            }
            Happening::Sent { from, message, .. } | Happening::Waits { from, message, .. } => {
                self.flow(cluster, *from, message);
            }
            Happening::Asked(node, meta) | Happening::Restored(node, meta) => {
                let term = *self.snapshots.entry(meta.index).or_insert(meta.epoch.round);
                assert_eq!(term, meta.epoch.round, "n{node}: the term at {}", meta.index);
            }
            _ => {}
        }
    }

    /// If two logs hold an entry of the same index and term, it is the same entry, and so are all
    /// before it (§5.3).
    fn inspect(&mut self, cluster: &Cluster<Raft>) {
        for node in cluster.ids() {
            let disk = cluster.disk(node).written();
            let mut before = disk.base.as_ref().map_or(0, |base| base.epoch.round);
            for Entry { index, term, payload } in entries(disk) {
                let entry = (before, payload);
                let known = self.entries.entry((index, term)).or_insert_with(|| entry.clone());
                assert_eq!(*known, entry, "n{node} at {index} of term {term}");
                before = term;
            }
        }
    }
}

impl Figure3 {
    /// Entries and rounds come from the leader of their term only, and a question for a vote from
    /// whoever campaigns in that term: a follower starts nothing of its own (§5.1), but questions for
    /// its readers.
    fn flow(&self, cluster: &Cluster<Raft>, from: NodeId, message: &Message) {
        let leads = |term| cluster.judge().elected().get(&Epoch::term(term)) == Some(&from);
        match message {
            Message::AppendEntries(append) => assert!(leads(append.term), "n{from}: {append:?}"),
            Message::ReadRound(round) => assert!(leads(round.term), "n{from}: {round:?}"),
            Message::ReadIndexReply(reply) => assert!(leads(reply.term), "n{from}: {reply:?}"),
            Message::ReadIndex(ask) => assert!(!leads(ask.term), "n{from}: {ask:?}"),
            Message::RequestVote(question) => {
                let campaigns = self.campaigns.contains(&(from, question.term));
                assert!(campaigns, "n{from}: {question:?}");
            }
            _ => {}
        }
    }

    /// A leader holds every entry that was committed in an earlier term (§5.4.3), or a snapshot of
    /// it.
    fn leader_completeness(&self, cluster: &Cluster<Raft>, node: NodeId, term: u64) {
        let disk = cluster.disk(node).written();
        let first = disk.base.as_ref().map_or(1, |base| base.index + 1);
        let log: BTreeMap<_, _> = entries(disk).map(|entry| (entry.index, entry.payload)).collect();
        for (index, payload) in cluster.judge().applied().range(first..) {
            if self.committed_in.get(index).is_some_and(|&committed| committed < term) {
                let held = log.get(index).and_then(Option::as_ref);
                assert_eq!(held, Some(payload), "the leader n{node} of term {term} at {index}");
            }
        }
    }
}

fn entries(disk: Disk<Record>) -> impl Iterator<Item = Entry> {
    disk.entries.into_iter().filter_map(|record| match record {
        Record::Entry(entry) => Some(entry),
        Record::Hard(_) => None,
    })
}

#[test]
fn safe_in_trouble_and_alive_after_it() {
    let counts = survive::<Figure3>(SEEDS);
    println!("{counts:?}");
    let least = [
        ("elected", 5 * SEEDS),
        ("committed", 20 * SEEDS),
        ("acknowledged", 20 * SEEDS),
        ("read", SEEDS),
        ("unknown", SEEDS),
        ("lost batches", SEEDS),
        ("truncated", SEEDS / 2),
        ("compacted", 5 * SEEDS),
        ("installed", SEEDS),
        ("changed", SEEDS),
        ("change unknown", SEEDS / 4),
        ("transferred", SEEDS / 2),
        ("disk lost", SEEDS / 2),
        ("lease read", 2 * SEEDS),
        ("follower read", 2 * SEEDS),
    ];
    assert_happened(&counts, &least);
}
