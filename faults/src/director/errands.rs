//! What the director asks of an administrator: changes of the members, and of the leader.
//!
//! A replica that lost its disk, or whose disk is damaged, must not come back as who it was, for its votes and promises are
//! gone: it comes back under a new identity, knows nothing, and an administrator has it take the
//! place of its old self. Until that is done, no other disk is lost and the members are not changed
//! otherwise, so that a majority of the voters always keeps what it promised.

use consensus_core::{Change, NodeId, Time};

use super::{Action, Answer, Director, Effect, Phase, Trial, holds::TrialKey};
use crate::schedule::{Fault, Kind};

/// The fewest voters of whom one may lose its disk: the others are still more than half.
const FEWEST_VOTERS: usize = 3;

impl Director {
    /// Whether the members are such that this fault may strike now.
    pub(super) fn is_safe(&self, fault: &Fault) -> bool {
        let settled = self.lost.is_empty() && !self.changes_members();
        match fault.kind() {
            kind if kind.loses_disk() => {
                settled && !self.uncertain && self.view.members.len() >= FEWEST_VOTERS
            }
            Kind::Reconfigure => settled,
            _ => true,
        }
    }

    /// Whether an administrator is at work on the members.
    fn changes_members(&self) -> bool {
        self.running
            .iter()
            .any(|running| matches!(self.schedule.steps[running.step].fault, Fault::Reconfigure(_)))
    }

    /// The identities of those who come anew with a trial.
    pub(super) fn newcomers(&self, fault: &Fault, hit: &[NodeId]) -> Vec<NodeId> {
        match fault {
            fault if fault.kind().loses_disk() => hit.iter().map(|node| node.reborn()).collect(),
            Fault::Reconfigure(change) => {
                (0..u64::from(change.add)).map(|n| NodeId(self.view.next_place() + n)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Starts the newcomers of a change, and has it asked for.
    pub(super) fn reconfigure(&mut self, key: TrialKey) -> Vec<Effect> {
        let Trial { nodes, added, .. } = self.trials[key].clone();
        self.deploy(&added);
        let deploy = Some(Effect::Deploy(added.clone())).filter(|_| !added.is_empty());
        let change = Change { add: added, learn: Vec::new(), remove: nodes };
        let within = Some(self.schedule.patience);
        deploy.into_iter().chain([Effect::Reconfigure { errand: key, change, within }]).collect()
    }

    /// Has leadership handed over.
    pub(super) fn transfer(&self, key: TrialKey) -> Vec<Effect> {
        let to = self.trials[key].nodes.first().copied();
        vec![Effect::Transfer { errand: key, to, within: self.schedule.patience }]
    }

    /// Brings a replica back whose disk is lost, or refused for being damaged: as somebody new, who
    /// asks for the old one's place.
    pub(super) fn rebirth(&mut self, key: TrialKey, now: Time, actions: &mut Vec<Action>) {
        let Some(running) = self.running.iter_mut().find(|running| running.key == key) else {
            return;
        };
        if running.rebirth.take().is_none() {
            return;
        }
        let Trial { nodes, added, kind, .. } = self.trials[key].clone();
        for (&old, &new) in nodes.iter().zip(&added) {
            self.holds.forget(old);
            self.view.bury(old, new);
        }
        self.deploy(&added);
        let refused = (kind == Kind::BitRot).then(|| Effect::StartDamaged(nodes.clone()));
        let mut effects: Vec<_> = refused.into_iter().collect();
        effects.push(Effect::Deploy(added.clone()));
        // Whatever cut the old one off cuts the new one off.
        let hurts_links = |step: usize| {
            matches!(self.schedule.steps[step].fault, Fault::Partition(_) | Fault::Link(_))
        };
        if self.running.iter().any(|running| hurts_links(running.step)) {
            effects.push(self.link_rules(now));
        }
        let change = Change { add: added, learn: Vec::new(), remove: nodes };
        effects.push(Effect::Reconfigure { errand: key, change, within: None });
        self.tell(key, Phase::During, effects, actions);
    }

    fn deploy(&mut self, nodes: &[NodeId]) {
        for &node in nodes {
            self.holds.admit(node);
            self.view.deploy(node);
        }
        self.stirred |= !nodes.is_empty();
    }

    /// Takes note of what an administrator was told.
    pub(super) fn answered(&mut self, key: TrialKey, answer: &Answer) {
        let Some(trial) = self.trials.get_mut(key).filter(|trial| trial.answer.is_none()) else {
            return;
        };
        trial.answer = Some(answer.clone());
        let (nodes, added, kind) = (trial.nodes.clone(), trial.added.clone(), trial.kind);
        let changes = kind.changes_members();
        match answer {
            Answer::Done if changes => {
                self.lost.retain(|node| !nodes.contains(node));
                self.view.change(&added, &nodes);
            }
            // Perhaps somebody has left: then a lost disk may be one too many.
            Answer::Unknown(_) if changes => self.uncertain = true,
            _ => {}
        }
        if let Some(running) = self.running.iter_mut().find(|running| running.key == key) {
            running.ends = Some(self.now);
        }
        self.stirred = true;
    }
}
