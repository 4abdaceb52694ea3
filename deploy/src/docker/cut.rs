//! Cuts on a real network: the packets between two containers are dropped on the bridge that joins
//! them, by the host's packet filter.
//!
//! One table holds the links that are cut, as pairs of addresses, each with the time at which it is
//! mended by the kernel itself: so no cut outlives a harness that was killed. Packets are counted where
//! they are dropped, and again behind that, where those pass that were not.

use std::{fmt::Write as _, net::Ipv4Addr, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::site::{Crossings, Tally};

/// The program that tells the kernel.
const FILTER: &str = "nft";

/// The table of one run. It is removed by [`BridgeCut::remove`].
#[derive(Debug)]
pub(crate) struct BridgeCut {
    table: String,
}

impl BridgeCut {
    /// Makes the table, in which nothing is cut yet.
    pub async fn create(run: &str) -> Result<Self> {
        let table = table(run);
        let text = format!(
            "table bridge {table} {{
                counter dropped {{ }}
                counter crossed {{ }}
                set cut {{ type ipv4_addr . ipv4_addr; flags timeout; }}
                chain links {{
                    type filter hook forward priority filter; policy accept;
                    ip saddr . ip daddr @cut counter name dropped drop;
                }}
                chain behind {{
                    type filter hook postrouting priority 300; policy accept;
                    ip saddr . ip daddr @cut counter name crossed;
                }}
            }}\n"
        );
        tell(&text).await.context(
            "--cut network drops packets on the host's bridge, which takes the right to do so (root) \
             and the program nft",
        )?;
        Ok(Self { table })
    }

    /// Cuts these links, each from one address to another, in the place of all that were cut before,
    /// for so long: all at one instant.
    pub async fn set(&self, links: &[(Ipv4Addr, Ipv4Addr)], expires: Duration) -> Result<()> {
        let table = &self.table;
        let mut text = format!("flush set bridge {table} cut\n");
        let seconds = expires.as_secs().max(1);
        for (from, to) in links {
            writeln!(text, "add element bridge {table} cut {{ {from} . {to} timeout {seconds}s }}")
                .context("a string takes every write")?;
        }
        tell(&text).await.context("the links cannot be cut")
    }

    /// What was sent over links that were cut.
    pub async fn crossings(&self) -> Result<Crossings> {
        let arguments = ["-j", "list", "counters", "table", "bridge", &self.table];
        let listed = Command::new(FILTER).args(arguments).output().await;
        let listed = listed.with_context(|| format!("cannot start {FILTER}"))?;
        ensure!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        parse(&listed.stdout)
    }

    /// Removes the table, and with it every cut.
    pub async fn remove(self) -> Result<()> {
        tell(&format!("delete table bridge {}\n", self.table)).await
    }
}

/// Removes the table of a run that left one.
pub(crate) async fn remove_left(run: &str) -> Result<()> {
    let table = table(run);
    // Adding what is there already changes nothing, and what is there can be deleted.
    tell(&format!("add table bridge {table}\ndelete table bridge {table}\n")).await
}

fn table(run: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("lab_{}", run.chars().map(plain).collect::<String>())
}

/// Has the kernel take these commands, all or none.
async fn tell(commands: &str) -> Result<()> {
    let child = Command::new(FILTER)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.with_context(|| format!("cannot start {FILTER}"))?;
    let mut input = child.stdin.take().context("it was asked for a pipe")?;
    input.write_all(commands.as_bytes()).await.with_context(|| format!("{FILTER} ended early"))?;
    drop(input);
    let output = child.wait_with_output().await.with_context(|| format!("{FILTER} got lost"))?;
    if !output.status.success() {
        bail!("{FILTER}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The counters as the filter lists them.
fn parse(json: &[u8]) -> Result<Crossings> {
    #[derive(Deserialize)]
    struct Listing {
        nftables: Vec<serde_json::Value>,
    }
    let listing: Listing = serde_json::from_slice(json).context("the filter's counters")?;
    let named = |name: &str| {
        let counters = listing.nftables.iter().filter_map(|object| object.get("counter"));
        let found = counters.into_iter().find(|counter| counter["name"] == name);
        let found = found.with_context(|| format!("the filter has no counter '{name}'"))?;
        Tally::deserialize(found).with_context(|| format!("the filter's counter '{name}'"))
    };
    Ok(Crossings { dropped: named("dropped")?, crossed: named("crossed")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_as_they_are_listed() {
        let json = br#"{"nftables": [
            {"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
            {"counter": {"family": "bridge", "name": "dropped", "table": "t", "handle": 1,
                         "packets": 7, "bytes": 420}},
            {"counter": {"family": "bridge", "name": "crossed", "table": "t", "handle": 2,
                         "packets": 0, "bytes": 0}}]}"#;
        let dropped = Tally { packets: 7, bytes: 420 };
        assert_eq!(parse(json).unwrap(), Crossings { dropped, crossed: Tally::default() });
        assert!(parse(br#"{"nftables": []}"#).is_err());
    }

    #[test]
    fn a_run_of_any_name_has_a_table() {
        assert_eq!(table("raft-2026.1"), "lab_raft_2026_1");
    }
}
