use std::{collections::BTreeSet, io, thread};

use consensus_core::{
    Disk as Recovered, Index, Outbox, Payload, Settings, Wire as _,
    storage::{Durability, Ticket},
};
use consensus_raft::{Raft, Record, record::Entry};

use super::*;

type Log = Arc<Mutex<Vec<Step>>>;

/// What reached the storage and the network, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Appended(u64),
    Synced,
    Sent(Bytes),
}

/// A storage that writes down what it is told, and fails when told to.
struct Scripted {
    log: Log,
    taken: u64,
    syncs_left: u32,
}

impl Storage<Record> for Scripted {
    fn recover(&mut self) -> Result<Recovered<Record>, StorageError> {
        Ok(Recovered::empty())
    }

    fn append(
        &mut self,
        batches: &mut dyn Iterator<Item = &[Write<Record>]>,
    ) -> Result<Ticket, StorageError> {
        let count = batches.count() as u64;
        if count > 0 {
            self.taken += count;
            self.log.lock().unwrap().push(Step::Appended(self.taken));
        }
        Ok(Ticket(self.taken))
    }

    fn sync(&mut self) -> Result<Ticket, StorageError> {
        let failed = || StorageError::Io { action: "sync".into(), source: io::Error::other("EIO") };
        self.syncs_left = self.syncs_left.checked_sub(1).ok_or_else(failed)?;
        self.log.lock().unwrap().push(Step::Synced);
        Ok(Ticket(self.taken))
    }

    fn reclaim(&mut self, _budget: Duration) -> Result<bool, StorageError> {
        Ok(false)
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }
}

struct Wire(Log);

impl Network for Wire {
    fn send(&self, messages: &mut dyn Iterator<Item = Departure>) {
        self.0.lock().unwrap().extend(messages.map(|departure| Step::Sent(departure.payload)));
    }
}

struct Bench {
    log: Log,
    queue: Arc<DiskQueue<Raft>>,
    inbox: Arc<Inbox<Item<Raft>>>,
    disk: Disk<Raft>,
}

fn bench(syncs_left: u32) -> Bench {
    let log = Log::default();
    let queue = Arc::<DiskQueue<Raft>>::default();
    let inbox = Arc::new(Inbox::new(16));
    let disk = Disk {
        storage: Box::new(Scripted { log: Arc::clone(&log), taken: 0, syncs_left }),
        queue: Arc::clone(&queue),
        inbox: Arc::clone(&inbox),
        network: Arc::new(Wire(Arc::clone(&log))),
        counters: Arc::default(),
    };
    Bench { log, queue, inbox, disk }
}

fn write(index: Index) -> Job<Raft> {
    let entry = Entry { term: 1, index, payload: Some(Payload::noop()) };
    Job::Write(vec![Write::Put(Record::Entry(entry))])
}

fn send(text: &'static str) -> Job<Raft> {
    Job::Release { message: Waiting::Peer(NodeId(2), text.into()), since: clock::now() }
}

fn sent(text: &'static str) -> Step {
    Step::Sent(text.into())
}

#[test]
fn messages_leave_behind_one_sync_of_all_that_was_written_before_them() {
    let Bench { log, queue, disk, .. } = bench(9);
    queue.push(&mut vec![write(1), send("a"), write(2), send("b")]);
    queue.finish();
    disk.run().unwrap();
    assert_eq!(*log.lock().unwrap(), [Step::Appended(2), Step::Synced, sent("a"), sent("b")]);
    assert_eq!(queue.durable(), 2);
}

#[test]
fn a_write_that_nobody_waits_for_is_synced_no_sooner_than_at_the_end() {
    let Bench { log, queue, disk, .. } = bench(9);
    queue.push(&mut vec![write(1)]);
    queue.finish();
    disk.run().unwrap();
    assert_eq!(*log.lock().unwrap(), [Step::Appended(1), Step::Synced]);
    assert_eq!(queue.durable(), 0, "nobody was told of the last sync");
}

#[test]
fn a_message_behind_nothing_new_needs_no_sync() {
    let Bench { log, queue, disk, .. } = bench(0);
    queue.push(&mut vec![send("a")]);
    queue.finish();
    disk.run().unwrap();
    assert_eq!(*log.lock().unwrap(), [sent("a")]);
}

#[test]
fn after_a_failed_sync_nothing_leaves_and_nobody_waits_for_ever() {
    let Bench { log, queue, disk, .. } = bench(1);
    queue.push(&mut vec![write(1), send("a")]);
    let running = thread::spawn(|| disk.run());
    while queue.durable() < 1 {
        thread::yield_now();
    }
    queue.push(&mut vec![write(2), send("b")]);
    let error = running.join().unwrap().unwrap_err().to_string();
    assert_eq!(error, "cannot sync: EIO");
    let mut many = (0..2 * MAX_QUEUED_BATCHES as u64).map(write).collect();
    queue.push(&mut many);
    queue.push(&mut vec![send("c")]);
    let steps = [Step::Appended(1), Step::Synced, sent("a"), Step::Appended(2)];
    assert_eq!(*log.lock().unwrap(), steps);
}

#[test]
fn a_replicas_message_to_itself_comes_back_through_its_inbox() {
    let Bench { queue, inbox, disk, .. } = bench(9);
    // Any message will do: what a lone replica says to itself when it campaigns.
    let settings = Settings::new(NodeId(1), vec![NodeId(1)]);
    let mut out = Outbox::<Raft>::new();
    let mut raft = Raft::recover(
        Raft::configure(settings).unwrap(),
        1,
        clock::now(),
        Recovered::empty(),
        &mut out,
    );
    let timers: BTreeSet<_> = out
        .drain()
        .filter_map(|effect| match effect {
            consensus_core::Effect::SetTimer { timer, .. } => Some(timer),
            _ => None,
        })
        .collect();
    for timer in timers {
        raft.step(clock::now(), consensus_core::Input::Timeout(timer), &mut out);
    }
    let message = out.drain().find_map(|effect| match effect {
        consensus_core::Effect::Send { to: NodeId(1), message, .. } => Some(message),
        _ => None,
    });
    let message = message.expect("a candidate votes for itself");
    let release = Job::Release { message: Waiting::Own(message.clone()), since: clock::now() };
    queue.push(&mut vec![write(1), release]);
    queue.finish();
    disk.run().unwrap();
    let mut items = Vec::new();
    inbox.drain(&mut items, 9, Some(clock::now()));
    let [Item::Own { message: found, .. }] = &items[..] else { panic!("{items:?}") };
    assert_eq!(found.to_bytes(), message.to_bytes());
}
