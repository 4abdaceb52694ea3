//! What is done from inside a pod, by the same executable that runs there, started a second time.
//!
//! The image holds no shell and no `kill`. The pod's containers share their processes, so that the
//! replica is not the first of them: only then can it be stopped and killed from inside.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

use crate::site::Wanted;

/// The entry of an archive that says when it was begun, by this host's monotonic clock.
pub(super) const MOMENT: &str = ".moment";

/// The last entry of an archive: whatever ends without it was cut off on its way.
pub(super) const COMPLETE: &str = ".complete";

/// What somebody is sent into a pod for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Errand {
    /// To kill the replica with SIGKILL. When, is said first: with the replica, whoever is in its
    /// container ends.
    Kill,
    /// To freeze it with SIGSTOP.
    Freeze,
    /// To let it go on with SIGCONT.
    Thaw,
    /// To freeze it, and hand over what it wrote down. It is killed once that has come over: with the
    /// replica, whoever is in its container ends, and what is on its way from there is lost.
    Seize(Wanted),
    /// To hand over what a replica wrote down that runs no more.
    Fetch(Wanted),
    /// To read the host's monotonic clock.
    Clock,
}

/// Carries an errand out. Times are said in nanoseconds of the host's monotonic clock, archives are tar.
pub fn carry_out(errand: Errand, data: &Path, mut output: impl Write) -> Result<()> {
    match errand {
        Errand::Kill => {
            let replica = replica()?;
            say(now(), &mut output)?;
            send(replica, Signal::SIGKILL)
        }
        Errand::Freeze => {
            send(replica()?, Signal::SIGSTOP)?;
            say(now(), &mut output)
        }
        Errand::Thaw => {
            send(replica()?, Signal::SIGCONT)?;
            say(now(), &mut output)
        }
        Errand::Seize(wanted) => {
            send(replica()?, Signal::SIGSTOP)?;
            pack(now(), data, wanted, &mut output)
        }
        Errand::Fetch(wanted) => pack(now(), data, wanted, &mut output),
        Errand::Clock => say(now(), &mut output),
    }
}

/// The words that name an errand on the command line.
pub(super) fn words(errand: Errand) -> Vec<String> {
    let (name, wanted) = match errand {
        Errand::Kill => ("kill", None),
        Errand::Freeze => ("freeze", None),
        Errand::Thaw => ("thaw", None),
        Errand::Seize(wanted) => ("seize", Some(wanted)),
        Errand::Fetch(wanted) => ("fetch", Some(wanted)),
        Errand::Clock => ("clock", None),
    };
    let everything = wanted == Some(Wanted::Everything);
    let mut words = vec!["/harness".to_owned(), "pod".to_owned(), name.to_owned()];
    words.extend(everything.then(|| "--everything".to_owned()));
    words
}

/// The host's monotonic clock, in nanoseconds.
pub(super) fn now() -> u64 {
    let read = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    let part = |part: i64| u64::try_from(part).expect("this clock is never negative");
    part(read.tv_sec()) * 1_000_000_000 + part(read.tv_nsec())
}

fn say(nanos: u64, output: &mut impl Write) -> Result<()> {
    let said = writeln!(output, "{nanos}").and_then(|()| output.flush());
    said.context("nobody hears when it was")
}

/// The replica's process.
fn replica() -> Result<Pid> {
    let entries = fs::read_dir("/proc").context("cannot list the processes of this pod")?;
    let numbers =
        entries.filter_map(Result::ok).filter_map(|it| it.file_name().to_str()?.parse().ok());
    for number in numbers {
        // One that has just ended has no line any more.
        let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        if is_replica(&line) {
            return Ok(Pid::from_raw(number));
        }
    }
    bail!("no replica runs in this pod")
}

/// Whether this is how a replica was started: `harness replica ...`.
fn is_replica(command_line: &[u8]) -> bool {
    command_line.split(|&byte| byte == 0).nth(1) == Some(b"replica")
}

fn send(process: Pid, signal: Signal) -> Result<()> {
    kill(process, signal).with_context(|| format!("cannot send {signal} to the replica"))
}

/// Writes an archive of a data directory.
fn pack(moment: u64, data: &Path, wanted: Wanted, output: &mut impl Write) -> Result<()> {
    let why = "the archive cannot be written";
    let mut archive = tar::Builder::new(output);
    note(&mut archive, MOMENT, &moment.to_string())?;
    for path in files(data)? {
        let name = path.strip_prefix(data).context("a file is in its directory")?;
        if wanted == Wanted::Everything || is_record(name) {
            let packed = archive.append_path_with_name(&path, name);
            packed.with_context(|| format!("cannot hand over {}", path.display()))?;
        }
    }
    note(&mut archive, COMPLETE, "")?;
    archive.into_inner().and_then(|output| output.flush()).context(why)
}

fn note(archive: &mut tar::Builder<&mut impl Write>, name: &str, text: &str) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(text.len() as u64);
    let noted = archive.append_data(&mut header, name, text.as_bytes());
    noted.context("the archive cannot be written")
}

/// Whether somebody wrote this for others to read.
fn is_record(name: &Path) -> bool {
    name.extension() == Some(OsStr::new("jsonl"))
}

/// All files below this directory.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let why = || format!("cannot list {}", directory.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(why)? {
        let entry = entry.with_context(why)?;
        let kind = entry.file_type().with_context(why)?;
        if kind.is_dir() {
            // A volume's own `lost+found` belongs to root.
            found.extend(files(&entry.path()).unwrap_or_default());
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_known_by_how_it_was_started() {
        assert!(is_replica(b"/harness\0replica\0--pod=replica-0\0"));
        assert!(!is_replica(b"/harness\0pod\0kill\0"));
        assert!(!is_replica(b"/pause\0"));
        assert!(!is_replica(b""));
    }

    #[test]
    fn an_archive_begins_with_its_moment_and_ends_with_its_mark() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("deeper")).unwrap();
        for name in ["events.jsonl", "log", "deeper/applied-1.jsonl"] {
            fs::write(place.path().join(name), name).unwrap();
        }
        let listed = |wanted| {
            let mut packed = Vec::new();
            pack(7, place.path(), wanted, &mut packed).unwrap();
            let mut archive = tar::Archive::new(&packed[..]);
            let entries = archive.entries().unwrap().map(Result::unwrap);
            entries.map(|entry| entry.path().unwrap().display().to_string()).collect::<Vec<_>>()
        };
        let mut records = listed(Wanted::Records);
        assert_eq!((records[0].as_str(), records[3].as_str()), (MOMENT, COMPLETE));
        records.sort_unstable();
        assert_eq!(records, [COMPLETE, MOMENT, "deeper/applied-1.jsonl", "events.jsonl"]);
        assert_eq!(listed(Wanted::Everything).len(), 5);
    }
}
