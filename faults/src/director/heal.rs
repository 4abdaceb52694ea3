//! The end of the faults: everybody is healed, or a core of the cluster is, and the rest never.

use consensus_core::{Draw, NodeId, Time};

use super::{Action, Director, Phase, holds::TrialKey, pick::majority};
use crate::schedule::{Fault, Heal};

impl Director {
    /// Heals whom the schedule says, once all steps are over.
    pub(super) fn heal(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.healed = Some(now);
        self.core = self.chosen_core();
        let running: Vec<TrialKey> = self.running.iter().map(|running| running.key).collect();
        for key in running {
            if self.outlasts(key) {
                self.heal_core(key, now, actions);
            } else {
                self.end(key, now, actions);
            }
        }
    }

    /// Heals everybody, whatever the schedule says.
    pub(super) fn heal_everybody(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.healed = Some(now);
        while let Some(key) = self.running.first().map(|running| running.key) {
            self.end(key, now, actions);
        }
    }

    /// The majority that is healed; `None`: everybody is. So it is, too, while the members may be
    /// others than is known here.
    fn chosen_core(&self) -> Option<Vec<NodeId>> {
        if self.schedule.heal == Heal::All || self.uncertain || !self.lost.is_empty() {
            return None;
        }
        let known = self.core_then.clone();
        Some(known.unwrap_or_else(|| {
            let draw = Draw::new(self.seed).of("core");
            let mut members = self.view.members.clone();
            members.sort_by_key(|node| (draw.at(node.0).bits(), *node));
            members.truncate(majority(members.len()));
            members.sort_unstable();
            members
        }))
    }

    /// Whether a replica is one of the core that is healed, and the others are not.
    pub(super) fn is_core(&self, node: NodeId) -> bool {
        self.core.as_ref().is_some_and(|core| core.contains(&node))
    }

    /// Whether a fault goes on at somebody who is not healed.
    fn outlasts(&self, key: TrialKey) -> bool {
        let trial = &self.trials[key];
        let stays = |node: NodeId| !self.is_core(node);
        self.core.is_some()
            && if trial.links.is_empty() {
                trial.nodes.iter().any(|&node| stays(node))
            } else {
                trial.links.iter().any(|&(from, to)| stays(from) || stays(to))
            }
    }

    /// Takes back what a fault does to the core.
    fn heal_core(&mut self, key: TrialKey, now: Time, actions: &mut Vec<Action>) {
        let Some(running) = self.running.iter().find(|running| running.key == key) else { return };
        let fault = self.schedule.steps[running.step].fault.clone();
        let trial = &self.trials[key];
        let core: Vec<_> = trial.nodes.iter().copied().filter(|&node| self.is_core(node)).collect();
        let effects = match fault {
            Fault::Partition(_) | Fault::Link(_) => vec![self.link_rules(now)],
            Fault::Pause(_) => self.holds.release_frozen(key, &core),
            Fault::Disk(_) => self.disk_rules(&core),
            Fault::Clock(_) => self.clock_rates(&core),
            _ => self.bring_up(&[key], &core, now),
        };
        self.tell(key, Phase::During, effects, actions);
    }

    /// Which links a fault of some links hits: once a core is healed, none inside it, and of an
    /// outsider that it hit, all with the core in that direction.
    pub(super) fn links_hit(&self, links: &[(NodeId, NodeId)]) -> Vec<(NodeId, NodeId)> {
        let Some(core) = &self.core else { return links.to_vec() };
        let mut hit: Vec<_> = links
            .iter()
            .flat_map(|&(from, to)| match (core.contains(&from), core.contains(&to)) {
                (true, true) => Vec::new(),
                (true, false) => core.iter().map(|&from| (from, to)).collect(),
                (false, true) => core.iter().map(|&to| (from, to)).collect(),
                (false, false) => vec![(from, to)],
            })
            .collect();
        hit.sort_unstable();
        hit.dedup();
        hit
    }
}
