//! What a seed draws beside its schedule: how good the disks, the clocks and the links are.

use std::time::Duration;

use consensus_core::Draw;
use faults::Latency;

use crate::{
    clock::ClockModel,
    config::SimulationConfig,
    disk::{DiskModel, Stall},
    network::LinkModel,
    snapshots::SnapshotModel,
};

/// The longest sync of a slow disk.
const SLOW: Duration = Duration::from_millis(20);

/// How often a network is never quite right.
const UNTIDY: f64 = 0.25;

/// By how much two clocks differ at most.
const OFFSET: Duration = Duration::from_secs(3_600);

impl SimulationConfig {
    /// The same run on disks, clocks and snapshot transfers that the seed draws. What is not yet
    /// synced is what a crash loses, so half of the seeds have slow disks; clocks drift as far apart
    /// as the protocols are told that they may.
    pub fn varied(self) -> Self {
        let draw = Draw::new(self.seed).of("vary");
        let disk = disk(draw.of("disk"));
        // Whole states are some hundred kilobytes, and every chunk waits for a disk.
        let few = [1_000, 4_000, 16_000, 64 << 10];
        let chunk_bytes = few[draw.of("chunk").below(few.len() as u64) as usize];
        let snapshots = SnapshotModel { chunk_bytes, ..self.snapshots };
        let clocks = ClockModel { drift_ppm: self.settings.max_clock_drift_ppm, offset: OFFSET };
        Self { disk, snapshots, clocks, ..self }
    }

    /// The same run over links that are never quite right, in some seeds: they lose, double and reorder
    /// a little all the time, whatever faults there are besides.
    pub fn untidy(self) -> Self {
        let draw = Draw::new(self.seed).of("vary").of("untidy");
        let network = match draw.chance(UNTIDY) {
            true => self.network.with_links(|link| untidy(link, draw.of("links"))),
            false => self.network,
        };
        Self { network, ..self }
    }
}

/// Every link does a little of what links do that are never quite right.
fn untidy(link: &mut LinkModel, draw: Draw) {
    link.loss = 0.01 * draw.of("loss").unit();
    link.duplication = 0.01 * draw.of("duplication").unit();
    link.reordering = 0.05 * draw.of("reordering").unit();
}

fn disk(draw: Draw) -> DiskModel {
    let mut disk = DiskModel::default();
    if draw.of("slow").chance(0.5) {
        disk.sync = Latency::Uniform(Duration::ZERO..SLOW);
    }
    if draw.of("stalls").chance(0.25) {
        let adds = Latency::Uniform(Duration::from_millis(50)..Duration::from_millis(400));
        disk.stall = Some(Stall { chance: 0.02, adds });
    }
    // A snapshot of a few kilobytes takes some milliseconds, or some tenths of a second.
    if draw.of("crawls").chance(0.3) {
        disk.bytes_per_s = 20_000 + draw.of("rate").below(1_000_000);
    }
    disk
}
