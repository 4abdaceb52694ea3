//! Sockets: what is bound, and under which address others reach it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use axum::{Router, serve::ListenerExt as _};
use tokio::net::{TcpListener, UdpSocket};

use crate::config::ReplicaError;

/// Binds, and takes a free port if the wanted one is in use.
pub(crate) async fn tcp(address: SocketAddr) -> Result<TcpListener, ReplicaError> {
    let bound = match TcpListener::bind(address).await {
        Err(error) if is_taken(&error) => TcpListener::bind(free(address)).await,
        bound => bound,
    };
    bound.map_err(|source| ReplicaError::Listen { address, source })
}

/// Binds, and takes a free port if the wanted one is in use.
pub(crate) async fn udp(address: SocketAddr) -> Result<UdpSocket, ReplicaError> {
    let bound = match UdpSocket::bind(address).await {
        Err(error) if is_taken(&error) => UdpSocket::bind(free(address)).await,
        bound => bound,
    };
    bound.map_err(|source| ReplicaError::Listen { address, source })
}

/// Where others reach what is bound here.
pub(crate) fn reached_at(
    bound: io::Result<SocketAddr>,
    advertise: Option<IpAddr>,
) -> Result<SocketAddr, ReplicaError> {
    let bound = bound.map_err(|source| ReplicaError::System { action: "name a socket", source })?;
    match advertise {
        Some(ip) => Ok(SocketAddr::from((ip, bound.port()))),
        None if bound.ip().is_unspecified() => Err(ReplicaError::Advertise(bound)),
        None => Ok(bound),
    }
}

/// Serves HTTP until the task is ended.
pub(crate) async fn serve_http(listener: TcpListener, routes: Router) {
    let listener = listener.tap_io(|stream| {
        // An answer that waits for more to send is only late.
        let _ = stream.set_nodelay(true);
    });
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "the HTTP server ended");
    }
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn free(address: SocketAddr) -> SocketAddr {
    SocketAddr::from((address.ip(), 0))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_taken_port_gives_way_to_a_free_one() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let first = tcp(any).await.unwrap().local_addr().unwrap();
        let held = tcp(first).await.unwrap();
        let second = tcp(held.local_addr().unwrap()).await.unwrap();
        assert_ne!(second.local_addr().unwrap().port(), held.local_addr().unwrap().port());
    }

    #[test]
    fn an_unspecified_address_must_be_advertised() {
        let bound = || Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80)));
        assert!(matches!(reached_at(bound(), None), Err(ReplicaError::Advertise(_))));
        let reached = reached_at(bound(), Some(Ipv4Addr::LOCALHOST.into())).unwrap();
        assert_eq!(reached, SocketAddr::from((Ipv4Addr::LOCALHOST, 80)));
    }
}
