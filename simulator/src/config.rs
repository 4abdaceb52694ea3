//! What a run is a function of.

use std::time::Duration;

use consensus_core::{NodeId, Settings, SettingsError};
use faults::{Resolved, Schedule, director::Cast};

use crate::{
    client::ClientModel,
    clock::ClockModel,
    disk::DiskModel,
    network::{NetworkModel, Preset, WireMode},
    snapshots::SnapshotModel,
};

/// Everything that a run depends on: equal configurations give equal recordings.
#[derive(Clone, PartialEq, Debug)]
pub struct SimulationConfig {
    /// Where all chance comes from.
    pub seed: u64,
    /// The faults, the load, and how many replicas there are.
    pub schedule: Schedule,
    /// What the schedule turned out to be in another run, to be repeated at the same times.
    pub replayed: Option<Resolved>,
    /// Whom that hits: the same replicas, or those that play their parts here.
    pub cast: Cast,
    /// The protocol's parameters, those that the schedule sets among them; `node` and `members` are
    /// filled in for each replica.
    pub settings: Settings,
    /// The network between the replicas, and to the clients.
    pub network: NetworkModel,
    /// How the disks behave.
    pub disk: DiskModel,
    /// How snapshots are carried from replica to replica.
    pub snapshots: SnapshotModel,
    /// How the replicas' clocks differ.
    pub clocks: ClockModel,
    /// How the clients try.
    pub clients: ClientModel,
    /// How long a client tries that carries out a step of the schedule (`put`).
    pub put_timeout: Duration,
    /// What work costs a replica. It bounds the throughput.
    pub processor: ProcessorModel,
    /// The parameters of gossip; `None` for a cluster without.
    pub gossip: Option<gossip::Config>,
    /// When bytes are really decoded at the receiver.
    pub wire: WireMode,
    /// How often each replica's state is noted.
    pub sample_every: Duration,
    /// The most virtual time that a run takes, should the schedule never finish.
    pub limit: Duration,
    /// How long the cluster may take to agree again after the schedule's end.
    pub convergence_within: Duration,
}

/// What work costs a replica. Clients' requests are taken in by a front end, so that a flood of them
/// does not keep the consensus loop from its messages; it refuses what would wait for too long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessorModel {
    /// The consensus loop's time for one input.
    pub input: Duration,
    /// The front end's time for one client request.
    pub request: Duration,
    /// The longest that a request may wait for the front end.
    pub longest_queue: Duration,
}

impl Default for ProcessorModel {
    /// About 16,000 requests a second.
    fn default() -> Self {
        Self {
            input: Duration::from_micros(3),
            request: Duration::from_micros(60),
            longest_queue: Duration::from_millis(100),
        }
    }
}

impl SimulationConfig {
    /// A run of this schedule under this seed, on a local network, on the disks and clocks that the
    /// schedule asks for, and else with every default.
    pub fn new(schedule: Schedule, seed: u64) -> Self {
        let defaults = Settings::new(NodeId(1), vec![NodeId(1)]);
        Self {
            seed,
            settings: schedule.settings.apply(defaults),
            schedule,
            replayed: None,
            cast: Cast::default(),
            network: NetworkModel::default(),
            disk: DiskModel::default(),
            snapshots: SnapshotModel::default(),
            clocks: ClockModel::default(),
            clients: ClientModel::default(),
            put_timeout: Duration::from_secs(30),
            processor: ProcessorModel::default(),
            gossip: Some(gossip::Config::new("simulated")),
            wire: WireMode::default(),
            sample_every: Duration::from_millis(50),
            limit: Duration::from_secs(3_600),
            convergence_within: Duration::from_secs(30),
        }
        .arranged()
    }

    /// The same run on this network. Election timeouts, heartbeats, the clients' patience, gossip and
    /// the transfer of snapshots are made for it.
    pub fn on(self, network: Preset) -> Self {
        let (election_timeout, heartbeat_interval) = network.timing();
        let stretch = network.stretch();
        let gossip = match stretch {
            1 => gossip::Config::new,
            _ => gossip::Config::wan,
        };
        let ClientModel { attempt_timeout, first_backoff, longest_backoff, most } = self.clients;
        Self {
            network: network.model(),
            settings: Settings { election_timeout, heartbeat_interval, ..self.settings },
            clients: ClientModel {
                attempt_timeout: attempt_timeout * stretch,
                first_backoff: first_backoff * stretch,
                longest_backoff: longest_backoff * stretch,
                most,
            },
            snapshots: SnapshotModel {
                retry_after: self.snapshots.retry_after * stretch,
                ..self.snapshots
            },
            gossip: self.gossip.map(|known| gossip(known.cluster)),
            ..self
        }
    }

    /// Refuses what cannot be simulated.
    ///
    /// # Errors
    ///
    /// What is wrong, in a sentence.
    pub fn validate(&self) -> Result<(), SimulationError> {
        let members = self.members();
        Settings { node: members[0], members, ..self.settings.clone() }.validate()?;
        if let Some(gossip) = &self.gossip {
            gossip.validate()?;
        }
        if self.sample_every.is_zero() {
            return Err(SimulationError::NoSamples);
        }
        Ok(())
    }

    /// The replicas.
    pub(crate) fn members(&self) -> Vec<NodeId> {
        (1..=self.nodes()).map(NodeId).collect()
    }

    /// How many places for replicas there are, those of newcomers included.
    pub(crate) fn places(&self) -> u64 {
        self.schedule.places() as u64
    }

    /// How many replicas there are at the beginning.
    pub fn nodes(&self) -> u64 {
        self.schedule.nodes.get() as u64
    }
}

/// Why a configuration cannot be simulated.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SimulationError {
    /// The protocol's parameters cannot work.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Gossip's parameters cannot work.
    #[error(transparent)]
    Gossip(#[from] gossip::ConfigError),
    /// The cluster is looked at when samples are taken.
    #[error("samples must be taken at an interval longer than zero")]
    NoSamples,
}
