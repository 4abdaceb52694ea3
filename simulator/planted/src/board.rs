//! The scoreboard: how each mistake is caught.

use std::fmt::Write as _;

use crate::{Subject, finding::Catch, plant::Plant};

/// What hunting for a mistake under some conditions came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hunt {
    /// The conditions' name.
    pub conditions: &'static str,
    /// How many seeds were tried at most.
    pub bound: u64,
    /// The first run that shows the mistake.
    pub catch: Option<Catch>,
}

impl Hunt {
    /// How many seeds it took.
    fn seeds(&self) -> String {
        match &self.catch {
            Some(catch) => (catch.seed + 1).to_string(),
            None => NONE.to_owned(),
        }
    }
}

/// How small the schedule became that shows a mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Small {
    /// Its file, in the folder `caught`.
    pub file: String,
    /// Its steps.
    pub steps: usize,
    /// Its replicas.
    pub nodes: usize,
    /// The virtual seconds that its run takes.
    pub seconds: u64,
    /// What it shows, in full.
    pub shows: String,
}

/// A mistake in a protocol, and how it is caught.
#[derive(Clone, Debug)]
pub struct Row {
    /// The mistake.
    pub plant: Plant,
    /// The directed scenario that was seen to fail with it.
    pub scenario: Option<String>,
    /// Under the conditions that are aimed at it.
    pub aimed: Hunt,
    /// Under random schedules.
    pub swarm: Hunt,
    /// The schedule cut down, if seeds show it.
    pub small: Option<Small>,
}

/// What stands where there is nothing.
pub const NONE: &str = "–";

/// The head of the table of mistakes.
const HEAD: &str = "| mistake | protocol | directed scenario | schedule aimed at it | seeds | seeds of \
     the swarm | shown by | cut down to |\n|---|---|---|---|---:|---:|---|---|\n";

impl Row {
    /// Whether any seed shows it.
    pub const fn is_caught_by_seeds(&self) -> bool {
        self.aimed.catch.is_some() || self.swarm.catch.is_some()
    }

    fn line(&self) -> String {
        let Self { plant, scenario, aimed, swarm, small } = self;
        let cut = small.as_ref().map_or(NONE.to_owned(), |small| {
            let Small { file, steps, nodes, seconds, .. } = small;
            let (steps, nodes) = (counted(*steps, "step"), counted(*nodes, "node"));
            format!("[{steps}, {nodes}, {seconds} s](caught/{file})")
        });
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {cut} |\n",
            plant.mistake,
            plant.subject.name(),
            scenario.as_deref().unwrap_or(NONE),
            aimed.conditions,
            aimed.seeds(),
            swarm.seeds(),
            small.as_ref().map_or(NONE, |small| &small.shows),
        )
    }
}

/// So many of these.
fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A protocol without any mistake, under some conditions.
#[derive(Clone, Debug)]
pub struct Clean {
    /// The protocol.
    pub subject: Subject,
    /// The conditions' name.
    pub conditions: &'static str,
    /// How many seeds were tried.
    pub seeds: u64,
    /// Those that showed something.
    pub findings: Vec<Catch>,
}

/// The scoreboard, from what came out; rows of rules that are known to be pitfalls stand first.
pub fn write(rows: &[Row], clean: &[Clean], is_pitfall: impl Fn(&str) -> bool) -> String {
    let mut text = head(rows);
    let (pitfalls, others): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| is_pitfall(row.plant.mistake));
    text += "\n## Rules that published implementations got wrong\n\n";
    text += HEAD;
    text.extend(pitfalls.into_iter().map(Row::line));
    text += "\n## Other mistakes\n\n";
    text += HEAD;
    text.extend(others.into_iter().map(Row::line));
    text += "\n## Without a mistake\n\nThe protocols as they are, under the same conditions and seeds.\n\n\
             | schedule | protocol | seeds | in which something was found |\n|---|---|---:|---|\n";
    for Clean { subject, conditions, seeds, findings } in clean {
        let found: Vec<_> =
            findings.iter().map(|catch| format!("{}: {}", catch.seed, catch.finding)).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join("; ") };
        let name = subject.name();
        writeln!(text, "| {conditions} | {name} | {seeds} | {found} |")
            .expect("a string can always be written to");
    }
    text
}

fn head(rows: &[Row]) -> String {
    let by_seeds = rows.iter().filter(|row| row.is_caught_by_seeds()).count();
    let by_scenario = rows.iter().filter(|row| row.scenario.is_some()).count();
    let only = |row: &&Row| !row.is_caught_by_seeds() && row.scenario.is_some();
    let scenario_only = rows.iter().filter(only).count();
    let survive = rows.len() - by_seeds - scenario_only;
    let bounds = |of: fn(&Row) -> u64| rows.first().map_or(0, of);
    let (aimed, swarm) = (bounds(|row| row.aimed.bound), bounds(|row| row.swarm.bound));
    format!(
        "# Scoreboard of planted mistakes\n\n\
         Each mistake is planted in a copy of each protocol, one at a time. Written by\n\n    \
         PLANTED=all cargo run --release -p planted --example scoreboard\n\n\
         - **{} mistakes** (a rule in a protocol counts once for each protocol).\n\
         - **{by_seeds} are shown by seeds**, {by_scenario} by a directed scenario, {scenario_only} of them \
         by the scenario alone.\n\
         - **{survive} survive both.**\n\n\
         *Directed scenario*: fails with the mistake, as `cargo run -p pitfalls` has seen (PITFALLS.md of each \
         protocol).\n*Seeds*: how many runs it took until one showed the mistake, at most {aimed} \
         under the schedule that is aimed\nat it ([schedules](schedules)), and {swarm} under random ones. A run \
         shows a mistake if a verdict of the checker is violated, a\nreplica breaks its own invariant, or the \
         cluster does not do what it must (*liveness*: it comes to the schedule's end, and\nthe replicas agree \
         in bounded virtual time; where nothing strikes the leader's quorum it stays, and where somebody\nreaches \
         a quorum clients are served). *Cut down*: the smallest schedule found that still shows it, and under \
         which\nthe protocol without the mistake is clean: steps, replicas, virtual seconds.\n",
        rows.len(),
    )
}
