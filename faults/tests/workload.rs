//! Both protocols meet the same load.

use std::{collections::BTreeSet, time::Duration};

use consensus_core::{Consistency, history::Call};
use faults::{
    Arrival, Load, Schedule, Workload,
    schedule::{Arrivals, Mix, ReadKinds},
};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn until(workload: &mut Workload, end: Duration) -> Vec<Arrival> {
    let mut taken = Vec::new();
    while workload.next_at().is_some_and(|at| at < end) {
        taken.extend(workload.take());
    }
    taken
}

#[test]
fn the_same_seed_sends_the_same() {
    let stream = |seed| until(&mut Workload::new(&Load::default(), seed), SECOND * 3);
    assert_eq!(stream(4), stream(4));
    assert_ne!(stream(4), stream(5));
}

#[test]
fn operations_come_as_often_and_as_mixed_as_asked() {
    let load = Load {
        mix: Mix { put: 0.4, cas: 0.3, tas: 0.2, delete: 0.1 },
        reads: 0.25,
        ..Load::default()
    };
    let sent = until(&mut Workload::new(&load, 1), SECOND * 40);
    assert!((sent.len() as f64 / 40_000.0 - 1.0).abs() < 0.02, "{}", sent.len());
    assert!(sent.windows(2).all(|pair| pair[0].at <= pair[1].at));
    let share = |is: fn(&Call) -> bool| {
        sent.iter().filter(|arrival| is(&arrival.call)).count() as f64 / sent.len() as f64
    };
    let close = |share: f64, expected: f64| assert!((share - expected).abs() < 0.02, "{share}");
    close(share(|call| matches!(call, Call::Get)), 0.25);
    close(share(|call| matches!(call, Call::Put(_))), 0.75 * 0.4);
    close(share(|call| matches!(call, Call::CompareAndSwap { .. })), 0.75 * 0.3);
    close(share(|call| matches!(call, Call::TestAndSet(_))), 0.75 * 0.2);
    close(share(|call| matches!(call, Call::Delete)), 0.75 * 0.1);
    let keys: BTreeSet<_> = sent.iter().map(|arrival| arrival.key.as_str()).collect();
    assert_eq!(keys.len(), 100);
}

#[test]
fn values_are_unique_and_as_long_as_asked() {
    let load = Load { value_bytes: 40, reads: 0.0, ..Load::default() };
    let mut values = BTreeSet::new();
    for arrival in until(&mut Workload::new(&load, 1), SECOND * 5) {
        let value = match arrival.call {
            Call::Put(value) | Call::TestAndSet(value) => value,
            Call::CompareAndSwap { value, expected } => {
                assert!(expected.is_none_or(|expected| values.contains(&expected)));
                value
            }
            Call::Delete | Call::Get => continue,
        };
        assert_eq!(value.len(), 40);
        assert!(values.insert(value));
    }
    let short = Load { value_bytes: 0, reads: 0.0, ..Load::default() };
    let mut stream = Workload::new(&short, 1);
    assert!((0..1_000).all(|_| stream.take().is_some_and(|arrival| {
        !matches!(arrival.call, Call::Put(value) if value != format!("v{}", arrival.number))
    })));
}

#[test]
fn even_arrivals_are_even() {
    let load = Load { arrival: Arrivals::Constant, rate: 100.0, ..Load::default() };
    let sent = until(&mut Workload::new(&load, 1), SECOND);
    assert_eq!(sent[9].at, Duration::from_millis(100));
    assert!(sent.len() >= 99);
}

