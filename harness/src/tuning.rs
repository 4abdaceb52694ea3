//! The protocols' parameters as arguments.

use std::{ops::Range, time::Duration};

use clap::{Args, Parser};
use consensus_core::{NodeId, Settings};
use faults::schedule::Overrides;
use simulator::Preset;

/// The parameters that every protocol shares. What is compared is set alike.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Protocol parameters")]
pub struct Tuning {
    /// The range from which election timeouts are drawn [default: 150ms..300ms, or what the simulated
    /// network wants].
    #[arg(long, value_name = "FROM..TO", value_parser = parse_duration_range)]
    pub election_timeout: Option<Range<Duration>>,
    /// How often a leader makes itself heard [default: 30ms, or what the simulated network wants].
    #[arg(long, value_parser = parse_duration)]
    pub heartbeat_interval: Option<Duration>,
    /// Ask whether a campaign could succeed before starting one.
    #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
    pub pre_vote: bool,
    /// A leader that hears of no quorum for an election timeout steps down.
    #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
    pub check_quorum: bool,
    /// The most entries that one message carries.
    #[arg(long, default_value_t = 256)]
    pub max_batch_entries: usize,
    /// The most command bytes that one message carries.
    #[arg(long, default_value_t = 1 << 20)]
    pub max_batch_bytes: usize,
    /// The most messages with entries that are on their way to one peer.
    #[arg(long, default_value_t = 16)]
    pub max_inflight_batches: usize,
    /// The most command bytes that are on their way to one peer.
    #[arg(long, default_value_t = 8 << 20)]
    pub max_inflight_bytes: usize,
    /// The most entries that a leader holds uncommitted.
    #[arg(long, default_value_t = 4096)]
    pub max_uncommitted_entries: usize,
    /// The most command bytes that a leader holds uncommitted.
    #[arg(long, default_value_t = 16 << 20)]
    pub max_uncommitted_bytes: usize,
    /// Take a snapshot once the entries applied since the last one count this many bytes, each with
    /// 64 on top.
    #[arg(long, default_value_t = 64 << 20)]
    pub snapshot_after_bytes: usize,
    /// How many bytes of entries that a snapshot covers stay in memory, for followers a little
    /// behind.
    #[arg(long, default_value_t = 8 << 20)]
    pub retained_bytes: usize,
    /// A leader may serve reads by its lease, if the client asks for that.
    #[arg(long, action = clap::ArgAction::Set, default_value_t = false)]
    pub leases: bool,
    /// By how much the clocks of two replicas may drift apart, in parts per million; for leases.
    #[arg(long, default_value_t = 1000)]
    pub max_clock_drift_ppm: u32,
    /// A replica's priority, as in `2=10`: the higher, the sooner it campaigns. Repeatable.
    #[arg(long = "priority", value_name = "NODE=PRIORITY", value_parser = parse_priority)]
    pub priorities: Vec<(NodeId, u8)>,
    /// An option of the protocol's own, as in `alpha=64`; `harness protocols` lists them.
    /// Repeatable.
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = parse_option)]
    pub options: Vec<(String, String)>,
}

/// Parameters as they stand in a record: arguments and nothing else.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Recorded {
    #[command(flatten)]
    tuning: Tuning,
}

impl Default for Tuning {
    /// The protocols' own defaults.
    fn default() -> Self {
        let Settings {
            node: _,
            members: _,
            election_timeout,
            heartbeat_interval,
            pre_vote,
            check_quorum,
            max_batch_entries,
            max_batch_bytes,
            max_inflight_batches,
            max_inflight_bytes,
            max_uncommitted_entries,
            max_uncommitted_bytes,
            snapshot_after_bytes,
            retained_bytes,
            leases,
            max_clock_drift_ppm,
            priorities,
            options,
        } = Settings::new(NodeId(1), vec![NodeId(1)]);
        Self {
            election_timeout: Some(election_timeout),
            heartbeat_interval: Some(heartbeat_interval),
            pre_vote,
            check_quorum,
            max_batch_entries,
            max_batch_bytes,
            max_inflight_batches,
            max_inflight_bytes,
            max_uncommitted_entries,
            max_uncommitted_bytes,
            snapshot_after_bytes,
            retained_bytes,
            leases,
            max_clock_drift_ppm,
            priorities: priorities.into_iter().collect(),
            options: options.into_iter().collect(),
        }
    }
}

impl Tuning {
    /// The parameters of one replica.
    pub fn settings(&self, node: NodeId, members: Vec<NodeId>) -> Settings {
        Settings {
            node,
            members,
            election_timeout: self.election_timeout(),
            heartbeat_interval: self.heartbeat_interval(),
            pre_vote: self.pre_vote,
            check_quorum: self.check_quorum,
            max_batch_entries: self.max_batch_entries,
            max_batch_bytes: self.max_batch_bytes,
            max_inflight_batches: self.max_inflight_batches,
            max_inflight_bytes: self.max_inflight_bytes,
            max_uncommitted_entries: self.max_uncommitted_entries,
            max_uncommitted_bytes: self.max_uncommitted_bytes,
            snapshot_after_bytes: self.snapshot_after_bytes,
            retained_bytes: self.retained_bytes,
            leases: self.leases,
            max_clock_drift_ppm: self.max_clock_drift_ppm,
            priorities: self.priorities.iter().copied().collect(),
            options: self.options.iter().cloned().collect(),
        }
    }

