//! Plays the transcripts of tests/scenarios: the papers' figures and the known pitfalls.

mod support;

use consensus_core::transcript::Runner;

#[test]
fn scenarios() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    Runner::<support::Words>::play_all(folder);
}
