//! Whom to ask next.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use consensus_core::NodeId;

use super::breaker::Breaker;
use crate::http::exchange::{Exchanged, Server};

/// The replicas as the client knows them.
#[derive(Debug, Default)]
pub(super) struct Router(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    replicas: BTreeMap<NodeId, Replica>,
    /// Who leads, as a replica said.
    named: Option<NodeId>,
    /// Who leads, as gossip says.
    suggested: Option<NodeId>,
    /// Who was asked last of those that were asked in turn.
    turn: NodeId,
}

#[derive(Debug, Default)]
struct Replica {
    address: String,
    breaker: Breaker,
}

/// A replica to ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    pub(super) node: NodeId,
    pub(super) address: String,
}

impl Router {
    /// Learns where a replica is. One that moved starts with a clean record.
    pub(super) fn locate(&self, node: NodeId, address: &str) {
        let mut known = self.lock();
        let replica = known.replicas.entry(node).or_default();
        if replica.address != address {
            *replica = Replica { address: address.to_owned(), breaker: Breaker::default() };
        }
    }

    /// Learns from gossip who leads.
    pub(super) fn suggest(&self, node: NodeId) {
        self.lock().suggested = Some(node);
    }

    pub(super) fn leader(&self) -> Option<NodeId> {
        let known = self.lock();
        known.named.or(known.suggested)
    }

    /// Whom to ask next: the leader, or else whoever is next in turn, but not the one that was just
    /// asked, if there is another. `None` if no replica is known.
    pub(super) fn pick(&self, last: Option<NodeId>) -> Option<Target> {
        let now = Instant::now();
        let mut known = self.lock();
        for leader in [known.named, known.suggested].into_iter().flatten() {
            if Some(leader) != last && known.admits(leader, now) {
                return known.target(leader);
            }
        }
        known.next_in_turn(last, now)
    }

    /// Whom to ask what anybody may answer: the next in turn who answers, whoever leads.
    pub(super) fn pick_anybody(&self, last: Option<NodeId>) -> Option<Target> {
        self.lock().next_in_turn(last, Instant::now())
    }

    /// Learns whether a replica answers, and nothing else.
    pub(super) fn learn_behaviour(&self, node: NodeId, server: Server) {
        self.lock().note_behaviour(node, server);
    }

    /// Learns from what a replica answered, or did not.
    pub(super) fn learn(&self, node: NodeId, exchanged: &Exchanged) {
        let mut known = self.lock();
        known.note_behaviour(node, exchanged.server);
        match (exchanged.leader, exchanged.server) {
            (Some(leader), _) => known.named = Some(leader),
            (None, Server::Answered) if exchanged.is_done() => known.named = Some(node),
            _ if known.named == Some(node) => known.named = None,
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("nobody panics while holding the router")
    }
}

impl Known {
    fn note_behaviour(&mut self, node: NodeId, server: Server) {
        let Some(replica) = self.replicas.get_mut(&node) else { return };
        match server {
            Server::Answered => replica.breaker.answered(),
            Server::Silent => replica.breaker.silent(Instant::now()),
        }
    }

    fn next_in_turn(&mut self, last: Option<NodeId>, now: Instant) -> Option<Target> {
        let in_turn = self.in_turn();
        let others = || in_turn.iter().copied().filter(|&node| Some(node) != last);
        let admitted = others().find(|&node| self.admits(node, now));
        // If all breakers are open, somebody is asked nevertheless: waiting helps nobody.
        let next = admitted.or_else(|| others().next()).or(last)?;
        self.turn = next;
        self.target(next)
    }

    fn admits(&mut self, node: NodeId, now: Instant) -> bool {
        self.replicas.get_mut(&node).is_some_and(|replica| replica.breaker.admit(now))
    }

    fn target(&self, node: NodeId) -> Option<Target> {
        let replica = self.replicas.get(&node)?;
        Some(Target { node, address: replica.address.clone() })
    }

    /// Everybody, beginning behind the one that was asked last.
    fn in_turn(&self) -> Vec<NodeId> {
        let behind = self.replicas.range(self.turn..).skip_while(|&(&node, _)| node == self.turn);
        let rest = self.replicas.range(..=self.turn);
        behind.chain(rest).map(|(&node, _)| node).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::{Reason, Refused, Reply};

    fn router() -> Router {
        let router = Router::default();
        (1..=3).for_each(|node| router.locate(NodeId(node), &format!("host:{node}")));
        router
    }

    fn pick(router: &Router, last: Option<u64>) -> u64 {
        router.pick(last.map(NodeId)).unwrap().node.0
    }

    fn exchanged(leader: Option<u64>, server: Server) -> Exchanged {
        let reply = Reply::Refused(Refused::new(Reason::NotLeader, "no"));
        Exchanged { reply, leader: leader.map(NodeId), server }
    }

    #[test]
    fn without_a_leader_everybody_is_asked_in_turn() {
        let router = router();
        let picked: Vec<_> = (0..4).map(|_| pick(&router, None)).collect();
        assert_eq!(picked, [1, 2, 3, 1]);
        assert_eq!(Router::default().pick(None), None);
    }

    #[test]
    fn what_anybody_may_answer_is_asked_in_turn_whoever_leads() {
        let router = router();
        router.learn(NodeId(1), &exchanged(Some(2), Server::Answered));
        let picked: Vec<_> = (0..4).map(|_| router.pick_anybody(None).unwrap().node.0).collect();
        assert_eq!(picked, [1, 2, 3, 1]);
        assert_eq!(pick(&router, None), 2, "the leader is known as before");
    }

    #[test]
    fn what_a_replica_names_goes_before_what_gossip_suggests() {
        let router = router();
        router.suggest(NodeId(3));
        assert_eq!(pick(&router, None), 3);
        router.learn(NodeId(3), &exchanged(Some(2), Server::Answered));
        assert_eq!([pick(&router, None), pick(&router, Some(2))], [2, 3]);
    }

    #[test]
    fn a_leader_that_falls_silent_is_forgotten_and_then_avoided() {
        let router = router();
        router.learn(NodeId(1), &exchanged(Some(2), Server::Answered));
        for _ in 0..3 {
            router.learn(NodeId(2), &exchanged(None, Server::Silent));
        }
        let picked: Vec<_> = (0..4).map(|_| pick(&router, None)).collect();
        assert!(!picked.contains(&2), "{picked:?}");
        router.locate(NodeId(2), "elsewhere:2");
        let picked: Vec<_> = (0..3).map(|_| pick(&router, None)).collect();
        assert!(picked.contains(&2), "{picked:?}");
    }

    #[test]
    fn when_nobody_answers_somebody_is_asked_nevertheless() {
        let router = router();
        for node in 1..=3 {
            (0..3).for_each(|_| router.learn(NodeId(node), &exchanged(None, Server::Silent)));
        }
        assert!(router.pick(Some(NodeId(1))).is_some_and(|target| target.node != NodeId(1)));
        let alone = Router::default();
        alone.locate(NodeId(7), "host:7");
        assert_eq!(pick(&alone, Some(7)), 7);
    }
}
