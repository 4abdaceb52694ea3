//! `summary.json`: a run in numbers, under names that stay stable. Units stand in the names; what
//! the samples do not carry is null.

use std::collections::BTreeMap;

use consensus_core::{Consistency, Event, history::Outcome};
use serde::{Deserialize, Serialize};

use crate::{
    availability::{Availability, Goodput},
    elections::{self, Stage, Trial, TrialOutcome},
    latency::{self, Kind, LeaderLatency},
    prediction::{self, Prediction},
    record::{Clock, Counters, Expectation, RunRecord},
    statistics::{Quantiles, sorted},
    verdicts::Standing,
};

/// A run in numbers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// The protocol.
    pub protocol: String,
    /// Its name for people.
    pub title: String,
    /// The target.
    pub target: String,
    /// Which kind of clock the numbers come from.
    pub clock: Clock,
    /// The schedule.
    pub schedule: String,
    /// The digest of the symbolic schedule and its draws.
    pub schedule_digest: String,
    /// The seed.
    pub seed: u64,
    /// How many replicas.
    pub nodes: usize,
    /// Whether the run ended before its schedule did.
    pub partial: bool,
    /// How long the load ran, in seconds.
    pub duration_s: f64,
    /// How each rule stands.
    pub verdict: VerdictSummary,
    /// Whether every expectation of the schedule held; true of none.
    pub expectations_held: bool,
    /// The expectations.
    pub expectations: Vec<Expectation>,
    /// What a reader of the verdicts must know.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// How the operations ended.
    pub operations: OperationCounts,
    /// What came of the trials.
    pub trials: TrialCounts,
    /// Operations answered with success per second of load. Null, like every figure below, if a
    /// verdict is violated.
    pub throughput_per_s: Option<f64>,
    /// Election times, in milliseconds.
    pub election_ms: Option<Quantiles>,
    /// Stages of the elections, in milliseconds, by name.
    pub election_stages_ms: Option<BTreeMap<Stage, Quantiles>>,
    /// What the timeouts predict of the election times.
    pub election_prediction: Option<Prediction>,
    /// Client-visible outages, from the fault to the first answer after the election.
    pub outage_ms: Option<Quantiles>,
    /// Commit latencies, in milliseconds.
    pub commit_latency_ms: Option<CommitLatency>,
    /// Read latencies at the client, in milliseconds.
    pub read_latency_ms: Option<Quantiles>,
    /// The same for each kind of read by itself, by what was promised.
    #[serde(default)]
    pub read_latency_by_kind_ms: Option<BTreeMap<Consistency, Quantiles>>,
    /// Availability.
    pub availability: Option<Availability>,
    /// What a committed command cost.
    pub cost: Option<Cost>,
    /// What a synced write survives.
    pub durability: String,
    /// What messages travelled over.
    #[serde(default)]
    pub network: String,
    /// Facts of the machine.
    pub host: BTreeMap<String, String>,
    /// The commit of the laboratory.
    pub commit: String,
    /// The command that repeats the run.
    pub command: String,
    /// When the run started, RFC 3339.
    pub started_at: String,
}

/// How each rule stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VerdictSummary {
    /// Every answer fits one order of the operations.
    pub linearizable: Standing,
    /// The same, with the reads by lease among them.
    #[serde(default)]
    pub lease_reads: Standing,
    /// All replicas applied one log.
    pub log_agreement: Standing,
    /// Equal positions, equal states.
    #[serde(default = "Standing::not_judged")]
    pub state_agreement: Standing,
    /// What is committed stays committed.
    #[serde(default = "Standing::not_judged")]
    pub commit_monotonic: Standing,
    /// Every acknowledged write is in the log.
    pub no_lost_acks: Standing,
    /// Every command took effect at most once.
    pub exactly_once: Standing,
    /// Every epoch had at most one leader.
    pub election_safety: Standing,
    /// Every stale read saw something that was once written.
    #[serde(default)]
    pub stale_reads: Standing,
    /// After the last fault, all members came together.
    #[serde(default = "Standing::not_judged")]
    pub converged: Standing,
    /// There was something to judge.
    #[serde(default = "Standing::not_judged")]
    pub not_vacuous: Standing,
}

/// How operations ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OperationCounts {
    /// Done, and answered.
    pub ok: u64,
    /// Certainly not done.
    pub failed: u64,
    /// Perhaps done.
    pub unknown: u64,
}

/// What came of the trials.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TrialCounts {
    /// All of them.
    pub all: u64,
    /// A new leader was elected.
    pub elected: u64,
    /// Of these: only after the faults had left a quorum again; they count from then.
    pub waited_for_quorum: u64,
    /// The fault did not strike the leader.
    pub leader_not_struck: u64,
    /// Nobody led when the fault struck.
    pub nobody_led: u64,
    /// Nobody was elected before the trial ended.
    pub nobody_elected: u64,
    /// Campaigns that were lost in these trials.
    pub lost_campaigns: u64,
}

