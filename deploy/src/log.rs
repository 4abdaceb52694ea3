//! The end of a log, for whoever asks why something ended.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

use crate::site::LogTail;

/// How many bytes of a log are read for its last lines.
const TAIL_BYTES: u64 = 8 << 10;

/// How many lines of a log are shown.
const TAIL_LINES: usize = 12;

/// The last lines of this log.
pub(crate) fn tail(path: &Path) -> LogTail {
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
