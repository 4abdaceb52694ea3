//! The cluster, its clients and its network: one event after the other.

use bytes::Bytes;
use consensus_core::{
    Draw, Index, NodeId, Protocol, Role, Settings, Time, Wire,
    history::{Observed, Sample},
};
use faults::{
    Answer as Settled, Channel, DiskRules, LinkRules, director::TrialKey, duration::Jump,
};

use crate::{
    administrators::{Administrators, Errand},
    client::Task,
    clients::Clients,
    config::SimulationConfig,
    disk::Barrier,
    event::{Answer, Asker, ClientEvent, Event, Frame, Local, Way},
    machine::Machine,
    network::{self, Network},
    node::Node,
    queue::Queue,
    recording::{FinalState, Recorder, Recording, Story, place},
    snapshots::Parcel,
    surroundings::Surroundings,
    timers::Timers,
};

/// Everything there is.
pub(crate) struct World<P: Protocol, M> {
    now: Time,
    nodes: Vec<Node<P, M>>,
    clients: Clients,
    administrators: Administrators,
    around: Surroundings<P>,
    config: SimulationConfig,
}

impl<P: Protocol, M: Machine> World<P, M> {
    /// A world at time zero, in which nothing runs yet.
    pub(crate) fn new(config: &SimulationConfig) -> Self {
        let count = config.nodes();
        let places = config.places();
        let seed = Draw::new(config.seed);
        let nodes = (1..=places).map(|place| node(config, NodeId(place))).collect();
        let network = Network::new(config.network.clone(), places, seed.of("network"), config.wire);
        let clients = config.clients.clone();
        Self {
            now: Time::ZERO,
            nodes,
            administrators: Administrators::new(clients.clone(), places, seed.of("administrator")),
            clients: Clients::new(clients, count, config.network.sites, seed.of("client")),
            around: Surroundings {
                queue: Queue::new(),
                network,
                recorder: Recorder::new(config.seed, places),
                disk: config.disk.clone(),
                snapshots: config.snapshots.clone(),
                processor: config.processor.clone(),
                gossip: config.gossip.clone(),
                gossip_draw: seed.of("gossip"),
                lives: (1..=places).map(NodeId).collect(),
            },
            config: config.clone(),
        }
    }

    /// What time it is.
    pub(crate) const fn now(&self) -> Time {
        self.now
    }

    /// Starts all replicas, and the taking of samples.
    pub(crate) fn begin(&mut self) {
        for node in self.config.members() {
            self.start(node);
        }
        self.sample();
    }

    /// Processes the next event, if it happens until then; else lets the time pass.
    pub(crate) fn advance(&mut self, until: Time) -> Progress {
        let Some((at, event)) = self.around.queue.pop_until(until) else {
            self.now = self.now.max(until);
            return Progress::Quiet;
        };
        self.now = at;
        self.around.recorder.events += 1;
        self.trace(&event);
        self.process(event)
    }

    /// Starts a replica from its disk; nothing, if it runs.
    pub(crate) fn start(&mut self, node: NodeId) {
        if !self.nodes[place(node)].is_up() {
            self.around.recorder.counters(node).starts += 1;
        }
        self.nodes[place(node)].start(self.now, &mut self.around);
    }

    /// Crashes a replica; nothing, if it does not run.
    pub(crate) fn crash(&mut self, node: NodeId) {
        let lost = self.nodes[place(node)].crash(self.now, &mut self.around);
        self.around.recorder.counters(node).lost_batches += lost;
    }

    /// Stops a replica in an orderly way: everything it wrote reaches its disk.
    pub(crate) fn stop(&mut self, node: NodeId) {
        self.nodes[place(node)].stop(self.now, &mut self.around);
    }

    /// Mends everything: all replicas run, and all links work.
    pub(crate) fn heal(&mut self) {
        self.install(&LinkRules::default());
        let deployed = self.nodes.iter().filter(|node| node.is_deployed()).map(Node::id);
        for node in deployed.collect::<Vec<_>>() {
            self.revive(node);
        }
    }

    /// Has a replica run, whatever it does now.
    pub(crate) fn revive(&mut self, node: NodeId) {
        self.resume(node);
        self.start(node);
    }

    /// Starts a replica on an empty disk. Whoever was in its place is gone, with its disk.
    pub(crate) fn deploy(&mut self, id: NodeId) {
        let place = place(id);
        if self.nodes[place].id() != id {
            self.crash(self.nodes[place].id());
            self.nodes[place] = node(&self.config, id);
            self.around.lives[place] = id;
            self.around.network.move_in(self.now, id);
        }
        self.clients.look_around(id.place().0);
        self.start(id);
    }

