//! The clients' load: the same stream of operations for every protocol and target.

use std::{collections::BTreeMap, time::Duration};

use consensus_core::{Consistency, Draw, history::Call};

use crate::schedule::{Arrivals, Load};

/// One operation that a client means to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Its number in the stream, from 0.
    pub number: u64,
    /// When it is meant to be sent, since the load began.
    pub at: Duration,
    /// The key.
    pub key: String,
    /// What to do with it. Values that are written are unique in the stream.
    pub call: Call,
    /// What a read is to promise; `None` for every change, and for a linearizable read.
    pub consistency: Option<Consistency>,
}

/// A deterministic stream of operations: what the n-th one is depends on the seed and n alone, and
/// when it comes on the rate besides.
#[derive(Clone, Debug)]
pub struct Workload {
    load: Load,
    draw: Draw,
    number: u64,
    /// When the next operation comes, on a clock that ticks once per mean distance at factor 1, and
    /// faster or slower under another factor.
    next_tick: f64,
    factor: f64,
    /// Since when this factor holds, and what that clock showed then.
    since: (Duration, f64),
    /// The value last meant to be written to each key: what a compare-and-swap expects.
    intended: BTreeMap<u64, String>,
}

/// How often a compare-and-swap expects the value last written, rather than nothing.
const EXPECTS_LAST: f64 = 0.8;

impl Workload {
    /// The stream of this load under this seed.
    pub fn new(load: &Load, seed: u64) -> Self {
        let mut workload = Self {
            load: load.clone(),
            draw: Draw::new(seed).of("workload"),
            number: 0,
            next_tick: 0.0,
            factor: 1.0,
            since: (Duration::ZERO, 0.0),
            intended: BTreeMap::new(),
        };
        workload.next_tick = workload.distance();
        workload
    }

    /// Multiplies the schedule's rate, from this time on. Zero silences the clients.
    ///
    /// # Panics
    ///
    /// If the factor is negative, infinite or no number.
    pub fn set_factor(&mut self, at: Duration, factor: f64) {
        assert!(factor.is_finite() && factor >= 0.0, "{factor} multiplies no load");
        let at = at.max(self.since.0);
        self.since = (at, self.tick_at(at));
        self.factor = factor;
    }

    /// When the next operation is meant to be sent; `None` while the clients are silent.
    pub fn next_at(&self) -> Option<Duration> {
        let (since, tick) = self.since;
        let rate = self.load.rate * self.factor;
        // What was due before the factor changed, but not taken yet, is due at once.
        let ticks = (self.next_tick - tick).max(0.0);
        (rate > 0.0).then(|| {
            since + Duration::try_from_secs_f64(ticks / rate).unwrap_or(Duration::MAX - since)
        })
    }

    /// The next operation; `None` while the clients are silent.
    pub fn take(&mut self) -> Option<Arrival> {
        let at = self.next_at()?;
        let number = self.number;
        let (key, call) = self.compose(number);
        self.number += 1;
        self.next_tick += self.distance();
        let consistency = self.consistency(number).filter(|_| call == Call::Get);
        Some(Arrival { number, at, key, call, consistency })
    }

    fn tick_at(&self, at: Duration) -> f64 {
        let (since, tick) = self.since;
        tick + at.saturating_sub(since).as_secs_f64() * self.load.rate * self.factor
    }

    /// How many ticks lie before operation `number`.
    fn distance(&self) -> f64 {
        match self.load.arrival {
            Arrivals::Poisson => self.draw.at(self.number).of("distance").exponential(1.0),
            Arrivals::Constant => 1.0,
        }
    }

    fn compose(&mut self, number: u64) -> (String, Call) {
        let draw = self.draw.at(number);
        let key = draw.of("key").below(u64::from(self.load.keys.get()));
        let call = if draw.of("read").chance(self.load.reads) {
            Call::Get
        } else {
            self.write(key, number, draw)
        };
        (format!("k{key}"), call)
    }

    fn consistency(&self, number: u64) -> Option<Consistency> {
        let kinds = self.load.read_consistency.as_slice();
        let which = self.draw.at(number).of("consistency").below(kinds.len() as u64);
        Some(kinds[which as usize]).filter(|&kind| kind != Consistency::Linearizable)
    }

    fn write(&mut self, key: u64, number: u64, draw: Draw) -> Call {
        let mix = &self.load.mix;
        let value = self.value(number);
        let which = draw.of("write").unit();
        if which < mix.put {
            self.intended.insert(key, value.clone());
            Call::Put(value)
        } else if which < mix.put + mix.cas {
            let last = self.intended.insert(key, value.clone());
            let expected = last.filter(|_| draw.of("expects").chance(EXPECTS_LAST));
            Call::CompareAndSwap { expected, value }
        } else if which < mix.put + mix.cas + mix.tas {
            Call::TestAndSet(value)
        } else {
            self.intended.remove(&key);
            Call::Delete
        }
    }

    /// The number makes it unique; dots make it as long as asked for.
    fn value(&self, number: u64) -> String {
        format!("{:.<width$}", format!("v{number}"), width = self.load.value_bytes)
    }
}
