//! `harness sweep`: many seeded simulations, each judged, and proof that they were worth it.

mod features;

use std::{
    collections::BTreeMap,
    ops::AddAssign,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use checker::{Verdict, Verdicts};
use consensus_core::{Event, NodeId, Time, history::Outcome};
use faults::{Kind, director::Trial};
use indicatif::{ProgressBar, ProgressStyle};
use nix::time::{ClockId, clock_gettime};
use rayon::prelude::*;

use self::features::Features;

use deploy::docker::Cut;

use crate::{
    cli::{Route, StorageKind, SweepArgs, Target},
    experiment::{self, Raw},
    plan::{self, Plan},
    registry::{self, Entry},
};

/// The verdict that says whether a seed was worth anything.
const VACUITY: &str = "not-vacuous";

/// How many failures are told in full.
const TOLD: usize = 10;

/// How long after a leader-fault's end another leader still counts as its consequence.
const CONSEQUENCE: Duration = Duration::from_secs(2);

/// Sweeps, tells what the seeds did, and says whether all of them held.
pub fn sweep(arguments: &SweepArgs) -> Result<bool> {
    let protocol = registry::find(&arguments.protocol)?;
    let plans: Vec<Plan> = arguments
        .seeds
        .clone()
        .map(|seed| plan_of(arguments, &protocol, seed))
        .collect::<Result<_>>()?;
    plans.iter().try_for_each(|plan| plan.check(&protocol))?;
    let jobs = arguments.jobs.unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build()?;
    let bar = ProgressBar::new(plans.len() as u64);
    let style = ProgressStyle::with_template("[{elapsed}] {bar:30} {pos}/{len} seeds, {msg}");
    bar.set_style(style.context("the template is valid")?);
    bar.set_message("none failed");
    let (began, worked_before) = (Instant::now(), processor_time()?);
    let results: Vec<SeedResult> = pool.install(|| {
        let one = |plan: &Plan| {
            let result = try_seed(plan, &protocol, arguments.once);
            bar.inc(1);
            if let Some(failure) = &result.failure {
                bar.set_message("some failed");
                bar.println(format!("seed {}: {failure}", result.seed));
            }
            result
        };
        plans.par_iter().map(one).collect()
    });
    bar.finish_and_clear();
    let effort = Effort { took: began.elapsed(), worked: processor_time()? - worked_before };
    tell(arguments, &results, &effort);
    Ok(results.iter().all(|result| result.failure.is_none()))
}

fn plan_of(arguments: &SweepArgs, protocol: &Entry, seed: u64) -> Result<Plan> {
    let schedule = plan::schedule(&arguments.schedule, seed, arguments.nodes)?;
    let network = arguments.network.unwrap_or_default();
    let tuning = arguments.tuning.under(&schedule.settings);
    let plan = Plan {
        target: Target::Sim,
        schedule,
        seed,
        storage: StorageKind::Memory,
        via: Route::Direct,
        network: None,
        tuning,
        cut: Cut::Shim,
        keep_data: false,
    };
    let plan = plan.on(network);
    plan::check_tuning(&plan.tuning, &plan.members())?;
    Ok(plan.of(protocol))
}

/// The processor time that this process has used, on all cores.
fn processor_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// What a sweep cost.
struct Effort {
    took: Duration,
    /// On all cores together.
    worked: Duration,
}

/// What one seed showed.
struct SeedResult {
    seed: u64,
    nodes: usize,
    /// Why it does not hold.
    failure: Option<String>,
    counts: Counts,
}

/// What the seeds were worth, added up.
#[derive(Clone, Default)]
struct Counts {
    /// How often each kind of fault struck.
    fired: BTreeMap<Kind, u64>,
    /// Seeds in which a fault struck the leader.
    leader_faults: u64,
    /// Those of them in which another replica then led.
    leader_changes: u64,
    /// Client operations.
    operations: u64,
    /// Those of them under way while a fault was in force.
    overlapping: u64,
    /// Those of them whose outcome stayed unknown.
    unknown: u64,
    elections: u64,
    damaged: u64,
    /// Seeds that prove nothing of a rule.
    unproved: BTreeMap<&'static str, u64>,
    features: Features,
    simulated: Duration,
}

impl AddAssign<&Self> for Counts {
    fn add_assign(&mut self, other: &Self) {
        for (&kind, &times) in &other.fired {
            *self.fired.entry(kind).or_default() += times;
        }
        self.leader_faults += other.leader_faults;
        self.leader_changes += other.leader_changes;
        self.operations += other.operations;
        self.overlapping += other.overlapping;
        self.unknown += other.unknown;
        self.elections += other.elections;
        self.damaged += other.damaged;
        for (&rule, &seeds) in &other.unproved {
            *self.unproved.entry(rule).or_default() += seeds;
        }
        self.features += &other.features;
        self.simulated += other.simulated;
    }
}

fn try_seed(plan: &Plan, protocol: &Entry, once: bool) -> SeedResult {
    let nodes = plan.schedule.nodes.get();
    let failed = |why: String| SeedResult {
        seed: plan.seed,
        nodes,
        failure: Some(why),
        counts: Counts::default(),
    };
    let config = experiment::simulation(plan);
    // A broken invariant panics inside the protocol: that is a finding like any other.
    let simulate = || catch_unwind(AssertUnwindSafe(|| (protocol.simulate)(&config)));
    let recording = match simulate() {
        Ok(recording) => recording,
        Err(panic) => return failed(format!("an invariant broke: {}", panic_text(&*panic))),
    };
    if !once && simulate().ok().as_ref() != Some(&recording) {
        return failed("the same seed gave another trace".to_owned());
    }
    let simulated = recording.simulated;
    let converged = recording.converged.is_some();
    let mishaps = features::mishaps(&recording);
    match experiment::raw(recording) {
        Err(error) => failed(error.to_string()),
        Ok(raw) => {
            let verdicts = raw.judge();
            let failure = judge(&verdicts, &raw, converged);
            let mut counts =
                Counts { unproved: unproved(&verdicts), ..count(plan, &raw, simulated) };
            counts.features.happened(mishaps);
            SeedResult { seed: plan.seed, nodes, failure, counts }
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "without a message".to_owned())
}

/// Why a seed does not hold. That it was vacuous is no failure of the cluster's: it is counted.
fn judge(verdicts: &Verdicts, raw: &Raw, converged: bool) -> Option<String> {
    let rules = verdicts.named().into_iter().filter(|(rule, _)| *rule != VACUITY);
    let broken = rules.into_iter().find(|(_, verdict)| !verdict.passes());
    match broken {
        Some((rule, verdict)) => Some(format!("{rule}: {verdict}")),
        None if raw.partial => Some("the schedule did not come to its end".to_owned()),
        None if !converged => Some("the replicas did not agree after everything healed".to_owned()),
        None => None,
    }
}

/// Which rules this seed proves nothing of.
fn unproved(verdicts: &Verdicts) -> BTreeMap<&'static str, u64> {
    let is_unproved = |verdict: &Verdict| match verdict {
        Verdict::NotJudged(_) | Verdict::Undecided(_) => 1,
        Verdict::Ok | Verdict::Violated(_) => 0,
    };
    verdicts.named().map(|(rule, verdict)| (rule, is_unproved(verdict))).into()
}

fn count(plan: &Plan, raw: &Raw, simulated: Duration) -> Counts {
    let struck: Vec<_> =
        raw.resolved.trials.iter().filter_map(|trial| Strike::of(trial, raw)).collect();
    let features = Features::of(plan, raw);
    let mut counts = Counts { simulated, features, damaged: raw.damaged, ..Counts::default() };
    for strike in &struck {
        *counts.fired.entry(strike.kind).or_default() += 1;
    }
    counts.leader_faults = u64::from(struck.iter().any(|strike| strike.hits_leader));
    counts.leader_changes = u64::from(struck.iter().any(|strike| strike.deposes(raw)));
    let is_election = |event: &Event| matches!(event, Event::Elected { .. });
    counts.elections = raw.observed.iter().filter(|seen| is_election(&seen.event)).count() as u64;
    counts.operations = raw.operations.len() as u64;
    for operation in &raw.operations {
        let until = operation.completed.unwrap_or(raw.end);
        let overlaps = |strike: &Strike| strike.from <= until && operation.invoked <= strike.until;
        counts.overlapping += u64::from(struck.iter().any(overlaps));
        let unknown = matches!(operation.outcome, Outcome::Unknown(_));
        counts.unknown += u64::from(unknown);
    }
    counts
}

/// A fault that struck.
struct Strike {
    kind: Kind,
    hits_leader: bool,
    from: Time,
    until: Time,
    leader: Option<NodeId>,
}

impl Strike {
    fn of(trial: &Trial, raw: &Raw) -> Option<Self> {
        let from = raw.ready + trial.began?;
        let silences =
            matches!(trial.kind, Kind::Crash | Kind::Restart | Kind::Pause | Kind::Partition)
                || trial.kind.loses_disk()
                || trial.kind.fails_disk();
        let hit = trial.leader.is_some_and(|leader| trial.nodes.contains(&leader));
        Some(Self {
            kind: trial.kind,
            hits_leader: silences && hit,
            from,
            until: trial.ended.map_or(raw.end, |ended| raw.ready + ended),
            leader: trial.leader,
        })
    }

    /// Whether the leader was struck and another replica led then.
    fn deposes(&self, raw: &Raw) -> bool {
        let window = self.from..=self.until + CONSEQUENCE;
        self.hits_leader
            && raw.observed.iter().any(|seen| {
                matches!(seen.event, Event::Elected { .. })
                    && Some(seen.node) != self.leader
                    && window.contains(&seen.at)
            })
    }
}

fn tell(arguments: &SweepArgs, results: &[SeedResult], effort: &Effort) {
    let mut sum = Counts::default();
    results.iter().for_each(|result| sum += &result.counts);
    let failures: Vec<_> = results.iter().filter(|result| result.failure.is_some()).collect();
    let seconds = effort.took.as_secs_f64().max(1e-9);
    let runs = if arguments.once { 1.0 } else { 2.0 };
    let simulated = sum.simulated.as_secs_f64() * runs;
    println!(
        "{}: {} seeds in {seconds:.1} s ({:.0} a minute{}), {simulated:.0} s simulated, {:.0} times as fast \
         as time; {:.0} s in each second of a core, judging included",
        arguments.protocol,
        results.len(),
        results.len() as f64 * 60.0 / seconds,
        if arguments.once { "" } else { ", each run twice and its traces compared" },
        simulated / seconds,
        simulated / effort.worked.as_secs_f64().max(1e-9),
    );
    let fired: Vec<_> = Kind::ALL
        .iter()
        .map(|kind| format!("{kind} {}", sum.fired.get(kind).copied().unwrap_or_default()))
        .collect();
    println!("faults that struck: {}", fired.join(", "));
    println!(
        "leader faults in {} seeds; another replica then led in {} of them ({:.0} %); {} elections",
        sum.leader_faults,
        sum.leader_changes,
        percent(sum.leader_changes, sum.leader_faults),
        sum.elections,
    );
    println!(
        "client operations: {}, of which {} ({:.0} %) overlapped a fault and {} stayed unknown; {} damaged messages noticed",
        sum.operations,
        sum.overlapping,
        percent(sum.overlapping, sum.operations),
        sum.unknown,
        sum.damaged,
    );
    sum.features.tell();
    let judged: Vec<_> = sum
        .unproved
        .iter()
        .map(|(rule, unproved)| format!("{rule} {}", results.len() as u64 - unproved))
        .collect();
    println!("seeds that could be judged: {}", judged.join(", "));
    match failures.len() {
        0 => println!("no violation"),
        count => println!("{count} of {} seeds do not hold:", results.len()),
    }
    for failed in failures.iter().take(TOLD) {
        println!("  seed {}: {}", failed.seed, failed.failure.as_deref().unwrap_or_default());
        let network =
            arguments.network.map(|network| format!(" --network {network}")).unwrap_or_default();
        println!(
            "    harness run --protocol {} --target sim --schedule {} --nodes {} --seed {}{network}",
            arguments.protocol, arguments.schedule, failed.nodes, failed.seed
        );
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}