    /// Puts these rules in force at a disk, unless it is gone.
    pub(crate) fn set_disk(&mut self, node: NodeId, rules: DiskRules) {
        if is_there(&self.nodes, node) {
            self.nodes[place(node)].set_disk(self.now, rules, &mut self.around);
        }
    }

    /// Flips a bit on the disk of a replica that does not run.
    pub(crate) fn damage(&mut self, node: NodeId) {
        self.nodes[place(node)].damage_disk();
    }

    /// Starts a replica on its damaged disk, to see that it refuses.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub(crate) fn start_damaged(&mut self, node: NodeId) {
        self.nodes[place(node)].start(self.now, &mut self.around);
        let up = self.nodes[place(node)].is_up();
        assert!(!up, "node {node} runs on a disk on which a record is damaged");
    }

    /// Lets a clock jump.
    pub(crate) fn jump_clock(&mut self, node: NodeId, by: Jump) {
        self.nodes[place(node)].jump_clock(self.now, by);
    }

    /// Lets a clock run at this rate, or at its own, unless it is gone.
    pub(crate) fn set_clock_rate(&mut self, node: NodeId, ppm: Option<i32>) {
        if is_there(&self.nodes, node) {
            self.nodes[place(node)].set_clock_rate(self.now, ppm, &mut self.around);
        }
    }

    /// Who ended by itself, since the last time.
    pub(crate) fn take_fallen(&mut self) -> Vec<NodeId> {
        self.around.recorder.take_fallen()
    }

    /// Sends an administrator.
    pub(crate) fn send(&mut self, errand: Errand) {
        self.administrators.send(self.now, errand, &mut self.around);
    }

    /// What came of the administrators' errands, since the last time.
    pub(crate) fn take_settled(&mut self) -> Vec<(TrialKey, Settled)> {
        self.administrators.take_settled()
    }

    /// Pauses a replica.
    pub(crate) fn pause(&mut self, node: NodeId) {
        self.nodes[place(node)].pause();
    }

    /// Lets a paused replica go on.
    pub(crate) fn resume(&mut self, node: NodeId) {
        self.nodes[place(node)].resume(self.now, &mut self.around);
    }

    /// Puts these rules in force on all links, in the place of all earlier ones.
    pub(crate) fn install(&mut self, rules: &LinkRules) {
        self.around.network.install(self.now, rules);
    }

    /// Has a client carry out an operation.
    pub(crate) fn submit(&mut self, task: Task) {
        self.clients.submit(self.now, task, &mut self.around);
    }

    /// Has a client carry out an operation of the load, if one is free or can be had.
    pub(crate) fn offer(&mut self, task: Task) {
        if self.clients.are_exhausted() {
            self.clients.turn_away(self.now, task, &mut self.around);
        } else {
            self.submit(task);
        }
    }

    /// Has the director asked at this time.
    pub(crate) fn call_director(&mut self, at: Time) {
        self.around.queue.push(at, Event::Director);
    }

    /// Has the workload asked at this time.
    pub(crate) fn call_workload(&mut self, at: Time) {
        self.around.queue.push(at, Event::Arrival);
    }

    /// What was observed inside the replicas since that many observations had been made.
    pub(crate) fn observed_since(&self, seen: usize) -> &[Observed] {
        self.around.recorder.observed_since(seen)
    }

    /// Who told clients that changes are done, since the last time.
    pub(crate) fn take_acknowledged(&mut self) -> Vec<NodeId> {
        self.around.recorder.take_acknowledged()
    }

    /// The last position that any replica ever applied.
    pub(crate) const fn highest_applied(&self) -> Index {
        self.around.recorder.highest_applied()
    }

    /// How far each running replica knows the log to be committed.
    pub(crate) fn commits(&self) -> impl Iterator<Item = (NodeId, Index)> + '_ {
        self.nodes.iter().filter_map(|node| Some((node.id(), node.status()?.commit)))
    }

    /// Whether no client and no administrator has anything under way.
    pub(crate) fn clients_are_idle(&self) -> bool {
        self.clients.are_idle() && self.administrators.are_idle()
    }

    /// Whether all members run and follow one leader, and no change of the members is under way.
    pub(crate) fn serves(&self) -> bool {
        self.served(None).is_some()
    }

    /// Whether, besides, all have applied what stands up to there; of a core, all of the core.
    pub(crate) fn has_caught_up(&self, target: Index, core: Option<&[NodeId]>) -> bool {
        let applied = |node: &Node<P, M>| node.machine().map(Machine::applied);
        self.served(core).is_some_and(|members| {
            members.into_iter().all(|member| applied(member) >= Some(target))
        })
    }

    /// Whether, besides, all have applied whatever was ever applied anywhere, and hold one state.
    pub(crate) fn agrees(&self, core: Option<&[NodeId]>) -> bool {
        let states =
            |node: &Node<P, M>| node.machine().map(|machine| (machine.applied(), machine.digest()));
        let members = self.served(core).unwrap_or_default();
        self.has_caught_up(self.highest_applied(), core)
            && members.windows(2).all(|pair| states(pair[0]) == states(pair[1]))
    }

    /// The members, as the leader of the newest epoch knows them, or those of a core; `None` unless all
    /// of them follow it and will stay members.
    fn served(&self, core: Option<&[NodeId]>) -> Option<Vec<&Node<P, M>>> {
        let statuses = self.nodes.iter().filter(|node| node.is_awake()).filter_map(Node::status);
        let leaders = statuses.filter(|status| status.role == Role::Leader);
        let leader = leaders.max_by_key(|status| status.epoch).filter(|leader| !leader.changing)?;
        let follows = |&member: &NodeId| {
            let node = self.nodes.get(place(member)).filter(|node| node.id() == member)?;
            let status = node.status().filter(|_| node.is_awake())?;
            let follows = (status.leader, status.epoch) == (Some(leader.node), leader.epoch);
            follows.then_some(node)
        };
        let counts = |member: &&NodeId| core.is_none_or(|core| core.contains(member));
        leader.members.iter().chain(&leader.learners).filter(counts).map(follows).collect()
    }

    fn process(&mut self, event: Event<P>) -> Progress {
        let Self { now, nodes, clients, administrators, around, .. } = self;
        let now = *now;
        match event {
            Event::Message { way, message, waited_ns, .. } => {
                if is_there(nodes, way.to) && around.network.admits(now, way, Channel::Consensus) {
                    nodes[place(way.to)].receive(now, way.from, message, waited_ns, around);
                }
            }
            Event::HandOver(frame) => around.network.hand_over(now, frame, &mut around.queue),
            Event::Frame(frame) => self.receive(&frame),
            Event::Parcel { way, bytes } => self.take_in(way, &bytes),
            Event::Datagram { way, bytes } => {
                if is_there(nodes, way.to) && around.network.admits(now, way, Channel::Gossip) {
                    nodes[place(way.to)].hear(now, way.from, bytes, around);
                }
            }
            Event::Local { node, .. } if !is_there(nodes, node) => {}
            Event::Local { node, incarnation, what } => {
                nodes[place(node)].local(now, incarnation, what, around);
            }
            Event::Request { to, request } => nodes[place(to)].ask(now, request, around),
            Event::Admitted { node, request, .. } if !is_there(nodes, node) => {
                around.answer(now, node, request.attempt, Answer::Reset);
            }
            Event::Admitted { node, incarnation, request } => {
                nodes[place(node)].admitted(now, incarnation, request, around);
            }
            Event::Client(event) => match event.attempt().by {
                Asker::Client(place) => clients.happens(now, place, event, around),
                Asker::Administrator(number) => {
                    administrators.happens(now, number, event, around);
                }
            },
            Event::Sample => {
                self.sample();
                return Progress::Sample;
            }
            Event::Arrival => return Progress::Arrival,
            Event::Director => return Progress::Director,
        }
        Progress::Event
    }

    /// Takes in a message that travelled as bytes.
    fn receive(&mut self, frame: &Frame) {
        let Self { now, nodes, around, .. } = self;
        let Frame { way, ref bytes, waited_ns } = *frame;
        if !is_there(nodes, way.to) || !around.network.admits(*now, way, Channel::Consensus) {
            return;
        }
        match network::open(bytes).map(P::Message::from_bytes) {
            Some(Ok(message)) => {
                nodes[place(way.to)].receive(*now, way.from, message, waited_ns, around);
            }
            Some(Err(error)) => panic!("{way:?} was sent what nobody can decode: {error}"),
            None => around.recorder.counters(way.to).corrupt += 1,
        }
    }

    /// Takes in a part of a snapshot, or an answer to one.
    fn take_in(&mut self, way: Way, bytes: &Bytes) {
        let Self { now, nodes, around, .. } = self;
        if !is_there(nodes, way.to) || !around.network.admits(*now, way, Channel::Consensus) {
            return;
        }
        match network::open(bytes).map(Parcel::from_bytes) {
            Some(Ok(parcel)) => nodes[place(way.to)].unpack(*now, way.from, parcel, around),
            Some(Err(error)) => panic!("{way:?} was sent what nobody can decode: {error}"),
            None => around.recorder.counters(way.to).corrupt += 1,
        }
    }

    fn sample(&mut self) {
        for node in self.nodes.iter().filter(|node| node.is_deployed()) {
            let status = node.status().unwrap_or_default();
            let watched = self.config.schedule.watch.as_deref().zip(node.machine());
            self.around.recorder.sample(Sample {
                at: self.now,
                node: node.id(),
                up: node.is_up(),
                role: status.role,
                epoch: status.epoch,
                leader: status.leader,
                commit: status.commit,
                value: watched.and_then(|(key, machine)| machine.value(key)),
                alive: node.alive(),
            });
        }
        self.around.queue.push(self.now + self.config.sample_every, Event::Sample);
    }
}

