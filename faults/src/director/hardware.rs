//! Disks and clocks: what all faults in force make of each, and who ends by itself because of it.

use consensus_core::NodeId;

use super::{Director, Effect, holds::TrialKey};
use crate::{
    disks::{DiskFailure, DiskRules},
    schedule::{Ailment, Clock, Disk, Fault},
};

impl Director {
    /// What all disk faults in force do to each of these disks.
    pub(super) fn disk_rules(&self, nodes: &[NodeId]) -> Vec<Effect> {
        let there = nodes.iter().filter(|node| self.view.present.contains(node));
        let rules = there.map(|&node| {
            let mut rules = DiskRules::default();
            self.faults_at(node).for_each(|(_, fault)| ail(&mut rules, fault));
            Effect::Disk { node, rules }
        });
        rules.collect()
    }

    /// At which rate each of these clocks runs: as the latest fault in force says.
    pub(super) fn clock_rates(&self, nodes: &[NodeId]) -> Vec<Effect> {
        let there = nodes.iter().filter(|node| self.view.present.contains(node));
        let rate = |&node: &NodeId| {
            let rates = self.faults_at(node).filter_map(|(_, fault)| match fault {
                Fault::Clock(Clock { rate, .. }) => *rate,
                _ => None,
            });
            Effect::ClockRate { node, ppm: rates.last() }
        };
        there.map(rate).collect()
    }

    /// A replica ended: if its disk made it, it stays down for as long as its disk is that bad.
    pub(super) fn fell(&mut self, node: NodeId) {
        let failing = |(key, fault): (TrialKey, &Fault)| fault.kind().fails_disk().then_some(key);
        let because = self.faults_at(node).find_map(failing);
        self.holds.fell(node, because);
    }

    /// The faults in force at this replica, in the order in which they began; at a healed core none is.
    fn faults_at(&self, node: NodeId) -> impl Iterator<Item = (TrialKey, &Fault)> {
        let hit = self
            .running
            .iter()
            .filter(move |running| self.trials[running.key].nodes.contains(&node))
            .filter(move |_| !self.is_core(node));
        hit.map(|running| (running.key, &self.schedule.steps[running.step].fault))
    }
}

/// Adds what a fault does to a disk, if it does anything.
fn ail(rules: &mut DiskRules, fault: &Fault) {
    let Fault::Disk(Disk { effect, sync, .. }) = fault else { return };
    match effect {
        Ailment::Slow => rules.slower.push(*sync),
        Ailment::Stall => rules.stalled = true,
        Ailment::Error => rules.fails = Some(DiskFailure::Error),
        Ailment::Full => rules.fails = Some(DiskFailure::Full),
        Ailment::Torn => rules.fails = Some(DiskFailure::Torn),
        // The damage is done, and outlasts the fault.
        Ailment::Rot => {}
    }
}
