//! What is happening, a line for each trial.

use std::time::Duration;

use consensus_core::{
    Epoch, Event, NodeId, Time,
    history::{Observed, Operation},
};
use faults::{Action, Effect, Phase};
use indicatif::{ProgressBar, ProgressStyle};

/// Follows a run and tells about it on standard error.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    trials: u32,
    begun: u32,
    leader: Option<(NodeId, Epoch)>,
    open: Option<OpenTrial>,
}

/// A trial whose end has not been told yet.
#[derive(Debug)]
struct OpenTrial {
    number: u32,
    step: String,
    trial: u32,
    at: Time,
    leader: Option<(NodeId, Epoch)>,
    what: String,
    /// Whether the leader was struck so that another will follow, however soon it is back itself.
    bereft: bool,
    successor: Option<(NodeId, Time)>,
    resigned: Option<Time>,
    served: Option<Time>,
}

impl Progress {
    /// Starts telling about a run of so many trials.
    pub fn new(trials: u32) -> Self {
        let bar = ProgressBar::new(u64::from(trials));
        let style = ProgressStyle::with_template("[{elapsed}] {bar:20} {pos}/{len} {msg}");
        bar.set_style(style.expect("the template is valid"));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, trials, begun: 0, leader: None, open: None }
    }

    /// Tells something.
    pub fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }

    /// Says what is being waited for.
    pub fn stage(&self, stage: &str) {
        self.bar.set_message(stage.to_owned());
    }

    /// Follows what is done to the cluster.
    pub fn action(&mut self, at: Time, action: &Action) {
        match action.phase {
            Phase::Begin => self.begin(at, action),
            Phase::During => {}
            Phase::End => {
                let mine =
                    |open: &OpenTrial| open.step == action.step && open.trial == action.trial;
                let waits = |open: &OpenTrial| open.bereft && open.successor.is_none();
                if self.open.as_ref().is_some_and(|open| mine(open) && !waits(open)) {
                    self.tell();
                }
            }
        }
    }

    /// Follows what happens inside replicas.
    pub fn observed(&mut self, observed: &Observed) {
        if let Event::SteppedDown { epoch } = observed.event
            && let Some(open) = self.open.as_mut().filter(|open| open.at <= observed.at)
            && open.leader == Some((observed.node, epoch))
        {
            open.resigned.get_or_insert(observed.at);
        }
        let Event::Elected { epoch } = observed.event else { return };
        // That somebody leads may be known from elsewhere by now; when it was elected is not.
        self.leads(observed.node, epoch);
        if let Some(open) = self.open.as_mut().filter(|open| open.at <= observed.at)
            && open.leader.is_none_or(|(_, known)| known < epoch)
        {
            open.successor.get_or_insert((observed.node, observed.at));
        }
    }

    /// Learns who leads, from elsewhere than what the replica notes.
    pub fn leads(&mut self, node: NodeId, epoch: Epoch) {
        if self.leader.is_none_or(|(_, known)| known < epoch) {
            self.leader = Some((node, epoch));
        }
    }

    /// Follows the clients.
    pub fn completed(&mut self, operation: &Operation) {
        let (Some(open), Some(at)) = (&mut self.open, operation.completed) else { return };
        let Some((_, elected)) = open.successor else { return };
        if operation.outcome.is_ok() && operation.sequence > 0 && at >= elected {
            open.served.get_or_insert(at);
            self.tell();
        }
    }

    /// Ends the telling.
    pub fn finish(&mut self) {
        self.tell();
        self.bar.finish_and_clear();
    }

    fn begin(&mut self, at: Time, action: &Action) {
        let leader = self.leader.map(|(node, _)| node);
        let what = describe(&action.effect, leader);
        let bereft = leader.is_some_and(|leader| ends(&action.effect, leader));
        let same = |open: &&mut OpenTrial| open.step == action.step && open.trial == action.trial;
        if let Some(open) = self.open.as_mut().filter(same) {
            // A trial may begin with several actions.
            open.what = format!("{}, {what}", open.what);
            open.bereft |= bereft;
            return;
        }
        self.tell();
        self.begun += 1;
        self.bar.set_position(u64::from(self.begun));
        self.open = Some(OpenTrial {
            number: self.begun,
            step: action.step.clone(),
            trial: action.trial,
            at,
            leader: self.leader,
            what,
            bereft,
            successor: None,
            resigned: None,
            served: None,
        });
    }

    fn tell(&mut self) {
        let Some(open) = self.open.take() else { return };
        let leader = match open.leader {
            Some((node, epoch)) => format!("leader is node {node}, epoch {epoch}"),
            None => "no leader is known".to_owned(),
        };
        let after = |at: Time| at.since(open.at).as_millis();
        let successor = match (open.successor, open.resigned) {
            (Some((node, at)), _) => format!("new leader node {node} after {} ms", after(at)),
            (None, Some(at)) => format!("it steps down after {} ms, nobody leads", after(at)),
            // Whoever leads on may be dead by now.
            (None, None) => "no new leader".to_owned(),
        };
        let served = match open.served {
            Some(at) => format!("; client served again after {} ms", after(at)),
            None => String::new(),
        };
        self.say(&format!(
            "trial {}/{}: {leader}; {}; {successor}{served}",
            open.number, self.trials, open.what
        ));
    }
}