impl<P: Protocol, M: Machine> World<P, M> {
    /// Folds an event into the trace.
    fn trace(&mut self, event: &Event<P>) {
        let trace = &mut self.around.recorder.trace;
        trace.fold([self.now.0]);
        match event {
            Event::Message { way, digest, waited_ns, .. } => {
                trace.fold([1, way.from.0, way.to.0, *digest, *waited_ns]);
            }
            Event::HandOver(frame) | Event::Frame(frame) => {
                trace.fold([2, frame.way.from.0, frame.way.to.0, frame.waited_ns]);
                trace.fold_bytes(&frame.bytes);
            }
            Event::Parcel { way, bytes } => {
                trace.fold([11, way.from.0, way.to.0]);
                trace.fold_bytes(bytes);
            }
            Event::Datagram { way, bytes } => {
                trace.fold([3, way.from.0, way.to.0]);
                trace.fold_bytes(bytes);
            }
            Event::Local { node, incarnation, what } => {
                let what = match what {
                    Local::Sync => 1,
                    Local::Age => 2,
                    Local::Timer(_) => 3,
                    Local::Work => 4,
                    Local::Gossip => 5,
                    Local::Chore => 6,
                    Local::Resend => 7,
                };
                trace.fold([4, node.0, *incarnation, what]);
            }
            Event::Request { to, request } => {
                trace.fold([5, to.0, request.attempt.by.number(), request.attempt.number]);
            }
            Event::Admitted { node, incarnation, request } => {
                trace.fold([10, node.0, *incarnation, request.attempt.number]);
            }
            Event::Client(event) => {
                let what = match event {
                    ClientEvent::Answer(_, answer) => kind(answer),
                    ClientEvent::Impatient(_) => 10,
                    ClientEvent::Retry(_) => 11,
                };
                let attempt = event.attempt();
                trace.fold([6, attempt.by.number(), attempt.number, what]);
            }
            Event::Arrival => trace.fold([7]),
            Event::Director => trace.fold([8]),
            Event::Sample => trace.fold([9]),
        }
    }