    /// The range from which election timeouts are drawn.
    pub fn election_timeout(&self) -> Range<Duration> {
        self.election_timeout.clone().unwrap_or_else(|| Preset::default().timing().0)
    }

    /// How often a leader makes itself heard.
    pub fn heartbeat_interval(&self) -> Duration {
        self.heartbeat_interval.unwrap_or_else(|| Preset::default().timing().1)
    }

    /// These parameters on a simulated network: what was not given is as that network wants it.
    pub fn on(&self, network: Preset) -> Self {
        let (election_timeout, heartbeat_interval) = network.timing();
        Self {
            election_timeout: self.election_timeout.clone().or(Some(election_timeout)),
            heartbeat_interval: self.heartbeat_interval.or(Some(heartbeat_interval)),
            ..self.clone()
        }
    }

    /// These parameters, with those that a schedule sets in their place.
    pub fn under(&self, schedule: &Overrides) -> Self {
        let set = schedule.apply(self.settings(NodeId(1), vec![NodeId(1)]));
        Self {
            snapshot_after_bytes: set.snapshot_after_bytes,
            retained_bytes: set.retained_bytes,
            leases: set.leases,
            max_clock_drift_ppm: set.max_clock_drift_ppm,
            priorities: set.priorities.into_iter().collect(),
            ..self.clone()
        }
    }

    /// The same parameters as arguments for a replica's own command line.
    pub fn arguments(&self) -> Vec<String> {
        let Range { start, end } = self.election_timeout();
        let given = self.priorities.iter().map(|(node, at)| ("--priority", format!("{node}={at}")));
        let options = self.options.iter().map(|(name, to)| ("--option", format!("{name}={to}")));
        [
            ("--election-timeout", format!("{}ns..{}ns", start.as_nanos(), end.as_nanos())),
            ("--heartbeat-interval", format!("{}ns", self.heartbeat_interval().as_nanos())),
            ("--pre-vote", self.pre_vote.to_string()),
            ("--check-quorum", self.check_quorum.to_string()),
            ("--max-batch-entries", self.max_batch_entries.to_string()),
            ("--max-batch-bytes", self.max_batch_bytes.to_string()),
            ("--max-inflight-batches", self.max_inflight_batches.to_string()),
            ("--max-inflight-bytes", self.max_inflight_bytes.to_string()),
            ("--max-uncommitted-entries", self.max_uncommitted_entries.to_string()),
            ("--max-uncommitted-bytes", self.max_uncommitted_bytes.to_string()),
            ("--snapshot-after-bytes", self.snapshot_after_bytes.to_string()),
            ("--retained-bytes", self.retained_bytes.to_string()),
            ("--leases", self.leases.to_string()),
            ("--max-clock-drift-ppm", self.max_clock_drift_ppm.to_string()),
        ]
        .into_iter()
        .chain(given)
        .chain(options)
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }

    /// The parameters of these arguments; `None` if they are none.
    pub fn from_arguments(arguments: &[String]) -> Option<Self> {
        Recorded::try_parse_from(arguments).ok().map(|recorded| recorded.tuning)
    }

    /// The arguments in which these parameters differ from others.
    pub fn arguments_beside(&self, others: &Self) -> Vec<String> {
        let others = others.arguments();
        let known: Vec<_> = others.chunks(2).collect();
        let own = self.arguments();
        own.chunks(2).filter(|pair| !known.contains(pair)).flatten().cloned().collect()
    }

