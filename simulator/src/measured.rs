//! The network and the disks of a real run, as far as its messages tell of them.
//!
//! Replicas note of some messages how long they were under way, and how long they had waited for their
//! sender's disk ([`Passage`]). From these, each link gets a log-normal latency of its own: its median,
//! and the deviation of its logarithm from the 16th and the 84th percentile (of a normal distribution,
//! one deviation from the middle each), which a few messages that waited for a paused process do not
//! move. What lies between a replica and its clients is not measured: those links are as all links
//! together.
//!
//! # Clocks of several hosts
//!
//! A passage is the receiver's clock less the sender's. If these differ by θ, one direction seems θ longer
//! and the other θ shorter, and since no message arrives before it left, θ lies between what the fastest
//! message of either direction leaves to it (Mills, RFC 5905, §8: half of the round trip bounds the error of
//! the offset). If that admits θ = 0, the clocks are taken for one; else its middle is taken, with half of
//! its width as the [bound of the error](Measured::clock_error).

use std::{collections::BTreeMap, time::Duration};

use consensus_core::{NodeId, history::Passage};
use faults::Latency;

use crate::{LinkModel, NetworkModel};

/// The fewest passages that a link's own latency is made of.
const FEWEST: usize = 50;

/// One standard deviation below the middle of a normal distribution lies this share of it; above, the
/// same.
const ONE_DEVIATION: f64 = 0.158_655;

/// What passages tell.
#[derive(Clone, PartialEq, Debug)]
pub struct Measured {
    /// The links.
    pub network: NetworkModel,
    /// How long messages waited for a disk; `None` if too few did.
    pub sync: Option<Latency>,
    /// How many passages it is made of.
    pub passages: usize,
    /// By how much the clocks of two replicas may differ still, once what is known of it was taken away;
    /// `None` if they are one.
    pub clock_error: Option<Duration>,
}

impl Measured {
    /// What these passages tell; `None` if they are too few.
    pub fn of<'a>(passages: impl IntoIterator<Item = &'a Passage>) -> Option<Self> {
        let mut ways: BTreeMap<(NodeId, NodeId), Vec<i64>> = BTreeMap::new();
        let mut waits = Vec::new();
        for Passage { from, to, way_ns, sync_ns, .. } in passages {
            ways.entry((*from, *to)).or_default().push(*way_ns);
            waits.extend((*sync_ns > 0).then_some(sync_ns.cast_signed()));
        }
        let clock_error = as_by_one_clock(&mut ways);
        let all = ways.values().flatten().copied().collect();
        let within = LinkModel::of(log_normal(all)?);
        let passages = ways.values().map(Vec::len).sum();
        let own = ways.into_iter().filter_map(|(link, ways)| Some((link, log_normal(ways)?)));
        let links = own.map(|(link, latency)| (link, LinkModel::of(latency))).collect();
        let network = NetworkModel { links, ..NetworkModel::flat("measured", within) };
        Some(Self { network, sync: log_normal(waits), passages, clock_error })
    }
}

/// Takes from each passage what the clocks of its two ends surely differ by; says by how much they may
/// differ still.
fn as_by_one_clock(ways: &mut BTreeMap<(NodeId, NodeId), Vec<i64>>) -> Option<Duration> {
    let fastest: BTreeMap<_, _> =
        ways.iter().filter_map(|(link, ways)| Some((*link, *ways.iter().min()?))).collect();
    let mut worst = None;
    for ((from, to), ways) in ways {
        let Some(back) = fastest.get(&(*to, *from)) else { continue };
        let there = fastest[&(*from, *to)];
        // The receiver's clock is ahead by no less than the one, and no more than the other.
        let (least, most) = (back.saturating_neg(), there);
        if least <= 0 && most >= 0 {
            continue;
        }
        let ahead = least.midpoint(most);
        ways.iter_mut().for_each(|way| *way = way.saturating_sub(ahead));
        let error = Duration::from_nanos(most.saturating_sub(least).unsigned_abs() / 2);
        worst = worst.max(Some(error));
    }
    worst
}

