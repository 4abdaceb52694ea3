//! One replica, from its start to its end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use consensus_core::{
    Draw, NodeId, Protocol, Record, Role, Status,
    history::Sample,
    storage::{Storage, StorageError},
};
use gossip::Metadata;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    clock,
    config::{Addresses, ReplicaConfig, ReplicaError, Sampling},
    counters::Counters,
    disks::{Disks, Shimmed},
    http::{
        exchange::http_client,
        forward::Forwarder,
        server::{self, About, MAX_IN_FLIGHT, Server},
    },
    identity::{Acquaintances, Passport, Use},
    introduction::{Introduced, Introduction},
    links::Links,
    listen,
    membership::{self, Membership, Start, View},
    process,
    rejoin::rejoin,
    runtime::{
        Answer, Inspect, Inspection, Loop, Request, Wanted,
        consensus::{Consensus, Item, Surroundings},
        disk::{Disk, DiskQueue},
        inbox::Inbox,
        journal::{Journal, Lines, Live},
        saver::Saver,
    },
    sockets::Sockets,
    storage::{Directory, Opened, SnapshotFiles},
    transport::{Identity, Incoming, Outgoing, Passages, Shipping},
};

/// How many items from outside may wait for the consensus loop.
const INBOX_CAPACITY: usize = 16_384;
/// How many wishes for snapshots may wait to be looked at; they are repeated.
const MAX_SHIPMENTS: usize = 64;
/// How long the threads may take to end in peace.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Runs one replica of a protocol until it is told to stop: by SIGTERM, by ctrl-c or by
/// `POST /admin/stop`. Everything it needs from the disk is read before it listens anywhere.
///
/// # Errors
///
/// If it cannot start, or cannot go on: above all when its storage fails.
pub async fn run<P: Protocol>(config: ReplicaConfig) -> Result<(), ReplicaError> {
    process::follow(config.parent)?;
    config.settings.validate()?;
    P::configure(config.settings.clone())?;
    let patience = config.data_patience;
    let directory = tokio::select! {
        opened = Directory::open_within(&config.data, patience) => opened?,
        () = process::told_to_stop() => return Ok(()),
    };
    let opened = config.storage.open::<P::Record>(&directory)?;
    let kept = Kept::of(opened, &directory, config.settings.node)?;
    let sockets = Sockets::bind(&config).await?;
    sockets.addresses.write(directory.path())?;
    let Some((config, kept)) = admitted::<P>(config, kept, &directory, &sockets).await? else {
        return Ok(());
    };
    let stop = CancellationToken::new();
    let mut replica = Replica::start::<P>(&config, &directory, sockets, kept, stop.clone())?;
    tracing::info!(
        node = %config.settings.node,
        incarnation = directory.incarnation(),
        protocol = P::NAME,
        client = %replica.addresses.client,
        gossip = %replica.addresses.gossip,
        "started"
    );
    tokio::select! {
        error = replica.threads.fails() => return Err(error),
        () = stop.cancelled() => {}
        () = process::told_to_stop() => {}
    }
    tracing::info!("stopping");
    replica.hand_over(config.settings.election_timeout.end).await;
    stop.cancel();
    replica.stop().await
}

/// What the data directory holds.
struct Kept<R: Record> {
    storage: Box<dyn Storage<R>>,
    snapshots: Arc<SnapshotFiles>,
    recovered: consensus_core::Disk<R>,
    passport: Passport,
    acquaintances: Arc<Acquaintances>,
}

impl<R: Record> Kept<R> {
    fn of(opened: Opened<R>, directory: &Directory, node: NodeId) -> Result<Self, StorageError> {
        let Opened { log: mut storage, snapshots } = opened;
        let recovered = storage.recover()?;
        let consensus_core::Disk { base, state, entries } = &recovered;
        let used = match base.is_none() && state.is_none() && entries.is_empty() {
            true => Use::Empty,
            false => Use::Records,
        };
        let passport = Passport::of(directory.path(), node, used)?;
        let acquaintances = Arc::new(Acquaintances::of(directory.path())?);
        Ok(Self { storage, snapshots, recovered, passport, acquaintances })
    }
}

/// Waits until the replica may vote, and under which name. `None`: it was told to stop first.
async fn admitted<P: Protocol>(
    mut config: ReplicaConfig,
    mut kept: Kept<P::Record>,
    directory: &Directory,
    sockets: &Sockets,
) -> Result<Option<(ReplicaConfig, Kept<P::Record>)>, ReplicaError> {
    if !kept.passport.admitted {
        let acquaintances = &kept.acquaintances;
        let introduction = Introduction { config: &config, directory, sockets, acquaintances };
        let introduced = tokio::select! {
            introduced = introduction.carry_out::<P>(kept.passport.clone()) => introduced?,
            () = process::told_to_stop() => return Ok(None),
        };
        let Introduced { passport, seeds, links } = introduced;
        (kept.passport, config.seeds, config.links) = (passport, seeds, links);
    }
    config.settings.node = kept.passport.node;
    Ok(Some((config, kept)))
}

