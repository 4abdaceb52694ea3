//! Handing faults to replicas, whose shims carry them out.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use consensus_core::NodeId;
use faults::{ClockOrder, DiskOrder, LinkRules};

/// How long a replica may take to take them.
const WITHIN: Duration = Duration::from_secs(2);

/// The same, if it is frozen: it takes them once it goes on.
const WITHIN_IF_FROZEN: Duration = Duration::from_secs(60);

/// What a replica is told of faults.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Which link faults are in force.
    Links(LinkRules),
    /// What is wrong with its disk.
    Disk(DiskOrder),
    /// What its clock does.
    Clock(ClockOrder),
}

impl Order {
    /// What it is about, in words.
    const fn what(&self) -> &'static str {
        match self {
            Self::Links(_) => "link faults",
            Self::Disk(_) => "disk faults",
            Self::Clock(_) => "faults of its clock",
        }
    }
}

/// Tells replicas of faults (`PUT /admin/links`, `/admin/disk`, `/admin/clock`).
#[derive(Debug)]
pub(crate) struct Teller {
    http: reqwest::Client,
}

impl Teller {
    pub fn new() -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(WITHIN).build();
        Ok(Self { http: http.context("cannot make an HTTP client")? })
    }

    /// Tells these replicas, all at once, and returns when each obeys.
    pub async fn tell(
        &self,
        order: &Order,
        replicas: impl Iterator<Item = (NodeId, SocketAddr)>,
    ) -> Result<()> {
        let asked = replicas.map(|(node, at)| (node, tokio::spawn(self.put(order, at).send())));
        let what = order.what();
        for (node, answer) in asked.collect::<Vec<_>>() {
            let answer = answer.await.context("the request was cancelled")?;
            let answer = answer.with_context(|| format!("replica {node} takes no {what}"))?;
            if !answer.status().is_success() {
                bail!("replica {node} refuses the {what}: {}", answer.text().await?);
            }
        }
        Ok(())
    }

    /// Tells these replicas, and waits for none.
    pub fn tell_later(&self, order: &Order, replicas: impl Iterator<Item = (NodeId, SocketAddr)>) {
        for (_, at) in replicas {
            tokio::spawn(self.put(order, at).timeout(WITHIN_IF_FROZEN).send());
        }
    }

    fn put(&self, order: &Order, at: SocketAddr) -> reqwest::RequestBuilder {
        let to = |part: &str| self.http.put(format!("http://{at}/admin/{part}"));
        match order {
            Order::Links(rules) => to("links").json(rules),
            Order::Disk(order) => to("disk").json(order),
            Order::Clock(order) => to("clock").json(order),
        }
    }
}
