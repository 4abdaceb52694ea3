//! One replica's end of its links.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use consensus_core::{Draw, NodeId, Time};
use serde::{Deserialize, Serialize};

use super::{Channel, LinkRule, LinkRules};
use crate::duration::Delay;

/// The least that a reordered message is held back at most: long enough for others to overtake it on
/// a link that has no delay of its own.
const LEAST_HOLD: Duration = Duration::from_millis(5);

/// A throttled link holds what it can send in this time; beyond, it drops, as a router's queue does.
const LONGEST_QUEUE: Duration = Duration::from_secs(2);

/// At most this many bits of a corrupted message are flipped.
const MOST_FLIPS: u64 = 4;

/// The shim that every message to another replica goes through, after its checksum was computed and
/// before it reaches the socket. Messages of a replica to itself do not come here, and pass if they
/// do.
#[derive(Clone, Debug)]
pub struct LinkShim {
    me: NodeId,
    draw: Draw,
    expires: Time,
    outgoing: BTreeMap<NodeId, Vec<LinkRule>>,
    incoming_cuts: Vec<LinkRule>,
    links: BTreeMap<(NodeId, Channel), Link>,
    counters: Counters,
}

/// What is remembered of one link's channel.
#[derive(Clone, Copy, Default, Debug)]
struct Link {
    /// How many messages were sent under rules.
    sent: u64,
    /// When the last message that keeps its place is let go.
    last_release: Time,
    /// Until when the throttled line is busy.
    busy_until: Time,
}

/// One copy of a message, on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// How much later it is to be handed to the transport.
    pub after: Duration,
    /// The message, perhaps damaged.
    pub bytes: Bytes,
}

/// The copies of a message: none if it was dropped, at most two.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Deliveries {
    first: Option<Delivery>,
    second: Option<Delivery>,
}

impl Deliveries {
    fn one(after: Duration, bytes: Bytes) -> Self {
        Self { first: Some(Delivery { after, bytes }), second: None }
    }

    /// Whether the message was dropped.
    pub const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// How many copies there are.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + usize::from(self.second.is_some())
    }
}

impl IntoIterator for Deliveries {
    type Item = Delivery;
    type IntoIter =
        std::iter::Chain<std::option::IntoIter<Delivery>, std::option::IntoIter<Delivery>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.second)
    }
}

/// What the shim did to messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Messages that nothing was done to.
    pub passed: u64,
    /// Messages lost, on their way out or in.
    pub dropped: u64,
    /// Messages let go later.
    pub delayed: u64,
    /// Messages sent twice.
    pub duplicated: u64,
    /// Messages held back for others to overtake.
    pub reordered: u64,
    /// Messages damaged.
    pub corrupted: u64,
    /// Bytes handed on, all copies.
    pub bytes: u64,
}

impl LinkShim {
    /// A shim without rules for this replica.
    pub fn new(me: NodeId) -> Self {
        Self {
            me,
            draw: Draw::new(0),
            expires: Time::ZERO,
            outgoing: BTreeMap::new(),
            incoming_cuts: Vec::new(),
            links: BTreeMap::new(),
            counters: Counters::default(),
        }
    }

    /// Puts these rules in the place of all earlier ones. Message numbers go on.
    pub fn install(&mut self, rules: &LinkRules, now: Time) {
        self.draw = Draw::new(rules.seed).of("link");
        self.expires = now + rules.expires_in;
        self.outgoing.clear();
        self.incoming_cuts.clear();
        for rule in rules.rules.iter().filter(|rule| rule.from != rule.to) {
            if rule.from == self.me {
                self.outgoing.entry(rule.to).or_default().push(rule.clone());
            }
            if rule.to == self.me && rule.is_cut() {
                self.incoming_cuts.push(rule.clone());
            }
        }
    }

    /// Whether any rule concerns this replica.
    pub fn is_clean(&self) -> bool {
        self.outgoing.is_empty() && self.incoming_cuts.is_empty()
    }

    /// What was done so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes a message on its way out and says when which copies of it go on.
    pub fn send(&mut self, now: Time, to: NodeId, channel: Channel, bytes: Bytes) -> Deliveries {
        if self.is_clean() {
            return self.pass(bytes);
        }
        self.expire(now);
        let Some(rules) = self.outgoing.get(&to).filter(|_| to != self.me) else {
            return self.pass(bytes);
        };
        let link = self.links.entry((to, channel)).or_default();
        let draw = self.draw.at(self.me.0).at(to.0).of(channel.name()).at(link.sent);
        link.sent += 1;
        let Some(fate) = Fate::decide(rules, channel, draw, bytes.len()) else {
            self.counters.dropped += 1;
            return Deliveries::default();
        };
        let Some(after) = link.schedule(now, channel, &fate) else {
            self.counters.dropped += 1;
            return Deliveries::default();
        };
        self.counters.count(&fate, after, bytes.len());
        let bytes = if fate.corrupt { corrupted(&bytes, draw.of("flips")) } else { bytes };
        let second = fate.duplicate.then(|| Delivery { after, bytes: bytes.clone() });
        Deliveries { second, ..Deliveries::one(after, bytes) }
    }

