//! Replicas and gateways as they are: real sockets, real disks, real time, one process.

mod cluster;
mod common;
mod gateway;
mod snapshots;
