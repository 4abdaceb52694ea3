//! OmniPaxos, driven as its documentation advises.

use bytes::Bytes;
use omnipaxos::{
    ClusterConfig, OmniPaxos, ServerConfig,
    messages::Message,
    storage::{Entry, NoSnapshot},
    util::LogEntry,
};
use omnipaxos_storage::memory_storage::MemoryStorage;

use crate::{Contestant, Delivered, REPLICAS, Work};

/// Three replicas of OmniPaxos; the first leads.
pub struct OmniPaxosCluster {
    replicas: Vec<Replica>,
    outgoing: Vec<Message<Command>>,
}

struct Replica {
    node: OmniPaxos<Command, MemoryStorage<Command>>,
    inbox: Vec<Message<Command>>,
    delivered: Delivered,
}

/// A command that is cheap to clone, as ours are.
#[derive(Clone, Debug)]
struct Command(Bytes);

impl Entry for Command {
    type Snapshot = NoSnapshot;
}

impl Contestant for OmniPaxosCluster {
    const NAME: &'static str = "omnipaxos";

    fn configuration(work: Work) -> String {
        format!("MemoryStorage, commands as Bytes: batches of {}", work.window)
    }

    fn start(work: Work) -> Self {
        let nodes: Vec<u64> = (1..=REPLICAS as u64).collect();
        let start = |&pid: &u64| {
            let cluster =
                ClusterConfig { configuration_id: 1, nodes: nodes.clone(), flexible_quorum: None };
            let server = ServerConfig {
                pid,
                // Nobody fails: the first replica is made the leader by hand, and stays it.
                election_tick_timeout: 1_000,
                batch_size: work.window,
                flush_batch_tick_timeout: 1,
                ..ServerConfig::default()
            };
            let node = cluster.build_for_server(server, MemoryStorage::default());
            let node = node.expect("a valid configuration");
            Replica { node, inbox: Vec::new(), delivered: Delivered::default() }
        };
        let mut cluster =
            Self { replicas: nodes.iter().map(start).collect(), outgoing: Vec::new() };
        cluster.replicas[0].node.try_become_leader();
        (0..REPLICAS * 2).for_each(|_| cluster.turn());
        let leader = cluster.replicas[0].node.get_current_leader();
        assert_eq!(leader, Some((1, true)), "the first replica leads");
        cluster
    }

    fn propose(&mut self, command: Vec<u8>) {
        let taken = self.replicas[0].node.append(Command(command.into()));
        taken.expect("the leader takes commands");
    }

    fn turn(&mut self) {
        for at in 0..self.replicas.len() {
            let Replica { node, inbox, delivered } = &mut self.replicas[at];
            for message in inbox.drain(..) {
                node.handle_incoming(message);
            }
            node.take_outgoing_messages(&mut self.outgoing);
            if (delivered.commands() as usize) < node.get_decided_idx() {
                let from = delivered.commands() as usize;
                for entry in node.read_decided_suffix(from).expect("decided entries are there") {
                    let LogEntry::Decided(command) = entry else { panic!("undecided: {entry:?}") };
                    delivered.apply(&command.0);
                }
            }
            for message in self.outgoing.drain(..) {
                let to = message.get_receiver() as usize - 1;
                self.replicas[to].inbox.push(message);
            }
        }
    }

    fn heartbeat(&mut self) {
        self.replicas.iter_mut().for_each(|replica| replica.node.tick());
    }

    fn delivered(&self) -> [&Delivered; REPLICAS] {
        [0, 1, 2].map(|at| &self.replicas[at].delivered)
    }
}
