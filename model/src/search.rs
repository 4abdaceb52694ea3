//! Searching a model, and telling what came of it.

use std::fmt::Write as _;

use stateright::{Checker, Expectation, HasDiscoveries, Model, UniformChooser};

use crate::{
    cluster::Cluster,
    exploration::{Action, Exploration},
    explored::Explored,
};

/// How to go through the states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Search {
    /// All of them, depth first: the least memory.
    Exhaustive,
    /// Breadth first until a property fails: the shortest way to it.
    Shortest,
    /// Depth first until a property fails: soon found, by some way or other.
    Quickest,
    /// Random walks from the start until so many states were met, and to the end of the last walk; a
    /// state that two walks meet counts twice.
    Random {
        /// The seed of the walks.
        seed: u64,
        /// How many states.
        states: usize,
    },
}

/// What came of a search.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Findings {
    /// Distinct states; for random walks, states met.
    pub states: usize,
    /// Steps between states, those to known ones included.
    pub steps: usize,
    /// The most actions from the start to a state.
    pub depth: usize,
    /// The properties that failed, each with the way there.
    pub failures: Vec<Failure>,
    /// What should have been seen and never was.
    pub unseen: Vec<&'static str>,
}

/// A property that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Its name.
    pub property: &'static str,
    /// The actions that lead to a state in which it does not hold, one a line, and what was seen on the
    /// way.
    pub story: String,
}

impl<P: Explored> Exploration<P> {
    /// Searches.
    pub fn search(self, search: Search) -> Findings {
        let checker = self.checker();
        match search {
            Search::Exhaustive => findings(&checker.spawn_dfs().join()),
            Search::Shortest => {
                findings(&checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join())
            }
            Search::Quickest => {
                findings(&checker.finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join())
            }
            Search::Random { seed, states } => {
                let checker = checker.target_state_count(states);
                findings(&checker.spawn_simulation(seed, UniformChooser).join())
            }
        }
    }
}

/// A state on a path, and what happened then.
type Step<P> = (Cluster<P>, Option<Action<P>>);

fn findings<P: Explored>(checker: &impl Checker<Exploration<P>>) -> Findings {
    let mut discoveries = checker.discoveries();
    let mut failures = Vec::new();
    let mut unseen = Vec::new();
    for property in checker.model().properties() {
        match (property.expectation, discoveries.remove(property.name)) {
            (Expectation::Sometimes, None) => unseen.push(property.name),
            (Expectation::Sometimes, Some(_)) | (_, None) => {}
            (_, Some(path)) => {
                let mut steps = path.into_vec();
                let holds = |(state, _): &Step<P>| (property.condition)(checker.model(), state);
                let fails_at = steps.iter().position(|step| !holds(step));
                steps.truncate(fails_at.map_or(steps.len(), |at| at + 1));
                failures.push(Failure { property: property.name, story: story(&steps) });
            }
        }
    }
    Findings {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        failures,
        unseen,
    }
}

/// A path, readable: what happened, and what was seen then.
fn story<P: Explored>(steps: &[Step<P>]) -> String {
    let mut story = String::new();
    for (number, pair) in steps.windows(2).enumerate() {
        let [(before, action), (after, _)] = pair else { continue };
        if let Some(action) = action {
            writeln!(story, "{:>3}. {action}", number + 1).expect("a String grows");
        }
        for line in news(before, after) {
            writeln!(story, "       {line}").expect("a String grows");
        }
    }
    story
}

/// What the later state's history holds that the earlier one's does not.
fn news<P: Explored>(before: &Cluster<P>, after: &Cluster<P>) -> Vec<String> {
    let (old, new) = (&before.history, &after.history);
    let mut lines = Vec::new();
    for (epoch, leaders) in &new.leaders {
        let known = old.leaders.get(epoch);
        let fresh =
            leaders.iter().filter(|leader| !known.is_some_and(|known| known.contains(leader)));
        lines.extend(fresh.map(|leader| format!("n{leader} leads epoch {epoch}")));
    }
    for (index, payloads) in &new.applied {
        let known = old.applied.get(index);
        let fresh =
            payloads.keys().filter(|what| !known.is_some_and(|known| known.contains_key(what)));
        lines.extend(fresh.map(|what| match what.command() {
            Some(command) => format!("{command:?} is applied at {index}"),
            None => format!("a no-op is applied at {index}"),
        }));
    }
    if let (None, Some((id, why))) = (&old.broken, &new.broken) {
        lines.push(format!("n{id} is broken: {why}"));
    }
    lines
}
