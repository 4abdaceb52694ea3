//! Which conditions are aimed at which mistake.

use crate::{
    conditions::{Conditions, SWARM},
    plant::Subject,
};

/// Each mistake, and the conditions under which it shows soonest in Raft and in Multi-Paxos.
///
/// Some show in different places. A term belongs to nobody, so Raft's second leader of a term is another
/// candidate, which must ask while a voter has just forgotten. A ballot belongs to its proposer, so the
/// second leader of a ballot is the first one, which makes the same ballot again after everyone forgot
/// it.
const AIMS: [(&str, &str, &str); 29] = [
    ("a vote not persisted", "split-vote", "power-failure"),
    ("an acknowledgement before the sync", "power-failure", "power-failure"),
    ("a retry applied twice", "after-acknowledged", "after-acknowledged"),
    ("an answer that nobody wrote", "stale-readers", "stale-readers"),
    ("a commit on a minority", "leader-in-a-minority", "leader-in-a-minority"),
    ("a read served by a deposed leader", "leader-in-a-minority", "leader-in-a-minority"),
    ("commit only own-epoch entries by counting", "leaders-fall", "leaders-cut-off"),
    ("term and vote in one atomic record", "split-vote", "split-vote"),
    ("merely seeing a vote for someone is not being granted", "split-vote", "deaf-follower"),
    ("truncate only from the first conflict, never at or below commit", "reordered", "reordered"),
    ("a cached quorum order must not commit on a minority", "power-failure", "power-failure"),
    ("a read before the leader's first own-epoch commit", "first-readers", "first-readers"),
    ("reused read contexts", "restarted-readers", "restarted-readers"),
    ("a restarted voter forgets that it granted a lease", "forgotten-lease", "forgotten-lease"),
    ("the lease ends before a transfer", "lease-handed-over", "lease-handed-over"),
    ("a membership change waits for an own-epoch commit", "members-swapped", "members-swapped"),
    ("removed servers must not disrupt", "members-return", "members-return"),
    ("leaving a recovered, uncommitted configuration", "members-swapped", "members-swapped"),
    ("a minority leader's heartbeats pinning a bridge node", "bridge", "bridge"),
    ("a ballot or term reused after a crash", "split-vote", "power-failure"),
    (
        "a vote that hides what is chosen lets a lagging leader choose twice",
        "longer-logs",
        "longer-logs",
    ),
    (
        "an acknowledgement built with a later epoch than the one accepted under",
        "leaders-cut-off",
        "leaders-cut-off",
    ),
    ("holes never filled", "lossy-leaders", "lossy-leaders"),
    ("a snapshot against slots in flight", "installs", "installs"),
    ("a restart in the middle of an install", "installs", "installs"),
    ("rejoining with a lost disk under the old identity", "power-failure", "power-failure"),
    ("a sync's completion matched by position alone", "late-answers", "late-answers"),
    ("a session that expires before the client's retry", "late-retries", "late-retries"),
    (
        "a torn last record is cut, a damaged middle record never voted over",
        "power-failure",
        "power-failure",
    ),
];

/// The conditions that are aimed at a mistake; the swarm's, if none are.
///
/// # Panics
///
/// If the table above names conditions that do not exist.
pub fn aim(mistake: &str, subject: Subject) -> &'static Conditions {
    let Some((_, raft, multipaxos)) = AIMS.iter().find(|(known, ..)| *known == mistake) else {
        return &SWARM;
    };
    let name = match subject {
        Subject::Raft => raft,
        Subject::MultiPaxos => multipaxos,
    };
    Conditions::named(name).unwrap_or_else(|| panic!("{mistake}: there are no conditions {name}"))
}
