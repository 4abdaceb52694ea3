//! What a schedule must be beyond being well written: checked before anything starts.

use std::{collections::BTreeSet, time::Duration};

use consensus_core::kv::MAX_VALUE_BYTES;

use super::{
    Anchor, Kind, Overrides, Schedule, Simulation, Size, Step, Target,
    error::{Path, Trouble},
    expect::{MEASURES, STATISTICS},
    load::Load,
};
use crate::duration;

mod faults;

/// The largest cluster that a schedule may ask for.
const MOST_NODES: usize = 99;

/// The most trials of one step: more is a slip of the pen.
const MOST_TRIALS: u32 = 10_000;

/// Either it may be, or this is why not.
type Check = Result<(), Trouble>;

/// Refuses a field unless a condition holds.
fn ensure(holds: bool, path: &Path, why: impl Into<String>) -> Check {
    if holds { Ok(()) } else { Err(Trouble { path: path.clone(), why: why.into() }) }
}

/// Refuses what is no probability.
fn probability(value: f64, path: &Path) -> Check {
    ensure((0.0..=1.0).contains(&value), path, format!("{value} is no share between 0 and 1"))
}

impl Schedule {
    /// Checks everything that can be known before a run.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        let top = Path::default();
        ensure(!self.name.is_empty(), &top.field("name"), "a schedule needs a name")?;
        let nodes = self.nodes.get();
        let too_many = format!("{nodes} replicas are more than {MOST_NODES}");
        ensure(nodes <= MOST_NODES, &top.field("nodes"), too_many)?;
        let patience = "without patience every step would be given up at once";
        ensure(!self.patience.is_zero(), &top.field("patience"), patience)?;
        let places = self.places();
        let why =
            format!("with those that are added, {places} replicas are more than {MOST_NODES}");
        ensure(places <= MOST_NODES, &top.field("step"), why)?;
        self.check_settings(&top.field("settings"))?;
        check_simulation(&self.simulation, &top.field("simulation"))?;
        check_load(&self.load, &top.field("load"))?;
        self.check_expectations(&top.field("expect"))?;
        for (position, step) in self.steps.iter().enumerate() {
            self.check_step(position, step, &top.field("step").item(position))?;
        }
        self.check_cycles(&top.field("step"))
    }

    fn check_settings(&self, path: &Path) -> Check {
        let Overrides { snapshot_after, max_clock_drift_ppm, priorities, .. } = &self.settings;
        let why = "a snapshot after nothing would be taken for ever";
        ensure(*snapshot_after != Some(Size(0)), &path.field("snapshot_after"), why)?;
        check_drift(*max_clock_drift_ppm, &path.field("max_clock_drift_ppm"))?;
        let nobody = priorities.iter().any(|(node, _)| node.0 == 0);
        ensure(!nobody, &path.field("priorities"), "node 0 is no node")
    }

    fn check_expectations(&self, path: &Path) -> Check {
        for name in self.expect.slo.keys() {
            let known = name.split_once('.').is_some_and(|(measure, statistic)| {
                MEASURES.contains(&measure) && STATISTICS.contains(&statistic)
            });
            let why = format!(
                "`{name}` is nothing that is measured; there are {} with {}",
                MEASURES.join(", "),
                STATISTICS.join(", ")
            );
            ensure(known, &path.field("slo").field(name), why)?;
        }
        Ok(())
    }

    fn check_step(&self, position: usize, step: &Step, path: &Path) -> Check {
        let id = path.field("id");
        ensure(!step.id.contains('.'), &id, "an id holds no dot: `a.done` speaks of step `a`")?;
        let taken = self.steps[..position].iter().any(|other| other.id == step.id);
        ensure(!taken, &id, format!("two steps are called `{}`", step.id))?;
        self.check_anchor(step, &path.field("at"))?;
        faults::check_length(step, self.heal, path)?;
        check_repetition(step, &path.field("repeat"))?;
        let fault = path.field("fault");
        for (field, targets) in step.fault.targets() {
            self.check_targets(step, targets, &fault.field(field))?;
        }
        faults::check_fields(&step.fault, self.nodes.get(), &fault)
    }

    fn check_anchor(&self, step: &Step, path: &Path) -> Check {
        let at = &step.at;
        let countable = format!("`{}` cannot be counted", at.after);
        ensure(at.count.is_none() || at.after.is_event(), &path.field("count"), countable)?;
        let Some(id) = at.after.step() else { return Ok(()) };
        let after = path.field("after");
        let other = self.steps.iter().find(|other| other.id == id);
        ensure(other.is_some(), &after, format!("there is no step `{id}`"))?;
        let endless = other.is_some_and(|other| other.never_ends());
        let waits_for_end = matches!(at.after, Anchor::StepDone(_));
        let why = format!("`{id}` has no `for`, so it is never done; `{id}.start` would come");
        ensure(!(endless && waits_for_end), &after, why)
    }

    fn check_targets(&self, step: &Step, targets: &super::Targets, path: &Path) -> Check {
        ensure(!targets.0.is_empty(), path, "nobody is hit")?;
        let nodes = self.nodes.get();
        for target in targets.iter() {
            let why = format!("a cluster of {nodes} has no `{target}`");
            ensure(target.least_nodes() <= nodes, path, why)?;
            let known = target != Target::Actor || step.at.after.is_event();
            let why = format!("`{}` happens at no replica, so there is no `actor`", step.at.after);
            ensure(known, path, why)?;
        }
        let followers = targets.iter().filter(|target| *target == Target::OneFollower).count();
        let why = format!("a cluster of {nodes} has no {followers} followers");
        ensure(followers < nodes, path, why)
    }

    /// A step that waits for itself, by whatever detour, never starts.
    fn check_cycles(&self, path: &Path) -> Check {
        for (position, step) in self.steps.iter().enumerate() {
            let mut seen = BTreeSet::from([step.id.as_str()]);
            let mut next = step.at.after.step();
            while let Some(id) = next {
                let why = format!("`{}` waits for itself, by way of `{id}`", step.id);
                ensure(seen.insert(id), &path.item(position).field("at").field("after"), why)?;
                let other = self.steps.iter().find(|other| other.id == id);
                next = other.and_then(|other| other.at.after.step());
            }
        }
        Ok(())
    }
}

