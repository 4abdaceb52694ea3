//! Does memory stay bounded, however long the log has become?
//!
//! Three replicas in one process, each with its own consensus loop, disk thread, saver and journal, as
//! a real replica has them, but with wires instead of sockets and with the log in memory. One client
//! keeps the leader as busy as it can be. Every tenth of the way this prints what the process holds
//! (`VmRSS` of `/proc/self/status`) and how long the leader's log is; both must stop growing after the
//! first snapshots.
//!
//! ```text
//! cargo run --release -p replica --example bounded -- raft 10000000 1000
//! ```
//!
//! The arguments are the protocol, the number of entries, and the number of keys they are written to.
//!
//! # What it printed
//!
//! Ten million entries on 1000 keys, built with the development profile, on two cores that were busy
//! with much else (so the times say little). Without snapshots each replica's log would hold ten
//! million entries, about 1.9 GB as they are counted; with them:
//!
//! | after entries | Raft: RSS MiB, log entries | Multi-Paxos: RSS MiB, log entries |
//! |---|---|---|
//! | 1,000,000 | 348, 288,946 | 465, 302,377 |
//! | 3,000,000 | 529, 411,891 | 495, 401,809 |
//! | 5,000,000 | 718, 134,582 | 506, 121,719 |
//! | 8,000,000 | 743, 104,642 | 520, 182,274 |
//! | 10,000,000 | 741, 209,173 | 521, 180,025 |
//!
//! Both took 26 snapshots. The log is bounded by what leads to a snapshot and the margin. The memory of
//! the process, three replicas and the client, rises in steps, with Raft up to the eighth million, and
//! over the last two million entries by 1 MiB at most. The leader's loop stood still for 138 us (Raft)
//! and 281 us (Multi-Paxos) per snapshot, on average.

