//! `harness certificates`: what replicas that speak TLS show each other.

use anyhow::Result;

use crate::{
    cli::{CertificatesArgs, Peers},
    plan,
    usage::usage,
};

/// Issues the certificates of a cluster into a folder.
pub fn certificates(arguments: &CertificatesArgs) -> Result<bool> {
    let CertificatesArgs { out, cluster } = arguments;
    let secrets = plan::secrets(Peers::Tls, cluster)?;
    secrets.write(out).map_err(|error| usage(format!("{error:#}")))?;
    for (name, _) in secrets.files() {
        println!("{}", out.join(name).display());
    }
    Ok(true)
}
