//! A made-up real run is held against made-up simulations, whose true numbers are known.

#[allow(dead_code)]
mod synthetic;

use reports::{Clock, ReportError, RunRecord, Setting, forecast::Forecast};
use synthetic::Story;

/// A run of ten trials whose vote rounds and commits take so long, in milliseconds.
fn run(seed: u64, clock: Clock, votes_ms: f64, commit_ms: f64) -> RunRecord {
    let mut record = Story { votes_ms, commit_ms, ..Story::new("raft", seed) }.record();
    record.metadata.clock = clock;
    record
}

fn simulations(votes_ms: f64) -> Vec<RunRecord> {
    (11..31).map(|seed| run(seed, Clock::Virtual, votes_ms, 1.2)).collect()
}

#[test]
fn what_is_simulated_alike_is_foretold_and_what_is_not_shows_as_a_ratio() {
    let real = run(1, Clock::Wall, 4.0, 2.4);
    let forecast = Forecast::of(&real, &simulations(4.0), Vec::new());
    assert_eq!((forecast.simulations, forecast.trials.len()), (20, 10));
    let ratio = |name: &str| {
        let row = forecast.whole.iter().find(|(known, _)| known == name);
        row.unwrap_or_else(|| panic!("{name}: {:?}", forecast.whole)).1.ratio.unwrap()
    };
    assert!((0.85..1.15).contains(&ratio("election time, p50")));
    assert!((1.8..2.2).contains(&ratio("commit latency in the leader, p50")));
    let (within, all) = forecast.hits();
    assert!(all == 10 && within >= 7, "{within} of {all}");
    for trial in &forecast.trials {
        assert_eq!(trial.election.n, 20);
        assert!(trial.election.low_ms < trial.election.high_ms);
    }
    let text = reports::forecast::text(&forecast);
    assert!(text.contains("election time, p50") && text.contains("of 10 measured"), "{text}");

    // A simulator whose elections take another 200 ms is seen to be wrong.
    let wrong = Forecast::of(&real, &simulations(204.0), Vec::new());
    assert!(wrong.hits().0 <= 2, "{:?}", wrong.hits());
}

#[test]
fn the_page_and_its_files_say_what_was_measured_and_what_was_fitted() {
    let place = tempfile::tempdir().unwrap();
    let real = run(1, Clock::Wall, 4.0, 1.2);
    let fitted = vec![Setting { name: "network".into(), value: "as measured".into() }];
    reports::save_forecast(&real, &simulations(4.0)[..3], fitted, place.path()).unwrap();
    let page = std::fs::read_to_string(place.path().join("report.html")).unwrap();
    for wanted in ["raft, measured", "raft, simulated", "as measured", "Trial by trial"] {
        assert!(page.contains(wanted), "the page lacks {wanted}");
    }
    assert!(place.path().join("forecast.json").is_file());
    assert!(place.path().join("plots/election-time-cdf.svg").is_file());
}

#[test]
fn a_run_that_fails_its_verdict_foretells_nothing() {
    let place = tempfile::tempdir().unwrap();
    let mut simulated = simulations(4.0);
    simulated[1].verdicts.log_agreement = checker::Counterexample::default().into();
    let real = run(1, Clock::Wall, 4.0, 1.2);
    let refused = reports::save_forecast(&real, &simulated, Vec::new(), place.path());
    assert!(matches!(refused, Err(ReportError::Violated(_))));
}
