//! One child process: its log, its signals, its end.

use std::{
    ffi::OsString,
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

use crate::site::{Exit, Part};

/// A running child. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    part: Part,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the executable; what it prints is appended to the log.
    pub fn start(
        part: Part,
        executable: &Path,
        arguments: &[OsString],
        log: &Path,
    ) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let also = file.try_clone().context("cannot share the log file")?;
        let child = Command::new(executable)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(also)
            .kill_on_drop(true)
            // A signal from the terminal is for the harness, which then ends its children in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", executable.display()))?;
        Ok(Self { part, child, log: log.to_owned() })
    }

    /// Sends a signal. A process that has just ended cannot be hurt any more: that is no error.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let Some(id) = self.child.id() else { return Ok(()) };
        let id = Pid::from_raw(i32::try_from(id).context("process ids are small")?);
        match kill(id, signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("cannot send {signal} to the {}", self.part))
            }
        }
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        self.child.wait().await.with_context(|| format!("cannot wait for the {}", self.part))
    }

    /// Whether it has ended already, and how.
    pub fn exit(&mut self) -> Option<Exit> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(Exit::new(self.part, status.to_string(), &self.log))
    }
}
