//! A crate's file becomes a module's, and nothing else of it changes.

#[path = "../build/relocate.rs"]
mod relocate;

use relocate::{relocate, without_documents, without_tests};

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
