//! Pages and plots: self-contained, well-formed, and silent where a verdict failed.

#[allow(dead_code)]
mod synthetic;

use checker::{Counterexample, Verdict};
use consensus_core::{
    Time,
    history::{Applied, Outcome},
};
use reports::{Clock, ReportError, RunRecord, Summary, plots, render_comparison, render_run};
use synthetic::{Story, empty};

const PERFORMANCE: [&str; 5] = [
    "election-time-cdf",
    "election-stages",
    "commit-latency-cdf",
    "latency-over-time",
    "goodput-over-time",
];

fn broken() -> RunRecord {
    let mut record = Story { trials: 2, ..Story::new("raft", 3) }.record();
    let mut operations = record.operations[10..14].to_vec();
    operations[0].key = "<script>alert(1)</script>".into();
    operations[1].outcome = Outcome::Unknown("deadline".into());
    operations[2].completed = None;
    record.verdicts.linearizable = Verdict::Violated(Counterexample {
        summary: "a read saw <nothing> after an acknowledged write".into(),
        key: None,
        operations,
        entries: vec![Applied {
            node: consensus_core::NodeId(1),
            incarnation: 1,
            index: 7,
            epoch: consensus_core::Epoch::term(2),
            digest: 0xabc,
            request: None,
            fresh: true,
        }],
        observations: record.observed[..2].to_vec(),
    });
    record
}

