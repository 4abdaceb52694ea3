//! Brings a cluster up and hurts it: local processes
