//! How replicas talk: one long-lived tonic stream per direction and pair of replicas, carrying
//! batches of checksummed frames (`proto/transport.proto`).
//!
//! A message may be lost, like on any link: when a peer is away, when it does not keep up, when the
//! link rules say so, when its checksum does not fit. The protocols ask for no more.
//!
//! Snapshots travel beside it ([`Shipping`]), piece by piece on connections of their own, past the
//! same link rules.

mod incoming;
mod introduce;
mod outgoing;
mod passages;
mod queue;
mod shipping;
mod staging;

/// The wire's messages, from `proto/transport.proto`.
mod wire {
    #![allow(missing_docs, clippy::all)]
    tonic::include_proto!("consensus.transport.v1");
}

use std::time::Duration;

use consensus_core::{GroupId, NodeId, Protocol};
use tonic::Status;

use crate::{
    config::ReplicaConfig,
    identity::{DiskId, Passport},
    security::Security,
};

pub use incoming::Incoming;
pub(crate) use introduce::{Answer, Reception, ask};
pub use outgoing::Outgoing;
pub use passages::Passages;
pub use shipping::Shipping;

/// The largest packet that is accepted, in bytes: one command may be alone in a batch, but whole.
const MAX_PACKET_BYTES: usize = 32 << 20;

/// How long a peer may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a quiet connection is tried, and how long it may stay mute then.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How much may be under way to a peer before it must take something, in bytes.
const WINDOW_BYTES: u32 = 8 << 20;

/// What both ends of a stream must agree on.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: String,
    /// The replicated log.
    pub group: GroupId,
    /// The protocol's name.
    pub protocol: &'static str,
    /// This replica.
    pub node: NodeId,
    /// Its disk.
    pub disk: DiskId,
    /// What is spoken.
    pub security: Security,
}

impl Identity {
    /// Of a replica that is told this, under the name that its disk has.
    pub fn of<P: Protocol>(config: &ReplicaConfig, passport: &Passport) -> Self {
        Self {
            cluster: config.cluster.clone(),
            group: GroupId::default(),
            protocol: P::NAME,
            node: passport.node,
            disk: passport.disk.clone(),
            security: config.security.clone(),
        }
    }

    fn greet(&self, to: NodeId) -> wire::Hello {
        wire::Hello {
            cluster: self.cluster.clone(),
            group: self.group.0,
            protocol: self.protocol.to_owned(),
            from: self.node.0,
            to: to.0,
            disk: self.disk.to_string(),
        }
    }

    /// Checks a greeting and returns who called, from which disk.
    fn admit(&self, hello: &wire::Hello) -> Result<(NodeId, DiskId), Box<Status>> {
        let mismatch = |what: &str, theirs: &dyn std::fmt::Debug, ours: &dyn std::fmt::Debug| {
            let text = format!("you speak of {what} {theirs:?}; here is {what} {ours:?}");
            Err(Box::new(Status::failed_precondition(text)))
        };
        if hello.cluster != self.cluster {
            return mismatch("cluster", &hello.cluster, &self.cluster);
        }
        if hello.group != self.group.0 {
            return mismatch("group", &hello.group, &self.group.0);
        }
        if hello.protocol != self.protocol {
            return mismatch("protocol", &hello.protocol, &self.protocol);
        }
        if hello.to != self.node.0 {
            return mismatch("node", &hello.to, &self.node.0);
        }
        match hello.from {
            0 => Err(Box::new(Status::invalid_argument("node 0 is no node"))),
            from if from == self.node.0 => mismatch("another node than", &from, &from),
            from => match DiskId::from_wire(&hello.disk) {
                Some(disk) => Ok((NodeId(from), disk)),
                None => Err(Box::new(Status::invalid_argument("the disk has no number"))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A replica of Raft on a disk of its own.
    pub(super) fn identity(node: u64) -> Identity {
        Identity {
            cluster: "lab".to_owned(),
            group: GroupId(0),
            protocol: "raft",
            node: NodeId(node),
            disk: DiskId::from_wire(&format!("{node:032x}")).unwrap(),
            security: Security::Plain,
        }
    }

    #[test]
    fn a_fitting_greeting_is_admitted() {
        let hello = identity(2).greet(NodeId(1));
        let admitted = identity(1).admit(&hello).unwrap();
        assert_eq!(admitted, (NodeId(2), identity(2).disk));
    }

    #[test]
    fn every_mismatch_is_refused_and_named() {
        let good = identity(2).greet(NodeId(1));
        let refused = |hello: wire::Hello, word: &str| {
            let status = identity(1).admit(&hello).unwrap_err();
            assert!(status.message().contains(word), "{}", status.message());
        };
        refused(wire::Hello { cluster: "other".into(), ..good.clone() }, "cluster \"other\"");
        refused(wire::Hello { group: 7, ..good.clone() }, "group 7");
        refused(wire::Hello { protocol: "multipaxos".into(), ..good.clone() }, "multipaxos");
        refused(wire::Hello { to: 3, ..good.clone() }, "node 3");
        refused(wire::Hello { from: 0, ..good.clone() }, "node 0");
        refused(wire::Hello { from: 1, ..good.clone() }, "another node");
        refused(wire::Hello { disk: "mine".into(), ..good }, "no number");
    }
}
