//! The journal: what the replica observed and applied, written beside its data for those who judge
//! the run, and streamed to those who watch it.
//!
//! A thread of its own writes, so that the consensus loop never waits for a file. What happens at
//! every operation may linger for a moment and be written in one go; what happens seldom (an
//! election, say) is written at once, for a watcher may be waiting to strike at that very moment.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use consensus_core::{
    Event,
    history::{Applied, Observed, StateDigest},
    storage::StorageError,
};
use tokio::sync::broadcast;

/// How many turns of the loop may wait to be written; beyond, the loop waits.
const MAX_WAITING: usize = 4_096;
/// How long what happens at every operation may linger.
const LINGER: Duration = Duration::from_millis(2);
/// How often the applied entries are written out.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// How many lines a watcher may lag behind.
const MAX_LAG: usize = 16_384;

/// What one turn of the consensus loop left to be written.
#[derive(Debug, Default)]
pub struct Page {
    /// What was observed.
    pub observed: Vec<Observed>,
    /// What was applied.
    pub applied: Vec<Applied>,
    /// What the state was.
    pub states: Vec<StateDigest>,
    /// Who waits until all this, and what came before it, is written out: whoever is about to make
    /// it impossible to apply it again.
    pub awaited: Vec<SyncSender<()>>,
}

impl Page {
    /// Whether there is nothing on it.
    pub fn is_empty(&self) -> bool {
        let Self { observed, applied, states, awaited } = self;
        observed.is_empty() && applied.is_empty() && states.is_empty() && awaited.is_empty()
    }

    fn is_urgent(&self) -> bool {
        !self.observed.iter().all(is_routine)
    }
}

/// Whether it may happen at every operation.
const fn is_routine(observed: &Observed) -> bool {
    let event = &observed.event;
    matches!(event, Event::Proposed { .. } | Event::Committed { .. } | Event::Refused { .. })
}

/// Observed events as they are written, one JSON line each, for any number of watchers. Most want
/// to hear only of what happens seldom: under load, what happens at every operation would cost the
/// replica and them more than the operations themselves do.
#[derive(Clone, Debug)]
pub struct Live {
    everything: broadcast::Sender<Bytes>,
    seldom: broadcast::Sender<Bytes>,
}

impl Live {
    fn new() -> Self {
        Self { everything: broadcast::channel(MAX_LAG).0, seldom: broadcast::channel(MAX_LAG).0 }
    }

    /// Hears of everything.
    pub fn everything(&self) -> broadcast::Receiver<Bytes> {
        self.everything.subscribe()
    }

    /// Hears of all but what happens at every operation.
    pub fn seldom(&self) -> broadcast::Receiver<Bytes> {
        self.seldom.subscribe()
    }

    fn tell(&self, observed: &Observed, line: Vec<u8>) {
        let line = Bytes::from(line);
        let seldom = Some(&self.seldom).filter(|_| !is_routine(observed));
        for watched in [Some(&self.everything), seldom].into_iter().flatten() {
            if watched.receiver_count() > 0 {
                // A watcher that left in this very moment is no error.
                let _ = watched.send(line.clone());
            }
        }
    }
}

/// The consensus loop's side of the journal.
#[derive(Debug)]
pub struct Journal {
    pages: Option<SyncSender<Page>>,
    writer: Option<JoinHandle<Result<(), StorageError>>>,
}

