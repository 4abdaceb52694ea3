//! The tables are complete, still fit the code, and stand in the documentation as they are. That each
//! test fails once its mistake is made takes longer: `cargo run -p pitfalls`.

use std::{fs, path::Path};

use pitfalls::{Change, Kind, check, document, tables};

#[test]
fn every_mistake_has_its_rule_and_its_test() {
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tables = tables(&house).unwrap_or_else(|error| panic!("{error}"));
    let protocols = tables.iter().filter(|table| table.kind == Kind::Pitfalls);
    assert_eq!(protocols.count(), 2, "both protocols have a table of the pitfalls");
    for table in tables {
        check(&house, &table).unwrap_or_else(|error| panic!("{error}"));
        let page = Path::new(&table.room).join(table.kind.page());
        let told = fs::read_to_string(house.join(&page)).unwrap_or_default();
        let room = &table.room;
        assert!(
            told == document(&table),
            "run `cargo run -p pitfalls -- {room}`: {} tells otherwise",
            page.display()
        );
    }
}

#[test]
fn a_change_that_finds_nothing_or_too_much_is_refused() {
    let change = |right: &str, wrong: &str| Change {
        file: "count.rs".into(),
        right: right.into(),
        wrong: wrong.into(),
    };
    assert_eq!(change("a >= b", "a > b").apply("if a >= b {}").unwrap(), "if a > b {}");
    for (right, wrong, text) in [
        ("a >= b", "a > b", "if a == b {}"),
        ("a >= b", "a > b", "a >= b, a >= b"),
        ("a >= b", "a >= b", "if a >= b {}"),
    ] {
        let why = change(right, wrong).apply(text).unwrap_err().to_string();
        assert!(why.contains("count.rs"), "{why}");
    }
}
