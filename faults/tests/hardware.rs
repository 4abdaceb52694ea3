//! What the director makes of faults of disks and clocks.

mod toy;

use std::time::Duration;

use consensus_core::{Change, NodeId, Time};
use faults::{
    Action, Answer, Director, DiskFailure, DiskRules, Effect, Observation, Schedule,
    duration::{Delay, Jump},
};

fn director(steps: &str) -> Director {
    let text = format!("name = 'test'\nwarmup = '0s'\nsettle = '1s'\npatience = '10s'\n{steps}");
    let schedule = Schedule::parse("test.toml", &text).unwrap();
    let mut director = Director::new(&schedule, 1, &toy::members(5));
    director.observe(Time(0), Observation::Ready);
    director
}

/// Lets a director go on until something happens, and says when, in milliseconds, and what.
fn next(director: &mut Director) -> (u64, Vec<Effect>) {
    while let Some(at) = director.next_wakeup() {
        let actions: Vec<Action> = director.poll(at);
        if !actions.is_empty() {
            let effects = actions.into_iter().map(|action| action.effect).collect();
            return (at.0 / 1_000_000, effects);
        }
    }
    panic!("nothing happens any more: {:?}", director.trials());
}

fn ms(ms: u64) -> Time {
    Time(ms * 1_000_000)
}

const THREE: NodeId = NodeId(3);

fn disk(rules: DiskRules) -> Effect {
    Effect::Disk { node: THREE, rules }
}

#[test]
fn what_is_wrong_with_a_disk_adds_up() {
    let mut director = director(
        "[[step]]\nat = { after = 'start' }\nfor = '4s'
         fault = { kind = 'disk', target = 'node 3', effect = 'slow', sync = '20ms~5ms' }
         [[step]]\nat = { after = 'start', plus = '1s' }\nfor = '2s'
         fault = { kind = 'disk', target = 'node 3', effect = 'stall' }",
    );
    let sync = Delay { middle: Duration::from_millis(20), spread: Duration::from_millis(5) };
    let slow = DiskRules { slower: vec![sync], ..DiskRules::default() };
    assert_eq!(next(&mut director), (0, vec![disk(slow.clone())]));
    let both = DiskRules { stalled: true, ..slow.clone() };
    assert_eq!(next(&mut director), (1_000, vec![disk(both)]));
    assert_eq!(next(&mut director), (3_000, vec![disk(slow)]));
    assert_eq!(next(&mut director), (4_000, vec![disk(DiskRules::default())]));
}

const FAILS: &str = "[[step]]\nat = { after = 'start' }\nfor = '2s'
     fault = { kind = 'disk', target = 'node 3', effect = 'error' }";

fn failing() -> Effect {
    disk(DiskRules { fails: Some(DiskFailure::Error), ..DiskRules::default() })
}

#[test]
fn whoever_its_disk_ends_stays_down_until_the_step_is_over() {
    let mut director = director(FAILS);
    assert_eq!(next(&mut director), (0, vec![failing()]));
    director.observe(ms(7), Observation::Down { node: THREE });
    let start = Effect::Start(vec![THREE]);
    assert_eq!(next(&mut director), (2_000, vec![disk(DiskRules::default()), start]));
}

#[test]
fn whoever_wrote_nothing_meanwhile_is_not_started() {
    let mut director = director(FAILS);
    assert_eq!(next(&mut director), (0, vec![failing()]));
    assert_eq!(next(&mut director), (2_000, vec![disk(DiskRules::default())]));
}

#[test]
fn a_crash_that_ends_later_holds_down_whom_its_disk_ended() {
    let mut director = director(&format!(
        "{FAILS}\n[[step]]\nat = {{ after = 'start', plus = '1s' }}\nfor = '3s'
         fault = {{ kind = 'crash', target = 'node 3' }}"
    ));
    assert_eq!(next(&mut director), (0, vec![failing()]));
    director.observe(ms(7), Observation::Down { node: THREE });
    assert_eq!(next(&mut director), (2_000, vec![disk(DiskRules::default())]));
    assert_eq!(next(&mut director), (4_000, vec![Effect::Start(vec![THREE])]));
}

#[test]
fn a_damaged_record_is_refused_and_somebody_new_takes_the_place_before_the_next_is_damaged() {
    let mut director = director(
        "[[step]]\nat = { after = 'start' }\nfor = '1s'\nrepeat = { times = 2, every = '2s' }
         fault = { kind = 'disk', target = 'node 3', effect = 'rot' }",
    );
    let damage = |node: u64| {
        let node = NodeId(node);
        vec![Effect::Crash(vec![node]), Effect::Damage(vec![node])]
    };
    assert_eq!(next(&mut director), (0, damage(3)));
    let change = Change::replace(THREE, NodeId(103));
    let reborn = vec![
        Effect::StartDamaged(vec![THREE]),
        Effect::Deploy(vec![NodeId(103)]),
        Effect::Reconfigure { errand: 0, change, within: None },
    ];
    assert_eq!(next(&mut director), (1_000, reborn));
    assert!(director.poll(ms(3_000)).is_empty(), "the next one waits for the newcomer");
    director.observe(ms(3_500), Observation::Answered { errand: 0, answer: &Answer::Done });
    assert_eq!(next(&mut director), (3_500, damage(103)));
}

#[test]
fn a_clock_runs_as_the_latest_fault_says_and_a_jump_is_never_taken_back() {
    let mut director = director(
        "[[step]]\nat = { after = 'start' }\nfor = '4s'
         fault = { kind = 'clock', target = 'node 3', rate = 500 }
         [[step]]\nat = { after = 'start', plus = '1s' }\nfor = '1s'
         fault = { kind = 'clock', target = 'node 3', rate = -300 }
         [[step]]\nat = { after = 'start', plus = '3s' }
         fault = { kind = 'clock', target = 'node 3', jump = '-2s' }",
    );
    let rate = |ppm| vec![Effect::ClockRate { node: THREE, ppm }];
    assert_eq!(next(&mut director), (0, rate(Some(500))));
    assert_eq!(next(&mut director), (1_000, rate(Some(-300))));
    assert_eq!(next(&mut director), (2_000, rate(Some(500))));
    let by = Jump { by: Duration::from_secs(2), back: true };
    assert_eq!(next(&mut director), (3_000, vec![Effect::ClockJump { nodes: vec![THREE], by }]));
    assert_eq!(next(&mut director), (4_000, rate(None)));
}
