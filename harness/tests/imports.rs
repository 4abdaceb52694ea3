//! Which room may import which: the arrows of ARCHITECTURE.md, held by the manifests themselves.

use std::{collections::BTreeSet, fs, path::Path};

/// Each room, and the rooms that it may import.
const ARROWS: [(&str, &[&str]); 11] = [
    ("consensus-core", &[]),
    ("consensus-raft", &["consensus-core"]),
    ("consensus-multipaxos", &["consensus-core"]),
    ("gossip", &["consensus-core"]),
    ("faults", &["consensus-core"]),
    ("checker", &["consensus-core"]),
    ("replica", &["consensus-core", "gossip", "faults"]),
    ("simulator", &["consensus-core", "gossip", "faults"]),
    ("deploy", &["consensus-core", "faults"]),
    ("reports", &["consensus-core", "checker"]),
    (
        "harness",
        &[
            "consensus-core",
            "consensus-raft",
            "consensus-multipaxos",
            "gossip",
            "faults",
            "checker",
            "replica",
            "simulator",
            "deploy",
            "reports",
        ],
    ),
];

/// What may reach neither the vocabulary nor a protocol: runtimes, sockets, disks, chance.
const IMPURE: [&str; 8] = ["tokio", "tonic", "axum", "reqwest", "sled", "nix", "rand", "tracing"];

#[test]
fn arrows_point_down_only() {
    let rooms = ARROWS.map(|(name, _)| name);
    for (room, allowed) in ARROWS {
        let imported = dependencies(room).into_iter().filter(|name| rooms.contains(&name.as_str()));
        let forbidden: Vec<_> = imported.filter(|name| !allowed.contains(&name.as_str())).collect();
        assert!(forbidden.is_empty(), "{room} must not import {forbidden:?}");
    }
}

#[test]
fn pure_rooms_touch_neither_clock_nor_disk_nor_network() {
    for room in ["consensus-core", "consensus-raft", "consensus-multipaxos", "gossip", "faults"] {
        let found: Vec<_> =
            dependencies(room).into_iter().filter(|name| IMPURE.contains(&name.as_str())).collect();
        assert!(found.is_empty(), "{room} is pure and must not import {found:?}");
    }
}

#[test]
fn the_two_protocols_have_the_same_files() {
    let files = |room: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root().join(room).join("src")).expect("the room has sources");
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(files("consensus-raft"), files("consensus-multipaxos"));
}

fn dependencies(room: &str) -> BTreeSet<String> {
    let path = root().join(room).join("Cargo.toml");
    let manifest: toml::Table =
        fs::read_to_string(&path).expect("the room has a manifest").parse().expect("valid TOML");
    manifest["dependencies"].as_table().expect("a table").keys().cloned().collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the room stands in the house")
}