fn join(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether a fault ends this node's life.
fn ends(effect: &Effect, node: NodeId) -> bool {
    match effect {
        Effect::Crash(hit) | Effect::Delete(hit) | Effect::Stop(hit) => hit.contains(&node),
        _ => false,
    }
}

/// A fault in a few words.
pub fn describe(effect: &Effect, leader: Option<NodeId>) -> String {
    let nodes = |nodes: &[NodeId]| match nodes {
        [only] if Some(*only) == leader => "it is".to_owned(),
        [only] => format!("node {only} is"),
        many => format!("nodes {} are", join(many)),
    };
    match effect {
        Effect::Crash(hit) => format!("{} killed", nodes(hit)),
        Effect::Delete(hit) => format!("{} deleted", nodes(hit)),
        Effect::Stop(hit) => format!("{} stopped in peace", nodes(hit)),
        Effect::Start(hit) => format!("{} started", nodes(hit)),
        Effect::Pause(hit) => format!("{} frozen", nodes(hit)),
        Effect::Resume(hit) => format!("{} let go on", nodes(hit)),
        Effect::Links(rules) => format!("{} links are hurt", rules.rules.len()),
        Effect::LoadFactor(factor) => format!("the load is multiplied by {factor}"),
        Effect::Deploy(new) => format!("{} started on an empty disk", nodes(new)),
        Effect::Reconfigure { change, .. } => format!("the members are asked to change: {change}"),
        Effect::Transfer { to: Some(to), .. } => format!("leadership is to go to node {to}"),
        Effect::Transfer { to: None, .. } => "leadership is to go to another".to_owned(),
        Effect::Disk { node, rules } => match rules.is_clean() {
            true => format!("the disk of node {node} is well again"),
            false => format!("the disk of node {node} misbehaves"),
        },
        Effect::Damage(hit) => format!("a record of node {} is damaged", join(hit)),
        Effect::StartDamaged(hit) => format!("node {} must refuse its disk", join(hit)),
        Effect::ClockJump { nodes, by } => {
            format!("the clock of node {} jumps by {by}", join(nodes))
        }
        Effect::ClockRate { node, ppm: Some(ppm) } => {
            format!("the clock of node {node} is off by {ppm} parts per million")
        }
        Effect::ClockRate { node, ppm: None } => format!("the clock of node {node} is right again"),
        Effect::Put { key, value } => format!("a client writes {key} = {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    fn elected(ms: u64, node: u64, round: u64) -> Observed {
        let event = Event::Elected { epoch: Epoch::term(round) };
        let (at, node) = (at(ms), NodeId(node));
        Observed { at, node, incarnation: 1, from: None, sync_ns: 0, event }
    }

    /// A run whose leader, node 1, is killed after ten milliseconds.
    fn bereft() -> Progress {
        let mut progress = Progress::new(1);
        progress.observed(&elected(1, 1, 1));
        let effect = Effect::Crash(vec![NodeId(1)]);
        let action = Action { step: "kill".into(), trial: 1, phase: Phase::Begin, effect };
        progress.action(at(10), &action);
        progress
    }

    #[test]
    fn a_leader_that_was_known_before_its_election_was_told_is_the_trials_successor() {
        let mut progress = bereft();
        progress.leads(NodeId(2), Epoch::term(2));
        progress.observed(&elected(20, 2, 2));
        assert_eq!(progress.open.unwrap().successor, Some((NodeId(2), at(20))));
    }

    #[test]
    fn a_trial_that_ends_before_the_election_that_it_makes_needed_is_told_after_that() {
        let mut progress = bereft();
        let back = |phase| {
            let effect = Effect::Start(vec![NodeId(1)]);
            Action { step: "kill".into(), trial: 1, phase, effect }
        };
        progress.action(at(11), &back(Phase::End));
        progress.observed(&elected(20, 2, 2));
        assert_eq!(progress.open.as_ref().unwrap().successor, Some((NodeId(2), at(20))));

        // Who lives on is not waited for, nor is an election that has been.
        let mut progress = bereft();
        progress.observed(&elected(20, 2, 2));
        progress.action(at(30), &back(Phase::End));
        assert!(progress.open.is_none());
    }
}