use std::{
    collections::{BTreeMap, VecDeque},
    error::Error,
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use consensus_core::{
    NodeId, Protocol, Role, Settings, Status, Wire as _, kv::Operation, session::ClientCommand,
    storage::Storage as _,
};
use consensus_multipaxos::MultiPaxos;
use consensus_raft::Raft;
use replica::{
    counters::Counters,
    runtime::{
        Answer, Departure, Inspect, Inspection, Loop, Network, Request, Wanted,
        consensus::{Consensus, Item, Shipment, Surroundings},
        disk::{Disk, DiskQueue},
        inbox::Inbox,
        journal::Journal,
        saver::Saver,
    },
    storage::MemoryLog,
};
use tokio::sync::{mpsc::Receiver, oneshot, watch};

/// How many commands the client keeps under way.
const UNDER_WAY: usize = 2_048;
/// What it writes, in bytes.
const VALUE_BYTES: usize = 100;

type Failure = Box<dyn Error>;
type Inboxes<P> = Arc<OnceLock<BTreeMap<NodeId, Arc<Inbox<Item<P>>>>>>;

/// What the client does.
#[derive(Clone, Copy)]
struct Load {
    entries: u64,
    keys: u64,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let protocol = arguments.next().unwrap_or_else(|| Raft::NAME.to_owned());
    let mut number = |default| arguments.next().map_or(Ok(default), |number| number.parse());
    let load = Load { entries: number(10_000_000)?, keys: number(1_000)? };
    match protocol.as_str() {
        Raft::NAME => run::<Raft>(load),
        MultiPaxos::NAME => run::<MultiPaxos>(load),
        other => Err(format!("there is no protocol {other:?}").into()),
    }
}

fn run<P: Protocol>(load: Load) -> Result<(), Failure> {
    let place = std::env::temp_dir().join(format!("bounded-{}", std::process::id()));
    let inboxes = Inboxes::<P>::default();
    let members: Vec<_> = (1..=3).map(NodeId).collect();
    let mut replicas = Vec::new();
    for &node in &members {
        replicas.push(Replica::start(node, &members, &inboxes, &place.join(node.to_string()))?);
    }
    let named = replicas.iter().map(|replica| (replica.node, Arc::clone(&replica.inbox)));
    inboxes.set(named.collect()).map_err(|_| "the wires are laid once")?;
    let replicas = replicas.into_iter().map(Replica::run).collect::<Vec<_>>();
    drive(&replicas, load)?;
    replicas.iter().for_each(|replica| replica.inbox.close());
    fs::remove_dir_all(place)?;
    Ok(())
}

/// Wires to the other replicas: nothing is lost on them.
struct Wires<P: Protocol> {
    from: NodeId,
    inboxes: Inboxes<P>,
}

impl<P: Protocol> Network for Wires<P> {
    fn send(&self, messages: &mut dyn Iterator<Item = Departure>) {
        for Departure { to, payload, sync_ns } in messages {
            let inbox = self.inboxes.get().and_then(|inboxes| inboxes.get(&to));
            // A full inbox loses messages, as on a real link.
            let _ = inbox.map(|inbox| inbox.receive(self.from, payload, sync_ns));
        }
    }
}

struct Replica<P: Protocol> {
    node: NodeId,
    inbox: Arc<Inbox<Item<P>>>,
    counters: Arc<Counters>,
    start: Box<dyn FnOnce() + Send>,
    /// Nobody falls behind here, so nothing is shipped.
    _shipments: Receiver<Shipment>,
}

struct Running<P: Protocol> {
    inbox: Arc<Inbox<Item<P>>>,
    counters: Arc<Counters>,
    _shipments: Receiver<Shipment>,
}

impl<P: Protocol> Replica<P> {
    fn start(
        node: NodeId,
        members: &[NodeId],
        inboxes: &Inboxes<P>,
        place: &Path,
    ) -> Result<Self, Failure> {
        fs::create_dir_all(place)?;
        // What is written down of ten million entries would fill the disk.
        for name in ["events.jsonl", "applied-1.jsonl"] {
            symlink("/dev/null", place.join(name))?;
        }
        let (journal, _) = Journal::open(place, 1)?;
        let mut log = MemoryLog::<P::Record>::open(place.join("snapshots"))?;
        let (recovered, snapshots) = (log.recover()?, log.snapshots());
        let inbox = Arc::new(Inbox::<Item<P>>::new(16_384));
        let queue = Arc::new(DiskQueue::<P>::default());
        let counters = Arc::new(Counters::default());
        let network = Arc::new(Wires { from: node, inboxes: Arc::clone(inboxes) });
        let (orders, ordered) = mpsc::channel();
        let (shipments, _shipments) = tokio::sync::mpsc::channel(1);
        let disk = Disk {
            storage: Box::new(log),
            queue: Arc::clone(&queue),
            inbox: Arc::clone(&inbox),
            network: network.clone(),
            counters: Arc::clone(&counters),
        };
        let saver = Saver {
            node,
            orders: ordered,
            snapshots: Arc::clone(&snapshots),
            inbox: Arc::clone(&inbox),
            counters: Arc::clone(&counters),
        };
        let around = Surroundings {
            node,
            incarnation: 1,
            inbox: Arc::clone(&inbox),
            disk: queue,
            network,
            snapshots,
            orders,
            shipments,
            journal,
            status: watch::Sender::new(Status::default()),
            counters: Arc::clone(&counters),
        };
        let config = P::configure(Settings::new(node, members.to_vec()))?;
        let start = move || {
            thread::spawn(|| disk.run().expect("memory does not fail"));
            thread::spawn(|| saver.run().expect("the snapshots can be written"));
            let consensus = move || Consensus::<P>::recover(around, config, 1, recovered).run();
            thread::spawn(|| consensus().expect("nothing here fails"));
        };
        Ok(Self { node, inbox, counters, start: Box::new(start), _shipments })
    }

    fn run(self) -> Running<P> {
        (self.start)();
        Running { inbox: self.inbox, counters: self.counters, _shipments: self._shipments }
    }
}

impl<P: Protocol> Running<P> {
    fn inspect(&self) -> Result<Inspection, Failure> {
        let (answer, answered) = oneshot::channel();
        self.inbox.inspect(Inspect { key: None, answer })?;
        Ok(answered.blocking_recv()?)
    }
}

fn leader<P: Protocol>(replicas: &[Running<P>]) -> Result<&Running<P>, Failure> {
    loop {
        for replica in replicas {
            if replica.inspect()?.status.role == Role::Leader {
                return Ok(replica);
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn drive<P: Protocol>(
    replicas: &[Running<P>],
    Load { entries, keys }: Load,
) -> Result<(), Failure> {
    let started = Instant::now();
    let (mut done, mut sent, mut under_way) = (0, 0_u64, VecDeque::new());
    let mut next_report = 0;
    let mut leading = leader(replicas)?;
    println!(
        "{:>10} {:>8} {:>10} {:>12} {:>10}",
        "entries", "s", "RSS MiB", "log entries", "snapshots"
    );
    while done < entries {
        while under_way.len() < UNDER_WAY {
            let (answer, answered) = oneshot::channel();
            let request = Request { wanted: Wanted::Propose(command(sent % keys)), answer };
            if leading.inbox.request(request).is_err() {
                break;
            }
            sent += 1;
            under_way.push_back(answered);
        }
        let Some(oldest) = under_way.pop_front() else { continue };
        match oldest.blocking_recv() {
            Ok(Answer::Applied(_)) => done += 1,
            _ => leading = leader(replicas)?,
        }
        if done >= next_report {
            next_report += (entries / 10).max(1);
            report(leading, done, started)?;
        }
    }
    report(leading, done, started)?;
    let counted = leading.counters.read();
    let pause = counted.snapshot_pause_nanoseconds_total / counted.snapshots_total.max(1) / 1_000;
    println!("the leader's loop stood still for {pause} us per snapshot");
    println!("at most {} MiB were resident at a time", status_mib("VmHWM")?);
    Ok(())
}

fn command(key: u64) -> Bytes {
    let operation = Operation::put(format!("key {key}"), vec![b'v'; VALUE_BYTES]);
    ClientCommand::once(operation.to_bytes()).to_bytes()
}

fn report<P: Protocol>(leader: &Running<P>, done: u64, started: Instant) -> Result<(), Failure> {
    let Status { first, last, .. } = leader.inspect()?.status;
    let seconds = started.elapsed().as_secs_f64();
    let (memory, snapshots) = (status_mib("VmRSS")?, leader.counters.snapshots_total.get());
    println!("{done:>10} {seconds:>8.1} {memory:>10} {:>12} {snapshots:>10}", last + 1 - first);
    Ok(())
}

/// A line of `/proc/self/status` that counts kibibytes.
fn status_mib(name: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(name)).ok_or("no such line")?;
    let kibibytes = line.split_whitespace().nth(1).ok_or("no number")?;
    Ok(kibibytes.parse::<u64>()? / 1_024)
}
