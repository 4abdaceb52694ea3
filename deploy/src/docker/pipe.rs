//! A container that is talked to over its standard input and output.

use anyhow::{Context as _, Result};
use bollard::{
    container::{AttachContainerResults, LogOutput},
    query_parameters as query,
};
use futures::{StreamExt as _, future};

use super::engine::Engine;
use crate::pipe::Pipe;

/// Starts a container that was made with an open standard input, and takes hold of it.
pub(crate) async fn start(engine: &Engine, container: &str) -> Result<Pipe> {
    let options = query::AttachContainerOptionsBuilder::default();
    let options = options.stdin(true).stdout(true).stderr(true).stream(true).build();
    let attached = engine.docker().attach_container(container, Some(options)).await;
    let AttachContainerResults { output, input } =
        attached.with_context(|| format!("cannot talk to the container {container}"))?;
    let started = engine.docker().start_container(container, None).await;
    started.with_context(|| format!("cannot start the container {container}"))?;
    let output = output.filter_map(|piece| {
        future::ready(match piece {
            Ok(LogOutput::StdOut { message } | LogOutput::Console { message }) => Some(Ok(message)),
            // What it complains of is in its log.
            Ok(_) => None,
            Err(error) => Some(Err(error).context("what the container says is lost")),
        })
    });
    Ok(Pipe { input, output: Box::pin(output) })
}
