//! How a replica that lost its disk takes the place of its old self.
//!
//! It comes back under a new name, as one that only learns. It asks the cluster, as any administrator
//! would, to put it in the place of whichever earlier life is a member, until it is a voter itself. If
//! none is, somebody removed that life, and the replica waits to be added.

use std::time::Duration;

use consensus_core::{Change, NodeId, Status};
use tokio::{sync::watch, time::sleep};

use crate::{
    client::{Client, ClientOptions},
    http::{api::Reply, members::Members},
    membership::View,
};

/// How long one request for the change may take: the newcomer catches up meanwhile.
const CHANGE_LIMIT: Duration = Duration::from_secs(30);
/// The pause before asking again.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What comes next for a newcomer, as the members are.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Next {
    /// It votes.
    Arrived,
    /// It asks for this.
    Ask(Change),
    /// None of its earlier lives is a member.
    Wait,
}

/// Asks until this replica votes.
pub(crate) async fn rejoin(
    me: NodeId,
    view: watch::Receiver<View>,
    status: watch::Receiver<Status>,
) {
    let Ok(client) = Client::new([], ClientOptions::default()) else {
        tracing::error!("no HTTP client can be made: node {me} waits to be added by somebody");
        return;
    };
    let mut pause = PAUSE;
    loop {
        locate(&client, me, &view.borrow());
        if status.borrow().members.contains(&me) {
            tracing::info!("node {me} votes in the place of its old self");
            return;
        }
        // Its own knowledge of the members is that of a newcomer.
        let next = client.members().await.map(|members| next(me, &members));
        match next {
            Some(Next::Ask(change)) => {
                tracing::info!("asking to {change}");
                match client.reconfigure(change, CHANGE_LIMIT).await {
                    Reply::Refused(refused) => tracing::info!("not yet: {}", refused.error),
                    Reply::Unknown(why) => tracing::info!("perhaps: {why}"),
                    Reply::Done(_) | Reply::Opened(_) => {}
                }
            }
            Some(Next::Wait) => {
                tracing::info!("no earlier life of node {me} is a member: it waits to be added");
                pause = LONGEST_PAUSE;
            }
            // Told by others, it has yet to learn so from its own log.
            Some(Next::Arrived) | None => {}
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Tells the client of the others: this replica itself knows least.
fn locate(client: &Client, me: NodeId, view: &View) {
    let others = view.members.iter().filter(|member| !member.gateway && member.node != me);
    for member in others.filter(|member| view.alive().contains(&member.node)) {
        client.locate(member.node, &member.client_address);
    }
    if let Some(leader) = view.leader {
        client.suggest_leader(leader);
    }
}

fn next(me: NodeId, members: &Members) -> Next {
    if members.voters.contains(&me) {
        return Next::Arrived;
    }
    let named = members.voters.iter().chain(&members.learners).copied();
    let earlier = named.filter(|node| node.place() == me.place() && *node < me);
    match earlier.max() {
        Some(old) => Next::Ask(Change::replace(old, me)),
        None => Next::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::View;

    fn next_of(me: u64, voters: &[u64], learners: &[u64]) -> Next {
        let nodes = |numbers: &[u64]| numbers.iter().copied().map(NodeId).collect();
        let status =
            Status { members: nodes(voters), learners: nodes(learners), ..Status::default() };
        next(NodeId(me), &Members::new(&status, &View::default()))
    }

    #[test]
    fn the_old_self_is_replaced_whichever_life_it_was() {
        let replace = |old, new| Next::Ask(Change::replace(NodeId(old), NodeId(new)));
        assert_eq!(next_of(103, &[1, 2, 3], &[]), replace(3, 103));
        assert_eq!(next_of(203, &[1, 2, 103], &[]), replace(103, 203));
        assert_eq!(next_of(103, &[1, 2, 3], &[103]), replace(3, 103), "on its way");
        assert_eq!(next_of(103, &[1, 2, 103], &[]), Next::Arrived);
        assert_eq!(next_of(103, &[1, 2], &[]), Next::Wait, "somebody removed it");
    }
}
