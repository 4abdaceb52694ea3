//! Disks and clocks that go wrong: the shims in the replicas do it, and are told again whenever one
//! starts.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use consensus_core::NodeId;
use faults::{ClockOrder, DiskOrder, DiskRules, duration::Jump};

use crate::{
    cluster::Cluster,
    site::{Site, Unit as _},
    tell::Order,
};

/// How long a disk's faults hold that nobody takes back, should the harness die meanwhile. No step of a
/// schedule for real targets is meant to last as long.
const DISK_FAULTS_EXPIRE_IN: Duration = Duration::from_secs(3_600);

/// What is wrong with whose disk and clock.
#[derive(Debug, Default)]
pub(crate) struct Hardware {
    /// The disks with which anything is wrong.
    disks: BTreeMap<NodeId, DiskRules>,
    /// The clocks that run at another rate, in parts per million too fast.
    rates: BTreeMap<NodeId, i32>,
    /// Who ended because of its disk, and was not told of yet.
    fallen: Vec<NodeId>,
}

impl Hardware {
    /// Whether this replica's next write or sync ends it.
    pub fn fails(&self, node: NodeId) -> bool {
        self.disks.get(&node).is_some_and(|rules| rules.fails.is_some())
    }

    /// What a replica must be told that starts.
    fn orders(&self, node: NodeId) -> impl Iterator<Item = Order> {
        let disk = self.disks.get(&node).map(disk);
        let clock = self.rates.get(&node).map(|&ppm| Order::Clock(ClockOrder::Rate(Some(ppm))));
        disk.into_iter().chain(clock)
    }
}

fn disk(rules: &DiskRules) -> Order {
    Order::Disk(DiskOrder { rules: rules.clone(), expires_in: DISK_FAULTS_EXPIRE_IN })
}

impl<S: Site> Cluster<S> {
    /// Puts these rules in force at a replica's disk, in the place of all earlier ones, and keeps them
    /// for whoever starts on it later.
    ///
    /// A replica whose disk failed it, but that nobody has missed yet, is started again when its disk
    /// is well.
    pub async fn set_disk(&mut self, node: NodeId, rules: DiskRules) -> Result<()> {
        self.bury();
        let missed = self.hardware.fallen.contains(&node);
        match rules.is_clean() {
            true => self.hardware.disks.remove(&node),
            false => self.hardware.disks.insert(node, rules.clone()),
        };
        if missed && rules.fails.is_none() {
            self.hardware.fallen.retain(|&fallen| fallen != node);
            return self.launch(&[node]).await;
        }
        self.tell(&disk(&rules), &[node]).await
    }

    /// Lets the clocks of those that run jump. A clock that does not run is right when it starts.
    pub async fn jump_clocks(&mut self, nodes: &[NodeId], by: Jump) -> Result<()> {
        self.tell(&Order::Clock(ClockOrder::Jump(by)), nodes).await
    }

    /// Lets a replica's clock run at this rate, whichever of its lives it counts for.
    pub async fn set_clock_rate(&mut self, node: NodeId, ppm: Option<i32>) -> Result<()> {
        match ppm {
            Some(ppm) => self.hardware.rates.insert(node, ppm),
            None => self.hardware.rates.remove(&node),
        };
        self.tell(&Order::Clock(ClockOrder::Rate(ppm)), &[node]).await
    }

    /// The replicas that ended because of their disks since the last call.
    pub fn fallen(&mut self) -> Vec<NodeId> {
        self.bury();
        std::mem::take(&mut self.hardware.fallen)
    }

    /// Tells those who began to listen what is wrong with them.
    pub(crate) async fn tell_newcomers(&mut self, nodes: &[NodeId]) -> Result<()> {
        for &node in nodes {
            for order in self.hardware.orders(node).collect::<Vec<_>>() {
                self.tell(&order, &[node]).await?;
            }
        }
        Ok(())
    }

    /// Lets go of the replicas that ended because of their disks.
    pub(crate) fn bury(&mut self) {
        let Self { hardware, replicas, .. } = self;
        let fails = |node: &NodeId| hardware.fails(*node);
        let failing = replicas.iter_mut().filter(|(node, _)| fails(node));
        let ended = failing.filter_map(|(&node, unit)| unit.exit().map(|_| node));
        let ended: Vec<_> = ended.collect();
        for node in &ended {
            self.replicas.remove(node);
            self.starting.remove(node);
            self.paused.remove(node);
        }
        self.hardware.fallen.extend(ended);
    }
}
