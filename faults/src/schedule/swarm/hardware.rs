//! Random faults of disks and clocks.

use std::time::Duration;

use super::{Dice, kinds::one_of};
use crate::{
    duration::{Delay, Jump},
    schedule::{Ailment, Clock, Disk, Fault, Overrides, Target, Targets},
};

/// How often a disk that fails fails more than one replica.
const MANY: f64 = 0.4;

/// A disk fault, and for how long.
pub(super) fn disk(effect: Ailment, draw: Dice) -> (Fault, Option<Duration>) {
    let one = [Target::Leader, Target::OneFollower, Target::Stalest, Target::InTurn];
    let many = [Target::Minority, Target::MinorityWithLeader, Target::Majority, Target::All];
    let several = effect != Ailment::Rot && draw.of("several").chance(MANY);
    let target = one_of(draw, if several { &many } else { &one });
    let middle = draw.of("sync").millis(2, 100);
    let spread = draw.of("spread").millis(0, middle.as_millis() as u64);
    let sync = match effect {
        Ailment::Slow => Delay { middle, spread },
        _ => Delay::default(),
    };
    let lasts = match effect {
        Ailment::Slow => draw.of("lasts").millis(500, 4_000),
        Ailment::Stall => draw.of("lasts").millis(50, 2_500),
        // As when a supervisor restarts it at once, or an operator comes first.
        _ => draw.of("lasts").millis(1, 1_500),
    };
    (Fault::Disk(Disk { target, effect, sync }), Some(lasts))
}

/// Whether leases are off, so that clocks may do what they like.
fn is_lawless(settings: &Overrides) -> bool {
    settings.leases == Some(false)
}

/// A jump, as far as leases survive it.
pub(super) fn jump(draw: Dice, settings: &Overrides) -> Fault {
    let by = draw.of("by").pick(&[
        draw.of("little").millis(1, 50),
        draw.of("some").millis(50, 1_000),
        draw.of("much").millis(1_000, 60_000),
    ]);
    let back = is_lawless(settings) && draw.of("back").chance(0.5);
    let target = whose(draw);
    Fault::Clock(Clock { target, jump: Some(Jump { by, back }), rate: None })
}

/// A rate, as far as leases survive it; `None` if clocks must not drift at all.
pub(super) fn rate(draw: Dice, settings: &Overrides) -> Option<Fault> {
    let rate = if is_lawless(settings) {
        draw.of("wild").pick(&[-500_000, -200_000, 200_000, 1_000_000])
    } else {
        // Two clocks drift apart by the bound if each is wrong by half of it.
        let half = settings.max_clock_drift_ppm? as i32 / 2;
        draw.of("rate").pick(&[-half, half, draw.of("less").below(half as u64 + 1) as i32])
    };
    (rate != 0).then(|| Fault::Clock(Clock { target: whose(draw), jump: None, rate: Some(rate) }))
}

fn whose(draw: Dice) -> Targets {
    let words = [Target::Leader, Target::OneFollower, Target::Minority, Target::Majority];
    one_of(draw, &words)
}