/// The log-normal distribution that these durations, in nanoseconds, fit best in its middle.
fn log_normal(mut nanos: Vec<i64>) -> Option<Latency> {
    if nanos.len() < FEWEST {
        return None;
    }
    nanos.sort_unstable();
    let at = |share: f64| {
        let place = (share * (nanos.len() - 1) as f64).round() as usize;
        nanos[place].max(1).cast_unsigned()
    };
    let ratio = at(1.0 - ONE_DEVIATION) as f64 / at(ONE_DEVIATION) as f64;
    let sigma = (50.0 * libm::log(ratio)).round() / 100.0;
    Some(Latency::LogNormal { median: three_digits(at(0.5)), sigma: sigma.max(0.0) })
}

/// So many nanoseconds, as exactly as anybody measured them.
fn three_digits(nanos: u64) -> Duration {
    let scale = 10_u64.pow(nanos.checked_ilog10().unwrap_or(0).saturating_sub(2));
    Duration::from_nanos((nanos + scale / 2) / scale * scale)
}

#[cfg(test)]
mod tests {
    use consensus_core::{Draw, Time};

    use super::*;

    /// Messages between two replicas, of which the second one's clock is ahead.
    fn passages(there: &Latency, back: &Latency, ahead_ns: i64) -> Vec<Passage> {
        let link = |from, to, latency: &Latency, ahead_ns: i64| {
            let draw = Draw::new(from);
            let latency = latency.clone();
            (0..2_000).map(move |number| Passage {
                at: Time(number),
                from: NodeId(from),
                to: NodeId(to),
                way_ns: latency.draw(draw.at(number)).as_nanos() as i64 + ahead_ns,
                sync_ns: if number % 2 == 0 { 0 } else { 300_000 },
            })
        };
        link(1, 2, there, ahead_ns).chain(link(2, 1, back, -ahead_ns)).collect()
    }

    fn latency(text: &str) -> Latency {
        text.parse().unwrap()
    }

    fn is_near(found: &LinkModel, median: Duration, sigma: f64) {
        let Latency::LogNormal { median: found, sigma: deviation } = found.latency else {
            panic!("{found:?}")
        };
        let off = found.as_secs_f64() / median.as_secs_f64();
        assert!((0.97..1.03).contains(&off), "{found:?} for {median:?}");
        assert!((deviation - sigma).abs() < 0.04, "{deviation} for {sigma}");
    }

    #[test]
    fn each_link_gets_the_latency_that_its_messages_had() {
        let (there, back) = (latency("100us, sigma 0.4"), latency("3ms, sigma 0.1"));
        let measured = Measured::of(&passages(&there, &back, 0)).unwrap();
        let link = |from, to| &measured.network.links[&(NodeId(from), NodeId(to))];
        is_near(link(1, 2), Duration::from_micros(100), 0.4);
        is_near(link(2, 1), Duration::from_millis(3), 0.1);
        assert_eq!((measured.clock_error, measured.passages), (None, 4_000));
        assert_eq!(measured.sync, Some(latency("300us, sigma 0")));
    }

    #[test]
    fn what_two_clocks_differ_by_is_taken_away_within_half_a_round_trip() {
        let both = latency("5ms, sigma 0.05");
        for ahead_ns in [-3_600_000_000_000, -50_000_000, 50_000_000, 3_600_000_000_000] {
            let measured = Measured::of(&passages(&both, &both, ahead_ns)).unwrap();
            let error = measured.clock_error.unwrap();
            assert!(error < Duration::from_millis(5), "{error:?}");
            for link in measured.network.links.values() {
                is_near(link, Duration::from_millis(5), 0.05);
            }
        }
    }

    #[test]
    fn a_few_messages_that_waited_long_move_nothing() {
        let usual = latency("100us, sigma 0.3");
        let mut some = passages(&usual, &usual, 0);
        some.iter_mut().step_by(20).for_each(|passage| passage.way_ns = 2_000_000_000);
        let measured = Measured::of(&some).unwrap();
        let Latency::LogNormal { median, sigma } = measured.network.within.latency else {
            panic!()
        };
        assert!(median < Duration::from_micros(106) && sigma < 0.4, "{median:?}, {sigma}");
    }

    #[test]
    fn a_handful_tells_nothing() {
        let usual = latency("100us");
        assert_eq!(Measured::of(&passages(&usual, &usual, 0)[..FEWEST - 1]), None);
        assert_eq!(Measured::of([]), None);
    }
}
