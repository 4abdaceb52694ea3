//! The target `local`: real processes on loopback, real disks.

use std::{ffi::OsString, path::Path};

use anyhow::{Context as _, Result};
use deploy::{LocalSite, LocalSpec};

use super::{Raw, load::Clients, real};
use crate::{
    interrupt::Interrupts,
    plan::{self, Plan},
    registry::Entry,
};

/// Runs a plan on this machine.
pub fn local(
    plan: &Plan,
    protocol: &Entry,
    directory: &Path,
    interrupts: &Interrupts,
) -> Result<Raw> {
    let site = async || Ok((LocalSite::new(spec(plan, protocol, directory)?)?, Clients::Here));
    real::run(plan, site, directory, interrupts)
}

fn spec(plan: &Plan, protocol: &Entry, directory: &Path) -> Result<LocalSpec> {
    let executable = std::env::current_exe().context("cannot find this executable")?;
    let directory = std::path::absolute(directory).context("cannot name the run's folder")?;
    let die_with_this = ["--die-with-parent".to_owned(), std::process::id().to_string()];
    let mut replica = plan.replica_arguments(protocol);
    replica.extend(die_with_this.clone());
    Ok(LocalSpec {
        executable,
        directory,
        replica_arguments: replica.into_iter().map(OsString::from).collect(),
        secrets: plan::secrets(plan.peers, protocol.name)?,
        gateway_arguments: die_with_this.map(OsString::from).into(),
    })
}