/// The parts of a running replica that its end is about.
struct Replica {
    addresses: Addresses,
    status: watch::Receiver<Status>,
    consensus: Arc<dyn Loop>,
    threads: Threads,
    leave: oneshot::Sender<oneshot::Sender<()>>,
    /// Ends the consensus loop.
    close_inbox: Box<dyn Fn() + Send + Sync>,
    /// Ends the disk thread, once it did what is queued.
    finish_disk: Box<dyn Fn() + Send + Sync>,
    /// Everything on the runtime: gone with these.
    _tasks: JoinSet<()>,
    _streams: DropGuard,
}

impl Replica {
    fn start<P: Protocol>(
        config: &ReplicaConfig,
        directory: &Directory,
        sockets: Sockets,
        kept: Kept<P::Record>,
        stop: CancellationToken,
    ) -> Result<Self, ReplicaError> {
        let node = config.settings.node;
        let Kept { storage, snapshots, recovered, passport, acquaintances } = kept;
        let (journal, live) = Journal::open(directory.path(), directory.incarnation())?;

        let mut tasks = JoinSet::new();
        let counters = Arc::new(Counters::default());
        let links = Arc::new(Links::new(node, config.links.as_ref()));
        let draw = Draw::new(config.seed).of("disk").at(node.0).at(directory.incarnation());
        let disks = Arc::new(Disks::new(draw));
        let identity = Identity::of::<P>(config, &passport);
        let outgoing = Outgoing::new(
            identity.clone(),
            Arc::clone(&links),
            Arc::clone(&counters),
            stop.clone(),
        );
        let inbox = Arc::new(Inbox::<Item<P>>::new(INBOX_CAPACITY));
        let queue = Arc::new(DiskQueue::<P>::default());
        let (status, status_of) = watch::channel(Status { node, ..Status::default() });
        let about = About {
            node,
            incarnation: directory.incarnation(),
            cluster: config.cluster.clone(),
            protocol: P::NAME.to_owned(),
            storage: config.storage,
            durability: storage.durability(),
        };

        let mut threads = Threads::new();
        let disk = Disk {
            storage: Box::new(Shimmed { storage, disks: Arc::clone(&disks) }),
            queue: Arc::clone(&queue),
            inbox: Arc::clone(&inbox),
            network: Arc::new(outgoing.clone()),
            counters: Arc::clone(&counters),
        };
        threads.spawn("disk", move || disk.run())?;
        let (orders, ordered) = std::sync::mpsc::channel();
        let saver = Saver {
            node,
            orders: ordered,
            snapshots: Arc::clone(&snapshots),
            inbox: Arc::clone(&inbox),
            counters: Arc::clone(&counters),
        };
        threads.spawn("saver", move || saver.run())?;
        let (shipments, shipped) = mpsc::channel(MAX_SHIPMENTS);
        let shipping = Shipping::new(
            identity.clone(),
            Arc::clone(&links),
            Arc::clone(&counters),
            Arc::clone(&snapshots),
            Arc::clone(&outgoing),
        );
        tasks.spawn(shipping.run(shipped));
        let around = Surroundings {
            node,
            incarnation: directory.incarnation(),
            inbox: Arc::clone(&inbox),
            disk: Arc::clone(&queue),
            network: Arc::new(outgoing.clone()),
            snapshots: Arc::clone(&snapshots),
            orders,
            shipments,
            journal,
            status,
            counters: Arc::clone(&counters),
        };
        let (protocol, seed) = (P::configure(config.settings.clone())?, config.seed);
        threads.spawn("consensus", move || {
            Consensus::<P>::recover(around, protocol, seed, recovered).run()
        })?;

        let _streams = stop.clone().drop_guard();
        let status = status_of.clone();
        let shared = Shared {
            identity,
            acquaintances,
            links,
            disks,
            counters,
            outgoing,
            snapshots,
            status: status_of,
            stop,
        };
        let consensus: Arc<dyn Loop> = inbox.clone();
        let services = Services { about, consensus: Arc::clone(&consensus), shared, live };
        let addresses = sockets.addresses;
        let leave = services.start(config, directory, sockets, &passport, &mut tasks)?;
        Ok(Self {
            addresses,
            status,
            consensus,
            threads,
            leave,
            close_inbox: Box::new(move || inbox.close()),
            finish_disk: Box::new(move || queue.finish()),
            _tasks: tasks,
            _streams,
        })
    }

