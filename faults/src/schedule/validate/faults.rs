//! What each kind of fault must be.

use std::{collections::BTreeSet, time::Duration};

use consensus_core::kv::{MAX_KEY_BYTES, MAX_VALUE_BYTES};

use super::{Check, ensure, probability};
use crate::{
    duration,
    schedule::{
        Ailment, Clock, Delete, Direction, Disk, Fate, Fault, Heal, Kind, Link, Partition, Put,
        Reconfigure, Restart, Shape, Slow, Step, Surge, Target, Targets, Transfer, error::Path,
    },
};

/// The shortest rhythm of a slowed process: a signal or two take some of a millisecond.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// Whether the step's `for` fits what happens.
pub(super) fn check_length(step: &Step, heal: Heal, path: &Path) -> Check {
    let kind = step.fault.kind();
    let field = path.field("for");
    match (kind, step.lasts) {
        (Kind::Put | Kind::ClockJump, Some(_)) => {
            ensure(false, &field, format!("a {kind} happens in an instant"))
        }
        (Kind::Reconfigure | Kind::Transfer, Some(_)) => {
            ensure(false, &field, format!("a {kind} takes as long as the cluster takes"))
        }
        (Kind::Put | Kind::ClockJump | Kind::Reconfigure | Kind::Transfer, None) => Ok(()),
        (Kind::Crash | Kind::Restart | Kind::Delete, None) => Ok(()),
        (kind, None) if kind.loses_disk() => Ok(()),
        (kind, None) if heal == Heal::Core && kind.may_stay() => Ok(()),
        (_, None) => ensure(false, path, format!("a {kind} without `for` would never be healed")),
        (_, Some(lasts)) => ensure(!lasts.is_zero(), &field, "it would be over before it began"),
    }?;
    match (&step.fault, step.lasts) {
        (Fault::Slow(slow), Some(lasts)) => {
            let why = format!("longer than the fault, which lasts {}", duration::format(lasts));
            ensure(slow.period <= lasts, &path.field("fault").field("period"), why)
        }
        _ => Ok(()),
    }
}

/// Whether the fault's own fields make sense.
pub(super) fn check_fields(fault: &Fault, nodes: usize, path: &Path) -> Check {
    match fault {
        Fault::Restart(Restart { target, disk: Fate::Lost }) => {
            check_loss(target, nodes, path, "disk")
        }
        Fault::Delete(Delete { target, volume: Fate::Lost }) => {
            check_loss(target, nodes, path, "volume")
        }
        Fault::Restart(_) | Fault::Delete(_) => Ok(()),
        Fault::Disk(disk) => check_disk(disk, nodes, path),
        Fault::Clock(clock) => check_clock(clock, path),
        Fault::Crash(_) | Fault::Pause(_) => Ok(()),
        Fault::Reconfigure(Reconfigure { add, remove }) => {
            let why = "a change adds somebody (`add`), or removes somebody (`remove`)";
            ensure(*add > 0 || remove.is_some(), path, why)?;
            let everybody = remove.iter().flat_map(Targets::iter).any(|who| who == Target::All);
            ensure(!everybody, &path.field("remove"), "nobody would be left to vote")
        }
        Fault::Transfer(Transfer { to }) => {
            let one = to.iter().all(|to| matches!(&to.0[..], [target] if target.is_one()));
            ensure(one, &path.field("to"), "one replica leads: name a target that is one")
        }
        Fault::Slow(slow) => check_slow(slow, path),
        Fault::Load(Surge { factor }) => {
            let sane = factor.is_finite() && (0.0..=1_000.0).contains(factor);
            ensure(sane, &path.field("factor"), format!("{factor} is not between 0 and 1000"))
        }
        Fault::Partition(partition) => check_partition(partition, nodes, path),
        Fault::Link(link) => check_link(link, path),
        Fault::Put(Put { key, value }) => {
            let sane = !key.is_empty() && key.len() <= MAX_KEY_BYTES;
            let why = format!("a key has 1 to {MAX_KEY_BYTES} bytes");
            ensure(sane, &path.field("key"), why)?;
            let why = format!("a value has at most {MAX_VALUE_BYTES} bytes");
            ensure(value.len() <= MAX_VALUE_BYTES, &path.field("value"), why)
        }
    }
}

/// What a disk held is gone, as `field` says.
fn check_loss(target: &Targets, nodes: usize, path: &Path, field: &str) -> Check {
    let one = matches!(&target.0[..], [target] if target.is_one());
    let why = "disks are lost one at a time: name a target that is one replica";
    ensure(one, &path.field("target"), why)?;
    let why = format!("of {nodes} replicas, those that keep their disks are no majority");
    ensure(nodes >= 3, &path.field(field), why)
}

fn check_disk(disk: &Disk, nodes: usize, path: &Path) -> Check {
    let Disk { target, effect, sync } = disk;
    let slow = *effect == Ailment::Slow;
    let why = "only the effect `slow` has a `sync`";
    ensure(slow || sync.is_none(), &path.field("sync"), why)?;
    let why = "a slow disk needs `sync`: how much longer each sync takes";
    ensure(!slow || !sync.is_none(), path, why)?;
    let why = "what spreads beyond zero would end before it began";
    ensure(sync.spread <= sync.middle, &path.field("sync"), why)?;
    match effect {
        Ailment::Rot => check_loss(target, nodes, path, "effect"),
        _ => Ok(()),
    }
}

