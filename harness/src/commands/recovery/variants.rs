//! What is turned on and off: which rules decide that a leader goes, and who helps whom to be the next.

use std::{ops::Range, time::Duration};

use crate::{registry::Entry, tuning::Tuning};

/// One variant of a protocol.
pub struct Variant {
    /// What distinguishes it.
    pub name: String,
    /// Its parameters.
    pub tuning: Tuning,
    /// The arguments of `harness run` that say so.
    pub arguments: String,
}

/// Rules that every protocol shares.
struct Switches {
    name: &'static str,
    pre_vote: bool,
    check_quorum: bool,
    leases: bool,
}

const fn switches(
    name: &'static str,
    pre_vote: bool,
    check_quorum: bool,
    leases: bool,
) -> Switches {
    Switches { name, pre_vote, check_quorum, leases }
}

/// For elections by timeout or suspicion.
const ALL: [Switches; 5] = [
    switches("pre-vote and check-quorum", true, true, false),
    switches("check-quorum alone", false, true, false),
    switches("pre-vote alone", true, false, false),
    switches("neither", false, false, false),
    switches("pre-vote, check-quorum, leases", true, true, true),
];

/// For elections by rounds of heartbeats, which know no pre-vote.
const WITHOUT_PRE_VOTE: [Switches; 3] = [
    switches("check-quorum", true, true, false),
    switches("no check-quorum", true, false, false),
    switches("check-quorum, leases", true, true, true),
];

/// What makes a replica campaign, where a protocol lets one choose; each with what may be switched.
const ELECTIONS: [(&str, &[Switches]); 3] =
    [("timeout", &ALL), ("detector", &ALL), ("ballot", &WITHOUT_PRE_VOTE)];

/// How many heartbeats a leader sends in the shortest election timeout.
const HEARTBEATS: u32 = 5;

/// The variants of a protocol under this election timeout.
pub fn of(protocol: &Entry, election_timeout: &Range<Duration>) -> Vec<Variant> {
    let chooses = protocol.options.iter().any(|(name, _)| *name == "election");
    let elections: Vec<_> = match chooses {
        true => ELECTIONS.iter().map(|(name, switches)| (Some(*name), *switches)).collect(),
        false => vec![(None, &ALL[..])],
    };
    let variants = elections.into_iter().flat_map(|(election, switches)| {
        switches.iter().map(move |switches| variant(election, switches, election_timeout))
    });
    variants.collect()
}

fn variant(election: Option<&str>, switches: &Switches, timeout: &Range<Duration>) -> Variant {
    let Switches { name, pre_vote, check_quorum, leases } = *switches;
    let heartbeat_interval = timeout.start / HEARTBEATS;
    // The default is said as a default.
    let election = election.filter(|election| *election != "timeout");
    let options = election.map(|election| ("election".to_owned(), election.to_owned()));
    let tuning = Tuning {
        election_timeout: Some(timeout.clone()),
        heartbeat_interval: Some(heartbeat_interval),
        pre_vote,
        check_quorum,
        leases,
        options: options.into_iter().collect(),
        ..Tuning::default()
    };
    let mut arguments =
        format!("--election-timeout {timeout:?} --heartbeat-interval {heartbeat_interval:?}");
    let flags = [
        ("pre-vote", pre_vote, true),
        ("check-quorum", check_quorum, true),
        ("leases", leases, false),
    ];
    for (flag, value, _) in flags.iter().filter(|(_, value, usual)| value != usual) {
        arguments.push_str(&format!(" --{flag} {value}"));
    }
    arguments.extend(election.map(|election| format!(" --option election={election}")));
    let name = match election {
        Some(election) => format!("{election}: {name}"),
        None => name.to_owned(),
    };
    Variant { name, tuning, arguments }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{
        cli::{Cli, Command},
        registry,
    };

    #[test]
    fn the_arguments_of_a_variant_say_what_it_is() {
        for protocol in registry::protocols() {
            for variant in of(&protocol, &(Duration::from_millis(500)..Duration::from_secs(1))) {
                let line =
                    format!("harness run --protocol {} {}", protocol.name, variant.arguments);
                let Command::Run(run) = Cli::parse_from(line.split(' ')).command else {
                    panic!("not run")
                };
                assert_eq!(run.experiment.tuning.arguments(), variant.tuning.arguments(), "{line}");
            }
        }
    }
}