/// Commit latency of writes, in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct CommitLatency {
    /// At the client: from the intended sending to the answer, faults included.
    pub client: Quantiles,
    /// At the client, of the writes during which no fault was under way.
    pub client_undisturbed: Quantiles,
    /// Inside the leader: from proposed to committed.
    pub leader: LeaderLatency,
}

/// What the run cost, and what that is per client command that a leader committed.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Client commands that leaders committed in the epoch in which they proposed them.
    pub commits: u64,
    /// Messages between replicas.
    pub messages: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
    /// Syncs of the consensus logs.
    pub syncs: Option<u64>,
    /// Elections won, from first to last, unprovoked ones included.
    pub elections: u64,
    /// Messages by commits.
    pub messages_per_commit: Option<f64>,
    /// Bytes by commits.
    pub bytes_per_commit: Option<f64>,
    /// Syncs by commits.
    pub syncs_per_commit: Option<f64>,
    /// Elections by commits.
    pub elections_per_commit: Option<f64>,
}

impl Summary {
    /// The numbers of a run. A violated verdict leaves all performance figures null.
    pub fn of(record: &RunRecord) -> Self {
        let meta = &record.metadata;
        let trials = elections::trials(record);
        let figures = record.may_be_measured().then(|| Figures::of(record, &trials));
        let figures = figures.unwrap_or_default();
        Self {
            protocol: meta.protocol.clone(),
            title: meta.name().to_owned(),
            target: meta.target.clone(),
            clock: meta.clock,
            schedule: meta.schedule.clone(),
            schedule_digest: meta.schedule_digest.clone(),
            seed: meta.seed,
            nodes: meta.nodes,
            partial: meta.partial,
            duration_s: record.seconds(meta.end).max(0.0),
            verdict: VerdictSummary::of(record),
            expectations_held: record.expectations.iter().all(|expectation| expectation.held),
            expectations: record.expectations.clone(),
            remarks: record.remarks.clone(),
            operations: OperationCounts::of(record),
            trials: TrialCounts::of(&trials),
            throughput_per_s: figures.throughput_per_s,
            election_ms: figures.election_ms,
            election_stages_ms: figures.election_stages_ms,
            election_prediction: figures.election_prediction,
            outage_ms: figures.outage_ms,
            commit_latency_ms: figures.commit_latency_ms,
            read_latency_ms: figures.read_latency_ms,
            read_latency_by_kind_ms: figures.read_latency_by_kind_ms,
            availability: figures.availability,
            cost: figures.cost,
            durability: meta.durability.clone(),
            network: meta.network.clone(),
            host: meta.host.clone(),
            commit: meta.commit.clone(),
            command: meta.command.clone(),
            started_at: meta.started_at.clone(),
        }
    }

    /// How the run stands: the worst of the verdicts that were given.
    pub fn standing(&self) -> Standing {
        let verdict = &self.verdict;
        Standing::of_all([
            verdict.linearizable,
            verdict.lease_reads,
            verdict.log_agreement,
            verdict.state_agreement,
            verdict.commit_monotonic,
            verdict.no_lost_acks,
            verdict.exactly_once,
            verdict.election_safety,
            verdict.stale_reads,
            verdict.converged,
            verdict.not_vacuous,
        ])
    }
}

/// The performance figures, all or none.
#[derive(Default)]
struct Figures {
    throughput_per_s: Option<f64>,
    election_ms: Option<Quantiles>,
    election_stages_ms: Option<BTreeMap<Stage, Quantiles>>,
    election_prediction: Option<Prediction>,
    outage_ms: Option<Quantiles>,
    commit_latency_ms: Option<CommitLatency>,
    read_latency_ms: Option<Quantiles>,
    read_latency_by_kind_ms: Option<BTreeMap<Consistency, Quantiles>>,
    availability: Option<Availability>,
    cost: Option<Cost>,
}

impl Figures {
    fn of(record: &RunRecord, trials: &[Trial]) -> Self {
        let answered = latency::answered(&record.operations);
        let undisturbed = latency::undisturbed(record, &answered);
        let commits = latency::commits(&record.observed);
        let goodput = Goodput::of(record, &answered);
        let seconds = record.seconds(record.metadata.end);
        let of_kind = |operations: &[latency::Answered], kind| {
            Quantiles::of(&latency::latencies_ms(operations, kind))
        };
        Self {
            throughput_per_s: (seconds > 0.0).then(|| answered.len() as f64 / seconds),
            election_ms: Some(Quantiles::of(&election_times_ms(trials))),
            election_stages_ms: Some(stages_ms(trials)),
            election_prediction: prediction::predict(record, trials),
            outage_ms: Some(Quantiles::of(&outages_ms(trials))),
            commit_latency_ms: Some(CommitLatency {
                client: of_kind(&answered, Kind::Write),
                client_undisturbed: of_kind(&undisturbed, Kind::Write),
                leader: latency::leader_latency(&commits),
            }),
            read_latency_ms: Some(of_kind(&answered, Kind::Read)),
            read_latency_by_kind_ms: Some(latency::reads_ms(&answered)),
            availability: Some(Availability::of(record, &answered, &goodput)),
            cost: Some(Cost::of(record, commits.len() as u64)),
        }
    }
}

