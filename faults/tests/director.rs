//! The director strikes when, and whom, the schedule says; overlapping faults compose.

mod toy;

use std::time::Duration;

use consensus_core::{Change, Epoch, Event, NodeId, Time};
use faults::{Action, Answer, Director, Effect, Observation, Phase, Schedule, director::Missed};

const fn ms(millis: u64) -> Time {
    Time(millis * 1_000_000)
}

/// A schedule of five replicas without warm-up.
fn schedule(steps: &str) -> Schedule {
    let text =
        format!("name = \"test\"\nwarmup = \"0s\"\nsettle = \"1s\"\npatience = \"10s\"\n{steps}");
    Schedule::parse("test.toml", &text).unwrap_or_else(|error| panic!("{error}"))
}

fn nodes(numbers: &[u64]) -> Vec<NodeId> {
    numbers.iter().copied().map(NodeId).collect()
}

fn effects(actions: Vec<Action>) -> Vec<Effect> {
    actions.into_iter().map(|action| action.effect).collect()
}

fn elected(director: &mut Director, at: Time, node: u64, round: u64) {
    let event = Event::Elected { epoch: Epoch::term(round) };
    director.observe(at, Observation::Event { node: NodeId(node), event: &event });
}

#[test]
fn nothing_happens_before_the_cluster_serves() {
    let schedule = schedule(
        "[[step]]\nat = { after = \"start\" }\nfor = \"1s\"\nfault = { kind = \"crash\", target = \"node 1\" }",
    );
    let mut director = Director::new(&schedule, 1, &toy::members(5));
    assert!(director.poll(ms(60_000)).is_empty());
    assert_eq!(director.next_wakeup(), None);
    director.observe(ms(60_000), Observation::Ready);
    assert_eq!(director.next_wakeup(), Some(ms(60_000)));
    assert_eq!(effects(director.poll(ms(60_000))), [Effect::Crash(nodes(&[1]))]);
}

#[test]
fn a_trial_strikes_when_whoever_hurt_somebody_says_that_it_did() {
    let schedule = schedule(
        "[[step]]\nid = \"kill\"\nat = { after = \"start\", plus = \"2s\" }\nfor = \"3s\"\nfault = { kind = \"crash\", target = \"node 4\" }",
    );
    let mut director = Director::new(&schedule, 1, &toy::members(5));
    director.observe(ms(100), Observation::Ready);
    assert!(!director.poll(ms(2_100)).is_empty());
    let began = |director: &Director| director.trials()[0].began.unwrap().as_millis();
    assert_eq!(began(&director), 2_000);
    director.struck_at("kill", 1, ms(2_340));
    assert_eq!(began(&director), 2_240);
    // Nothing strikes before it was told to, and nobody else's trial is meant.
    director.struck_at("kill", 1, ms(1_900));
    director.struck_at("kill", 2, ms(2_900));
    assert_eq!(began(&director), 2_240);
    assert_eq!(director.next_wakeup(), Some(ms(5_100)), "its end stays where it was");
}

#[test]
fn whoever_cannot_be_held_down_is_struck_again_and_the_record_tells_how_long_it_was_away() {
    let schedule = schedule(
        "[[step]]\nid = \"once\"\nat = { after = \"start\" }\nfault = { kind = \"crash\", target = \"node 2\" }
         [[step]]\nid = \"again\"\nat = { after = \"start\", plus = \"4s\" }\nfor = \"3s\"\nfault = { kind = \"crash\", target = \"node 2\" }
         [[step]]\nid = \"back\"\nat = { after = \"again.done\", plus = \"1s\" }\nfault = { kind = \"restart\", target = \"dead\" }",
    );
    let mut director = Director::new(&schedule, 1, &toy::members(3));
    director.observe(ms(0), Observation::Ready);
    assert_eq!(effects(director.poll(ms(0))), [Effect::Crash(nodes(&[2]))]);
    director.observe(ms(0), Observation::Down { node: NodeId(2) });
    director.observe(ms(1_500), Observation::Up { node: NodeId(2) });
    assert!(effects(director.poll(ms(1_500))).is_empty());
    assert_eq!(effects(director.poll(ms(4_000))), [Effect::Crash(nodes(&[2]))]);
    director.observe(ms(4_000), Observation::Down { node: NodeId(2) });
    director.observe(ms(4_900), Observation::Up { node: NodeId(2) });
    assert!(effects(director.poll(ms(7_000))).is_empty(), "the first crash has no end yet");
    // It runs: to bring it back takes no stop.
    assert_eq!(effects(director.poll(ms(8_000))), [Effect::Start(nodes(&[2]))]);
    let ended = director.trials().iter().map(|trial| trial.ended.unwrap().as_millis());
    assert_eq!(ended.collect::<Vec<_>>(), [4_900, 4_900, 8_000]);
}

