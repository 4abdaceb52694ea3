//! Records one to a line, as JSON: `history.jsonl` holds the operations, `applied.jsonl` the
//! applied entries, `events.jsonl` the observations.
//!
//! A process that is killed leaves its last line torn. That is not damage, and [`JsonlError`] tells
//! it apart from damage; whoever expects kills reads with [`read_untorn`].

use std::{
    io::{self, BufRead, Read as _, Write},
    marker::PhantomData,
};

use serde::{Serialize, de::DeserializeOwned};

/// The longest line, in bytes. A compare-and-swap and its answer carry three values of half a
/// mebibyte, and JSON may spend six bytes on one of theirs.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// Why records could not be read. Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum JsonlError {
    /// The file itself does not read.
    #[error("line {line}: {source}")]
    Io {
        /// The line.
        line: u64,
        /// What went wrong.
        source: io::Error,
    },
    /// A line is longer than any record.
    #[error("line {line}: longer than {MAX_LINE_BYTES} bytes")]
    TooLong {
        /// The line.
        line: u64,
    },
    /// A line is not such a record.
    #[error("line {line}: {source}")]
    Malformed {
        /// The line.
        line: u64,
        /// What is wrong with it, and in which column.
        source: serde_json::Error,
    },
    /// The last line stops in the middle: its writer was killed.
    #[error("line {line}: the record is cut off")]
    Torn {
        /// The line.
        line: u64,
    },
}

/// Reads record after record. After an error there is nothing more to read.
pub struct Records<'a, T> {
    from: &'a mut dyn BufRead,
    line: u64,
    finished: bool,
    record: PhantomData<T>,
}

impl<'a, T: DeserializeOwned> Records<'a, T> {
    /// Reads from here.
    pub fn new(from: &'a mut dyn BufRead) -> Self {
        Self { from, line: 0, finished: false, record: PhantomData }
    }

    fn read(&mut self) -> Result<Option<T>, JsonlError> {
        self.line += 1;
        let line = self.line;
        let mut bytes = Vec::new();
        let mut bounded = (&mut *self.from).take(MAX_LINE_BYTES as u64 + 1);
        let read = bounded.read_until(b'\n', &mut bytes);
        read.map_err(|source| JsonlError::Io { line, source })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let whole = bytes.ends_with(b"\n");
        if !whole && bytes.len() > MAX_LINE_BYTES {
            return Err(JsonlError::TooLong { line });
        }
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(error) if !whole && error.is_eof() => Err(JsonlError::Torn { line }),
            Err(source) => Err(JsonlError::Malformed { line, source }),
        }
    }
}

impl<T: DeserializeOwned> Iterator for Records<'_, T> {
    type Item = Result<T, JsonlError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let record = self.read().transpose();
        self.finished = !matches!(record, Some(Ok(_)));
        record
    }
}

/// Reads all records, every line of which must be whole.
pub fn read<T: DeserializeOwned>(from: &mut dyn BufRead) -> Result<Vec<T>, JsonlError> {
    Records::new(from).collect()
}

/// Reads all whole records of a writer that may have been killed: a torn last line is left out.
pub fn read_untorn<T: DeserializeOwned>(from: &mut dyn BufRead) -> Result<Vec<T>, JsonlError> {
    let torn = |record: &Result<T, JsonlError>| matches!(record, Err(JsonlError::Torn { .. }));
    Records::new(from).take_while(|record| !torn(record)).collect()
}

/// Writes one record as a line.
pub fn write_one<T: Serialize>(to: &mut dyn Write, record: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    // One write, so that writers who share a file do not cut each other's lines.
    to.write_all(&line)
}

/// Writes the records, one to a line.
pub fn write<'a, T: Serialize + 'a>(
    to: &mut dyn Write,
    records: impl IntoIterator<Item = &'a T>,
) -> io::Result<()> {
    records.into_iter().try_for_each(|record| write_one(to, record))
}
