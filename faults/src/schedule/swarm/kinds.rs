//! A random step of each kind.

use std::time::Duration;

use consensus_core::NodeId;

use super::{Dice, STORM, hardware, repeated};
use crate::{
    duration::Delay,
    links::Channel,
    schedule::{
        Ailment, Anchor, At, Crash, Delete, Direction, Fate, Fault, Kind, Link, Overrides,
        Partition, Pause, Put, Reconfigure, Restart, Shape, Slow, Step, Surge, Target, Targets,
        Transfer,
    },
};

/// How often a crash lasts until everything is healed; a minority only, or nothing would be left.
const STAYS_DOWN: f64 = 0.2;

/// How often a link fault or a partition hits one channel alone.
const ONE_CHANNEL: f64 = 0.2;

/// A step of this kind, somewhere in the storm; `None` if the settings leave nothing to do.
pub(super) fn step(kind: Kind, draw: Dice, nodes: usize, settings: &Overrides) -> Option<Step> {
    let (fault, lasts) = match kind {
        Kind::Crash => crash(draw),
        Kind::Restart => {
            let target = one_of(draw, &[Target::Leader, Target::OneFollower, Target::InTurn]);
            let some = draw.of("number").between(1, nodes as u64);
            let target = draw.of("whose").pick(&[
                target.clone(),
                target,
                Targets::one(Target::Dead),
                Targets::one(Target::Node(NodeId(some))),
            ]);
            let restart = Restart { target, disk: Fate::Kept };
            (Fault::Restart(restart), Some(draw.of("lasts").millis(1, 800)))
        }
        Kind::Delete => (delete(draw), Some(draw.of("lasts").millis(1, 2_000))),
        Kind::Pause => {
            let words = [Target::Leader, Target::OneFollower, Target::Minority, Target::Majority];
            let fault = Fault::Pause(Pause { target: one_of(draw, &words) });
            (fault, Some(draw.of("lasts").millis(100, 2_000)))
        }
        Kind::Slow => (slow(draw), Some(draw.of("lasts").millis(1_000, 3_000))),
        Kind::Load => {
            let factor = draw.of("factor").pick(&[0.0, 0.5, 3.0, 6.0]);
            (Fault::Load(Surge { factor }), Some(draw.of("lasts").millis(300, 1_500)))
        }
        Kind::Partition => (partition(draw, nodes), Some(draw.of("lasts").millis(300, 2_500))),
        Kind::Link => (link(draw), Some(draw.of("lasts").millis(500, 4_000))),
        Kind::Put => (put(draw), None),
        Kind::Reconfigure => (reconfigure(draw, nodes), None),
        Kind::Transfer => (transfer(draw), None),
        Kind::LostDisk => {
            let words = [Target::Leader, Target::OneFollower, Target::Stalest, Target::InTurn];
            let restart = Restart { target: one_of(draw, &words), disk: Fate::Lost };
            (Fault::Restart(restart), Some(draw.of("lasts").millis(1, 1_500)))
        }
        Kind::LostVolume => {
            let words = [Target::Leader, Target::OneFollower, Target::InTurn];
            let delete = Delete { target: one_of(draw, &words), volume: Fate::Lost };
            (Fault::Delete(delete), Some(draw.of("lasts").millis(1, 1_500)))
        }
        Kind::SlowDisk => hardware::disk(Ailment::Slow, draw),
        Kind::StalledDisk => hardware::disk(Ailment::Stall, draw),
        Kind::DiskError => hardware::disk(Ailment::Error, draw),
        Kind::FullDisk => hardware::disk(Ailment::Full, draw),
        Kind::TornRecord => hardware::disk(Ailment::Torn, draw),
        Kind::BitRot => hardware::disk(Ailment::Rot, draw),
        Kind::ClockJump => (hardware::jump(draw, settings), None),
        Kind::ClockRate => {
            (hardware::rate(draw, settings)?, Some(draw.of("lasts").millis(500, 5_000)))
        }
    };
    let plus = Duration::from_millis(draw.of("plus").below(STORM.as_millis() as u64 / 2));
    let jitter = draw.of("jitter").millis(0, 500);
    let at = At { after: Anchor::Start, count: None, plus, jitter };
    let step = Step { id: String::new(), at, fault, lasts, repeat: None };
    // Whoever stays down is killed once.
    let most = if step.never_ends() { 1 } else { 3 };
    Some(repeated(draw, step, 1..=most))
}

pub(super) fn one_of(draw: Dice, words: &[Target]) -> Targets {
    Targets::one(draw.of("target").pick(words))
}

fn delete(draw: Dice) -> Fault {
    let words = [Target::Leader, Target::OneFollower, Target::Stalest, Target::MinorityWithLeader];
    Fault::Delete(Delete { target: one_of(draw, &words), volume: Fate::Kept })
}

fn crash(draw: Dice) -> (Fault, Option<Duration>) {
    if draw.of("stays-down").chance(STAYS_DOWN) {
        let target = one_of(draw, &[Target::Minority, Target::MinorityWithLeader]);
        return (Fault::Crash(Crash { target }), None);
    }
    let targets = draw.of("target").pick(&[
        vec![Target::Leader],
        vec![Target::OneFollower],
        vec![Target::Stalest],
        vec![Target::Leader, Target::OneFollower],
        vec![Target::OneFollower, Target::OneFollower],
        vec![Target::MinorityWithLeader],
        vec![Target::Majority],
        vec![Target::All],
    ]);
    let lasts = draw.of("lasts").millis(1, 2_000);
    (Fault::Crash(Crash { target: Targets(targets) }), Some(lasts))
}

