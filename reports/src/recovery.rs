//! What a cluster does while links stay cut: whether it recovers, and at what cost.
//!
//! # Definitions
//!
//! A run holds one partition for long: the *hold*, from the instant it takes effect until the links are
//! mended. It is divided into *slices* of [`SLICE`]; a slice is *served* if a client's write was
//! acknowledged in it. What comes of it is judged by the second half of the hold, when whatever was
//! going to settle has had the first half for it:
//!
//! | class | in the second half of the hold |
//! |---|---|
//! | recovers | every slice is served, and nobody is newly elected |
//! | flaps | at least half of the slices are served, but some are not, or leaders go on changing |
//! | livelocks | fewer than half are served, and epochs (terms, ballots) go on being used up |
//! | deadlocks | fewer than half are served, and no epoch is used up any more |
//!
//! The *outage* is the longest time of the hold without an acknowledged write, its beginning and end
//! included; an outage that lasts until the links are mended is said to last *to the end*.
//! *Elections* are replicas that came to know that they lead, *epochs* the different ones for which
//! somebody campaigned, in the whole hold; whoever reaches nobody at all is left out, for its campaigns
//! disturb nobody.

mod text;
mod trace;

use std::{collections::BTreeSet, time::Duration};

use consensus_core::{
    Epoch, Event, NodeId, Time,
    history::{Call, Observed, Operation},
};
use serde::Serialize;

pub use text::{csv, markdown, traces};
pub(crate) use text::{outage, trace, used_up};
pub use trace::Line;

use crate::{
    record::{FaultBand, RunRecord},
    statistics,
    verdicts::Standing,
};

/// How long a slice of the hold is.
pub const SLICE: Duration = Duration::from_millis(250);

/// What came of a cluster whose links stayed cut; the later, the worse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// It serves again, under one leader.
    Recovers,
    /// It serves, but leaders go on changing, or service goes on failing.
    Flaps,
    /// It hardly serves, and goes on trying.
    Livelocks,
    /// It hardly serves, and tries nothing any more.
    Deadlocks,
}

impl Class {
    /// All of them, the best first.
    pub const ALL: [Self; 4] = [Self::Recovers, Self::Flaps, Self::Livelocks, Self::Deadlocks];

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recovers => "recovers",
            Self::Flaps => "flaps",
            Self::Livelocks => "livelocks",
            Self::Deadlocks => "deadlocks",
        }
    }

    /// What the second half of a hold makes of it.
    fn of(late: &Half) -> Self {
        let served_half = late.served * 2 >= late.slices;
        match (late.served == late.slices, served_half) {
            (true, _) if late.elections == 0 => Self::Recovers,
            (_, true) => Self::Flaps,
            _ if late.elections + late.epochs > 0 => Self::Livelocks,
            _ => Self::Deadlocks,
        }
    }
}

/// What happened in the second half of a hold.
struct Half {
    slices: usize,
    served: usize,
    elections: usize,
    epochs: usize,
}

/// One run's hold, measured.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Hold {
    /// The run's seed.
    pub seed: u64,
    /// Who led when the links were cut.
    pub leader: NodeId,
    /// The other around whom they were cut: the hub, or the far end of the chain.
    pub other: NodeId,
    /// What came of it.
    pub class: Class,
    /// The longest time without an acknowledged write, in milliseconds.
    pub outage_ms: f64,
    /// Whether that time ended with the hold, and not before.
    pub outage_to_the_end: bool,
    /// The share of the slices that were served.
    pub served: f64,
    /// How often a replica came to lead.
    pub elections: usize,
    /// For how many different epochs somebody campaigned.
    pub epochs: usize,
    /// How long it was, in milliseconds.
    pub length_ms: f64,
    /// How the run's verdicts stand: partial connectivity must cost time, and never safety.
    #[serde(serialize_with = "in_words")]
    pub standing: Standing,
    /// Whether each slice was served.
    #[serde(skip)]
    pub slices: Vec<bool>,
    /// When somebody came to lead, in milliseconds since the cut.
    #[serde(skip)]
    pub elected_at_ms: Vec<f64>,
    /// What the replicas and the clients went through.
    #[serde(skip)]
    pub trace: Vec<Line>,
}

fn in_words<S: serde::Serializer>(standing: &Standing, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(standing)
}

/// From where to where a hold goes.
#[derive(Clone, Copy)]
struct Span {
    from: Time,
    to: Time,
}

impl Span {
    fn holds(self, at: Time) -> bool {
        self.from <= at && at < self.to
    }

