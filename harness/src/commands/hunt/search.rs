//! The search itself: a population for each direction, whose best members are changed a little.
//!
//! Everything is drawn from the hunt's seed, child by child, so the same seed and budget find the same.

use std::time::Instant;

use consensus_core::Draw;
use faults::{Schedule, mutate};
use indicatif::ProgressBar;
use rayon::prelude::*;

use super::{
    outage::{Outages, Pair, Unfit},
    start,
};

/// How many schedules each direction keeps.
const KEPT: usize = 16;

/// How many children are simulated side by side, before the best are kept.
const BROOD: u64 = 16;

/// How often a child is changed once more.
const AGAIN: f64 = 0.3;

/// A schedule, and what came of it.
#[derive(Clone)]
pub struct Member {
    /// The schedule.
    pub schedule: Schedule,
    /// What clients saw of both protocols.
    pub outages: Outages,
}

/// What bounds a search.
pub struct Bounds {
    /// How many simulations there are at most.
    pub runs: u64,
    /// When it ends at the latest.
    pub until: Option<Instant>,
}

/// What a search found.
#[derive(Default)]
pub struct Found {
    /// For each of the two protocols, the schedules under which it is worse, the worst first.
    pub worst: [Vec<Member>; 2],
    /// Schedules under which an invariant broke.
    pub broken: Vec<(Schedule, Unfit)>,
    /// How many simulations it took.
    pub runs: u64,
}

/// A search under way.
struct Search<'a> {
    pair: &'a Pair<'a>,
    seeds: &'a [u64],
    bar: &'a ProgressBar,
    found: Found,
}

/// Looks for the schedules under which the two differ most.
pub fn search(
    pair: &Pair<'_>,
    seeds: &[u64],
    seed: u64,
    bounds: &Bounds,
    bar: &ProgressBar,
) -> Found {
    let mut search = Search { pair, seeds, bar, found: Found::default() };
    let draw = Draw::new(seed).of("hunt");
    search.take_in(start::schedules(draw.of("start")), bounds);
    let mut born = 0;
    while !search.is_over(bounds) {
        let keys = (born..born + BROOD).map(|child| draw.of("child").at(child));
        let children = keys.zip((0..2).cycle()).filter_map(|(key, side)| search.child(side, key));
        search.take_in(children.collect(), bounds);
        born += BROOD;
    }
    search.found
}

impl Search<'_> {
    fn is_over(&self, bounds: &Bounds) -> bool {
        let late = bounds.until.is_some_and(|until| Instant::now() >= until);
        let nobody = self.found.worst.iter().any(Vec::is_empty);
        late || nobody || self.found.runs + self.runs_each() > bounds.runs
    }

    /// How many simulations one schedule takes.
    const fn runs_each(&self) -> u64 {
        2 * self.seeds.len() as u64
    }

    /// A changed copy of one of the better members.
    fn child(&self, side: usize, draw: Draw) -> Option<Schedule> {
        let members = &self.found.worst[side];
        let any = |members: &[Member], draw: Draw| draw.below(members.len() as u64) as usize;
        let parent = any(members, draw.of("one")).min(any(members, draw.of("two")));
        let others = &self.found.worst[draw.of("side").below(2) as usize];
        let other = &others[any(others, draw.of("other"))].schedule;
        let mut child = mutate(&members[parent].schedule, other, draw.of("change"))?;
        if draw.of("again").chance(AGAIN) {
            child = mutate(&child, other, draw.of("another"))?;
        }
        start::fits(&child).then_some(child)
    }

    /// Simulates these, as many as the budget allows, and keeps the best.
    fn take_in(&mut self, schedules: Vec<Schedule>, bounds: &Bounds) {
        let left = bounds.runs.saturating_sub(self.found.runs) / self.runs_each();
        let schedules = &schedules[..schedules.len().min(left as usize)];
        self.found.runs += schedules.len() as u64 * self.runs_each();
        let simulate = |schedule: &Schedule| {
            let outages = self.pair.outages(schedule, self.seeds);
            self.bar.inc(self.runs_each());
            outages
        };
        let simulated: Vec<_> = schedules.par_iter().map(simulate).collect();
        for (schedule, outages) in schedules.iter().zip(simulated) {
            match outages {
                Ok(outages) => self.keep(Member { schedule: schedule.clone(), outages }),
                Err(broken @ Unfit::Broken { .. }) => {
                    self.found.broken.push((schedule.clone(), broken));
                }
                Err(Unfit::Nothing) => {}
            }
        }
        let best = |side: usize| {
            let first = self.found.worst[side].first();
            first.map_or(0.0, |member| member.outages.difference_ms(side))
        };
        let names = self.pair.protocols.map(|protocol| protocol.name);
        self.bar.set_message(format!(
            "most so far: {} {:.0} ms worse, {} {:.0} ms worse",
            names[0],
            best(0),
            names[1],
            best(1)
        ));
    }

    fn keep(&mut self, member: Member) {
        for (side, members) in self.found.worst.iter_mut().enumerate() {
            // What does the same to both is the same schedule in other words.
            if members.iter().any(|known| known.outages == member.outages) {
                continue;
            }
            let by = |member: &Member| member.outages.difference_ms(side);
            let place = members.partition_point(|known| by(known) >= by(&member));
            members.insert(place, member.clone());
            members.truncate(KEPT);
        }
    }
}