#[test]
fn who_is_brought_down_as_soon_as_it_is_back_is_away_for_as_long_as_written() {
    let run = toy::run(
        &schedule(
            "[[step]]\nid = \"one\"\nat = { after = \"start\" }\nfor = \"1s\"\nfault = { kind = \"crash\", target = \"node 2\" }\n\
             [[step]]\nid = \"two\"\nat = { after = \"one.done\" }\nfor = \"1s\"\nfault = { kind = \"delete\", target = \"node 2\" }",
        ),
        1,
    );
    // That it came up is heard when it is down again.
    let ended: Vec<_> = run.trials().iter().map(|trial| trial.ended).collect();
    assert_eq!(ended, [Some(Duration::from_secs(1)), Some(Duration::from_secs(2))]);
    assert!(run.is_healed());
}

#[test]
fn a_crash_begins_and_ends_on_time_and_the_run_settles() {
    let schedule = schedule(
        "[[step]]\nat = { after = \"start\", plus = \"2s\" }\nfor = \"3s\"\nfault = { kind = \"crash\", target = \"node 4\" }",
    );
    let mut director = Director::new(&schedule, 1, &toy::members(5));
    director.observe(ms(100), Observation::Ready);
    assert!(director.poll(ms(100)).is_empty());
    assert_eq!(director.next_wakeup(), Some(ms(2_100)));
    let begin = director.poll(ms(2_100));
    assert_eq!((begin[0].phase, &begin[0].effect), (Phase::Begin, &Effect::Crash(nodes(&[4]))));
    assert_eq!(director.next_wakeup(), Some(ms(5_100)));
    // Polled late, it says so.
    let end = director.poll(ms(5_150));
    assert_eq!((end[0].phase, &end[0].effect), (Phase::End, &Effect::Start(nodes(&[4]))));
    assert!(!director.finished());
    assert_eq!((director.healed_at(), director.next_wakeup()), (Some(ms(5_150)), Some(ms(6_150))));
    director.poll(ms(6_150));
    assert!(director.finished());
    let trial = &director.trials()[0];
    assert_eq!(
        (trial.planned, trial.began),
        (Duration::from_secs(2), Some(Duration::from_secs(2)))
    );
    assert_eq!(trial.ended, Some(Duration::from_millis(5_050)));
}

#[test]
fn what_waited_begins_after_what_is_due_at_the_faults_in_force() {
    let schedule = schedule(
        "[[step]]\nat = { after = \"start\" }\nfor = \"1s\"\nfault = { kind = \"crash\", target = \"leader\" }\n\
         [[step]]\nat = { after = \"start\" }\nfor = \"2s\"\nfault = { kind = \"slow\", target = \"node 1\", share = 0.5, period = \"1s\" }",
    );
    let mut director = Director::new(&schedule, 1, &toy::members(5));
    director.observe(ms(0), Observation::Ready);
    assert_eq!(effects(director.poll(ms(0))), [Effect::Pause(nodes(&[1]))]);
    elected(&mut director, ms(500), 2, 1);
    // The crash was due first; but a replay knows only that it began now.
    let both = [Effect::Resume(nodes(&[1])), Effect::Crash(nodes(&[2]))];
    assert_eq!(effects(director.poll(ms(500))), both);
}

#[test]
fn a_leader_is_waited_for_and_the_newest_one_is_hit() {
    let schedule = schedule(
        "[[step]]\nat = { after = \"start\" }\nfor = \"1s\"\nfault = { kind = \"crash\", target = \"leader\" }",
    );
    let mut director = Director::new(&schedule, 1, &toy::members(5));
    director.observe(ms(0), Observation::Ready);
    assert!(director.poll(ms(0)).is_empty());
    elected(&mut director, ms(400), 2, 7);
    // Late news of an older reign are no news.
    elected(&mut director, ms(400), 3, 6);
    assert_eq!(director.next_wakeup(), Some(ms(400)));
    assert_eq!(effects(director.poll(ms(400))), [Effect::Crash(nodes(&[2]))]);
    assert_eq!(director.trials()[0].planned, Duration::ZERO);
    assert_eq!(director.trials()[0].began, Some(Duration::from_millis(400)));
    // The dead lead nobody, whatever late news say.
    director.observe(ms(500), Observation::Leader { node: NodeId(2), epoch: Epoch::term(7) });
    assert_eq!(director.leader(), None);
}

