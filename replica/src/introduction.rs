//! How a replica on an empty disk finds out under which name it may vote (see [`crate::identity`]).
//!
//! Until it knows, it gossips, introduces itself and answers introductions; its consensus loop does
//! not run, and clients are turned away.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, put},
};
use consensus_core::{Draw, NodeId, Protocol, Status, quorum::majority};
use faults::{Channel, LinkRules};
use futures::future::join_all;
use gossip::Metadata;
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    config::{ReplicaConfig, ReplicaError},
    counters::Counters,
    http::api::{Reason, Refused, Reply},
    identity::{Acquaintances, Passport},
    links::Links,
    listen,
    membership::{self, Membership, Start, View},
    sockets::Sockets,
    storage::Directory,
    transport::{Answer, Identity, Reception, ask},
};

/// How often those who did not answer are asked again.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How often it is said who is waited for.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// What an introduction works with.
pub(crate) struct Introduction<'a> {
    pub(crate) config: &'a ReplicaConfig,
    pub(crate) directory: &'a Directory,
    pub(crate) sockets: &'a Sockets,
    pub(crate) acquaintances: &'a Arc<Acquaintances>,
}

/// What is known afterwards.
pub(crate) struct Introduced {
    /// Under which name the replica may vote.
    pub(crate) passport: Passport,
    /// Where others gossip.
    pub(crate) seeds: Vec<String>,
    /// The link faults that were installed meanwhile.
    pub(crate) links: Option<LinkRules>,
}

/// What the others say to a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Finding {
    /// Enough remember this disk under it.
    Own,
    /// Somebody knows it with another disk.
    Taken,
    /// Too few answered yet.
    Open,
}

