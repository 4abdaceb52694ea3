//! The rules about a run's course: what stays committed, what comes together again, and whether there
//! was anything to judge.

mod common;

use std::time::Duration;

use checker::{Core, Evidence, Fault, Faults, Verdict, check};
use common::*;
use consensus_core::{
    Configuration, Epoch, Event, NodeId, Time,
    history::{Observed, Operation, Sample},
    protocol::Role,
};

fn summary(verdict: &Verdict) -> &str {
    &verdict.counterexample().unwrap_or_else(|| panic!("not violated: {verdict}")).summary
}

fn reason(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Undecided(reason) | Verdict::NotJudged(reason) => reason,
        other => panic!("decided: {other}"),
    }
}

const SECOND: u64 = 1_000_000_000;

/// What a node noted at some second of its first life.
fn noted(node: u64, at: u64, event: Event) -> Observed {
    Observed { at: Time(at * SECOND), event, ..elected(node, 1, Epoch::term(1)) }
}

fn committed(term: u64, from: u64, to: u64) -> Event {
    Event::Committed { epoch: Epoch::term(term), from, to, has_command: true }
}

fn leads(term: u64) -> Event {
    Event::Elected { epoch: Epoch::term(term) }
}

fn caught_up(term: u64) -> Event {
    Event::CaughtUp { epoch: Epoch::term(term) }
}

fn commit_monotonic(observed: &[Observed]) -> Verdict {
    check(&Evidence { observed, ..Evidence::default() }).commit_monotonic
}

#[test]
fn within_a_life_commits_go_forward() {
    let forward = [noted(1, 1, committed(1, 1, 3)), noted(1, 2, committed(1, 4, 4))];
    assert_eq!(commit_monotonic(&forward), Verdict::Ok);
    let behind_a_snapshot = [noted(1, 1, committed(1, 1, 3)), noted(1, 2, committed(1, 9, 9))];
    assert_eq!(commit_monotonic(&behind_a_snapshot), Verdict::Ok);
    let back = [noted(1, 1, committed(1, 1, 3)), noted(1, 2, committed(1, 3, 5))];
    let expected =
        "node 1 (incarnation 1) learns that 3 is committed after it knew that up to 3 is";
    assert_eq!(summary(&commit_monotonic(&back)), expected);
    let mut turned = back.clone();
    turned.reverse();
    assert!(!commit_monotonic(&turned).passes(), "time orders what was noted, and not the record");
    assert!(matches!(commit_monotonic(&[noted(1, 1, leads(1))]), Verdict::NotJudged(_)));
}

#[test]
fn a_restarted_replica_may_know_less_but_a_new_leader_may_not() {
    let next_life = |seen: Observed| Observed { incarnation: 2, ..seen };
    let mut observed = vec![
        noted(1, 1, leads(1)),
        noted(1, 2, committed(1, 1, 1)),
        noted(1, 2, caught_up(1)),
        noted(1, 3, committed(1, 2, 8)),
        noted(2, 4, committed(1, 1, 7)),
    ];
    // Everybody restarts. Whoever follows learns again what it had forgotten.
    observed.push(next_life(noted(1, 6, committed(2, 1, 4))));
    assert_eq!(commit_monotonic(&observed), Verdict::Ok);
    let leader = |to| {
        [noted(2, 5, leads(2)), noted(2, 7, committed(2, 1, to)), noted(2, 7, caught_up(2))]
            .map(next_life)
    };
    let knows = [&observed[..], &leader(9)].concat();
    assert_eq!(commit_monotonic(&knows), Verdict::Ok);
    let forgot = [&observed[..], &leader(7)].concat();
    let verdict = commit_monotonic(&forgot);
    let expected = "node 2 leads epoch 2 with no more than 7 committed, where node 1 led before and \
                    knew 8 committed";
    assert_eq!(summary(&verdict), expected);
    assert_eq!(verdict.counterexample().unwrap().observations.len(), 2);
}

#[test]
fn only_what_earlier_leaders_knew_is_asked_of_a_leader() {
    let first = [noted(1, 1, leads(5)), noted(1, 2, committed(5, 1, 8)), noted(1, 2, caught_up(5))];
    // A leader of an earlier epoch that hears late of its own commit.
    let earlier =
        [noted(2, 1, leads(4)), noted(2, 3, committed(4, 1, 2)), noted(2, 3, caught_up(4))];
    assert_eq!(commit_monotonic(&[first.clone(), earlier].concat()), Verdict::Ok);
    // A follower that learned of the commit from somebody, still in its old epoch.
    let follower = [noted(3, 2, committed(4, 1, 9))];
    let newer = [noted(2, 5, leads(6)), noted(2, 6, committed(6, 1, 8)), noted(2, 6, caught_up(6))];
    assert_eq!(commit_monotonic(&[&first[..], &follower, &newer].concat()), Verdict::Ok);
    // What it notes after it stepped down is no leader's knowledge any more.
    let deposed = [
        noted(1, 3, Event::SteppedDown { epoch: Epoch::term(5) }),
        noted(1, 4, committed(5, 9, 9)),
    ];
    assert_eq!(commit_monotonic(&[&first[..], &deposed, &newer].concat()), Verdict::Ok);
    let still = [noted(1, 4, committed(5, 9, 9))];
    assert!(!commit_monotonic(&[&first[..], &still, &newer].concat()).passes());
}

