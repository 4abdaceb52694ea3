//! Everything that can happen within small bounds keeps the properties; and what the reductions leave
//! out loses nothing.

use std::collections::{BTreeMap, BTreeSet};

use consensus_core::{Epoch, NodeId};
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use model::{
    Bounds, Exploration, Explored, Reduction, Search, Shared,
    cluster::{Cluster, History},
};
use stateright::Model;

fn explore<P: Explored>(bounds: Bounds) {
    let findings = Exploration::<P>::new(bounds).search(Search::Exhaustive);
    println!(
        "{}, {bounds}: {} states, {} steps, depth {}",
        P::NAME,
        findings.states,
        findings.steps,
        findings.depth
    );
    if let Some(failure) = findings.failures.first() {
        panic!("{}, {bounds}: {} fails\n{}", P::NAME, failure.property, failure.story);
    }
    assert_eq!(findings.unseen, [""; 0], "{bounds}: what was explored holds too little");
}

fn explore_all<P: Explored>() {
    let (one, two) = (Bounds::three().timeouts(1), Bounds::three().timeouts(2));
    explore::<P>(one.commands(1).crashes(1));
    explore::<P>(one.heartbeats(1));
    explore::<P>(one.commands(1).repeats(1));
    explore::<P>(one.commands(2));
    explore::<P>(two.crashes(1));
}

#[test]
fn raft_keeps_its_promises() {
    explore_all::<Raft>();
}

#[test]
fn multipaxos_keeps_its_promises() {
    explore_all::<MultiPaxos>();
}

/// Goes through every state, and gathers what is seen of each.
fn gather<P: Explored, V: Ord>(
    bounds: Bounds,
    reduction: Reduction,
    view: impl Fn(&Cluster<P>) -> V,
) -> BTreeSet<V> {
    let model = Exploration::<P>::new(bounds).with_reduction(reduction);
    let mut to_do = model.init_states();
    let mut known = BTreeSet::new();
    let mut views = BTreeSet::new();
    while let Some(state) = to_do.pop() {
        views.insert(view(&state));
        let news = model.next_states(&state).into_iter();
        to_do.extend(news.filter(|next| known.insert(fingerprint(next))));
    }
    println!("{}, {bounds}, {reduction:?}: {} states, {} views", P::NAME, known.len(), views.len());
    views
}

fn fingerprint<P: Explored>(state: &Cluster<P>) -> u64 {
    Shared::new(state.clone()).fingerprint()
}

/// A digest of what every replica holds in memory and in its log, and of what was seen so far: all that a
/// property may ask.
fn memories<P: Explored>(state: &Cluster<P>) -> u64 {
    let nodes = state.nodes.iter().map(|node| (&node.replica, &node.latest));
    Shared::new((nodes.collect::<Vec<_>>(), &state.history)).fingerprint()
}

/// Whatever is reached without any reduction is reached with them, and the other way round.
fn reductions_lose_nothing<P: Explored>(bounds: Bounds) {
    let plain = gather::<P, _>(bounds, Reduction::Nothing, memories);
    let reduced = gather::<P, _>(bounds, Reduction::AllButNames, memories);
    assert!(plain == reduced, "{bounds}: {} views became {}", plain.len(), reduced.len());
}

#[test]
fn reductions_lose_nothing_of_raft() {
    reductions_lose_nothing::<Raft>(Bounds::three().timeouts(1).crashes(1));
    reductions_lose_nothing::<Raft>(Bounds::three().timeouts(1).commands(1));
}

#[test]
fn reductions_lose_nothing_of_multipaxos() {
    reductions_lose_nothing::<MultiPaxos>(Bounds::three().timeouts(1).crashes(1));
    reductions_lose_nothing::<MultiPaxos>(Bounds::three().timeouts(1).commands(1));
}

#[test]
#[ignore = "two times 1.4 million states: cargo test --release -p model -- --ignored"]
fn reductions_lose_nothing_of_two_elections() {
    reductions_lose_nothing::<Raft>(Bounds::three().timeouts(2));
    reductions_lose_nothing::<MultiPaxos>(Bounds::three().timeouts(2));
}

/// A history, with its replicas named otherwise.
fn renamed(history: &History, names: &[u64; 4]) -> History {
    let rename = |id: NodeId| NodeId(names[id.0 as usize]);
    let rename_epoch = |epoch: Epoch| Epoch { node: rename(epoch.node), ..epoch };
    let leaders = history.leaders.iter().map(|(&epoch, leaders)| {
        (rename_epoch(epoch), leaders.iter().map(|&leader| rename(leader)).collect())
    });
    let applied = history.applied.iter().map(|(&index, payloads)| {
        let payloads = payloads.iter();
        let payloads: BTreeMap<_, _> =
            payloads.map(|(what, &epoch)| (what.clone(), rename_epoch(epoch))).collect();
        (index, payloads)
    });
    History {
        leaders: leaders.collect(),
        applied: applied.collect(),
        restarted_applied: history.restarted_applied,
        broken: history.broken.clone(),
    }
}

/// Whatever happens under all names happens, otherwise named, under those that are explored.
fn names_do_not_matter<P: Explored>(bounds: Bounds) {
    const NAMES: [[u64; 4]; 6] =
        [[0, 1, 2, 3], [0, 1, 3, 2], [0, 2, 1, 3], [0, 2, 3, 1], [0, 3, 1, 2], [0, 3, 2, 1]];
    let history = |state: &Cluster<P>| (*state.history).clone();
    let all = gather::<P, _>(bounds, Reduction::AllButNames, history);
    let some = gather::<P, _>(bounds, Reduction::All, history);
    assert!(some.is_subset(&all), "nothing is made up");
    for history in &all {
        let is_explored = |names| some.contains(&renamed(history, names));
        assert!(NAMES.iter().any(is_explored), "{bounds}: left out under any name: {history:?}");
    }
}

#[test]
fn the_names_of_raft_do_not_matter() {
    names_do_not_matter::<Raft>(Bounds::three().timeouts(2));
}

#[test]
fn the_names_of_multipaxos_do_not_matter() {
    names_do_not_matter::<MultiPaxos>(Bounds::three().timeouts(2));
}
