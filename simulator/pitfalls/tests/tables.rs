//! The tables of pitfalls are complete, still fit the code, and stand in the documentation as they
//! are. That each scenario fails without its rule takes longer: `cargo run -p pitfalls`.

use std::{fs, path::Path};

use pitfalls::{ROOMS, check, document, rules};

#[test]
fn every_pitfall_has_its_rule_and_its_scenario() {
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for room in ROOMS {
        let rules = rules(&house, room).unwrap_or_else(|error| panic!("{error}"));
        check(&house, room, &rules).unwrap_or_else(|error| panic!("{error}"));
        let told = fs::read_to_string(house.join(room).join("PITFALLS.md")).unwrap();
        assert!(
            told == document(room, &rules),
            "run `cargo run -p pitfalls`: {room} tells otherwise"
        );
    }
}
