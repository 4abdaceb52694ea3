//! Other people's protocols, each set up as its own documentation advises, with every switch that
//! helps it on this work turned on.

mod omnipaxos;
mod raft_rs;

pub use omnipaxos::OmniPaxosCluster;
pub use raft_rs::RaftRsCluster;