impl Step {
    /// Whether it lasts until another step, or the end of the run, undoes it.
    pub(crate) fn never_ends(&self) -> bool {
        let kind = self.fault.kind();
        self.lasts.is_none() && (kind == Kind::Crash || kind.may_stay())
    }
}

fn check_simulation(simulation: &Simulation, path: &Path) -> Check {
    let Simulation { stall, disk_bytes_per_s, chunk_bytes, clock_drift_ppm, .. } = simulation;
    let chance = stall.as_ref().map_or(0.0, |stall| stall.chance);
    probability(chance, &path.field("stall").field("chance"))?;
    let why = "nothing would ever be written";
    ensure(*disk_bytes_per_s != Some(0), &path.field("disk_bytes_per_s"), why)?;
    let why = "a snapshot in parts of nothing never arrives";
    ensure(*chunk_bytes != Some(0), &path.field("chunk_bytes"), why)?;
    check_drift(*clock_drift_ppm, &path.field("clock_drift_ppm"))
}

fn check_drift(ppm: Option<u32>, path: &Path) -> Check {
    let why = "clocks may drift by less than 500000 parts per million";
    ensure(ppm.is_none_or(|drift| drift < 500_000), path, why)
}

fn check_load(load: &Load, path: &Path) -> Check {
    let positive = load.rate.is_finite() && load.rate > 0.0;
    ensure(positive, &path.field("rate"), format!("{} is no rate", load.rate))?;
    probability(load.reads, &path.field("reads"))?;
    let why = "`read_consistency` names no kind of read";
    ensure(!load.read_consistency.as_slice().is_empty(), &path.field("read_consistency"), why)?;
    ensure(!load.timeout.is_zero(), &path.field("timeout"), "no answer comes in no time")?;
    let why = format!("a value has at most {MAX_VALUE_BYTES} bytes");
    ensure(load.value_bytes <= MAX_VALUE_BYTES, &path.field("value_bytes"), why)?;
    let mix = path.field("mix");
    let shares = [
        ("put", load.mix.put),
        ("cas", load.mix.cas),
        ("tas", load.mix.tas),
        ("delete", load.mix.delete),
    ];
    for (name, share) in shares {
        probability(share, &mix.field(name))?;
    }
    let sum: f64 = shares.iter().map(|(_, share)| share).sum();
    ensure((sum - 1.0).abs() < 1e-9, &mix, format!("the shares sum to {sum}, not to 1"))
}

fn check_repetition(step: &Step, path: &Path) -> Check {
    let Some(repeat) = &step.repeat else { return Ok(()) };
    let why = format!("more than {MOST_TRIALS} trials");
    ensure(repeat.times.get() <= MOST_TRIALS, &path.field("times"), why)?;
    let every = path.field("every");
    ensure(!repeat.every.is_zero(), &every, "all trials would begin at the same instant")?;
    let total = repeat.every.saturating_mul(repeat.times.get());
    let why = format!("{} trials, this far apart, take longer than a day", repeat.times);
    ensure(total <= duration::LONGEST, &every, why)?;
    let lasts = step.lasts.unwrap_or(Duration::ZERO);
    let why = format!(
        "one trial lasts {}, so they cannot begin {} apart",
        duration::format(lasts),
        duration::format(repeat.every)
    );
    ensure(repeat.times.get() == 1 || repeat.every > lasts, &every, why)
}
