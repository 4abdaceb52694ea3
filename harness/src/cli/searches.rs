//! The arguments of the commands that search among simulated runs.

use std::{ops::Range, path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum};
use faults::director::Cast;
use simulator::Preset;

use super::{KubernetesArgs, Target};
use crate::tuning::Tuning;

/// `harness sweep`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness sweep --protocol raft --seeds 0..500
  harness sweep --protocol multipaxos --seeds 0..50 --schedule the-story
  harness sweep --protocol raft --seeds 17..18             replay one seed
  harness sweep --protocol raft --seeds 0..500 --shrink no tell what failed, and leave it as it is

A seed fails if a verdict does not pass that its schedule does not expect to be violated, if an
invariant breaks inside, if the schedule does not come to its end, if the replicas do not agree after
everything healed, or if the same seed gives another trace. Each of the first ten that fail is cut down
to a small schedule that still fails in the same way, written to a file, and told with the one command
that replays it.")]
pub struct SweepArgs {
    /// Which protocol (see `harness protocols`).
    #[arg(long)]
    pub protocol: String,
    /// Which seeds: FROM..TO, the last excluded.
    #[arg(long, value_parser = parse_seeds, value_name = "FROM..TO")]
    pub seeds: Range<u64>,
    /// `swarm` draws a schedule from each seed; or a bundled name, or a file.
    #[arg(long, default_value = "swarm", value_name = "swarm|NAME|FILE")]
    pub schedule: String,
    /// How many replicas; drawn from the seed (swarm) or the schedule's own number if not given.
    #[arg(long)]
    pub nodes: Option<usize>,
    /// The simulated network: loopback, lan, three-zones or five-regions; `lan` if not given.
    #[arg(long, value_name = "NAME", value_parser = str::parse::<Preset>)]
    pub network: Option<Preset>,
    /// How many simulations run side by side; as many as there are cores if not given.
    #[arg(long)]
    pub jobs: Option<usize>,
    /// Run each seed once instead of twice. Twice proves that the same seed gives the same trace.
    #[arg(long)]
    pub once: bool,
    /// How many smaller schedules are tried for each failure, or `no`.
    #[arg(long, value_name = "N|no", value_parser = str::parse::<Tries>, default_value = "400")]
    pub shrink: Tries,
    /// Where shrunk schedules are written; by default a new folder under runs/.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub tuning: Tuning,
}

/// `harness shrink`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness shrink --protocol raft clock-beyond-bound             a bundled schedule, seed 1
  harness shrink --protocol raft my-schedule.toml --seed 7
  harness shrink --protocol multipaxos swarm --seed 17          what this seed draws
  harness shrink --protocol raft clock-beyond-bound --verdict lease-reads --tries 2000

A run fails if a verdict does not pass, if an invariant breaks inside, if the schedule does not come to
its end, or if the replicas do not agree after everything healed. Unlike for a sweep, what a schedule
expects to be violated is a failure, too. What is left still fails in the same way: the same verdict, or
a panic at the same place. Steps are left out, durations, replicas, clients and operations become fewer,
until nothing can be left out or made smaller, or the tries are spent.

Exit status: 0 it fails and is shrunk, 1 it does not fail, 2 bad arguments.")]
pub struct ShrinkArgs {
    /// Which protocol (see `harness protocols`).
    #[arg(long)]
    pub protocol: String,
    /// A bundled schedule's name, a schedule file, or `swarm`.
    #[arg(value_name = "SCHEDULE")]
    pub schedule: String,
    /// The seed under which it fails.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Which verdict is to fail; whatever fails first if not given.
    #[arg(long, value_name = "NAME")]
    pub verdict: Option<String>,
    /// How many replicas; the schedule's own number if not given.
    #[arg(long)]
    pub nodes: Option<usize>,
    /// The simulated network: loopback, lan, three-zones or five-regions; `lan` if not given.
    #[arg(long, value_name = "NAME", value_parser = str::parse::<Preset>)]
    pub network: Option<Preset>,
    /// How many smaller schedules are tried.
    #[arg(long, default_value_t = 2_000)]
    pub tries: usize,
    /// Where the shrunk schedule is written; by default a new folder under runs/.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub tuning: Tuning,
}

/// Whom a replayed run strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum CastKind {
    /// The very same replicas, whatever part they play now.
    Literal,
    /// Whoever plays the part: who leads now is struck where who led was.
    Roles,
}

impl From<CastKind> for Cast {
    fn from(asked: CastKind) -> Self {
        match asked {
            CastKind::Literal => Self::Literal,
            CastKind::Roles => Self::Roles,
        }
    }
}

/// `harness replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness replay runs/mine                             a real run in the simulator, and how well it fits
  harness replay runs/mine --cast literal --runs 20    the very same replicas are struck, 20 simulations
  harness replay runs/mine --protocol multipaxos       the same faults to the letter, the other protocol
  harness replay runs/mine --target local              once more on real processes