#[test]
fn a_leader_that_stepped_down_is_none() {
    let schedule = schedule("");
    let mut director = Director::new(&schedule, 1, &toy::members(3));
    elected(&mut director, ms(1), 1, 3);
    let down = Event::SteppedDown { epoch: Epoch::term(4) };
    director.observe(ms(2), Observation::Event { node: NodeId(2), event: &down });
    assert_eq!(director.leader(), Some((NodeId(1), Epoch::term(3))));
    director.observe(ms(2), Observation::Event { node: NodeId(1), event: &down });
    assert_eq!(director.leader(), None);
}

#[test]
fn patience_ends_and_what_was_missed_is_recorded() {
    let schedule = schedule(
        "[[step]]\nid = \"a\"\nat = { after = \"start\" }\nfor = \"1s\"\nfault = { kind = \"crash\", target = \"leader\" }\n\
         [[step]]\nid = \"b\"\nat = { after = \"campaigning\" }\nfor = \"1s\"\nfault = { kind = \"crash\", target = \"actor\" }\n\
         [[step]]\nid = \"c\"\nat = { after = \"a.done\" }\nfault = { kind = \"put\", key = \"k\", value = \"v\" }",
    );
    let mut director = Director::new(&schedule, 1, &toy::members(5));
    director.observe(ms(0), Observation::Ready);
    assert!(director.poll(ms(0)).is_empty());
    assert_eq!(director.next_wakeup(), Some(ms(10_000)));
    let actions = director.poll(ms(10_000));
    assert_eq!(actions.len(), 1, "{actions:?}");
    let missed: Vec<_> =
        director.trials().iter().map(|trial| (trial.step.as_str(), trial.missed)).collect();
    assert!(missed.contains(&("a", Some(Missed::NoTarget))), "{missed:?}");
    assert!(missed.contains(&("b", Some(Missed::NoEvent))), "{missed:?}");
    assert!(missed.contains(&("c", None)), "{missed:?}");
}

#[test]
fn an_event_is_counted_from_when_the_step_waits_and_its_replica_is_the_actor() {
    let schedule = schedule(
        "[[step]]\nat = { after = \"voted\", count = 2, plus = \"3ms\" }\nfor = \"10ms\"\nfault = { kind = \"crash\", target = \"actor\" }",
    );
    let mut director = Director::new(&schedule, 1, &toy::members(5));
    let vote = |director: &mut Director, at, node, candidate| {
        let event = Event::Voted { epoch: Epoch::term(1), candidate: NodeId(candidate) };
        director.observe(at, Observation::Event { node: NodeId(node), event: &event });
        director.poll(at)
    };
    vote(&mut director, ms(0), 2, 1);
    director.observe(ms(1), Observation::Ready);
    director.poll(ms(1));
    vote(&mut director, ms(2), 3, 1);
    // A vote for oneself is no favour.
    vote(&mut director, ms(3), 1, 1);
    assert_ne!(director.next_wakeup(), Some(ms(6)));
    vote(&mut director, ms(4), 4, 1);
    assert_eq!(director.next_wakeup(), Some(ms(7)));
    assert_eq!(effects(director.poll(ms(7))), [Effect::Crash(nodes(&[4]))]);
}

#[test]
fn a_step_may_wait_for_a_snapshot_a_change_or_a_hand_over() {
    let epoch = Epoch::term(1);
    let configuration = Box::default();
    for (anchor, event) in [
        ("compacted", Event::Compacted { index: 7 }),
        ("installed", Event::Installed { index: 7, from: NodeId(1) }),
        ("reconfigured", Event::Reconfigured { from: 8, configuration }),
        ("transferring", Event::Transferring { epoch, to: NodeId(3) }),
    ] {
        let schedule = schedule(&format!(
            "[[step]]\nat = {{ after = \"{anchor}\", count = 2 }}\nfor = \"10ms\"\nfault = {{ kind = \"crash\", target = \"actor\" }}",
        ));
        assert_eq!(schedule.steps[0].at.after.to_string(), anchor);
        let mut director = Director::new(&schedule, 1, &toy::members(5));
        director.observe(ms(0), Observation::Ready);
        director.poll(ms(0));
        let mut happens = |at, node| {
            director.observe(at, Observation::Event { node: NodeId(node), event: &event });
            effects(director.poll(at))
        };
        assert_eq!(happens(ms(1), 2), [], "{anchor}");
        assert_eq!(happens(ms(2), 4), [Effect::Crash(nodes(&[4]))], "{anchor}");
    }
}

