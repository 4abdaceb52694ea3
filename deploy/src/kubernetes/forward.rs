//! A pod's port on this machine's loopback, by way of the API server.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Connections to a loopback address are carried to a port of a pod, as long as this is held.
#[derive(Debug)]
pub(super) struct Forward {
    address: SocketAddr,
    _carrying: JoinSet<()>,
}

impl Forward {
    /// Listens from now on, whether anybody does in the pod or not.
    pub async fn open(pods: Api<Pod>, pod: &str, port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("no port of this machine's loopback is free")?;
        let address = listener.local_addr().context("a listener has an address")?;
        let mut carrying = JoinSet::new();
        carrying.spawn(accept(listener, pods, pod.to_owned(), port));
        Ok(Self { address, _carrying: carrying })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Connections end with whoever accepts them.
async fn accept(listener: TcpListener, pods: Api<Pod>, pod: String, port: u16) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that was given up before it was accepted is nobody's.
                let Ok((connection, _)) = accepted else { continue };
                connections.spawn(carry(connection, pods.clone(), pod.clone(), port));
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// Carries one connection. Where nobody listens in the pod, it is closed.
async fn carry(mut connection: TcpStream, pods: Api<Pod>, pod: String, port: u16) {
    let Ok(mut forwarder) = pods.portforward(&pod, &[port]).await else { return };
    if let Some(mut inside) = forwarder.take_stream(port) {
        // However it ends, both ends see that.
        let _ended = copy_bidirectional(&mut connection, &mut inside).await;
    }
    forwarder.abort();
}
