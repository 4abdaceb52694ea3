//! Whom a fault hits, in words that mean the same for every protocol.

use std::{fmt, str::FromStr};

use consensus_core::NodeId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeSeq};

/// One word for one or several replicas. It is resolved when the fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Target {
    /// `leader`: the leader of the newest epoch known.
    Leader,
    /// `one-follower`: a running replica that does not lead.
    OneFollower,
    /// `stalest`: the running replica whose commit position is the lowest.
    Stalest,
    /// `actor`: the replica at which the event happened that the step waited for.
    Actor,
    /// `dead`: every replica whose process does not run.
    Dead,
    /// `in-turn`: one replica after the other, trial by trial.
    InTurn,
    /// `minority`: as many as the cluster can lose and still serve.
    Minority,
    /// `minority-with-leader`: the same, the leader among them.
    MinorityWithLeader,
    /// `majority`: as many as the cluster cannot lose.
    Majority,
    /// `all`: every replica.
    All,
    /// `node 3`: this one, or who came in its place.
    Node(NodeId),
}

impl Target {
    /// The words, with what they stand for; a node is written with its number.
    pub const WORDS: [(&'static str, Self); 10] = [
        ("leader", Self::Leader),
        ("one-follower", Self::OneFollower),
        ("stalest", Self::Stalest),
        ("actor", Self::Actor),
        ("dead", Self::Dead),
        ("in-turn", Self::InTurn),
        ("minority", Self::Minority),
        ("minority-with-leader", Self::MinorityWithLeader),
        ("majority", Self::Majority),
        ("all", Self::All),
    ];

    /// Whom it means, in a line.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Leader => "the leader of the newest epoch known",
            Self::OneFollower => "a running replica that does not lead, drawn with the seed",
            Self::Stalest => "the running replica whose commit position is the lowest",
            Self::Actor => "the replica at which the event happened that the step waited for",
            Self::Dead => "every replica whose process does not run",
            Self::InTurn => "one replica after the other, trial by trial",
            Self::Minority => "as many as the cluster can lose and still serve",
            Self::MinorityWithLeader => "the same, the leader among them",
            Self::Majority => "as many as the cluster cannot lose",
            Self::All => "every replica",
            Self::Node(_) => "this one, or who came in its place",
        }
    }

    /// The fewest replicas that a cluster must have for the target to exist.
    pub fn least_nodes(self) -> usize {
        match self {
            Self::OneFollower => 2,
            Self::Minority | Self::MinorityWithLeader => 3,
            Self::Node(node) => usize::try_from(node.0).unwrap_or(usize::MAX),
            _ => 1,
        }
    }

    /// Whether it is a single replica, whoever that is.
    pub const fn is_one(self) -> bool {
        matches!(
            self,
            Self::Leader
                | Self::OneFollower
                | Self::Stalest
                | Self::Actor
                | Self::InTurn
                | Self::Node(_)
        )
    }

    /// Whether whom it hits depends on who leads.
    pub const fn needs_leader(self) -> bool {
        matches!(self, Self::Leader | Self::OneFollower | Self::MinorityWithLeader)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let word = Self::WORDS.iter().find(|(word, _)| *word == text).map(|(_, target)| *target);
        let node = text.strip_prefix("node ").and_then(|number| number.trim().parse().ok());
        word.or_else(|| node.filter(|&number| number > 0).map(|number| Self::Node(NodeId(number))))
            .ok_or_else(|| TargetError(text.to_owned()))
    }
}

/// What is no target.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is no target; there are leader, one-follower, stalest, actor, dead, in-turn, minority, \
     minority-with-leader, majority, all and \"node <number>\""
)]
pub struct TargetError(pub String);

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            other => {
                let word = Self::WORDS.iter().find(|(_, target)| target == other);
                f.write_str(word.expect("every target but a node has its word").0)
            }
        }
    }
}

/// The union of several targets, distinct: `["leader", "one-follower"]`. One alone is written bare.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Targets(pub Vec<Target>);

impl Targets {
    /// One target.
    pub fn one(target: Target) -> Self {
        Self(vec![target])
    }

    /// The targets, in the order written.
    pub fn iter(&self) -> impl Iterator<Item = Target> + '_ {
        self.0.iter().copied()
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, target) in self.iter().enumerate() {
            if position > 0 {
                f.write_str(" + ")?;
            }
            write!(f, "{target}")?;
        }
        Ok(())
    }
}

impl Serialize for Targets {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if let [target] = self.0[..] {
            return to.collect_str(&target);
        }
        let mut list = to.serialize_seq(Some(self.0.len()))?;
        for target in self.iter() {
            list.serialize_element(&target.to_string())?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Targets {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Words)
    }
}

/// Reads one word, or a list of them.
struct Words;

impl<'de> de::Visitor<'de> for Words {
    type Value = Targets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a target such as \"leader\", or a list of them")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Targets, E> {
        Ok(Targets::one(word.parse().map_err(E::custom)?))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut words: A) -> Result<Targets, A::Error> {
        let mut targets = Vec::new();
        while let Some(word) = words.next_element::<String>()? {
            targets.push(word.parse().map_err(de::Error::custom)?);
        }
        Ok(Targets(targets))
    }
}