What a schedule turned out to be is in a run's schedule.resolved.toml: whom each fault struck, and when.
That is played again with the same seed, parameters and load, and in the simulator on links and disks as
slow as the real ones were, which the run's passages.jsonl tells. Of a real run that is simulated, the
report holds its elections, outages and latencies against those of the simulations; a run on the same
kind of target is compared with the original.

Exit status: 0 the replayed runs hold what the schedule expects, 1 they do not, 2 bad arguments.")]
pub struct ReplayArgs {
    /// The directory of the run.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Where it is played.
    #[arg(long, value_enum, default_value_t = Target::Sim)]
    pub target: Target,
    /// By which protocol; the run's own if not given.
    #[arg(long)]
    pub protocol: Option<String>,
    /// Whom the faults strike. If not given: who plays the part if a real run is simulated with its own
    /// protocol, and else the very same replicas.
    #[arg(long, value_enum)]
    pub cast: Option<CastKind>,
    /// How often, each time under the next seed; if not given, 10 times if a real run is simulated with
    /// its own protocol, and else once.
    #[arg(long)]
    pub runs: Option<u64>,
    /// The simulated network; if not given, what a real run's messages measured of its own, and what was
    /// simulated for a simulated one.
    #[arg(long, value_name = "NAME", value_parser = str::parse::<Preset>)]
    pub network: Option<Preset>,
    /// Where to write; by default a new folder under runs/.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// What a hunt looks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Quarry {
    /// The longest time without an answer is much longer with one protocol than with the other.
    OutageDifference,
}

/// `harness hunt`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  harness hunt --protocols raft,multipaxos --maximize outage-difference
  harness hunt --budget 600 --seed 7 --out runs/hunt       a short one, and what another seed finds
  harness hunt --minutes 10 --budget 100000

A hunt starts from bundled and drawn schedules, changes the best of them step by step (a step more or
less, somebody else hit, another time), and keeps those in which one protocol's clients go unanswered for
longer than the other's: in the median of three seeds, so that it is no accident of one. The best few,
both ways, are seen again under seeds that the search never used, shrunk as long as four fifths of the
difference stay, and written as schedules with what was seen. The same seed and budget find the same;
--minutes may end it earlier.

Exit status: 0 something was found, 1 nothing was, 2 bad arguments.")]
pub struct HuntArgs {
    /// Which two protocols, separated by a comma.
    #[arg(long, value_delimiter = ',', default_value = "raft,multipaxos")]
    pub protocols: Vec<String>,
    /// What is to become large.
    #[arg(long, value_enum, default_value_t = Quarry::OutageDifference)]
    pub maximize: Quarry,
    /// How many simulations the search takes at most.
    #[arg(long, default_value_t = 6_000)]
    pub budget: u64,
    /// How many minutes the search takes at most.
    #[arg(long)]
    pub minutes: Option<u64>,
    /// The seed of the search.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many schedules are written for each of the two, at most.
    #[arg(long, default_value_t = 3)]
    pub best: usize,
    /// How many smaller schedules are tried for each that is written, or `no`.
    #[arg(long, value_name = "N|no", value_parser = str::parse::<Tries>, default_value = "150")]
    pub shrink: Tries,
    /// The simulated network: loopback, lan, three-zones or five-regions; `lan` if not given.
    #[arg(long, value_name = "NAME", value_parser = str::parse::<Preset>)]
    pub network: Option<Preset>,
    /// How many simulations run side by side; as many as there are cores if not given.
    #[arg(long)]
    pub jobs: Option<usize>,
    /// Where to write; by default a new folder under runs/.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub tuning: Tuning,
}

/// How many smaller schedules are tried: `no` is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tries(pub usize);

impl FromStr for Tries {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "no" => Ok(Self(0)),
            _ => text.parse().map(Self).map_err(|_| "it is a number of tries, or 'no'".to_owned()),
        }
    }
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let parse = |part: &str| part.parse::<u64>().map_err(|_| format!("'{part}' is no number"));
    let (from, to) = text.split_once("..").ok_or("seeds are given as FROM..TO, as in 0..500")?;
    let range = parse(from)?..parse(to)?;
    if range.is_empty() {
        return Err(format!("{text} holds no seed: the last is excluded"));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_that_holds_some() {
        assert_eq!(parse_seeds("3..5"), Ok(3..5));
        assert!(parse_seeds("5..5").is_err());
    }

    #[test]
    fn tries_are_a_number_or_none() {
        assert_eq!(("no".parse(), "12".parse()), (Ok(Tries(0)), Ok(Tries(12))));
        assert!("few".parse::<Tries>().is_err());
    }
}
