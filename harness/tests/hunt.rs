//! A hunt writes schedules that anybody can read and run, and the same seed finds the same.

mod common;

use std::{collections::BTreeMap, fs, path::Path};

use common::{Place, harness, said};
use faults::Schedule;

/// The files of a folder, by name.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    entries.map(|path| (named(&path), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn a_hunt_writes_what_it_found_and_the_same_seed_finds_the_same() {
    let place = Place::new();
    let hunt = |name: &str| {
        let out = place.path().join(name);
        let out = out.to_str().unwrap();
        let bounds = ["--budget", "60", "--best", "1", "--shrink", "no"];
        let output = harness(&[&["hunt", "--out", out], &bounds[..]].concat());
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", said(&output));
        let found = files(Path::new(out));
        assert!(said(&output).contains("60 simulations searched"), "{}", said(&output));
        // The folder's own name stands in the commands.
        found.into_iter().map(|(name, text)| (name, text.replace(out, "OUT"))).collect()
    };
    let (one, other): (BTreeMap<_, _>, BTreeMap<_, _>) = (hunt("one"), hunt("other"));
    let without_names = |found: &BTreeMap<String, String>| {
        let lines = |text: &String| {
            text.lines()
                .filter(|line| !line.contains("harness hunt"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        found.iter().map(|(name, text)| (name.clone(), lines(text))).collect::<Vec<_>>()
    };
    assert_eq!(without_names(&one), without_names(&other));
    let table = &one["hunt.md"];
    let schedules: Vec<_> = one.iter().filter(|(name, _)| name.ends_with(".toml")).collect();
    assert!(!schedules.is_empty(), "ten drawn schedules make some difference: {table}");
    for (name, text) in schedules {
        let schedule = Schedule::parse(name, text).unwrap();
        assert_eq!(format!("{}.toml", schedule.name), *name);
        assert!(table.contains(name.as_str()), "{table}");
        assert!(
            text.contains("harness compare --protocols raft,multipaxos --target sim"),
            "{text}"
        );
    }
}