impl Introduction<'_> {
    /// Finds the name under which this disk may vote, and writes it down.
    pub(crate) async fn carry_out<P: Protocol>(
        self,
        mut passport: Passport,
    ) -> Result<Introduced, ReplicaError> {
        let rules = Arc::new(Mutex::new(self.config.links.clone()));
        let mut seeds = self.config.seeds.clone();
        loop {
            let (finding, view) = self.under_one_name::<P>(&passport, &seeds, &rules).await?;
            let others = view.members.iter().filter(|member| member.node != passport.node);
            seeds.extend(others.map(|member| member.gossip_address.to_string()));
            seeds.sort_unstable();
            seeds.dedup();
            if finding == Finding::Own {
                passport.admitted = true;
                passport.write(self.directory.path())?;
                let links = rules.lock().expect("nobody panics while holding the rules").clone();
                return Ok(Introduced { passport, seeds, links });
            }
            let old = passport.node;
            passport.node = old.reborn();
            passport.write(self.directory.path())?;
            tracing::warn!(
                "the name of node {old} belongs to another disk, which is lost: this replica is now \
                 node {}, and knows nothing yet",
                passport.node
            );
        }
    }

    /// Asks under one name until it is clear whose that is.
    async fn under_one_name<P: Protocol>(
        &self,
        passport: &Passport,
        seeds: &[String],
        rules: &Arc<Mutex<Option<LinkRules>>>,
    ) -> Result<(Finding, View), ReplicaError> {
        let current = rules.lock().expect("nobody panics while holding the rules").clone();
        let links = Arc::new(Links::new(passport.node, current.as_ref()));
        let identity = Identity::of::<P>(self.config, passport);
        let mut tasks = JoinSet::new();
        let reception = Reception {
            identity: identity.clone(),
            links: Arc::clone(&links),
            acquaintances: Arc::clone(self.acquaintances),
            members: self.config.settings.members.clone(),
        };
        tasks.spawn(reception.serve(self.sockets.peer()?));
        let routes = turn_away(Arc::clone(&links), Arc::clone(rules));
        tasks.spawn(listen::serve_http(self.sockets.client()?, routes));
        let (leave, view) = self.gossip::<P>(passport.node, seeds, &links, &mut tasks);
        let finding = self.find_out(&identity, &links, &view).await;
        if finding == Finding::Taken {
            membership::leave(leave).await;
        }
        let view = view.borrow().clone();
        Ok((finding, view))
    }

    fn gossip<P: Protocol>(
        &self,
        node: NodeId,
        seeds: &[String],
        links: &Arc<Links>,
        tasks: &mut JoinSet<()>,
    ) -> (oneshot::Sender<oneshot::Sender<()>>, watch::Receiver<View>) {
        let (view, view_of) = watch::channel(View::default());
        let (leave, leaving) = oneshot::channel();
        let (_, status) = watch::channel(Status::default());
        let addresses = self.sockets.addresses;
        let membership = Membership {
            socket: self.sockets.gossip(),
            links: Arc::clone(links),
            counters: Arc::new(Counters::default()),
            view,
            metadata: Metadata {
                peer_address: addresses.peer.map(|at| at.to_string()).unwrap_or_default(),
                client_address: addresses.client.to_string(),
                protocol: P::NAME.to_owned(),
                ..Metadata::default()
            },
            status,
            consensus: None,
            leave: leaving,
        };
        let start = Start {
            cluster: self.config.cluster.clone(),
            identity: gossip::Identity {
                node,
                address: addresses.gossip,
                start: membership::start_of_introduction(self.directory.incarnation()),
            },
            seeds: seeds.to_vec(),
            draw: Draw::new(self.config.seed).of("introduction"),
        };
        tasks.spawn(async move {
            if let Err(error) = membership.run(start).await {
                tracing::error!(%error, "gossip ended");
            }
        });
        (leave, view_of)
    }

    /// Asks everybody whom gossip finds, again and again.
    async fn find_out(
        &self,
        me: &Identity,
        links: &Links,
        view: &watch::Receiver<View>,
    ) -> Finding {
        let mut answers = BTreeMap::new();
        let mut said = Instant::now();
        loop {
            let asked = unasked(me.node, &view.borrow(), &answers);
            let told = asked
                .into_iter()
                .map(async |(node, address)| (node, ask(me, node, &address).await));
            for (node, answer) in join_all(told).await {
                let Some(answer) = answer else { continue };
                if links.admits(node, Channel::Consensus) {
                    // Whom it already knows with another disk it cannot be: it knows nobody yet.
                    let _met = self.acquaintances.meet(node, &answer.disk);
                    answers.insert(node, answer);
                }
            }
            let finding = finding(me.node, &self.config.settings.members, &answers);
            if finding != Finding::Open {
                return finding;
            }
            if said.elapsed() > SAY_EVERY {
                said = Instant::now();
                let answered: BTreeSet<_> = answers.keys().map(|node| node.0).collect();
                tracing::info!(
                    "this disk is new: node {} may vote once a majority of the other voters \
                     remembers it; {answered:?} do so far",
                    me.node
                );
            }
            sleep(ASK_EVERY).await;
        }
    }
}

/// The replicas that gossip sees and that did not answer yet, with their addresses.
fn unasked(me: NodeId, view: &View, answers: &BTreeMap<NodeId, Answer>) -> Vec<(NodeId, String)> {
    let members = view.members.iter().filter(|member| {
        let there = !member.gateway && !member.peer_address.is_empty() && member.state != "left";
        there && member.node != me && !answers.contains_key(&member.node)
    });
    members.map(|member| (member.node, member.peer_address.clone())).collect()
}

