//! What a target can do: every kind, shape and target word of a schedule, carried out or refused.

use std::fmt::{self, Write as _};

use consensus_core::NodeId;

use super::{Fault, Kind, Partition, Schedule, Shape, Step, Target};

/// Something that a schedule may ask for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Feature {
    /// A kind of fault.
    Kind(Kind),
    /// A shape of a partition.
    Shape(Shape),
    /// A word for whom a fault hits.
    Target(Target),
}

impl Feature {
    /// All of them; one node stands for every node.
    pub fn all() -> impl Iterator<Item = Self> {
        let words = Target::WORDS.iter().map(|(_, target)| *target);
        let targets = words.chain([Target::Node(NodeId(3))]).map(Self::Target);
        let kinds = Kind::ALL.into_iter().map(Self::Kind);
        kinds.chain(Shape::ALL.into_iter().map(Self::Shape)).chain(targets)
    }

    /// What it means, in a line.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.meaning(),
            Self::Shape(shape) => shape.meaning(),
            Self::Target(target) => target.meaning(),
        }
    }

    /// What a step asks for.
    pub fn of(step: &Step) -> Vec<Self> {
        let mut features = vec![Self::Kind(step.fault.kind())];
        if let Fault::Partition(Partition { shape, .. }) = &step.fault {
            features.push(Self::Shape(*shape));
        }
        let targets = step.fault.targets();
        features.extend(targets.iter().flat_map(|(_, words)| words.iter()).map(Self::Target));
        features
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "{kind}"),
            Self::Shape(shape) => f.write_str(shape.name()),
            Self::Target(target) => write!(f, "{target}"),
        }
    }
}

/// Whether a target does something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// It does, in this way.
    Done(&'static str),
    /// It does not, for this reason.
    Refused(&'static str),
}

/// What a target (simulator, processes, containers, pods) can do.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities(fn(Feature) -> Support);

impl Capabilities {
    /// Those that this function tells of.
    pub const fn new(support: fn(Feature) -> Support) -> Self {
        Self(support)
    }

    /// Whether and how it does this.
    pub fn support(self, feature: Feature) -> Support {
        self.0(feature)
    }
}

/// A step that a target cannot carry out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("step `{step}`: this target cannot do `{feature}`: {why}")]
pub struct Unsupported {
    /// The step.
    pub step: String,
    /// What it asks for.
    pub feature: Feature,
    /// Why it cannot be had.
    pub why: &'static str,
}

impl Schedule {
    /// Which steps a target with these capabilities cannot carry out; empty if it can do them all.
    /// Such a run is refused before it starts: a fault that is skipped proves nothing.
    pub fn unsupported_on(&self, capabilities: Capabilities) -> Vec<Unsupported> {
        let asked = self.steps.iter().flat_map(|step| {
            Feature::of(step).into_iter().map(|feature| (step.id.clone(), feature))
        });
        let refused = asked.filter_map(|(step, feature)| match capabilities.support(feature) {
            Support::Done(_) => None,
            Support::Refused(why) => Some(Unsupported { step, feature, why }),
        });
        refused.collect()
    }
}

/// Everything that a schedule may ask for against these named targets, as Markdown.
pub fn table(targets: &[(&str, Capabilities)]) -> String {
    let mut text = String::new();
    let section = |text: &mut String, title: &str, of: fn(&Feature) -> bool| {
        let names: String = targets.iter().map(|(name, _)| format!(" `{name}` |")).collect();
        let rules = "---|".repeat(targets.len());
        let written =
            writeln!(text, "\n## {title}\n\n| | what it means |{names}\n|---|---|{rules}");
        written.expect("a string can always be written to");
        for feature in Feature::all().filter(of) {
            let cells: String = targets
                .iter()
                .map(|(_, capabilities)| match capabilities.support(feature) {
                    Support::Done(how) => format!(" {how} |"),
                    Support::Refused(why) => format!(" **refused**: {why} |"),
                })
                .collect();
            let name = match feature {
                Feature::Target(Target::Node(_)) => "node 3".to_owned(),
                feature => feature.to_string(),
            };
            writeln!(text, "| `{name}` | {} |{cells}", feature.meaning())
                .expect("a string can always be written to");
        }
    };
    section(&mut text, "Kinds", |feature| matches!(feature, Feature::Kind(_)));
    section(&mut text, "Shapes of a partition", |feature| matches!(feature, Feature::Shape(_)));
    section(&mut text, "Words for whom a fault hits", |feature| {
        matches!(feature, Feature::Target(_))
    });
    text
}
