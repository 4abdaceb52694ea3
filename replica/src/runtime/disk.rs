//! The disk thread: appends what is queued, syncs for those who wait, and lets their messages go.

use std::{
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use consensus_core::{
    NodeId, Protocol, Time, Write,
    storage::{Storage, StorageError},
};

use super::{Departure, Network, consensus::Item, inbox::Inbox};
use crate::{clock, counters::Counters};

/// How many batches may wait; beyond, the consensus loop waits for the disk.
const MAX_QUEUED_BATCHES: usize = 16_384;
/// A persist that no message waits for is synced when it is this old.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Persists that no message waits for are synced when there are this many.
const MAX_UNSYNCED_BATCHES: u64 = 1_024;
/// How long an idle disk thread spends on freeing space at a time.
const RECLAIM_BUDGET: Duration = Duration::from_millis(2);
/// How often a busy disk thread frees the smallest piece: under a load without pauses the disk would
/// only fill otherwise.
const RECLAIM_EVERY: Duration = Duration::from_millis(4);

/// Something for the disk thread, in the order in which the protocol wanted it.
#[derive(Debug)]
pub enum Job<P: Protocol> {
    /// An atomic batch of writes.
    Write(Vec<Write<P::Record>>),
    /// A message that leaves once every earlier batch is durable.
    Release {
        /// What leaves.
        message: Waiting<P>,
        /// Since when it waits.
        since: Time,
    },
}

/// A message that waits for the disk, frozen as it was emitted.
#[derive(Debug)]
pub enum Waiting<P: Protocol> {
    /// To another replica, encoded.
    Peer(NodeId, Bytes),
    /// To this replica itself.
    Own(P::Message),
}

/// The queue between the consensus loop and the disk thread.
#[derive(Debug)]
pub struct DiskQueue<P: Protocol> {
    queue: Mutex<Queue<P>>,
    changed: Condvar,
    durable: AtomicU64,
}

#[derive(Debug)]
struct Queue<P: Protocol> {
    jobs: Vec<Job<P>>,
    end: End,
}

/// How far the queue is from its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Open,
    /// No more jobs will come; those that are here are still done.
    Finishing,
    /// The disk thread is gone.
    Gone,
}

impl<P: Protocol> Default for DiskQueue<P> {
    fn default() -> Self {
        let queue = Queue { jobs: Vec::new(), end: End::Open };
        Self { queue: Mutex::new(queue), changed: Condvar::new(), durable: AtomicU64::new(0) }
    }
}

impl<P: Protocol> DiskQueue<P> {
    /// How many batches are durable. The messages that waited for them have left already.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Hands jobs over and leaves `jobs` empty. Waits while too many are queued; drops them if the
    /// disk thread is gone, for nothing that waits for it may leave any more.
    pub fn push(&self, jobs: &mut Vec<Job<P>>) {
        let full =
            |queue: &mut Queue<P>| queue.jobs.len() > MAX_QUEUED_BATCHES && queue.end == End::Open;
        let mut queue = self.changed.wait_while(self.lock(), full).expect("the lock is clean");
        match queue.end {
            End::Gone => jobs.clear(),
            End::Open | End::Finishing => queue.jobs.append(jobs),
        }
        drop(queue);
        self.changed.notify_all();
    }

    /// Lets the disk thread end when it has done what is queued.
    pub fn finish(&self) {
        self.lock().end = End::Finishing;
        self.changed.notify_all();
    }

    fn gone(&self) {
        self.lock().end = End::Gone;
        self.changed.notify_all();
    }

    /// Takes every job, waiting for one until the given time, or for ever; `None` at the end.
    fn take(&self, into: &mut Vec<Job<P>>, until: Option<Time>) -> Option<()> {
        let patience = until.map_or(Duration::from_secs(3_600), |at| at.since(clock::now()));
        let idle = |queue: &mut Queue<P>| queue.jobs.is_empty() && queue.end == End::Open;
        let waited = self.changed.wait_timeout_while(self.lock(), patience, idle);
        let (mut queue, _) = waited.expect("the lock is clean");
        if queue.jobs.is_empty() && queue.end != End::Open {
            return None;
        }
        mem::swap(&mut queue.jobs, into);
        drop(queue);
        self.changed.notify_all();
        Some(())
    }

    fn lock(&self) -> MutexGuard<'_, Queue<P>> {
        self.queue.lock().expect("nobody panics while holding the disk queue")
    }
}

/// The disk thread's own state.
pub struct Disk<P: Protocol> {
    /// Where the records go.
    pub storage: Box<dyn Storage<P::Record>>,
    /// Where the jobs come from.
    pub queue: Arc<DiskQueue<P>>,
    /// Where the replica's messages to itself go.
    pub inbox: Arc<Inbox<Item<P>>>,
    /// Where the other messages go.
    pub network: Arc<dyn Network>,
    /// What is counted.
    pub counters: Arc<Counters>,
}