    fn since_ms(self, at: Time) -> f64 {
        at.since(self.from).as_secs_f64() * 1e3
    }
}

impl Hold {
    /// Measures the last partition of a run that began; `None` if there was none, it never ended, or
    /// it was not drawn around a leader.
    pub fn of(record: &RunRecord) -> Option<Self> {
        let cuts = record.faults.iter().filter(|band| band.is_partition());
        let band = cuts.max_by_key(|band| band.start)?;
        let &[leader, other] = &band.nodes[..] else { return None };
        let span = Span { from: band.start, to: band.end? };
        let middle = Time(span.from.0.midpoint(span.to.0));

        let writes = acknowledged(&record.operations, span);
        let slices = slices(&writes, span);
        let seen: Vec<&Observed> = crate::latency::in_order(&record.observed)
            .into_iter()
            .filter(|seen| span.holds(seen.at) && !is_alone(band, seen.node, record.metadata.nodes))
            .collect();
        let elected: Vec<Time> = seen
            .iter()
            .filter(|seen| matches!(seen.event, Event::Elected { .. }))
            .map(|seen| seen.at)
            .collect();
        let late = &slices[slices.len() / 2..];
        let class = Class::of(&Half {
            slices: late.len(),
            served: late.iter().filter(|&&served| served).count(),
            elections: elected.iter().filter(|&&at| at >= middle).count(),
            epochs: epochs(&seen, middle),
        });
        let (outage, outage_to_the_end) = longest_gap(&writes, span);
        Some(Self {
            seed: record.metadata.seed,
            leader,
            other,
            class,
            outage_ms: outage.as_secs_f64() * 1e3,
            outage_to_the_end,
            served: share(&slices),
            elections: elected.len(),
            epochs: epochs(&seen, span.from),
            length_ms: span.since_ms(span.to),
            standing: record.standing(),
            elected_at_ms: elected.iter().map(|&at| span.since_ms(at)).collect(),
            trace: trace::of(&seen, &writes, span),
            slices,
        })
    }
}

/// Whether a partition leaves a replica nobody to whom it could say anything.
fn is_alone(band: &FaultBand, node: NodeId, nodes: usize) -> bool {
    let mut others = (1..=nodes as u64).map(NodeId).filter(|&other| other != node);
    others.all(|other| band.links.contains(&(node, other)))
}

/// When clients' writes were acknowledged within the span, ascending.
fn acknowledged(operations: &[Operation], span: Span) -> Vec<Time> {
    let writes = operations.iter().filter(|operation| operation.call != Call::Get);
    let acknowledged = writes.filter(|operation| operation.outcome.is_ok());
    let mut times: Vec<Time> = acknowledged
        // One that was sent before may have been decided before.
        .filter(|operation| span.holds(operation.invoked))
        .filter_map(|operation| operation.completed.filter(|&at| span.holds(at)))
        .collect();
    times.sort_unstable();
    times
}

/// Which slices of the span were served; a last one that is not whole is left out.
fn slices(writes: &[Time], span: Span) -> Vec<bool> {
    let count = span.to.since(span.from).as_nanos() / SLICE.as_nanos();
    let mut slices = vec![false; usize::try_from(count).unwrap_or(0)];
    for &at in writes {
        let slice = at.since(span.from).as_nanos() / SLICE.as_nanos();
        if let Some(served) = slices.get_mut(usize::try_from(slice).unwrap_or(usize::MAX)) {
            *served = true;
        }
    }
    slices
}

fn share(slices: &[bool]) -> f64 {
    let served = slices.iter().filter(|&&served| served).count();
    if slices.is_empty() { 0.0 } else { served as f64 / slices.len() as f64 }
}

/// The longest time without a write, and whether it is the one at the end.
fn longest_gap(writes: &[Time], span: Span) -> (Duration, bool) {
    let ends = writes.iter().copied().chain([span.to]);
    let starts = [span.from].into_iter().chain(writes.iter().copied());
    let gaps = starts.zip(ends).map(|(from, to)| (to.since(from), to == span.to));
    gaps.max().unwrap_or_default()
}

/// For how many epochs somebody campaigned from an instant on, which nobody had campaigned for before.
fn epochs(seen: &[&Observed], from: Time) -> usize {
    let campaigns = seen.iter().filter_map(|seen| match seen.event {
        Event::Campaigning { epoch } => Some((seen.at, epoch)),
        _ => None,
    });
    let (before, after): (Vec<_>, Vec<_>) = campaigns.partition(|&(at, _)| at < from);
    let distinct = |campaigns: &[(Time, Epoch)]| -> BTreeSet<Epoch> {
        campaigns.iter().map(|&(_, epoch)| epoch).collect()
    };
    distinct(&after).difference(&distinct(&before)).count()
}

