//! What a reader of the verdicts must know: where a schedule goes beyond what the protocols assume.

use faults::{
    Fault, Resolved, Schedule, Trial,
    schedule::{Clock, Sometimes},
};

use crate::plan::Plan;

/// The verdicts that a schedule expects to be violated.
pub fn meant_to_break(schedule: &Schedule) -> Vec<String> {
    let breaks_leases = schedule.expect.sometimes.contains(&Sometimes::LeaseBroken);
    breaks_leases.then(|| "lease-reads".to_owned()).into_iter().collect()
}

/// What went beyond the assumptions in a run.
pub fn remarks(plan: &Plan, resolved: &Resolved) -> Vec<String> {
    if !plan.tuning.leases {
        return Vec::new();
    }
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
    drifted.into_iter().chain(jumped).collect()
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