    /// A leader that stops as planned hands leadership over first, so that nobody has to notice its
    /// absence (Raft dissertation §3.10). It waits for that no longer than an election would take.
    async fn hand_over(&self, patience: Duration) {
        if self.status.borrow().role != Role::Leader {
            return;
        }
        let (answer, answered) = oneshot::channel();
        let request = Request { wanted: Wanted::Transfer(None), answer };
        if self.consensus.request(request).is_err() {
            return;
        }
        match timeout(patience, answered).await {
            Ok(Ok(Answer::Done)) => tracing::info!("leadership is handed over"),
            Ok(Ok(answer)) => tracing::info!(?answer, "leadership is not handed over"),
            Ok(Err(_)) | Err(_) => tracing::info!("leadership was not handed over in time"),
        }
    }

    /// Says goodbye, ends the loop, and then the disk, which syncs once more.
    async fn stop(mut self) -> Result<(), ReplicaError> {
        membership::leave(self.leave).await;
        (self.close_inbox)();
        self.threads.ends("consensus").await?;
        (self.finish_disk)();
        self.threads.ends("disk").await
    }
}

/// What the services share.
struct Shared {
    identity: Identity,
    acquaintances: Arc<Acquaintances>,
    links: Arc<Links>,
    disks: Arc<Disks>,
    counters: Arc<Counters>,
    outgoing: Arc<Outgoing>,
    snapshots: Arc<SnapshotFiles>,
    status: watch::Receiver<Status>,
    stop: CancellationToken,
}

/// Everything that runs on the sockets.
struct Services {
    about: About,
    consensus: Arc<dyn Loop>,
    shared: Shared,
    live: Live,
}

impl Services {
    fn start(
        self,
        config: &ReplicaConfig,
        directory: &Directory,
        sockets: Sockets,
        passport: &Passport,
        tasks: &mut JoinSet<()>,
    ) -> Result<oneshot::Sender<oneshot::Sender<()>>, ReplicaError> {
        let Shared { links, counters, outgoing, status, .. } = &self.shared;
        let (view, view_of) = watch::channel(View::default());
        let (leave, leaving) = oneshot::channel();
        let Addresses { client, peer, gossip } = sockets.addresses;
        let membership = Membership {
            socket: sockets.gossip(),
            links: Arc::clone(links),
            counters: Arc::clone(counters),
            view,
            metadata: Metadata {
                peer_address: peer.map(|peer| peer.to_string()).unwrap_or_default(),
                client_address: client.to_string(),
                protocol: self.about.protocol.clone(),
                ..Metadata::default()
            },
            status: status.clone(),
            consensus: Some(Arc::clone(&self.consensus)),
            leave: leaving,
        };
        let start = Start {
            cluster: config.cluster.clone(),
            identity: gossip::Identity {
                node: self.about.node,
                address: gossip,
                start: membership::start_of_service(self.about.incarnation),
            },
            seeds: config.seeds.clone(),
            draw: Draw::new(config.seed),
        };
        tasks.spawn(async move {
            if let Err(error) = membership.run(start).await {
                tracing::error!(%error, "gossip ended");
            }
        });
        let initial = config.settings.members.iter().copied().collect();
        let peers = Peers { initial, view: view_of.clone(), status: status.clone() };
        tasks.spawn(peers.follow(Arc::clone(outgoing)));
        if let Some(sampling) = config.sampling.clone() {
            let samples = Lines::open(directory.path().join("samples.jsonl"))?;
            let consensus = Arc::clone(&self.consensus);
            tasks.spawn(sample(sampling, samples, consensus, view_of.clone()));
        }
        let written_down = config.sampling.as_ref();
        let passages = written_down.map(|_| Passages::open(directory.path(), passport.node));
        let passages = passages.transpose()?;
        if passport.is_reborn() {
            tasks.spawn(rejoin(passport.node, view_of.clone(), status.clone()));
        }
        self.serve_peers(sockets.peer()?, passages, tasks);
        self.serve_clients(sockets.client()?, view_of, tasks)?;
        Ok(leave)
    }

    fn serve_peers(
        &self,
        listener: TcpListener,
        passages: Option<Passages>,
        tasks: &mut JoinSet<()>,
    ) {
        let Shared {
            identity, acquaintances, links, counters, outgoing, snapshots, status, ..
        } = &self.shared;
        let incoming = Incoming {
            acquaintances: Arc::clone(acquaintances),
            status: status.clone(),
            identity: identity.clone(),
            links: Arc::clone(links),
            counters: Arc::clone(counters),
            consensus: Arc::clone(&self.consensus),
            snapshots: Arc::clone(snapshots),
            outgoing: Arc::clone(outgoing),
            passages,
        };
        tasks.spawn(incoming.serve(listener));
    }

