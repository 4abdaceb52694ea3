//! This process among others: signals, and its parent.

use std::io;

use nix::{
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::getppid,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Parent, ReplicaError};

/// Ties this process to its parent, if asked to.
pub(crate) fn follow(parent: Parent) -> Result<(), ReplicaError> {
    let Parent::DieWith(parent) = parent else { return Ok(()) };
    let tied = set_pdeathsig(Signal::SIGKILL);
    tied.map_err(|errno| ReplicaError::System {
        action: "follow the parent",
        source: errno.into(),
    })?;
    // The parent may have died before the kernel knew; then this process has another by now.
    if u32::try_from(getppid().as_raw()) != Ok(parent) {
        let source = io::Error::other("it has ended already");
        return Err(ReplicaError::System { action: "follow the parent", source });
    }
    Ok(())
}

/// Waits for SIGTERM or ctrl-c.
pub(crate) async fn told_to_stop() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(error) => {
                tracing::warn!(%error, "SIGTERM will end this process at once");
                std::future::pending().await
            }
        }
    };
    let interrupted = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "ctrl-c will end this process at once");
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = terminated => {}
        () = interrupted => {}
    }
}
