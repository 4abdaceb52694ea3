//! One change to a schedule, drawn: how a search comes from one schedule to the next.
//!
//! A step is added, taken from another schedule or left out; hits somebody else, at another time or for
//! another while; or does what another step of its kind does. As in [`shrink`](mod@crate::shrink), a
//! schedule is changed as the table that it is in TOML, and what makes no sense is not taken.

use std::time::Duration;

use consensus_core::Draw;
use toml::Value;

use crate::{
    duration,
    schedule::{
        Schedule, Step, Target,
        paths::{self, Part},
    },
    shrink,
};

/// How often a change is drawn before a schedule is given up as one that cannot be changed.
const TRIES: u64 = 30;

/// By how much a time is made shorter or longer.
const FACTORS: [f64; 6] = [0.25, 0.5, 0.8, 1.25, 2.0, 4.0];

/// The kinds of changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    /// A step of a drawn schedule comes in.
    Add,
    /// A step of the other schedule comes in.
    Cross,
    /// A step is left out.
    Remove,
    /// A step hits somebody else.
    Retarget,
    /// A step comes at another time, or lasts for another while.
    Retime,
    /// A step does what a drawn step of its kind does.
    Redo,
}

const CHANGES: [Change; 8] = [
    Change::Add,
    Change::Cross,
    Change::Remove,
    Change::Retarget,
    Change::Retarget,
    Change::Retime,
    Change::Retime,
    Change::Redo,
];

/// The schedule with one change that this key draws; steps may come from the other one. `None` if
/// nothing that was drawn makes sense.
pub fn mutate(schedule: &Schedule, other: &Schedule, draw: Draw) -> Option<Schedule> {
    let changed = |draw: Draw| match CHANGES[draw.of("change").below(CHANGES.len() as u64) as usize]
    {
        Change::Add => with_step(schedule, drawn_step(schedule, draw)?),
        Change::Cross => with_step(schedule, one(&other.steps, draw.of("step"))?.clone()),
        Change::Remove => without_step(schedule, draw),
        Change::Retarget => retargeted(schedule, draw),
        Change::Retime => retimed(schedule, draw),
        Change::Redo => redone(schedule, draw),
    };
    let tries = (0..TRIES).filter_map(|number| changed(draw.at(number)));
    tries.into_iter().find(|changed| changed.steps != schedule.steps)
}

fn one<T>(of: &[T], draw: Draw) -> Option<&T> {
    if of.is_empty() { None } else { of.get(draw.below(of.len() as u64) as usize) }
}

/// A step of the swarm of a drawn seed, with the settings of this schedule.
fn drawn_step(schedule: &Schedule, draw: Draw) -> Option<Step> {
    let swarm = Schedule::swarm(draw.of("swarm").bits(), schedule.nodes);
    one(&swarm.steps, draw.of("step")).cloned()
}

fn with_step(schedule: &Schedule, step: Step) -> Option<Schedule> {
    let mut more = schedule.clone();
    let taken = |id: &str| schedule.steps.iter().any(|step| step.id == id);
    let mut ids = (2..).map(|number| format!("{}-{number}", step.id));
    let id = if taken(&step.id) { ids.find(|id| !taken(id))? } else { step.id.clone() };
    more.steps.push(Step { id, ..step });
    Schedule::from_table(&more.to_table())
}

fn without_step(schedule: &Schedule, draw: Draw) -> Option<Schedule> {
    let gone = draw.of("step").below(schedule.steps.len().max(1) as u64) as usize;
    let kept: Vec<_> = (0..schedule.steps.len()).filter(|&place| place != gone).collect();
    shrink::only(schedule, &kept)
}

fn retargeted(schedule: &Schedule, draw: Draw) -> Option<Schedule> {
    let fields = ["target", "from", "to", "actor"];
    let places: Vec<_> = leaves(schedule)
        .into_iter()
        .filter(|(path, _)| path.iter().any(|part| is_field(part, &fields)))
        .collect();
    let (path, _) = one(&places, draw.of("place"))?;
    let words = Target::WORDS.map(|(word, _)| word);
    put(schedule, path, Value::from(*one(&words, draw.of("word"))?))
}

fn retimed(schedule: &Schedule, draw: Draw) -> Option<Schedule> {
    let places: Vec<_> = leaves(schedule)
        .into_iter()
        .filter_map(|(path, value)| Some((path, duration::parse(value.as_str()?).ok()?)))
        .filter(|(path, _)| path.iter().any(|part| is_field(part, &["at", "for", "repeat"])))
        .collect();
    let (path, time) = one(&places, draw.of("place"))?;
    let factor = *one(&FACTORS, draw.of("factor"))?;
    let millis = (time.as_secs_f64() * 1e3 * factor).round() as u64;
    put(schedule, path, Value::from(duration::format(Duration::from_millis(millis))))
}

fn redone(schedule: &Schedule, draw: Draw) -> Option<Schedule> {
    let place = draw.of("place").below(schedule.steps.len().max(1) as u64) as usize;
    let kind = schedule.steps.get(place)?.fault.kind();
    let seeds = (0..TRIES).map(|seed| draw.of("swarm").at(seed).bits());
    let mut swarms = seeds.map(|seed| Schedule::swarm(seed, schedule.nodes));
    let fault = swarms.find_map(|swarm| {
        swarm.steps.into_iter().find(|step| step.fault.kind() == kind).map(|step| step.fault)
    });
    let mut other = schedule.clone();
    other.steps[place].fault = fault?;
    Schedule::from_table(&other.to_table())
}

fn is_field(part: &Part, names: &[&str]) -> bool {
    matches!(part, Part::Field(name) if names.contains(&name.as_str()))
}

/// Every plain value in the steps of a schedule, with the way there.
fn leaves(schedule: &Schedule) -> Vec<(Vec<Part>, Value)> {
    let mut found = Vec::new();
    let table = schedule.to_table();
    let mut ways = vec![vec![Part::Field("step".to_owned())]];
    while let Some(way) = ways.pop() {
        let value = paths::get(&table, &way);
        let parts = paths::parts(value);
        match value {
            Some(value) if parts.is_empty() => found.push((way, value.clone())),
            _ => ways.extend(parts.into_iter().map(|part| [way.clone(), vec![part]].concat())),
        }
    }
    found
}

fn put(schedule: &Schedule, path: &[Part], value: Value) -> Option<Schedule> {
    let mut table = schedule.to_table();
    *paths::get_mut(&mut table, path)? = value;
    Schedule::from_table(&table)
}
