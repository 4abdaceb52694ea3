//! Getting the image into a cluster.

use std::{path::Path, process::Stdio};

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use super::access::{Distribution, Reach};
use crate::docker;

/// Where the image comes from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Delivery {
    /// An image that the cluster has or can pull; `None`: one is built of an executable by this
    /// machine's Docker engine.
    pub image: Option<String>,
    /// A command that takes an image of that engine into the cluster, with the image as its last
    /// argument; `None`: what comes with minikube or kind.
    pub loader: Option<String>,
}

/// Sees to it that the cluster has the image of this executable, and says what it is called.
pub async fn provide(reach: &Reach, delivery: &Delivery, executable: &Path) -> Result<String> {
    let image = match &delivery.image {
        Some(image) => image.clone(),
        None => {
            let engine = docker::Engine::reach().await.context(
                "the image is built by this machine's Docker engine, unless --image names one that \
                 the cluster has",
            )?;
            docker::ensure(&engine, executable).await?.name
        }
    };
    match loader(reach, delivery) {
        // It is there, or the cluster pulls it.
        None if delivery.image.is_some() => {}
        _ if reach.has_image(&image) => {}
        Some(command) => load(&command, &image).await?,
        None => bail!(
            "it is not known how an image gets into the cluster of the context '{}': --load \
             COMMAND says it, as in --load 'minikube image load', or --image names one that it has",
            reach.context()
        ),
    }
    Ok(image)
}

/// What loads images into this cluster, as words.
fn loader(reach: &Reach, delivery: &Delivery) -> Option<Vec<String>> {
    if let Some(command) = &delivery.loader {
        return Some(command.split_whitespace().map(str::to_owned).collect());
    }
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match reach.distribution() {
        // An image that somebody names is there, or is pulled.
        _ if delivery.image.is_some() => None,
        Distribution::Minikube(profile) => {
            Some(words(&["minikube", "--profile", profile, "image", "load"]))
        }
        Distribution::Kind(name) => Some(words(&["kind", "--name", name, "load", "docker-image"])),
        Distribution::Other => None,
    }
}

async fn load(command: &[String], image: &str) -> Result<()> {
    let (program, arguments) = command.split_first().context("--load names no command")?;
    let mut loading = Command::new(program);
    loading.args(arguments).arg(image).stdin(Stdio::null()).kill_on_drop(true);
    let shown = command.join(" ");
    let output = loading.output().await.with_context(|| format!("cannot start '{shown}'"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("'{shown} {image}' did not load the image: {}", why.trim());
    }
    Ok(())
}