/// Nothing in the page makes a browser ask for anything.
fn assert_self_contained(page: &str) {
    for asks in ["src=", "href=", "url(", "@import", "<script", "<link", "<iframe", "<object"] {
        assert!(!page.contains(asks), "the page contains {asks}");
    }
    // What names an address names the XML namespace of the drawings, which nobody fetches.
    let addresses = page.matches("http").count();
    assert_eq!(addresses, page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
}

/// The page is well-formed XML but for the doctype and the void elements of its head.
fn assert_well_formed(page: &str) {
    let body = &page[page.find("<body>").unwrap()..page.find("</html>").unwrap()];
    let body = body.replace("<br>", "<br/>");
    roxmltree::Document::parse(&body).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_run_report_is_self_contained_and_well_formed() {
    let page = render_run(&Story::new("raft", 1).record()).unwrap();
    assert_self_contained(&page);
    assert_well_formed(&page);
    for shown in [
        "All rules held.",
        "client-visible outage",
        "predicted from the timeouts",
        "harness run --protocol raft --seed 1",
        "fdatasync on every sync",
        "150 ms to 300 ms",
        "One run: intervals describe the samples within it.",
    ] {
        assert!(page.contains(shown), "{shown} is missing");
    }
}

#[test]
fn plots_are_well_formed_and_named() {
    let record = Story::new("multipaxos", 1).record();
    let plots = plots::of_run(&record).unwrap();
    let names: Vec<&str> = plots.iter().map(|plot| plot.name).collect();
    for name in PERFORMANCE {
        assert!(names.contains(&name), "{name} is missing");
    }
    for name in ["timeline", "roles-over-time", "value-over-time", "gossip-over-time"] {
        assert!(names.contains(&name), "{name} is missing");
    }
    for plot in &plots {
        let document = roxmltree::Document::parse(&plot.svg).unwrap();
        let title = document.descendants().find(|node| node.has_tag_name("title"));
        let named =
            document.root_element().children().any(|node| node.tag_name().name() == "title");
        assert!(named || title.is_some(), "{} has no title", plot.name);
        let texts = document.descendants().filter(|node| node.tag_name().name() == "text").count();
        assert!(texts > 3, "{} has no labels", plot.name);
    }
}

#[test]
fn a_failed_verdict_shows_the_counterexample_and_no_performance() {
    let record = broken();
    let page = render_run(&record).unwrap();
    assert_self_contained(&page);
    assert_well_formed(&page);
    assert!(page.contains("A rule was broken."));
    assert!(page.contains("a read saw &lt;nothing&gt; after an acknowledged write"));
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert!(page.contains("class=\"timeline\""));
    for name in PERFORMANCE {
        assert!(!page.contains(name), "{name} is shown");
    }
    for word in ["throughput", "p50", "Cost", "outage"] {
        assert!(!page.contains(word), "the page speaks of {word}");
    }
    let json = serde_json::to_value(Summary::of(&record)).unwrap();
    for figure in [
        "throughput_per_s",
        "election_ms",
        "election_stages_ms",
        "election_prediction",
        "outage_ms",
        "commit_latency_ms",
        "read_latency_ms",
        "read_latency_by_kind_ms",
        "availability",
        "cost",
    ] {
        assert!(json[figure].is_null(), "{figure} is given");
    }
    assert_eq!(json["verdict"]["linearizable"], "violated");
}

#[test]
fn an_undecided_verdict_says_so() {
    let mut record = Story { trials: 1, ..Story::new("raft", 1) }.record();
    record.verdicts.linearizable = Verdict::Undecided("the search gave up".into());
    let page = render_run(&record).unwrap();
    assert!(
        page.contains("Not every rule could be decided.") && page.contains("the search gave up")
    );
}

#[test]
fn empty_and_partial_records_render() {
    let mut record = empty("raft");
    assert_well_formed(&render_run(&record).unwrap());
    record.metadata.end = record.metadata.begin;
    record.metadata.partial = true;
    let page = render_run(&record).unwrap();
    assert!(page.contains("Partial run."));
    // A load that ended before it began, faults outside of it, samples of one node only.
    let mut odd = Story { trials: 1, ..Story::new("raft", 1) }.record();
    odd.metadata.begin = Time(u64::MAX / 2);
    odd.samples.truncate(1);
    odd.operations.truncate(1);
    assert_well_formed(&render_run(&odd).unwrap());
    let mut unstable = Story { trials: 1, ..Story::new("raft", 1) }.record();
    for sample in &mut unstable.samples {
        sample.value = Some("a\u{0}<b>&\u{ffff}".into());
    }
    assert_well_formed(&render_run(&unstable).unwrap());
}

#[test]
fn a_comparison_puts_both_on_the_same_axes() {
    let slow = Story { votes_ms: 60.0, commit_ms: 3.0, ..Story::new("multipaxos", 1) };
    let mut records = vec![Story::new("raft", 1).record(), slow.record()];
    let page = render_comparison(&records).unwrap();
    assert_self_contained(&page);
    assert_well_formed(&page);
    for shown in
        ["raft and multipaxos", "All parameters are equal.", "One run on each side", ">differs<"]
    {
        assert!(page.contains(shown), "{shown} is missing");
    }
    records[1].settings[1].value = "50 ms".into();
    records[1].metadata.schedule_digest = "other".into();
    let page = render_comparison(&records).unwrap();
    assert!(page.contains("Marked rows differ") && page.contains("class=\"differs\""));
    assert!(page.contains("The parameter &#39;heartbeat interval&#39; differs: 30 ms; 50 ms."));
    assert!(page.contains("The schedules differ, by their digests, under seed 1."));
}

#[test]
fn several_runs_of_a_side_are_one_number_each() {
    let records: Vec<RunRecord> = (1..=5)
        .flat_map(|seed| ["raft", "multipaxos"].map(|protocol| (protocol, seed)))
        .map(|(protocol, seed)| Story { trials: 3, ..Story::new(protocol, seed) }.record())
        .collect();
    let page = render_comparison(&records).unwrap();
    assert!(page.contains("The unit is the run") && page.contains("paired by seed"));
    assert_well_formed(&page);
    assert!(page.contains("Five real elections by their rank, of 15 of raft in 5 runs"));
}

#[test]
fn runs_of_equal_seeds_are_alike_whatever_their_seeds_draw() {
    let run = |protocol, seed| {
        let mut record = Story { trials: 1, ..Story::new(protocol, seed) }.record();
        record.metadata.schedule_digest = format!("digest of {seed}");
        record
    };
    let mut records = vec![run("raft", 1), run("multipaxos", 1), run("raft", 2)];
    let page = render_comparison(&records).unwrap();
    assert!(page.contains("The seeds differ: raft ran 1, 2; multipaxos ran 1."));
    records.push(run("multipaxos", 2));
    assert!(!render_comparison(&records).unwrap().contains("Not alike"));
    records[3].metadata.host.insert("cores".into(), "64".into());
    let page = render_comparison(&records).unwrap();
    assert!(page.contains("The machine&#39;s fact &#39;cores&#39; differs: 2; 64."));
}

#[test]
fn a_watched_key_comes_first() {
    let mut record = Story { trials: 1, ..Story::new("raft", 1) }.record();
    let first = |record: &RunRecord| plots::of_run(record).unwrap()[0].name;
    assert_eq!(first(&record), "value-over-time");
    record.metadata.watched_key = None;
    assert_eq!(first(&record), "election-time-cdf");
}

#[test]
fn many_runs_share_a_column_and_the_worst_of_their_verdicts() {
    let records = (1..=3).flat_map(|seed| {
        ["raft", "multipaxos"]
            .map(|protocol| Story { trials: 1, ..Story::new(protocol, seed) }.record())
    });
    let mut summaries: Vec<Summary> = records.map(|record| Summary::of(&record)).collect();
    summaries[2].verdict.exactly_once = reports::verdicts::Standing::Violated;
    let table = reports::summary_table(&summaries);
    let line = |name: &str| {
        let line = table.lines().find(|line| line.contains(name)).expect("a line");
        line.split_whitespace().skip(name.split(' ').count()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("medians of"), "3 runs 3 runs");
    assert_eq!(line("verdict"), "violated in 1 of 3 ok");
    assert_eq!(line("elections / trials"), "3 / 3 3 / 3");
    assert!(!reports::summary_table(&summaries[..2]).contains("medians of"));
}

#[test]
fn a_violated_run_enters_no_comparison() {
    let records = [broken(), Story { trials: 2, ..Story::new("multipaxos", 3) }.record()];
    let page = render_comparison(&records).unwrap();
    assert!(page.contains("raft, seed 3: what contradicts what"));
    assert!(!page.contains("One run on each side"));
    assert_well_formed(&page);
    for plot in plots::of_comparison(&records.iter().collect::<Vec<_>>()).unwrap() {
        assert!(!plot.svg.contains("raft"), "{} shows the violated run", plot.name);
    }
    let both = [broken(), broken()];
    assert!(plots::of_comparison(&[&both[0], &both[1]]).unwrap().is_empty());
    assert_well_formed(&render_comparison(&both).unwrap());
}

#[test]
fn each_target_has_charts_of_its_own_beside_what_the_simulator_foretold() {
    let on = |protocol, target: &str, clock| {
        let mut record = Story { trials: 5, ..Story::new(protocol, 1) }.record();
        record.metadata.target = target.into();
        record.metadata.clock = clock;
        record
    };
    let both = |target, clock| ["raft", "multipaxos"].map(|protocol| on(protocol, target, clock));
    let mut records = [both("docker", Clock::Wall), both("sim", Clock::Virtual)].concat();
    let page = render_comparison(&records).unwrap();
    assert_self_contained(&page);
    assert_well_formed(&page);
    for shown in ["<h2>On docker", "<h2>On sim", "All runs met the same schedule", "foretold"] {
        assert!(page.contains(shown), "{shown} is missing");
    }
    assert_eq!(page.matches("<figure class=\"election-time-cdf\">").count(), 2);
    // Nothing is foretold where nothing was simulated.
    let measured = [both("docker", Clock::Wall), both("local", Clock::Wall)].concat();
    assert!(!render_comparison(&measured).unwrap().contains("foretold"));
    records[3].metadata.schedule_digest = "other".into();
    records[0].verdicts.linearizable = broken().verdicts.linearizable;
    let page = render_comparison(&records).unwrap();
    assert_well_formed(&page);
    assert!(page.contains("The schedules differ") && page.contains("what contradicts what"));
}

#[test]
fn one_run_alone_is_no_comparison() {
    let record = Story { trials: 1, ..Story::new("raft", 1) }.record();
    assert!(matches!(render_comparison(&[record]), Err(ReportError::TooFewRuns(1))));
    assert!(matches!(render_comparison(&[]), Err(ReportError::TooFewRuns(0))));
}
