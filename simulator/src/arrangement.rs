//! A simulated cluster's disks and clocks, as a schedule writes them down.

use faults::schedule::{Simulation, Stalls};

use crate::{
    clock::ClockModel,
    config::SimulationConfig,
    disk::{DiskModel, Stall},
    snapshots::SnapshotModel,
};

impl SimulationConfig {
    /// The same run on the disks and clocks that its schedule asks for.
    pub(crate) fn arranged(self) -> Self {
        let asked = self.schedule.simulation.clone();
        let Self { disk, snapshots, clocks, .. } = self;
        let disk = DiskModel {
            sync: asked.sync.unwrap_or(disk.sync),
            stall: asked.stall.map(|Stalls { chance, adds }| Stall { chance, adds }).or(disk.stall),
            bytes_per_s: asked.disk_bytes_per_s.unwrap_or(disk.bytes_per_s),
            ..disk
        };
        let chunk_bytes = asked.chunk_bytes.unwrap_or(snapshots.chunk_bytes);
        let clocks = ClockModel {
            drift_ppm: asked.clock_drift_ppm.unwrap_or(clocks.drift_ppm),
            offset: asked.clock_offset.unwrap_or(clocks.offset),
        };
        Self { disk, snapshots: SnapshotModel { chunk_bytes, ..snapshots }, clocks, ..self }
    }

    /// The disks and clocks of this run, wherever they came from. A schedule that asks for them, run
    /// under the same seed and parameters, gives the same run.
    pub fn simulation(&self) -> Simulation {
        let Self { disk, snapshots, clocks, .. } = self;
        let usual = (DiskModel::default(), SnapshotModel::default(), ClockModel::default());
        let stall = disk.stall.clone().map(|Stall { chance, adds }| Stalls { chance, adds });
        Simulation {
            sync: unusual(&disk.sync, &usual.0.sync),
            stall,
            disk_bytes_per_s: unusual(&disk.bytes_per_s, &usual.0.bytes_per_s),
            chunk_bytes: unusual(&snapshots.chunk_bytes, &usual.1.chunk_bytes),
            clock_drift_ppm: unusual(&clocks.drift_ppm, &usual.2.drift_ppm),
            clock_offset: unusual(&clocks.offset, &usual.2.offset),
        }
    }
}

/// What is worth a word.
fn unusual<T: Clone + PartialEq>(value: &T, usual: &T) -> Option<T> {
    (value != usual).then(|| value.clone())
}
