//! A pod that is talked to over its standard input and output.

use anyhow::{Context as _, Result};
use bytes::BytesMut;
use futures::stream::try_unfold;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::AttachParams};
use tokio::io::AsyncReadExt as _;

use crate::pipe::Pipe;

/// How much is on its way, in bytes, either way.
const BUFFER: usize = 1 << 20;

/// Takes hold of a pod that was made with an open standard input.
pub(super) async fn attach(pods: &Api<Pod>, pod: &str) -> Result<Pipe> {
    let how = AttachParams {
        stdin: true,
        // What it complains of is in its log.
        stderr: false,
        max_stdin_buf_size: Some(BUFFER),
        max_stdout_buf_size: Some(BUFFER),
        ..AttachParams::default()
    };
    let attached = pods.attach(pod, &how).await;
    let mut process = attached.with_context(|| format!("cannot talk to the pod {pod}"))?;
    let input = process.stdin().context("it was asked for its input")?;
    let output = process.stdout().context("it was asked for its output")?;
    // The connection lasts as long as the process is held.
    let pieces = try_unfold((process, output), async |(process, mut output)| {
        let mut piece = BytesMut::with_capacity(BUFFER);
        let length = output.read_buf(&mut piece).await.context("what the clients say is lost")?;
        Ok((length > 0).then(|| (piece.freeze(), (process, output))))
    });
    Ok(Pipe { input: Box::pin(input), output: Box::pin(pieces) })
}
