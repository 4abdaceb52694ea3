//! raft-rs (the crate `raft`), driven as its documentation advises.

use raft::{
    Config, RawNode,
    eraftpb::{Entry, Message},
    storage::MemStorage,
};
use slog::{Discard, Logger, o};

use crate::{Contestant, Delivered, REPLICAS, Work};

/// Three replicas of raft-rs; the first leads.
pub struct RaftRsCluster {
    replicas: Vec<Replica>,
}

struct Replica {
    node: RawNode<MemStorage>,
    inbox: Vec<Message>,
    delivered: Delivered,
}

impl Contestant for RaftRsCluster {
    const NAME: &'static str = "raft-rs";

    fn configuration(_work: Work) -> String {
        let config = config(1);
        format!(
            "protobuf codec, MemStorage: at most {} KiB a message, {} messages in flight, batch_append {}, skip_bcast_commit {}",
            config.max_size_per_msg >> 10,
            config.max_inflight_msgs,
            config.batch_append,
            config.skip_bcast_commit,
        )
    }

    fn start(_work: Work) -> Self {
        let logger = Logger::root(Discard, o!());
        let voters: Vec<u64> = (1..=REPLICAS as u64).collect();
        let start = |&id: &u64| {
            let storage = MemStorage::new_with_conf_state((voters.clone(), Vec::new()));
            let node = RawNode::new(&config(id), storage, &logger).expect("a valid configuration");
            Replica { node, inbox: Vec::new(), delivered: Delivered::default() }
        };
        let mut cluster = Self { replicas: voters.iter().map(start).collect() };
        cluster.replicas[0].node.campaign().expect("a follower may campaign");
        while cluster.replicas.iter().any(|replica| replica.node.has_ready())
            || cluster.replicas.iter().any(|replica| !replica.inbox.is_empty())
        {
            cluster.turn();
        }
        assert_eq!(cluster.replicas[0].node.raft.leader_id, 1, "the first replica leads");
        cluster
    }

    fn propose(&mut self, command: Vec<u8>) {
        self.replicas[0].node.propose(Vec::new(), command).expect("the leader takes commands");
    }

    fn turn(&mut self) {
        for at in 0..self.replicas.len() {
            let Replica { node, inbox, .. } = &mut self.replicas[at];
            for message in inbox.drain(..) {
                node.step(message).expect("an honest message");
            }
            if node.has_ready() {
                self.handle_ready(at);
            }
        }
    }

    fn heartbeat(&mut self) {
        self.replicas[0].node.ping();
    }

    fn delivered(&self) -> [&Delivered; REPLICAS] {
        [0, 1, 2].map(|at| &self.replicas[at].delivered)
    }
}

impl RaftRsCluster {
    /// The steps of raft-rs's documentation, in its order.
    fn handle_ready(&mut self, at: usize) {
        let mut ready = self.replicas[at].node.ready();
        self.send(ready.take_messages());
        self.deliver(at, ready.take_committed_entries());
        let Replica { node, .. } = &mut self.replicas[at];
        let storage = node.raft.raft_log.store.clone();
        storage.wl().append(ready.entries()).expect("entries follow each other");
        if let Some(hard) = ready.hs() {
            storage.wl().set_hardstate(hard.clone());
        }
        let persisted = ready.take_persisted_messages();
        let mut light = node.advance(ready);
        if let Some(commit) = light.commit_index() {
            storage.wl().mut_hard_state().set_commit(commit);
        }
        self.send(persisted);
        self.send(light.take_messages());
        self.deliver(at, light.take_committed_entries());
        self.replicas[at].node.advance_apply();
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.replicas[message.to as usize - 1].inbox.push(message);
        }
    }

    fn deliver(&mut self, at: usize, entries: Vec<Entry>) {
        for entry in entries.iter().filter(|entry| !entry.data.is_empty()) {
            self.replicas[at].delivered.apply(&entry.data);
        }
    }
}

fn config(id: u64) -> Config {
    Config {
        id,
        max_size_per_msg: 1 << 20,
        batch_append: true,
        skip_bcast_commit: true,
        pre_vote: true,
        check_quorum: true,
        ..Config::default()
    }
}
