//! One child process: its log, its signals, its end.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

/// How many bytes of a log are read for its last lines.
const TAIL_BYTES: u64 = 8 << 10;

/// How many lines of a dead process's log are shown.
const TAIL_LINES: usize = 12;

/// The last lines of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogTail {
    /// Where the whole log is.
    pub path: PathBuf,
    /// Its last lines.
    pub lines: Vec<String>,
}

/// A process that ended although nobody ended it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exit {
    /// What it was: "replica 3", "gateway".
    pub name: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it said last.
    pub log: LogTail,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} ended by itself ({}); its log ends with:", self.name, self.status)?;
        for line in &self.log.lines {
            writeln!(f, "    {line}")?;
        }
        write!(f, "  the whole log: {}", self.log.path.display())
    }
}

/// A running child. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the executable; what it prints is appended to the log.
    pub fn start(
        name: String,
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
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// Sends a signal. A process that has just ended cannot be hurt any more: that is no error.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let Some(id) = self.child.id() else { return Ok(()) };
        let id = Pid::from_raw(i32::try_from(id).context("process ids are small")?);
        match kill(id, signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("cannot send {signal} to {}", self.name))
            }
        }
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        self.child.wait().await.with_context(|| format!("cannot wait for {}", self.name))
    }

    /// Whether it has ended already, and how.
    pub fn exit(&mut self) -> Option<Exit> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(Exit { name: self.name.clone(), status, log: tail(&self.log) })
    }
}

fn tail(path: &Path) -> LogTail {
    let text = read_end(path).unwrap_or_else(|error| format!("(cannot be read: {error})"));
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let skip = lines.len().saturating_sub(TAIL_LINES);
    LogTail { path: path.to_owned(), lines: lines[skip..].to_vec() }
}

fn read_end(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