    /// The rows of a report's parity table: name and value.
    pub fn rows(&self) -> Vec<(String, String)> {
        let Range { start, end } = self.election_timeout();
        let priorities = self.priorities.iter().map(|(node, at)| format!("{node}={at}"));
        let options = self.options.iter().map(|(name, to)| format!("{name}={to}"));
        let listed = |words: Vec<String>| match words.is_empty() {
            true => "none".into(),
            false => words.join(", "),
        };
        [
            ("election timeout", format!("{start:?}..{end:?}, drawn uniformly")),
            ("heartbeat interval", format!("{:?}", self.heartbeat_interval())),
            ("pre-vote", self.pre_vote.to_string()),
            ("check-quorum", self.check_quorum.to_string()),
            ("batch, entries", self.max_batch_entries.to_string()),
            ("batch, bytes", self.max_batch_bytes.to_string()),
            ("in-flight batches per peer", self.max_inflight_batches.to_string()),
            ("in-flight bytes per peer", self.max_inflight_bytes.to_string()),
            ("uncommitted entries", self.max_uncommitted_entries.to_string()),
            ("uncommitted bytes", self.max_uncommitted_bytes.to_string()),
            ("snapshot after, bytes", self.snapshot_after_bytes.to_string()),
            ("retained beside a snapshot, bytes", self.retained_bytes.to_string()),
            ("leases", self.leases.to_string()),
            ("clock drift, ppm", self.max_clock_drift_ppm.to_string()),
            ("priorities", listed(priorities.collect())),
            ("the protocol's own options", listed(options.collect())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// A duration with its unit, as in `150ms`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 =
        number.parse().map_err(|_| format!("'{text}' is no duration, as in 150ms"))?;
    let scale = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(format!("'{text}' has no unit out of ns, us, ms, s, m")),
    };
    Duration::try_from_secs_f64(number * scale).map_err(|_| format!("'{text}' is out of range"))
}

/// A range of durations, as in `150ms..300ms`.
pub fn parse_duration_range(text: &str) -> Result<Range<Duration>, String> {
    let (from, to) =
        text.split_once("..").ok_or("a range is given as FROM..TO, as in 150ms..300ms")?;
    Ok(parse_duration(from)?..parse_duration(to)?)
}

fn parse_priority(text: &str) -> Result<(NodeId, u8), String> {
    let parsed = text
        .split_once('=')
        .and_then(|(node, priority)| Some((NodeId(node.parse().ok()?), priority.parse().ok()?)));
    parsed.ok_or_else(|| format!("'{text}' is no priority, as in 2=10 (0 to 255)"))
}

fn parse_option(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("an option is given as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn durations_and_ranges() {
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("150000000ns"), Ok(Duration::from_millis(150)));
        assert!(parse_duration("150").unwrap_err().contains("unit"));
        assert!(parse_duration("soon").is_err());
        let range = Duration::from_millis(150)..Duration::from_millis(300);
        assert_eq!(parse_duration_range("150ms..300ms"), Ok(range));
    }

    #[test]
    fn the_defaults_are_the_protocols_own() {
        let cli = Cli::parse_from(["harness", "run", "--protocol", "raft"]);
        let Command::Run(run) = cli.command else { panic!("run was parsed as something else") };
        let members = vec![NodeId(1), NodeId(2), NodeId(3)];
        let settings = run.experiment.tuning.settings(NodeId(1), members.clone());
        assert_eq!(settings, Settings::new(NodeId(1), members));
        assert_eq!(run.experiment.tuning.arguments(), Tuning::default().arguments());
    }

    #[test]
    fn a_wide_network_sets_what_was_not_given() {
        let given = ["harness", "run", "--protocol", "raft", "--heartbeat-interval", "20ms"];
        let Command::Run(run) = Cli::parse_from(given).command else { panic!("not run") };
        let tuning = run.experiment.tuning.on(Preset::FiveRegions);
        assert_eq!(tuning.election_timeout().start, Duration::from_millis(750));
        assert_eq!(tuning.heartbeat_interval(), Duration::from_millis(20));
    }

    #[test]
    fn what_a_schedule_sets_stands_above_the_command_line() {
        let given = ["harness", "run", "--protocol", "raft", "--retained-bytes", "7"];
        let Command::Run(run) = Cli::parse_from(given).command else { panic!("not run") };
        let tuning = &run.experiment.tuning;
        let set = Overrides { snapshot_after: "4KiB".parse().ok(), ..Overrides::default() };
        let under = tuning.under(&set);
        assert_eq!((under.snapshot_after_bytes, under.retained_bytes), (4_096, 7));
        assert_eq!(tuning.under(&Overrides::default()).arguments(), tuning.arguments());
    }

    #[test]
    fn only_what_differs_is_worth_an_argument() {
        let given =
            ["harness", "run", "--protocol", "raft", "--option", "alpha=3", "--leases", "true"];
        let Command::Run(run) = Cli::parse_from(given).command else { panic!("not run") };
        let tuning = &run.experiment.tuning;
        let told = tuning.arguments_beside(&Tuning::default());
        assert_eq!(told, ["--leases", "true", "--option", "alpha=3"]);
        assert!(tuning.arguments_beside(tuning).is_empty());
    }

    #[test]
    fn tuning_survives_the_way_to_a_replica() {
        let given = ["harness", "run", "--protocol", "raft", "--election-timeout", "1s..2.5s"];
        let Command::Run(run) = Cli::parse_from(given).command else { panic!("not run") };
        let mut line: Vec<_> =
            "harness replica --protocol raft --node 1 --members 1,2 --data x".split(' ').collect();
        let arguments = run.experiment.tuning.arguments();
        line.extend(arguments.iter().map(String::as_str));
        let Command::Replica(replica) = Cli::parse_from(line).command else {
            panic!("not replica")
        };
        assert_eq!(replica.tuning.arguments(), arguments);
        let recorded = Tuning::from_arguments(&arguments).unwrap();
        assert_eq!(recorded.arguments(), arguments);
        assert!(Tuning::from_arguments(&["--speed".into(), "9".into()]).is_none());
    }
}
