//! Handing link faults to replicas, whose shims carry them out.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use consensus_core::NodeId;
use faults::LinkRules;

/// How long a replica may take to take them.
const WITHIN: Duration = Duration::from_secs(2);

/// The same, if it is frozen: it takes them once it goes on.
const WITHIN_IF_FROZEN: Duration = Duration::from_secs(60);

/// Tells replicas which link faults are in force (`PUT /admin/links`).
#[derive(Debug)]
pub(crate) struct LinkTeller {
    http: reqwest::Client,
}

impl LinkTeller {
    pub fn new() -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(WITHIN).build();
        Ok(Self { http: http.context("cannot make an HTTP client")? })
    }

    /// Tells these replicas, all at once, and returns when each has them in force.
    pub async fn tell(
        &self,
        rules: &LinkRules,
        replicas: impl Iterator<Item = (NodeId, SocketAddr)>,
    ) -> Result<()> {
        let asked = replicas.map(|(node, at)| (node, tokio::spawn(self.put(rules, at).send())));
        for (node, answer) in asked.collect::<Vec<_>>() {
            let answer = answer.await.context("the request was cancelled")?;
            let answer = answer.with_context(|| format!("replica {node} takes no link faults"))?;
            if !answer.status().is_success() {
                bail!("replica {node} refuses the link faults: {}", answer.text().await?);
            }
        }
        Ok(())
    }

    /// Tells these replicas, and waits for none.
    pub fn tell_later(
        &self,
        rules: &LinkRules,
        replicas: impl Iterator<Item = (NodeId, SocketAddr)>,
    ) {
        for (_, at) in replicas {
            tokio::spawn(self.put(rules, at).timeout(WITHIN_IF_FROZEN).send());
        }
    }

    fn put(&self, rules: &LinkRules, at: SocketAddr) -> reqwest::RequestBuilder {
        self.http.put(format!("http://{at}/admin/links")).json(rules)
    }
}
