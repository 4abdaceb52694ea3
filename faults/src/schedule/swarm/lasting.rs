//! Random faults that never end, at whoever is no part of the healed core.

use std::time::Duration;

use super::{Dice, STORM, hardware, kinds};
use crate::schedule::{Ailment, Anchor, At, Crash, Fault, Overrides, Pause, Step, Target};

/// The kinds of which one or more are drawn.
const KINDS: [&str; 7] = [
    "for-ever-down",
    "for-ever-frozen",
    "for-ever-cut",
    "for-ever-flaky",
    "for-ever-slow-disk",
    "for-ever-stalled-disk",
    "for-ever-wrong-clock",
];

/// How often each of them is on.
const ON: f64 = 0.35;

/// Faults without an end, which begin as the storm is over. Many hit more than a majority: some of those are
/// of the core, and healed soon after.
pub(super) fn steps(draw: Dice, nodes: usize, settings: &Overrides) -> Vec<(&'static str, Step)> {
    let one = |id: &'static str| {
        let draw = draw.of(id);
        let fault = fault(id, draw, nodes, settings).filter(|_| draw.of("on").chance(ON))?;
        let plus = STORM + Duration::from_millis(draw.of("plus").below(500));
        let at = At { after: Anchor::Start, count: None, plus, jitter: Duration::ZERO };
        Some((id, Step { id: String::new(), at, fault, lasts: None, repeat: None }))
    };
    KINDS.into_iter().filter_map(one).collect()
}

fn fault(id: &str, draw: Dice, nodes: usize, settings: &Overrides) -> Option<Fault> {
    let target = kinds::one_of(
        draw,
        &[
            Target::Leader,
            Target::OneFollower,
            Target::MinorityWithLeader,
            Target::Majority,
            Target::All,
        ],
    );
    Some(match id {
        "for-ever-down" => Fault::Crash(Crash { target }),
        "for-ever-frozen" => Fault::Pause(Pause { target }),
        "for-ever-cut" => kinds::partition(draw, nodes),
        "for-ever-flaky" => kinds::link(draw),
        "for-ever-slow-disk" => hardware::disk(Ailment::Slow, draw).0,
        "for-ever-stalled-disk" => hardware::disk(Ailment::Stall, draw).0,
        _ => hardware::rate(draw, settings)?,
    })
}
