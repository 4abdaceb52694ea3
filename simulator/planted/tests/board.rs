//! The scoreboard that is in the repository has every rule, nothing on it got past both, and what it
//! says of the smallest schedules is still so.

use std::{fs, path::Path};

use faults::Schedule;
use pitfalls::PITFALLS;
use planted::{
    Conditions, Plant, Subject,
    caught::{Caught, Index},
    examine,
    finding::INVARIANT,
    plants,
};

fn room() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_rule_stands_on_the_board_for_each_protocol_and_none_got_past_it() {
    let board = fs::read_to_string(room().join("SCOREBOARD.md")).unwrap();
    assert!(board.contains("**0 survive both.**"), "{board}");
    let other = plants().into_iter().map(|plant| (plant.mistake, plant.subject));
    let rules = PITFALLS.iter().flat_map(|rule| Subject::ALL.map(|subject| (*rule, subject)));
    for (mistake, subject) in rules.chain(other) {
        let row = format!("\n| {mistake} | {} | ", subject.name());
        assert_eq!(board.matches(&row).count(), 1, "{row}");
    }
}

/// Of the mistakes that are compiled here; all with `PLANTED=all`.
#[test]
fn each_smallest_schedule_still_shows_its_mistake_and_nothing_without_it() {
    let folder = room().join("caught");
    let index = Index::read(&folder).unwrap();
    let mut tried = 0;
    for caught in &index.caught {
        let Caught { mistake, protocol, file, conditions, seed, breaks } = caught;
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let schedule = Schedule::parse(&file.display().to_string(), &text).unwrap();
        let is_it = |plant: &Plant| plant.mistake == mistake && plant.subject.name() == protocol;
        let Some(plant) = plants().into_iter().find(is_it) else { continue };
        let conditions = Conditions::named(conditions).unwrap();
        let found = |simulate| examine(simulate, conditions, schedule.clone(), *seed);
        let finding = found(plant.wrong).unwrap_or_else(|| panic!("{file:?} shows nothing"));
        // With debug assertions a replica may notice by itself before anything else is broken.
        let shows_it = finding.breaks(breaks) || finding.breaks(INVARIANT);
        assert!(shows_it, "{file:?} shows {finding} and not {breaks}");
        assert_eq!(found(plant.right), None, "{file:?} without the mistake");
        tried += 1;
    }
    assert!(tried > 0, "{} schedules are of mistakes that are not compiled", index.caught.len());
}