#[test]
fn whoever_installed_a_snapshot_knows_what_it_holds_committed() {
    let installs = |index| Event::Installed { index, from: NodeId(1) };
    let first = [noted(1, 1, leads(1)), noted(1, 2, committed(1, 1, 8))];
    let leader =
        |index| [noted(2, 5, leads(2)), noted(2, 6, installs(index)), noted(2, 6, caught_up(2))];
    assert_eq!(commit_monotonic(&[&first[..], &leader(8)].concat()), Verdict::Ok);
    assert!(!commit_monotonic(&[&first[..], &leader(7)].concat()).passes());
    let again = [noted(2, 6, installs(8)), noted(2, 7, committed(1, 8, 9))];
    assert!(!commit_monotonic(&again).passes(), "what the snapshot holds is learned again");
}

fn sample(node: u64, at: u64, leader: u64, commit: u64) -> Sample {
    Sample {
        at: Time(at * SECOND),
        node: NodeId(node),
        up: true,
        role: Role::Follower,
        epoch: Epoch::term(1),
        leader: (leader > 0).then_some(NodeId(leader)),
        commit,
        value: None,
        alive: Vec::new(),
    }
}

/// A fault that ended node 1's process.
fn crash(from: u64, until: u64) -> Fault {
    Fault {
        nodes: vec![NodeId(1)],
        from: Time(from * SECOND),
        until: (until > 0).then_some(Time(until * SECOND)),
        ends_processes: true,
    }
}

fn converged(samples: &[Sample], faults: &[Fault], observed: &[Observed]) -> Verdict {
    let faults = Some(Faults { planned: faults.len() as u64, struck: faults, core: None });
    check(&Evidence { samples, faults, observed, ..Evidence::default() }).converged
}

/// Three nodes at one time, each with its leader and its commit.
fn cluster(at: u64, states: [(u64, u64); 3]) -> Vec<Sample> {
    let nodes = states.into_iter().zip(1..);
    nodes.map(|((leader, commit), node)| sample(node, at, leader, commit)).collect()
}

#[test]
fn a_cluster_that_comes_together_after_its_faults_has_converged() {
    let before = cluster(4, [(1, 20), (2, 30), (2, 25)]);
    let judge = |after: &[Vec<Sample>], faults: &[Fault]| {
        converged(&[&before[..], &after.concat()].concat(), faults, &[])
    };
    let together = cluster(6, [(2, 30), (2, 31), (2, 30)]);
    assert_eq!(judge(std::slice::from_ref(&together), &[crash(1, 5)]), Verdict::Ok);
    // What comes afterwards, at the end of the run say, does not undo it.
    let end = cluster(20, [(0, 31), (0, 31), (0, 31)]);
    assert_eq!(judge(&[together.clone(), end], &[crash(1, 5)]), Verdict::Ok);

    let behind =
        [cluster(6, [(2, 29), (2, 31), (2, 30)]), cluster(12, [(2, 29), (2, 40), (2, 40)])];
    let expected = "7.0s after the last fault was healed, node 1 knows no more than 29 committed, of \
                    30 that were known before";
    assert_eq!(summary(&judge(&behind, &[crash(1, 5)])), expected);
    let apart = [cluster(12, [(1, 30), (2, 31), (2, 30)])];
    assert!(
        summary(&judge(&apart, &[crash(1, 5)]))
            .ends_with("node 1 follows node 1 and node 2 follows node 2")
    );
    let leaderless = [cluster(12, [(2, 30), (0, 31), (2, 30)])];
    assert!(summary(&judge(&leaderless, &[crash(1, 5)])).ends_with("node 2 follows nobody"));
    let mut down = cluster(12, [(2, 30), (2, 31), (2, 30)]);
    down[2].up = false;
    assert!(summary(&judge(&[down], &[crash(1, 5)])).ends_with("node 3 does not run"));
}

