//! Somebody who is talked to over standard input and output, wherever they run.

use std::pin::Pin;

use anyhow::Result;
use bytes::Bytes;
use futures::Stream;
use tokio::io::AsyncWrite;

/// The two ends. Their standard input ends when `input` is dropped.
pub struct Pipe {
    /// What goes in.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// What comes out, in pieces that are no lines. It ends when they do.
    pub output: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
}

impl std::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipe").finish_non_exhaustive()
    }
}
