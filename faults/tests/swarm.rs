//! Random schedules hit everything, often, and leave nothing broken.

mod toy;

use std::collections::BTreeMap;

use faults::{Kind, Schedule, Trial};

#[test]
fn five_hundred_seeds_hit_every_kind_a_hundred_times_and_depose_leaders() {
    let mut kinds: BTreeMap<Kind, u32> = BTreeMap::new();
    let (mut leader_faults, mut changed, mut missed, mut trials) = (0, 0, 0, 0);
    let mut seconds = Vec::new();
    let mut cores = (0, 0);
    for seed in 0..500 {
        let schedule = Schedule::swarm(seed, 5.try_into().unwrap());
        let run = toy::run(&schedule, seed);
        assert!(run.is_healed(), "seed {seed}");
        for (kind, count) in toy::kinds(&run) {
            *kinds.entry(kind).or_default() += count;
        }
        trials += run.trials().len();
        cores.0 += usize::from(run.director.core().is_some());
        let stays = |trial: &&Trial| trial.began.is_some() && trial.ended.is_none();
        cores.1 += run.trials().iter().filter(stays).count();
        missed += run.trials().iter().filter(|trial| trial.missed.is_some()).count();
        seconds.push(run.ended.0 / 1_000_000_000);
        let at_leader = run.trials().iter().any(|trial| {
            trial.leader.is_some_and(|leader| trial.nodes.contains(&leader))
                && trial.began.is_some()
        });
        leader_faults += u32::from(at_leader);
        changed +=
            u32::from(at_leader && run.leaders.windows(2).any(|pair| pair[0].1 != pair[1].1));
    }
    let (mean, longest) = (seconds.iter().sum::<u64>() / 500, seconds.iter().max().unwrap());
    println!(
        "{kinds:?}, {changed} of {leader_faults}, {missed} of {trials} missed, {mean} to {longest} s"
    );
    assert!(Kind::ALL.iter().all(|kind| kinds[kind] >= 150), "{kinds:?}");
    assert!(cores.0 > 120 && cores.1 > 150, "{} cores, {} faults stay", cores.0, cores.1);
    assert!(
        leader_faults > 400 && changed * 100 >= leader_faults * 85,
        "{changed} of {leader_faults}"
    );
    assert!(missed * 5 < trials, "{missed} of {trials} missed");
    assert!((10..=20).contains(&mean) && *longest <= 30, "{mean} to {longest} s");
}

#[test]
fn a_seed_draws_one_schedule_and_another_seed_another() {
    let nodes = 5.try_into().unwrap();
    assert_eq!(Schedule::swarm(3, nodes), Schedule::swarm(3, nodes));
    assert_ne!(Schedule::swarm(3, nodes).steps, Schedule::swarm(4, nodes).steps);
}

#[test]
fn swarms_are_written_out_and_read_back_for_clusters_of_every_size() {
    for nodes in 1..=9 {
        for seed in 0..40 {
            let schedule = Schedule::swarm(seed, nodes.try_into().unwrap());
            let again = Schedule::parse("swarm.toml", &schedule.to_toml()).unwrap();
            assert_eq!(again, schedule);
            assert!(toy::run(&schedule, seed).is_healed(), "seed {seed}, {nodes} nodes");
        }
    }
}