#[test]
fn nobody_is_blamed_who_had_no_time_or_was_never_healed_or_left() {
    let apart = [cluster(4, [(1, 20), (2, 30), (2, 25)]), cluster(7, [(1, 20), (2, 30), (2, 25)])];
    let apart = apart.concat();
    let early = converged(&apart, &[crash(1, 5)], &[]);
    assert_eq!(reason(&early), "the run ended 2.0s after its last fault was healed");
    let unhealed = converged(&apart, &[crash(1, 5), crash(2, 0)], &[]);
    assert!(reason(&unhealed).contains("not every fault was healed"));
    assert!(matches!(converged(&[], &[], &[]), Verdict::NotJudged(_)));
    let unknown = check(&Evidence { samples: &apart, ..Evidence::default() }).converged;
    assert!(matches!(unknown, Verdict::NotJudged(_)));

    // Node 1 is no member any more, so that nobody tells it anything.
    let later = [apart, cluster(20, [(1, 20), (2, 30), (2, 30)])].concat();
    let members = |from, nodes: &[u64]| {
        let configuration = Box::new(Configuration::of(nodes.iter().copied().map(NodeId)));
        noted(2, 3, Event::Reconfigured { from, configuration })
    };
    let changed = [members(9, &[2, 3]), members(1, &[1, 2, 3])];
    assert_eq!(converged(&later, &[crash(1, 5)], &changed), Verdict::Ok);
    let unchanged = [members(1, &[2, 3]), members(9, &[1, 2, 3])];
    assert!(!converged(&later, &[crash(1, 5)], &unchanged).passes());
}

fn not_vacuous(operations: &[Operation], faults: Faults<'_>, observed: &[Observed]) -> Verdict {
    let faults = Some(faults);
    check(&Evidence { operations, faults, observed, ..Evidence::default() }).not_vacuous
}

/// Operations that overlap, by the second.
fn busy(from: u64, until: u64) -> Vec<Operation> {
    let at = |time: u64| time * SECOND;
    (from..until)
        .flat_map(|n| [put(1, (at(n), at(n + 1)), "a"), put(2, (at(n), at(n + 1)), "b")])
        .collect()
}

#[test]
fn a_run_in_which_nothing_met_is_vacuous() {
    let none = Faults { planned: 0, struck: &[], core: None };
    assert_eq!(not_vacuous(&busy(0, 3), none, &[]), Verdict::Ok);
    assert!(reason(&not_vacuous(&[], none, &[])).contains("no operation was answered"));
    let one_by_one = [put(1, (0, 10), "a"), put(2, (20, 30), "b")];
    assert!(reason(&not_vacuous(&one_by_one, none, &[])).contains("overlapped"));
    assert!(not_vacuous(&one_by_one, none, &[]).passes(), "a light load is no flaw");
    let unasked = check(&Evidence { operations: &busy(0, 3), ..Evidence::default() }).not_vacuous;
    assert!(matches!(unasked, Verdict::NotJudged(_)), "who says what struck?");
}

#[test]
fn faults_must_strike_and_meet_operations() {
    let missed = Faults { planned: 3, struck: &[], core: None };
    assert!(reason(&not_vacuous(&busy(0, 3), missed, &[])).contains("none of the 3 planned"));
    let struck = [crash(4, 5)];
    let faults = Faults { planned: 1, struck: &struck, core: None };
    assert!(reason(&not_vacuous(&busy(0, 3), faults, &[])).contains("under way during a fault"));
    assert!(reason(&not_vacuous(&busy(6, 8), faults, &[])).contains("under way during a fault"));
    assert_eq!(not_vacuous(&busy(0, 6), faults, &[]), Verdict::Ok);
}

#[test]
fn whoever_led_and_died_for_long_has_a_successor() {
    let long = [crash(4, 9)];
    let faults = Faults { planned: 1, struck: &long, core: None };
    let judge = |observed: &[Observed]| not_vacuous(&busy(0, 6), faults, observed);
    assert!(reason(&judge(&[noted(1, 1, leads(1))])).contains("nobody ever led after it"));
    assert_eq!(judge(&[noted(1, 1, leads(1)), noted(2, 5, leads(2))]), Verdict::Ok);
    assert_eq!(
        judge(&[noted(1, 1, leads(1)), noted(2, 3, leads(2))]),
        Verdict::Ok,
        "1 led no more"
    );
    let short = [crash(4, 5)];
    let faults = Faults { planned: 1, struck: &short, core: None };
    assert_eq!(not_vacuous(&busy(0, 6), faults, &[noted(1, 1, leads(1))]), Verdict::Ok);
    let long = Duration::from_nanos(long[0].until.unwrap().0 - long[0].from.0);
    assert!(long > Duration::from_secs(3));
}

#[test]
fn of_a_cluster_whose_core_alone_was_healed_the_core_must_come_together() {
    let core = Core { nodes: vec![NodeId(2), NodeId(3)], healed: Time(5 * SECOND) };
    let faults = [crash(1, 0)];
    let judge = |after: [(u64, u64); 3], core| {
        let samples = [cluster(4, [(1, 20), (2, 30), (2, 25)]), cluster(12, after)].concat();
        let faults = Some(Faults { planned: 1, struck: &faults, core });
        check(&Evidence { samples: &samples, faults, ..Evidence::default() }).converged
    };
    assert_eq!(judge([(1, 20), (2, 30), (2, 30)], Some(&core)), Verdict::Ok);
    assert!(matches!(judge([(1, 20), (2, 30), (2, 30)], None), Verdict::NotJudged(_)));
    let apart = judge([(1, 20), (2, 30), (1, 30)], Some(&core));
    assert!(summary(&apart).ends_with("node 2 follows node 2 and node 3 follows node 1"));
}
