//! Which of a protocol's own options a drawn run takes: they are no part of the schedule, which is
//! the same for every protocol.

use consensus_core::Draw;
use faults::{Schedule, schedule::Heal};

/// Options that are set together.
type Choice = &'static [(&'static str, &'static str)];

/// Of each row, a seed takes one choice; one that names an option which the protocol does not have
/// is passed over.
const ROWS: [&[Choice]; 2] = [
    &[&[], &[("alpha", "1")], &[("alpha", "8")], &[("alpha", "100")]],
    &[&[], &[("election", "ballot")], &[("election", "detector")]],
];

/// How often the quorums of the two phases differ, where they may.
const FLEXIBLE: f64 = 0.7;

/// From how many acceptors on: of fewer, two that accept are as many as a majority.
const FLEXIBLE_FROM: usize = 5;

/// How often each of the guards against needless elections is off.
const UNGUARDED: f64 = 0.2;

/// The guards against needless elections and against leaders that lead nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Guards {
    /// Whether replicas ask before they campaign.
    pub pre_vote: bool,
    /// Whether a leader that hears no quorum gives up.
    pub check_quorum: bool,
}

/// What a seed draws of the guards. Those are what a core needs that is healed while the others
/// trouble it for ever.
pub fn guards(schedule: &Schedule, seed: u64) -> Guards {
    let draw = Draw::new(seed).of("guards");
    let off = |name| schedule.heal == Heal::All && draw.of(name).chance(UNGUARDED);
    Guards { pre_vote: !off("pre-vote"), check_quorum: !off("check-quorum") }
}

/// What a seed draws for a protocol with these options.
pub fn options(known: &[(&str, &str)], schedule: &Schedule, seed: u64) -> Vec<(String, String)> {
    let mut drawn = chosen(known, seed);
    drawn.extend(quorums(known, schedule, seed));
    drawn
}

/// Quorums of two acceptances, and of all promises but one; not where a core is healed, which may be
/// less than that, nor where members go or lose their disks: too few may be left who could promise.
fn quorums(known: &[(&str, &str)], schedule: &Schedule, seed: u64) -> Vec<(String, String)> {
    const NAMES: [&str; 2] = ["phase-1-quorum", "phase-2-quorum"];
    let nodes = schedule.nodes.get();
    let is_known = NAMES.iter().all(|name| known.iter().any(|(known, _)| known == name));
    let stay = schedule.steps.iter().all(|step| !step.fault.kind().changes_members());
    let fits = nodes >= FLEXIBLE_FROM && schedule.heal == Heal::All && stay;
    if !is_known || !fits || !Draw::new(seed).of("quorums").chance(FLEXIBLE) {
        return Vec::new();
    }
    let sizes = [nodes - 1, 2].map(|size| size.to_string());
    NAMES.map(str::to_owned).into_iter().zip(sizes).collect()
}

fn chosen(known: &[(&str, &str)], seed: u64) -> Vec<(String, String)> {
    let draw = Draw::new(seed).of("options");
    let is_known = |choice: &&Choice| {
        choice.iter().all(|(name, _)| known.iter().any(|(known, _)| known == name))
    };
    let mut drawn = Vec::new();
    for (row, choices) in (0..).zip(ROWS) {
        let fitting: Vec<_> = choices.iter().filter(is_known).collect();
        let which = draw.at(row).below(fitting.len() as u64) as usize;
        let choice = fitting.get(which).into_iter().flat_map(|choice| choice.iter());
        drawn.extend(choice.map(|&(name, value)| (name.to_owned(), value.to_owned())));
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swarm(seed: u64) -> Schedule {
        Schedule::swarm(seed, 5.try_into().expect("five is not zero"))
    }

    #[test]
    fn a_core_is_healed_only_where_it_is_a_quorum_and_guarded() {
        let known = [("phase-1-quorum", ""), ("phase-2-quorum", "")];
        let seeds = || (0..200).map(|seed| (swarm(seed), seed));
        let flexible = |(schedule, seed): &(Schedule, u64)| {
            options(&known, schedule, *seed).iter().any(|(_, size)| size == "4")
        };
        let bare = |(schedule, seed): &(Schedule, u64)| {
            guards(schedule, *seed) != Guards { pre_vote: true, check_quorum: true }
        };
        for drawn in [seeds().filter(flexible).collect::<Vec<_>>(), seeds().filter(bare).collect()]
        {
            assert!(drawn.len() > 10);
            assert!(drawn.iter().all(|(schedule, _)| schedule.heal == Heal::All));
        }
    }

    #[test]
    fn only_options_that_the_protocol_has_are_drawn() {
        let options = |known: &[_], seed| options(known, &swarm(seed), seed);
        assert!((0..50).all(|seed| options(&[], seed).is_empty()));
        let known = [("alpha", "how far ahead")];
        let drawn: Vec<_> = (0..50).flat_map(|seed| options(&known, seed)).collect();
        assert!(drawn.len() > 20 && drawn.iter().all(|(name, _)| name == "alpha"), "{drawn:?}");
    }
}