#[test]
fn a_factor_changes_when_things_come_but_not_what() {
    let load = Load::default();
    let plain = until(&mut Workload::new(&load, 1), SECOND * 10);
    let mut surging = Workload::new(&load, 1);
    let mut sent = until(&mut surging, SECOND * 2);
    surging.set_factor(SECOND * 2, 5.0);
    let surge = until(&mut surging, SECOND * 3);
    assert!((surge.len() as f64 / 5_000.0 - 1.0).abs() < 0.1, "{}", surge.len());
    sent.extend(surge);
    surging.set_factor(SECOND * 3, 0.0);
    assert_eq!((surging.next_at(), surging.take()), (None, None));
    surging.set_factor(SECOND * 4, 1.0);
    let after = until(&mut surging, SECOND * 5);
    assert!(after.first().is_some_and(|arrival| arrival.at >= SECOND * 4));
    assert!((after.len() as f64 / 1_000.0 - 1.0).abs() < 0.15, "{}", after.len());
    sent.extend(after);
    let content =
        |list: &[Arrival]| list.iter().map(|a| (a.key.clone(), a.call.clone())).collect::<Vec<_>>();
    assert_eq!(content(&sent[..7_000]), content(&plain[..7_000]));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn time_never_runs_backwards(seed: u64, changes in proptest::collection::vec((0u64..2_000, 0u32..50), 0..10)) {
        let mut workload = Workload::new(&Load::default(), seed);
        let (mut now, mut last) = (Duration::ZERO, Duration::ZERO);
        for (wait, tenths) in changes {
            now += Duration::from_millis(wait);
            for arrival in until(&mut workload, now) {
                prop_assert!(arrival.at >= last && arrival.at < now);
                last = arrival.at;
            }
            workload.set_factor(now, f64::from(tenths) / 10.0);
            prop_assert!(workload.next_at().is_none_or(|at| at >= now));
        }
    }
}

#[test]
fn reads_are_of_the_kinds_that_the_schedule_names_and_nothing_else_changes() {
    let load = |kinds| Load { rate: 2_000.0, read_consistency: kinds, ..Load::default() };
    let plain = until(&mut Workload::new(&load(ReadKinds::default()), 5), Duration::from_secs(2));
    let kinds = ReadKinds::Several(Consistency::ALL.to_vec());
    let mixed = until(&mut Workload::new(&load(kinds), 5), Duration::from_secs(2));
    assert!(plain.iter().all(|arrival| arrival.consistency.is_none()));
    let told = |arrival: &Arrival| (arrival.at, arrival.key.clone(), arrival.call.clone());
    assert!(plain.iter().map(told).eq(mixed.iter().map(told)), "the operations are the same");
    let reads: Vec<_> = mixed.iter().filter(|arrival| arrival.call == Call::Get).collect();
    for kind in Consistency::ALL {
        let wanted = Some(kind).filter(|&kind| kind != Consistency::Linearizable);
        let count = reads.iter().filter(|read| read.consistency == wanted).count();
        let share = count as f64 / reads.len() as f64;
        assert!((0.2..0.3).contains(&share), "{kind}: {share}");
    }
    let writes = mixed.iter().filter(|arrival| arrival.call != Call::Get);
    assert!(writes.into_iter().all(|write| write.consistency.is_none()));
}

#[test]
fn a_schedule_names_one_kind_of_read_or_several() {
    let parsed =
        |load: &str| Schedule::parse("x.toml", &format!("name = \"x\"\nload = {{ {load} }}"));
    let kinds = |load: &str| parsed(load).unwrap().load.read_consistency;
    assert_eq!(kinds("rate = 1"), ReadKinds::One(Consistency::Linearizable));
    assert_eq!(kinds("read_consistency = \"lease\""), ReadKinds::One(Consistency::Lease));
    let several = ReadKinds::Several(vec![Consistency::Follower, Consistency::Stale]);
    assert_eq!(kinds("read_consistency = [\"follower\", \"stale\"]"), several);
    let error = parsed("read_consistency = []").unwrap_err().to_string();
    assert!(error.contains("no kind of read"), "{error}");
    assert!(parsed("read_consistency = \"eventual\"").is_err());
    let plain = parsed("rate = 1").unwrap().to_toml();
    assert!(!plain.contains("read_consistency"), "old digests stay as they are");
}
