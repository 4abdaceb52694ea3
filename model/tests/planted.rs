//! The properties can fail: with a rule broken on purpose, the search finds a way to a state in which one
//! does, and tells it. (`cargo test -p model --test planted -- --nocapture` shows the ways.)

use std::{panic, thread};

use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use model::{
    Bounds, Exploration, Explored, Plant, Search,
    plant::{forgets_entries, forgets_hard_state, never_waits},
};

/// Which property fails first.
fn first_failure<P: Explored>(bounds: Bounds, plant: Plant<P>, search: Search) -> &'static str {
    say_nothing_of_broken_replicas();
    let findings = Exploration::planted(bounds, plant).search(search);
    let failure = findings.failures.first().expect("a broken rule is noticed");
    println!("{}, {bounds}: {} fails\n{}", P::NAME, failure.property, failure.story);
    failure.property
}

/// Broken replicas panic, the checker notes it, and the test's output needs no backtrace of each.
fn say_nothing_of_broken_replicas() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !thread::current().name().is_some_and(|name| name.starts_with("checker-")) {
            report(info);
        }
    }));
}

#[test]
fn a_raft_vote_that_does_not_wait_for_the_disk_is_given_twice() {
    let bounds = Bounds::three().timeouts(2).crashes(1);
    assert_eq!(first_failure::<Raft>(bounds, never_waits, Search::Shortest), "election safety");
}

#[test]
fn a_raft_replica_does_not_start_without_the_term_of_its_log() {
    let bounds = Bounds::three().timeouts(1).crashes(1);
    let failure = first_failure::<Raft>(bounds, forgets_hard_state, Search::Shortest);
    assert_eq!(failure, "sound replicas");
}

#[test]
fn raft_entries_that_are_not_written_are_missed_by_a_later_leader() {
    let bounds = Bounds::three().timeouts(2).commands(1).crashes(1);
    let failure = first_failure::<Raft>(bounds, forgets_entries, Search::Quickest);
    assert_eq!(failure, "leader completeness");
}

#[test]
fn a_multipaxos_acceptance_that_does_not_wait_for_the_disk_is_missed_by_a_later_leader() {
    let bounds = Bounds::three().timeouts(2).commands(1).crashes(1);
    let failure = first_failure::<MultiPaxos>(bounds, never_waits, Search::Quickest);
    assert_eq!(failure, "leader completeness");
}

#[test]
fn a_multipaxos_promise_that_is_not_written_is_broken() {
    let bounds = Bounds::three().timeouts(2).commands(1).crashes(1);
    let failure = first_failure::<MultiPaxos>(bounds, forgets_hard_state, Search::Quickest);
    assert_eq!(failure, "leader completeness");
}