/// All runs of one variant of a protocol, under one scenario and one election timeout.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Cell {
    /// Which links are cut; the name of one of the table's scenarios.
    pub scenario: String,
    /// The protocol, as people call it.
    pub protocol: String,
    /// What is turned on or off.
    pub variant: String,
    /// The range of the election timeout.
    pub election_timeout: String,
    /// The arguments of `harness run` that repeat a run, but for its seed.
    pub arguments: String,
    /// The runs, by seed.
    pub runs: Vec<Hold>,
}

impl Cell {
    /// How many runs came to this.
    pub fn count(&self, class: Class) -> usize {
        self.runs.iter().filter(|run| run.class == class).count()
    }

    /// What came of most runs; of the worse, if they are as many.
    pub fn class(&self) -> Class {
        let worst_last = Class::ALL.into_iter().max_by_key(|&class| self.count(class));
        worst_last.unwrap_or(Class::Deadlocks)
    }

    /// How often each class came of it, in words: the name alone if it is always the same.
    pub fn classes(&self) -> String {
        let class = self.class();
        let others =
            Class::ALL.into_iter().filter(|&other| other != class && self.count(other) > 0);
        let others: Vec<_> =
            others.map(|other| format!("{} in {}", other.name(), self.count(other))).collect();
        match others.is_empty() {
            true => class.name().to_owned(),
            false => {
                let (count, all) = (self.count(class), self.runs.len());
                format!("{} in {count} of {all} ({})", class.name(), others.join(", "))
            }
        }
    }

    /// The middle of a number over the runs.
    pub fn median(&self, of: impl Fn(&Hold) -> f64) -> f64 {
        let values: Vec<f64> = self.runs.iter().map(of).collect();
        statistics::median(&values).unwrap_or_default()
    }

    /// The run that stands for the others: of the most frequent class, the one in the middle by its
    /// outage.
    pub fn typical(&self) -> Option<&Hold> {
        let class = self.class();
        let mut runs: Vec<&Hold> = self.runs.iter().filter(|run| run.class == class).collect();
        runs.sort_by(|a, b| a.outage_ms.total_cmp(&b.outage_ms).then(a.seed.cmp(&b.seed)));
        runs.get(runs.len() / 2).copied()
    }

    /// The run with the longest outage.
    pub fn worst(&self) -> Option<&Hold> {
        self.runs.iter().max_by(|a, b| a.outage_ms.total_cmp(&b.outage_ms))
    }

    /// The verdict that stands worst.
    pub fn standing(&self) -> Standing {
        self.runs.iter().map(|run| run.standing).max().unwrap_or(Standing::Ok)
    }
}

/// Which links are cut.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it is, in a sentence.
    pub description: String,
    /// Its schedule, as TOML.
    #[serde(skip)]
    pub schedule: String,
}

/// Everything that was measured: scenario × variant × election timeout.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Recovery {
    /// The command that made it.
    pub command: String,
    /// The laboratory's commit.
    pub commit: String,
    /// When it was begun.
    pub started_at: String,
    /// For how long links stay cut, in seconds.
    pub hold_s: f64,
    /// How many runs each cell has.
    pub runs: usize,
    /// What is offered, in words.
    pub load: String,
    /// The scenarios, in order.
    pub scenarios: Vec<Scenario>,
    /// The election timeouts, in order.
    pub election_timeouts: Vec<String>,
    /// The cells; those of one scenario together, and in it those of one variant.
    pub cells: Vec<Cell>,
}

impl Recovery {
    /// The cells of a scenario, one row for each variant, in the order of the election timeouts.
    pub fn rows(&self, scenario: &str) -> Vec<Vec<&Cell>> {
        let mut rows: Vec<Vec<&Cell>> = Vec::new();
        for cell in self.cells.iter().filter(|cell| cell.scenario == scenario) {
            let same = |row: &&mut Vec<&Cell>| {
                (&row[0].protocol, &row[0].variant) == (&cell.protocol, &cell.variant)
            };
            match rows.iter_mut().find(same) {
                Some(row) => row.push(cell),
                None => rows.push(vec![cell]),
            }
        }
        rows
    }

    /// The verdict that stands worst.
    pub fn standing(&self) -> Standing {
        self.cells.iter().map(Cell::standing).max().unwrap_or(Standing::Ok)
    }
}
