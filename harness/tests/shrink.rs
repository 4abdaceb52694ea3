//! What fails is cut down to a small schedule that fails in the same way, and told with the one command
//! that shows it.

mod common;

use std::{fs, path::Path, process::Output};

use common::{Place, harness, said};
use faults::Schedule;

fn schedule_in(file: &Path) -> (String, Schedule) {
    let text = fs::read_to_string(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    let schedule = Schedule::parse("shrunk.toml", &text).unwrap();
    (text, schedule)
}

/// Runs the command that was printed, and writes what it leaves into this folder.
fn replayed(printed: &str, out: &str) -> Output {
    let mut words: Vec<_> = printed.split_whitespace().skip(1).collect();
    if words[0] == "run" {
        words.extend(["--out", out]);
    }
    harness(&words)
}

/// The last line that is a command of the harness.
fn command_in(output: &Output) -> String {
    let text = said(output);
    let line = text.lines().rfind(|line| line.trim_start().starts_with("harness "));
    line.unwrap_or_else(|| panic!("no command: {text}")).trim().to_owned()
}

#[test]
fn a_schedule_that_breaks_leases_on_purpose_is_shrunk_to_a_fixed_point_that_still_breaks_them() {
    let place = Place::new();
    let whole = Schedule::bundled("clock-beyond-bound").unwrap();
    let out = place.out();
    let shrink = ["shrink", "--protocol", "raft", "--seed", "1"];
    let output = harness(&[&shrink[..], &["clock-beyond-bound", "--out", &out]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let file = Path::new(&out).join("seed-1.toml");
    let (text, schedule) = schedule_in(&file);
    assert!(text.contains("lease-reads: violated"), "{text}");
    assert!(text.contains("nothing of it can be left out or made smaller"), "{text}");
    // A cut and a wrong clock: neither will do alone.
    assert!(schedule.steps.len() == 2 && schedule.trial_count() <= 4, "{text}");
    assert!(schedule.nodes <= whole.nodes && schedule.load.rate < 100.0, "{text}");
    assert_eq!(schedule.settings.leases, Some(true), "{text}");

    let printed = command_in(&output);
    let again = replayed(&printed, &format!("{out}-again"));
    assert_eq!(again.status.code(), Some(1), "{printed}: {}", said(&again));
    assert!(said(&again).contains("lease-reads: violated"), "{}", said(&again));
    assert!(text.contains(&printed), "{text}");

    let file = file.to_str().unwrap();
    let fixed = format!("{out}-fixed");
    let output = harness(&[&shrink[..], &[file, "--out", &fixed]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(schedule_in(&Path::new(&fixed).join("seed-1.toml")).1, schedule);
}

#[test]
fn a_sweep_shrinks_what_fails_and_holds_what_is_expected_to_break() {
    let place = Place::new();
    let bundled = Schedule::names().iter().find(|named| named.name == "clock-beyond-bound");
    let text = bundled.unwrap().text.replace("rate = 1000", "rate = 300");
    let (expected, out) = (place.file("expected.toml", &text), place.out());
    let sweep = ["sweep", "--protocol", "raft", "--seeds", "1..2", "--once", "--out", &out];
    let output = harness(&[&sweep[..], &["--schedule", &expected]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!Path::new(&out).exists(), "nothing failed, so nothing is written");

    let unexpected = text.replace("\"lease-broken\", ", "");
    let unexpected = place.file("unexpected.toml", &unexpected);
    let more = ["--schedule", &unexpected, "--shrink", "25"];
    let output = harness(&[&sweep[..], &more].concat());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let (text, schedule) = schedule_in(&Path::new(&out).join("seed-1.toml"));
    assert!(schedule.load.rate < 100.0 && schedule.warmup.is_zero(), "{text}");
    assert!(text.contains("it may become smaller still, with more tries"), "{text}");
    let again = replayed(&command_in(&output), &format!("{out}-again"));
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    assert!(said(&again).contains("lease-reads: violated"), "{}", said(&again));

    let more = ["--schedule", &unexpected, "--shrink", "no", "--seeds", "1..2"];
    let output = harness(&[&sweep[..3], &["--once", "--out", "/proc/nowhere"], &more].concat());
    assert_eq!(output.status.code(), Some(1), "nothing is to be written: {}", said(&output));
}

#[test]
fn what_holds_is_not_shrunk() {
    let place = Place::new();
    let (calm, out) = (place.file("short.toml", common::SHORT), place.out());
    let output = harness(&["shrink", "--protocol", "raft", &calm, "--out", &out]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("everything holds under short"), "{}", said(&output));
    assert!(!Path::new(&out).exists());
}
