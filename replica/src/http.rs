//! HTTP: what clients ask and hear ([`api`]), and the two servers that speak it.

pub mod api;
pub(crate) mod exchange;
pub(crate) mod extract;
pub(crate) mod forward;
pub(crate) mod kv;
pub mod members;
pub mod server;
