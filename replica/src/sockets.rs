//! What a replica listens on.

use std::{net, sync::Arc};

use tokio::net::{TcpListener, UdpSocket};

use crate::{
    config::{Addresses, ReplicaConfig, ReplicaError},
    listen,
};

/// The sockets of a replica, open from its start to its end, whoever serves on them.
#[derive(Debug)]
pub(crate) struct Sockets {
    client: net::TcpListener,
    peer: net::TcpListener,
    gossip: Arc<UdpSocket>,
    /// Where others reach them.
    pub(crate) addresses: Addresses,
}

impl Sockets {
    /// Opens them.
    pub(crate) async fn bind(config: &ReplicaConfig) -> Result<Self, ReplicaError> {
        let client = listen::tcp(config.listen.client).await?;
        let peer = listen::tcp(config.listen.peer).await?;
        let gossip = listen::udp(config.listen.gossip).await?;
        let addresses = Addresses {
            client: listen::reached_at(client.local_addr(), config.advertise)?,
            peer: Some(listen::reached_at(peer.local_addr(), config.advertise)?),
            gossip: listen::reached_at(gossip.local_addr(), config.advertise)?,
        };
        let [client, peer] = [client, peer].map(TcpListener::into_std);
        let share = |source| ReplicaError::System { action: "share a socket", source };
        let (client, peer) = (client.map_err(share)?, peer.map_err(share)?);
        Ok(Self { client, peer, gossip: Arc::new(gossip), addresses })
    }

    /// HTTP, for clients and the administrator.
    pub(crate) fn client(&self) -> Result<TcpListener, ReplicaError> {
        shared(&self.client)
    }

    /// gRPC, for peers.
    pub(crate) fn peer(&self) -> Result<TcpListener, ReplicaError> {
        shared(&self.peer)
    }

    /// UDP, for gossip.
    pub(crate) fn gossip(&self) -> Arc<UdpSocket> {
        Arc::clone(&self.gossip)
    }
}

fn shared(listener: &net::TcpListener) -> Result<TcpListener, ReplicaError> {
    let shared = listener.try_clone().and_then(TcpListener::from_std);
    shared.map_err(|source| ReplicaError::System { action: "share a socket", source })
}
