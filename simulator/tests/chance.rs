//! What both protocols meet alike, and what clients may say of what they do not know.

mod common;

use std::time::Duration;

use common::{assert_good, config, tally};
use consensus_core::{Event, NodeId, Time};
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use simulator::{Recording, run};

/// When whose election timeout ran out first.
fn first_timeout(recording: &Recording) -> (Time, NodeId) {
    let timed_out =
        recording.observed.iter().find(|seen| matches!(seen.event, Event::TimedOut { .. }));
    timed_out.map(|seen| (seen.at, seen.node)).expect("somebody campaigns, or nobody leads")
}

#[test]
fn both_protocols_meet_the_same_first_election_timeouts() {
    for seed in 0..8 {
        let config = config("name = 'calm'\nnodes = 5\nwarmup = '1s'\nsettle = '1s'", seed);
        let both = [run::<Raft>(&config), run::<MultiPaxos>(&config)];
        assert_eq!(first_timeout(&both[0]), first_timeout(&both[1]), "seed {seed}");
    }
}

/// The leader's messages reach nobody, and its clients reach it: what they ask for stands in its log,
/// and may be done later, or never.
#[test]
fn what_was_sent_and_never_answered_is_of_unknown_outcome() {
    let schedule = "name = 'silence'\nnodes = 3\n
        load = { rate = 200, keys = 10, reads = 0.2, timeout = '200ms' }\n
        [[step]]\nat = { after = 'start', plus = '1s' }\nfor = '600ms'
        fault = { kind = 'partition', shape = 'isolate', target = 'leader' }";
    for (name, run) in [("raft", run::<Raft> as fn(&_) -> _), ("multipaxos", run::<MultiPaxos>)] {
        let recording: Recording = run(&config(schedule, 1));
        assert_good(&recording, name);
        let [done, _, unknown] = tally(&recording);
        assert!(done > 200 && unknown > 0, "{name}: {done} done, {unknown} unknown");
        let open = recording.operations.iter().filter(|operation| operation.completed.is_none());
        assert_eq!(open.count(), unknown, "{name}: nobody knows when they ended");
        assert!(recording.simulated > Duration::from_secs(5), "{name}");
    }
}
