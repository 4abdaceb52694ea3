//! What may happen to a cluster in trouble, and how often it does.

use crate::draw::Draw;

/// One step of trouble.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Deliver,
    DeliverMany,
    Sync,
    SyncOne,
    Heartbeat,
    Election,
    Loyalty,
    Quorum,
    /// Any timer that is armed, the protocol's own among them.
    AnyTimer,
    /// Time passes, and nothing happens.
    Pass,
    /// For a while, everything works that is up and not cut off.
    Calm,
    Propose,
    Read,
    Lose,
    Duplicate,
    Reverse,
    Crash,
    CrashMany,
    Restart,
    Cut,
    Partition,
    Depose,
    Heal,
    Save,
    Install,
    LoseTransfer,
    Suspect,
    Change,
    Transfer,
    LoseDisk,
}

/// The kinds with their usual weights, and whether a seed may do without them.
const KINDS: [(Kind, u64, bool); 30] = [
    (Kind::Deliver, 60, false),
    (Kind::DeliverMany, 100, false),
    (Kind::Sync, 40, false),
    (Kind::SyncOne, 10, true),
    (Kind::Heartbeat, 12, false),
    (Kind::Election, 6, false),
    (Kind::Loyalty, 6, false),
    (Kind::Quorum, 2, true),
    (Kind::AnyTimer, 4, true),
    (Kind::Pass, 3, true),
    (Kind::Calm, 1, true),
    (Kind::Propose, 20, false),
    (Kind::Read, 12, true),
    (Kind::Lose, 4, true),
    (Kind::Duplicate, 8, true),
    (Kind::Reverse, 4, true),
    (Kind::Crash, 3, true),
    (Kind::CrashMany, 2, true),
    (Kind::Restart, 16, false),
    (Kind::Cut, 2, true),
    (Kind::Partition, 3, true),
    (Kind::Depose, 2, true),
    (Kind::Heal, 8, false),
    (Kind::Save, 10, true),
    (Kind::Install, 12, true),
    (Kind::LoseTransfer, 2, true),
    (Kind::Suspect, 4, true),
    (Kind::Change, 6, true),
    (Kind::Transfer, 3, true),
    (Kind::LoseDisk, 1, true),
];

/// How often each kind of trouble comes, relative to the others; some kinds not at all, so that
/// every seed is another mixture.
pub(super) struct Mixture(Vec<(Kind, u64)>);

impl Mixture {
    pub(super) fn new(draw: Draw) -> Self {
        let weigh = |(kind, weight, optional): (Kind, u64, bool)| {
            let draw = draw.at(kind as u64);
            let left_out = optional && draw.of("left out").chance(0.3);
            (kind, if left_out { 0 } else { weight * (1 + draw.below(3)) })
        };
        Self(KINDS.into_iter().map(weigh).collect())
    }

    pub(super) fn pick(&self, draw: Draw) -> Kind {
        let total = self.0.iter().map(|(_, weight)| weight).sum();
        let mut at = draw.below(total);
        for &(kind, weight) in &self.0 {
            if at < weight {
                return kind;
            }
            at -= weight;
        }
        unreachable!("the draw is below the total")
    }
}