/// The slowest and the fastest clock, in parts per million: a tenth of the right rate, and ten times.
const RATES: std::ops::RangeInclusive<i32> = -900_000..=9_000_000;

fn check_clock(clock: &Clock, path: &Path) -> Check {
    let one = clock.jump.is_some() != clock.rate.is_some();
    ensure(one, path, "a clock either jumps (`jump`) or runs at another rate (`rate`)")?;
    let jumps = clock.jump.is_none_or(|jump| !jump.by.is_zero());
    ensure(jumps, &path.field("jump"), "a clock that jumps by nothing is right")?;
    let why =
        format!("a clock's rate is off by {} to {} parts per million", RATES.start(), RATES.end());
    ensure(clock.rate.is_none_or(|rate| RATES.contains(&rate)), &path.field("rate"), why)
}

fn check_slow(slow: &Slow, path: &Path) -> Check {
    let share = slow.share;
    let why = format!("{share} is not between 0 (paused) and 1 (not slowed at all)");
    ensure(share > 0.0 && share < 1.0, &path.field("share"), why)?;
    let why = format!("nobody can be stopped more often than once in {SHORTEST_PERIOD:?}");
    ensure(slow.period >= SHORTEST_PERIOD, &path.field("period"), why)
}

fn check_link(link: &Link, path: &Path) -> Check {
    let chances = [
        ("drop", link.drop),
        ("duplicate", link.duplicate),
        ("reorder", link.reorder),
        ("corrupt", link.corrupt),
    ];
    for (name, chance) in chances {
        probability(chance, &path.field(name))?;
    }
    ensure(link.bandwidth != Some(0), &path.field("bandwidth"), "nothing passes: that is a drop")?;
    let sane = link.delay.spread <= link.delay.middle;
    ensure(sane, &path.field("delay"), "what spreads beyond zero would arrive before it was sent")?;
    let does_something = chances.iter().any(|(_, chance)| *chance > 0.0)
        || !link.delay.middle.is_zero()
        || link.bandwidth.is_some();
    ensure(does_something, path, "nothing is wrong with the link")?;
    let one = |targets: &Targets| match targets.0[..] {
        [target @ (Target::Node(_) | Target::Leader)] => Some(target),
        _ => None,
    };
    let to_itself = one(&link.from).is_some() && one(&link.from) == one(&link.to);
    ensure(!to_itself, &path.field("to"), "no link leads from a replica to itself")
}

fn check_partition(partition: &Partition, nodes: usize, path: &Path) -> Check {
    let Partition { shape, direction, target, groups, links, channel: _ } = partition;
    let why = format!("a cluster of {nodes} is too small for it");
    ensure(shape.least_nodes() <= nodes, &path.field("shape"), why)?;
    let directed = shape.is_grouped() || shape.is_around_leader();
    let why = "this shape works both ways";
    ensure(directed || *direction == Direction::Both, &path.field("direction"), why)?;
    let targeted = directed || *shape == Shape::Bridge;
    ensure(targeted || target.is_none(), &path.field("target"), "this shape has no target")?;
    if shape.is_around_leader() {
        let other =
            |to: &Targets| matches!(to.0[..], [one] if one.is_one() && one != Target::Leader);
        let why = "it is drawn around the leader and one other: name a target that is one other";
        ensure(target.iter().all(other), &path.field("target"), why)?;
    }
    if *shape == Shape::Isolate {
        let Some(target) = target else {
            return ensure(false, path, "`isolate` needs a `target`");
        };
        let everybody = target.iter().any(|target| target == Target::All);
        ensure(!everybody, &path.field("target"), "`all` are isolated from nobody")?;
    }
    let stray = *shape == Shape::Groups || groups.is_empty();
    ensure(stray, &path.field("groups"), "only the shape `groups` has groups")?;
    let stray = *shape == Shape::Links || links.is_empty();
    ensure(stray, &path.field("links"), "only the shape `links` has links")?;
    match shape {
        Shape::Groups => check_groups(groups, nodes, &path.field("groups")),
        Shape::Links => check_links(links, nodes, &path.field("links")),
        _ => Ok(()),
    }
}

fn check_node(node: u64, nodes: usize, path: &Path) -> Check {
    let there = node >= 1 && usize::try_from(node).is_ok_and(|node| node <= nodes);
    ensure(there, path, format!("a cluster of {nodes} has no node {node}"))
}

fn check_groups(groups: &[Vec<u64>], nodes: usize, path: &Path) -> Check {
    let mut seen = BTreeSet::new();
    for &node in groups.iter().flatten() {
        check_node(node, nodes, path)?;
        ensure(seen.insert(node), path, format!("node {node} is named twice"))?;
    }
    let whole = groups.iter().any(|group| group.len() == nodes);
    ensure(!groups.is_empty() && !whole, path, "nobody is cut off from anybody")
}

fn check_links(links: &[[u64; 2]], nodes: usize, path: &Path) -> Check {
    ensure(!links.is_empty(), path, "no link is cut")?;
    for &[from, to] in links {
        check_node(from, nodes, path)?;
        check_node(to, nodes, path)?;
        ensure(from != to, path, format!("no link leads from node {from} to itself"))?;
    }
    Ok(())
}
