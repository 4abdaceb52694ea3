//! What was measured, and how, in the words of the report.

/// Terms and what they mean here.
const DEFINITIONS: [(&str, &str); 12] = [
    (
        "run, trial",
        "A run is one cluster's life under one schedule; a trial is one fault of it with its recovery. The run is the unit of statistics: intervals over the trials or operations of a single run say how sure that run's numbers are, not how another run would turn out.",
    ),
    (
        "election time",
        "From the instant a fault takes effect until a replica knows that it leads a newer epoch (a term; a ballot). While the faults in force leave no quorum nobody can be elected: then it counts from the return of a quorum.",
    ),
    (
        "client-visible outage",
        "From the instant a fault takes effect until the first operation that was answered with success at or after that election.",
    ),
    (
        "vote rounds",
        "From the winner's last timeout until it knows that it leads: the pre-vote round and the vote or promise round, disks included.",
    ),
    (
        "prediction",
        "The smallest of the survivors' timeouts, each uniform over the configured range since the leader was last heard, less the time between the leader's last message and the fault, plus the measured vote rounds. Only of elections that silenced a leader and had a quorum at once. Drawn 20,000 times with fixed keys. The interval is where the median of as many elections would lie with 95 % probability.",
    ),
    (
        "commit latency, client",
        "Of writes, from the time an open-loop client meant to send to the acknowledgement, so that a stall is not hidden by the requests it held up. Faults are included unless it says otherwise.",
    ),
    (
        "commit latency, leader",
        "From the entry's place in the leader's log to the leader's knowledge that it is committed, in the same epoch. What completed the quorum is an attribution: disks work in parallel.",
    ),
    (
        "baseline",
        "The median goodput (operations answered with success, in bins of 100 ms) before the first fault, without the first second.",
    ),
    (
        "longest gap",
        "The longest time without any successful answer between the beginning and the end of the load.",
    ),
    (
        "quantiles",
        "Exact, from every sample kept, and given only with ten samples beyond them: p90 from 100 samples, p95 from 200, p99 from 1,000, p99.9 from 10,000. A dash means too few samples. The median is always given, with its 95 % bootstrap interval from five samples.",
    ),
    (
        "cost",
        "Messages and bytes between replicas and syncs of their logs, over the whole cluster and the whole load, by client commands that a leader committed. Reads and heartbeats cost messages too.",
    ),
    (
        "difference",
        "Bootstrap intervals at 95 % of the difference and of the ratio; the Mann–Whitney p-value with Cliff's delta beside it; \u{201c}equivalent within 10 %\u{201d} only if the 90 % interval of the ratio lies within 1/1.1 to 1.1 and its 95 % interval holds 1; \u{201c}differs, by less than 10 %\u{201d} if the first is so and the second is not.",
    ),
];

/// The definitions as a list.
pub(super) fn definitions() -> String {
    let list: String = DEFINITIONS
        .iter()
        .map(|(term, meaning)| format!("<dt>{term}</dt><dd>{}</dd>\n", super::escape(meaning)))
        .collect();
    format!("<dl>\n{list}</dl>\n")
}