    fn serve_clients(
        self,
        listener: TcpListener,
        view: watch::Receiver<View>,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), ReplicaError> {
        let Shared { links, disks, counters, status, stop, .. } = self.shared;
        let forwarder = Forwarder { node: self.about.node, http: http_client()?, view };
        let server = Server {
            about: self.about,
            consensus: self.consensus,
            status,
            forwarder,
            links,
            disks,
            counters,
            live: self.live,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            stop,
        };
        let routes = server::routes(Arc::new(server));
        tasks.spawn(listen::serve_http(listener, routes));
        Ok(())
    }
}

/// How often it is looked who is to be called, if nothing changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who the other replicas are, and where.
struct Peers {
    /// The members before the log says anything.
    initial: BTreeSet<NodeId>,
    view: watch::Receiver<View>,
    status: watch::Receiver<Status>,
}

impl Peers {
    /// Tells the transport whom the configuration names, and where gossip sees the replicas.
    async fn follow(mut self, outgoing: Arc<Outgoing>) {
        loop {
            for member in &self.view.borrow_and_update().members {
                if !member.gateway && !member.peer_address.is_empty() {
                    outgoing.locate(member.node, &member.peer_address);
                }
            }
            let named = self.named();
            outgoing.call_only(&named);
            let changed = tokio::select! {
                changed = self.view.changed() => changed,
                changed = self.status.changed() => changed,
                () = sleep(LOOK_EVERY) => Ok(()),
            };
            if changed.is_err() {
                return;
            }
        }
    }

    fn named(&mut self) -> BTreeSet<NodeId> {
        let Status { members, learners, .. } = &*self.status.borrow_and_update();
        match members.is_empty() {
            true => self.initial.clone(),
            false => members.iter().chain(learners).copied().collect(),
        }
    }
}

/// Writes down what the replica believes, again and again.
async fn sample(
    sampling: Sampling,
    mut samples: Lines,
    consensus: Arc<dyn Loop>,
    view: watch::Receiver<View>,
) {
    let mut ticks = interval(sampling.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let (answer, answered) = oneshot::channel();
        let key = sampling.key.clone().map(Into::into);
        if consensus.inspect(Inspect { key, answer }).is_err() {
            continue;
        }
        let Ok(inspection) = answered.await else { return };
        let sample = sampled(inspection, view.borrow().alive());
        let written = samples.line(&sample).and_then(|_| samples.flush());
        if let Err(error) = written {
            tracing::error!(%error, "the state is no longer sampled");
            return;
        }
    }
}

fn sampled(inspection: Inspection, alive: Vec<NodeId>) -> Sample {
    let Inspection { status, value, .. } = inspection;
    Sample {
        at: clock::now(),
        node: status.node,
        up: true,
        role: status.role,
        epoch: status.epoch,
        leader: status.leader,
        commit: status.commit,
        value: value.map(|value| String::from_utf8_lossy(&value).into_owned()),
        alive,
    }
}

/// The replica's own threads, and how they end.
struct Threads {
    ends: mpsc::UnboundedReceiver<(&'static str, Result<(), ReplicaError>)>,
    ended: mpsc::UnboundedSender<(&'static str, Result<(), ReplicaError>)>,
}

impl Threads {
    fn new() -> Self {
        let (ended, ends) = mpsc::unbounded_channel();
        Self { ends, ended }
    }

    fn spawn<F>(&mut self, name: &'static str, work: F) -> Result<(), ReplicaError>
    where
        F: FnOnce() -> Result<(), StorageError> + Send + 'static,
    {
        let ended = self.ended.clone();
        let body = move || {
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let result = match worked {
                Ok(result) => result.map_err(ReplicaError::from),
                Err(_) => Err(ReplicaError::Panicked(name)),
            };
            // Nobody listens any more only when the whole replica is gone.
            let _ = ended.send((name, result));
        };
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        started
            .map(drop)
            .map_err(|source| ReplicaError::System { action: "start a thread", source })
    }

    /// Waits until a thread fails.
    async fn fails(&mut self) -> ReplicaError {
        loop {
            match self.ends.recv().await {
                Some((_, Err(error))) => return error,
                // The consensus loop ends without an error of its own when the disk is gone.
                Some((_, Ok(()))) => {}
                None => unreachable!("this struct holds a sender"),
            }
        }
    }

    /// Waits until the thread of this name ends.
    async fn ends(&mut self, name: &str) -> Result<(), ReplicaError> {
        let end = async {
            loop {
                match self.ends.recv().await {
                    Some((ended, Ok(()))) if ended != name => {}
                    Some((_, result)) => return result,
                    None => unreachable!("this struct holds a sender"),
                }
            }
        };
        match timeout(STOP_LIMIT, end).await {
            Ok(result) => result,
            Err(_) => {
                tracing::warn!(name, "a thread does not end; it is left behind");
                Ok(())
            }
        }
    }
}
