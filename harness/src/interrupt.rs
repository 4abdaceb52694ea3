//! Ctrl-C and SIGTERM: the first asks for an end in order, the second gets it at once.

use std::{process, thread};

use anyhow::{Context, Result};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::cli::Target;

/// Whether somebody asked for the end.
///
/// A run on real processes that is interrupted ends its processes and keeps what it measured. For
/// whoever cannot wait for that, the second signal ends this process on the spot; the replicas die
/// with it, for the kernel kills them when their parent is gone.
#[derive(Clone, Debug)]
pub struct Interrupts(Option<watch::Receiver<bool>>);

impl Interrupts {
    /// Listens from now on, if this target has anything to end in order. A simulation has not: there
    /// a signal does what signals do.
    pub fn of(target: Target) -> Result<Self> {
        match target {
            Target::Sim => Ok(Self(None)),
            Target::Local | Target::Docker | Target::Kubernetes => {
                listen().map(Some).map(Self).context("cannot listen for signals")
            }
        }
    }

    /// Whether a signal came.
    pub fn came(&self) -> bool {
        self.0.as_ref().is_some_and(|told| *told.borrow())
    }

    /// Returns once a signal has come.
    pub async fn come(&self) {
        if let Some(mut told) = self.0.clone()
            && told.wait_for(|told| *told).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

/// Starts a thread that waits for signals, whatever the rest of the process is doing.
fn listen() -> std::io::Result<watch::Receiver<bool>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupted, mut terminated) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let (teller, told) = watch::channel(false);
    let mut next = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
        });
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        next();
        eprintln!("harness: interrupted: keeping what was measured; once more ends it at once");
        // Nobody listens any more when the run is over already.
        let _over = teller.send(true);
        next();
        eprintln!("harness: interrupted again: ended at once");
        process::exit(1);
    })?;
    Ok(told)
}
