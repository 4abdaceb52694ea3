//! Whom a newcomer asks for the others. A seed may be given by name, and a name may come to mean
//! another address, or not mean any yet: names are looked up again and again.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{net::lookup_host, sync::watch, task::JoinSet, time::sleep};

/// How soon a name is looked up again that means nothing yet. Whoever looks too early may be told so
/// from a cache for a while, and goes on.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How soon a name is looked up again that meant something.
const ASK_ANEW: Duration = Duration::from_secs(3);

/// What the seeds mean now. The look-ups end when this is dropped.
#[derive(Debug)]
pub(crate) struct Seeds {
    known: watch::Receiver<BTreeMap<String, Vec<SocketAddr>>>,
    _look_ups: JoinSet<()>,
}

impl Seeds {
    /// Looks up these seeds, each HOST:PORT, for a socket of this address's family.
    pub(crate) fn look_up(seeds: Vec<String>, own: IpAddr) -> Self {
        let fixed = |seed: &String| Some((seed.clone(), vec![seed.parse().ok()?]));
        let (teller, known) = watch::channel(seeds.iter().filter_map(fixed).collect());
        let teller = Arc::new(teller);
        let mut look_ups = JoinSet::new();
        for name in seeds.into_iter().filter(|seed| seed.parse::<SocketAddr>().is_err()) {
            look_ups.spawn(follow(name, own, Arc::clone(&teller)));
        }
        Self { known, _look_ups: look_ups }
    }

    /// Every address that they mean.
    pub(crate) fn addresses(&mut self) -> Vec<SocketAddr> {
        self.known.borrow_and_update().values().flatten().copied().collect()
    }

    /// Returns once they mean something else; never, if all of them are addresses.
    pub(crate) async fn changed(&mut self) {
        if self.known.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Looks one name up, for ever. What it meant last counts as long as nothing else is known.
async fn follow(
    name: String,
    own: IpAddr,
    teller: Arc<watch::Sender<BTreeMap<String, Vec<SocketAddr>>>>,
) {
    loop {
        let pause = match lookup_host(&name).await {
            Ok(found) => {
                let reachable = found.filter(|at| at.is_ipv4() == own.is_ipv4());
                let addresses: Vec<_> = reachable.collect();
                teller.send_if_modified(|known| {
                    known.insert(name.clone(), addresses.clone()).as_ref() != Some(&addresses)
                });
                ASK_ANEW
            }
            Err(error) => {
                tracing::debug!(%name, %error, "a seed's name means nothing yet");
                ASK_AGAIN
            }
        };
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn addresses_are_known_at_once_and_names_once_they_are_looked_up() {
        let seeds = ["127.0.0.7:7", "localhost:8"].map(str::to_owned);
        let mut seeds = Seeds::look_up(seeds.into(), Ipv4Addr::LOCALHOST.into());
        let literal: SocketAddr = "127.0.0.7:7".parse().unwrap();
        assert_eq!(seeds.addresses(), [literal]);
        seeds.changed().await;
        let named: SocketAddr = "127.0.0.1:8".parse().unwrap();
        assert_eq!(seeds.addresses(), [literal, named]);
    }
}
