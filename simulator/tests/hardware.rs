//! Disks and clocks that are at fault, under whole runs of both protocols.

mod common;

use std::time::Duration;

use common::{assert_good, config, judge, served};
use consensus_core::{Event, Protocol, Time, history::Call};
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use faults::{Answer, Schedule};
use simulator::{Recording, SimulationConfig, run};

const LOAD: &str = "load = { rate = 200, keys = 10, reads = 0.5, timeout = '1s' }";

fn with_both(test: impl Fn(&'static str, &dyn Fn(&SimulationConfig) -> Recording)) {
    test(Raft::NAME, &|config| run::<Raft>(config));
    test(MultiPaxos::NAME, &|config| run::<MultiPaxos>(config));
}

/// A cluster of five with one disk fault, a second after the start and for a second.
fn one_disk(fault: &str, seed: u64) -> SimulationConfig {
    let schedule = format!(
        "name = 'disk'\nnodes = 5\n{LOAD}\n
        [[step]]\nat = {{ after = 'start', plus = '1s' }}\nfor = '1s'
        fault = {{ kind = 'disk', {fault} }}"
    );
    config(&schedule, seed)
}

/// When the first trial of this step was in force.
fn trial(recording: &Recording, step: &str) -> (Time, Time) {
    let ready = recording.ready.unwrap();
    let trial = recording.resolved.trials.iter().find(|trial| trial.step == step).unwrap();
    (ready + trial.began.unwrap(), ready + trial.ended.unwrap())
}

fn sum(recording: &Recording, of: impl Fn(&simulator::Counters) -> u64) -> u64 {
    recording.counters.iter().map(of).sum()
}

/// The median latency of the writes that were meant for this step's first trial.
fn median_write(recording: &Recording, step: &str) -> Duration {
    let (from, to) = trial(recording, step);
    let writes = recording.operations.iter().filter(|op| op.call != Call::Get);
    let meant = writes.filter(|op| (from..to).contains(&op.intended));
    let mut took: Vec<_> = meant.filter_map(|op| Some(op.completed?.since(op.intended))).collect();
    took.sort();
    took[took.len() / 2]
}

#[test]
fn a_write_waits_for_the_fastest_quorum_of_the_disks() {
    with_both(|name, run| {
        let recording = run(&SimulationConfig::new(Schedule::bundled("slow-disk").unwrap(), 1));
        assert_good(&recording, name);
        let took = |step| median_write(&recording, step);
        let millis = Duration::from_millis;
        for step in ["a-follower-is-slow", "the-leader-is-slow", "the-leader-stalls"] {
            assert!(took(step) < millis(3), "{name}, {step}: {:?}", took(step));
        }
        let slow = took("a-majority-is-slow");
        assert!(slow > millis(20) && slow < millis(80), "{name}: {slow:?}");
        // What was under way when it began was answered; then nothing is, before it is over.
        let (from, to) = trial(&recording, "a-majority-stalls");
        let writes = recording.operations.iter().filter(|op| op.call != Call::Get);
        let early =
            writes.filter(|op| op.intended > from && op.completed.is_some_and(|at| at < to));
        assert_eq!(early.count(), 0, "{name}");
        assert_eq!(common::elections(&recording).len(), 1, "{name}: no disk deposes a leader");
    });
}

#[test]
fn whoever_its_disk_fails_ends_and_is_started_again() {
    with_both(|name, run| {
        for effect in ["error", "full"] {
            let fault = format!("target = 'leader', effect = '{effect}'");
            let recording = run(&one_disk(&fault, 2));
            assert_good(&recording, name);
            assert_eq!(sum(&recording, |node| node.failed_disks), 1, "{name}, {effect}");
            assert_eq!(sum(&recording, |node| node.starts), 6, "{name}, {effect}");
            assert!(common::elections(&recording).len() > 1, "{name}: it led");
            let (from, to) = trial(&recording, "step-1");
            let down = recording.samples.iter().filter(|s| (from..to).contains(&s.at) && !s.up);
            assert!(down.count() > 10, "{name}: it is down until its disk is well");
        }
    });
}

#[test]
fn a_torn_record_is_cut_and_nothing_that_was_promised_is_lost() {
    with_both(|name, run| {
        let mut torn = 0;
        for seed in 0..4 {
            let recording = run(&one_disk("target = 'all', effect = 'torn'", seed));
            assert_good(&recording, name);
            torn += sum(&recording, |node| node.torn_records);
            let (_, to) = trial(&recording, "step-1");
            assert!(served(&recording, to, to + Duration::from_secs(1)) > 50, "{name}");
        }
        assert!(torn >= 12, "{name}: {torn} of 20");
    });
}

#[test]
fn a_damaged_record_is_named_and_refused_and_a_newcomer_takes_the_place() {
    with_both(|name, run| {
        for target in ["leader", "one-follower"] {
            let fault = format!("target = '{target}', effect = 'rot'");
            let recording = run(&one_disk(&fault, 3));
            assert_good(&recording, name);
            let [refused] = &recording.refused[..] else { panic!("{:?}", recording.refused) };
            assert!(refused.why.contains(" is damaged: "), "{name}: {}", refused.why);
            let trial = &recording.resolved.trials[0];
            assert_eq!(
                (&trial.nodes[..], &trial.answer),
                (&[refused.node][..], &Some(Answer::Done))
            );
            let newcomer: Vec<_> = trial.nodes.iter().map(|node| node.reborn()).collect();
            assert_eq!(trial.added, newcomer, "{name}");
            // Its old self was not heard of again.
            let last = recording.observed.iter().rev().find(|seen| seen.node == refused.node);
            assert!(last.is_none_or(|seen| seen.at < refused.at), "{name}: {last:?}");
        }
    });
}

/// The lease reads of a cluster whose leader's clock is this wrong while it is cut off.
fn cut_off_with_clock(rate: i32, seed: u64) -> SimulationConfig {
    let mut schedule = Schedule::bundled("clock-beyond-bound").unwrap();
    for step in &mut schedule.steps {
        if let faults::Fault::Clock(clock) = &mut step.fault {
            clock.rate = Some(rate);
        }
    }
    SimulationConfig::new(schedule, seed)
}

#[test]
fn a_lease_breaks_beyond_the_bound_and_nothing_else_does() {
    with_both(|name, run| {
        let verdicts = judge(&run(&cut_off_with_clock(-900_000, 1)));
        let broken = verdicts.lease_reads.counterexample();
        assert!(broken.is_some(), "{name}: {verdicts}");
        for (rule, verdict) in verdicts.named() {
            assert!(rule == "lease-reads" || verdict.passes(), "{name}: {verdicts}");
        }
        // Within the bound, and with a clock that is too fast, it holds.
        for rate in [-500, 500, 900_000] {
            assert_good(&run(&cut_off_with_clock(rate, 1)), name);
        }
    });
}

#[test]
fn a_lease_breaks_when_its_clock_jumps_back_and_not_when_it_jumps_forward() {
    with_both(|name, run| {
        let schedule = |jump: &str| {
            format!(
                "name = 'jump'\nnodes = 5\nload = {{ rate = 1000, keys = 5, reads = 0.8, read_consistency = 'lease', timeout = '1s' }}
                [settings]\nleases = true\n
                [[step]]\nid = 'cut'\nat = {{ after = 'start', plus = '1s' }}\nfor = '2s'
                fault = {{ kind = 'partition', shape = 'minority', target = 'leader' }}\n
                [[step]]\nat = {{ after = 'cut.start', plus = '20ms' }}
                fault = {{ kind = 'clock', target = 'leader', jump = '{jump}' }}"
            )
        };
        // By the timers, which do not jump, it would step down in time.
        let config = |jump| {
            let mut config = config(&schedule(jump), 1);
            config.settings.check_quorum = false;
            config
        };
        let verdicts = judge(&run(&config("-10s")));
        assert!(verdicts.lease_reads.counterexample().is_some(), "{name}: {verdicts}");
        assert!(verdicts.linearizable.is_ok(), "{name}: {verdicts}");
        assert_good(&run(&config("10s")), name);
    });
}

#[test]
fn timers_run_by_the_clock_at_whatever_rate_it_runs() {
    with_both(|name, run| {
        let timed_out = |rate: i32| {
            let schedule = format!(
                "name = 'clock'\nnodes = 3\nload = {{ rate = 5 }}\n
                [[step]]\nat = {{ after = 'start', plus = '1s' }}\nfor = '2s'
                fault = {{ kind = 'clock', target = 'one-follower', rate = {rate} }}"
            );
            let recording = run(&config(&schedule, 4));
            assert_good(&recording, name);
            let (from, to) = trial(&recording, "step-1");
            let within = recording.observed.iter().filter(|seen| (from..to).contains(&seen.at));
            within.filter(|seen| matches!(seen.event, Event::TimedOut { .. })).count()
        };
        // Ten times as fast, its election timeouts are shorter than the time between heartbeats.
        assert!(timed_out(9_000_000) > 10, "{name}");
        assert_eq!((timed_out(-900_000), timed_out(1_000)), (0, 0), "{name}");
    });
}