/// How far the storage has come, in batches.
#[derive(Clone, Copy, Default)]
struct Progress {
    appended: u64,
    synced: u64,
    /// Since when the oldest batch waits for a sync.
    unsynced_since: Option<Time>,
}

/// What is known of the space that could be freed.
struct Reclaim {
    /// Whether there may be some.
    left: bool,
    /// When some was freed for the last time.
    last: Time,
}

impl Progress {
    fn needs_sync(&self) -> bool {
        let old = self.unsynced_since.is_some_and(|since| clock::now().since(since) >= MAX_AGE);
        old || self.appended - self.synced >= MAX_UNSYNCED_BATCHES
    }
}

impl<P: Protocol> Disk<P> {
    /// Works until the queue ends, and syncs once more then.
    pub fn run(mut self) -> Result<(), StorageError> {
        let done = self.work();
        // Whoever waits for this disk must not wait for ever.
        self.queue.gone();
        done
    }

    fn work(&mut self) -> Result<(), StorageError> {
        let mut progress = Progress::default();
        let mut jobs = Vec::new();
        // The last life may have ended before it freed everything.
        let mut reclaim = Reclaim { left: true, last: clock::now() };
        loop {
            let idle_until = match reclaim.left {
                true => Some(clock::now()),
                false => progress.unsynced_since.map(|since| since + MAX_AGE),
            };
            if self.queue.take(&mut jobs, idle_until).is_none() {
                return self.sync(&mut progress);
            }
            let idle = jobs.is_empty();
            reclaim.left |= jobs.iter().any(moves_the_base);
            self.append(&jobs, &mut progress)?;
            let awaited = jobs.iter().any(|job| matches!(job, Job::Release { .. }));
            // What a crash could still need is not freed: a base counts once it is synced.
            if awaited || progress.needs_sync() || (idle && reclaim.left) {
                self.sync(&mut progress)?;
            }
            self.release(&mut jobs);
            // Behind the messages: from here on the loop sends at once, and must not overtake.
            self.queue.durable.store(progress.synced, Ordering::Release);
            if progress.synced == progress.appended {
                self.reclaim(&mut reclaim, idle)?;
            }
        }
    }

    /// Frees space while nothing else is to be done, and a little when much is.
    fn reclaim(&mut self, reclaim: &mut Reclaim, idle: bool) -> Result<(), StorageError> {
        let now = clock::now();
        if !reclaim.left || !(idle || now.since(reclaim.last) >= RECLAIM_EVERY) {
            return Ok(());
        }
        let budget = if idle { RECLAIM_BUDGET } else { Duration::ZERO };
        *reclaim = Reclaim { left: self.storage.reclaim(budget)?, last: now };
        Ok(())
    }

    fn append(&mut self, jobs: &[Job<P>], progress: &mut Progress) -> Result<(), StorageError> {
        let mut count = 0;
        let mut batches = jobs.iter().filter_map(|job| match job {
            Job::Write(writes) => {
                count += 1;
                Some(&writes[..])
            }
            Job::Release { .. } => None,
        });
        self.storage.append(&mut batches)?;
        if count > 0 {
            progress.appended += count;
            progress.unsynced_since.get_or_insert_with(clock::now);
            self.counters.persists_total.add(count);
        }
        Ok(())
    }

    fn sync(&mut self, progress: &mut Progress) -> Result<(), StorageError> {
        if progress.synced == progress.appended {
            return Ok(());
        }
        let started = clock::now();
        self.storage.sync()?;
        *progress = Progress { synced: progress.appended, unsynced_since: None, ..*progress };
        let took = clock::now().since(started).as_nanos();
        self.counters.syncs_total.add(1);
        self.counters.sync_nanoseconds_total.add(u64::try_from(took).unwrap_or(u64::MAX));
        Ok(())
    }

    fn release(&mut self, jobs: &mut Vec<Job<P>>) {
        let now = clock::now();
        let mut own = Vec::new();
        let mut departures = jobs.drain(..).filter_map(|job| match job {
            Job::Write(_) => None,
            Job::Release { message, since } => {
                let sync_ns = u64::try_from(now.since(since).as_nanos()).unwrap_or(u64::MAX);
                match message {
                    Waiting::Peer(to, payload) => Some(Departure { to, payload, sync_ns }),
                    Waiting::Own(message) => {
                        own.push(Item::Own { message, sync_ns });
                        None
                    }
                }
            }
        });
        self.network.send(&mut departures);
        drop(departures);
        if !own.is_empty() {
            self.inbox.put(&mut own.into_iter());
        }
    }
}

fn moves_the_base<P: Protocol>(job: &Job<P>) -> bool {
    match job {
        Job::Write(writes) => writes.iter().any(|write| matches!(write, Write::Base(_))),
        Job::Release { .. } => false,
    }
}

#[cfg(test)]
mod tests;