#[test]
fn commits_count_positions_of_the_whole_cluster() {
    let schedule = schedule(
        "[[step]]\nat = { after = \"commit\", count = 10 }\nfor = \"1s\"\nfault = { kind = \"crash\", target = \"all\" }",
    );
    let mut director = Director::new(&schedule, 1, &toy::members(3));
    let commit = |director: &mut Director, at, node, to| {
        let event = Event::Committed { epoch: Epoch::term(1), from: 1, to, has_command: true };
        director.observe(at, Observation::Event { node: NodeId(node), event: &event });
        director.poll(at).len()
    };
    commit(&mut director, ms(0), 1, 5);
    director.observe(ms(1), Observation::Ready);
    director.poll(ms(1));
    assert_eq!(commit(&mut director, ms(2), 1, 14), 0);
    assert_eq!(
        commit(&mut director, ms(3), 2, 14),
        0,
        "a follower learns what is committed already"
    );
    assert_eq!(commit(&mut director, ms(4), 2, 15), 1);
}

#[test]
fn killed_twice_a_replica_starts_once_after_both() {
    let schedule = schedule(
        "[[step]]\nid = \"a\"\nat = { after = \"start\" }\nfor = \"4s\"\nfault = { kind = \"crash\", target = \"node 1\" }\n\
         [[step]]\nid = \"b\"\nat = { after = \"start\", plus = \"2s\" }\nfor = \"4s\"\nfault = { kind = \"crash\", target = [\"node 1\", \"node 2\"] }",
    );
    let run = toy::run(&schedule, 1);
    assert_eq!(run.effects("a"), [(0, Effect::Crash(nodes(&[1])))]);
    let expected = [(2_000, Effect::Crash(nodes(&[2]))), (6_000, Effect::Start(nodes(&[1, 2])))];
    assert_eq!(run.effects("b"), expected);
}

#[test]
fn two_partitions_at_once_are_the_union_of_their_cuts() {
    let schedule = schedule(
        "[[step]]\nid = \"a\"\nat = { after = \"start\" }\nfor = \"4s\"\nfault = { kind = \"partition\", shape = \"links\", links = [[1, 2]] }\n\
         [[step]]\nid = \"b\"\nat = { after = \"start\", plus = \"2s\" }\nfor = \"4s\"\nfault = { kind = \"partition\", shape = \"links\", links = [[1, 2], [3, 4]] }",
    );
    let run = toy::run(&schedule, 1);
    let cuts: Vec<_> = run
        .actions
        .iter()
        .filter_map(|(at, action)| match &action.effect {
            Effect::Links(rules) => {
                let last = schedule.steps.iter().filter_map(|step| step.lasts).max().unwrap();
                assert!(rules.expires_in > last, "rules must outlive their faults");
                let links = rules.rules.iter().map(|rule| (rule.from.0, rule.to.0));
                Some((at.0 / 1_000_000, links.collect::<Vec<_>>()))
            }
            _ => None,
        })
        .collect();
    let expected = [
        (0, vec![(1, 2)]),
        (2_000, vec![(1, 2), (1, 2), (3, 4)]),
        (4_000, vec![(1, 2), (3, 4)]),
        (6_000, vec![]),
    ];
    assert_eq!(cuts, expected);
}

#[test]
fn loads_multiply() {
    let schedule = schedule(
        "[[step]]\nid = \"a\"\nat = { after = \"start\" }\nfor = \"4s\"\nfault = { kind = \"load\", factor = 2 }\n\
         [[step]]\nid = \"b\"\nat = { after = \"start\", plus = \"2s\" }\nfor = \"1s\"\nfault = { kind = \"load\", factor = 3 }",
    );
    let run = toy::run(&schedule, 1);
    let factors: Vec<_> = run.actions.into_iter().map(|(_, action)| action.effect).collect();
    assert_eq!(factors, [2.0, 6.0, 2.0, 1.0].map(Effect::LoadFactor));
}