    /// Whether a message from this replica may come in. A complete cut is kept up at its receiving
    /// end too: a sender that has just restarted does not know of it yet.
    pub fn admits(&mut self, now: Time, from: NodeId, channel: Channel) -> bool {
        if self.incoming_cuts.is_empty() {
            return true;
        }
        self.expire(now);
        let cut = |rule: &LinkRule| rule.from == from && rule.concerns(channel);
        let admitted = !self.incoming_cuts.iter().any(cut);
        self.counters.dropped += u64::from(!admitted);
        admitted
    }

    fn pass(&mut self, bytes: Bytes) -> Deliveries {
        self.counters.passed += 1;
        self.counters.bytes += bytes.len() as u64;
        Deliveries::one(Duration::ZERO, bytes)
    }

    /// Forgets rules whose time is over.
    fn expire(&mut self, now: Time) {
        if now >= self.expires {
            self.outgoing.clear();
            self.incoming_cuts.clear();
        }
    }
}

impl Counters {
    fn count(&mut self, fate: &Fate, after: Duration, length: usize) {
        let touched = !after.is_zero() || fate.duplicate || fate.corrupt;
        self.passed += u64::from(!touched);
        self.delayed += u64::from(!after.is_zero());
        self.duplicated += u64::from(fate.duplicate);
        self.reordered += u64::from(!fate.hold.is_zero());
        self.corrupted += u64::from(fate.corrupt);
        self.bytes += length as u64 * (1 + u64::from(fate.duplicate));
    }
}

/// What the rules of a link make of one message that is not lost.
#[derive(Clone, Copy, Default, Debug)]
struct Fate {
    delay: Duration,
    /// How much longer it is held back, out of its place.
    hold: Duration,
    /// How long the line is busy with it.
    line_time: Duration,
    duplicate: bool,
    corrupt: bool,
}

impl Fate {
    /// Applies every rule; `None` if one drops the message.
    fn decide(rules: &[LinkRule], channel: Channel, draw: Draw, length: usize) -> Option<Self> {
        let mut fate = Self::default();
        let concerned = rules.iter().enumerate().filter(|(_, rule)| rule.concerns(channel));
        for (number, rule) in concerned {
            let draw = draw.at(number as u64);
            if draw.of("drop").chance(rule.drop) {
                return None;
            }
            let delay = Delay { middle: rule.delay, spread: rule.jitter };
            fate.delay += delay.draw(draw.of("delay"));
            if draw.of("reorder").chance(rule.reorder) {
                let longest = (rule.delay + rule.jitter).max(LEAST_HOLD);
                fate.hold += draw.of("hold").duration(&(Duration::from_micros(1)..longest));
            }
            if let Some(rate) = rule.bandwidth_bytes_per_s {
                let nanos = length as u128 * 1_000_000_000 / u128::from(rate.max(1));
                let line_time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
                fate.line_time = fate.line_time.max(line_time);
            }
            fate.duplicate |= draw.of("duplicate").chance(rule.duplicate);
            fate.corrupt |= draw.of("corrupt").chance(rule.corrupt);
        }
        Some(fate)
    }
}

impl Link {
    /// When the message is let go; `None` if the throttled line's queue is full.
    fn schedule(&mut self, now: Time, channel: Channel, fate: &Fate) -> Option<Duration> {
        let mut leaves = now;
        if !fate.line_time.is_zero() {
            leaves = self.busy_until.max(now);
            if leaves.since(now) > LONGEST_QUEUE {
                return None;
            }
            leaves = leaves + fate.line_time;
            self.busy_until = leaves;
        }
        let mut release = leaves + fate.delay;
        if !fate.hold.is_zero() {
            return Some((release + fate.hold).since(now));
        }
        // TCP keeps its order however the delay strays; datagrams do not.
        if channel == Channel::Consensus {
            release = release.max(self.last_release);
            self.last_release = release;
        }
        Some(release.since(now))
    }
}

/// The message with one to [`MOST_FLIPS`] bits flipped.
fn corrupted(bytes: &Bytes, draw: Draw) -> Bytes {
    let mut damaged = bytes.to_vec();
    let bits = damaged.len() as u64 * 8;
    if bits == 0 {
        return bytes.clone();
    }
    let flips = (1 + draw.of("count").below(MOST_FLIPS)).min(bits);
    let mut flipped = Vec::new();
    for number in 0..flips {
        let bit = draw.at(number).below(bits);
        // Flipping a bit twice would mend it.
        if !flipped.contains(&bit) {
            damaged[(bit / 8) as usize] ^= 1 << (bit % 8);
            flipped.push(bit);
        }
    }
    Bytes::from(damaged)
}