/// What the answers say. Who votes, the one that knows the longest committed log tells; at a first
/// start nobody does, and the initial members are it.
fn finding(me: NodeId, initial: &[NodeId], answers: &BTreeMap<NodeId, Answer>) -> Finding {
    if answers.values().any(|answer| answer.taken) {
        return Finding::Taken;
    }
    let advanced = answers.values().filter(|answer| answer.commit > 0 && !answer.voters.is_empty());
    let told = advanced.max_by_key(|answer| answer.commit);
    let voters = told.map_or(initial, |answer| &answer.voters);
    if voters.iter().any(|voter| voter.place() == me.place() && *voter > me) {
        return Finding::Taken;
    }
    let others: BTreeSet<_> = voters.iter().copied().filter(|&voter| voter != me).collect();
    let remembering = others.iter().filter(|other| answers.contains_key(other)).count();
    match others.is_empty() || remembering >= majority(others.len()) {
        true => Finding::Own,
        false => Finding::Open,
    }
}

/// HTTP while the replica is not admitted: it lives, takes link faults, and serves nobody.
fn turn_away(links: Arc<Links>, rules: Arc<Mutex<Option<LinkRules>>>) -> Router {
    let set_links = async move |body: Bytes| -> Response {
        match serde_json::from_slice::<LinkRules>(&body) {
            Ok(given) => {
                links.install(&given);
                *rules.lock().expect("nobody panics while holding the rules") = Some(given);
                StatusCode::NO_CONTENT.into_response()
            }
            Err(error) => {
                let why = format!("these are no link rules: {error}");
                Reply::Refused(Refused::new(Reason::Malformed, why)).into_response()
            }
        }
    };
    let why = "this replica's disk is new, and the others have not yet admitted it";
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/admin/links", put(set_links))
        .fallback(async move || Reply::Refused(Refused::new(Reason::Unavailable, why)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::DiskId;

    fn answer(taken: bool, voters: &[u64], commit: u64) -> Answer {
        let disk = DiskId::from_wire(&"0".repeat(32)).unwrap();
        Answer { taken, disk, voters: voters.iter().copied().map(NodeId).collect(), commit }
    }

    fn found(me: u64, answers: &[(u64, Answer)]) -> Finding {
        let initial: Vec<_> = (1..=5).map(NodeId).collect();
        let answers = answers.iter().map(|(node, answer)| (NodeId(*node), answer.clone()));
        finding(NodeId(me), &initial, &answers.collect())
    }

    #[test]
    fn a_majority_of_the_others_must_remember() {
        let new = |node| (node, answer(false, &[1, 2, 3, 4, 5], 0));
        assert_eq!(found(1, &[]), Finding::Open);
        assert_eq!(
            found(1, &[new(2), new(3)]),
            Finding::Open,
            "a majority with oneself is too few"
        );
        assert_eq!(found(1, &[new(2), new(3), new(5)]), Finding::Own);
        assert_eq!(found(1, &[new(2), new(3), new(7)]), Finding::Open, "node 7 does not vote");
        assert_eq!(finding(NodeId(1), &[NodeId(1)], &BTreeMap::new()), Finding::Own);
    }

    #[test]
    fn one_who_knows_better_is_enough() {
        let new = |node| (node, answer(false, &[1, 2, 3, 4, 5], 0));
        let taken = (5, answer(true, &[1, 2, 3, 4, 5], 9));
        assert_eq!(found(1, &[new(2), new(3), new(4), taken]), Finding::Taken);
    }

    #[test]
    fn a_later_life_that_votes_has_used_the_name_up() {
        let knows = |node| (node, answer(false, &[101, 102, 103], 9));
        assert_eq!(found(2, &[knows(101), knows(103)]), Finding::Taken);
        assert_eq!(found(102, &[knows(101), knows(103)]), Finding::Own);
    }

    #[test]
    fn the_most_advanced_says_who_votes() {
        let voters = [1, 102, 103];
        let old = |node| (node, answer(false, &[1, 2, 3, 4, 5], 0));
        let knows = |node| (node, answer(false, &voters, 9));
        assert_eq!(found(101, &[old(4), old(5), old(6), knows(102)]), Finding::Open);
        assert_eq!(found(101, &[knows(102), knows(103)]), Finding::Own);
    }
}
