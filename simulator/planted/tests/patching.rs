//! A patch that no longer fits the crate that it is meant for stops the build.

#[path = "../build/patch.rs"]
mod patch;

use patch::{Patch, relocate, without_documents, without_tests};

const PATCH: Patch = Patch { file: "count.rs", right: "a >= b", wrong: "a > b" };

#[test]
fn a_patch_replaces_what_stands_there_once() {
    assert_eq!(PATCH.apply("if a >= b {}"), Ok("if a > b {}".to_owned()));
}

#[test]
fn a_patch_that_finds_nothing_or_too_much_is_refused() {
    assert!(PATCH.apply("if a == b {}").unwrap_err().contains("0 times"));
    assert!(PATCH.apply("a >= b, a >= b").unwrap_err().contains("count.rs"));
}

#[test]
fn paths_from_the_root_start_at_the_module() {
    let source = "use crate::log::Log; pub(crate) fn f() { my_crate::g(); $crate::h() }";
    let moved = "use crate::copy::log::Log; pub(crate) fn f() { my_crate::g(); $crate::h() }";
    assert_eq!(relocate(source, "copy"), moved);
}

#[test]
fn included_documents_are_left_behind() {
    let source = "//! A crate.\n#![doc = include_str!(\"../PITFALLS.md\")]\n\nmod log;\n";
    assert_eq!(without_documents(source), "//! A crate.\n\nmod log;\n");
}

#[test]
fn tests_are_left_behind() {
    assert_eq!(without_tests("fn f() {}\n#[cfg(test)]\nmod tests {\n}\n"), "fn f() {}\n");
    assert_eq!(without_tests("fn f() {}\n"), "fn f() {}\n");
}