fn slow(draw: Dice) -> Fault {
    Fault::Slow(Slow {
        target: one_of(draw, &[Target::Leader, Target::OneFollower, Target::Stalest]),
        share: draw.of("share").share(0.05, 0.5),
        period: draw.of("period").millis(50, 500),
    })
}

fn put(draw: Dice) -> Fault {
    let value = format!("meanwhile-{}", draw.of("value").below(1_000));
    Fault::Put(Put { key: "swarm".into(), value })
}

/// Members come, go, or are replaced.
fn reconfigure(draw: Dice, nodes: usize) -> Fault {
    let words = [Target::Leader, Target::OneFollower, Target::Stalest];
    let remove = Some(one_of(draw, &words));
    let (add, remove) = match draw.of("how").below(5) {
        0 => (1, None),
        1 => (2, None),
        // Of three, two would be left, who cannot lose anybody.
        2 if nodes > 3 => (0, remove),
        3 => (2, remove),
        _ => (1, remove),
    };
    Fault::Reconfigure(Reconfigure { add, remove })
}

fn transfer(draw: Dice) -> Fault {
    let words = [Target::OneFollower, Target::OneFollower, Target::Stalest];
    let to = draw.of("named").chance(0.7).then(|| one_of(draw, &words));
    Fault::Transfer(Transfer { to })
}

fn channel(draw: Dice) -> Option<Channel> {
    let draw = draw.of("channel");
    draw.of("one").chance(ONE_CHANNEL).then(|| draw.pick(&[Channel::Consensus, Channel::Gossip]))
}

/// The leader is cut off, one way or both; enough to depose it.
pub(super) fn isolation(draw: Dice, nodes: usize) -> Fault {
    let shape = if nodes > 4 {
        draw.of("shape").pick(&[Shape::Isolate, Shape::Minority])
    } else {
        Shape::Isolate
    };
    Fault::Partition(Partition {
        shape,
        direction: draw.of("direction").pick(&[
            Direction::Both,
            Direction::Inbound,
            Direction::Both,
        ]),
        target: Some(Targets::one(Target::Leader)),
        channel: None,
        groups: Vec::new(),
        links: Vec::new(),
    })
}

pub(super) fn partition(draw: Dice, nodes: usize) -> Fault {
    let shapes = [
        Shape::Isolate,
        Shape::Halves,
        Shape::Minority,
        Shape::Majority,
        Shape::Bridge,
        Shape::Ring,
        Shape::Groups,
        Shape::Links,
        Shape::QuorumLoss,
        Shape::ConstrainedElection,
        Shape::Chained,
    ];
    let fitting: Vec<_> = shapes.into_iter().filter(|shape| shape.least_nodes() <= nodes).collect();
    let shape = if fitting.is_empty() { Shape::Isolate } else { draw.of("shape").pick(&fitting) };
    let directions = [Direction::Both, Direction::Inbound, Direction::Outbound];
    let direction = match shape.is_grouped() || shape.is_around_leader() {
        true => draw.of("direction").pick(&directions),
        false => Direction::Both,
    };
    let target = if shape.is_around_leader() {
        Some(one_of(draw, &[Target::OneFollower, Target::Stalest]))
    } else if shape.is_grouped() || shape == Shape::Bridge {
        Some(one_of(draw, &[Target::Leader, Target::OneFollower]))
    } else {
        None
    };
    let links = if shape == Shape::Links { some_links(draw, nodes as u64) } else { Vec::new() };
    let groups = if shape == Shape::Groups { some_groups(draw, nodes as u64) } else { Vec::new() };
    Fault::Partition(Partition { shape, direction, target, channel: channel(draw), groups, links })
}

/// Two or three groups, some of them perhaps of one.
fn some_groups(draw: Dice, nodes: u64) -> Vec<Vec<u64>> {
    let count = draw.of("groups").between(2, 3);
    let group = |node: u64| draw.of("group").0.at(node).below(count);
    let members = |wanted| (1..=nodes).filter(|&node| group(node) == wanted).collect();
    (0..count).map(members).filter(|group: &Vec<u64>| !group.is_empty()).collect()
}

/// A third of all links, one way each.
fn some_links(draw: Dice, nodes: u64) -> Vec<[u64; 2]> {
    let pairs = (1..=nodes).flat_map(|from| (1..=nodes).map(move |to| [from, to]));
    let others = pairs.filter(|[from, to]| from != to);
    let cut = |&[from, to]: &[u64; 2]| draw.of("links").0.at(from).at(to).chance(1.0 / 3.0);
    let links: Vec<_> = others.filter(cut).collect();
    if links.is_empty() { vec![[1, 2]] } else { links }
}

pub(super) fn link(draw: Dice) -> Fault {
    let (from, to) = draw.of("ends").pick(&[
        (Target::All, Target::All),
        (Target::All, Target::All),
        (Target::Leader, Target::All),
        (Target::All, Target::Leader),
        (Target::Leader, Target::OneFollower),
        (Target::OneFollower, Target::All),
    ]);
    let some = |what: &str, most: f64| {
        let draw = draw.of(what);
        if draw.of("on").chance(0.5) { draw.share(0.01, most) } else { 0.0 }
    };
    let middle = draw.of("delay").millis(1, 60);
    let spread = draw.of("spread").millis(0, middle.as_millis() as u64);
    Fault::Link(Link {
        from: Targets::one(from),
        to: Targets::one(to),
        channel: channel(draw),
        drop: some("drop", 0.3),
        duplicate: some("duplicate", 0.3),
        reorder: some("reorder", 0.3),
        corrupt: some("corrupt", 0.1),
        delay: Delay { middle, spread },
        bandwidth: draw
            .of("throttled")
            .chance(0.2)
            .then(|| draw.of("rate").between(50, 500) * 1_000),
    })
}