    /// Ends the world.
    pub(crate) fn finish(mut self, story: Story) -> Recording {
        let deployed = self.nodes.iter().filter(|node| node.is_deployed());
        let finals = deployed.map(|node| FinalState {
            node: node.id(),
            up: node.is_up(),
            applied: node.machine().map_or(0, Machine::applied),
            digest: node.machine().map_or(0, Machine::digest),
        });
        let finals = finals.collect();
        for node in &self.nodes {
            let links = self.around.network.shim_counters(node.id());
            let counters = self.around.recorder.counters(node.id());
            counters.syncs = node.syncs();
            counters.links = links;
        }
        let simulated = self.now.since(Time::ZERO);
        self.around.recorder.finish(simulated, finals, story)
    }
}

/// A replica that was never started.
fn node<P: Protocol, M: Machine>(config: &SimulationConfig, id: NodeId) -> Node<P, M> {
    let seed = Draw::new(config.seed);
    // Newcomers are told who the first members were; that they are none themselves, too.
    let settings = Settings { node: id, members: config.members(), ..config.settings.clone() };
    let settings = P::configure(settings).expect("the configuration was validated");
    let clock = config.clocks.draw(seed.of("clock").at(id.0));
    let barrier = Barrier::new(seed.of("disk").at(id.0));
    Node::new(id, settings, clock, barrier, Timers::new(seed.of("timer").at(id.0)))
}

/// Whether a replica is still, or already, in its place.
fn is_there<P: Protocol, M: Machine>(nodes: &[Node<P, M>], id: NodeId) -> bool {
    nodes.get(place(id)).is_some_and(|node| node.id() == id)
}

/// What happened when time went on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// Nothing was due.
    Quiet,
    /// Something that concerns the world alone.
    Event,
    /// The workload's next operation is due.
    Arrival,
    /// The director wants to be asked.
    Director,
    /// Samples were taken.
    Sample,
}

const fn kind(answer: &Answer) -> u64 {
    match answer {
        Answer::Applied(_) => 1,
        Answer::Read(_) => 2,
        Answer::Refused(_) => 3,
        Answer::Unreachable => 4,
        Answer::Unknown => 5,
        Answer::Reset => 6,
        Answer::Done => 7,
    }
}

#[cfg(test)]
mod tests;
