//! What a reader of the verdicts must know: where a schedule goes beyond what the protocols assume.

use deploy::Cut;
use faults::{
    Fault, Resolved, Schedule, Trial,
    schedule::{Clock, Sometimes},
};

use crate::{cli::Target, plan::Plan};

/// The verdicts that a schedule expects to be violated.
pub fn meant_to_break(schedule: &Schedule) -> Vec<String> {
    let breaks_leases = schedule.expect.sometimes.contains(&Sometimes::LeaseBroken);
    breaks_leases.then(|| "lease-reads".to_owned()).into_iter().collect()
}

/// What went beyond the assumptions in a run.
pub fn remarks(plan: &Plan, resolved: &Resolved) -> Vec<String> {
    let mut remarks = Vec::new();
    if (plan.target, plan.cut) == (Target::Kubernetes, Cut::Network) {
        remarks.push(
            "links are cut by NetworkPolicies: a fault begins when the API server has them, and the \
             network keeps to them later (how much later when it was tried is said of the host), so \
             elections and outages after cuts seem longer by that"
                .to_owned(),
        );
    }
    if plan.tuning.leases {
        remarks.extend(lease_remarks(plan, resolved));
    }
    remarks
}

/// What leases do not bear.
fn lease_remarks(plan: &Plan, resolved: &Resolved) -> impl Iterator<Item = String> {
    let clocks = || resolved.trials.iter().filter_map(|trial| clock(resolved, trial));
    let assumed = plan.tuning.max_clock_drift_ppm;
    let made = clocks().filter_map(|clock| clock.rate).map(i32::unsigned_abs).max();
    let drifted = made.filter(|&made| made > assumed).map(|made| {
        format!(
            "the clocks drifted beyond the bound that leases assume ({assumed} ppm assumed, {made} \
             ppm made)"
        )
    });
    let back = clocks().filter_map(|clock| clock.jump).filter(|jump| jump.back);
    let jumped = back.max_by_key(|jump| jump.by).map(|jump| {
        format!("a clock jumped by {jump}, and leases assume that none ever goes back")
    });
    drifted.into_iter().chain(jumped)
}

/// The clock fault of a trial that struck.
fn clock<'a>(resolved: &'a Resolved, trial: &Trial) -> Option<&'a Clock> {
    trial.began?;
    let step = resolved.schedule.steps.iter().find(|step| step.id == trial.step)?;
    match &step.fault {
        Fault::Clock(clock) => Some(clock),
        _ => None,
    }
}