#[test]
fn a_frozen_replica_that_is_killed_comes_back_frozen() {
    let schedule = schedule(
        "[[step]]\nid = \"freeze\"\nat = { after = \"start\" }\nfor = \"6s\"\nfault = { kind = \"pause\", target = \"node 1\" }\n\
         [[step]]\nid = \"kill\"\nat = { after = \"start\", plus = \"1s\" }\nfor = \"1s\"\nfault = { kind = \"crash\", target = \"node 1\" }\n\
         [[step]]\nid = \"restart\"\nat = { after = \"start\", plus = \"3s\" }\nfor = \"1s\"\nfault = { kind = \"restart\", target = \"node 1\" }",
    );
    let run = toy::run(&schedule, 1);
    let one = || nodes(&[1]);
    assert_eq!(run.effects("freeze"), [(0, Effect::Pause(one())), (6_000, Effect::Resume(one()))]);
    let kill = [
        (1_000, Effect::Crash(one())),
        (2_000, Effect::Start(one())),
        (2_000, Effect::Pause(one())),
    ];
    assert_eq!(run.effects("kill"), kill);
    // What is frozen cannot stop in an orderly way.
    let restart = [
        (3_000, Effect::Resume(one())),
        (3_000, Effect::Stop(one())),
        (4_000, Effect::Start(one())),
        (4_000, Effect::Pause(one())),
    ];
    assert_eq!(run.effects("restart"), restart);
}