impl Journal {
    /// Opens `events.jsonl`, which goes on from life to life, and this life's
    /// `applied-<incarnation>.jsonl` and `states-<incarnation>.jsonl`, and starts the writer.
    pub fn open(directory: &Path, incarnation: u64) -> Result<(Self, Live), StorageError> {
        let events = Lines::open(directory.join("events.jsonl"))?;
        let of_this_life =
            |name| Lines::open(directory.join(format!("{name}-{incarnation}.jsonl")));
        let (applied, states) = (of_this_life("applied")?, of_this_life("states")?);
        let (pages, inbox) = mpsc::sync_channel(MAX_WAITING);
        let live = Live::new();
        let writer = Writer { pages: inbox, events, applied, states, live: live.clone() };
        let writer = thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run())
            .map_err(|source| StorageError::Io { action: "start a thread".into(), source })?;
        Ok((Self { pages: Some(pages), writer: Some(writer) }, live))
    }

    /// Hands a page over. `false` if the writer is gone: ask [`close`](Self::close) why.
    #[must_use]
    pub fn write(&self, page: Page) -> bool {
        self.pages.as_ref().is_some_and(|pages| pages.send(page).is_ok())
    }

    /// Writes out what is left, and says what went wrong if something did.
    pub fn close(&mut self) -> Result<(), StorageError> {
        self.pages = None;
        match self.writer.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

struct Writer {
    pages: Receiver<Page>,
    events: Lines,
    applied: Lines,
    states: Lines,
    live: Live,
}

impl Writer {
    fn run(mut self) -> Result<(), StorageError> {
        let mut last_flush = Instant::now();
        loop {
            let more = self.next_pages()?;
            self.events.flush()?;
            if !more || last_flush.elapsed() >= FLUSH_EVERY {
                self.applied.flush()?;
                self.states.flush()?;
                last_flush = Instant::now();
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Takes pages until one is urgent or the first one has lingered long enough. `false` at the
    /// end of the journal.
    fn next_pages(&mut self) -> Result<bool, StorageError> {
        let mut urgent = match self.pages.recv_timeout(FLUSH_EVERY) {
            Ok(page) => self.take(&page)?,
            Err(RecvTimeoutError::Timeout) => return Ok(true),
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
        };
        let until = Instant::now() + LINGER;
        while !urgent {
            match self.pages.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(page) => urgent = self.take(&page)?,
                Err(RecvTimeoutError::Timeout) => return Ok(true),
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
        }
        Ok(true)
    }

    fn take(&mut self, page: &Page) -> Result<bool, StorageError> {
        for observed in &page.observed {
            let line = self.events.line(observed)?;
            self.live.tell(observed, line);
        }
        let urgent = page.is_urgent();
        if urgent {
            // What was applied behind an installed snapshot must not be read without it.
            self.events.flush()?;
        }
        for applied in &page.applied {
            self.applied.line(applied)?;
        }
        for state in &page.states {
            self.states.line(state)?;
        }
        if !page.awaited.is_empty() {
            self.applied.flush()?;
            self.states.flush()?;
            for waiting in &page.awaited {
                // Whoever waited may have ended.
                let _ = waiting.try_send(());
            }
        }
        Ok(urgent)
    }
}

/// A file of JSON lines.
pub(crate) struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Lines {
    /// Goes on after the last whole line: over the next one, an earlier life was killed.
    pub(crate) fn open(path: PathBuf) -> Result<Self, StorageError> {
        let opened = File::options().read(true).append(true).create(true).open(&path);
        match opened.and_then(|file| cut_torn_end(&file).map(|()| file)) {
            Ok(file) => Ok(Self { path, file: BufWriter::with_capacity(64 << 10, file) }),
            Err(error) => Err(failed(&path, error)),
        }
    }

    pub(crate) fn line(&mut self, value: &impl serde::Serialize) -> Result<Vec<u8>, StorageError> {
        let mut line = serde_json::to_vec(value).expect("histories are plain JSON");
        line.push(b'\n');
        self.file.write_all(&line).map_err(|error| failed(&self.path, error))?;
        Ok(line)
    }

    pub(crate) fn flush(&mut self) -> Result<(), StorageError> {
        self.file.flush().map_err(|error| failed(&self.path, error))
    }
}

/// Cuts off what follows the last end of a line.
fn cut_torn_end(file: &File) -> io::Result<()> {
    let mut chunk = [0; 4 << 10];
    let mut end = file.metadata()?.len();
    while end > 0 {
        let begin = end.saturating_sub(chunk.len() as u64);
        let part = &mut chunk[..(end - begin) as usize];
        file.read_exact_at(part, begin)?;
        if let Some(last) = part.iter().rposition(|&byte| byte == b'\n') {
            return file.set_len(begin + last as u64 + 1);
        }
        end = begin;
    }
    file.set_len(0)
}

fn failed(path: &Path, source: io::Error) -> StorageError {
    StorageError::Io { action: format!("write {}", path.display()), source }
}

/// A journal shared by nobody: closed when dropped, so that no line is lost in a peaceful end.
impl Drop for Journal {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the journal is incomplete");
        }
    }
}

#[cfg(test)]
mod tests {
    use consensus_core::{Epoch, NodeId, Time};

    use super::*;

    fn observed(event: Event) -> Observed {
        let node = NodeId(1);
        Observed { at: Time(1), node, incarnation: 2, from: None, sync_ns: 0, event }
    }

    fn read(path: PathBuf) -> Vec<Observed> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn what_is_written_comes_back_and_lives_on() {
        let place = tempfile::tempdir().unwrap();
        let event = |round| observed(Event::Elected { epoch: Epoch::term(round) });
        for life in 1..=2 {
            let (mut journal, _) = Journal::open(place.path(), life).unwrap();
            let page = Page { observed: vec![event(life)], ..Page::default() };
            assert!(journal.write(page));
            journal.close().unwrap();
        }
        assert_eq!(read(place.path().join("events.jsonl")), [event(1), event(2)]);
        assert!(place.path().join("applied-2.jsonl").exists());
    }

    #[test]
    fn a_line_over_which_a_life_was_killed_is_not_gone_on_with() {
        let place = tempfile::tempdir().unwrap();
        for torn in [1, 5_000] {
            let path = place.path().join(format!("{torn}.jsonl"));
            for life in 1..=2 {
                let mut lines = Lines::open(path.clone()).unwrap();
                lines.line(&life).unwrap();
                lines.flush().unwrap();
                let mut file = File::options().append(true).open(&path).unwrap();
                file.write_all(&vec![b'{'; torn]).unwrap();
            }
            drop(Lines::open(path.clone()).unwrap());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n");
            std::fs::write(&path, "{").unwrap();
            drop(Lines::open(path.clone()).unwrap());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        }
    }

    #[test]
    fn a_watcher_hears_what_is_written() {
        let place = tempfile::tempdir().unwrap();
        let (journal, live) = Journal::open(place.path(), 1).unwrap();
        let (mut everything, mut seldom) = (live.everything(), live.seldom());
        let request = consensus_core::RequestId(1);
        let (index, epoch) = (4, Epoch::term(3));
        let routine = observed(Event::Proposed { request, index, epoch });
        let rare = observed(Event::TimedOut { epoch });
        let page = Page { observed: vec![routine.clone(), rare.clone()], ..Page::default() };
        assert!(journal.write(page));
        let heard = |line: Bytes| serde_json::from_slice::<Observed>(&line).unwrap();
        assert_eq!(heard(everything.blocking_recv().unwrap()), routine);
        assert_eq!(heard(everything.blocking_recv().unwrap()), rare);
        assert_eq!(heard(seldom.blocking_recv().unwrap()), rare);
    }
}
