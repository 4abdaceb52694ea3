//! One replica's disk in virtual time, and the barrier that its durable messages wait at.

mod image;

use std::{collections::VecDeque, time::Duration};

use consensus_core::{
    Disk, Draw, Index, NodeId, Protocol, Time, Write,
    storage::{MemoryDisk, StorageError},
};
use faults::{DiskFailure, DiskRules, Latency};

/// How a disk behaves.
#[derive(Clone, PartialEq, Debug)]
pub struct DiskModel {
    /// How long a sync takes.
    pub sync: Latency,
    /// Syncs that take much longer, as drives and their neighbours produce.
    pub stall: Option<Stall>,
    /// A batch that no message waits for is synced when it has grown this old.
    pub age: Duration,
    /// The bytes per second at which snapshots, and chunks of them, are written beside the log.
    pub bytes_per_s: u64,
}

/// A sync that takes much longer than the others.
#[derive(Clone, PartialEq, Debug)]
pub struct Stall {
    /// The probability of each sync to stall.
    pub chance: f64,
    /// What a stall adds.
    pub adds: Latency,
}

impl Default for DiskModel {
    /// A drive of a small virtual machine: around 100 µs a sync, and no stalls.
    fn default() -> Self {
        let sync = Latency::LogNormal { median: Duration::from_micros(100), sigma: 0.25 };
        Self { sync, stall: None, age: Duration::from_millis(100), bytes_per_s: 200_000_000 }
    }
}

impl DiskModel {
    fn draw(&self, draw: Draw) -> Duration {
        let mut time = self.sync.draw(draw.of("sync"));
        if let Some(stall) = &self.stall
            && draw.of("stalls").chance(stall.chance)
        {
            time += stall.adds.draw(draw.of("stall"));
        }
        time
    }
}

/// A message that waits for the disk. It was frozen when it was emitted.
#[derive(Debug)]
pub(crate) struct Waiting<P: Protocol> {
    /// It leaves once this many batches are durable.
    behind: u64,
    /// Since when it waits.
    pub(crate) since: Time,
    /// To whom it goes.
    pub(crate) to: NodeId,
    /// The message.
    pub(crate) message: P::Message,
}

/// A disk and its barrier.
///
/// Batches are counted over the replica's whole life. `durable ≤ written`, at most one sync runs,
/// and `waiting` ascends by the batch that each message waits for.
#[derive(Debug)]
pub(crate) struct Barrier<P: Protocol> {
    disk: MemoryDisk<P::Record>,
    /// The log as bytes, once a bit of it has flipped.
    rotten: Option<Vec<u8>>,
    /// What faults do to it.
    rules: DiskRules,
    draw: Draw,
    written: u64,
    durable: u64,
    syncing: Option<u64>,
    waiting: VecDeque<Waiting<P>>,
    oldest_unsynced: Option<Time>,
    syncs: u64,
    chores: u64,
    crashes: u64,
}

impl<P: Protocol> Barrier<P> {
    /// A disk that was never written, with its times drawn below this key.
    pub(crate) fn new(draw: Draw) -> Self {
        Self {
            disk: MemoryDisk::new(),
            rotten: None,
            rules: DiskRules::default(),
            draw,
            written: 0,
            durable: 0,
            syncing: None,
            waiting: VecDeque::new(),
            oldest_unsynced: None,
            syncs: 0,
            chores: 0,
            crashes: 0,
        }
    }

    /// Takes a batch; says whether it is the first that waits for a sync.
    pub(crate) fn write(&mut self, now: Time, batch: Vec<Write<P::Record>>) -> bool {
        self.disk.write(batch);
        self.written += 1;
        let first = self.oldest_unsynced.is_none();
        self.oldest_unsynced.get_or_insert(now);
        first
    }

    /// Holds a durable message back, or gives it back if nothing that it waits for is missing.
    pub(crate) fn hold(
        &mut self,
        now: Time,
        to: NodeId,
        message: P::Message,
    ) -> Option<P::Message> {
        if self.durable == self.written {
            return Some(message);
        }
        self.waiting.push_back(Waiting { behind: self.written, since: now, to, message });
        None
    }

    /// Starts a sync of everything written so far, if a message waits or a batch is too old, and
    /// none is running; says when it ends.
    pub(crate) fn start_sync(&mut self, now: Time, model: &DiskModel) -> Option<Time> {
        let aged = self.oldest_unsynced.is_some_and(|since| now.since(since) >= model.age);
        if self.syncing.is_some() || self.durable == self.written {
            return None;
        }
        if self.waiting.is_empty() && !aged {
            return None;
        }
        self.syncing = Some(self.written);
        self.oldest_unsynced = None;
        self.syncs += 1;
        let draw = self.draw.at(self.syncs);
        Some(now + model.draw(draw) + self.rules.adds(draw))
    }

    /// When the oldest batch for which no sync was started has grown too old, if there is any.
    pub(crate) fn ages_at(&self, model: &DiskModel) -> Option<Time> {
        self.oldest_unsynced.map(|since| since + model.age)
    }