/// The election times of these trials, in milliseconds, ascending.
pub fn election_times_ms(trials: &[Trial]) -> Vec<f64> {
    sorted(trials.iter().filter_map(|trial| Some(trial.election()?.election_ms())))
}

/// The client-visible outages of these trials, in milliseconds, ascending.
pub fn outages_ms(trials: &[Trial]) -> Vec<f64> {
    sorted(trials.iter().filter_map(Trial::outage_ms))
}

/// The distribution of each stage over these trials, in milliseconds.
pub fn stages_ms(trials: &[Trial]) -> BTreeMap<Stage, Quantiles> {
    let mut samples: BTreeMap<Stage, Vec<f64>> = BTreeMap::new();
    for (stage, took) in trials.iter().filter_map(Trial::election).flat_map(|e| e.stages_ms()) {
        samples.entry(stage).or_default().extend(took);
    }
    samples.into_iter().map(|(stage, took)| (stage, Quantiles::of(&sorted(took)))).collect()
}

impl VerdictSummary {
    fn of(record: &RunRecord) -> Self {
        let verdicts = &record.verdicts;
        Self {
            linearizable: (&verdicts.linearizable).into(),
            lease_reads: (&verdicts.lease_reads).into(),
            log_agreement: (&verdicts.log_agreement).into(),
            state_agreement: (&verdicts.state_agreement).into(),
            commit_monotonic: (&verdicts.commit_monotonic).into(),
            no_lost_acks: (&verdicts.no_lost_acks).into(),
            exactly_once: (&verdicts.exactly_once).into(),
            election_safety: (&verdicts.election_safety).into(),
            stale_reads: (&verdicts.stale_reads).into(),
            converged: (&verdicts.converged).into(),
            not_vacuous: (&verdicts.not_vacuous).into(),
        }
    }
}

impl OperationCounts {
    fn of(record: &RunRecord) -> Self {
        let mut counts = Self::default();
        for operation in &record.operations {
            match operation.outcome {
                Outcome::Ok { .. } => counts.ok += 1,
                Outcome::Failed(_) => counts.failed += 1,
                Outcome::Unknown(_) => counts.unknown += 1,
            }
        }
        counts
    }
}

impl TrialCounts {
    fn of(trials: &[Trial]) -> Self {
        let mut counts = Self { all: trials.len() as u64, ..Self::default() };
        for trial in trials {
            match &trial.outcome {
                TrialOutcome::Elected(election) => {
                    counts.elected += 1;
                    counts.waited_for_quorum += u64::from(trial.waited_for_quorum());
                    counts.lost_campaigns += u64::from(election.lost_campaigns);
                }
                TrialOutcome::LeaderNotStruck => counts.leader_not_struck += 1,
                TrialOutcome::NobodyLed => counts.nobody_led += 1,
                TrialOutcome::NobodyElected => counts.nobody_elected += 1,
            }
        }
        counts
    }
}

impl Cost {
    /// The cost of several runs together; what one of them did not count is not known of all.
    pub(crate) fn sum(costs: &[Self]) -> Self {
        let total = |part: fn(&Self) -> Option<u64>| costs.iter().map(part).sum::<Option<u64>>();
        let counters = Counters {
            messages: total(|cost| cost.messages),
            bytes: total(|cost| cost.bytes),
            syncs: total(|cost| cost.syncs),
        };
        let commits = costs.iter().map(|cost| cost.commits).sum();
        Self::from_counts(commits, counters, costs.iter().map(|cost| cost.elections).sum())
    }

    fn of(record: &RunRecord, commits: u64) -> Self {
        let elected = |event: &Event| matches!(event, Event::Elected { .. });
        let elections = record.observed.iter().filter(|seen| elected(&seen.event)).count() as u64;
        Self::from_counts(commits, record.counters, elections)
    }

    fn from_counts(commits: u64, counters: Counters, elections: u64) -> Self {
        let per_commit = |count: Option<u64>| {
            count.filter(|_| commits > 0).map(|count| count as f64 / commits as f64)
        };
        Self {
            commits,
            messages: counters.messages,
            bytes: counters.bytes,
            syncs: counters.syncs,
            elections,
            messages_per_commit: per_commit(counters.messages),
            bytes_per_commit: per_commit(counters.bytes),
            syncs_per_commit: per_commit(counters.syncs),
            elections_per_commit: per_commit(Some(elections)),
        }
    }
}
