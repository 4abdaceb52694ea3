//! The protocols of the laboratory. A new one is a crate and one line here.

use anyhow::Result;
use consensus_core::{Protocol, Settings, SettingsError};
use futures::future::BoxFuture;
use replica::{ReplicaConfig, ReplicaError};
use simulator::{Recording, SimulationConfig};

use crate::usage::usage;

/// What the harness does with a protocol; the only place where its type is known.
pub struct Entry {
    /// Its name on the command line and in reports.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// Its own options, each with what it is for.
    pub options: &'static [(&'static str, &'static str)],
    /// Whether it can work with these parameters.
    pub configure: fn(Settings) -> Result<(), SettingsError>,
    /// Runs a cluster of it in virtual time.
    pub simulate: fn(&SimulationConfig) -> Recording,
    /// Runs one real replica of it, until that is told to stop.
    pub serve: fn(ReplicaConfig) -> BoxFuture<'static, Result<(), ReplicaError>>,
}

/// Every protocol.
pub fn protocols() -> Vec<Entry> {
    vec![
        entry::<consensus_raft::Raft>(
            "Raft",
            "Raft (Ongaro & Ousterhout 2014): a strong leader, one log",
        ),
        entry::<consensus_multipaxos::MultiPaxos>(
            "Multi-Paxos",
            "Multi-Paxos (Lamport 1998, 2001): one ballot for all slots, chosen in any order",
        ),
    ]
}

/// The protocol of this name.
pub fn find(name: &str) -> Result<Entry> {
    let known: Vec<_> = protocols().iter().map(|entry| entry.name).collect();
    protocols().into_iter().find(|entry| entry.name == name).ok_or_else(|| {
        usage(format!("there is no protocol '{name}'; there are: {}", known.join(", ")))
    })
}

impl Entry {
    /// Refuses parameters under which the protocol cannot work, before anything is started.
    pub fn check(&self, settings: Settings) -> Result<()> {
        (self.configure)(settings).map_err(|error| usage(format!("{}: {error}", self.title)))
    }
}

fn entry<P: Protocol>(title: &'static str, summary: &'static str) -> Entry {
    Entry {
        name: P::NAME,
        title,
        summary,
        options: P::OPTIONS,
        configure: |settings| P::configure(settings).map(|_| ()),
        simulate: simulator::run::<P>,
        serve: |config| Box::pin(replica::run::<P>(config)),
    }
}