    /// Ends the sync that runs.
    pub(crate) fn finish_sync(&mut self) {
        let upto = self.syncing.take().expect("a sync ends that was started");
        let batches = usize::try_from(upto - self.durable).expect("batches are held in memory");
        self.disk.sync(batches);
        self.durable = upto;
    }

    /// How long it takes to write so many bytes beside the log, and to sync them.
    pub(crate) fn chore(&mut self, bytes: usize, model: &DiskModel) -> Duration {
        self.chores += 1;
        let written = bytes as f64 / model.bytes_per_s.max(1) as f64;
        let draw = self.draw.of("chore").at(self.chores);
        Duration::from_secs_f64(written) + model.draw(draw) + self.rules.adds(draw)
    }

    /// The last position that the durable base of the log includes.
    pub(crate) fn base(&self) -> Option<Index> {
        self.disk.durable().base.as_ref().map(|base| base.index)
    }

    /// Takes the next message that no longer waits.
    pub(crate) fn release(&mut self) -> Option<Waiting<P>> {
        if self.waiting.front()?.behind > self.durable {
            return None;
        }
        self.waiting.pop_front()
    }

    /// Puts these rules in force, in the place of all earlier ones.
    pub(crate) fn set_rules(&mut self, rules: DiskRules) {
        self.rules = rules;
    }

    /// Whether no sync ends for now.
    pub(crate) const fn is_stalled(&self) -> bool {
        self.rules.stalled
    }

    /// How whatever is written or synced now fails, if it does.
    pub(crate) const fn failure(&self) -> Option<DiskFailure> {
        self.rules.fails
    }

    /// Whether something was written that is not durable yet.
    pub(crate) const fn is_behind(&self) -> bool {
        self.durable < self.written
    }

    /// Crashes: a drawn prefix of the batches that were not durable stays, the others are lost, and
    /// the messages behind them never leave. Says how many batches were lost.
    pub(crate) fn crash(&mut self) -> u64 {
        let unsynced = self.written - self.durable;
        self.crashes += 1;
        let kept = self.draw.of("crash").at(self.crashes).below(unsynced + 1);
        self.disk.crash(usize::try_from(kept).expect("batches are held in memory"));
        self.level();
        unsynced - kept
    }

    /// Crashes in the middle of a write: of the first batch that is lost, one half is on the disk.
    /// Recovery reads the bytes, and cuts it. Says how many batches were lost; zero if all were
    /// durable, for then none was being written.
    pub(crate) fn tear(&mut self) -> u64 {
        let unsynced = self.written - self.durable;
        self.crashes += 1;
        if unsynced == 0 {
            self.level();
            return 0;
        }
        let draw = self.draw.of("crash").at(self.crashes);
        let kept = usize::try_from(draw.below(unsynced)).expect("batches are held in memory");
        let batches = self.disk.pending();
        let mut records: Vec<_> =
            batches[..=kept].iter().map(|batch| image::record(batch)).collect();
        let half = records.pop().expect("at least the first of them is lost");
        records.push(image::tear(half, draw));
        let read = image::read(&image::log(&records)).expect("a torn end is no damage");
        assert!(
            read.torn && read.batches == batches[..kept],
            "a torn end is cut, and nothing else"
        );
        self.disk.crash(0);
        read.batches.into_iter().for_each(|batch| self.disk.write(batch));
        self.disk.sync(kept);
        self.level();
        unsynced - kept as u64
    }

    /// Flips a bit of a record at rest, while nobody uses the disk.
    pub(crate) fn rot(&mut self) {
        let Disk { base, state, entries } = self.disk.durable();
        let base = base.iter().map(|base| Write::Base(base.clone()));
        let puts = state.iter().chain(entries).map(|record| Write::Put(record.clone()));
        let records: Vec<_> = base.chain(puts).map(|write| image::record(&[write])).collect();
        self.rotten = Some(image::rot(&records, self.draw.of("rot")));
    }

    /// Stops in an orderly way: everything that was written is on disk. The messages that waited are
    /// not sent any more.
    pub(crate) fn stop(&mut self) {
        self.disk.sync(usize::MAX);
        self.level();
    }

    /// Whatever was not durable now is, or is lost: the next incarnation starts level.
    fn level(&mut self) {
        self.waiting.clear();
        self.syncing = None;
        self.oldest_unsynced = None;
        self.durable = self.written;
    }

    /// What a replica finds that starts on this disk.
    ///
    /// # Errors
    ///
    /// If a record is damaged: nothing must be made of the others.
    pub(crate) fn recover(&self) -> Result<Disk<P::Record>, StorageError> {
        let Some(log) = &self.rotten else { return Ok(self.disk.durable().clone()) };
        let mut disk = Disk::empty();
        image::read(log)?.batches.iter().flatten().for_each(|write| disk.write(write));
        Ok(disk)
    }

    /// How many syncs were started.
    pub(crate) const fn syncs(&self) -> u64 {
        self.syncs
    }
}