#[test]
fn a_slowed_replica_runs_for_its_share() {
    let schedule = schedule(
        "[[step]]\nid = \"slow\"\nat = { after = \"start\" }\nfor = \"10s\"\nfault = { kind = \"slow\", target = \"node 1\", share = 0.25, period = \"200ms\" }",
    );
    let run = toy::run(&schedule, 1);
    let (mut frozen, mut since) = (0, None);
    for (at, effect) in run.effects("slow") {
        match effect {
            Effect::Pause(_) => since = Some(at),
            Effect::Resume(_) => frozen += at - since.take().expect("it was frozen"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((frozen, since), (7_500, None));
}

#[test]
fn who_stays_down_is_brought_up_by_a_restart_or_at_the_end() {
    let schedule = schedule(
        "[[step]]\nid = \"delete\"\nat = { after = \"start\" }\nfault = { kind = \"crash\", target = [\"node 1\", \"node 2\"] }\n\
         [[step]]\nid = \"back\"\nat = { after = \"delete.start\", plus = \"2s\" }\nfor = \"1s\"\nfault = { kind = \"restart\", target = \"node 2\" }\n\
         [[step]]\nid = \"last\"\nat = { after = \"back.done\", plus = \"2s\" }\nfault = { kind = \"put\", key = \"k\", value = \"v\" }",
    );
    let run = toy::run(&schedule, 1);
    let delete = [(0, Effect::Crash(nodes(&[1, 2]))), (5_000, Effect::Start(nodes(&[1])))];
    assert_eq!(run.effects("delete"), delete);
    assert_eq!(run.effects("back"), [(3_000, Effect::Start(nodes(&[2])))]);
    assert_eq!(run.trials()[0].ended, Some(Duration::from_secs(5)));
}

#[test]
fn repetitions_hit_a_new_leader_each_or_the_same_one_again() {
    let kill = |resolve: &str| {
        let schedule = schedule(&format!(
            "[[step]]\nid = \"kill\"\nat = {{ after = \"leader-elected\", plus = \"1s\" }}\nfor = \"500ms\"\n\
             fault = {{ kind = \"crash\", target = \"leader\" }}\nrepeat = {{ times = 3, every = \"4s\", resolve = \"{resolve}\" }}"
        ));
        let run = toy::run(&schedule, 1);
        let hits =
            run.trials().iter().map(|trial| (trial.began.unwrap().as_millis(), trial.nodes[0].0));
        hits.collect::<Vec<_>>()
    };
    assert_eq!(kill("each"), [(1_000, 1), (5_000, 2), (9_000, 1)]);
    assert_eq!(kill("once"), [(1_000, 1), (5_000, 1), (9_000, 1)]);
}

#[test]
fn in_turn_goes_around_the_cluster() {
    let schedule = Schedule::bundled("rolling-restart").unwrap();
    let run = toy::run(&schedule, 3);
    let turns: Vec<_> = run.trials().iter().map(|trial| trial.nodes[0].0).collect();
    assert_eq!(turns, [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
}

#[test]
fn an_interrupted_run_is_healed_at_once() {
    let schedule = schedule(
        "[[step]]\nat = { after = \"start\" }\nfor = \"1m\"\nfault = { kind = \"pause\", target = \"node 1\" }\n\
         [[step]]\nat = { after = \"start\", plus = \"1m\" }\nfor = \"1m\"\nfault = { kind = \"pause\", target = \"node 2\" }",
    );
    let mut director = Director::new(&schedule, 1, &toy::members(3));
    director.observe(ms(0), Observation::Ready);
    director.poll(ms(0));
    assert_eq!(effects(director.abort(ms(500))), [Effect::Resume(nodes(&[1]))]);
    assert!(director.poll(ms(1_400)).is_empty() && !director.finished());
    assert!(director.poll(ms(1_500)).is_empty() && director.finished());
    assert_eq!(director.trials()[1].missed, Some(Missed::Ended));
    assert_eq!(director.trials()[0].ended, Some(Duration::from_millis(500)));
}

/// Lets a director go on until something happens, and says what.
fn next(director: &mut Director) -> (u64, Vec<Effect>) {
    while let Some(at) = director.next_wakeup() {
        let actions = director.poll(at);
        if !actions.is_empty() {
            return (at.0 / 1_000_000, effects(actions));
        }
    }
    panic!("nothing happens any more: {:?}", director.trials());
}

#[test]
fn a_lost_disk_comes_back_as_somebody_new_who_takes_the_place_and_only_then_the_next_is_lost() {
    let schedule = schedule(
        "[[step]]\nat = { after = \"start\" }\nfor = \"1s\"\nrepeat = { times = 2, every = \"2s\" }
         fault = { kind = \"restart\", target = \"node 3\", disk = \"lost\" }
         [[step]]\nid = \"grow\"\nat = { after = \"start\", plus = \"1ms\" }
         fault = { kind = \"reconfigure\", add = 2, remove = \"node 1\" }",
    );
    let mut director = Director::new(&schedule, 1, &toy::members(5));
    director.observe(ms(0), Observation::Ready);
    assert_eq!(next(&mut director), (0, vec![Effect::Crash(nodes(&[3]))]));
    let replaced = |errand, old, new| {
        let change = Change::replace(NodeId(old), NodeId(new));
        vec![Effect::Deploy(nodes(&[new])), Effect::Reconfigure { errand, change, within: None }]
    };
    assert_eq!(next(&mut director), (1_000, replaced(0, 3, 103)));
    assert!(director.poll(ms(3_000)).is_empty(), "the members are not yet changed");
    director.observe(ms(3_500), Observation::Answered { errand: 0, answer: &Answer::Done });
    // What waited longest is next.
    let change = Change { add: nodes(&[6, 7]), learn: Vec::new(), remove: nodes(&[1]) };
    let within = Some(Duration::from_secs(10));
    let grow =
        vec![Effect::Deploy(nodes(&[6, 7])), Effect::Reconfigure { errand: 1, change, within }];
    assert_eq!(next(&mut director), (3_500, grow));
    director.observe(ms(4_000), Observation::Answered { errand: 1, answer: &Answer::Done });
    assert_eq!(next(&mut director).1, [Effect::Crash(nodes(&[103]))]);
    assert_eq!(next(&mut director).1, replaced(2, 103, 203));
    let answers: Vec<_> = director.trials().iter().map(|trial| trial.answer.clone()).collect();
    assert_eq!(answers, [Some(Answer::Done), Some(Answer::Done), None]);
}

#[test]
fn what_is_deleted_comes_back_in_its_place_with_its_volume_or_as_somebody_new() {
    let schedule = schedule(
        "[[step]]\nid = \"crash\"\nat = { after = \"start\" }\nfor = \"3s\"
         fault = { kind = \"crash\", target = \"node 2\" }
         [[step]]\nid = \"pods\"\nat = { after = \"start\", plus = \"1s\" }\nfor = \"1s\"
         fault = { kind = \"delete\", target = [\"node 2\", \"node 3\"] }
         [[step]]\nat = { after = \"pods.done\", plus = \"2s\" }
         fault = { kind = \"delete\", target = \"node 3\", volume = \"lost\" }",
    );
    let mut director = Director::new(&schedule, 1, &toy::members(5));
    director.observe(ms(0), Observation::Ready);
    assert_eq!(next(&mut director), (0, vec![Effect::Crash(nodes(&[2]))]));
    assert_eq!(next(&mut director), (1_000, vec![Effect::Delete(nodes(&[2, 3]))]));
    assert_eq!(next(&mut director), (2_000, vec![Effect::Start(nodes(&[3]))]));
    assert_eq!(next(&mut director), (3_000, vec![Effect::Start(nodes(&[2]))]));
    let change = Change::replace(NodeId(3), NodeId(103));
    let reborn = [
        Effect::Delete(nodes(&[3])),
        Effect::Deploy(nodes(&[103])),
        Effect::Reconfigure { errand: 2, change, within: None },
    ];
    assert_eq!(next(&mut director), (4_000, reborn.to_vec()));
    director.observe(ms(5_000), Observation::Answered { errand: 2, answer: &Answer::Done });
    while let Some(at) = director.next_wakeup().filter(|_| !director.finished()) {
        director.poll(at);
    }
    assert_eq!(director.trials()[2].ended, Some(Duration::from_secs(5)));
}

#[test]
fn who_comes_in_the_place_of_another_is_cut_off_as_that_one_was() {
    let schedule = schedule(
        "[[step]]\nid = \"cut\"\nat = { after = \"start\" }\nfor = \"9s\"
         fault = { kind = \"partition\", shape = \"links\", links = [[3, 4], [1, 2]] }
         [[step]]\nat = { after = \"start\" }\nfor = \"1s\"
         fault = { kind = \"restart\", target = \"node 3\", disk = \"lost\" }",
    );
    let mut director = Director::new(&schedule, 1, &toy::members(5));
    director.observe(ms(0), Observation::Ready);
    next(&mut director);
    let (at, effects) = next(&mut director);
    let rules = effects.iter().find_map(|effect| match effect {
        Effect::Links(rules) => Some(rules.rules.clone()),
        _ => None,
    });
    let cut: Vec<_> = rules.unwrap().iter().map(|rule| (rule.from.0, rule.to.0)).collect();
    assert_eq!((at, cut), (1_000, vec![(1, 2), (103, 4)]));
}

#[test]
fn a_change_that_nobody_answered_lets_no_disk_be_lost() {
    let schedule = schedule(
        "[[step]]\nid = \"shrink\"\nat = { after = \"start\" }
         fault = { kind = \"reconfigure\", remove = \"node 1\" }
         [[step]]\nat = { after = \"shrink.done\" }
         fault = { kind = \"restart\", target = \"node 3\", disk = \"lost\" }",
    );
    let run = |answer: &Answer| {
        let mut director = Director::new(&schedule, 1, &toy::members(5));
        director.observe(ms(0), Observation::Ready);
        next(&mut director);
        director.observe(ms(500), Observation::Answered { errand: 0, answer });
        while let Some(at) = director.next_wakeup().filter(|_| director.trials().len() < 2) {
            director.poll(at);
        }
        director.trials()[1].missed
    };
    assert_eq!(run(&Answer::Refused("no".into())), None);
    assert_eq!(run(&Answer::Unknown("no time".into())), Some(Missed::NoTarget));
}

#[test]
fn partial_connectivity_is_drawn_around_whoever_leads() {
    let schedule = schedule(
        "[[step]]\nat = { after = \"start\" }\nfor = \"1s\"\nfault = { kind = \"partition\", shape = \"quorum-loss\", target = \"node 2\" }",
    );
    let mut director = Director::new(&schedule, 1, &toy::members(5));
    director.observe(ms(0), Observation::Ready);
    assert!(director.poll(ms(0)).is_empty(), "nobody leads");
    elected(&mut director, ms(100), 2, 1);
    assert!(director.poll(ms(100)).is_empty(), "the hub itself leads");
    elected(&mut director, ms(200), 4, 2);
    let [Effect::Links(rules)] = &effects(director.poll(ms(200)))[..] else { panic!("no links") };
    let is_cut = |from, to| {
        rules.rules.iter().any(|rule| (rule.from, rule.to) == (NodeId(from), NodeId(to)))
    };
    assert!(is_cut(4, 1) && is_cut(1, 4) && is_cut(1, 3) && !is_cut(4, 2) && !is_cut(2, 4));
    assert_eq!(director.trials()[0].nodes, nodes(&[4, 2]), "the leader, then the hub");
}
